"""The networks of the study ``criticality`` at initialization, and how they are measured: nothing here is trained.

``propagate`` carries many kinds of block through one set of weight draws: each layer's W and b are drawn once, used by
all and forgotten, so a whole phase diagram is one pass, and its differences are differences of the numbers alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from phasescope.instruments.forward_jacobian import jacobian_profile, push_forward
from phasescope.instruments.partial_jacobian import signs as random_signs
from phasescope.learners import MLPMixer, ResidualConv, SignalNetwork
from phasescope.learners.signal import branch
from phasescope.theory import critical_initialization, criticality
from phasescope.theory.criticality import Block
from phasescope.vocabulary import Array, Generators, Member

PHIS = ("relu", "erf", "gelu")
PLACES_OF_NORM = ("none", "layer pre", "layer post")
RESIDUALS = (0.0, 0.9, 1.0)
KINDS = ("mixer", "resnet layer", "resnet batch")
SIGMAS = (0.5, 5.0)
BIAS_SHARE = 0.5  # sigma_b^2 / sigma_w^2: with it no mu < 1 is critical by accident
ERF_WEIGHTS = (0.4, float(np.pi / 4), 1.4, 2.5)
RELU_WEIGHTS = (0.5, 2.0, 5.0)
TRAIN_BIAS = 1.0  # with it no network with LayerNorm and mu = 0 is critical
Found = Mapping[str, Any]

RELU_EDGE = critical_initialization.critical_bias("relu", 2.0, "layer post")
CASES: Mapping[str, Block] = {
    "relu 1.8": Block("relu", 1.8),
    "relu 2": Block("relu", 2.0),
    "relu 2.2": Block("relu", 2.2),
    "pre relu": Block("relu", 1.0, 0.0, "layer pre"),
    "pre relu, bias": Block("relu", 1.0, 0.25, "layer pre"),
    "post relu": Block("relu", 2.0, 0.0, "layer post"),
    "post relu, critical": Block("relu", 2.0, RELU_EDGE, "layer post"),
}
DEEP_CASES: Mapping[str, Block] = {
    "linear": Block("linear", 1.0),
    "erf critical": Block("erf", np.pi / 4),
    "erf critical, bias": Block("erf", np.pi / 4, 0.05),
    "erf chaotic": Block("erf", 1.5),
    **{f"pre {phi} 2, mu 1": Block(phi, 2.0, 0.0, "layer pre", 1.0) for phi in PHIS},
    **{f"pre {phi} 2, mu 0.9": Block(phi, 2.0, 0.0, "layer pre", 0.9) for phi in PHIS},
    "pre relu 0.5, mu 1": Block("relu", 0.5, 0.0, "layer pre", 1.0),
    "pre relu 4, mu 1": Block("relu", 4.0, 0.0, "layer pre", 1.0),
    "pre relu 2, mu 1, bias": Block("relu", 2.0, 2.0, "layer pre", 1.0),
    "erf 2, mu 1": Block("erf", 2.0, 0.0, "none", 1.0),
}
WIDE_CASES: Mapping[str, Block] = {name: CASES[name] for name in ("pre relu", "pre relu, bias")}
BATCH_CASES: Mapping[str, Block] = {
    "batch relu 2": Block("relu", 2.0, 0.0, "batch"),
    "batch relu 0.5, bias": Block("relu", 0.5, 1.0, "batch"),
    "batch relu, mu 1": Block("relu", 2.0, 0.0, "batch", 1.0),
    "relu 2": Block("relu", 2.0),
    "relu 0.5, bias": Block("relu", 0.5, 1.0),
}
TANGENT_CASES: Mapping[str, Block] = {
    "erf critical": Block("erf", np.pi / 4),
    "relu 1.6, bias": Block("relu", 1.6, 0.3),
    "relu 2": Block("relu", 2.0),
}


# -- many networks in one pass -----------------------------------------------------------------------------------------


def propagate(
    blocks: Sequence[Block],
    inputs: Array,
    generator: np.random.Generator,
    signs: np.random.Generator,
    *,
    width: int,
    layers: int,
    start: int = 1,
    probes: int = 1,
) -> tuple[Array, Array]:
    """Return kernels K^1 ... K^L and estimates of J^{start,1} ... J^{start,L}, both (len(blocks), L) float64.

    ``inputs`` (S, D) of mean square 1 go through networks of L = ``layers`` preactivations whose first layer has
    sigma_w = 1. From ``start`` on each sample has ``probes`` vectors of random signs, which are pushed forwards. K and
    J are means over samples and units, J is NaN before ``start``. All kinds of block share the draws of
    ``generator``, in the order of ``SignalNetwork.initialize``: block for block these are the networks that it would
    draw. They share the signs too.
    """
    groups: dict[tuple[Any, str], list[int]] = defaultdict(list)
    for i, block in enumerate(blocks):
        groups[block.activation, block.norm].append(i)

    def column(name: str) -> Tensor:
        return torch.tensor([getattr(b, name) for b in blocks], dtype=torch.float32)[:, None, None]

    weight, bias, residual = column("weight_variance").sqrt(), column("bias_variance").sqrt(), column("residual")
    first = _normal(generator, width, inputs.shape[1]) / inputs.shape[1] ** 0.5
    h = (torch.from_numpy(inputs) @ first.T)[None] + bias * _normal(generator, width)
    u: Tensor | None = None
    kernels, jacobians = np.full((2, len(blocks), layers), np.nan)
    for layer in range(1, layers + 1):
        if layer > 1:
            x, dx = _branches(h, u, groups)
            w, b = _normal(generator, width, width) / width**0.5, _normal(generator, width)
            h = weight * (x @ w.T) + bias * b + residual * h
            u = None if u is None or dx is None else weight * (dx @ w.T) + residual * u
        if layer == start:
            h = h.repeat_interleave(probes, 1)
            u = random_signs(h[:1], signs).expand_as(h)
        kernels[:, layer - 1] = h.square().mean((1, 2)).double().numpy()
        if u is not None:
            jacobians[:, layer - 1] = u.square().mean((1, 2)).double().numpy()
    return kernels, jacobians


def _normal(generator: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))


def _branches(h: Tensor, u: Tensor | None, groups: Mapping[tuple[Any, str], list[int]]) -> tuple[Tensor, Tensor | None]:
    """Return what the weights multiply, for every kind of block, and its derivative along ``u``."""
    x, dx = torch.empty_like(h), None if u is None else torch.empty_like(u)
    for (activation, norm), rows in groups.items():
        apply = partial(branch, activation=activation, norm=norm)
        if u is None or dx is None:
            x[rows] = apply(h[rows])
        else:
            x[rows], dx[rows] = push_forward(apply, h[rows], u[rows])
    return x, dx


def random_inputs(generator: np.random.Generator, samples: int, size: int) -> Array:
    """Return Gaussian inputs (samples, size) float32, each scaled to a mean square of 1."""
    drawn = generator.standard_normal((samples, size))
    return np.asarray(drawn / np.sqrt((drawn**2).mean(1, keepdims=True)), np.float32)


# -- what is measured --------------------------------------------------------------------------------------------------


def measure_profiles(member: Member, generators: Generators) -> Found:
    """Return kernel and J^{1,l} of ``CASES`` over depth, means over the member's ``nets`` networks."""
    return _profiles(CASES, member, generators)


