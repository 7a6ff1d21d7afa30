"""Nearest neighbours of points, exactly, in blocks: never more than a block of rows of the N x N distances at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.checks import as_points

Points = Any  # a tensor, an array of numpy's, or nested lists

BLOCK = 1 << 20  # distances held at once
PIECE = 1 << 17  # differences of coordinates held at once, which a cache holds
PLACES = 1 << 29
SPARE = 3  # candidates beyond those asked for: rounding of the quick distances mostly hides no neighbour then


HALVES = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def rows_of(points: Points, fewest: int) -> Tensor:
    """Return ``points`` (N, D), also lists and arrays of numpy's, in float64 without gradient, up to one common scale.

    Points whose squares would leave float64 are divided by their largest entry: nothing here depends on it. Raises
    ``BadInput`` for fewer than ``fewest`` rows, other shapes, and values that are not finite.
    """
    return moderate(as_points("points", points, fewest=fewest).detach().double())[0]


def moderate(rows: Tensor) -> tuple[Tensor, float]:
    """Return ``rows`` over a scale, and that scale: their largest entry where squares would leave float64, else 1."""
    scale = float(rows.abs().max())
    return (rows, 1.0) if scale == 0 or 1e-100 <= scale <= 1e100 else (rows / scale, scale)


def all_same(points: Points) -> bool:
    """Say whether all rows of ``points`` (N, D) are one point, but for what rounding in their type makes of it.

    Then none is farther from the mean than four spacings of floats: a matrix product rounds each row a little
    otherwise, depending on where in the batch it stands.
    """
    rows = rows_of(points, 1)
    far = float((rows - rows.mean(0)).norm(dim=1).max())
    least = max(4 * spacing(points), torch.finfo(torch.float64).eps * len(rows))
    return far <= least * float(rows.norm(dim=1).max())


def spacing(points: Points) -> float:
    """Return the spacing of floats of the type that ``points`` were given in, at 1."""
    kind = str(getattr(points, "dtype", "float64")).removeprefix("torch.")
    return HALVES.get(kind) or float(torch.finfo(torch.float32 if kind == "float32" else torch.float64).eps)


def nearest(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return Euclidean distances (N, k) and indices (N, k) of the k nearest other rows of ``rows`` (N, D), float64.

    Candidates come from inner products in float32; their distances are computed again from differences, so that also
    near neighbours far from the origin are right to rounding. Where the rounding of the inner products leaves open
    whether a row that is no candidate is nearer, they are taken again in float64, and then from all differences, as
    inside clusters that are much farther apart than they are wide.
    """
    centred = rows - rows.mean(0)
    size = float(centred.norm(dim=1).max())
    if size > 0:
        centred = centred / size
    every = torch.arange(len(rows), device=rows.device)
    distances, indices, sure = _searched(rows, centred.float(), every, k, size)
    if not bool(sure.all()):
        again = every[~sure]
        distances[again], indices[again], sure = _searched(rows, centred, again, k, size)
        again = again[~sure]
        step = max(BLOCK // len(rows), 1)
        for start in range(0, len(again), step):
            some = again[start : start + step]
            exact = torch.cdist(rows[some], rows, compute_mode="donot_use_mm_for_euclid_dist")
            exact[torch.arange(len(some), device=rows.device), some] = torch.inf
            distances[some], indices[some] = exact.topk(k, largest=False)
    return distances, indices


def _searched(rows: Tensor, centred: Tensor, asked: Tensor, k: int, size: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return distances and indices of the k nearest of the rows ``asked``, and where rounding can hide none (n,).

    ``centred``: the rows about their mean, at most 1 long, in the type of which inner products are taken. With rounding
    u and D dimensions, a squared distance by them is off by less than (2 D + 16) u.
    """
    count, dimensions = rows.shape
    squares = centred.double().square().sum(1).to(centred.dtype)
    wide = min(k + SPARE, count - 1)
    groups = max(math.isqrt(count // wide), 1)
    spare = -count % groups
    left = torch.cat([centred, centred.new_ones(count, 1)], 1)
    right = torch.nn.functional.pad(torch.cat([-2 * centred, squares[:, None]], 1), (0, 0, 0, spare))
    right[count:, -1] = torch.inf
    off = (2 * dimensions + 16) * torch.finfo(centred.dtype).eps
    step = max(BLOCK // len(right), 1)
    held = centred.new_empty(min(step, len(asked)), len(right))
    found = []
    for start in range(0, len(asked), step):
        here = asked[start : start + step]
        quick = torch.mm(left[here], right.T, out=held[: len(here)])  # squared distances less the squares of ``here``
        quick[torch.arange(len(here), device=rows.device), here] = torch.inf
        values, near = _smallest(quick, wide, groups)
        exact = _lengths(rows, here, near)
        best = exact.topk(k, largest=False)
        furthest = (values.amax(1) + squares[here]).double() - off
        sure = (best.values[:, -1] / size if size > 0 else best.values[:, -1]).square() <= furthest
        found.append((best.values, near.gather(1, best.indices), sure | (wide == count - 1)))
    distances, indices, certain = zip(*found, strict=True)
    return torch.cat(distances), torch.cat(indices), torch.cat(certain)


def _smallest(table: Tensor, k: int, groups: int) -> tuple[Tensor, Tensor]:
    """Return the ``k`` smallest values (n, k) in each row of ``table`` (n, groups x m), in no order, and their columns.

    They lie in the k of the m sets {j, j + m, j + 2 m, ...} whose least members are smallest, so that only those are
    searched: k <= m.
    """
    apart = table.shape[1] // groups
    stacked = table.view(len(table), groups, apart)
    sets = _least(stacked.amin(1), k)
    inside = stacked.gather(2, sets[:, None].expand(-1, groups, -1)).flatten(1)
    best = _least(inside, k)
    return inside.gather(1, best), best // k * apart + sets.gather(1, best % k)


def _least(table: Tensor, k: int) -> Tensor:
    """Return the columns (n, k) of the ``k`` smallest values in each row of ``table`` (n, m), in no order.

    Of float32, each is written as float64, whose last 29 bits are then free and take its column: numbers alone are
    parted faster than columns by them.
    """
    if table.device.type != "cpu":
        return table.topk(k, largest=False, sorted=False).indices
    if table.dtype != torch.float32 or table.shape[1] > PLACES:
        return torch.from_numpy(np.argpartition(table.numpy(), k - 1, axis=1)[:, :k])
    keys = table.double().numpy()
    places = keys.view(np.int64)
    places |= np.arange(table.shape[1])
    keys.partition(k - 1, axis=1)
    return torch.from_numpy(places[:, :k] & (PLACES - 1))


def _lengths(rows: Tensor, here: Tensor, near: Tensor) -> Tensor:
    """Return the distances (n, k) of ``rows[here]`` to ``rows[near]``, n and (n, k) indices, by their differences."""
    step = max(PIECE // (near.shape[1] * rows.shape[1]), 1)
    found = []
    for mine, some in zip(torch.split(here, step), torch.split(near, step), strict=True):
        apart = rows.index_select(0, some.flatten()).view(*some.shape, -1)
        found.append(apart.sub_(rows[mine][:, None]).norm(dim=2))
    return torch.cat(found)
