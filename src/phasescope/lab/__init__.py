"""How a study, or a call of your own, is run and kept, judged, mapped and drawn: what all of them share."""

from phasescope.lab import drawing as drawing
from phasescope.lab import measures as measures
from phasescope.lab.bench import Results, run
from phasescope.lab.folder import load
from phasescope.lab.maps.results import MapResults
from phasescope.lab.maps.search import phase_map
from phasescope.lab.registry import list_studies, study_named, study_points
from phasescope.lab.settings import settings_of
from phasescope.lab.staged import Stage
from phasescope.lab.study import Experiment, Inside, OrderParameter, Paper, Study
from phasescope.lab.sweep import simulate, train

__all__ = [
    "Experiment",
    "Inside",
    "MapResults",
    "OrderParameter",
    "Paper",
    "Results",
    "Stage",
    "Study",
    "list_studies",
    "load",
    "phase_map",
    "run",
    "settings_of",
    "simulate",
    "study_named",
    "study_points",
    "train",
]
