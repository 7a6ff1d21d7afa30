"""What networks are before they are trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.ensemble import drawing, streams
from phasescope.learners import SignalTransformer
from phasescope.papers.statement import Compared, at_least, at_most, near, statement
from phasescope.theory.correlation_map import maximal_learning_rate, ntk
from phasescope.theory.critical_initialization import critical_points
from phasescope.theory.criticality import Block, kernel_trajectory
from phasescope.theory.finite_width import kernel_variance
from phasescope.theory.width_limits import four_point_vertex, guessing_bias
from phasescope.verdict import Source
from phasescope.vocabulary import Array, Recipe
from phasescope.width import coordinate_check

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


def white(rows: int, columns: int) -> tuple[Array, Array]:
    """Return inputs (rows, columns) and targets (rows, 1) of white noise, float32."""
    generators = streams(1)
    inputs = generators("inputs").standard_normal((rows, columns), dtype=np.float32)
    return inputs, generators("targets").standard_normal((rows, 1), dtype=np.float32)


WIDTHS = (32, 64, 128, 256)
GROUPS = {"embedding": (0.0, 0.5), "blocks": (1.0, 1.5), "readout": (1.0, 1.0)}  # powers of width: SGD's, Adam's


def transformer(width: int) -> SignalTransformer:
    """Return two blocks of attention and perceptron with one output; torch's shared generator says which draw."""
    net = SignalTransformer(width, 2, inputs=64, side=2, outputs=1)
    net.initialize(streams(torch.initial_seed())("init"))
    return net


def grouped(net: SignalTransformer) -> dict[str, list[nn.Parameter]]:
    """Return the parameters of each of ``GROUPS``."""
    return {"embedding": [net.embed, net.position], "blocks": list(net.blocks.parameters()), "readout": [net.readout]}


def gradient_powers(draws: int) -> dict[str, tuple[float, float]]:
    """Return how the output's gradient goes with width, for each group: of sums of squares, and of absolute values."""
    found = np.zeros((draws, len(WIDTHS), len(GROUPS), 2))
    for draw, i in np.ndindex(draws, len(WIDTHS)):
        with drawing(draw):
            net = transformer(WIDTHS[i])
        output = net(torch.from_numpy(white(1, 64)[0])).sum()
        for j, parameters in enumerate(grouped(net).values()):
            flat = torch.cat([g.flatten() for g in torch.autograd.grad(output, parameters, retain_graph=True)])
            found[draw, i, j] = float(flat.square().sum()), float(flat.abs().sum())
    logs = np.log(found).mean(0).reshape(len(WIDTHS), -1)
    slopes = np.polyfit(np.log(WIDTHS), logs, 1)[0].reshape(-1, 2)
    return {name: (float(one), float(other)) for name, (one, other) in zip(GROUPS, slopes, strict=True)}


def adam_by_groups(net: nn.Module, width: int) -> torch.optim.Optimizer:
    """Return Adam whose rate falls, group by group, as the sum of absolute gradients grows with width."""
    assert isinstance(net, SignalTransformer)
    return torch.optim.Adam(
        [
            {"params": parameters, "lr": 0.001 * (width / WIDTHS[0]) ** -GROUPS[name][1]}
            for name, parameters in grouped(net).items()
        ]
    )


