"""What the layers of a model are like, and whether two of them are alike: tools for a model or data of one's own."""

from phasescope.representation.compare import compare
from phasescope.representation.compare_result import Comparison
from phasescope.representation.encode import encode
from phasescope.representation.encode_data import read_responses
from phasescope.representation.encode_result import Encoding
from phasescope.representation.similarity import (
    Stitching,
    canonical_correlations,
    relative_codes,
    shape_distance,
    stitch,
)

__all__ = [
    "Comparison",
    "Encoding",
    "Stitching",
    "canonical_correlations",
    "compare",
    "encode",
    "read_responses",
    "relative_codes",
    "shape_distance",
    "stitch",
]
