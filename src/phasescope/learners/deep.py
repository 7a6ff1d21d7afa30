"""Two deeper networks on numbers modulo p: a ReLU network of three or more layers, and a one-layer transformer.

They are the general architectures of Doshi et al. 2023, arXiv:2310.13061, Sec. 2.2 and Fig. 7. Their first weights are
called ``embed`` (S, p, H) as in ``PowerMLP``, so that ``instruments.fourier.embed_participation`` reads them; the last
ones are ``output``, because no neuron of the first layer meets them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.checks import anything, checked, optional
from phasescope.learners.attention import attend, per_head
from phasescope.learners.sizes import size
from phasescope.vocabulary import BadInput


def _embedded(embed: Tensor, inputs: Tensor, *, training: bool) -> Tensor:
    """Return (N, S, H): the row of ``embed`` (1 or S, p, H) that each of ``inputs`` (N, S) names."""
    slots, p = inputs.shape[-1], embed.shape[1]
    if not training:
        # the same numbers by looking rows up; its gradient would be a scatter, slow and unordered on a GPU
        rows = inputs.long()
        return torch.stack([embed[s % len(embed), rows[:, s]] for s in range(slots)], dim=1)
    # compared, not functional.one_hot: that one can not be stacked by vmap
    hot = (inputs[..., None] == torch.arange(p, device=inputs.device)).to(embed.dtype)
    return torch.stack([hot[:, s] @ embed[s % len(embed)] for s in range(slots)], dim=1)


def _fill(weight: Tensor, deviation: float, generator: np.random.Generator) -> None:
    with torch.no_grad():
        weight.copy_(torch.from_numpy(deviation * generator.standard_normal(tuple(weight.shape))))


def _check(p: int, width: int, **counts: int) -> None:
    for name, value, least in (("p", p, 2), ("width", width, 1), *((name, n, 1) for name, n in counts.items())):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise BadInput(f"{name} is {value}: it must be an integer >= {least}.")


class DeepMLP(nn.Module):
    """ReLU network of ``layers`` >= 2 weight layers on one-hot inputs: (N, S) integers below ``p`` -> (N, K) logits.

    ``f(n) = V relu(H_l ... relu(H_1 relu(sum_s U_s[n_s])))``, no biases; parameters ``embed`` (S, p, H), ``hidden``
    (layers - 2, H, H) and ``output`` (K, H), drawn from N(0, 2 / fan-in), the standard parametrization (Doshi et al.
    2023, arXiv:2310.13061, App. G.3). Raises ``BadInput`` for sizes that are no positive integers.
    """

    @checked(self=anything, p=size, width=size, layers=size, arity=size, outputs=optional(size))
    def __init__(self, p: int, width: int, *, layers: int = 3, arity: int = 2, outputs: int | None = None) -> None:
        super().__init__()
        _check(p, width, layers=layers, arity=arity)
        if layers < 2:
            raise BadInput(f"layers is {layers}: give at least 2, the first and the last.")
        self.p, self.width, self.layers, self.arity, self.outputs = p, width, layers, arity, outputs or p
        self.embed = nn.Parameter(torch.zeros(arity, p, width))
        self.hidden = nn.Parameter(torch.zeros(layers - 2, width, width))
        self.output = nn.Parameter(torch.zeros(self.outputs, width))

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw fresh Gaussian weights of variance 2 / fan-in, in place; the first layer's fan-in is S p."""
        _fill(self.embed, math.sqrt(2 / (self.arity * self.p)), generator)
        _fill(self.hidden, math.sqrt(2 / self.width), generator)
        _fill(self.output, math.sqrt(2 / self.width), generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (N, K) of integer ``inputs`` (N, S)."""
        z = torch.relu(_embedded(self.embed, inputs, training=self.training).sum(1))
        for layer in range(self.layers - 2):
            z = torch.relu(z @ self.hidden[layer].T)
        return z @ self.output.T

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        names = ("p", "width", "layers", "arity", "outputs")
        return {"learner": type(self).__name__, **{name: getattr(self, name) for name in names}}


class OneLayerTransformer(nn.Module):
    """One encoder block on S tokens modulo ``p``, read at the last one: (N, S) integers below ``p`` -> (N, p) logits.

    Token and position embeddings, attention with ``heads`` heads over all tokens, a ReLU layer of four times the width,
    residual sums, no biases and no normalization: the encoder of the code of Doshi et al. 2023 (arXiv:2310.13061,
    Fig. 7), there with d = 128 and 4 heads. Embeddings are drawn from N(0, 1), matrices from N(0, 1 / fan-in), and
    logits are divided by sqrt(d), as there. Raises ``BadInput`` for sizes that are no positive integers, and for a
    width that ``heads`` does not divide.
    """

    @checked(self=anything, p=size, width=size, heads=size, arity=size)
    def __init__(self, p: int, width: int = 128, *, heads: int = 4, arity: int = 2) -> None:
        super().__init__()
        _check(p, width, heads=heads, arity=arity)
        if width % heads:
            raise BadInput(f"width is {width} and heads is {heads}: the width must be a multiple of the heads.")
        self.p, self.width, self.heads, self.arity = p, width, heads, arity
        self.embed = nn.Parameter(torch.zeros(1, p, width))
        self.position = nn.Parameter(torch.zeros(arity, width))
        self.query, self.key, self.value, self.mix = (nn.Parameter(torch.zeros(width, width)) for _ in range(4))
        self.widen = nn.Parameter(torch.zeros(4 * width, width))
        self.narrow = nn.Parameter(torch.zeros(width, 4 * width))
        self.output = nn.Parameter(torch.zeros(p, width))

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw fresh Gaussian weights, in place: embeddings of variance 1, matrices of 1 / fan-in."""
        for weight in self.parameters():
            is_embedding = weight is self.embed or weight is self.position
            _fill(weight, 1.0 if is_embedding else weight.shape[-1] ** -0.5, generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (N, p) of integer ``inputs`` (N, S)."""
        z = _embedded(self.embed, inputs, training=self.training) + self.position
        last = z[:, -1:]
        asked = ((last, self.query), (z, self.key), (z, self.value))
        mixed = attend(*(per_head(functional.linear(x, weight), self.heads) for x, weight in asked))
        z = (last + functional.linear(mixed.flatten(-2), self.mix))[:, 0]
        z = z + functional.linear(torch.relu(functional.linear(z, self.widen)), self.narrow)
        return functional.linear(z, self.output) / math.sqrt(self.width)

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        names = ("p", "width", "heads", "arity")
        return {"learner": type(self).__name__, **{name: getattr(self, name) for name in names}}
