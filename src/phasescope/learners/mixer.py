"""An MLP-Mixer with any residual strength: two-layer networks over tokens and over channels, by turns.

Tolstikhin et al. 2021, arXiv:2105.01601, with the residual strength mu of Doshi, He and Gromov 2023, arXiv:2111.12143:
``h' = W2 gelu(W1 LN(h) + b1) + b2 + mu h``, where W1 and W2 act on the tokens in one half of a block and on the
channels in the other, and LayerNorm acts on each token's channels without learnt scale or shift.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.checks import anything, checked, optional
from phasescope.learners.block_network import BlockNetwork, fill
from phasescope.learners.signal import normalized
from phasescope.learners.sizes import size, strength
from phasescope.vocabulary import BadInput


class Mixing(nn.Module):
    """Half a block, (B, T, C) -> (B, T, C): ``over`` "tokens" or "channels". See ``MLPMixer``."""

    def __init__(self, size: int, hidden: int, over: str) -> None:
        super().__init__()
        self.over = over
        self.enter = nn.Linear(size, hidden)
        self.leave = nn.Linear(hidden, size)
        self.residual: Tensor
        self.register_buffer("residual", torch.zeros(()))

    def forward(self, h: Tensor) -> Tensor:
        """Return the next signal."""
        x = normalized(h, "layer")
        x = x.transpose(1, 2) if self.over == "tokens" else x
        x = self.leave(functional.gelu(self.enter(x)))
        x = x.transpose(1, 2) if self.over == "tokens" else x
        after: Tensor = x + self.residual * h
        return after


class MLPMixer(BlockNetwork):
    """Patches through a linear layer, ``depth`` blocks of two halves, LayerNorm, mean over tokens, readout.

    (B, colours S^2) -> (B, outputs). An image of ``size`` S has T = (S / patch)^2 tokens of C ``channels``; the inner
    layers have ``hidden`` units in both halves. Weights are N(0, sigma_w^2 / fan-in), biases N(0, sigma_b^2); the first
    and the last layer have sigma_w = 1. Raises ``BadInput`` for a patch that does not divide the size and for numbers
    out of range.
    """

    @checked(
        self=anything,
        channels=size,
        depth=size,
        size=size,
        patch=size,
        hidden=optional(size),
        colours=size,
        outputs=size,
        weight_variance=strength,
        bias_variance=strength,
        residual=strength,
    )
    def __init__(
        self,
        channels: int,
        depth: int,
        *,
        size: int,
        patch: int,
        hidden: int | None = None,
        colours: int = 3,
        outputs: int = 10,
        weight_variance: float = 2.0,
        bias_variance: float = 0.0,
        residual: float = 1.0,
    ) -> None:
        super().__init__()
        if patch < 1 or size % patch:
            raise BadInput(f"patch is {patch}: it must divide the size {size}.")
        if channels < 1 or depth < 1:
            raise BadInput(f"channels is {channels} and depth {depth}: both must be at least 1.")
        self.channels, self.depth, self.size, self.patch, self.colours = channels, depth, size, patch, colours
        self.hidden = hidden or 2 * channels
        self.numbers = {
            "weight_variance": float(weight_variance),
            "bias_variance": float(bias_variance),
            "residual": float(residual),
        }
        sizes = {"tokens": (size // patch) ** 2, "channels": channels}
        self.first = nn.Linear(colours * patch**2, channels)
        self.blocks = nn.ModuleList(
            Mixing(number, self.hidden, over) for _ in range(depth) for over, number in sizes.items()
        )
        self.readout = nn.Linear(channels, outputs)
        self._check()

    @property
    def _parts(self) -> list[Mixing]:
        return cast(list[Mixing], list(self.blocks))

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw fresh weights in place."""
        weight, bias = (math.sqrt(self.numbers[name]) for name in ("weight_variance", "bias_variance"))
        inner = [layer for half in self._parts for layer in (half.enter, half.leave)]
        with torch.no_grad():
            for layer in (self.first, *inner, self.readout):
                scale = weight if layer in inner else 1.0
                fill(layer.weight, generator, scale / math.sqrt(layer.in_features))
                fill(layer.bias, generator, 0.0 if layer is self.readout else bias)

    def embedded(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, C) that the first block is given."""
        side, patch = self.size // self.patch, self.patch
        image = inputs.view(-1, self.colours, side, patch, side, patch)
        tokens: Tensor = self.first(image.permute(0, 2, 4, 1, 3, 5).reshape(-1, side**2, self.colours * patch**2))
        return tokens

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (B, outputs)."""
        h = self.embedded(inputs)
        for half in self._parts:
            h = half(h)
        out: Tensor = self.readout(normalized(h, "layer").mean(1))
        return out

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        names = ("channels", "depth", "size", "patch", "hidden", "colours")
        outputs = self.readout.out_features
        return {
            "learner": type(self).__name__, **{name: getattr(self, name) for name in names}, "outputs": outputs,
            **self.numbers,
        }  # fmt: skip
