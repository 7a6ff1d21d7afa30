"""What studies of layers train: a small decoder in which layers are found as in transformers' models, and how."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.learners import Decoder
from phasescope.vocabulary import Array, Generators


@dataclass
class SpeakerConfig:
    """The shape of a small decoder: words, layers, units, heads, and the longest sample."""

    vocab_size: int
    num_hidden_layers: int
    width: int
    heads: int
    max_position_embeddings: int
    is_encoder_decoder: bool = False

    def get_text_config(self) -> SpeakerConfig:
        """Return the part about text: all of it."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> SpeakerConfig:
        """Return the config of these numbers."""
        return cls(**facts)


class Base(Decoder):
    """A ``Decoder`` that is called as the base of transformers' models is."""

    def forward(self, inputs: Tensor, use_cache: bool = False) -> Tensor:
        """Return the logits (N, T, words)."""
        return super().forward(inputs)


@dataclass
class Answer:
    """What a decoder answers: ``logits`` (N, T, words) of the next word."""

    logits: Tensor


class Speaker(nn.Module):
    """A decoder of words, or of characters, with learned places."""

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        self.config = config
        self.base_model = Base(
            config.vocab_size, width=config.width, layers=config.num_hidden_layers, heads=config.heads,
            positions="learned", length=config.max_position_embeddings, read="all",
        )  # fmt: skip

    def forward(self, ids: Tensor, use_cache: bool = False) -> Answer:
        """Return the logits of ``ids`` (N, T)."""
        return Answer(self.base_model(ids))

    def can_generate(self) -> bool:
        """Say that it predicts the next word."""
        return True

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding of words."""
        return self.base_model.embed

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw the weights, as GPT-2's."""
        self.base_model.initialize(generator)


def windows(tokens: Array, starts: Array, length: int) -> Tensor:
    """Return samples (N, length) of ``tokens`` from ``starts`` (N,) on."""
    found: Any = tokens[starts[:, None] + np.arange(length)].astype(np.int64)
    return torch.from_numpy(found)


def train(
    model: nn.Module, tokens: Array, generators: Generators, purpose: str, *, steps: int, batch: int, length: int,
    rate: float,
) -> Array:  # fmt: skip
    """Train ``model`` in place on random windows of ``tokens``; return the losses (steps,) in nats per word.

    Adam with betas 0.9 and 0.98, a twentieth of the steps to warm up, a cosine down to 0, norms clipped to 1.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.98), fused=True)
    warm, losses = max(1, steps // 20), []
    for step in range(steps):
        share = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
        for group in optimizer.param_groups:
            group["lr"] = rate * share
        ids = windows(tokens, generators(purpose, step).integers(len(tokens) - length, size=batch), length)
        logits = model(ids).logits[:, :-1]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return np.array(losses)


def in_parts(losses: Array, parts: int) -> Array:
    """Return the mean losses (parts,) of equal parts of the steps."""
    return np.array([part.mean() for part in np.array_split(losses, parts)])
