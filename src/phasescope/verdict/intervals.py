"""Confidence intervals that keep their promise for every distribution, at any number of seeds.

Letters: n seeds, T independent samples of n seeds; ``tail = (1 - level) / 2`` is the error of each end.

- **median**: order statistics. The k-th smallest of n lies above the median with probability P(Bin(n, 1/2) < k) at
  most (David & Nagaraja 2003, Order Statistics, sec. 7.1); the largest k with at most ``tail`` is taken. Where even the
  smallest errs too often, 2**-n > ``tail``, nothing bounds the median but the range of what is measured: what lies
  beyond a sample can not be read off its spread, for at a phase boundary the other cluster may not have been drawn.
- **proportion**: Clopper-Pearson.
- **mean**: only of what has a stated range, for a mean without one can not be bounded from any number of samples
  (Bahadur & Savage 1956, Annals of Mathematical Statistics 27:1115). ``_mean_above`` says how.
- **deterministic**: what does not depend on the seed is itself known. That it does not is what the claim says, and two
  seeds or more must agree; what they can not show is that no further one would differ.

Each end errs with probability ``tail`` at most: always, not nearly. The laws in ``tests/laws`` measure it.
"""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
from scipy import special

from phasescope.checks import number, numbers, shown, word
from phasescope.vocabulary import Array, BadInput

from .claims import REALS, Range, Statistic, range_of

Bounds = tuple[Array, Array]
TINY = 1e-12  # what rounding leaves of 0
ROUNDING = 1e-6  # relative: what float32 leaves of an effect that does not depend on the seed
STAKES = (np.arange(50) + 0.5) / 50  # of a bet, see _mean_above
HALVINGS = 40  # of the interval in which an end of the mean is sought


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
    samples: Array, statistic: Statistic, level: float, range: Range = REALS, *, deterministic: bool = False
) -> tuple[float, float]:
    """Return the two-sided interval of ``statistic`` at ``level`` from ``samples`` (n,), in their unit.

    ``range`` is what the effect can be, such as (0, 1) for an accuracy: no end leaves it, and an end that the samples
    do not bound is its end. ``deterministic``: the effect is said not to depend on the seed; the interval is then that
    of its values if there are two or more and they are equal to rounding (1e-6), and the whole range otherwise.
    Infinite samples are legal.

    Raises ``BadInput`` for no samples, NaN, samples outside the range, a level outside (0, 1), a proportion of values
    other than 0 and 1, and for a mean whose range has no end.

    >>> interval(np.arange(1.0, 9.0), "median", 0.95), interval(np.arange(1.0, 9.0), "median", 0.999)
    ((1.0, 8.0), (-inf, inf))
    """
    low, high = intervals(numbers("samples", samples)[None, ...], statistic, level, range, deterministic=deterministic)
    return float(low[0]), float(high[0])


def intervals(
    samples: Array, statistic: Statistic, level: float, range: Range = REALS, *, deterministic: bool = False
) -> Bounds:
    """Return the ends (T,), (T,) of ``interval`` for each row of ``samples`` (T, n)."""
    samples = numbers("samples", samples).astype(float, copy=False)
    if samples.ndim != 2 or samples.shape[1] == 0 or np.isnan(samples).any():
        raise BadInput(f"samples of shape {samples.shape[1:]}: give one number per seed, at least one, and no NaN.")
    level = number(0, 1, open_low=True, open_high=True)("level", level)
    word(*get_args(Statistic))("statistic", statistic)
    tail, (least, most) = (1 - level) / 2, range_of(range)
    if statistic == "proportion" and not deterministic:
        return _proportion(samples, tail)
    if outside(samples, (least, most)).any():
        raise BadInput(f"samples from {samples.min():g} to {samples.max():g} leave the stated range {shown(range)}.")
    if deterministic:
        low, high = _same(samples)
    elif statistic == "median":
        low, high = _median(np.sort(samples, axis=1), tail)
    else:
        low, high = _mean(samples, tail, (least, most))
    return np.clip(low, least, most), np.clip(high, least, most)


def outside(samples: Array, range: Range) -> Array:
    """Return which samples lie outside the range, by more than rounding."""
    low, high = (TINY + ROUNDING * abs(end) if math.isfinite(end) else 0.0 for end in range)
    found: Array = (samples < range[0] - low) | (samples > range[1] + high)
    return found


