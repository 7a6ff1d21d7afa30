"""Deep linear networks: their function is linear, their learning is not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.checks import anything, checked
from phasescope.learners.sizes import count, size, strength
from phasescope.vocabulary import Array, BadInput, Knob


class DeepLinear(nn.Module):
    """f(x) = x W_1 ... W_L without biases: (N, inputs) -> (N, outputs); parameters ``layers.0`` ... in float64.

    Weights are ``scale`` N(0, 1) / sqrt(width), and those of the last layer ``scale`` N(0, 1), as in the code of Tahir
    et al. 2024 (arXiv:2410.08194). ``scale`` may differ per member. With ``pretraining`` steps, ``initialize`` goes on
    from the draw by gradient descent, at ``pretraining_rate``, on the population loss |W_1 ... W_L - beta_s|^2 of the
    source beta_s, the first unit vector: endless data of the source. The network then begins as a pretrained one.

    Raises ``BadInput`` for sizes below 1, fewer than two layers and numbers out of range.
    """

    @checked(
        self=anything,
        inputs=size,
        width=size,
        layers=size,
        outputs=size,
        scale=strength,
        pretraining=count,
        pretraining_rate=strength,
    )
    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        layers: int = 2,
        outputs: int = 1,
        scale: float = 1.0,
        pretraining: int = 0,
        pretraining_rate: float = 0.05,
    ) -> None:
        super().__init__()
        for name, value, least in (("inputs", inputs, 1), ("width", width, 1), ("outputs", outputs, 1),
                                   ("layers", layers, 2), ("pretraining", pretraining, 0)):  # fmt: skip
            if value < least:
                raise BadInput(f"{name} is {value}: it must be at least {least}.")
        if not (0 < pretraining_rate < 0.5):
            raise BadInput(f"pretraining_rate is {pretraining_rate}: it must lie in (0, 0.5), or descent diverges.")
        self.inputs, self.width, self.outputs, self.scale = inputs, width, outputs, float(scale)
        self.pretraining, self.pretraining_rate = pretraining, pretraining_rate
        sizes = [inputs, *(width for _ in range(layers - 1)), outputs]
        self.layers = nn.ParameterList(nn.Parameter(torch.zeros(a, b, dtype=torch.float64)) for a, b in pairwise(sizes))
        self._check()

    def _check(self) -> None:
        if not 0 <= self.scale < math.inf:
            raise BadInput(f"scale is {self.scale}: it must be finite and at least 0.")

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """The numbers that a grid may set per member."""
        return {"scale": self.scale}

    def with_knobs(self, own: Mapping[str, Knob]) -> None:
        """Set the member's own numbers."""
        self.scale = float(own.get("scale", self.scale))
        self._check()

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw fresh weights in place, and pretrain them if this network begins pretrained."""
        weights = [self.scale * generator.standard_normal(tuple(w.shape)) for w in self.layers]
        weights = [w / math.sqrt(self.width) for w in weights[:-1]] + weights[-1:]
        source = np.zeros((self.inputs, self.outputs))
        source[0] = 1.0
        weights = descend(weights, source, self.pretraining, self.pretraining_rate)
        with torch.no_grad():
            for parameter, values in zip(self.layers, weights, strict=True):
                parameter.copy_(torch.from_numpy(values))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs (N, outputs)."""
        # from the last layer backwards: a network of one output then costs vectors, not matrices
        product = self.layers[-1]
        for weight in reversed(list(self.layers)[:-1]):
            product = weight @ product
        out: Tensor = inputs @ product
        return out

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        names = ("inputs", "width", "outputs", "scale", "pretraining", "pretraining_rate")
        return {"learner": "DeepLinear", "layers": len(self.layers), **{name: getattr(self, name) for name in names}}


def descend(weights: Sequence[Array], target: Array, steps: int, rate: float) -> list[Array]:
    """Return ``weights`` after ``steps`` of gradient descent on |W_1 ... W_L - target|^2 (sum of squares), float64."""
    now = [np.asarray(w, dtype=np.float64) for w in weights]
    for _ in range(steps):
        after = [np.eye(now[-1].shape[1])]  # after[l]: the product of the layers behind layer l, last first
        for w in reversed(now[1:]):
            after.insert(0, w @ after[0])
        error = 2 * (now[0] @ after[0] - target)
        gradients, before = [], None
        for w, behind in zip(now, after, strict=True):
            gradients.append((error if before is None else before.T @ error) @ behind.T)
            before = w if before is None else before @ w
        now = [w - rate * g for w, g in zip(now, gradients, strict=True)]
    return now
