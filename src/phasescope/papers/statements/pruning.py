"""Which weights are pruned from networks that nothing has trained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, near, statement
from phasescope.theory.critical_initialization import critical_weights
from phasescope.theory.criticality import Block, fixed_chi, fixed_kernel
from phasescope.verdict import Source
from phasescope.vocabulary import Array

WIDTH, DEPTH, SAMPLES = 100, 30, 16
KERNEL = 0.5  # at which the critical network is


def scores(block: Block, draw: int) -> Array:
    """Return the squared saliencies (w dL/dw)^2 of a tanh network's weights (DEPTH, WIDTH^2), for a random loss."""
    generators = streams(draw)
    weights = [
        torch.from_numpy(generators("weights", i).standard_normal((WIDTH, WIDTH))).mul_(
            math.sqrt(block.weight_variance / WIDTH)
        )
        for i in range(DEPTH)
    ]
    h = math.sqrt(fixed_kernel(block)) * torch.from_numpy(generators("input").standard_normal((SAMPLES, WIDTH)))
    for i, weight in enumerate(weights):
        bias = torch.from_numpy(generators("biases", i).standard_normal(WIDTH)) * math.sqrt(block.bias_variance)
        h = torch.tanh(h) @ weight.requires_grad_().T + bias
    loss = (h * torch.from_numpy(generators("loss").standard_normal((SAMPLES, WIDTH)))).sum()
    gradients = torch.autograd.grad(loss, weights)
    return np.stack([(w.detach() * g).square().flatten().numpy() for w, g in zip(weights, gradients, strict=True)])


def emptiest(squares: Array, kept: float = 0.1) -> float:
    """Return the share of its weights that the emptiest layer keeps where the most salient ``kept`` of all stay."""
    return float((squares >= np.quantile(squares, 1 - kept)).mean(1).min())


@statement(
    "003-193",
    "Sensitivity-based pruning before training empties whole layers of deep networks, unless they begin at criticality",
    Source(
        paper="Hayou et al. 2021, ICLR, pruning on the edge of chaos",
        derived="a factor chi in the mean squared saliency of adjacent layers, theory.criticality.fixed_chi",
        tolerance="the scatter of four networks of width 100",
    ),
)
def edge_of_chaos() -> Iterator[Compared]:
    """Tanh networks of 30 layers, a tenth of the weights kept: ordered, critical and chaotic."""
    weight, bias = critical_weights("tanh", KERNEL)
    left: dict[str, Any] = {}
    for words, factor in (("ordered", 0.75), ("critical", 1.0), ("chaotic", 1.4)):
        block = Block("tanh", factor * weight, bias)
        drawn = [scores(block, draw) for draw in range(4)]
        means = np.log([squares.mean(1) for squares in drawn]).mean(0)
        left[words] = np.mean([emptiest(squares) for squares in drawn])
        growth = math.exp((means[5] - means[25]) / 20)
        yield near(f"{words}: factor per layer in the squared saliency", growth, fixed_chi(block), 0.04)
    yield at_least("emptiest layer, critical over ordered", left["critical"] / max(left["ordered"], 1e-4), 3)
    yield at_least("emptiest layer, critical over chaotic", left["critical"] / max(left["chaotic"], 1e-4), 3)
