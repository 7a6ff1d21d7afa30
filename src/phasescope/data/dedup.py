"""``ps.dedup``: which rows are near copies of others, what would be kept, and what the search may have missed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from phasescope.checks import number, optional, shown, whole, word
from phasescope.data.clusters import how_many, spherical
from phasescope.data.dedup_result import Dedup
from phasescope.data.missed import missed
from phasescope.data.near_copies import leaders, nearest_earlier, roots, spans
from phasescope.data.vectors import Vectors
from phasescope.ensemble import streams
from phasescope.store import Finished
from phasescope.vocabulary import Array, BadInput

Progress = Callable[[str, int, int], object]
EPSILON = 0.05
SOON = 1e9  # multiplications that are done again sooner than they are read
DIGITS = 5  # of the cosine with the centroid that order a cluster; rows that differ by rounding keep their order


def dedup(
    embeddings: Any,
    *,
    epsilon: float | None = None,
    keep: float | None = None,
    clusters: int | Literal["auto"] = "auto",
    order: Literal["hard", "random", "easy"] = "hard",
    rule: Literal["paper", "leader"] = "paper",
    sample: int = 1000,
    seed: int = 0,
    texts: Sequence[str] | None = None,
    name: str = "embeddings",
    out: Path | str | None = None,
    on_progress: Progress | None = None,
) -> Dedup:
    """Return which of the rows of ``embeddings`` (N, D) to keep so that no two near copies stay: SemDeDup.

    Abbas, Tirumala, Simig, Ganguli and Morcos 2023, arXiv:2303.09540, as in facebookresearch/SemDeDup, semdedup.py.
    Rows of length one are put in ``clusters`` by spherical k-means; in each they stand in an ``order``, "hard" (the
    least like their centroid first), "random" or "easy". A row goes if a row before it has a cosine above
    1 - ``epsilon``: any such row by the ``rule`` "paper", one that is itself kept by "leader", which no chain a~b~c
    misleads. ``epsilon`` (0 to 2, default 0.05) or ``keep``, the least share of rows to keep (above 0 to 1), by the
    paper's rule; exact copies have cosine 1 and go at any epsilon above 0.

    ``embeddings``: an array, a tensor or a sparse matrix of scipy's; float32 is what cosines are taken in. ``clusters``
    "auto": one, in which all pairs are compared, unless that takes minutes (N^2 D above 4e12). ``sample`` rows are
    compared with all others, for what is missed between clusters. ``texts`` (N,) are shown beside pairs; ``name`` is
    what the page calls the data. ``out``: a folder in which finished parts are kept: the same call goes on where it was
    stopped.
    ``on_progress(what, done, total)`` is told of each step. Costs N^2 D / clusters, memory N D and some 100 MiB. Raises
    ``BadInput`` for what can not be used, with row and value.
    """
    order, rule, epsilon, keep, sample, seed = chosen(order, rule, epsilon, keep, sample, seed)
    tell = on_progress or (lambda what, done, total: None)
    vectors = Vectors.of(embeddings)
    n = len(vectors)
    if texts is not None and len(texts) != n:
        raise BadInput(f"there are {len(texts)} texts and {n} embeddings: give one text for each row.")
    k = how_many(vectors) if isinstance(clusters, str) and clusters == "auto" else _clusters(clusters, n)
    with Finished(out) as finished:
        labels, near = _kept(finished, vectors, {"part": "clusters", "k": k, "seed": seed}, lambda: spherical(
            vectors, k, seed, lambda done, total: tell("making clusters", done, total)
        ))  # fmt: skip
        rows = _ordered(labels, near, order, seed)
        asked = {"part": "nearest", "k": k, "seed": seed, "order": order}
        most, which = _compared(finished, vectors, rows, asked, tell)
    limit = _limit(most, epsilon, keep)
    leader = np.arange(n)
    for i, members in enumerate(rows):
        tell("looking for chains", i, len(rows))
        leader[members] = leaders(vectors, members, most[members], which[members], limit)
    gone = most.astype(np.float64) > limit
    tell("searching between clusters", 0, 1)
    lost = missed(
        vectors, labels, limit, sample, seed, lambda done, total: tell("searching between clusters", done, total)
    )
    data = xr.Dataset(
        {
            "nearest_similarity": ("row", most, {"units": "1", "source": "data.near_copies.nearest_earlier"}),
            "nearest": ("row", which, {"units": "row", "source": "data.near_copies.nearest_earlier"}),
            "kept_paper": ("row", ~gone, {"units": "1", "source": "arXiv:2303.09540, semdedup.py"}),
            "kept_leader": ("row", leader == np.arange(n), {"units": "1", "source": "data.near_copies.leaders"}),
            "group": ("row", roots(which, gone) if rule == "paper" else leader,
                      {"units": "row", "source": f"data.near_copies, rule {rule}"}),
            "first_copy": ("row", vectors.first_copy, {"units": "row", "source": "data.vectors"}),
            "cluster": ("row", labels, {"units": "1", "source": "data.clusters.spherical"}),
            "centroid_similarity": ("row", near, {"units": "1", "source": "data.clusters.spherical"}),
        },
        attrs={"name": name, "rule": rule, "order": order, "epsilon": 1 - limit, "clusters": k, "seed": seed},
    )  # fmt: skip
    return Dedup(data, lost, tuple(texts) if texts is not None else None)


def chosen(
    order: Any, rule: Any, epsilon: Any, keep: Any, sample: Any, seed: Any
) -> tuple[Any, Any, float | None, float | None, int, int]:
    """Return these options of ``dedup`` as it takes them, or raise ``BadInput``, before anything is read."""
    order, rule = word("hard", "random", "easy")("order", order), word("paper", "leader")("rule", rule)
    epsilon = optional(number(0, 2))("epsilon", epsilon)
    keep = optional(number(0, 1, open_low=True))("keep", keep)
    if epsilon is not None and keep is not None:
        raise BadInput(f"epsilon is {epsilon:g} and keep {keep:g}: give one of them, the other follows.")
    return order, rule, epsilon, keep, whole(2, 10**7)("sample", sample), whole()("seed", seed)


def _compared(
    finished: Finished, vectors: Vectors, rows: Sequence[Array], asked: dict[str, Any], tell: Progress
) -> tuple[Array, Array]:
    """Return the largest cosine of each row (N,) with an earlier one of its cluster, and which that is."""
    n = len(vectors)
    most, which = np.full(n, np.nan, np.float32), np.full(n, -1, np.int64)
    done = 0
    for i, members in enumerate(rows):
        for start, end in spans(vectors, len(members)):
            tell("comparing rows", done, n)
            most[members[start:end]], which[members[start:end]] = _kept(
                finished, vectors, {**asked, "cluster": i, "start": start, "end": end},
                partial(nearest_earlier, vectors, members, start, end),
            )  # fmt: skip
            done += end - start
    return most, which


def _clusters(clusters: Any, n: int) -> int:
    if isinstance(clusters, str):
        raise BadInput(f"clusters is {shown(clusters)}: give 'auto' or a whole number from 1 to {n}.")
    return int(whole(1, n)("clusters", clusters))


def _kept(
    finished: Finished, vectors: Vectors, asked: dict[str, Any], work: Callable[[], tuple[Array, Array]]
) -> tuple[Array, Array]:
    """Return the two arrays that ``work`` makes, from the folder where they are; few rows are soon compared again."""
    if vectors.work < SOON:
        return work()
    arrays, _ = finished.piece(
        lambda: {"dedup": 1, "rows": vectors.digest, **asked},
        lambda: (dict(zip(("first", "second"), work(), strict=True)), {}),
    )
    return arrays["first"], arrays["second"]


def _ordered(labels: Array, near: Array, order: str, seed: int) -> list[Array]:
    """Return the rows of each cluster that has some, in the order in which they are taken."""
    key: Array = np.round(near.astype(np.float64), DIGITS)
    if order == "random":
        key = streams(seed)("order").random(len(labels))
    if order == "easy":
        key = -key
    rows = np.lexsort((np.arange(len(labels)), key, labels))
    return [part for part in np.split(rows, np.cumsum(np.bincount(labels))[:-1]) if len(part)]


def _limit(most: Array, epsilon: float | None, keep: float | None) -> float:
    """Return the cosine above which a row goes: 1 - epsilon, or the least with which the share ``keep`` stays."""
    if keep is None:
        return 1 - (EPSILON if epsilon is None else epsilon)
    values = np.sort(np.where(np.isnan(most), -np.inf, most).astype(np.float64))
    limit = float(values[math.ceil(keep * len(values) - 1e-9) - 1])
    return limit if math.isfinite(limit) else -1.0