def measure_deep_profiles(member: Member, generators: Generators) -> Found:
    """Return kernel and J^{1,l} of ``DEEP_CASES`` over depth, means over the member's ``nets`` networks."""
    return _profiles(DEEP_CASES, member, generators)


def measure_wide_profiles(member: Member, generators: Generators) -> Found:
    """Return kernel and J^{1,l} of ``WIDE_CASES`` over depth, means over the member's ``nets`` networks."""
    return _profiles(WIDE_CASES, member, generators)


def measure_batch_profiles(member: Member, generators: Generators) -> Found:
    """Return kernel and J^{1,l} of ``BATCH_CASES`` over depth, whose norms couple the ``samples`` of a batch."""
    return _profiles(BATCH_CASES, member, generators)


def _profiles(cases: Mapping[str, Block], member: Member, generators: Generators) -> Found:
    width, layers, samples, nets = (int(cast(int, member[n])) for n in ("width", "layers", "samples", "nets"))
    found = []
    for net in range(nets):
        inputs = random_inputs(generators("inputs", net), samples, width)
        blocks = list(cases.values())
        found.append(
            propagate(blocks, inputs, generators("init", net), generators("signs", net), width=width, layers=layers)
        )
    kernel, jacobian = np.mean(found, 0)
    return {"kernel": kernel, "jacobian": jacobian}


def diagram_blocks(weights: Sequence[float], biases: Sequence[float]) -> list[Block]:
    """Return the blocks of all diagrams: activation, norm, residual, sigma_w^2, sigma_b^2, the last fastest."""
    kinds = product(PHIS, PLACES_OF_NORM, RESIDUALS, weights, biases)
    return [Block(phi, w, b, cast(Any, norm), mu) for phi, norm, mu, w, b in kinds]


def numbers(text: Any) -> tuple[float, ...]:
    """Return the numbers of a text such as "0.5 1 2": a knob holds one value, not a list."""
    return tuple(float(word) for word in str(text).split())


def words(values: Iterable[float]) -> str:
    """Return numbers as one knob; the inverse of ``numbers``."""
    return " ".join(f"{value:.12g}" for value in values)


