"""What so many seeds can decide: told before they are spent."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from phasescope.vocabulary import Array

from .claims import Expectation
from .intervals import order

MOST_SEEDS = 10_000
LIKELY = 0.8


def seeds_needed(claims: int, alpha: float = 0.05, looks: int = 1) -> int:
    """Return how many seeds it takes to bound a median, where ``claims`` are judged together, at each of ``looks``.

    All n samples lie on one side of the median with probability 2^-n, which must be ``alpha`` / (2 claims looks) or
    less.

    >>> [seeds_needed(claims) for claims in (9, 22, 43, 318)]
    [9, 10, 11, 14]
    """
    return max(math.ceil(math.log2(2 * claims * looks / alpha)), 1)


def power(n: int, tail: float, depth: float) -> float:
    """Return how likely ``n`` seeds are to put a median ``depth`` standard deviations inside an end within it.

    For a normal effect: fewer than k of n samples may lie beyond the end, where the k-th is the order statistic whose
    error is ``tail``.

    >>> round(power(12, 0.05 / 24, 1.5), 2)  # twelve claims
    0.44
    """
    k = order(n, tail)
    return float(special.bdtr(k - 1, n, special.ndtr(-depth))) if k else 0.0


def seeds_likely(samples: Array, expected: Expectation, tail: float) -> float:
    """Return how many seeds would likely (0.8) put the median of an effect like ``samples`` (n,) inside ``expected``.

    As for a normal effect of the samples' median and of their spread, a quarter of which is taken to lie beyond each
    quartile: an estimate, not a promise. ``inf`` where the median is not inside, or where it would take more than
    10,000.
    """
    low, middle, high = np.quantile(samples, [0.25, 0.5, 0.75]) if np.isfinite(samples).all() else [math.nan] * 3
    depths = middle - expected.low, expected.high - middle
    if not min(depths) > 0:
        return math.inf
    spread = (high - low) / (2 * special.ndtri(0.75))
    if spread <= 0:
        return next((float(n) for n in range(1, 64) if order(n, tail)), math.inf)

    def decides(n: int) -> bool:
        return 1 - sum(1 - power(n, tail, depth / spread) for depth in depths) >= LIKELY

    n, most = 1, MOST_SEEDS
    if not decides(most):
        return math.inf
    while n < most:  # the power rises with n, but for steps of one order statistic
        half = (n + most) // 2
        n, most = (n, half) if decides(half) else (half + 1, most)
    return float(n)
