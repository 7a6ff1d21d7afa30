"""A transformer that learns energies in context: E(x | x_1 ... x_n), with weights that stay as they are.

Schaeffer et al. 2024, arXiv:2402.10202, Sec. 3 (also arXiv:2406.12785). Each point of a context is one token.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.checks import anything, checked
from phasescope.learners.attention import Block
from phasescope.learners.sizes import size
from phasescope.vocabulary import BadInput

Past = list[Tensor]


class _Block(Block):
    """The block of a transformer, in which candidates stand beside their context."""

    def forward(self, h: Tensor, past: Tensor) -> Tensor:  # type: ignore[override]
        """Return the next states of candidates ``h`` (B, T, width): each sees the context before it, and itself."""
        q, k, v = (x.transpose(1, 2) for x in self.split(h))
        _, keys, values = (x.transpose(1, 2) for x in self.split(past))
        T, scale = h.shape[1], 1 / math.sqrt(q.shape[-1])
        before = torch.ones(T, T, dtype=torch.bool, device=h.device).tril(-1)
        scores = (q @ keys.transpose(-1, -2) * scale).masked_fill(~before, -math.inf)
        own = (q * k).sum(-1, keepdim=True) * scale
        weights = torch.cat([scores, own], -1).softmax(-1)
        mixed = weights[..., :-1] @ values + weights[..., -1:] * v
        return self.joined(h, mixed.transpose(1, 2))


class ContextEnergy(nn.Module):
    """Energies of candidates given the points before them: (B, T, D), (B, T, D) -> (B, T).

    Candidate t sees context points 1 ... t - 1 and itself; the energy of the true next point is that of the candidate
    equal to it. No positions are encoded: the order of the points carries nothing. ``width`` is divisible by ``heads``.
    """

    @checked(self=anything, dimensions=size, width=size, layers=size, heads=size)
    def __init__(self, dimensions: int = 2, *, width: int = 32, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        if min(dimensions, width, layers, heads) < 1 or width % heads:
            raise BadInput(f"width is {width} with {heads} heads: give positive numbers, the width divisible by heads.")
        self.dimensions, self.width, self.layers, self.heads = dimensions, width, layers, heads
        self.embed = nn.Linear(dimensions, width)
        self.blocks = nn.ModuleList([_Block(width, heads, 4 * width) for _ in range(layers)])
        self.norm, self.readout = nn.LayerNorm(width), nn.Linear(width, 1)

    def describe(self) -> Mapping[str, Any]:
        """Return the sizes that make this network."""
        return {name: getattr(self, name) for name in ("dimensions", "width", "layers", "heads")}

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw every matrix from N(0, 1/inputs); biases 0, gains 1."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    draw = generator.standard_normal(tuple(module.weight.shape)) / math.sqrt(module.in_features)
                    module.weight.copy_(torch.from_numpy(draw))
                    module.bias.zero_()

    def past(self, context: Tensor) -> Past:
        """Return the context's states before each block, the list that ``energies`` takes: compute it once."""
        states = [self.embed(context)]
        for block in self.blocks:
            states.append(block(states[-1], states[-1]))
        return states

    def energies(self, past: Past, candidates: Tensor) -> Tensor:
        """Return the energies (B, T) of ``candidates`` (B, T, D) given the context whose states are ``past``."""
        h = self.embed(candidates)
        for block, before in zip(self.blocks, past, strict=False):
            h = block(h, before)
        return self.read(h)

    def read(self, h: Tensor) -> Tensor:
        """Return the energies (B, T) read off final states (B, T, width)."""
        energy: Tensor = self.readout(self.norm(h)).squeeze(-1)
        return energy

    def forward(self, context: Tensor, candidates: Tensor) -> Tensor:
        """Return the energies (B, T) of ``candidates`` (B, T, D), each given the ``context`` (B, T, D) before it."""
        return self.energies(self.past(context), candidates)
