"""Rows whose near copies are known, and what SemDeDup makes of them; none is learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from phasescope.data import dedup
from phasescope.data.clusters import spherical
from phasescope.data.missed import missed
from phasescope.data.vectors import Vectors
from phasescope.vocabulary import Array, Generators, Member

Found = Mapping[str, Any]
SPACE, NARROW = 64, 4  # dimensions of the groups, and of the crowd whose neighbours clusters part
NEAREST, FURTHEST = 1.5, 4.0  # degrees between a row and the middle of its group
NORMAL = 1.96


def groups(rows: int, count: int, chance: np.random.Generator) -> tuple[Array, Array]:
    """Return unit rows (N, 64) and the group of each (N,): within a group the cosine is 0.99 or more.

    Each row is 1.5 to 4 degrees from the middle of its group; middles have random directions.
    """
    owner = np.concatenate([np.arange(count), chance.integers(0, count, rows - count)])
    middle = unit(chance.standard_normal((count, SPACE)))[owner]
    away = chance.standard_normal((rows, SPACE))
    away = unit(away - (away * middle).sum(1, keepdims=True) * middle)
    angle = np.radians(chance.uniform(NEAREST, FURTHEST, (rows, 1)))
    return np.cos(angle) * middle + np.sin(angle) * away, owner


def several(member: Member, name: str) -> list[Any]:
    """Return what a member has under one name, several of a kind."""
    found: Any = member[name]
    return list(found)


def unit(rows: Array) -> Array:
    """Return rows (N, D) of length one."""
    found: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def measure_groups(member: Member, generators: Generators) -> Found:
    """Measure how many rows stay of known groups, ``kept`` (epsilon), over their number; ``lost`` groups,
    and ``lost_random``, where as many random rows stay.

    ``exact``: the same where exact copies alone go. ``unnested``: rows that stay at a larger epsilon and went at a
    smaller, over the groups; ``unnested_anew``: where each epsilon takes rows in an order of its own.
    """
    count, clusters = int(member["groups"]), int(member["clusters"])
    x, owner = groups(int(member["rows"]), count, generators("groups"))
    seed = int(generators("clusters").integers(2**31))
    kept, anew = [], []
    for i, epsilon in enumerate(several(member, "epsilons")):
        kept.append(dedup(x, epsilon=epsilon, clusters=clusters, sample=2, seed=seed).kept)
        anew.append(dedup(x, epsilon=epsilon, clusters=clusters, order="random", sample=2, seed=seed + i).kept)
    exact = dedup(x, epsilon=1e-6, clusters=clusters, sample=2, seed=seed).kept
    unnested, again = (sum(len(np.setdiff1d(more, less)) for less, more in pairwise(each)) for each in (kept, anew))
    random = generators("random")
    some = [random.permutation(len(x))[: len(rows)] for rows in kept]
    return {
        "kept": np.array([len(rows) / count for rows in kept]),
        "lost_random": np.array([1 - len(np.unique(owner[rows])) / count for rows in some]),
        "lost": np.array([1 - len(np.unique(owner[rows])) / count for rows in kept]),
        "exact": len(exact) / count,
        "unnested": unnested / count,
        "unnested_anew": again / count,
    }


def measure_orders(member: Member, generators: Generators) -> Found:
    """Measure the mean cosine with the centroid of what stays, ``similarity`` (order)."""
    x, _ = groups(int(member["rows"]), int(member["groups"]), generators("groups"))
    seed = int(generators("clusters").integers(2**31))
    found = []
    for order in several(member, "orders"):
        word = str(order).removesuffix(" again")
        kept = dedup(x, epsilon=0.1, clusters=int(member["parts"]), order=word, sample=2, seed=seed)  # type: ignore[arg-type]
        rows = kept.kept
        if order != word:  # the same clusters, taken in another order
            key = generators("another order").permutation(len(x))
            first: dict[int, int] = {}
            for row in key:
                first.setdefault(int(kept.group[row]), int(row))
            rows = np.array(sorted(first.values()))
        found.append(float(kept.data.centroid_similarity.values[rows].mean()))
    return {"similarity": np.array(found)}


def measure_chains(member: Member, generators: Generators) -> Found:
    """Measure what stays of chains of three rows, 10 degrees between neighbours, where 12 are near: ``stay`` by rule.

    Taken in a random order, 4/3 of a chain stay by the paper's rule, 2 if the middle comes last and else 1, and 5/3 by
    the other, 1 if the middle comes first and else 2.

    And ``doubled``: how many rows stay, over the unique ones, of rows that are all there twice; ``nearly``: of such
    whose second is a hundredth off.
    """
    count, chance = int(member["chains"]), generators("chains")
    start, turn = (unit(chance.standard_normal((count, SPACE))) for _ in range(2))
    turn = unit(turn - (turn * start).sum(1, keepdims=True) * start)
    angles = np.radians([0.0, 10.0, 20.0])
    x = np.concatenate([np.cos(a) * start + np.sin(a) * turn for a in angles])
    near_by = 1 - np.cos(np.radians(12.0))
    found = dedup(x, epsilon=near_by, clusters=1, order="random", sample=2, seed=member.seed)
    unique, _ = groups(count, count, generators("doubled"))
    near = unique + 0.01 * chance.standard_normal(unique.shape) / np.sqrt(SPACE)
    doubled, nearly = (len(dedup(np.concatenate([unique, other]), epsilon=1e-5, clusters=int(member["parts"]),
                                 sample=2, seed=member.seed).kept) / count for other in (unique, near))  # fmt: skip
    return {
        "stay": np.array([float(found.data[f"kept_{rule}"].sum()) / count for rule in ("paper", "leader")]),
        "doubled": doubled,
        "nearly": nearly,
    }


def measure_missed(member: Member, generators: Generators) -> Found:
    """Measure how often the interval of missed pairs has the exact number in it, over samples, ``covered``.

    Rows are a crowd in few dimensions, which clusters part. ``by_pairs``: an interval of 1.96 square roots of the
    number of pairs seen, as if these were independent. ``share`` of all near pairs that are missed.
    """
    n, size, times = (int(member[name]) for name in ("crowd", "sample", "samples"))
    vectors = Vectors.of(generators("crowd").standard_normal((n, NARROW)))
    limit = 1 - float(member["near"])
    labels, _ = spherical(vectors, int(member["parts"]), member.seed)
    exact = missed(vectors, labels, limit, n, 0)
    covered, by_pairs = [], []
    for i in range(times):
        found = missed(vectors, labels, limit, size, member.seed * times + i)
        covered.append(found.low <= exact.pairs <= found.high)
        seen = found.pairs * 2 * size / n
        by_pairs.append(abs(exact.pairs * 2 * size / n - seen) <= NORMAL * np.sqrt(seen))
    return {"covered": np.mean(covered), "by_pairs": np.mean(by_pairs), "share": exact.share}
