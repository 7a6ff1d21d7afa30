"""A small decoder of characters for the study ``layer-pruning``: pre-norm attention and MLPs, trained from nothing.

It answers as the decoders of ``transformers`` do, so that the room ``layers`` reads it like any of them, and needs no
more than torch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.lab.speaker import Answer, SpeakerConfig


class Block(nn.Module):
    """One layer: h + attention(norm(h)), then h + MLP(norm(h)), (B, T, width) -> (B, T, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, h: Tensor) -> Tensor:
        """Return the layer's output."""
        rows, tokens, width = h.shape
        parts = self.qkv(self.norm_1(h)).view(rows, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
        h = h + self.out(mixed.transpose(1, 2).reshape(rows, tokens, width))
        out: Tensor = h + self.down(nn.functional.gelu(self.up(self.norm_2(h)), approximate="tanh"))
        return out


class Decoder(nn.Module):
    """Characters (B, T) to normalized states (B, T, width)."""

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        self.characters = nn.Embedding(config.vocab_size, config.width)
        self.places = nn.Embedding(config.max_position_embeddings, config.width)
        self.layers = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, ids: Tensor, use_cache: bool = False) -> Tensor:
        """Return the states after the last norm."""
        h = self.characters(ids) + self.places.weight[: ids.shape[1]]
        for layer in self.layers:
            h = layer(h)
        out: Tensor = self.norm(h)
        return out


class SmallGPT(nn.Module):
    """A decoder with a readout, with the attributes by which the layers of transformers' decoders are found."""

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        self.config = config
        self.base_model = Decoder(config)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)

    def forward(self, ids: Tensor, use_cache: bool = False) -> Answer:
        """Return the logits of ``ids`` (B, T)."""
        return Answer(self.head(self.base_model(ids)))

    def can_generate(self) -> bool:
        """Say that it predicts the next character."""
        return True

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding of characters."""
        return self.base_model.characters

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw the weights: std 1/sqrt(inputs), those that write into the stream / sqrt(2 L); embeddings std 0.3."""
        depth = self.config.num_hidden_layers
        with torch.no_grad():
            for name, p in self.named_parameters():
                if name.endswith(("up.bias", "down.bias")):
                    p.zero_()
                if p.dim() < 2:
                    continue  # norms keep their ones and zeros
                writes = name.endswith(("out.weight", "down.weight"))
                scale = 0.3 if "base_model.characters" in name or "places" in name else p.shape[1] ** -0.5
                scale /= math.sqrt(2 * depth) if writes else 1.0
                p.copy_(torch.from_numpy(scale * generator.standard_normal(p.shape)))
