"""What networks of equal blocks have in common: numbers that may differ per member, and names for their blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.vocabulary import BadInput, Knob


class BlockNetwork(nn.Module):
    """A network with ``numbers`` that a grid may set per member, and ``blocks`` with a residual strength as a buffer.

    Every number must be finite and at least 0, or ``BadInput`` is raised. ``numbers["residual"]`` is written into the
    blocks, so that members with different ones can be stacked.
    """

    numbers: dict[str, float]
    blocks: nn.ModuleList

    def _check(self) -> None:
        for name, value in self.numbers.items():
            if not 0 <= value < math.inf:
                raise BadInput(f"{name} is {value}: it must be finite and at least 0.")
        for block in self.blocks:
            cast(Tensor, block.residual).fill_(self.numbers["residual"])

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """The numbers that a grid may set per member."""
        return dict(self.numbers)

    def with_knobs(self, own: Mapping[str, Knob]) -> None:
        """Set the member's own numbers."""
        self.numbers = {**self.numbers, **{name: float(value) for name, value in own.items()}}
        self._check()

    @property
    def places(self) -> list[str]:
        """The names of the blocks, in order, for ``instruments.forward_pass.passage``."""
        return [f"blocks.{i}" for i in range(len(self.blocks))]


def fill(parameter: Tensor, generator: np.random.Generator, deviation: float) -> None:
    """Draw ``parameter`` anew in place, independent N(0, deviation^2)."""
    drawn = generator.standard_normal(tuple(parameter.shape), dtype=np.float32)
    parameter.copy_(torch.from_numpy(drawn) * deviation)
