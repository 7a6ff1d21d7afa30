"""The intrinsic dimension of a cloud of points by five estimators, each with an error and calibrated on white noise.

Estimators that look at neighbours fall below the truth in high dimensions, by much: TwoNN reads about
37 of 2,000 points of white noise in 64 dimensions. So each value is also told as the dimension of the white noise that
would read the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from phasescope.checks import word
from phasescope.instruments.intrinsic_dimension import (
    IntrinsicDimension,
    Neighbourhood,
    gride,
    likelihood_dimension,
    neighbourhood,
    two_nn,
)
from phasescope.instruments.neighbours import Points
from phasescope.representation.dimension_calibration import DIMENSIONS, POINTS, READINGS
from phasescope.representation.isotropy_spectrum import Spectrum, jackknife
from phasescope.vocabulary import Array

N1, K = 8, 10
"""GRIDE looks at neighbours 8 and 16, the maximum likelihood at 10."""
WIDEST = 2 * N1
NEAR: Mapping[str, Callable[[Neighbourhood], IntrinsicDimension]] = {
    "twonn": two_nn,
    "gride": lambda near: gride(near, n1=N1),
    "mle": lambda near: likelihood_dimension(near, k=K),
}
ESTIMATORS = (*NEAR, "participation", "pca90")


@dataclass(frozen=True)
class Dimension:
    """A dimension by one ``estimator``: ``value`` with its standard ``error``, from ``points`` different rows.

    ``calibrated``, with ``calibrated_error``, is the dimension of white noise of as many points that reads the same:
    NaN where the table does not reach (100 to 3,000 points, up to 64 dimensions), and for "pca90". ``duplicates`` were
    left out (by the estimators that look at neighbours).
    """

    estimator: str
    value: float
    error: float
    calibrated: float
    calibrated_error: float
    points: int
    duplicates: int


def dimension(points: Points, estimator: str = "twonn") -> Dimension:
    """Return the intrinsic dimension of ``points`` (N, D), dimensionless, by one of five estimators.

    "twonn", "gride" (neighbours 8 and 16) and "mle" (10 neighbours) see how distances to neighbours grow; see
    ``instruments.intrinsic_dimension``. "participation": tr(C)^2 / tr(C^2) of the covariance C, calibrated by the
    unbiased estimates of both under normality. "pca90": principal components that hold 90 % of the variance.

    Bounds: (0, inf) for the first three, [1, min(D, N - 1)] for the others. Null: white noise in D dimensions reads D
    once calibrated. Invariant to rotations, shifts, scale and the order of rows. Errors: of the first three from their
    scores; of the last two from leaving out runs of rows in turn. Raises ``BadInput`` for fewer than 18 different rows
    (8 rows for the last two), and rows that are all the same.
    """
    estimator = word(*ESTIMATORS)("estimator", estimator)
    if estimator in NEAR:
        return local(neighbourhood(points, WIDEST))[estimator]
    return spectral(Spectrum.of(points))[estimator]


def local(near: Neighbourhood) -> dict[str, Dimension]:
    """Return the dimension by each estimator that looks at neighbours, of which ``near`` holds at least 16."""
    found = {}
    for name, estimate in NEAR.items():
        read = estimate(near)
        known, slope = calibrated(name, read.value, read.points)
        found[name] = Dimension(name, read.value, read.error, known, read.error * slope, read.points, read.duplicates)
    return found


def spectral(spectrum: Spectrum) -> dict[str, Dimension]:
    """Return the dimension by each estimator that looks at variances."""
    n = spectrum.rows
    value, error = jackknife(spectrum, participation)
    known, known_error = jackknife(spectrum, lambda variances: unbiased_participation(variances, n - 1))
    ninety, ninety_error = jackknife(spectrum, components)
    return {
        "participation": Dimension("participation", value, error, known, known_error, n, 0),
        "pca90": Dimension("pca90", math.ceil(ninety - 1e-9), ninety_error, math.nan, math.nan, n, 0),
    }


def participation(variances: Array) -> float:
    """Return the participation ratio of ``variances`` (r,)."""
    return float(variances.sum() ** 2 / np.square(variances).sum())


def unbiased_participation(variances: Array, n: int) -> float:
    """Return (tr C)^2 / tr(C^2) by unbiased estimates of both from the sample's ``variances`` with ``n`` degrees.

    For normal points, E tr(S^2) = (1 + 1/n) tr(C^2) + (tr C)^2 / n and E (tr S)^2 = (tr C)^2 + 2 tr(C^2) / n. NaN where
    the estimate of tr(C^2) is not above 0: too few points.
    """
    squared, of_squares = float(variances.sum()) ** 2, float(np.square(variances).sum())
    below = n**2 / ((n - 1) * (n + 2)) * (of_squares - squared / n)
    return (squared - 2 * below / n) / below if below > 1e-9 * of_squares else math.nan


def components(variances: Array, share: float = 0.9) -> float:
    """Return how many of the largest ``variances`` (r,) hold a ``share`` of their sum, the last one counted in part."""
    falling = np.sort(variances)[::-1]
    sums = np.cumsum(falling)
    whole = int(np.searchsorted(sums, share * sums[-1] * (1 - 1e-12)))
    before = float(sums[whole - 1]) if whole else 0.0
    return whole + (share * float(sums[-1]) - before) / float(falling[whole])


def calibrated(estimator: str, value: float, points: int) -> tuple[float, float]:
    """Return the dimension of white noise that reads ``value`` at so many ``points``, and how steeply it rises with it.

    Both NaN outside of the table.
    """
    if not POINTS[0] <= points <= POINTS[-1]:
        return math.nan, math.nan
    table = np.log(np.array(READINGS[estimator]))  # (points, dimensions)
    readings = np.array([np.interp(math.log(points), np.log(POINTS), column) for column in table.T])
    truths = np.log(DIMENSIONS)
    at = math.log(value)
    if at > readings[-1]:
        return math.nan, math.nan
    i = int(np.clip(np.searchsorted(readings, at) - 1, 0, len(readings) - 2))
    steep = float((truths[i + 1] - truths[i]) / (readings[i + 1] - readings[i])) if at >= readings[0] else 1.0
    known = math.exp(float(truths[i]) + steep * (at - float(readings[i])))
    return known, steep * known / value
