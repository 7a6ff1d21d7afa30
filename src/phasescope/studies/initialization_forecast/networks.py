"""The networks of ``initialization-forecast``: eleven families, of widths, depths and first weights drawn at random.

All take images of 8 x 8 pixels, flattened (B, 64), and give logits (B, 10). Modules are torch's own, so that what reads
them reads them as it would a user's.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE, CLASSES = 8, 10
TOKENS = 4  # of a transformer: two rows of pixels each
ACTIVATIONS = {"tanh": nn.Tanh, "ReLU": nn.ReLU, "GELU": nn.GELU, "sigmoid": nn.Sigmoid}
CRITICAL = {"tanh": 1.0, "ReLU": 2.0, "GELU": 2.0, "sigmoid": 16.0}
"""About the weight variance, times the inputs, at which gradients of a plain network keep their size."""
PARAMETRIZATIONS = ("standard", "ntk", "mup")


@dataclass(frozen=True)
class Drawing:
    """One network and how its weights are drawn.

    ``variance``: of a weight, times its inputs; ``bias``: standard deviation of biases; ``readout``: factor of the last
    layer. ``parametrization``: "ntk" has weights of variance ``variance`` and divides by the root of the inputs in the
    forward pass, "mup" divides the last layer by one more root of its inputs. ``branch``: factor of what a residual
    branch adds.
    """

    family: str
    activation: str
    depth: int
    width: int
    variance: float
    bias: float
    readout: float
    parametrization: str
    branch: float
    pre: bool = True


def drawing(family: str, deepest: int, generator: np.random.Generator) -> Drawing:
    """Return a random network of a family: two in five at the critical variance, the others up to fourfold off."""
    most = {"CNN": deepest // 5, "transformer": deepest // 10}.get(family, deepest)
    least = 1 if family == "transformer" else 2
    depth = int(np.rint(np.exp(generator.uniform(math.log(least), math.log(most)))))
    named = family.split()[0]
    activation = named if named in ACTIVATIONS else str(generator.choice(["tanh", "ReLU", "GELU"]))
    off = 2.0 ** generator.uniform(-2, 2) if generator.random() < 0.6 else 1.0
    residual = family in ("residual MLP", "pre-norm MLP", "post-norm MLP", "transformer")
    branch = depth**-0.5 if residual and generator.random() < 0.3 else 1.0
    return Drawing(
        family=family, activation=activation, depth=depth, width=int(generator.choice([24, 32, 48])),
        variance=CRITICAL[activation] * off, bias=float(generator.choice([0.0, 0.0, 0.1, 0.5])),
        readout=2.0 ** generator.uniform(-2, 3), parametrization=str(generator.choice(PARAMETRIZATIONS)),
        branch=branch, pre=bool(generator.random() < 0.5),
    )  # fmt: skip


class Layer(nn.Linear):
    """A linear layer that, with ``outside``, divides its weights by the root of its inputs in the forward pass."""

    outside = False

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's outputs (..., out) of ``input`` (..., in)."""
        weight = self.weight * self.in_features**-0.5 if self.outside else self.weight
        return functional.linear(input, weight, self.bias)


