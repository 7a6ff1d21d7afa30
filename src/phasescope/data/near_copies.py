"""Which rows of one cluster are near copies: by the rule of SemDeDup, and by one that no chain can mislead."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy import sparse

from phasescope.data.columns import by_columns
from phasescope.data.vectors import BLOCK, Vectors
from phasescope.vocabulary import Array

MOST = 1024  # rows that are told apart one by one at a time
PART = 1e11  # multiplications after which finished rows are kept
COMPILED = 5000  # rows from which sparse ones are compared by compiled code, which takes some seconds to make


def spans(vectors: Vectors, n: int) -> list[tuple[int, int]]:
    """Return from where to where the n rows of a cluster are compared with those before, in parts of equal work."""
    parts = min(n, math.ceil(vectors.work * (n / len(vectors)) ** 2 / PART))
    ends = np.unique(np.round(n * np.sqrt(np.arange(parts + 1) / parts)).astype(int)).tolist()
    return list(pairwise(ends))


def nearest_earlier(vectors: Vectors, order: Array, start: int = 0, end: int | None = None) -> tuple[Array, Array]:
    """Return for rows ``start`` to ``end`` of ``order`` the largest cosine with an earlier one, and which that is.

    Float32, NaN for the first, which has none before it, and int64, there -1. A row with the same bits as an earlier
    one has exactly 1. At most a block of the cosines is held. Many sparse rows are compared by compiled code.
    """
    end = len(order) if end is None else end
    if sparse.issparse(vectors.rows) and len(order) > COMPILED:
        most, best = by_columns(vectors.rows[order], start, end)
    else:
        most, best = _by_products(vectors, order, start, end)
    which = np.where(best >= 0, order[best], -1)
    copies = vectors.first_copy[order]
    _, first, back = np.unique(copies, return_index=True, return_inverse=True)
    again = (first[back] < np.arange(len(order)))[start:end]
    most[again], which[again] = 1, order[first[back]][start:end][again]
    return most, which


def _by_products(vectors: Vectors, order: Array, start: int, end: int) -> tuple[Array, Array]:
    most, best = np.full(end - start, np.nan, np.float32), np.full(end - start, -1, np.int64)
    step = max(1, BLOCK // end)
    for low in range(start, end, step):
        high = min(low + step, end)
        found = vectors.products(order[low:high], order[:high])
        found[np.arange(low, high)[:, None] <= np.arange(high)[None]] = -np.inf  # itself, and what comes later
        here = slice(low - start, high - start)
        best[here] = found.argmax(1)
        most[here] = found[np.arange(high - low), best[here]]
    if start == 0:
        most[0], best[0] = np.nan, -1
    return most, best


def leaders(vectors: Vectors, order: Array, most: Array, which: Array, limit: float) -> Array:
    """Return for rows in ``order`` (n,) whose near copy each is, int64 (n,); a row that is kept is its own.

    A row goes only if one that is *kept* stands before it with a cosine above ``limit``; it belongs to the nearest of
    these. ``most`` and ``which`` (n,) are what ``nearest_earlier`` found: rows that it lets stay are kept here as well,
    and a row whose nearest earlier one stays belongs to that. Only the others can be ends of chains.
    """
    leader = order.copy()
    copies = vectors.first_copy
    out = most.astype(np.float64) > limit
    stay = np.flatnonzero(~out)
    known = out & np.isin(which, order[stay])
    leader[known] = which[known]
    gone = np.flatnonzero(out & ~known)
    saved: list[int] = []

    def near(rows: Array, others: Array) -> Array:
        found = vectors.products(order[rows], order[others])
        found[copies[order[rows]][:, None] == copies[order[others]][None]] = 1
        found[rows[:, None] <= others[None]] = -np.inf
        return found

    step = max(1, min(BLOCK // max(len(stay), 1), MOST))
    for start in range(0, len(gone), step):
        rows = gone[start : start + step]
        found = np.hstack([near(rows, stay), near(rows, np.array(saved, np.int64))])
        before = np.concatenate([stay, np.array(saved, np.int64)])
        best = found.argmax(1)
        above = found[np.arange(len(rows)), best].astype(np.float64) > limit
        leader[rows[above]] = order[before[best[above]]]
        _one_by_one(rows[~above], near, order, leader, saved, limit)
    return leader


def _one_by_one(
    rows: Array, near: Callable[[Array, Array], Array], order: Array, leader: Array, saved: list[int], limit: float
) -> None:  # fmt: skip
    """Keep of ``rows`` those that no kept one among themselves is near; ``saved`` and ``leader`` are changed."""
    if not len(rows):
        return
    found = near(rows, rows)
    alive = np.zeros(len(rows), bool)
    for i, row in enumerate(rows):
        values = np.where(alive, found[i], -np.inf)
        best = int(values.argmax())
        if float(values[best]) > limit:
            leader[row] = order[rows[best]]
        else:
            alive[i] = True
    saved += rows[alive].tolist()


def roots(nearest: Array, gone: Array) -> Array:
    """Return for each row (N,) the kept one at the end of the chain of nearest earlier ones, int64; itself if kept."""
    found = np.where(gone, nearest, np.arange(len(nearest)))
    while True:
        further = found[found]
        if np.array_equal(further, found):
            return found
        found = further
