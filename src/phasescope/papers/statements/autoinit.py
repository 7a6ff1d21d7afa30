"""Networks brought to criticality by the Jacobians between their blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn

from phasescope.ensemble import streams
from phasescope.inspection import autoinit
from phasescope.instruments.forward_pass import passage
from phasescope.instruments.partial_jacobian import partial_jacobians
from phasescope.papers.statement import Compared, at_most, exactly, near, statement
from phasescope.theory.autoinit import contraction, iterations, largest_rate, relu_gain
from phasescope.verdict import Source

HE = "He, Doshi and Gromov 2022, arXiv:2206.13568"
WIDTH, DEPTH = 96, 8
NAMES = [str(i) for i in range(DEPTH)]


def network(weight_variance: float) -> nn.Sequential:
    """Return ``DEPTH`` blocks W relu(h), Gaussian weights of this variance over the width, no biases."""
    net = nn.Sequential(*(nn.Sequential(nn.ReLU(), nn.Linear(WIDTH, WIDTH, bias=False)) for _ in NAMES))
    with torch.no_grad():
        for i, block in enumerate(net):
            weight = streams(1)("weights", i).standard_normal((WIDTH, WIDTH)) * math.sqrt(weight_variance / WIDTH)
            next(iter(block.parameters())).copy_(torch.from_numpy(weight))
    return net


@statement(
    "000-09",
    "Whatever variance a ReLU network's weights were drawn with, all Jacobians between its blocks are brought to 1",
    Source(
        paper=f"{HE}, abstract and the algorithm",
        ours="that eight blocks of width 96 are enough to see it",
        tolerance="0.1: the scatter of 2 x 8 probes",
    ),
)
def to_criticality() -> Iterator[Compared]:
    """Weights of variance 0.5 and 8, where 2 is critical; read again by an instrument that did not tune them."""
    batch = torch.from_numpy(streams(1)("batch").standard_normal((64, WIDTH))).float()
    for variance in (0.5, 8.0):
        net = network(variance)
        report = autoinit(net, batch, blocks=NAMES)
        yield exactly(f"sigma_w^2 = {variance}: converged", report.converged, 1)
        with passage(net, batch, NAMES) as found:
            pairs = list(zip(found.names[:-1], found.names[1:], strict=True))
            reading = partial_jacobians(found, pairs, generator=streams(2)("probes"))
        yield at_most(f"sigma_w^2 = {variance}: largest |log J| after", reading.value.log().abs().max(), 0.1)


@statement(
    "000-09",
    "For ReLU the log loss converges at learning rates below 1 / sigma_w^2, and near the target in proportion",
    Source(
        paper=f"{HE}, the dynamics of one ReLU layer",
        derived="theory.autoinit.largest_rate and contraction",
        tolerance="none: an iterated map",
    ),
)
def largest_rates() -> Iterator[Compared]:
    """The map iterated just below and just above the largest rate."""
    for variance in (1.0, 4.0):
        gain = relu_gain(variance)
        yield near(f"sigma_w^2 = {variance}: largest rate", largest_rate(gain), 1 / variance, 1e-12)
        below, above = iterations(0.95 / variance, gain), iterations(1.05 / variance, gain)
        yield at_most(f"sigma_w^2 = {variance}: steps 5 % below it", below, 1000)
        yield exactly(f"sigma_w^2 = {variance}: 5 % above it, steps (never)", math.isinf(above), 1)
        yield near(
            f"sigma_w^2 = {variance}: contraction at the largest rate", contraction(1 / variance, gain), -1, 1e-12
        )
