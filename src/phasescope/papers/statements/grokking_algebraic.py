"""Networks for modular addition with the largest margin there is."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import measure, streams
from phasescope.instruments.logits import logit_margin, table_accuracy
from phasescope.learners import ExactMLP
from phasescope.papers.statement import Compared, exactly, near, statement
from phasescope.tasks import addition
from phasescope.verdict import Source
from phasescope.vocabulary import Array, Grid

PHASES = 8


def fourier_weights(p: int, width: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Return ``embed`` (2, p, N) and ``readout`` (p, N): every frequency, phases on a grid, the readout's their sum."""
    shape = ((p - 1) // 2, PHASES, PHASES)
    k, a, b = (part.ravel() for part in np.indices(shape))
    a, b = 2 * np.pi * a / PHASES, 2 * np.pi * b / PHASES
    angle = 2 * np.pi * np.outer(np.arange(p), k + 1) / p
    return np.stack([np.cos(angle + a), np.cos(angle + b)]), np.cos(angle + a + b)


@statement(
    "003-130",
    "Networks of every frequency with matching phases attain the largest normalized margin for addition modulo p",
    Source(
        paper="Morwani et al. 2023, arXiv:2311.07568, the theorem on modular addition",
        value="sqrt(2/27) / (sqrt(p) (p - 1))",
        tolerance="single precision",
    ),
)
def largest_margin() -> Iterator[Compared]:
    """Margin over the sum of cubed neuron norms; the mean over the table, which is the least where all are equal."""
    for p in (7, 13, 23):
        width = (p - 1) // 2 * PHASES**2
        embed, readout = fourier_weights(p, width, streams(1)("unused"))
        norms = (np.square(embed).sum((0, 1)) + np.square(readout).sum(0)) ** 1.5
        found = measure(ExactMLP(p, width, fourier_weights), addition(p), Grid(seeds=1), (logit_margin, table_accuracy))
        expected = math.sqrt(2 / 27) / (math.sqrt(p) * (p - 1))
        margin = float(found["logit_margin"][0]) / norms.sum()
        yield near(f"p = {p}: normalized margin over the largest", margin / expected, 1, 1e-4)
        yield exactly(f"p = {p}: accuracy", found["table_accuracy"][0], 1)
