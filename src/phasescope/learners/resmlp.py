"""A small ResMLP: patches of an image, mixed by linear maps across patches and by small networks within each.

Touvron et al. 2021, arXiv:2105.03404: no normalization but learnt scales and shifts, and two residual branches a block.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.checks import anything, checked
from phasescope.learners.sizes import size, strength
from phasescope.vocabulary import BadInput


class Affine(nn.Module):
    """Scale and shift of each channel: what stands in ResMLP where others normalize. (..., width) -> (..., width)."""

    def __init__(self, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.start = scale
        self.scale = nn.Parameter(torch.full((width,), scale))
        self.shift = nn.Parameter(torch.zeros(width))

    def reset_parameters(self) -> None:
        """Set the scale to its start and the shift to 0."""
        with torch.no_grad():
            self.scale.fill_(self.start)
            self.shift.zero_()

    def forward(self, h: Tensor) -> Tensor:
        """Return the scaled and shifted signal."""
        return h * self.scale + self.shift


class ResMLPBlock(nn.Module):
    """Two residual branches on (B, patches, width): a linear map across patches, and a GELU network within each."""

    def __init__(self, patches: int, width: int, layer_scale: float) -> None:
        super().__init__()
        self.before_patches, self.before_channels = Affine(width), Affine(width)
        self.across = nn.Linear(patches, patches)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.after_patches, self.after_channels = Affine(width, layer_scale), Affine(width, layer_scale)

    def forward(self, h: Tensor) -> Tensor:
        """Return the residual stream after both branches."""
        mixed = self.across(self.before_patches(h).transpose(1, 2)).transpose(1, 2)
        h = h + self.after_patches(mixed)
        inner = self.narrow(functional.gelu(self.widen(self.before_channels(h))))
        out: Tensor = h + self.after_channels(inner)
        return out


class ResMLP(nn.Module):
    """Square images of one channel, flattened (B, side^2) float -> (B, outputs) logits.

    ``patch`` x ``patch`` pixels become one of the patches of ``width`` channels; ``depth`` blocks; ``layer_scale`` is
    the start of the learnt factor at the end of each branch (1 here; the paper has smaller ones). Raises
    ``BadInput`` when ``patch`` does not divide ``side``.
    """

    @checked(self=anything, side=size, width=size, depth=size, patch=size, outputs=size, layer_scale=strength)
    def __init__(
        self,
        side: int,
        width: int = 32,
        depth: int = 12,
        *,
        patch: int = 2,
        outputs: int = 10,
        layer_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if patch < 1 or side % patch:
            raise BadInput(f"patch is {patch}: it must divide the side of the image, {side}.")
        self.side, self.width, self.depth, self.patch = side, width, depth, patch
        self.outputs, self.layer_scale = outputs, layer_scale
        patches = (side // patch) ** 2
        self.embed = nn.Linear(patch * patch, width)
        self.blocks = nn.Sequential(*[ResMLPBlock(patches, width, layer_scale) for _ in range(depth)])
        self.last = Affine(width)
        self.readout = nn.Linear(width, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (B, outputs) of ``inputs`` (B, side^2)."""
        across = self.side // self.patch
        pixels = inputs.reshape(-1, across, self.patch, across, self.patch).transpose(2, 3)
        h = self.embed(pixels.reshape(-1, across * across, self.patch * self.patch))
        out: Tensor = self.readout(self.last(self.blocks(h)).mean(1))
        return out

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        names = ("side", "width", "depth", "patch", "outputs", "layer_scale")
        return {"learner": "ResMLP", **{name: getattr(self, name) for name in names}}
