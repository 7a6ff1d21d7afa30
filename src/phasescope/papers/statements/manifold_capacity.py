"""Embeddings that are as spread as can be, and what they attain of the bound on their nuclear norm."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from phasescope.ensemble import streams
from phasescope.instruments.manifolds import capacity_error
from phasescope.losses import mmcr
from phasescope.papers.statement import Compared, at_least, near, statement
from phasescope.theory.manifold_capacity import capacity_bound, uniform_percent_error
from phasescope.verdict import Source

SCHAEFFER = "Schaeffer et al. 2024, arXiv:2406.09366"


def uniform_error(data: int, dimension: int) -> float:
    """Return the pretraining percent error of points drawn uniformly on the sphere, the mean over ten draws."""
    points = streams(1)("sphere", data).standard_normal((10, data, dimension))
    points /= np.linalg.norm(points, axis=-1, keepdims=True)
    return float(capacity_error(points).mean())


@statement(
    "000-01",
    "Views that agree and spread as an orthogonal frame attain the lowest loss there is, -sqrt(P min(P, D))",
    Source(paper=f"{SCHAEFFER}, Prop. 2.3", tolerance="rounding"),
)
def lowest_loss() -> Iterator[Compared]:
    """P data in D dimensions, two equal views of each, below and above P = D; and one pair of data turned together."""
    for data, dimension in ((16, 40), (40, 16)):
        rows, where = frame(data, dimension), f"P = {data}, D = {dimension}"
        bound = np.sqrt(data * min(data, dimension))
        yield near(f"loss at {where}", mmcr(torch.stack([rows, rows], 1)), -bound, 1e-9)
        yield near(f"the bound that theory gives at {where}", capacity_bound(data, dimension), bound, 1e-9)
        worse = rows.clone()
        worse[1] = (rows[0] + rows[1]) / (rows[0] + rows[1]).norm()
        moved = mmcr(torch.stack([worse, worse], 1))
        yield at_least(f"what is lost where one datum is moved, at {where}", moved + bound, 1e-3)


def frame(data: int, dimension: int) -> Tensor:
    """Return unit rows (P, D) with equal singular values: orthogonal ones, or, for P > D, a frame of waves (D even)."""
    if data <= dimension:
        return torch.eye(dimension, dtype=torch.float64)[:data]
    angles = 2 * np.pi * np.outer(np.arange(data), np.arange(1, dimension // 2 + 1)) / data
    return torch.from_numpy(np.concatenate([np.cos(angles), np.sin(angles)], 1) / np.sqrt(dimension / 2))


@statement(
    "000-01",
    "What uniformly spread embeddings miss of the bound is worst at as many data as dimensions: a double descent",
    Source(
        paper=f"{SCHAEFFER}, the double descent of the pretraining percent error",
        derived="theory.manifold_capacity.uniform_percent_error",
        tolerance="the fluctuation of ten draws in 64 dimensions",
    ),
)
def double_descent() -> Iterator[Compared]:
    """8 to 512 points in 64 dimensions; theory, and draws."""
    errors = {data: uniform_error(data, 64) for data in (8, 32, 64, 128, 512)}
    for data, error in errors.items():
        yield near(f"error at P = {data}, D = 64", error, uniform_percent_error(data, 64), 0.01)
    yield at_least("error at P = D over the next worst", errors[64] / max(errors[32], errors[128]), 1.05)
