"""What networks are before they are trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, at_most, near, statement
from phasescope.theory.critical_initialization import critical_points
from phasescope.theory.criticality import Block, kernel_trajectory
from phasescope.theory.finite_width import kernel_variance
from phasescope.theory.width_limits import four_point_vertex, guessing_bias
from phasescope.verdict import Source
from phasescope.vocabulary import Array

PDLT = "Roberts, Yaida and Hanin 2022, arXiv:2106.10165"


Function = Callable[[Array], Array]


def signals(phi: Function, variance: float, width: int, depth: int, draws: int, *, turned: bool = False) -> Array:
    """Return the preactivations (draws, width) of layer ``depth`` of random networks at one input of kernel 1.

    ``turned``: orthogonal weights in place of Gaussian ones, and an input of exactly that length.
    """
    generators = streams(1)
    h = generators("first", width).standard_normal((draws, width))
    h *= math.sqrt(width) / np.linalg.norm(h, axis=1, keepdims=True) if turned else 1.0
    for layer in range(1, depth):
        weight = generators("weights", layer).standard_normal((draws, width, width))
        weight = np.linalg.qr(weight)[0] if turned else weight / math.sqrt(width)
        h = math.sqrt(variance) * np.einsum("dij,dj->di", weight, phi(h))
    return h


def vertex(h: Array) -> float:
    """Return E[z_i^2 z_j^2] / E[z^2]^2 - 1 over pairs i != j of the units of ``h`` (draws, width)."""
    width, square = h.shape[1], np.square(h)
    pairs = (square.sum(1) ** 2 - np.square(square).sum(1)).mean() / (width * (width - 1))
    return float(pairs / square.mean() ** 2 - 1)


def relu(h: Array) -> Array:
    """Return max(h, 0)."""
    return np.maximum(h, 0)


@statement(
    "003-174",
    "At criticality, correlations between neurons grow as depth over width: for ReLU by 5 / n for each layer",
    Source(
        paper=f"{PDLT}, the four-point vertex",
        derived="theory.finite_width.kernel_variance; theory.width_limits.four_point_vertex beyond first order",
        tolerance="the scatter of the draws",
    ),
)
def depth_over_width() -> Iterator[Compared]:
    """The vertex at layer 5: to first order in theory, and in networks of widths 100 and 30."""
    theory = kernel_variance(Block("relu", 2.0), 1.0, 4)[-1] - 2.0
    yield near("n times the vertex at layer 5, first order", theory, 20, 1e-9)
    yield near("vertex of networks of width 100", vertex(signals(relu, 2.0, 100, 5, 600)), 1.05**4 - 1, 0.05)
    exact = four_point_vertex([30] * 4)[-1]
    yield near("vertex at layer 5 of width 30, exact", exact, 0.853, 5e-4)
    yield near("vertex of networks of width 30", vertex(signals(relu, 2.0, 30, 5, 5000)), exact, 0.1)


@statement(
    "003-174",
    "ReLU is scale-invariant and critical at C_W = 2; tanh is critical at C_W = 1 and its kernel falls as 1 / (2 l)",
    Source(paper=f"{PDLT}, universality classes", tolerance="corrections of order log(l) / l at depth 2,000"),
)
def universality() -> Iterator[Compared]:
    """Critical points solved for, and the kernel's decay."""
    for name, variance in (("relu", 2.0), ("tanh", 1.0)):
        yield near(f"{name}: C_W", critical_points(name)[0].weight_variance, variance, 1e-9)
    kernels = kernel_trajectory(Block("tanh", 1.0), 1.0, 2000)
    yield near("tanh: 2 l K at l = 2,000", 2 * 2000 * kernels[-1], 1, 0.01)
    kernels = kernel_trajectory(Block("relu", 2.0), 1.0, 1000)
    yield near("relu: K at l = 1,000 over that at the start", kernels[-1], 1, 1e-9)


@statement(
    "003-077",
    "Fluctuations of a critical tanh network grow with depth where weights are Gaussian, and not where orthogonal",
    Source(
        paper="Day, Kahn and Roberts 2023, arXiv:2310.07765, abstract",
        derived="theory.finite_width.kernel_variance",
        tolerance="the scatter of 300 draws, and second order in depth over width",
        checked=True,
    ),
)
def orthogonal_weights() -> Iterator[Compared]:
    """N Var(K) / K^2 of the kernel, layer 20 over layer 5 of networks of width 40: in theory and in networks."""
    spread = {}
    for kind in ("gaussian", "orthogonal"):
        block = Block("tanh", 1.0, weights=kind)
        theory = kernel_variance(block, 1.0, 19) / kernel_trajectory(block, 1.0, 19) ** 2
        for depth in (5, 20):
            kernels = np.square(signals(np.tanh, 1.0, 40, depth, 300, turned=kind == "orthogonal")).mean(1)
            spread[kind, depth] = 40 * kernels.var() / kernels.mean() ** 2
            ratio = spread[kind, depth] / theory[depth - 1]
            yield near(f"{kind}, layer {depth}: networks over theory", ratio, 1, 0.35)
    yield at_most("orthogonal: layer 20 over layer 5", spread["orthogonal", 20] / spread["orthogonal", 5], 1.5)
    yield at_least("Gaussian: layer 20 over layer 5", spread["gaussian", 20] / spread["gaussian", 5], 2)


def class_fractions(phi: Function, variance: float, depth: int) -> Array:
    """Return the fraction (200,) of 200 inputs that each of 200 untrained networks puts into class 0 of two."""
    x = streams(1)("inputs").standard_normal((200, 64))
    found = []
    for draw in range(200):
        generators, h = streams(draw), x
        for layer in range(depth + 1):
            weight = generators("weights", layer).standard_normal((64, 64 if layer < depth else 2))
            h = (phi(h) if layer else h) @ weight * math.sqrt((variance if layer else 1.0) / 64)
        found.append((h[:, 0] > h[:, 1]).mean())
    return np.array(found)


@statement(
    "003-194",
    "An untrained ReLU network favours a class, the more the deeper it is; one with tanh does not",
    Source(
        paper="Francazi, Lucchi and Baity-Jesi 2023, arXiv:2306.00809, abstract",
        derived="theory.width_limits.guessing_bias: Var = arcsin(c_L) / (2 pi)",
        tolerance="three standard errors of 200 networks of width 64, and their finite width",
        checked=True,
    ),
)
def favoured_class() -> Iterator[Compared]:
    """The spread over networks of the fraction of inputs put into one of two classes."""
    for depth, spread in ((1, 0.227), (2, 0.287), (5, 0.363), (10, 0.410)):
        theory = guessing_bias(Block("relu", 2.0), depth)
        yield near(f"ReLU, hidden layers: {depth}, in closed form", theory, spread, 5e-4)
        expected = guessing_bias(Block("relu", 2.0), depth, samples=200)
        found = class_fractions(relu, 2.0, depth).std()
        yield near(f"ReLU, hidden layers: {depth}", found, expected, 0.15 * expected + 0.01)
    yield at_most("tanh, 5 hidden layers", class_fractions(np.tanh, 1.0, 5).std(), 0.1)
