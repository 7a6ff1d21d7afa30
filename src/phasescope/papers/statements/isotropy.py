"""How evenly clouds of points use their space."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.instruments.isotropy import isoscore
from phasescope.instruments.signal import mean_cosine
from phasescope.papers.statement import Compared, at_least, at_most, near, statement
from phasescope.verdict import Source
from phasescope.vocabulary import Array


def cloud(used: int, dimensions: int, points: int = 4000) -> Array:
    """Return Gaussian points (points, dimensions) of equal variance in ``used`` directions, turned at random."""
    generators = streams(1)
    points_there = generators("cloud", used).standard_normal((points, used))
    frame, _ = np.linalg.qr(generators("frame", used).standard_normal((dimensions, dimensions)))
    turned: Array = points_there @ frame[:used]
    return turned


RUDMAN = Source(
    paper="Rudman et al. 2022, arXiv:2108.07344, the properties of IsoScore",
    derived="(k - 1) / (n - 1), from instruments.isotropy.isoscore's identity with the participation ratio",
    tolerance="what 4,000 points leave open",
)


@statement("003-211", "IsoScore counts the directions used: (k - 1) / (n - 1) for k equal ones of n", RUDMAN)
def directions_used() -> Iterator[Compared]:
    """Clouds that use 1, 5, 10 and 20 of 20 directions."""
    for used in (1, 5, 10, 20):
        yield near(f"IsoScore of {used} of 20 directions", isoscore(cloud(used, 20)), (used - 1) / 19, 0.01)


@statement("003-211", "IsoScore does not see the mean, nor a rotation", RUDMAN)
def mean_and_rotation() -> Iterator[Compared]:
    """The same cloud, far from the origin."""
    points = cloud(5, 20)
    yield near("IsoScore far from the origin minus that at it", isoscore(points + 100) - isoscore(points), 0, 1e-9)


@statement(
    "003-037",
    "The average cosine does not tell how a cloud is spread: moved off the origin, an even cloud reads as a narrow one",
    Source(
        paper="Marbut, McKinney-Bock and Wheeler 2022, arXiv:2212.08172, abstract",
        derived="|m|^2 / (|m|^2 + d) for a cloud of variance 1 around m, in d dimensions",
        tolerance="what 4,000 points leave open",
        checked=True,
    ),
)
def cosine_of_even_clouds() -> Iterator[Compared]:
    """Gaussian points of equal variance in 20 dimensions, at the origin and five times their spread away."""
    points = cloud(20, 20)
    away = points + 5
    yield near("average cosine at the origin", mean_cosine(points), 0, 0.01)
    yield near("average cosine far from it", mean_cosine(away), 25 / 26, 0.01)
    yield at_least("IsoScore far from the origin", isoscore(away), 0.98)
    yield near("average cosine of 2 of 20 directions at the origin", mean_cosine(cloud(2, 20)), 0, 0.01)
    yield at_most("IsoScore of 2 of 20 directions", isoscore(cloud(2, 20)), 0.06)
