"""Where the best probability passes a level as planes grow: by an isotonic curve, and by the authors' logistic one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression, least_squares

from phasescope.representation.class_planes import Climb
from phasescope.vocabulary import Array

RESAMPLES, INSIDE = 500, 0.95


class Resampled:
    """Which planes stand for all in each resample: rows (resample, target, repeat - 1), drawn within each target.

    One fewer than there are, so that the variance over resamples is that of a mean over planes without bias (Rao and
    Wu 1988, J. Am. Stat. Assoc. 83, 231): as many as there are would give (n - 1) / n of it. ``shifts`` (2, resample,
    target + 1), for the module and its null, say where between two dimensions the resample's curve passes the level.
    """

    def __init__(self, repeats: int, targets: int, generator: np.random.Generator) -> None:
        self.rows = generator.integers(repeats, size=(RESAMPLES, targets, repeats - 1))
        self.shifts = generator.uniform(-0.6, 0.6, size=(2, RESAMPLES, targets + 1))


@dataclass(frozen=True)
class Read:
    """Where each target's curve passes the level, and, last, that of all targets: NaN where it never does.

    ``dimension``, ``error`` and ``fitted`` (targets + 1,); ``low`` and ``high``, between which 95 % of resamples lie,
    and ``drawn`` (resample, targets + 1), with inf where not reached; ``logistic`` the four parameters (targets + 1, 4)
    of the authors' curve.
    """

    dimension: Array
    error: Array
    low: Array
    high: Array
    fitted: Array
    drawn: Array
    logistic: Array


@dataclass(frozen=True)
class Found:
    """What was reached in all planes, by the module and by its null, and what was read of it."""

    climb: Climb
    null: Climb | None
    read: Read
    null_read: Read | None
    curve: Curve


@dataclass(frozen=True)
class Curve:
    """The reading of curves over ``dims`` (d,): where they pass ``level``."""

    dims: Sequence[int]
    level: float

    def read(self, probability: Array, draws: Resampled, null: bool = False) -> Read:
        """Return where curves (target, 1 + d, repeat) pass the level, each target's and that of all, with errors."""
        targets = np.arange(len(probability))[:, None]
        drawn = []
        for rows, shifts in zip(draws.rows, draws.shifts[int(null)], strict=True):
            means = probability.transpose(0, 2, 1)[targets, rows].mean(1)
            drawn.append([self.crossing(mean, by) for mean, by in zip((*means, means.mean(0)), shifts, strict=True)])
        means = probability.mean(2)
        curves = [*means, means.mean(0)]
        dimension = np.array([self.crossing(mean) for mean in curves])
        spread = np.array(drawn)
        known = np.isfinite(spread).all(0) & np.isfinite(dimension)
        error = np.where(known, np.where(known, spread, 0.0).std(0, ddof=1), np.nan)
        each = [self.fit(one) for one in (*probability, np.concatenate(list(probability), axis=1))]
        fitted = np.array([self.fitted(one) for one in each])
        low = np.quantile(spread, (1 - INSIDE) / 2, axis=0, method="lower")
        high = np.quantile(spread, (1 + INSIDE) / 2, axis=0, method="higher")
        known_dimension = np.where(np.isfinite(dimension), dimension, np.nan)
        return Read(known_dimension, error, low, high, fitted, spread, np.array(each))

    def crossing(self, mean: Array, shift: float = 0.0) -> float:
        """Return where the isotonic curve of ``mean`` (1 + d,) first reaches the level; inf if nowhere.

        It is linear in ln d from the smallest plane on, and in d below, down to the start, which is d = 0. Between two
        dimensions no plane was looked at: a curve that jumps there from 0 to 1 passes the level anywhere between, and
        what a straight line is off falls with the square of the rise. ``shift`` is where, in units of
        the squared rise times the gap, and never outside the gap: from -1/2 to 1/2, or a little more to count its ends.
        """
        rising = isotonic_regression(mean).x
        above = np.flatnonzero(rising >= self.level)
        if not len(above):
            return math.inf
        i = int(above[0])
        if i == 0:
            return 0.0
        places = np.concatenate([[0.0], 1 + np.log(self.dims)])
        low, high = rising[i - 1], rising[i]
        part = (self.level - low) / (high - low) + shift * (high - low) ** 2
        if part >= 1:
            return float(self.dims[i - 1])
        place = places[i - 1] + (places[i] - places[i - 1]) * max(part, 0.0)
        return float(place if place <= 1 else math.exp(place - 1))

    def fit(self, probability: Array) -> Array:
        """Return a, b, c, k of p = a + b / (1 + (c / d)^(1 / k)), by least squares to (1 + d, repeat)."""
        x = np.repeat(np.log(self.dims), probability.shape[1])
        middle = self.crossing(probability.mean(1))
        y = probability[1:].ravel()
        start = (0.0, 1.0, math.log(middle) if 0 < middle < math.inf else float(x.max()), 0.5)
        edges = ([-0.5, 0.0, -5.0, 0.01], [1.0, 1.5, float(x.max()) + 5, 10.0])
        found = least_squares(lambda p: logistic(x, *p) - y, np.clip(start, *edges), bounds=edges).x
        return np.array([found[0], found[1], math.exp(found[2]), found[3]])

    def fitted(self, parameters: Array) -> float:
        """Return where the logistic curve passes the level; NaN where it does not within the planes."""
        a, b, c, k = parameters
        if not a < self.level < a + b:
            return math.nan
        place = float(c * ((self.level - a) / (a + b - self.level)) ** k)
        return place if place <= self.dims[-1] else math.nan


def logistic(log_d: Array, a: float, b: float, log_c: float, k: float) -> Array:
    """Return the authors' curve a + b / (1 + exp(-(ln d - ln c) / k)) at ``log_d``."""
    found: Array = a + b / (1 + np.exp(-np.clip((log_d - log_c) / k, -500, 500)))
    return found