def measure_diagram(member: Member, generators: Generators) -> Found:
    """Return chi_J from layer ``layer`` to the next of every place of all diagrams, the mean over ``nets`` networks."""
    width, layer, nets, probes = (int(cast(int, member[n])) for n in ("width", "layer", "nets", "probes"))
    weights, biases = numbers(member["weights"]), numbers(member["biases"])
    blocks, found = diagram_blocks(weights, biases), []
    for net in range(nets):
        inputs = random_inputs(generators("inputs", net), 1, width)
        _, jacobians = propagate(
            blocks,
            inputs,
            generators("init", net),
            generators("signs", net),
            width=width,
            layers=layer + 1,
            start=layer,
            probes=probes,
        )
        found.append(jacobians[:, -1])
    shape = (len(PHIS), len(PLACES_OF_NORM), len(RESIDUALS), len(weights), len(biases))
    return {"chi": np.mean(found, 0).reshape(shape)}


def predict_diagram(member: Member, generators: Generators) -> Found:
    """Return theory's chi_J at layer ``layer`` for every place of all diagrams, and at the first; draws nothing."""
    weights, biases, layer = numbers(member["weights"]), numbers(member["biases"]), int(cast(int, member["layer"]))

    def chi(block: Block, layer: int) -> float:
        return criticality.chi_jacobian(
            block, criticality.kernel_trajectory(block, 1 + block.bias_variance, layer - 1)[-1]
        )

    shape = (len(PHIS), len(PLACES_OF_NORM), len(RESIDUALS), len(weights), len(biases))
    blocks = diagram_blocks(weights, biases)
    found = {"chi": layer, "chi_early": 1}
    return {name: np.reshape([chi(block, at) for block in blocks], shape) for name, at in found.items()}


def measure_tangent(member: Member, generators: Generators) -> Found:
    """Return the tangent kernel of the last preactivations, and sum_l K^l J^{l,L}, in each of ``TANGENT_CASES``.

    One input; means over ``nets`` networks. Theta is the squared gradient of random combinations of the L-th
    preactivations by all parameters in NTK parametrization, per unit: the same Hutchinson vectors give J.
    """
    width, layers, nets, probes = (int(cast(int, member[n])) for n in ("width", "layers", "nets", "probes"))
    found = np.zeros((nets, len(TANGENT_CASES), 3))
    for net, (i, block) in product(range(nets), enumerate(TANGENT_CASES.values())):
        found[net, i] = _tangent(block, width, layers, probes, partial(generators, index=net))
    return dict(zip(("tangent", "total", "plain"), found.mean(0).T, strict=True))


def _tangent(block: Block, width: int, layers: int, probes: int, generator: Any) -> tuple[float, float, float]:
    net = SignalNetwork(
        width, layers - 1, inputs=width, activation=str(block.activation),
        weight_variance=block.weight_variance, bias_variance=block.bias_variance,
    )  # fmt: skip
    net.initialize(generator("init"))
    variances = {"weight": block.weight_variance / width, "bias": block.bias_variance}
    own = [(p, 1 / width if name == "first.weight" else variances[name.split(".")[-1]])
           for name, p in net.named_parameters() if not name.startswith("readout")]  # fmt: skip
    h = [net.first(torch.from_numpy(random_inputs(generator("inputs"), 1, width)))]
    for layer in net.blocks:
        h.append(layer(h[-1]))
    tangent, norms = 0.0, np.zeros(layers)
    signs = generator("probes").integers(0, 2, (probes, 1, width)) * 2.0 - 1
    for v in torch.from_numpy(signs).float():
        grads = torch.autograd.grad(h[-1], [*h, *(p for p, _ in own)], v, retain_graph=True)
        norms += [float(g.square().sum()) / width / probes for g in grads[:layers]]
        tangent += sum(s * float(g.square().sum()) for g, (_, s) in zip(grads[layers:], own, strict=True))
    kernels = np.array([float(x.detach().square().mean()) for x in h])
    return tangent / width / probes, float(kernels @ norms), float(kernels.sum())


def measure_architecture(member: Member, generators: Generators) -> Found:
    """Return kernel and J over the blocks of a ``kind`` of network on random images of ``side``^2 tokens or pixels."""
    sigma, share = float(member["sigma"]), float(cast(float, member["bias_share"]))
    own = {"weight_variance": sigma, "bias_variance": share * sigma, "residual": float(member["mu"])}
    side, depth, width, batch, nets = (int(cast(int, member[n])) for n in ("side", "depth", "width", "batch", "nets"))
    kind, found = str(member["kind"]), []
    net: MLPMixer | ResidualConv
    if kind == "mixer":
        net = MLPMixer(width, depth, size=2 * side, patch=2)
    else:
        net = ResidualConv(width, 2 * depth, size=side, norm=kind.removeprefix("resnet "))
    net.with_knobs(own)
    for i in range(nets):
        net.initialize(generators("init", i))
        images = torch.from_numpy(random_inputs(generators("inputs", i), batch, 3 * net.size**2))
        with torch.no_grad():
            h = net.embedded(images)
        profile = jacobian_profile(list(cast(Any, net.blocks)), h, generators("probes", i))
        found.append(torch.stack(profile).numpy())
    kernel, jacobian = np.mean(found, 0)
    return {"kernel": kernel, "jacobian": jacobian}