@statement(
    "003-058",
    "In wide transformers gradients of embedding, blocks and readout follow different powers of width; so must rates",
    Source(
        paper="Dinan, Yaida and Zhang 2023, arXiv:2304.02034, abstract",
        derived="weights of fan-in n have n times the gradients of those of fan-in 1, squared, and of n entries each",
        tolerance="the scatter of 12 draws; half-way to the next power, 1/2, for trained networks",
        checked=True,
    ),
)
def transformers_of_any_width() -> Iterator[Compared]:
    """Widths 32 to 256: sizes of tokens, gradients, and the output's change in one step of Adam, with a control."""
    for name, (squares, sizes) in gradient_powers(12).items():
        yield near(f"{name}: power of the squared gradient, SGD's", squares, GROUPS[name][0], 0.2)
        yield near(f"{name}: power of the absolute gradient, Adam's", sizes, GROUPS[name][1], 0.2)
    recipe = Recipe(optimizer="adam", lr=0.001, steps=1, loss="mse", records=2)
    common: dict[str, Any] = {"widths": WIDTHS, "seeds": 3, "recipe": recipe, "layers": ("blocks.0", "blocks.1")}
    scaled = coordinate_check(transformer, white(8, 64), optimizer=adam_by_groups, **common)
    plain = coordinate_check(transformer, white(8, 64), **common)
    for row in scaled.rows[:2]:
        yield near(f"{row.layer}: slope of the tokens' size at the start", row.start.value, 0, 0.05)
    slope = round(scaled.slope("output").value, 2)
    yield at_least("rates by groups: slope of the output's change, from below", slope, -0.25, trained=True)
    yield at_most("rates by groups: slope of the output's change, from above", slope, 0.25, trained=True)
    yield at_least("one rate: slope", round(plain.slope("output").value, 2), 0.75, trained=True)


class Hypernetwork(nn.Module):
    """A two-layer network (N, 8) -> (N, 1) whose weights a hypernetwork without biases makes of two numbers.

    ``encoded``: of their cosines and sines. ``residual``: beside weights of the network's own, to which it adds.
    """

    def __init__(self, size: float, *, encoded: bool = False, residual: bool = False) -> None:
        super().__init__()
        numbers = torch.tensor([size, size / 2])
        angles = numbers * math.pi / 2
        self.register_buffer("numbers", torch.cat([angles.cos(), angles.sin()]) if encoded else numbers)
        layers = [nn.Linear(4 if encoded else 2, 64, bias=False), nn.Linear(64, 64, bias=False)]
        self.body = nn.Sequential(layers[0], nn.LeakyReLU(), layers[1], nn.LeakyReLU())
        self.weights = nn.Linear(64, 8 * 16 + 16, bias=False)
        self.own = nn.Parameter(0.3 * nn.Embedding(1, 8 * 16 + 16).weight[0].detach()) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs (N, 1)."""
        made: Tensor = self.weights(self.body(self.numbers))
        made = made if self.own is None else self.own + made
        return (x @ made[:128].view(8, 16)).relu() @ made[128:, None]


@statement(
    "004-011",
    "The weights that a hypernetwork makes are in proportion to its input; cosines and sines of it end that",
    Source(
        paper="Gonzalez Ortiz, Guttag and Dalca 2024, arXiv:2304.07645, abstract",
        derived="a network of LeakyReLU without biases is homogeneous: power 1, and 3 for one step of SGD",
        tolerance="none for powers of 1; the scatter of 6 seeds",
        checked=True,
    ),
)
def proportional_weights() -> Iterator[Compared]:
    """Slopes over the input's size, 1/8 to 1: of the weights made, and of what a step of SGD changes in them."""
    recipe = Recipe(optimizer="sgd", lr=0.001, steps=1, loss="mse", records=2)
    for name, kind in (
        ("as it is", {}),
        ("residual alone", {"residual": True}),
        ("encoded and residual", {"encoded": True, "residual": True}),
    ):
        found = coordinate_check(
            lambda eighths, kind=kind: Hypernetwork(eighths / 8, **kind),  # type: ignore[misc]
            white(32, 8), widths=(1, 2, 4, 8), seeds=6, recipe=recipe, layers=("weights",),
        )  # fmt: skip
        start, change = found.rows[0].start.value, found.rows[0].change.value
        said = (0, 0.2) if "encoded" in kind else (1, 1e-5)
        yield near(f"{name}: power of the weights made", start, *said)
        if not kind:
            yield near(f"{name}: power of their change", change, 3, 0.1)
        elif "encoded" in kind:
            yield near(f"{name}: power of their change", change, 0, 0.3)


CLASSES, STEPS, DEPTHS, SIZES = 4, 12, (3, 4, 6), (64, 128, 256)


