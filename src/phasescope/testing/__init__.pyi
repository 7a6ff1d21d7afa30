from .instruments import INSTRUMENT_LAWS as INSTRUMENT_LAWS
from .instruments import check_instrument as check_instrument
from .rivals import law_rivals as law_rivals
from .stores import STORE_LAWS as STORE_LAWS
from .studies import RESULT_LAWS as RESULT_LAWS
from .studies import STUDY_LAWS as STUDY_LAWS
from .studies import check_results as check_results
from .studies import check_study as check_study
