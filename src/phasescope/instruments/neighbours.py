"""Nearest neighbours of points, exactly, in blocks: never more than a block of rows of the N x N distances at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from phasescope.checks import as_points

Points = Any  # a tensor, an array of numpy's, or nested lists

BLOCK = 1 << 22  # distances held at once
SPARE = 8  # candidates beyond those asked for, so that rounding of the quick distances can not hide a neighbour


HALVES = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def rows_of(points: Points, fewest: int) -> Tensor:
    """Return ``points`` (N, D), also lists and arrays of numpy's, in float64 without gradient, up to one common scale.

    Points whose squares would leave float64 are divided by their largest entry: nothing here depends on it. Raises
    ``BadInput`` for fewer than ``fewest`` rows, other shapes, and values that are not finite.
    """
    rows = as_points("points", points, fewest=fewest).detach().double()
    scale = rows.abs().max()
    return rows / scale if bool((scale > 1e100) | ((scale < 1e-100) & (scale > 0))) else rows


def spacing(points: Points) -> float:
    """Return the spacing of floats of the type that ``points`` were given in, at 1."""
    kind = str(getattr(points, "dtype", "float64")).removeprefix("torch.")
    return HALVES.get(kind) or float(torch.finfo(torch.float32 if kind == "float32" else torch.float64).eps)


def nearest(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return Euclidean distances (N, k) and indices (N, k) of the k nearest other rows of ``rows`` (N, D), float64.

    Candidates come from inner products; their distances are computed again from differences, so that also near
    neighbours far from the origin are right to rounding.
    """
    centred = rows - rows.mean(0)
    squares = centred.square().sum(1)
    wide = min(k + SPARE, len(rows) - 1)
    step = max(BLOCK // len(rows), 1)
    distances, indices = [], []
    for start in range(0, len(rows), step):
        here = slice(start, start + step)
        quick = squares[None] - 2 * centred[here] @ centred.T
        itself = torch.arange(start, start + len(quick), device=rows.device)
        quick[itself - start, itself] = torch.inf
        near = quick.topk(wide, largest=False).indices
        exact = torch.stack([(rows[near[:, j]] - rows[here]).norm(dim=1) for j in range(wide)], 1)
        best = exact.topk(k, largest=False)
        distances.append(best.values)
        indices.append(near.gather(1, best.indices))
    return torch.cat(distances), torch.cat(indices)
