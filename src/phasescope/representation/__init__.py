"""What the layers of a model are like, and whether two of them are alike: tools for a model or data of one's own."""

from phasescope.representation.class_dimension import class_dimension
from phasescope.representation.class_result import ClassDimension
from phasescope.representation.compare import compare
from phasescope.representation.compare_result import Comparison
from phasescope.representation.dimension import Dimension, dimension
from phasescope.representation.encode import encode
from phasescope.representation.encode_data import read_responses
from phasescope.representation.encode_result import Encoding
from phasescope.representation.isotropy import (
    Measured,
    isotropy,
    partition_score,
    uniformity_w2,
    von_neumann_entropy,
)
from phasescope.representation.places import layers_of
from phasescope.representation.profile import profile
from phasescope.representation.profile_result import Profile
from phasescope.representation.similarity import (
    Stitching,
    canonical_correlations,
    relative_codes,
    shape_distance,
    stitch,
)

__all__ = [
    "ClassDimension",
    "Comparison",
    "Dimension",
    "Encoding",
    "Measured",
    "Profile",
    "Stitching",
    "canonical_correlations",
    "class_dimension",
    "compare",
    "dimension",
    "encode",
    "isotropy",
    "layers_of",
    "partition_score",
    "profile",
    "read_responses",
    "relative_codes",
    "shape_distance",
    "stitch",
    "uniformity_w2",
    "von_neumann_entropy",
]
