"""How evenly clouds of points use their space."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.instruments.isotropy import isoscore
from phasescope.papers.statement import Compared, near, statement
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
