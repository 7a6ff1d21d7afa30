"""How near generated samples are to real ones, as neighbourhoods tell it, and how alike two images are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.data import quality, ssim
from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, at_most, exactly, near, statement
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


@statement(
    "003-218",
    "SSIM judges equal errors harshly in the dark and mildly beside edges; it may be negative, and undefined",
    Source(
        paper="Nilsson and Akenine-Möller 2020, arXiv:2006.13846, abstract and caption of Figure 1",
        derived="the factors of Wang et al. 2004",
        tolerance="rounding; of noise, 0.98 beside the edge and 0.28 apart from it were measured, and four standard "
        "errors of its square",
        checked=True,
    ),
)
def surprises() -> Iterator[Compared]:
    """Images of one grey; an edge under white noise, whose squared error is the same everywhere; a negative."""
    dark, bright = (np.full((11, 11), grey) for grey in (0.0, 0.9))
    yield near("greys 0 and 0.1", ssim(dark, dark + 0.1, highest=1).mean, 1e-4 / 0.0101, 1e-9)
    yield near("greys 0.9 and 1: the same error", ssim(bright, bright + 0.1, highest=1).mean, 1.8001 / 1.8101, 1e-9)
    noise = streams(1)("noise").standard_normal((128, 128))
    edge = np.where(np.arange(128) < 64, 0.25, 0.75) * np.ones((128, 1))
    columns = ssim(edge, edge + 0.05 * noise, highest=1).map.mean(0)  # of windows, whose middles are columns 5 to 122
    yield at_least("noise beside an edge", columns[58:60].mean(), 0.95)
    yield at_most("the same noise apart from it", columns[:40].mean(), 0.35)
    errors = (noise**2).mean(0)
    yield near("squared error beside the edge, over that apart", errors[58:70].mean() / errors[:50].mean(), 1, 0.15)
    texture = 0.3 * np.cos(np.arange(64)) * np.ones((64, 1))
    negative = ssim(0.5 + texture, 0.5 - texture, highest=1)
    yield at_most("a texture and its negative", negative.mean, -0.9)
    with np.errstate(invalid="ignore"):
        yield exactly(
            "windows where the root of its structure is undefined", np.isnan(negative.structure**0.5).mean(), 1
        )
    yield exactly(
        "two black images, constants of 0: undefined", np.isnan(ssim(dark, dark, highest=1, constants=(0, 0)).mean), 1
    )
