"""Wide and deep networks, in either order."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, near, statement
from phasescope.theory.criticality import Block, kernel_trajectory
from phasescope.verdict import Source


def grown(width: int, depth: int, draws: int) -> float:
    """Return q_L / q_0 of ReLU networks h + W relu(h) / sqrt(L), W of variance 1 / width, the mean over draws."""
    total = 0.0
    for draw in range(draws):
        h = streams(draw)("input").standard_normal(width)
        start = np.square(h).mean()
        for layer in range(depth):
            weight = streams(draw)("weights", layer).standard_normal((width, width)) / math.sqrt(width * depth)
            h = h + weight @ np.maximum(h, 0)
        total += np.square(h).mean() / start
    return total / draws


@statement(
    "003-014",
    "With branches scaled by 1 / sqrt(depth), width and depth of a residual network may grow in any order: one limit",
    Source(
        paper="Hayou and Yang 2023, arXiv:2302.00453, abstract",
        derived="(1 + 1 / (2 L))^L for ReLU, of limit sqrt(e)",
        tolerance="the scatter of the networks drawn",
        checked=True,
    ),
)
def one_limit() -> Iterator[Compared]:
    """The kernel of depth L over that of the input: infinite width first, then networks wide or deep."""
    for depth in (1, 4, 16, 64):
        theory = kernel_trajectory(Block("relu", 1 / depth, residual=1.0), 1.0, depth)[-1]
        yield near(f"infinite width, depth {depth}", theory, (1 + 1 / (2 * depth)) ** depth, 1e-9)
    theory = kernel_trajectory(Block("relu", 1e-4, residual=1.0), 1.0, 10_000)[-1]
    yield near("infinite width, depth 10,000", theory, math.sqrt(math.e), 1e-4)
    for width, depth, draws in ((256, 16, 16), (64, 64, 32), (32, 128, 32)):
        yield near(f"width {width}, depth {depth}", grown(width, depth, draws), math.sqrt(math.e), 0.1)
