"""Wide and deep networks, in either order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, at_most, exactly, near, statement
from phasescope.theory.correlation_map import correlation_trajectory
from phasescope.theory.criticality import Block, kernel_trajectory
from phasescope.theory.parametrizations import feature_exponent, named_parametrization, regime, update_exponents
from phasescope.theory.width_limits import four_point_vertex, residual_limit, singular_orders
from phasescope.verdict import Source
from phasescope.vocabulary import Array, Recipe
from phasescope.width import coordinate_check

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


@statement(
    "003-065",
    "Where branches are scaled, width and depth may grow in either order; without skip connections they may not",
    Source(
        paper="Hayou 2023, arXiv:2310.01683, abstract",
        derived="theory.width_limits.residual_limit; four_point_vertex, exp(5) - 1 where depth is width",
        tolerance="the scatter of the networks drawn; 1 / width for the exact fluctuation",
        checked=True,
    ),
)
def either_order() -> Iterator[Compared]:
    """Covariance of two inputs of scaled residual networks as deep as wide; fluctuations of plain ReLU networks."""
    kernel, correlation = residual_limit("relu", 1.0, 1.0, START)
    found = grown(64, 64, 32)
    yield near("residual, width 64, depth 64: kernel", found[0], kernel, 0.1)
    yield near("residual, width 64, depth 64: correlation of two inputs", found[1], correlation, 0.05)
    yield near("plain, depth 4, width 10,000: fluctuation", four_point_vertex([10_000] * 4)[-1], 0, 0.003)
    together = four_point_vertex([10_000] * 10_000)[-1]
    yield near("plain, depth 10,000, width 10,000: fluctuation", together, math.expm1(5), 0.5)


def one_layer(width: int) -> nn.Module:
    """Return a network with one hidden layer of ReLU, without biases, in torch's own standard parametrization."""
    return nn.Sequential(nn.Linear(8, width, bias=False), nn.ReLU(), nn.Linear(width, 1, bias=False))


def drawn(rows: int) -> tuple[Array, Array]:
    """Return inputs (rows, 8) and targets (rows, 1) of white noise."""
    generators = streams(1)
    return generators("inputs").standard_normal((rows, 8)), generators("targets").standard_normal((rows, 1))


@statement(
    "003-087",
    "Standard and NTK parametrizations learn no features in the limit of width, and the maximal update does",
    Source(
        paper="Yang and Hu 2021, arXiv:2011.14522, abstract",
        derived="theory.parametrizations.update_exponents",
        tolerance="the scatter of 8 seeds, and finite width",
        checked=True,
    ),
)
def feature_learning() -> Iterator[Compared]:
    """How the first step's change of a hidden layer goes with width: exponents, and slopes of networks."""
    recipe = Recipe(optimizer="sgd", lr=0.1, steps=1, loss="mse", records=2)
    common: dict[str, Any] = {"widths": (64, 128, 256, 512), "seeds": 8, "recipe": recipe}
    learnt = coordinate_check(one_layer, drawn(32), parametrization="mup", **common)
    lazy = coordinate_check(one_layer, drawn(32), parametrization="ntk", **common)
    assert learnt.control is not None
    for name, said, found in (("standard", -0.5, learnt.control), ("ntk", -0.5, lazy), ("mup", 0.0, learnt)):
        yield near(f"{name}: exponent", update_exponents(named_parametrization(name, 1))[0], said, 1e-12)
        slope = round(found.slope("0").value, 2)
        yield at_least(f"{name}: slope of networks, from below", slope, said - 0.1, trained=True)
        yield at_most(f"{name}: slope of networks, from above", slope, said + 0.1, trained=True)


@statement(
    "003-087",
    "A parametrization either learns features in the limit of width or trains as a kernel does, not both",
    Source(
        paper="Yang and Hu 2021, arXiv:2011.14522, abstract; the exponent r",
        derived="theory.parametrizations.regime",
        tolerance="none: exponents",
    ),
)
def dichotomy() -> Iterator[Compared]:
    """Named parametrizations at the largest stable rate, with two hidden layers."""
    for name, c, said in (("standard", 1.0, 0.5), ("ntk", 0.0, 0.5), ("mup", 0.0, 0.0)):
        law = named_parametrization(name, 2, c)
        yield near(f"{name}: r", feature_exponent(law), said, 1e-12)
        word = "feature learning" if said == 0 else "kernel"
        yield exactly(f"{name}: {word}", regime(law) == word, 1)
    yield exactly(
        "standard at a constant rate: unstable", regime(named_parametrization("standard", 2)) == "unstable", 1
    )