def separable(rows: int) -> tuple[Tensor, Tensor]:
    """Return inputs (rows, 16) around four centres, each of length 4, and their classes (rows,)."""
    generators, labels = streams(1), np.arange(rows) % CLASSES
    x = generators("centres").standard_normal((CLASSES, 16))[labels] + generators("inputs").standard_normal((rows, 16))
    return torch.from_numpy(4 * x / np.linalg.norm(x, axis=1, keepdims=True)).float(), torch.from_numpy(labels)


def begins(start: Sequence[Tensor], rates: Tensor) -> Tensor:
    """Return whether ReLU networks with weights ``start`` (M, in, out) learn 0.7 of the classes in 12 steps: (M,).

    Full batches of cross-entropy, each network at its own of ``rates`` (M,), the input layer at a tenth of it.
    """
    x, labels = separable(64)
    weights, many = [w.clone().requires_grad_() for w in start], len(rates)
    for _ in range(STEPS):
        h = x.expand(many, -1, -1)
        for w in weights[:-1]:
            h = torch.bmm(h, w).relu()
        h = torch.bmm(h, weights[-1])
        right = (h.argmax(-1) == labels) & torch.isfinite(h).all(-1)
        loss = many * functional.cross_entropy(h.transpose(1, 2), labels.expand(many, -1))
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for i, (w, g) in enumerate(zip(weights, gradients, strict=True)):
                w -= (rates if i else 0.1 * rates)[:, None, None] * g
    return right.float().mean(1) >= 0.7


def largest_rate(width: int, depth: int, draws: int) -> float:
    """Return log2 of the largest rate at which He's ReLU networks begin to learn: by halving, the mean over draws."""
    sizes = [16, *[width] * depth, CLASSES]
    start = []
    for i, (into, out) in enumerate(pairwise(sizes)):
        drawn = np.stack([streams(seed)("weights", i).standard_normal((into, out)) for seed in range(draws)])
        start.append(torch.from_numpy(drawn * math.sqrt((2 if i < depth else 1) / into)).float())
    low, high = torch.full((draws,), -5.0), torch.full((draws,), 3.0)
    for _ in range(6):
        middle = (low + high) / 2
        fine = begins(start, 2**middle)
        low, high = torch.where(fine, middle, low), torch.where(fine, high, middle)
    return float((low + high).mean()) / 2


def power_law(sizes: Array, rates: Any) -> tuple[float, float]:
    """Return the slope of ``rates`` over log2 ``sizes``, and the fraction of their variance that it explains."""
    x = np.log2(sizes)
    return float(np.polyfit(x, rates, 1)[0]), float(np.corrcoef(x, rates)[0, 1] ** 2)


@statement(
    "003-208",
    "The largest rate at which a wide ReLU network begins to learn is a power of depth times width, of neither alone",
    Source(
        paper="Iyer, Hanin and Rolnick 2023, arXiv:2212.07295, abstract",
        derived="theory.correlation_map: maximal_learning_rate of ntk, for the linearized network",
        tolerance="0.8 of the variance, 0.1 above what width or depth alone explain; the power is of these data",
        checked=True,
    ),
)
def largest_first_rates() -> Iterator[Compared]:
    """Depths 3 to 6 and widths 64 to 256, three draws each; the controls are powers of width and of depth alone."""
    depths, widths = (axis.ravel() for axis in np.meshgrid(DEPTHS, SIZES))
    rates = np.array([largest_rate(w, d, 3) for d, w in zip(depths, widths, strict=True)])
    slope, explained = power_law(depths * widths, rates)
    yield at_most("depth times width: power", round(slope, 2), -0.3, trained=True)
    yield at_least("depth times width: variance explained", round(explained, 2), 0.8, trained=True)
    for name, sizes in (("depth", depths), ("width", widths)):
        lead = round(explained - power_law(sizes, rates)[1], 2)
        yield at_least(f"lead over {name} alone", lead, 0.1, trained=True)
    linear = [math.log2(maximal_learning_rate(ntk(Block("relu", 2.0), 1.0, 1.0, d)[-1], 0.0, 1)) for d in DEPTHS]
    yield near("linearized, one input: power of depth", power_law(np.array(DEPTHS), linear)[0], -1, 1e-9)
