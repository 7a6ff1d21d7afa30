"""A deep fully connected network whose signal propagation is known exactly at infinite width.

Doshi, He and Gromov 2023, arXiv:2111.12143: ``h^{l+1} = sigma_w W^{l+1} phi(h^l) + sigma_b b^{l+1} + mu h^l`` with
W ~ N(0, 1/N) or orthogonal and b ~ N(0, 1), in the four places of a normalization that ``theory.criticality.Block``
knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.checks import anything, checked, text, word
from phasescope.learners.block_network import BlockNetwork, fill
from phasescope.learners.sizes import size, strength
from phasescope.vocabulary import Array, BadInput, nearest

PHI: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda h: h,
    "relu": torch.relu,
    "leaky relu": functional.leaky_relu,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "gelu": functional.gelu,
    "silu": functional.silu,
}
NORMS = ("none", "layer pre", "layer post", "rms pre", "rms post", "batch")
EPSILON = 1e-12


def normalized(h: Tensor, norm: str) -> Tensor:
    """Return ``h`` (..., B, N) normalized over its units (layer, rms) or over the batch; no learnt scale or shift."""
    axis = -2 if norm == "batch" else -1
    if not norm.startswith("rms"):
        h = h - h.mean(axis, keepdim=True)
    return h * (h.square().mean(axis, keepdim=True) + EPSILON).rsqrt()


def branch(h: Tensor, activation: str, norm: str) -> Tensor:
    """Return what a block's weights multiply: the activations of ``h`` (..., B, N), normalized where ``norm`` says."""
    x = PHI[activation](normalized(h, norm) if norm in ("layer pre", "rms pre", "batch") else h)
    return normalized(x, norm) if norm in ("layer post", "rms post") else x


class SignalBlock(nn.Module):
    """One block: (B, N) -> (B, N). See ``SignalNetwork``."""

    def __init__(self, width: int, activation: str, norm: str) -> None:
        super().__init__()
        self.activation, self.norm = activation, norm
        self.weight = nn.Parameter(torch.zeros(width, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.residual: Tensor
        self.register_buffer("residual", torch.zeros(()))

    def forward(self, h: Tensor) -> Tensor:
        """Return the next preactivations."""
        x = branch(h, self.activation, self.norm)
        return functional.linear(x, self.weight, self.bias) + self.residual * h


class SignalNetwork(BlockNetwork):
    """``first`` linear layer, ``depth`` blocks, and a ``readout``: (B, inputs) float -> (B, outputs) logits.

    The first layer has variance 1/inputs whatever ``weight_variance`` sigma_w^2 and ``bias_variance`` sigma_b^2 are, as
    in the authors' code, and the readout 1/N times ``readout_variance``. ``residual`` is mu. ``weights``: "gaussian"
    or "orthogonal". The four numbers may differ per member of one bundle. Parameters are in the standard
    parametrization: the variances are in the weights, and gradient descent acts on these.

    Raises ``BadInput`` for unknown activations and norms and for numbers out of range.
    """

    @checked(
        self=anything,
        width=size,
        depth=size,
        inputs=size,
        outputs=size,
        activation=text,
        norm=text,
        weight_variance=strength,
        bias_variance=strength,
        residual=strength,
        readout_variance=strength,
        weights=word("gaussian", "orthogonal"),
    )
    def __init__(
        self,
        width: int,
        depth: int,
        *,
        inputs: int,
        outputs: int = 10,
        activation: str = "relu",
        norm: str = "none",
        weight_variance: float = 2.0,
        bias_variance: float = 0.0,
        residual: float = 0.0,
        readout_variance: float = 1.0,
        weights: Literal["gaussian", "orthogonal"] = "gaussian",
    ) -> None:
        super().__init__()
        if activation not in PHI:
            raise BadInput(f"there is no activation {activation!r}{nearest(activation, PHI)}")
        if norm not in NORMS:
            raise BadInput(f"there is no norm {norm!r}{nearest(norm, NORMS)}")
        for name, value in (("width", width), ("depth", depth), ("inputs", inputs), ("outputs", outputs)):
            if value < 1:
                raise BadInput(f"{name} is {value}: it must be at least 1.")
        self.width, self.depth, self.inputs, self.outputs = width, depth, inputs, outputs
        self.activation, self.norm, self.weights = activation, norm, weights
        self.numbers = {
            "weight_variance": float(weight_variance),
            "bias_variance": float(bias_variance),
            "residual": float(residual),
            "readout_variance": float(readout_variance),
        }
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(SignalBlock(width, activation, norm) for _ in range(depth))
        self.readout = nn.Linear(width, outputs)
        self._check()

    @property
    def _parts(self) -> list[SignalBlock]:
        return cast(list[SignalBlock], list(self.blocks))

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw fresh weights in place."""
        weight, bias = (math.sqrt(self.numbers[name]) for name in ("weight_variance", "bias_variance"))
        with torch.no_grad():
            fill(self.first.weight, generator, 1 / math.sqrt(self.inputs))
            fill(self.first.bias, generator, bias)
            for block in self._parts:
                if self.weights == "orthogonal":
                    drawn = weight * _orthogonal(self.width, generator)
                    block.weight.copy_(torch.from_numpy(drawn))
                else:
                    fill(block.weight, generator, weight / math.sqrt(self.width))
                fill(block.bias, generator, bias)
            fill(self.readout.weight, generator, math.sqrt(self.numbers["readout_variance"] / self.width))
            self.readout.bias.zero_()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (B, outputs)."""
        h = self.first(inputs)
        for block in self._parts:
            h = block(h)
        out: Tensor = self.readout(PHI[self.activation](h))
        return out

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        names = ("width", "depth", "inputs", "outputs", "activation", "norm", "weights")
        return {"learner": type(self).__name__, **{name: getattr(self, name) for name in names}, **self.numbers}


def _orthogonal(width: int, generator: np.random.Generator) -> Array:
    """Return a uniformly random orthogonal matrix: the Q of a Gaussian matrix, with the signs that make it uniform."""
    q, r = np.linalg.qr(generator.standard_normal((width, width)))
    return np.asarray(q * np.sign(np.diag(r)))
