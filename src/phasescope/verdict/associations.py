"""Rank correlations beyond what is given, which is taken out where it was not fitted; and the strongest of many.

Letters: n rows (networks), m readings, one outcome for each row, g numbers that are given (size, training loss), and
the group of each row. As in ``forecasts`` a score is one number for all rows; an interval needs replicates that share
nothing.
"""

from __future__ import annotations

import copy

import numpy as np
from scipy import stats

from phasescope.checks import numbers, shown, whole
from phasescope.verdict.forecasts import Ridge, held_out
from phasescope.vocabulary import Array, BadInput

FEWEST = 8  # rows


def residuals(
    values: Array, given: Array, groups: Array, *, count: int = 0, generator: np.random.Generator | None = None
) -> Array:
    """Return what is left (n, m) of the ranks of ``values`` (n, m) by a forecast from the ranks of ``given`` (n, g).

    Ranks are average ones, scaled to (0, 1). Each column is forecast by ridge regression whose weights and penalty were
    fitted to other groups (``forecasts.held_out`` with ``count`` and ``generator``). A column of ``values`` that is
    constant has nothing left: NaN. Raises ``BadInput`` for fewer than eight rows and for values that are not finite.
    """
    x, z = (_table(name, v) for name, v in (("values", values), ("given", given)))
    if len(x) != len(z) or len(x) != len(np.asarray(groups)):
        raise BadInput(f"values, given and groups have {len(x)}, {len(z)} and {len(np.asarray(groups))} rows: as many.")
    ranks, known = (stats.rankdata(v, axis=0) / (len(v) + 1) for v in (x, z))
    folds_of = copy.deepcopy(generator)
    left = np.full(x.shape, np.nan)
    for j in np.flatnonzero(np.ptp(x, axis=0) > 0):
        generator = copy.deepcopy(folds_of)  # the same folds for each column
        left[:, j] = ranks[:, j] - held_out(Ridge(), known, ranks[:, j], groups, count=count, generator=generator)
    return left


def partial_correlations(readings: Array, outcome: Array) -> Array:
    """Return Spearman's correlation (m,) of residuals of readings (n, m) with an outcome's (n,); NaN of constants.

    Zero, the null value, in the mean where an outcome is independent of a reading given what was taken out.
    """
    x, y = np.asarray(readings, dtype=float), np.asarray(outcome, dtype=float)
    if x.ndim != 2 or y.ndim != 1 or len(x) != len(y) or len(y) < 3:
        raise BadInput(f"readings {x.shape} and outcome {y.shape}: give (n, m) and (n,), three rows or more.")
    if np.isnan(y).any() or np.ptp(y) == 0:
        return np.full(x.shape[1], np.nan)
    b = _scaled(stats.rankdata(y)[:, None])
    known = ~np.isnan(x).any(0) & (np.nan_to_num(x).max(0) > np.nan_to_num(x).min(0))
    found = np.full(x.shape[1], np.nan)
    found[known] = (_scaled(stats.rankdata(x[:, known], axis=0)) * b).sum(0)
    return found


def strongest(readings: Array, outcome: Array, generator: np.random.Generator, times: int = 200) -> tuple[float, float]:
    """Return the largest |correlation| of residuals of readings (n, m) with an outcome's (n,), and its chance.

    The chance is that of one as large or larger where the outcome is permuted over rows, the largest over all readings
    each time: all m are counted (Westfall and Young's max statistic). (1 + hits) / (1 + ``times``), never 0.
    """
    times = whole(1, 10**6)("times", times)
    largest = _largest(partial_correlations(readings, outcome))
    hits = sum(
        _largest(partial_correlations(readings, generator.permutation(outcome))) >= largest for _ in range(times)
    )
    return largest, (1 + hits) / (1 + times)


def _largest(found: Array) -> float:
    return float(np.nanmax(np.abs(found))) if np.isfinite(found).any() else float("nan")


def _scaled(ranks: Array) -> Array:
    centred = ranks - ranks.mean(0)
    found: Array = centred / np.sqrt(np.sum(centred**2, axis=0))
    return found


def _table(name: str, values: Array) -> Array:
    found = np.asarray(numbers(name, values), dtype=float)
    if found.ndim != 2 or len(found) < FEWEST or not np.isfinite(found).all():
        raise BadInput(f"{name} is {shown(values)}: give finite numbers (rows, columns), {FEWEST} rows or more.")
    return found
