"""At which dimension random planes meet a set: exact laws, Gordon's escape, and the climb of the paper's method."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, exactly, near, statement
from phasescope.representation import class_dimension
from phasescope.theory.class_manifolds import cap_width, escape_dimension, meeting_dimension, meeting_probability
from phasescope.verdict import Source

FORT = "Fort, Cubuk, Ganguli and Schoenholz 2022, arXiv:2210.05546"


def distances(dimension: int, planes: int, d: int, subspace: int = 0) -> list[float]:
    """Return how far random d-dimensional planes pass from a subspace that is seen from distance 1."""
    found, seen = [], dimension - subspace
    for draw in range(planes):
        frame = streams(draw)("frame").standard_normal((dimension, d))[:seen]
        start = np.eye(seen)[0]
        missing = start - frame @ np.linalg.lstsq(frame, start, rcond=None)[0]
        found.append(float(np.linalg.norm(missing)))
    return found


@statement(
    "002-09",
    "Random planes begin to meet a set at D - w^2 dimensions, w its Gaussian width as seen from where they begin",
    Source(
        paper=f"{FORT}, abstract: Gaussian width and Gordon's escape theorem",
        derived="theory.class_manifolds: for a ball the probability is an incomplete beta function",
        tolerance="1 % of D, the next order; 400 drawn planes: three standard errors",
        checked=True,
    ),
)
def escape() -> Iterator[Compared]:
    """Balls in 400 dimensions, by their width, by the exact law, and by drawn planes."""
    for ratio in (0.3, 0.5, 0.7, 0.9):
        exact = meeting_dimension(400, ratio)
        yield near(f"D - w^2, r / L = {ratio:g}", escape_dimension(400, cap_width(400, ratio) ** 2), exact, 4)
        yield near(f"exact dimension, r / L = {ratio:g}", exact, 400 * (1 - ratio**2), 4)
    share = np.mean([distance <= 0.5 for distance in distances(60, 400, 45)])
    yield near("share of drawn planes that meet, D = 60, d = 45", share, meeting_probability(60, 45, 0.5), 0.075)


@statement(
    "002-09",
    "Planes of d dimensions meet an affine subspace of k dimensions in D exactly where d + k is at least D",
    Source(
        paper=f"{FORT}, abstract: intersections with random affine subspaces of varying dimension",
        derived="d Gaussian directions fill what is left beside the subspace, or they do not",
        tolerance="none",
        checked=True,
    ),
)
def subspaces() -> Iterator[Compared]:
    """k = 12 of D = 30: how many of 40 drawn planes pass through it."""
    for d, share in ((17, 0.0), (18, 1.0), (25, 1.0)):
        yield exactly(f"d = {d}: share of planes that meet", np.mean(np.less(distances(30, 40, d, 12), 1e-9)), share)
        yield exactly(f"d = {d}: the law", meeting_probability(30, d, 0.0, 12), share)


class Ball(nn.Module):
    """A classifier that is sure of class 0 inside the unit ball around 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, 2)."""
        inside = 500 * (1 - x.square().sum(1))
        return torch.stack([inside, torch.zeros_like(inside)], 1)


@statement(
    "002-09",
    "The dimension that a climb within random planes finds is that of the set",
    Source(
        paper=f"{FORT}, its method as in the authors' notebook, slice-dice-optimize at da58ab1",
        derived="theory.class_manifolds.meeting_dimension",
        tolerance="three standard errors of 60 planes",
        checked=True,
    ),
)
def climbed() -> Iterator[Compared]:
    """A ball of radius 1 seen from distance sqrt(2), in 20 dimensions."""
    x = torch.from_numpy(streams(1)("starts").standard_normal((200, 20)))
    x *= math.sqrt(2) / x.norm(dim=1, keepdim=True)
    x[0] = 0
    labels = (torch.arange(200) > 0).long()
    found = class_dimension(
        Ball(), x, labels, dims=list(range(2, 21, 2)), targets=[0], repeats=60, steps=120, null=None, seed=1
    )
    yield near("d* of the ball", found.dimension, meeting_dimension(20, math.sqrt(0.5)), 1.0)
    yield near("by the logistic curve", float(found.data.fitted.sel(row="all")), meeting_dimension(20, 0.5**0.5), 1.0)
