"""A transformer whose signal propagation is known at large width: the model of ``theory.transformer_signal``.

Cowsik, Nebabu, Qi and Ganguli 2024, arXiv:2403.02579: single-head attention without mask and a two-layer perceptron,
each on a normalized branch of its own strength. Which skip connection the paper uses is not settled; ``skip`` says
which is meant, in the words of ``theory.transformer_signal.TransformerBlock``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.checks import anything, checked, optional, text
from phasescope.learners.attention import attend
from phasescope.learners.block_network import fill
from phasescope.learners.signal import PHI, normalized
from phasescope.learners.sizes import size, strength
from phasescope.vocabulary import BadInput, Knob, nearest

Skip = Literal["preserving", "reset", "growing"]
STRENGTHS = ("alpha_A", "alpha_M")


class SignalTransformerBlock(nn.Module):
    """One block, tokens (B, n, d) -> (B, n, d): attention, then the perceptron. See ``SignalTransformer``."""

    def __init__(self, width: int, hidden: int, activation: str, skip: str) -> None:
        super().__init__()
        self.phi, self.skip = PHI[activation], skip
        self.query, self.key, self.value = (nn.Parameter(torch.zeros(width, width)) for _ in range(3))
        self.widen = nn.Parameter(torch.zeros(hidden, width))
        self.narrow = nn.Parameter(torch.zeros(width, hidden))
        self.alpha_A: Tensor
        self.alpha_M: Tensor
        for name in STRENGTHS:
            self.register_buffer(name, torch.zeros(()))

    def attention(self, x: Tensor) -> Tensor:
        """Return what attention adds, for normalized tokens (B, n, d); the logits have variance sigma_A^2."""
        one_head = (functional.linear(x, weight)[..., None, :] for weight in (self.query, self.key, self.value))
        return attend(*one_head).squeeze(-2)

    def perceptron(self, x: Tensor) -> Tensor:
        """Return what the perceptron adds, for normalized tokens (B, n, d)."""
        return functional.linear(self.phi(functional.linear(x, self.widen)), self.narrow)

    def forward(self, x: Tensor) -> Tensor:
        """Return the next tokens."""
        for branch, alpha in ((self.attention, self.alpha_A), (self.perceptron, self.alpha_M)):
            unit = normalized(x, "rms pre")
            if self.skip == "reset":
                x = unit
            elif self.skip == "preserving":
                x = (1 - alpha.square()).sqrt() * x
            x = x + alpha * branch(unit)
        return x


class SignalTransformer(nn.Module):
    """Patches of an image as tokens, ``depth`` blocks, and a readout of the mean token: (B, S) float -> (B, K) logits.

    A square image of S ``inputs`` is cut into square patches of ``side`` pixels. A token is (E patch + position) /
    sqrt(2), with E of variance 1/side^2 and positions N(0, 1), so that its size is about 1; no layer has a bias. LN is
    x / |x| sqrt(d), without learnt scale. Values have variance 1/d, queries and keys sigma_A / d, hidden weights
    sigma_w^2 / d, their readout sigma_v^2 / ``hidden``, which is twice the width unless given. ``alpha_A`` and
    ``alpha_M`` are the strengths of attention and perceptron; ``alpha`` sets both. These six may differ per member.
    Parameters are in the standard parametrization: the variances are in the initial weights.

    Raises ``BadInput`` for unknown activations and skips and for numbers out of range.
    """

    @checked(
        self=anything,
        width=size,
        depth=size,
        hidden=optional(size),
        inputs=size,
        side=size,
        outputs=size,
        activation=text,
        skip=text,
        alpha=strength,
        sigma_w=strength,
        sigma_A=strength,
        sigma_v=strength,
    )
    def __init__(
        self,
        width: int,
        depth: int,
        *,
        hidden: int | None = None,
        inputs: int = 64,
        side: int = 2,
        outputs: int = 10,
        activation: str = "tanh",
        skip: Skip = "preserving",
        alpha: float = 0.5,
        sigma_w: float = 3.0,
        sigma_A: float = 1.0,
        sigma_v: float = 1.0,
    ) -> None:
        super().__init__()
        if activation not in PHI:
            raise BadInput(f"there is no activation {activation!r}{nearest(activation, PHI)}")
        if skip not in get_args(Skip):
            raise BadInput(f"there is no skip {skip!r}{nearest(skip, get_args(Skip))}")
        hidden = 2 * width if hidden is None else hidden
        for name, value in (("width", width), ("depth", depth), ("hidden", hidden), ("outputs", outputs)):
            if value < 1:
                raise BadInput(f"{name} is {value}: it must be at least 1.")
        edge = math.isqrt(inputs) if inputs > 0 else 0
        if edge**2 != inputs or side < 1 or edge % side:
            raise BadInput(f"inputs is {inputs} with patches of side {side}: give a square image that they tile.")
        self.width, self.depth, self.hidden, self.inputs, self.side = width, depth, hidden, inputs, side
        self.outputs, self.activation, self.skip = outputs, activation, skip
        self.numbers = {"sigma_w": float(sigma_w), "sigma_A": float(sigma_A), "sigma_v": float(sigma_v)}
        self.numbers |= dict.fromkeys(STRENGTHS, float(alpha))
        self.embed = nn.Parameter(torch.zeros(width, side**2))
        self.position = nn.Parameter(torch.zeros((edge // side) ** 2, width))
        self.blocks = nn.ModuleList(SignalTransformerBlock(width, hidden, activation, skip) for _ in range(depth))
        self.readout = nn.Parameter(torch.zeros(outputs, width))
        self._check()

    def _check(self) -> None:
        for name, value in self.numbers.items():
            highest = 1.0 if name in STRENGTHS and self.skip == "preserving" else math.inf
            if not 0 <= value <= highest or math.isinf(value):
                raise BadInput(f"{name} is {value}: it must be finite and in [0, {highest:g}].")
        for block in self._parts:
            for name in STRENGTHS:
                getattr(block, name).fill_(self.numbers[name])

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """The numbers that a grid may set per member; ``alpha`` is NaN where the two strengths differ."""
        attention, perceptron = (self.numbers[name] for name in STRENGTHS)
        return {"alpha": attention if attention == perceptron else math.nan, **self.numbers}

    def with_knobs(self, own: Mapping[str, Knob]) -> None:
        """Set the member's own numbers; ``alpha`` sets both strengths, and each may be given by itself beside it."""
        numbers = {name: float(value) for name, value in own.items()}
        if "alpha" in numbers:
            numbers = {**dict.fromkeys(STRENGTHS, numbers.pop("alpha")), **numbers}
        self.numbers = {**self.numbers, **numbers}
        self._check()

    @property
    def _parts(self) -> list[SignalTransformerBlock]:
        return cast(list[SignalTransformerBlock], list(self.blocks))

    @property
    def places(self) -> list[str]:
        """The names of the blocks, in order, for ``instruments.forward_pass.passage``."""
        return [f"blocks.{i}" for i in range(self.depth)]

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw fresh weights in place."""
        d, numbers = self.width, self.numbers
        with torch.no_grad():
            fill(self.embed, generator, 1 / self.side)
            fill(self.position, generator, 1.0)
            for block in self._parts:
                for weight in (block.query, block.key):
                    fill(weight, generator, math.sqrt(numbers["sigma_A"] / d))
                fill(block.value, generator, 1 / math.sqrt(d))
                fill(block.widen, generator, numbers["sigma_w"] / math.sqrt(d))
                fill(block.narrow, generator, numbers["sigma_v"] / math.sqrt(self.hidden))
            fill(self.readout, generator, 1 / math.sqrt(d))

    def embedded(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, n, d) of images (B, S), patches from left to right, then down."""
        edge, side = math.isqrt(self.inputs), self.side
        count = edge // side
        patches = inputs.reshape(-1, count, side, count, side).transpose(2, 3).reshape(-1, count**2, side**2)
        return (functional.linear(patches, self.embed) + self.position) / math.sqrt(2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (B, outputs)."""
        x = self.embedded(inputs)
        for block in self._parts:
            x = block(x)
        return functional.linear(normalized(x, "rms pre").mean(-2), self.readout)

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        names = ("width", "depth", "hidden", "inputs", "side", "outputs", "activation", "skip")
        return {"learner": type(self).__name__, **{name: getattr(self, name) for name in names}, **self.numbers}
