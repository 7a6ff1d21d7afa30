"""What the layers of a model are like, and whether two of them are alike: tools for a model or data of one's own."""

from phasescope.representation.similarity import (
    Stitching,
    canonical_correlations,
    relative_codes,
    shape_distance,
    stitch,
)

__all__ = [
    "Stitching",
    "canonical_correlations",
    "relative_codes",
    "shape_distance",
    "stitch",
]