def order(n: int, tail: float) -> int:
    """Return which order statistic of ``n`` samples bounds their median with an error of ``tail``; 0 if none does.

    >>> order(8, 0.025), order(16, 0.05 / 344)
    (1, 1)
    """
    guess = special.bdtrik(tail, n, 0.5)
    k = min(int(guess), n // 2) if guess > 0 else 0
    while k < (n + 1) // 2 and special.bdtr(k, n, 0.5) <= tail:
        k += 1
    while k > 0 and special.bdtr(k - 1, n, 0.5) > tail:
        k -= 1
    return k


def _median(x: Array, tail: float) -> Bounds:
    """Order statistics of sorted ``x`` (T, n)."""
    n = x.shape[1]
    k = order(n, tail)
    if k == 0:
        return np.full(len(x), -math.inf), np.full(len(x), math.inf)
    return x[:, k - 1], x[:, n - k]


def _proportion(samples: Array, tail: float) -> Bounds:
    """Clopper & Pearson 1934, Biometrika 26:404: proportions that a binomial test of error ``tail`` keeps."""
    if not np.isin(samples, (0.0, 1.0)).all():
        raise BadInput("a proportion counts seeds: its effect must be 0 or 1 for each seed.")
    n, hits = samples.shape[1], samples.sum(axis=1)
    low = special.betaincinv(np.maximum(hits, 1), n - hits + 1, tail)
    high = special.betaincinv(hits + 1, np.maximum(n - hits, 1), 1 - tail)
    return np.where(hits == 0, 0.0, low), np.where(hits == n, 1.0, high)


def _same(samples: Array) -> Bounds:
    """The least and the largest of samples (T, n), two or more, that are equal to rounding; else nothing is known."""
    low, high = samples.min(axis=1), samples.max(axis=1)
    size = np.maximum(np.abs(low), np.abs(high))
    with np.errstate(invalid="ignore"):
        same = (low == high) | (np.isfinite(size) & (high - low <= TINY + ROUNDING * size))
    known = same & (samples.shape[1] > 1)
    return np.where(known, low, -math.inf), np.where(known, high, math.inf)


def _mean(samples: Array, tail: float, range: Range) -> Bounds:
    """Bound the mean of samples (T, n) from each side on which what is measured has an end."""
    if not any(map(math.isfinite, range)):
        raise BadInput(
            "a mean without a range has no bounds, however many seeds: ask for the median, or say what the effect can "
            "be, such as range=(0, 1)."
        )
    nothing = np.full(len(samples), math.inf)
    low = range[0] + _mean_above(samples - range[0], tail) if math.isfinite(range[0]) else -nothing
    high = range[1] - _mean_above(range[1] - samples, tail) if math.isfinite(range[1]) else nothing
    return low, high


def _mean_above(x: Array, tail: float) -> Array:
    """Return what the mean of samples ``x`` (T, n) that are never negative exceeds, but for an error of ``tail``.

    Who bets the share s of a capital of 1 at each sample that the mean is above m has prod (1 + s (x_i / m - 1)) at
    the end. If the mean is m or less, its expectation is 1 at most, also on average over shares; so that by Markov's
    inequality it is 1 / ``tail`` or more with probability ``tail`` at most. Every m at which it is can be excluded
    (Waudby-Smith & Ramdas 2024, Journal of the Royal Statistical Society B 86:1, arXiv:2010.09686; shares are averaged
    over rather than chosen along the way, so that the order of the samples does not matter).
    """
    with np.errstate(over="ignore"):
        known = np.isfinite(x.sum(axis=1, keepdims=True))  # of what is not, nothing is excluded
    x = np.where(known, np.maximum(x, 0.0), 0.0)
    means = x.mean(axis=1)
    units = np.divide(x, means[:, None], out=np.zeros_like(x), where=means[:, None] > 0)
    low, high = np.zeros(len(x)), np.ones(len(x))  # in units of the sample's mean, above which nothing is excluded
    for _ in [None] * HALVINGS:
        middle = (low + high) / 2
        won = _capital(units / middle[:, None]) >= -math.log(tail)
        low, high = np.where(won, middle, low), np.where(won, high, middle)
    found: Array = low * means
    return found


def _capital(ratios: Array) -> Array:
    """The logarithm of the capital (T,) that bets on samples over the mean bet against, (T, n), leave on average."""
    logs = np.stack([np.log1p(stake * (ratios - 1)).sum(axis=1) for stake in STAKES])
    found: Array = special.logsumexp(logs, axis=0) - math.log(len(STAKES))
    return found
