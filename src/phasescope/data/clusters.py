"""Spherical k-means: which rows are near each other, roughly, so that not all pairs have to be compared."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import sparse

from phasescope.data.vectors import Vectors
from phasescope.ensemble import streams
from phasescope.vocabulary import Array

DENSE, SPARSE = 2e12, 5e10
"""Multiplications up to which all pairs are compared, in one cluster: some minutes."""
SKETCH = 256
ROUNDS, SAMPLE, STILL = 25, 20_000, 1e-3
BLOCK = 1 << 22


def how_many(vectors: Vectors) -> int:
    """Return how many clusters are made: one, in which all pairs are compared, unless that takes minutes."""
    return min(len(vectors), math.ceil(vectors.work / (SPARSE if sparse.issparse(vectors.rows) else DENSE)))


def spherical(
    vectors: Vectors, k: int, seed: int, tell: Callable[[int, int], object] = lambda done, total: None
) -> tuple[Array, Array]:
    """Return the cluster (N,) int32 of each row, and its cosine with the cluster's centroid (N,), float32.

    Lloyd's rounds on unit rows with centroids of length one (Dhillon and Modha 2001), from k rows drawn as k-means++
    draws them, on a sample of 20,000 rows or 256 a cluster, if that is more; until fewer than 0.1 % of rows change,
    or 25 times. Sparse rows are clustered by a count sketch of 256 numbers (Charikar et al. 2002); the cosine with the
    centroid is then that of the sketch. Rows with the same bits are in one cluster.
    """
    points = _sketch(vectors, seed) if sparse.issparse(vectors.rows) else vectors.rows
    chance = streams(seed)("clusters")
    count = min(len(points), max(SAMPLE, 256 * k))
    sample = points[np.sort(chance.choice(len(points), count, replace=False))] if count < len(points) else points
    centroids = _first(sample, k, chance)
    before = np.full(len(sample), -1)
    for done in range(ROUNDS if k > 1 else 1):
        tell(done, ROUNDS)
        labels, near = _assigned(sample, centroids)
        if np.mean(labels != before) < STILL:
            break
        before = labels
        centroids = _centroids(sample, labels, near, k)
    labels, near = _assigned(points, centroids)
    first = vectors.first_copy
    return labels[first].astype(np.int32), near[first]


def _sketch(vectors: Vectors, seed: int) -> Array:
    columns = vectors.rows.shape[1]
    chance = streams(seed)("sketch")
    places, signs = chance.integers(0, SKETCH, columns), 2 * chance.integers(0, 2, columns) - 1
    turn = sparse.csr_matrix((signs.astype(np.float32), (np.arange(columns), places)), shape=(columns, SKETCH))
    found = np.asarray((vectors.rows @ turn).todense(), np.float32)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    unit: Array = np.divide(found, lengths, out=np.full_like(found, SKETCH**-0.5), where=lengths > 0)
    return unit


def _first(sample: Array, k: int, chance: np.random.Generator) -> Array:
    """Draw k rows, each with a probability that grows with its squared distance from those before it."""
    chosen = [int(chance.integers(len(sample)))]
    far = np.full(len(sample), np.inf)
    while len(chosen) < k:
        far = np.minimum(far, np.maximum(1 - sample @ sample[chosen[-1]], 0).astype(np.float64))
        total = far.sum()
        chosen.append(int(chance.choice(len(sample), p=far / total if total > 0 else None)))
    return sample[chosen].copy()


def _assigned(points: Array, centroids: Array) -> tuple[Array, Array]:
    labels, near = np.empty(len(points), np.int64), np.empty(len(points), np.float32)
    step = max(1, BLOCK // len(centroids))
    for start in range(0, len(points), step):
        found = points[start : start + step] @ centroids.T
        best = found.argmax(1)
        labels[start : start + step], near[start : start + step] = best, found[np.arange(len(found)), best]
    return labels, near


def _centroids(sample: Array, labels: Array, near: Array, k: int) -> Array:
    """Return the mean directions; a cluster without a row begins anew at a row far from its own centroid."""
    owners = sparse.csr_matrix((np.ones(len(sample), np.float32), (labels, np.arange(len(sample)))), (k, len(sample)))
    sums = np.asarray(owners @ sample, np.float32)
    empty = np.flatnonzero((np.bincount(labels, minlength=k) == 0) | (np.linalg.norm(sums, axis=1) == 0))
    sums[empty] = sample[np.argsort(near, kind="stable")[: len(empty)]]
    found: Array = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return found
