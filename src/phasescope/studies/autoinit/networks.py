"""Networks of the study ``autoinit``, each begun in one of the ways that are compared, and what is measured on them."""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.inspection import AutoInit, autoinit, blocks_of
from phasescope.instruments.forward_pass import passage
from phasescope.instruments.partial_jacobian import partial_jacobians
from phasescope.learners import VGG, ResMLP, SignalNetwork
from phasescope.theory.autoinit import largest_square_rate, one_step_rate, relu_gain
from phasescope.vocabulary import Array, BadInput, Generators, Member, nearest

CLOSE, FINE = 0.05, 1e-4  # of |log J|, to which steps are counted
NOISE = 64  # samples of noise on which AutoInit and LSUV look


def weight_layers(module: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    """Yield the linear layers and convolutions of ``module`` by name, in the order of registration."""
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            yield name, part


def _fans(weight: Tensor) -> tuple[int, int]:
    field = math.prod(weight.shape[2:])
    return weight.shape[1] * field, weight.shape[0] * field


def _torch(shape: tuple[int, ...], fan_in: int, fan_out: int, generator: np.random.Generator) -> Array:
    return generator.uniform(-1, 1, shape) / math.sqrt(fan_in)


def _kaiming(shape: tuple[int, ...], fan_in: int, fan_out: int, generator: np.random.Generator) -> Array:
    return generator.standard_normal(shape) * math.sqrt(2 / fan_in)


def _xavier(shape: tuple[int, ...], fan_in: int, fan_out: int, generator: np.random.Generator) -> Array:
    return generator.uniform(-1, 1, shape) * math.sqrt(6 / (fan_in + fan_out))


def _orthogonal(shape: tuple[int, ...], fan_in: int, fan_out: int, generator: np.random.Generator) -> Array:
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return np.asarray(math.sqrt(2) * (q if rows >= columns else q.T)).reshape(shape)


Draw = Callable[[tuple[int, ...], int, int, np.random.Generator], Array]
DRAWS: Mapping[str, Draw] = {"torch": _torch, "kaiming": _kaiming, "xavier": _xavier, "orthogonal": _orthogonal}
WAYS = (*DRAWS, "lsuv", "autoinit")


def drawn(module: nn.Module, way: str, generator: np.random.Generator) -> None:
    """Draw all weights in place: torch's default, Kaiming's, Xavier's or orthogonal ones with the gain of ReLU.

    torch: weights and biases uniform in +-1/sqrt(fan_in). kaiming: N(0, 2/fan_in), He et al. 2015, arXiv:1502.01852.
    xavier: uniform of variance 2/(fan_in + fan_out), Glorot and Bengio 2010. orthogonal: sqrt(2) times a uniformly
    random one, Saxe et al. 2014, arXiv:1312.6120. All but torch's have zero biases.
    """
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if isinstance(part, nn.Linear | nn.Conv2d):
            fan_in, fan_out = _fans(part.weight)
            with torch.no_grad():
                values = DRAWS[way](tuple(part.weight.shape), fan_in, fan_out, generator)
                part.weight.copy_(torch.from_numpy(values))
                if part.bias is not None:
                    bias = _torch(tuple(part.bias.shape), fan_in, fan_out, generator)
                    part.bias.copy_(torch.from_numpy(bias * (way == "torch")))
        elif reset is not None:  # normalizations and affine maps: constants
            reset()


def unit_variance(module: nn.Module, batch: Tensor, *, tolerance: float = 0.01, rounds: int = 10) -> None:
    """LSUV, in place: one layer after the other is divided by the standard deviation of its output until that is 1.

    Mishkin and Matas 2016, arXiv:1511.06422, which begins from orthogonal weights and allows 10 rounds.
    """
    for name, part in weight_layers(module):
        for _ in range(rounds):
            with passage(module, batch, [name]) as found:
                deviation = float(found.values[name].detach().std())
            if abs(deviation - 1) < tolerance or deviation == 0:
                break
            with torch.no_grad():
                part.weight.div_(deviation)


class Initialized(nn.Module):
    """``inner``, whose weights are drawn in the named ``way``: (B, S) float -> logits as ``inner`` gives them.

    ``way``: one of ``WAYS``; "autoinit" tunes torch's default, "lsuv" begins from orthogonal weights; both look at
    noise, N(0, 1) of ``inputs`` (S,) numbers a sample, and not at the data. "as drawn" and "as drawn + autoinit" leave
    the draw to ``inner``. Raises ``BadInput`` for another way.
    """

    def __init__(self, inner: nn.Module, inputs: int, way: str) -> None:
        super().__init__()
        known = (*WAYS, "as drawn", "as drawn + autoinit")
        if way not in known:
            raise BadInput(f"there is no way {way!r}{nearest(way, known)}")
        self.inner, self.inputs, self.way = inner, inputs, way

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw the weights, and tune them where the way says so."""
        if self.way.startswith("as drawn"):
            self.inner.initialize(generator)  # type: ignore[operator]
        else:
            drawn(self.inner, {"lsuv": "orthogonal", "autoinit": "torch"}.get(self.way, self.way), generator)
        if self.way == "lsuv":
            unit_variance(self.inner, noise(generator, self.inputs))
        elif self.way.endswith("autoinit"):
            batch = noise(generator, self.inputs)
            autoinit(self.inner, batch, blocks=places(self.inner, batch), seed=int(generator.integers(2**31)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of ``inner``."""
        out: Tensor = self.inner(inputs)
        return out

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        inner = self.inner.describe()  # type: ignore[operator]
        return {"learner": "Initialized", "inner": inner, "inputs": self.inputs, "way": self.way, "source": _source()}


@cache
def _source() -> str:
    # the ways are defined here, outside the rooms of which a record's identity knows
    return hashlib.sha256(inspect.getsource(sys.modules[__name__]).encode()).hexdigest()[:16]


def noise(generator: np.random.Generator, inputs: int, samples: int = NOISE) -> Tensor:
    """Return N(0, 1) noise (samples, inputs) float32: what is looked at before there are data."""
    return torch.from_numpy(generator.standard_normal((samples, inputs), dtype=np.float32))


def places(module: nn.Module, batch: Tensor) -> tuple[str, ...]:
    """Return the blocks between which Jacobians are read: all of a ``SignalNetwork``, or those found by themselves."""
    if isinstance(module, SignalNetwork):
        return tuple(f"blocks.{i}" for i in range(module.depth))
    return blocks_of(module, batch)


def network_of(kind: str, side: int, plan: tuple[int, ...], width: int, depth: int) -> VGG | ResMLP:
    """Return the untrained network named ``kind``: "VGG", "VGG, batch norm" or "ResMLP"."""
    if kind == "ResMLP":
        return ResMLP(side, width, depth)
    return VGG(side, plan, batch_norm=kind.endswith("batch norm"))


# -- what is measured without training -------------------------------------------------------------------------------


def _signal_network(member: Member, generators: Generators) -> tuple[SignalNetwork, Tensor]:
    width, depth = int(member["width"]), int(member["depth"])
    net = SignalNetwork(
        width, depth, inputs=width, activation=str(member.get("activation", "relu")),
        weight_variance=float(member["start"]),
    )  # fmt: skip
    net.initialize(generators(f"init {member.get('draw', '')}"))
    return net, noise(generators("noise"), width, int(member["samples"]))


def rate_of(member: Member) -> float | None:
    """Return the learning rate of a member's descent; none for "newton", which needs none.

    ``factor``/sigma_w^2 (0.5 unless given), or where the rule says so theory's: "one step", at which a ReLU layer lands
    at once, and "square, own rate", half the largest at which the square loss converges.
    """
    start, rule = float(member["start"]), str(member["rule"])
    gain = relu_gain(start)
    if rule == "one step":
        return one_step_rate(gain)
    if rule == "square, own rate":
        return largest_square_rate(gain) / 2
    return None if rule == "newton" else float(member.get("factor", 0.5)) / start


def _tuned(member: Member, generators: Generators) -> tuple[SignalNetwork, Tensor, AutoInit]:
    """Return a network tuned by the member's ``rule``: "newton", or descent on the log loss or on the square one."""
    net, batch = _signal_network(member, generators)
    found = autoinit(
        net, batch, blocks=places(net, batch), rate=rate_of(member), steps=int(member["steps"]),
        loss="square" if str(member["rule"]).startswith("square") else "log", tolerance=float(member["stop"]),
        probes=int(member["probes"]), seed=int(generators("probes").integers(2**31)),
    )  # fmt: skip
    return net, batch, found


def tuned_network(member: Member, generators: Generators) -> dict[str, Any]:
    """Return what AutoInit did to one network: J along the steps, J of each block before and after, a sigma_w."""
    net, batch, found = _tuned(member, generators)
    with np.errstate(divide="ignore"):
        history = np.abs(np.log(found.history))
    worst, mean = history.max(1), history.mean(1)
    scales = np.array([found.scales[f"blocks.{i}.weight"] for i in range(net.depth)])
    return {
        "steps": _first(worst < CLOSE),
        "fine_steps": _first(worst < FINE),
        "mean_steps": _first(mean < CLOSE),
        "landed": mean[1] if len(mean) > 1 else np.inf,
        "before": jacobians(_signal_network(member, generators)[0], batch, generators),
        "after": jacobians(net, batch, generators),
        "path": found.history.mean(1),
        "scale": scales * math.sqrt(float(member["start"])),
    }


def _first(reached: Array) -> float:
    """Return the first step at which something is reached, inf where it never is."""
    steps = np.flatnonzero(reached)
    return float(steps[0]) if len(steps) else math.inf


def jacobians(module: nn.Module, batch: Tensor, generators: Generators, probes: int = 8) -> Array:
    """Return J of each pair of adjacent places, from probes that no tuning has seen."""
    with passage(module, batch, places(module, batch)) as found:
        pairs = list(zip(found.names[:-1], found.names[1:], strict=True))
        reading = partial_jacobians(found, pairs, generator=generators("reading"), probes=probes)
    return reading.value.numpy()


def begun(member: Member, generators: Generators) -> dict[str, Any]:
    """Return J of each block of a network begun in the member's ``way``, and the mean square of its last block."""
    kind, side = str(member["network"]), int(member["side"])
    plan = tuple(int(entry) for entry in str(member["plan"]).split())
    net = network_of(kind, side, plan, int(member["width"]), int(member["depth"]))
    Initialized(net, side * side, str(member["way"])).initialize(generators("init"))
    batch = noise(generators("fresh noise"), side * side)
    names = places(net, batch)
    with passage(net, batch, names) as found:
        kernel = float(found.values[names[-1]].detach().square().mean())
    return {"jacobian": jacobians(net, batch, generators), "kernel": kernel}