class Attention(nn.Module):
    """Self-attention with two heads: (B, T, N) -> (B, T, N)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inward, self.outward = Layer(width, 3 * width), Layer(width, width)

    def forward(self, h: Tensor) -> Tensor:
        """Return the mixed tokens."""
        b, t, n = h.shape
        q, k, v = self.inward(h).reshape(b, t, 3, 2, n // 2).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(n // 2), -1)
        out: Tensor = self.outward((weights @ v).transpose(1, 2).reshape(b, t, n))
        return out


class Branch(nn.Module):
    """An MLP of one hidden layer: (..., N) -> (..., N)."""

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        self.up, self.phi, self.down = Layer(width, width), ACTIVATIONS[activation](), Layer(width, width)

    def forward(self, h: Tensor) -> Tensor:
        """Return what is added."""
        out: Tensor = self.down(self.phi(self.up(h)))
        return out


class Residual(nn.Module):
    """h + branch(h), normalized before the branch ("pre"), after the sum ("post"), or not at all."""

    def __init__(self, branch: nn.Module, width: int, norm: str) -> None:
        super().__init__()
        self.branch, self.place = branch, norm
        self.norm = nn.Identity() if norm == "none" else nn.LayerNorm(width)

    def forward(self, h: Tensor) -> Tensor:
        """Return the stream after this block."""
        out: Tensor = self.norm(h + self.branch(h)) if self.place == "post" else h + self.branch(self.norm(h))
        return out


class Block(nn.Sequential):
    """Attention, then an MLP, each added to the stream."""


class Network(nn.Module):
    """The network of a ``Drawing``: (B, 64) float -> logits (B, 10)."""

    def __init__(self, drawn: Drawing) -> None:
        super().__init__()
        self.drawn = d = drawn
        self.stem: nn.Module = nn.Identity()
        self.last: nn.Module = nn.Identity()
        width, residual = d.width, {"residual MLP": "none", "pre-norm MLP": "pre", "post-norm MLP": "post"}
        if d.family == "transformer":
            norm = "pre" if d.pre else "post"
            self.stem, self.place = Layer(SIDE**2 // TOKENS, width), nn.Parameter(torch.zeros(TOKENS, width))
            parts: list[nn.Module] = [
                Block(Residual(Attention(width), width, norm), Residual(Branch(width, d.activation), width, norm))
                for _ in range(d.depth)
            ]
            self.last = nn.LayerNorm(width) if d.pre else self.last
        elif d.family in residual:
            self.stem = Layer(SIDE**2, width)
            parts = [Residual(Branch(width, d.activation), width, residual[d.family]) for _ in range(d.depth)]
            self.last = nn.LayerNorm(width) if d.family == "pre-norm MLP" else self.last
        elif d.family == "CNN":
            width, parts = width // 4, []
            for i in range(d.depth):
                parts += [nn.Conv2d(width if i else 1, width, 3, padding=1, stride=1 if i else 2)]
                parts += [ACTIVATIONS[d.activation]()]
        else:
            parts = []
            for i in range(d.depth):
                parts += [Layer(width if i else SIDE**2, width), *_norm(d.family, width), ACTIVATIONS[d.activation]()]
        self.body = nn.Sequential(*parts)
        self.readout = Layer(width, CLASSES)
        for part in self.modules():
            if isinstance(part, Layer):
                part.outside = d.parametrization == "ntk"

    def features(self, inputs: Tensor) -> Tensor:
        """Return what the last layer is given, (B, N)."""
        if self.drawn.family == "CNN":
            found: Tensor = self.body(inputs.reshape(-1, 1, SIDE, SIDE)).mean((2, 3))
        elif self.drawn.family == "transformer":
            found = self.last(self.body(self.stem(inputs.reshape(len(inputs), TOKENS, -1)) + self.place)).mean(1)
        else:
            found = self.last(self.body(self.stem(inputs)))
        return found

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (B, 10) of ``inputs`` (B, 64)."""
        out: Tensor = self.readout(self.features(inputs))
        return out

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw all weights in place, as ``drawn`` says."""
        d = self.drawn
        ends = {id(part.branch.down if isinstance(part.branch, Branch) else part.branch.outward)
                for part in self.modules() if isinstance(part, Residual)}  # fmt: skip
        for part in self.modules():
            if isinstance(part, nn.LayerNorm | nn.BatchNorm1d):
                part.reset_parameters()
            if not isinstance(part, nn.Linear | nn.Conv2d):
                continue
            inputs = part.weight[0].numel()
            size = math.sqrt(d.variance)
            if part is self.readout:
                size = d.readout / (math.sqrt(inputs) if d.parametrization == "mup" else 1.0)
            elif part is self.stem:
                size = 1.0
            elif id(part) in ends:
                size *= d.branch
            outside = isinstance(part, Layer) and part.outside
            size *= 1.0 if outside else inputs**-0.5
            _fill(part.weight, size, generator)
            assert part.bias is not None
            _fill(part.bias, 0.0 if part is self.readout else d.bias, generator)
        if d.family == "transformer":
            _fill(self.place, 0.5, generator)

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        return {"learner": "initialization-forecast", **asdict(self.drawn)}


def _norm(family: str, width: int) -> list[nn.Module]:
    found: dict[str, nn.Module] = {"LayerNorm MLP": nn.LayerNorm(width), "BatchNorm MLP": nn.BatchNorm1d(width)}
    return [found[family]] if family in found else []


def _fill(parameter: Tensor, size: float, generator: np.random.Generator) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(size * generator.standard_normal(tuple(parameter.shape))))
