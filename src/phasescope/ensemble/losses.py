"""Losses, per sample or per position of a sequence; a loss is their weighted mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from phasescope.samples import IGNORED
from phasescope.vocabulary import Recipe

FEW = 32  # classes, up to which torch's softmax on a CPU is several times as fast along the first axis


@dataclass(frozen=True)
class Loss:
    """What is minimized: "mse", "cross_entropy" with ``smoothing``, or one's own function (outputs, targets)."""

    kind: str | Callable[[Tensor, Tensor], Tensor]
    smoothing: float = 0.0

    @property
    def name(self) -> str:
        """The word for the loss, or the function's name."""
        return self.kind if isinstance(self.kind, str) else getattr(self.kind, "__name__", type(self.kind).__name__)

    def each(self, outputs: Tensor, targets: Tensor, *, quick: bool = False) -> Tensor:
        """Return the loss of each sample (N,), or of each position (N, T) where the targets (N, T) have positions.

        ``quick`` may give other last bits.
        """
        plain = self.kind == "cross_entropy" and not self.smoothing and targets.ndim == 1
        if quick and plain and outputs.shape[-1] <= FEW and outputs.device.type == "cpu":
            return -torch.log_softmax(outputs.t().contiguous(), 0).gather(0, targets.long()[None])[0]
        if isinstance(self.kind, str):
            return sample_losses(outputs, targets, self.kind, self.smoothing)
        return self.kind(outputs, targets if targets.is_floating_point() else targets.long())

    def mean(self, outputs: Tensor, targets: Tensor, weights: Tensor | None, *, quick: bool = False) -> Tensor:
        """Return the mean over samples with ``weights`` (N,), or over all of their positions that count."""
        values = self.each(outputs, targets, quick=quick)
        if not has_positions(targets):
            return weighted_mean(values, weights)
        counted = targets != IGNORED
        each = counted.to(values.dtype) if weights is None else counted * weights[:, None]
        return torch.where(counted, values * each, 0).sum() / each.sum()


def loss_of(recipe: Recipe) -> Loss:
    """Return the loss that a recipe names."""
    return Loss(recipe.loss, recipe.label_smoothing)


def has_positions(targets: Any) -> bool:
    """Return whether the targets (N, T) of a network are labels of the positions of sequences."""
    return targets.ndim == 2 and not targets.is_floating_point()


def sample_losses(logits: Tensor, labels: Tensor, loss: str, smoothing: float = 0.0) -> Tensor:
    """Return the loss of each sample (N,) from ``logits`` (N, K), or of each position (N, T) from (N, T, K).

    ``"mse"``: mean over the K outputs of the squared distance to the one-hot label, or to float targets (N, K).
    ``"cross_entropy"``: in nats, labels (N,) or (N, T) integers, 0 where they are ``IGNORED``, torch's ``smoothing``.
    """
    if loss == "cross_entropy":
        flat = (logits.flatten(0, -2), labels.flatten()) if labels.ndim > 1 else (logits, labels)
        values = functional.cross_entropy(
            flat[0], flat[1].long(), reduction="none", ignore_index=IGNORED, label_smoothing=smoothing
        )
        return values.view(labels.shape) if labels.ndim > 1 else values
    if labels.ndim == logits.ndim:
        return (logits - labels).square().mean(-1)
    hot = labels[..., None] == torch.arange(logits.shape[-1], device=logits.device)
    return (logits - hot.to(logits.dtype)).square().mean(-1)


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of ``values`` (N,), weighted with ``weights`` (N,) where there are any."""
    return values.mean() if weights is None else torch.sum(values * weights) / torch.sum(weights)
