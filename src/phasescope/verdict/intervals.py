"""Confidence intervals that can be trusted at eight seeds.

Letters: n seeds, T independent samples of n seeds, R resamples; ``tail = (1 - level) / 2`` is the error of
each end.

- **proportion**: Clopper-Pearson. Each end errs at most ``tail``, always.
- **median**: order statistics, and their spacing beyond them. Each end errs at most ``tail`` for every
  distribution as long as ``tail >= 2**-n``; ``_median`` says what holds beyond.
- **mean**: the hull of Student's t and the bootstrap-t at half the tail. Each end errs near or below it,
  and at most about ``2 * tail`` for skewness 1 (gamma(4)) at n = 8. None is safe for all skewness.

The percentile bootstrap is not used. At n = 8 and ``tail = 0.025`` its ends err in 5.6 % of normal samples
instead of 2.5 %; expanded (Hesterberg 2015) in 2.9 %, but at ``tail = 0.05 / 24``, what twelve claims need,
in 0.74 % instead of 0.21 %, because it can not leave the range of the sample. The laws in ``tests/laws``
measure what is used instead.
"""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
from scipy import special

from phasescope.checks import number, numbers, shown, whole, word
from phasescope.vocabulary import Array, BadInput

from .claims import Statistic

Bounds = tuple[Array, Array]
ROWS = 100  # samples resampled at once: R x ROWS numbers of scratch


