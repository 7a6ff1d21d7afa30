"""Nearest neighbours of points, exactly, in blocks: never more than a block of rows of the N x N distances at once."""

from __future__ import annotations

import torch
from torch import Tensor

from phasescope.vocabulary import BadInput

BLOCK = 1 << 22  # distances held at once
SPARE = 8  # candidates beyond those asked for, so that rounding of the quick distances can not hide a neighbour


def rows_of(points: Tensor, fewest: int) -> Tensor:
    """Return ``points`` (N, D) in float64 without gradient. Raises ``BadInput`` for fewer than ``fewest`` rows."""
    if points.ndim != 2 or not points.is_floating_point() or points.shape[1] == 0 or len(points) < fewest:
        raise BadInput(
            f"points of shape {tuple(points.shape)} and type {points.dtype}: give floats (N, D), N >= {fewest}."
        )
    if not bool(torch.isfinite(points).all()):
        raise BadInput(f"points of shape {tuple(points.shape)} have values that are not finite: leave those rows out.")
    return points.detach().double()


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
