"""How evenly clouds of points use their space."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.instruments.isotropy import isoscore, outlier_dimensions
from phasescope.instruments.signal import mean_cosine
from phasescope.papers.statement import Compared, at_least, at_most, exactly, near, statement
from phasescope.representation import isotropy as measures
from phasescope.representation import von_neumann_entropy
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


@statement(
    "003-037",
    "Measures of the principal axes tell how a cloud is spread wherever it lies; those of directions do not",
    Source(
        paper="Marbut, McKinney-Bock and Wheeler 2022, arXiv:2212.08172, abstract: measures that are reliable",
        derived="a shift leaves the covariance as it is",
        tolerance="none for the shift; 4,000 points leave 2 % open",
        checked=True,
    ),
)
def spread_of_shifted_clouds() -> Iterator[Compared]:
    """An even cloud in 20 dimensions, at the origin and five times its spread away, by five measures."""
    points = cloud(20, 20)
    here, away = measures(points), measures(points + 5)
    for name in ("isoscore", "effective_rank", "top_share"):
        yield near(f"{name}, away less here", away[name].value - here[name].value, 0, 1e-9)
    yield at_least("IsoScore away", away["isoscore"].value, 0.98)
    yield at_most("partition score away, over that here", away["partition"].value / here["partition"].value, 0.1)
    yield at_most("entropy away, over that here", away["entropy"].value / here["entropy"].value, 0.5)


@statement(
    "003-015",
    "Anisotropy, the share of the first singular direction, is 1 for one direction and near 0 for an even cloud",
    Source(
        paper="Razzhigaev et al. 2024, arXiv:2311.05928, definition of anisotropy",
        derived="Marchenko and Pastur's edge (1 + sqrt(d / n))^2 / d",
        tolerance="5 %: fluctuations at the edge",
    ),
)
def share_of_one_direction() -> Iterator[Compared]:
    """64 dimensions, 4,096 points, even and along one line."""
    even = cloud(64, 64, points=4096)
    edge = (1 + np.sqrt(64 / 4096)) ** 2 / 64
    yield near("top share of an even cloud", measures(even)["top_share"].value, edge, 0.05 * edge)
    yield near("top share of a line", measures(cloud(1, 64, points=4096))["top_share"].value, 1, 1e-9)


@statement(
    "003-027",
    "The von Neumann entropy of a representation is the logarithm of how many directions it uses alike",
    Source(
        paper="Kim et al. 2023, arXiv:2304.01434, on the relation to rank and isotropy",
        derived="log k - k / (2 n) for k equal ones at n points, by expansion of the entropy",
        tolerance="1 % of log k",
    ),
)
def entropy_of_directions() -> Iterator[Compared]:
    """64, 128 and 256 of 256 directions, 4,000 points; and one."""
    for used in (64, 128, 256):
        points = np.zeros((4000, 256))
        points[:, :used] = streams(1)("entropy", used).standard_normal((4000, used))
        expected = np.log(used) - used / 8000
        yield near(f"entropy with {used} directions", von_neumann_entropy(points), expected, 0.01 * np.log(used))
    yield near("entropy of a line", von_neumann_entropy(np.outer(np.arange(1, 21), np.ones(5))), 0, 1e-9)


@statement(
    "003-093",
    "One coordinate of outlying variance can hold a task: alone it classifies, and without it nothing does",
    Source(
        paper="Rudman, Chen and Eickhoff 2023, arXiv:2310.17715, abstract",
        ours="one planted coordinate that follows the labels, among 50",
        tolerance="chance is a half, with three standard errors of 2,000 points",
        checked=True,
    ),
)
def one_outlier() -> Iterator[Compared]:
    """The coordinate is found by its variance; a threshold on it, and a readout of all others."""
    labels = np.arange(2000) % 2
    points = streams(1)("noise").standard_normal((2000, 50))
    points[:, 17] += 12 * labels
    found = outlier_dimensions(points)
    yield exactly("outlier dimensions", len(found), 1)
    yield exactly("the one found", found[0], 17)
    above = points[:, 17] > points[:, 17].mean()
    yield at_least("accuracy by a threshold on it", (above == labels).mean(), 0.95)
    others = np.delete(points, 17, 1)
    way = _difference(others[:1000], labels[:1000])
    guessed = (others[1000:] - others[:1000].mean(0)) @ way > 0
    yield near("accuracy of the others, by their means", (guessed == labels[1000:]).mean(), 0.5, 3 * 0.5 / 1000**0.5)


def _difference(points: Array, labels: Array) -> Array:
    """Return the difference of the means of two classes."""
    found: Array = points[labels == 1].mean(0) - points[labels == 0].mean(0)
    return found
