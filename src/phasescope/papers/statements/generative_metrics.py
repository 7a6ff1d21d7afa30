"""How near generated samples are to real ones, as neighbourhoods tell it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.data import quality
from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, at_most, statement
from phasescope.verdict import Source
from phasescope.vocabulary import Array


def sphere(purpose: str, dimensions: int, radius: float = 1.0, points: int = 1000) -> Array:
    """Return points of a sphere (points, dimensions)."""
    found = streams(1)(purpose, dimensions).standard_normal((points, dimensions))
    unit: Array = radius * found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


@statement(
    "003-021",
    "In many dimensions precision and recall judge supports equally far inside and outside with opposite verdicts",
    Source(
        paper="Khayatkhoei and AbdAlmageed 2023, arXiv:2306.09618, abstract and Figure 1; "
        "mahyarkoy/emergent_asymmetry_pr, manifmetric/manifmetric.py",
        tolerance="(1.0, 0.0) and (0.006, 1.0) were measured with 2,000 points",
        checked=True,
    ),
)
def asymmetry() -> Iterator[Compared]:
    """Spheres of radius 0.7 and 1.3 beside one of radius 1 in 64 dimensions, 1,000 points, 5 neighbours."""
    real = sphere("real", 64)
    inner, outer = quality(real, sphere("inner", 64, 0.7)), quality(real, sphere("outer", 64, 1.3))
    yield at_least("inner: precision", inner.precision, 0.99)
    yield at_most("inner: recall", inner.recall, 0.01)
    yield at_most("outer: precision", outer.precision, 0.05)
    yield at_least("outer: recall", outer.recall, 0.99)
    yield at_most(
        "difference of the symmetric precisions", abs(inner.symmetric_precision - outer.symmetric_precision), 0.05
    )
    yield at_most("difference of the symmetric recalls", abs(inner.symmetric_recall - outer.symmetric_recall), 0.05)
