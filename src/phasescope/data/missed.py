"""What clusters hide: near copies in different clusters, counted by exact search on a sample of rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from phasescope.data.vectors import BLOCK, Vectors
from phasescope.ensemble import streams
from phasescope.vocabulary import Array

ROWS = 100  # for the typical cosine alone


@dataclass(frozen=True)
class Missed:
    """Pairs above the threshold whose rows are in different clusters, so that nobody compared them.

    ``pairs`` is their number in all rows, between ``low`` and ``high`` (95 %); ``share`` of all pairs above the
    threshold (NaN where there is none), ``rows`` of the ``sample`` that have one. ``exact``: all rows were searched.
    ``typical`` is the median cosine between rows, the value of a pair that nothing joins.
    """

    sample: int
    rows: int
    pairs: float
    low: float
    high: float
    share: float
    typical: float
    exact: bool

    def __str__(self) -> str:
        if self.exact and not self.pairs:
            return "no pair above the threshold was missed: all pairs were compared"
        if self.exact:
            return f"{self.pairs:,.0f} pairs above the threshold were missed between clusters, counted exactly"
        return (
            f"pairs missed between clusters: {self.pairs:,.0f} [{self.low:,.0f}, {self.high:,.0f}], "
            f"by exact search of {self.sample:,} rows against all"
        )


def missed(
    vectors: Vectors, labels: Array, limit: float, sample: int, seed: int,
    tell: Callable[[int, int], object] = lambda done, total: None,
) -> Missed:  # fmt: skip
    """Compare ``sample`` random rows with all others, and count pairs above ``limit`` within and between clusters.

    The interval is the product of one for the share of rows that have a missed pair (Clopper and Pearson 1934) and one
    for how many such a row has (normal), at 97.5 % each, so that both hold in 95 % of samples.
    """
    n = len(vectors)
    whole = bool((labels == labels[0]).all())  # one cluster: all pairs were compared
    m = min(sample, n) if not whole else min(ROWS, n)
    chosen = np.sort(streams(seed)("missed").choice(n, m, replace=False)) if m < n else np.arange(n)
    between, within, seen = np.zeros(m), np.zeros(m), []
    step = max(1, BLOCK // n)
    for start in range(0, m, step):
        tell(start, m)
        rows = chosen[start : start + step]
        found = vectors.products(rows, np.arange(n))
        here = slice(start, start + step)
        above, same = found.astype(np.float64) > limit, labels[rows][:, None] == labels[None]
        above[np.arange(len(rows)), rows] = False
        between[here], within[here] = (above & ~same).sum(1), (above & same).sum(1)
        found[np.arange(len(rows)), rows] = np.nan  # itself
        seen.append(found.ravel()[:: max(1, found.size // 4096)])
    pairs = between.sum() / 2 * n / m
    low, high = (pairs, pairs) if m == n or whole else _interval(between, n)
    total = between.sum() + within.sum()
    share = float(between.sum() / total) if total else math.nan
    typical = float(np.nanmedian(np.concatenate(seen)))
    return Missed(m, int((between > 0).sum()), float(pairs), low, high, share, typical, m == n or whole)


def _interval(between: Array, n: int) -> tuple[float, float]:
    m, some = len(between), between[between > 0]
    hit = len(some)
    level = 0.0125
    least = float(stats.beta.ppf(level, hit, m - hit + 1)) if hit else 0.0
    most = float(stats.beta.ppf(1 - level, hit + 1, m - hit)) if hit < m else 1.0
    mean = float(some.mean()) if hit else 1.0
    # of few rows the spread is not known; then a count has at least that of Poisson's law
    spread = math.sqrt(max(float(some.var(ddof=1)) if hit > 1 else 0.0, mean) / hit) if hit else 0.0
    width = float(stats.norm.ppf(1 - level)) * spread
    return n / 2 * least * max(mean - width, 1.0), n / 2 * most * (mean + width)