def estimate(samples: Array, statistic: Statistic) -> float:
    """Return the ``statistic`` of ``samples`` (n,): NaN if a sample is, or on inf - inf."""
    samples = numbers("samples", samples).astype(float, copy=False)
    if samples.ndim != 1 or len(samples) == 0:
        raise BadInput(f"samples of shape {samples.shape}: give one number per seed, at least one.")
    word(*get_args(Statistic))("statistic", statistic)
    if np.isnan(samples).any():
        return math.nan
    if statistic == "median":
        x = np.sort(samples)
        below, above = float(x[(len(x) - 1) // 2]), float(x[len(x) // 2])
        return below if below == above else 0.5 * below + 0.5 * above
    with np.errstate(invalid="ignore"):
        return float(np.mean(samples))


def interval(
    samples: Array,
    statistic: Statistic,
    level: float,
    generator: np.random.Generator,
    resamples: int = 10_000,
) -> tuple[float, float]:
    """Return the two-sided interval of ``statistic`` at ``level`` from ``samples`` (n,), in their unit.

    One sample of a median or mean says nothing: ``(-inf, inf)``. Two or more identical samples are taken as
    deterministic: both ends are that value. Infinite samples are legal; a mean with some has no bounds.

    Raises ``BadInput`` for no samples, NaN, a level outside (0, 1), a proportion of values other than 0 and
    1, and for fewer than ``4 / (1 - level)`` resamples of a mean.

    >>> interval(np.arange(1.0, 9.0), "median", 0.95, np.random.default_rng(0))
    (1.0, 8.0)
    """
    low, high = intervals(numbers("samples", samples)[None, ...], statistic, level, generator, resamples)
    return float(low[0]), float(high[0])


def intervals(
    samples: Array,
    statistic: Statistic,
    level: float,
    generator: np.random.Generator,
    resamples: int = 10_000,
) -> Bounds:
    """Return the ends (T,), (T,) of ``interval`` for each row of ``samples`` (T, n), resampled alike."""
    samples = numbers("samples", samples).astype(float, copy=False)
    if samples.ndim != 2 or samples.shape[1] == 0 or np.isnan(samples).any():
        raise BadInput(f"samples of shape {samples.shape[1:]}: give one number per seed, at least one, and no NaN.")
    level = number(0, 1, open_low=True, open_high=True)("level", level)
    word(*get_args(Statistic))("statistic", statistic)
    tail = (1 - level) / 2
    if statistic == "proportion":
        return _proportion(samples, tail)
    if samples.shape[1] == 1:
        return np.full(len(samples), -math.inf), np.full(len(samples), math.inf)
    if statistic == "median":
        return _median(np.sort(samples, axis=1), tail)
    if not isinstance(generator, np.random.Generator):
        raise BadInput(f"generator is {shown(generator)}: give a numpy generator, such as np.random.default_rng(0).")
    return _mean(samples, tail, generator, whole(1, 10**8)("resamples", resamples))


def _proportion(samples: Array, tail: float) -> Bounds:
    """Clopper & Pearson 1934, Biometrika 26:404: proportions that a binomial test of error ``tail`` keeps."""
    if not np.isin(samples, (0.0, 1.0)).all():
        raise BadInput("a proportion counts seeds: its effect must be 0 or 1 for each seed.")
    n, hits = samples.shape[1], samples.sum(axis=1)
    low = special.betaincinv(np.maximum(hits, 1), n - hits + 1, tail)
    high = special.betaincinv(hits + 1, np.maximum(n - hits, 1), 1 - tail)
    return np.where(hits == 0, 0.0, low), np.where(hits == n, 1.0, high)


def _median(x: Array, tail: float) -> Bounds:
    """Order statistics of sorted ``x`` (T, n), n >= 2; beyond the extremes where n is too small for ``tail``.

    The k-th smallest of n lies above the median with probability P(Bin(n, 1/2) < k) at most (David & Nagaraja
    2003, Order Statistics, sec. 7.1); the largest k with at most ``tail`` is taken. If even the smallest errs
    too often, 2**-n > tail, then the bound moves out by ``reach`` times the distance from the smallest to the
    (n//2 + 1)-th. Where the density is flat on that side, spacings are exchangeable and the move errs in a
    share ``(1 + reach) ** -(n//2)`` of the cases where all n lie above the median; setting the product to
    ``tail`` gives ``reach``. By simulation the error is below ``tail`` for normal, Laplace and t(3) samples,
    at most 1.6 times it for exponential ones, and at most 2.1 times it in a U-shape or Pareto(1), at n from 4
    to 8 and tails down to 0.002.
    """
    n = x.shape[1]
    errors = special.bdtr(np.arange((n + 1) // 2), n, 0.5)
    k = int((errors <= tail).sum())
    if k > 0:
        return x[:, k - 1], x[:, n - k]
    reach = max(math.expm1(math.log(errors[0] / tail) / (n // 2)), 1e-300)
    return -_beyond(-x[:, ::-1], reach), _beyond(x, reach)


def _beyond(x: Array, reach: float) -> Array:
    """Move the largest of sorted ``x`` (T, n) out by ``reach`` times its distance to the middle.

    Where that distance is 0 (ties) the distance to the least counts, so that only identical samples stay.
    """
    n, top = x.shape[1], x[:, -1]
    middle = np.where(x[:, (n - 1) // 2] < top, x[:, (n - 1) // 2], x[:, 0])
    steps = np.subtract(top, middle, out=np.zeros_like(top), where=middle < top)
    moved: Array = top + reach * steps
    return moved


def _mean(samples: Array, tail: float, generator: np.random.Generator, resamples: int) -> Bounds:
    """Hull of Student's t interval at ``tail`` and the bootstrap-t interval at ``tail / 2`` of each row (T,
    n), n >= 2.

    Student's t is exact for normal samples and errs on the far side of skewed ones; the bootstrap-t (Efron &
    Tibshirani 1993, An Introduction to the Bootstrap, ch. 12.5; second-order accurate, Hall 1988) follows the
    skewness. Half the tail makes up for what eight samples do not show of theirs.
    """
    if resamples * tail < 2:
        raise BadInput(f"{resamples=} can not resolve a tail of {tail:.2g}: give at least {math.ceil(2 / tail)}.")
    n = samples.shape[1]
    counts = generator.multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
    low, high = np.full(len(samples), -math.inf), np.full(len(samples), math.inf)
    still = samples.min(axis=1) == samples.max(axis=1)
    low[still] = high[still] = samples[still, 0]
    moving = np.flatnonzero(np.isfinite(samples).all(axis=1) & ~still)
    for start in range(0, len(moving), ROWS):
        rows = moving[start : start + ROWS]
        low[rows], high[rows] = _student_hull(samples[rows], counts, tail)
    return low, high


def _student_hull(x: Array, counts: Array, tail: float) -> Bounds:
    n, center = x.shape[1], x.mean(axis=1)
    scale = np.abs(x - center[:, None]).max(axis=1)
    units = (x - center[:, None]) / scale[:, None]
    last = int(len(counts) * tail / 2)
    pivots = np.partition(_pivots(units, counts), (last, len(counts) - 1 - last), axis=1)
    error = scale * units.std(axis=1, ddof=1) / math.sqrt(n)
    student = -special.stdtrit(n - 1, tail)
    below, above = np.maximum(student, pivots[:, -1 - last]), np.maximum(student, -pivots[:, last])
    return center - below * error, center + above * error


def _pivots(units: Array, counts: Array) -> Array:
    """Student's t of each resampling: ``units`` (T, n) of mean 0, ``counts`` (R, n) -> (T, R), 0 if equal."""
    n = units.shape[1]
    means = np.einsum("rn,tn->tr", counts, units) / n
    variances = np.einsum("rn,tn->tr", counts, units**2) / n - means**2
    spread = variances > 1e-12
    return np.where(spread, means / np.sqrt(np.where(spread, variances, 1.0) / (n - 1)), 0.0)