class Tower(nn.Module):
    """h + scale * W relu(h), ``depth`` times, at width 32, between two linear layers."""

    def __init__(self, depth: int, scale: float, inputs: int = 8, outputs: int = 1) -> None:
        super().__init__()
        self.first, self.last, self.scale = nn.Linear(inputs, 32), nn.Linear(32, outputs), scale
        self.blocks = nn.ModuleList(nn.Linear(32, 32, bias=False) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs (N, ``outputs``)."""
        h = self.first(x)
        for block in self.blocks:
            h = h + self.scale * block(h.relu())
        found: Tensor = self.last(h)
        return found


def falling(module: nn.Module, depth: float, rate: float = 0.002) -> torch.optim.Optimizer:
    """Return Adam with rates ``rate`` / sqrt(depth) for the blocks and ``rate`` for the rest."""
    blocks = [p for name, p in module.named_parameters() if name.startswith("blocks")]
    rest = [p for name, p in module.named_parameters() if not name.startswith("blocks")]
    groups = [{"params": blocks, "lr": rate / math.sqrt(depth)}, {"params": rest, "lr": rate}]
    return torch.optim.Adam(groups)


@statement(
    "003-098",
    "Blocks and their rates divided by sqrt(depth) change a residual network alike at every depth; as they are, not",
    Source(
        paper="Yang, Yu, Zhu and Hayou 2023, arXiv:2310.02244, abstract",
        derived="Adam changes each of L blocks by a rate of 1 / sqrt(L), which 1 / sqrt(L) carries on: 1 in all",
        tolerance="half-way to the next exponent, 1/2",
        checked=True,
    ),
)
def depthwise() -> Iterator[Compared]:
    """Slope of the output's change over depths 4 to 32 after two steps of Adam, three seeds."""
    common: dict[str, Any] = {"widths": (4, 8, 16, 32), "seeds": 3, "layers": ("last",)}
    recipe = Recipe(optimizer="adam", lr=0.002, steps=2, loss="mse", records=2)
    scaled = coordinate_check(
        lambda depth: Tower(depth, depth**-0.5), drawn(32), optimizer=falling, recipe=recipe, **common
    )
    plain = coordinate_check(lambda depth: Tower(depth, 1.0), drawn(32), recipe=recipe, **common)
    slope = round(scaled.slope("output").value, 2)
    yield at_least("divided: slope, from below", slope, -0.25, trained=True)
    yield at_most("divided: slope, from above", slope, 0.25, trained=True)
    yield at_least("as they are: slope", round(plain.slope("output").value, 2), 0.75, trained=True)


def very_deep(a: float, gaps: Array, depth: int) -> Array:
    """Return the tangent kernel over f'(0)^depth at correlations 1 - ``gaps``, of the dual a x + (1 - a) x^3."""
    gap, c = gaps, 1 - gaps
    ratio, total = c, c
    for _ in range(depth):
        total = total * (a + 3 * (1 - a) * c**2) / a
        ratio, c = ratio * (a + (1 - a) * c**2) / a, c * (a + (1 - a) * c**2)
        gap = gap * (a + (1 - a) * (3 - 3 * gap + gap**2))  # keeps its digits near c = 1
        c = np.where(gap < 0.5, 1 - gap, c)
        total = total + ratio
    return total


@statement(
    "004-020",
    "A very wide and deep network is a singular kernel classifier where its dual has f(0) = 0 < f'(0) < 1 < f'(1)",
    Source(
        paper="Radhakrishnan, Belkin and Uhler 2022, arXiv:2204.14126, the taxonomy",
        derived="theory.width_limits.singular_orders, beside the recursion of the tangent kernel",
        tolerance="powers fitted at distances of 4e-5 to 4e-4",
    ),
)
def singular_kernel() -> Iterator[Compared]:
    """Powers of 1 / distance of both parts of theta_L = f'(0)^L (L a + b), dual f = a x + (1 - a) x^3."""
    gaps = np.geomspace(1e-9, 1e-7, 9)
    for a, orders in ((0.5, (2.00, 4.00)), (0.7, (1.52, 3.52))):
        one, other = very_deep(a, gaps, 150), very_deep(a, gaps, 160)
        leading = (other - one) / 10
        said = singular_orders(a, a + 3 * (1 - a))
        for name, part, order, number in zip(("a", "b"), (leading, one - 150 * leading), said, orders, strict=True):
            yield near(f"f'(0) = {a}: power of {name}, in closed form", order, number, 0.005)
            fitted = -np.polyfit(np.log(np.sqrt(2 * gaps)), np.log(part), 1)[0]
            yield near(f"f'(0) = {a}: power of {name}, of the recursion", fitted, order, 0.05)


class Preconditioned(torch.optim.Optimizer):
    """A first step of K-FAC or of Shampoo on linear layers: gradients between powers of two damped matrices.

    ``scales``: of each layer a factor on the rate, and the damping of the matrix of its inputs and of its outputs.
    """

    def __init__(self, module: nn.Module, kind: str, scales: list[tuple[float, float, float]]) -> None:
        self.layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
        self.kind, self.scales = kind, scales
        self.seen: dict[nn.Module, list[Tensor]] = {}
        super().__init__([layer.weight for layer in self.layers], {"lr": 0.1})
        for layer in self.layers:
            layer.register_forward_hook(self.keep)

    def keep(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Note a layer's inputs, and the gradients of its outputs when they come."""
        if output.requires_grad:
            self.seen[layer] = [inputs[0].detach()]
            output.register_hook(lambda g: self.seen[layer].append(g * len(g)))  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take the step."""
        for layer, (rate, within, beyond) in zip(self.layers, self.scales, strict=True):
            g = layer.weight.grad
            assert g is not None
            if self.kind == "kfac":
                h, d = self.seen[layer]
                g = powered(d.T @ d / len(d), beyond, -1) @ g @ powered(h.T @ h / len(h), within, -1)
            else:
                g = powered(g @ g.T, beyond, -0.25) @ g @ powered(g.T @ g, within, -0.25)
            layer.weight -= 0.1 * rate * g


def powered(matrix: Tensor, damping: float, power: float) -> Tensor:
    """Return (``matrix`` + ``damping``)^``power`` of a positive semidefinite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    found: Tensor = (vectors * (values.clamp(min=0) + damping) ** power) @ vectors.T
    return found


def two_layers(width: int) -> nn.Module:
    """Return ReLU layers 8, width, width, 1, He's, with a readout that mu-P makes as small as 1 / width."""
    net = [nn.Linear(i, o, bias=False) for i, o in ((8, width), (width, width), (width, 1))]
    with torch.no_grad():
        for i, layer in enumerate(net):  # torch draws uniform weights of variance 1 / (3 fan-in)
            layer.weight *= math.sqrt(6) if i < 2 else 2 * math.sqrt(3 / width)
    return nn.Sequential(net[0], nn.ReLU(), net[1], nn.ReLU(), net[2])


def second_order(kind: str, *, constant: bool) -> Any:
    """Return ``optimizer(module, width)``: rates and damping as mu-P has them, or the same at every width."""

    def made(module: nn.Module, width: int) -> torch.optim.Optimizer:
        m = 1.0 if constant else width / 16
        if kind == "kfac":
            return Preconditioned(module, kind, [(1, 5, 1 / m), (1, 5 * m, 1 / m), (1, 5 * m, 1)])
        matrices = [(math.sqrt(m), 0.1 / m, 0.1 / m), (1.0, 0.1, 0.1), (1 / math.sqrt(m), 0.1 * m, 0.1 * m)]
        return Preconditioned(module, kind, matrices)

    return made


@statement(
    "003-160",
    "K-FAC and Shampoo learn alike at every width where rates and damping follow the width, and not where constant",
    Source(
        paper="Ishikawa and Karakida 2024, arXiv:2312.12226, abstract",
        derived="damping goes with the matrix it is added to: inputs as the width, gradients as 1 / width",
        tolerance="less than half-way to the next power, 1/2; the scatter of 4 seeds",
        checked=True,
    ),
)
def second_order_steps() -> Iterator[Compared]:
    """Slopes over widths 16 to 128 of what one step changes in two hidden layers; the control is constant damping."""
    recipe = Recipe(optimizer="sgd", lr=0.1, steps=1, loss="mse", records=2)
    common: dict[str, Any] = {"widths": (16, 32, 64, 128), "seeds": 4, "recipe": recipe}
    for kind, name in (("kfac", "K-FAC"), ("shampoo", "Shampoo")):
        scaled, plain = (
            coordinate_check(two_layers, drawn(8), optimizer=second_order(kind, constant=constant), **common)
            for constant in (False, True)
        )
        for layer in ("0", "2"):
            slope = round(scaled.slope(layer).value, 2)
            yield at_least(f"{name}, scaled: slope of layer {layer}, from below", slope, -0.2, trained=True)
            yield at_most(f"{name}, scaled: slope of layer {layer}, from above", slope, 0.2, trained=True)
        yield at_most(f"{name}, constant: slope of layer 0", round(plain.slope("0").value, 2), -0.4, trained=True)
