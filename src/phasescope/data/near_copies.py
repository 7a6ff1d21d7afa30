"""Which rows of one cluster are near copies: by the rule of SemDeDup, and by one that no chain can mislead."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from phasescope.data.vectors import BLOCK, Vectors
from phasescope.vocabulary import Array

MOST = 1024  # rows that are told apart one by one at a time


def nearest_earlier(vectors: Vectors, order: Array) -> tuple[Array, Array]:
    """Return for rows in ``order`` (n,) the largest cosine with an earlier one, and which one that is.

    Float32 (n,), NaN for the first, which has none before it, and int64 (n,), there -1. A row with the same bits as an
    earlier one has exactly 1. At most a block of the n x n cosines is held.
    """
    n = len(order)
    most, which = np.full(n, np.nan, np.float32), np.full(n, -1, np.int64)
    step = max(1, BLOCK // n)
    for start in range(0, n, step):
        end = min(start + step, n)
        found = vectors.products(order[start:end], order[:end])
        found[np.arange(start, end)[:, None] <= np.arange(end)[None]] = -np.inf  # itself, and what comes later
        best = found.argmax(1)
        most[start:end], which[start:end] = found[np.arange(end - start), best], order[best]
    most[0], which[0] = np.nan, -1
    copies = vectors.first_copy[order]
    _, first, back = np.unique(copies, return_index=True, return_inverse=True)
    again = first[back] < np.arange(n)
    most[again], which[again] = 1, order[first[back]][again]
    return most, which


def leaders(vectors: Vectors, order: Array, most: Array, limit: float) -> Array:
    """Return for rows in ``order`` (n,) whose near copy each is, int64 (n,); a row that is kept is its own.

    A row goes only if one that is *kept* stands before it with a cosine above ``limit``; it belongs to the nearest of
    these. ``most`` (n,) is what ``nearest_earlier`` found: rows that it lets stay are kept here as well.
    """
    leader = order.copy()
    copies = vectors.first_copy
    gone = np.flatnonzero(most.astype(np.float64) > limit)
    stay = np.setdiff1d(np.arange(len(order)), gone)
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
        known = np.concatenate([stay, np.array(saved, np.int64)])
        best = found.argmax(1)
        above = found[np.arange(len(rows)), best].astype(np.float64) > limit
        leader[rows[above]] = order[known[best[above]]]
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
