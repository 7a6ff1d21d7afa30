"""A decoder for small studies of sequences: tokens or vectors in, logits at the places that are asked."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.checks import anything, checked, flag, optional, text, word
from phasescope.learners.attention import ALL, Block, normalized_by, rotations, seen_with, sinusoids
from phasescope.learners.block_network import fill
from phasescope.learners.signal import PHI
from phasescope.learners.sizes import count, size
from phasescope.vocabulary import BadInput, nearest

Positions = Literal["none", "learned", "sinusoidal", "rope", "alibi"]
Mask = Literal["causal", "none", "examples"]
Read = Literal["last", "all", "questions"]
READ = {"last": slice(-1, None), "all": ALL, "questions": slice(0, None, 2)}
DEVIATION = 0.02


class Decoder(nn.Module):
    """A transformer on sequences: (N, T) integers, or (N, T, D) ``vectors``, -> logits where it is ``read``.

    ``inputs`` is the number of tokens, or D; ``outputs`` K is the same unless given. ``read`` "last": (N, K) at the
    last token; "all": (N, T, K); "questions": (N, (T + 1) // 2, K) at every other token from the first. The last block
    works at these tokens alone. Sequences may have any length T, up to ``length`` with learned positions.

    ``layers`` blocks of ``heads`` heads and a perceptron of ``hidden`` units: four times the width unless given, none
    for 0. ``positions``: "learned" (a vector each) and "sinusoidal" (arXiv:1706.03762) are added to the embeddings,
    "rope" turns queries and keys (arXiv:2104.09864), "alibi" lowers scores with the distance (arXiv:2108.12409), "none"
    leaves the mask alone to tell places. ``mask``: "causal", "none", or "examples" for question 1, example 1, question
    2, example 2, ..., where a token sees itself and the examples before it (``attention.visible``).

    ``norm`` "pre" has one more normalization before the readout, "post" stands after each sum, "none" is none;
    ``normalizer`` "layer" or "rms". With ``bias`` the linear layers and LayerNorms have one, but not the readout, which
    is the embedding if ``tied``. ``init`` "gpt2": all weights N(0, 0.02^2), those that write into the residual sum over
    the square root of the number of such layers, biases 0 (Radford et al. 2019, Sec. 2.3; embeddings alike); "torch":
    what torch's own Linear and Embedding draw.

    Raises ``BadInput`` for unknown words and for sizes that do not fit; in use, for tokens outside the vocabulary.
    """

    @checked(
        self=anything,
        inputs=size,
        outputs=optional(size),
        vectors=flag,
        width=size,
        layers=size,
        heads=size,
        hidden=optional(count),
        activation=text,
        positions=word("none", "learned", "sinusoidal", "rope", "alibi"),
        length=optional(size),
        mask=word("causal", "none", "examples"),
        read=word("last", "all", "questions"),
        norm=word("pre", "post", "none"),
        normalizer=word("layer", "rms"),
        bias=flag,
        tied=flag,
        init=word("gpt2", "torch"),
    )
    def __init__(
        self,
        inputs: int,
        outputs: int | None = None,
        *,
        vectors: bool = False,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        hidden: int | None = None,
        activation: str = "gelu",
        positions: Positions = "rope",
        length: int | None = None,
        mask: Mask = "causal",
        read: Read = "last",
        norm: Literal["pre", "post", "none"] = "pre",
        normalizer: Literal["layer", "rms"] = "layer",
        bias: bool = True,
        tied: bool = False,
        init: Literal["gpt2", "torch"] = "gpt2",
    ) -> None:
        super().__init__()
        self.inputs, self.outputs, self.vectors = inputs, inputs if outputs is None else outputs, vectors
        self.width, self.layers, self.heads = width, layers, heads
        self.hidden = 4 * width if hidden is None else hidden
        self.activation, self.positions, self.length, self.mask, self.read = activation, positions, length, mask, read
        self.norm, self.normalizer, self.bias, self.tied, self.init = norm, normalizer, bias, tied, init
        self._check(outputs)
        self.embed = nn.Linear(inputs, width, bias) if vectors else nn.Embedding(inputs, width)
        if length is not None:
            self.position = nn.Parameter(torch.zeros(length, width))
        kind = nn.RMSNorm if normalizer == "rms" else nn.LayerNorm
        self.blocks = nn.ModuleList(
            Block(width, heads, self.hidden, activation=activation, norm=norm, normalize=kind, bias=bias)
            for _ in range(layers)
        )
        self.final = normalized_by(kind, width, bias=bias) if norm == "pre" else nn.Identity()
        self.readout = None if tied else nn.Linear(width, self.outputs, bias=False)

    def _check(self, outputs: int | None) -> None:
        sizes, each = f"width is {self.width} and heads is {self.heads}", self.width / self.heads
        if self.activation not in PHI:
            raise BadInput(f"there is no activation {self.activation!r}{nearest(self.activation, PHI)}")
        if not each.is_integer():
            raise BadInput(f"{sizes}: the width must be a multiple of the heads.")
        if self.positions == "rope" and each % 2:
            raise BadInput(f"{sizes}: rope turns pairs of units, so width / heads must be even.")
        if self.positions == "sinusoidal" and self.width % 2:
            raise BadInput(f"width is {self.width}: sinusoidal positions are pairs of sin and cos, so it must be even.")
        if (self.positions == "learned") != (self.length is not None):
            raise BadInput(
                f"length is {self.length} and positions is {self.positions!r}: give the length of the longest sequence "
                "with learned positions, and with no others."
            )
        if self.vectors and outputs is None:
            raise BadInput("outputs is None: say how many numbers to answer; only tokens are answered by tokens.")
        if self.tied and (self.vectors or self.outputs != self.inputs):
            given = f"{self.inputs} {'dimensions' if self.vectors else 'tokens'}"
            raise BadInput(
                f"tied is True with {given} and {self.outputs} outputs: one matrix serves both ends only where tokens "
                "are answered by the same tokens."
            )

    @property
    def places(self) -> list[str]:
        """The names of the blocks, in order, for ``instruments.forward_pass.passage``."""
        return [f"blocks.{i}" for i in range(self.layers)]

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw fresh weights in place, as ``init`` says."""
        small, sums = self.init == "gpt2", self.layers * (2 if self.hidden else 1)
        with torch.no_grad():
            if self.length is not None:
                fill(self.position, generator, DEVIATION if small else 1.0)
            for name, module in self.named_modules():
                if isinstance(module, nn.LayerNorm | nn.RMSNorm):
                    module.reset_parameters()
                elif isinstance(module, nn.Embedding):
                    fill(module.weight, generator, DEVIATION if small else 1.0)
                elif isinstance(module, nn.Linear) and small:
                    inward = name.endswith((".back", ".down"))
                    fill(module.weight, generator, DEVIATION / math.sqrt(sums) if inward else DEVIATION)
                    if module.bias is not None:
                        module.bias.zero_()
                elif isinstance(module, nn.Linear):
                    for parameter in module.parameters():
                        drawn = generator.uniform(-1, 1, tuple(parameter.shape)) / math.sqrt(module.in_features)
                        parameter.copy_(torch.from_numpy(drawn))

    def embedded(self, inputs: Tensor) -> Tensor:
        """Return the tokens (N, T, width) that the first block is given."""
        axes, tokens = (3, f"(N, T, {self.inputs}) floats") if self.vectors else (2, "(N, T) integers")
        fits = inputs.ndim == axes and inputs.is_floating_point() == self.vectors
        if not fits or (self.vectors and inputs.shape[-1] != self.inputs):
            kind = str(inputs.dtype).removeprefix("torch.")
            raise BadInput(f"the decoder was given {kind} of shape {tuple(inputs.shape)}: it takes {tokens}.")
        length = inputs.shape[1]
        h: Tensor = self.embed(inputs) if self.vectors else self._looked_up(inputs)
        if self.length is None:
            return h + sinusoids(length, self.width, h) if self.positions == "sinusoidal" else h
        if length > self.length:
            raise BadInput(f"a sequence has {length} tokens: this decoder has {self.length} learned places.")
        return h + self.position[:length]

    def _looked_up(self, tokens: Tensor) -> Tensor:
        # by index: of stacked networks functional.embedding would read another one's rows for a token that is too large
        rows = torch.where(tokens < 0, self.inputs, tokens.long())
        try:
            return self.embed.weight[rows]
        except IndexError:
            raise BadInput(f"a token lies outside 0 to {self.inputs - 1}: give the decoder more inputs.") from None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits where they are read: (N, K), (N, T, K) or (N, (T + 1) // 2, K)."""
        h, rows = self.embedded(inputs), READ[self.read]
        length = h.shape[1]
        bias = seen_with(self.mask, self.positions, self.heads, length, h)
        turn = rotations(length, self.width // self.heads, h) if self.positions == "rope" else None
        *before, last = self.blocks
        for block in before:
            h = block(h, bias, turn)
        h = self.final(last(h, None if bias is None else bias[:, rows], turn, rows=rows))
        logits = functional.linear(h, self.embed.weight) if self.readout is None else self.readout(h)
        return logits[:, 0] if self.read == "last" else logits

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        names = (
            "inputs", "outputs", "vectors", "width", "layers", "heads", "hidden", "activation", "positions", "length",
            "mask", "read", "norm", "normalizer", "bias", "tied", "init",
        )  # fmt: skip
        return {"learner": type(self).__name__, **{name: getattr(self, name) for name in names}}
