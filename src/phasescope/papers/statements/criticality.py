"""Where deep networks are critical, in theory and in networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from phasescope.ensemble import streams
from phasescope.instruments.forward_jacobian import jacobian_profile
from phasescope.papers.statement import Compared, near, statement
from phasescope.theory.critical_initialization import critical_exponent, critical_points
from phasescope.theory.criticality import Block, apjn
from phasescope.verdict import Source

DOSHI = "Doshi, He and Gromov 2021, arXiv:2111.12143"
WIDTH, COPIES = 300, 8
Function = Callable[[Tensor], Tensor]


def layers(phi: Function, weight_variance: float, depth: int, draw: int = 1) -> list[Function]:
    """Return blocks h -> W phi(h) of random networks at ``WIDTH``, Gaussian weights of this variance over the width."""
    scale = math.sqrt(weight_variance / WIDTH)
    drawn = (torch.from_numpy(streams(draw)("weights", i).standard_normal((WIDTH, WIDTH))) for i in range(depth))
    return [layer(phi, scale * weight) for weight in drawn]


def layer(phi: Function, weight: Tensor) -> Function:
    """Return one block h -> W phi(h)."""
    return lambda h: phi(h) @ weight.T


def growths(blocks: list[Function], draw: int = 1) -> Tensor:
    """Return J after each block, from ``COPIES`` probes at one input of kernel 1."""
    start = torch.from_numpy(streams(draw)("input").standard_normal(WIDTH)).repeat(COPIES, 1)
    return jacobian_profile(blocks, start, streams(draw)("probes"))[1]


@statement(
    "000-10",
    "Networks are critical at one choice of weights and biases: ReLU at (2, 0), erf at (pi/4, 0)",
    Source(paper=f"{DOSHI}, critical points without normalization", tolerance="none: closed forms"),
)
def critical_weights() -> Iterator[Compared]:
    """Solved for, not looked up: chi_J = chi_K = 1."""
    for name, variance in (("relu", 2.0), ("erf", math.pi / 4)):
        point = critical_points(name)[0]
        yield near(f"{name}: sigma_w^2", point.weight_variance, variance, 1e-9)
        yield near(f"{name}: sigma_b^2", point.bias_variance, 0.0, 1e-9)


@statement(
    "000-10",
    "The partial Jacobian norm of a wide network vanishes, stays or explodes with depth as at infinite width",
    Source(
        paper=f"{DOSHI}, the recursion of averaged partial Jacobian norms",
        derived="theory.criticality.apjn",
        tolerance="the spread of networks of width 300",
    ),
)
def jacobians_of_networks() -> Iterator[Compared]:
    """ReLU and erf networks of 20 blocks: ordered, critical and chaotic."""
    for name, phi in (("relu", torch.relu), ("erf", torch.erf)):
        critical = critical_points(name)[0].weight_variance
        for factor, words in ((0.8, "ordered"), (1.0, "critical"), (1.25, "chaotic")):
            theory = math.log(apjn(Block(name, factor * critical), 1.0, 20)[-1]) / 20
            measured = float(growths(layers(phi, factor * critical, 20))[-1].log()) / 20
            yield near(f"{name}, {words}: log J per block", measured, theory, 0.03)


@statement(
    "000-10",
    "With LayerNorm before the activation and a residual of strength 1, J grows as a power of depth at any weights",
    Source(
        paper=f"{DOSHI}, abstract: critical for any initialization",
        derived="theory.critical_initialization.critical_exponent; linear growth for ReLU without biases",
        tolerance="the spread of three networks of width 300",
    ),
)
def everywhere_critical() -> Iterator[Compared]:
    """ReLU: from block 10 to block 40, at weights that differ ninefold; the mean over three networks."""
    for variance in (0.5, 4.5):
        powers = []
        for draw in range(3):
            found = growths([normed(block) for block in layers(torch.relu, variance, 40, draw)], draw)
            powers.append(float((found[40] / found[10]).log()) / math.log(4))
        block = Block("relu", variance, norm="layer pre", residual=1.0)
        yield near(f"sigma_w^2 = {variance}: exponent, theory", -critical_exponent(block), 1.0, 1e-9)
        exact = apjn(block, 1.0, 40)
        expected = math.log(exact[40] / exact[10]) / math.log(4)
        yield near(f"sigma_w^2 = {variance}: exponent, networks", sum(powers) / 3, expected, 0.1)


def normed(block: Function) -> Function:
    """Return the block behind a LayerNorm, with its input added."""
    return lambda h: block(torch.nn.functional.layer_norm(h, h.shape[-1:])) + h
