"""The nearest earlier row of each sparse row, exactly: products are summed along columns, as an inverted index does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit

from phasescope.ensemble.plan import cores
from phasescope.vocabulary import Array

PARTS = 8  # per core


@njit(nogil=True, error_model="numpy")
def _nearest(ends, columns, values, heads, rows, weights, start, end, most, best):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill ``most`` and ``best`` for the rows from ``start`` to ``end``; the rows of each column rise."""
    sums = np.zeros(end, np.float32)
    for j in range(start, end):
        for a in range(ends[j], ends[j + 1]):
            value = values[a]
            for b in range(heads[columns[a]], heads[columns[a] + 1]):
                i = rows[b]
                if i >= j:
                    break
                sums[i] += value * weights[b]
        high, place = np.float32(-2), -1
        for i in range(j):
            if sums[i] > high:
                high, place = sums[i], i
            sums[i] = 0
        most[j - start], best[j - start] = high, place


def by_columns(rows: Any, start: int, end: int) -> tuple[Array, Array]:
    """Return for rows ``start`` to ``end`` of a CSR matrix (n, V) the largest product with an earlier row, and which.

    Float32, at most 1, NaN for row 0; int64, there -1. On all cores; each holds n float32 numbers.
    """
    rows = rows[:end]
    turned = rows.tocsc()
    most, best = np.empty(end - start, np.float32), np.empty(end - start, np.int64)
    given = (rows.indptr, rows.indices, rows.data, turned.indptr, turned.indices, turned.data)
    area = np.linspace(start**2, end**2, PARTS * cores() + 1)
    ends = np.unique(np.round(np.sqrt(area)).astype(int)).tolist()

    def part(low: int, high: int) -> None:
        _nearest(*given, low, high, most[low - start : high - start], best[low - start : high - start])

    with ThreadPoolExecutor(cores()) as threads:
        list(threads.map(part, ends[:-1], ends[1:]))
    np.minimum(most, 1, out=most)
    if start == 0:
        most[0], best[0] = np.nan, -1
    return most, best
