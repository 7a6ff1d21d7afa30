"""Wide and deep networks, in either order."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, near, statement
from phasescope.theory.correlation_map import correlation_trajectory
from phasescope.theory.criticality import Block, kernel_trajectory
from phasescope.verdict import Source

START = 0.2


def grown(width: int, depth: int, draws: int) -> tuple[float, float]:
    """Return the growth of the kernel and the last correlation of two inputs of kernel 1 and correlation ``START``.

    Of ReLU networks h + W relu(h) / sqrt(L), W of variance 1 / width: the means over draws.
    """
    found = np.zeros((draws, 3))
    for draw in range(draws):
        frame, _ = np.linalg.qr(streams(draw)("inputs").standard_normal((width, 2)))
        h = math.sqrt(width) * frame @ np.array([[1, START], [0, math.sqrt(1 - START**2)]])
        for layer in range(depth):
            weight = streams(draw)("weights", layer).standard_normal((width, width)) / math.sqrt(width * depth)
            h = h + weight @ np.maximum(h, 0)
        found[draw] = *np.square(h).mean(0), (h[:, 0] * h[:, 1]).mean()
    first, second, product = found.mean(0)
    return float(first + second) / 2, float(product / math.sqrt(first * second))


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
        kernel, correlation = grown(width, depth, draws)
        theory = correlation_trajectory(Block("relu", 1 / depth, residual=1.0), 1.0, START, depth)[1][-1]
        yield near(f"width {width}, depth {depth}: kernel", kernel, math.sqrt(math.e), 0.1)
        yield near(f"width {width}, depth {depth}: correlation of two inputs", correlation, theory, 0.05)
