"""Embeddings as rows of length one, dense or sparse, and the cosines between some of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from phasescope.checks import readable, shown
from phasescope.vocabulary import Array, BadInput

BLOCK = 1 << 24  # cosines held at once


@dataclass(frozen=True)
class Vectors:
    """Rows (N, D) of length one in float32: an array, or a sparse matrix in CSR form."""

    rows: Any

    @classmethod
    def of(cls, embeddings: Any) -> Vectors:
        """Read embeddings (N, D): an array, a tensor, lists, or a sparse matrix of scipy's. They are not changed.

        Raises ``BadInput`` for fewer than two rows, other shapes, and rows that are zero or not finite, with their
        numbers: a row without a direction is like no other.
        """
        if sparse.issparse(embeddings):
            rows = sparse.csr_matrix(embeddings, dtype=np.float64, copy=True)
            rows.sum_duplicates()
            rows.eliminate_zeros()
            values, owners = rows.data, np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        else:
            rows = values = _dense(embeddings)
            owners = None
        if rows.ndim != 2 or rows.shape[0] < 2 or rows.shape[1] < 1:
            raise BadInput(f"embeddings have the shape {tuple(rows.shape)}: give at least 2 rows, (N, D).")
        wrong = np.unique(owners[~np.isfinite(values)] if owners is not None else _not_finite(values))
        if len(wrong):
            value = rows[wrong[0]].data if owners is not None else rows[wrong[0]]
            bad = value[~np.isfinite(value)][0]
            raise BadInput(f"embeddings, {_named(wrong)} not finite ({bad}): leave out such rows, or mend them.")
        return cls(_unit(rows))

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def products(self, first: Array, second: Array) -> Array:
        """Return the cosines (len(first), len(second)) of rows by their numbers, float32, at most 1."""
        if sparse.issparse(self.rows):
            found: Array = np.asarray((self.rows[first] @ self.rows[second].T).todense())
        else:
            found = self.rows[first] @ self.rows[second].T
        np.minimum(found, np.float32(1), out=found)
        return found

    @cached_property
    def work(self) -> float:
        """Multiplications that all pairs cost: N^2 D / 2, or half the sum of squared column counts of sparse rows."""
        n, d = self.rows.shape
        if not sparse.issparse(self.rows):
            return float(n * n * d / 2)
        return float(np.square(np.bincount(self.rows.indices).astype(np.float64)).sum() / 2)

    @cached_property
    def first_copy(self) -> Array:
        """(N,) int64: for each row the first one with the same bits, which may be itself."""
        met: dict[bytes, int] = {}
        found = np.empty(len(self), np.int64)
        for i, key in enumerate(self._keys()):
            found[i] = met.setdefault(hashlib.blake2b(key, digest_size=16).digest(), i)
        return found

    def _keys(self) -> Any:
        if not sparse.issparse(self.rows):
            return (row.tobytes() for row in self.rows)
        data, columns, ends = self.rows.data, self.rows.indices, self.rows.indptr
        return (columns[a:b].tobytes() + b"|" + data[a:b].tobytes() for a, b in pairwise(ends))

    @cached_property
    def digest(self) -> str:
        """What stands for these rows in the identity of what is kept of them."""
        found = hashlib.sha256(str(self.rows.shape).encode())
        parts = (self.rows.data, self.rows.indices, self.rows.indptr) if sparse.issparse(self.rows) else (self.rows,)
        for part in parts:
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()


def _dense(embeddings: Any) -> Array:
    given = readable("embeddings", embeddings)
    try:
        rows = np.asarray(given)
        if rows.dtype.kind not in "fiub":
            raise ValueError
        rows = rows.astype(np.promote_types(rows.dtype, np.float32), copy=True)
    except (ValueError, TypeError):
        raise BadInput(f"embeddings are {shown(embeddings)}: give numbers (N, D), rows of one length.") from None
    return rows


def _not_finite(rows: Array) -> Array:
    return np.flatnonzero(~np.isfinite(rows).all(1)) if rows.ndim == 2 else np.array([], np.int64)


def _unit(rows: Any) -> Any:
    """Return rows at length one. The largest entry of each is taken out first, so that no square leaves float64."""
    held = sparse.issparse(rows)
    largest = np.asarray(abs(rows).max(axis=1).todense()).ravel() if held else np.abs(rows).max(1)
    zero = np.flatnonzero(largest == 0)
    if len(zero):
        raise BadInput(
            f"embeddings, {_named(zero)} all zero and has no direction: leave out such rows, or embed them otherwise."
        )
    if held:
        counts = np.diff(rows.indptr)
        values = rows.data / np.repeat(largest, counts)
        lengths = np.sqrt(np.add.reduceat(values**2, rows.indptr[:-1]))
        return sparse.csr_matrix(
            ((values / np.repeat(lengths, counts)).astype(np.float32), rows.indices, rows.indptr), shape=rows.shape
        )
    unit = np.empty(rows.shape, np.float32)
    step = max(1, BLOCK // rows.shape[1])
    for start in range(0, len(rows), step):  # in float64, some rows at a time
        part = rows[start : start + step].astype(np.float64) / largest[start : start + step, None]
        unit[start : start + step] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return unit


def _named(rows: Array) -> str:
    some = ", ".join(map(str, rows[:3]))
    return f"row {some} is" if len(rows) == 1 else f"row {some} and {len(rows) - min(3, len(rows))} more: each is"
