"""What the layers of a model are like, and whether two of them are alike: tools for a model or data of one's own."""

from phasescope.representation.anova import Anova, anova
from phasescope.representation.axioms import Scorecard, isotropy_axioms
from phasescope.representation.circular import Circle, Irreducibility, circular, irreducible
from phasescope.representation.class_dimension import class_dimension
from phasescope.representation.class_result import ClassDimension
from phasescope.representation.compare import compare
from phasescope.representation.compare_result import Comparison
from phasescope.representation.concepts import Concept, causal_cosine, linear_concept
from phasescope.representation.dimension import Dimension, dimension
from phasescope.representation.encode import encode
from phasescope.representation.encode_data import read_responses
from phasescope.representation.encode_result import Encoding
from phasescope.representation.isotropy import isotropy, partition_score, uniformity_w2, von_neumann_entropy
from phasescope.representation.places import layers_of
from phasescope.representation.profile import profile
from phasescope.representation.profile_result import Profile
from phasescope.representation.ranks import Utilization, local_rank, utilized_rank
from phasescope.representation.readings import Measured
from phasescope.representation.sharpness import Sharpness, label_sharpness
from phasescope.representation.similarity import (
    Stitching,
    canonical_correlations,
    relative_codes,
    shape_distance,
    stitch,
)

__all__ = [
    "Anova",
    "Circle",
    "ClassDimension",
    "Comparison",
    "Concept",
    "Dimension",
    "Encoding",
    "Irreducibility",
    "Measured",
    "Profile",
    "Scorecard",
    "Sharpness",
    "Stitching",
    "Utilization",
    "anova",
    "canonical_correlations",
    "causal_cosine",
    "circular",
    "class_dimension",
    "compare",
    "dimension",
    "encode",
    "irreducible",
    "isotropy",
    "isotropy_axioms",
    "label_sharpness",
    "layers_of",
    "linear_concept",
    "local_rank",
    "partition_score",
    "profile",
    "read_responses",
    "relative_codes",
    "shape_distance",
    "stitch",
    "uniformity_w2",
    "utilized_rank",
    "von_neumann_entropy",
]
