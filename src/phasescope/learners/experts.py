"""A polynomial composed of experts: one network per monomial, and one that adds what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.checks import anything, checked, kind, sequence
from phasescope.learners.power import ACTIVATIONS, PowerMLP
from phasescope.learners.sizes import strength
from phasescope.vocabulary import BadInput

NOTHING = 1e-30


_expert = kind(PowerMLP, say="a learners.PowerMLP")


def _experts(name: str, values: Any) -> list[PowerMLP]:
    return [_expert("an expert", value) for value in sequence(name, values, 1000)]


class ExpertsNetwork(nn.Module):
    """S ``experts`` -> softmax(``beta`` * logits) -> one ``adder``: integers (N, 2) below p -> (N, p) logits.

    Each expert is a network of the two inputs; the adder has arity S and reads, instead of one-hot numbers, the
    experts' distributions over residues (Doshi et al. 2024, arXiv:2406.03495, Eqs. 10-13). ``beta`` is the inverse
    temperature.

    Raises ``BadInput`` for an adder whose arity or modulus is not the experts', and for ``beta`` <= 0.
    """

    @checked(self=anything, experts=_experts, adder=_expert, beta=strength)
    def __init__(self, experts: Sequence[PowerMLP], adder: PowerMLP, *, beta: float = 100.0) -> None:
        super().__init__()
        if adder.arity != len(experts) or any(expert.outputs != adder.p for expert in experts):
            raise BadInput(
                f"{len(experts)} experts with outputs {[expert.outputs for expert in experts]} do not fit an adder of "
                f"arity {adder.arity} modulo {adder.p}: give as many experts as the adder has terms, all modulo p."
            )
        if not beta > 0:
            raise BadInput(f"beta is {beta}: an inverse temperature is above 0.")
        self.experts, self.adder, self.beta = nn.ModuleList(experts), adder, float(beta)

    def initialize(self, generator: np.random.Generator) -> None:
        """Write or draw the weights of each part from ``generator``, in place."""
        for part in (*self.experts, self.adder):
            part.initialize(generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (N, p) of integer ``inputs`` (N, 2)."""
        shares = torch.cat([torch.softmax(self.beta * expert(inputs), -1) for expert in self.experts], -1)
        # subnormal numbers would make the product ten times as slow
        hidden = torch.where(shares > NOTHING, shares, 0.0) @ self.adder.embed.flatten(0, 1)
        return self.adder.scale * ACTIVATIONS[self.adder.activation][2](hidden) @ self.adder.readout.T

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        experts = [expert.describe() for expert in self.experts]  # type: ignore[operator]
        return {"learner": type(self).__name__, "beta": self.beta, "experts": experts, "adder": self.adder.describe()}
