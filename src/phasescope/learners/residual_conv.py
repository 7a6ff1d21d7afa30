"""A residual convolutional network whose blocks act before they convolve, with any residual strength.

The kind of He et al. 2016, arXiv:1603.05027 (pre-activation), with the residual strength mu of Doshi, He and Gromov
2023, arXiv:2111.12143: ``h^{l+1} = conv(relu(norm(h^l))) + mu h^l``. The convolutions wrap around the image, so every
position has the same number of neighbours and the recurrences of a fully connected network hold at infinitely many
channels.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.checks import anything, checked, text
from phasescope.learners.block_network import BlockNetwork, fill
from phasescope.learners.signal import EPSILON
from phasescope.learners.sizes import size, strength
from phasescope.vocabulary import BadInput, nearest

CONV_NORMS = ("none", "layer", "batch")


def image_normalized(h: Tensor, norm: str) -> Tensor:
    """Return ``h`` (B, C, S, S) normalized over each image (layer) or each channel of the batch (batch)."""
    if norm == "none":
        return h
    axes = (1, 2, 3) if norm == "layer" else (0, 2, 3)
    h = h - h.mean(axes, keepdim=True)
    return h * (h.square().mean(axes, keepdim=True) + EPSILON).rsqrt()


class ConvBlock(nn.Module):
    """One block, (B, C, S, S) -> (B, C, S, S). See ``ResidualConv``."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.norm = norm
        self.weight = nn.Parameter(torch.zeros(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.residual: Tensor
        self.register_buffer("residual", torch.zeros(()))

    def forward(self, h: Tensor) -> Tensor:
        """Return the next preactivations."""
        x = functional.pad(torch.relu(image_normalized(h, self.norm)), (1, 1, 1, 1), mode="circular")
        return functional.conv2d(x, self.weight, self.bias) + self.residual * h


class ResidualConv(BlockNetwork):
    """A first 3 x 3 convolution, ``depth`` blocks, a mean over positions and a readout: (B, 3 S^2) -> (B, outputs).

    Images are rows of ``colours`` x ``size`` x ``size`` numbers. Weights are N(0, sigma_w^2 / (9 C)), biases N(0,
    sigma_b^2); the first convolution has variance 1/(9 colours) and the readout 1/C whatever they are. ``norm``:
    "none", "layer" (over each image) or "batch". Norms have no learnt scale or shift. Raises ``BadInput`` for unknown
    norms and numbers out of range.
    """

    @checked(
        self=anything,
        channels=size,
        depth=size,
        size=size,
        colours=size,
        outputs=size,
        norm=text,
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
        colours: int = 3,
        outputs: int = 10,
        norm: str = "layer",
        weight_variance: float = 2.0,
        bias_variance: float = 0.0,
        residual: float = 1.0,
    ) -> None:
        super().__init__()
        if norm not in CONV_NORMS:
            raise BadInput(f"there is no norm {norm!r}{nearest(norm, CONV_NORMS)}")
        for name, value in (("channels", channels), ("depth", depth), ("size", size), ("colours", colours)):
            if value < 1:
                raise BadInput(f"{name} is {value}: it must be at least 1.")
        self.channels, self.depth, self.size, self.colours, self.norm = channels, depth, size, colours, norm
        self.numbers = {
            "weight_variance": float(weight_variance),
            "bias_variance": float(bias_variance),
            "residual": float(residual),
        }
        self.first = nn.Conv2d(colours, channels, 3, padding=1, padding_mode="circular")
        self.blocks = nn.ModuleList(ConvBlock(channels, norm) for _ in range(depth))
        self.readout = nn.Linear(channels, outputs)
        self._check()

    @property
    def _parts(self) -> list[ConvBlock]:
        return cast(list[ConvBlock], list(self.blocks))

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw fresh weights in place."""
        weight, bias = (math.sqrt(self.numbers[name]) for name in ("weight_variance", "bias_variance"))
        with torch.no_grad():
            fill(self.first.weight, generator, 1 / math.sqrt(9 * self.colours))
            fill(cast(Tensor, self.first.bias), generator, bias)
            for block in self._parts:
                fill(block.weight, generator, weight / math.sqrt(9 * self.channels))
                fill(block.bias, generator, bias)
            fill(self.readout.weight, generator, 1 / math.sqrt(self.channels))
            self.readout.bias.zero_()

    def embedded(self, inputs: Tensor) -> Tensor:
        """Return the channels (B, C, S, S) that the first block is given."""
        channels: Tensor = self.first(inputs.view(-1, self.colours, self.size, self.size))
        return channels

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (B, outputs)."""
        h = self.embedded(inputs)
        for block in self._parts:
            h = block(h)
        out: Tensor = self.readout(torch.relu(h).mean((2, 3)))
        return out

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        names = ("channels", "depth", "size", "colours", "norm")
        outputs = self.readout.out_features
        return {
            "learner": type(self).__name__, **{name: getattr(self, name) for name in names}, "outputs": outputs,
            **self.numbers,
        }  # fmt: skip
