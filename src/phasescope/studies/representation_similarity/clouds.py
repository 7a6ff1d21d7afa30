"""Clouds of points that share a planted part of known size, and what nine measures read of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phasescope.representation.compare import compare
from phasescope.representation.compare_result import Comparison
from phasescope.vocabulary import Array, Generators, Member

MEASURES = ("cka", "cka_biased", "cca", "svcca", "procrustes", "rsa", "neighbours", "relative", "retrieval")
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Parts of the dimensions that two clouds share."""
DRAWS = 20
Found = Mapping[str, Any]


def known(share: float, minor: float = 1.0) -> dict[str, float]:
    """Return what many stimuli read of two Gaussian clouds that have a part ``share`` of their dimensions in common.

    The shared dimensions have variance 1, the others, private to each, ``minor`` squared. With k = share D, the
    squared canonical correlations are 1 for k dimensions and 0 for the rest; the linear CKA is |S_xy|^2 / (|S_x| |S_y|)
    of the covariances, k / (k + (D - k) minor^4); the Procrustes cosine |S_xy|_* / sqrt(tr S_x tr S_y),
    k / (k + (D - k) minor^2).

    >>> known(0.25), known(0.25, 0.1)["cca"]
    ({'cka': 0.25, 'cca': 0.25, 'procrustes': 0.25}, 0.25)
    """
    rest = 1 - share
    return {
        "cka": share / (share + rest * minor**4),
        "cca": share,
        "procrustes": share / (share + rest * minor**2),
    }


def planted(share: float, minor: float, dimensions: int, count: int, generator: np.random.Generator) -> list[Array]:
    """Return two clouds (count, dimensions), each rotated by itself, that share a part of their dimensions."""
    shared = round(share * dimensions)
    common = generator.standard_normal((count, shared))
    found = []
    for _ in range(2):
        private = minor * generator.standard_normal((count, dimensions - shared))
        turn = np.linalg.qr(generator.standard_normal((dimensions, dimensions)))[0]
        found.append(np.concatenate([common, private], 1) @ turn)
    return found


def of_pair(found: Comparison, name: str) -> Array:
    """Return a number of every measure of a comparison of one layer with one."""
    return np.asarray(found.data[name].values[0])


def measure_planted(member: Member, generators: Generators) -> Found:
    """Compare ``pairs`` pairs of clouds: means over pairs of every measure, its null and its corrected value.

    ``false`` is the fraction of pairs that a reader of z > 3 would call similar.
    """
    g, minor = generators("clouds"), float(member["minor"])
    size, count = int(member["dimensions"]), int(member["count"])
    read: list[list[Array]] = []
    for number in range(int(member["pairs"])):
        first, second = planted(float(member["share"]), minor, size, count, g)
        found = compare(first, second, measures=MEASURES, draws=DRAWS, seed=number)
        read.append([of_pair(found, name) for name in ("value", "null_mean", "corrected", "z")])
    table: Array = np.array(read)
    value, null, corrected = table.mean(0)[:3]
    return {"value": value, "null": null, "corrected": corrected, "false": (table[:, 3] > 3).mean(0)}
