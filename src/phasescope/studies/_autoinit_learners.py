"""Networks of the study ``autoinit``, each begun in one of the ways that are compared: a learner like any other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.inspection import autoinit, blocks_of
from phasescope.instruments import passage
from phasescope.learners import SignalNetwork
from phasescope.vocabulary import Array, BadInput, nearest

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
                deviation = float(found.values[name].std())
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
        return {"learner": "Initialized", "inner": self.inner.describe(), "inputs": self.inputs, "way": self.way}  # type: ignore[operator]


def noise(generator: np.random.Generator, inputs: int, samples: int = NOISE) -> Tensor:
    """Return N(0, 1) noise (samples, inputs) float32: what is looked at before there are data."""
    return torch.from_numpy(generator.standard_normal((samples, inputs), dtype=np.float32))


def places(module: nn.Module, batch: Tensor) -> tuple[str, ...]:
    """Return the blocks between which Jacobians are read: all of a ``SignalNetwork``, or those found by themselves."""
    if isinstance(module, SignalNetwork):
        return tuple(f"blocks.{i}" for i in range(module.depth))
    return blocks_of(module, batch)
