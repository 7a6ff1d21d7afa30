"""The two losses, per sample; a loss is their weighted mean."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sample_losses(logits: Tensor, labels: Tensor, loss: str) -> Tensor:
    """Return the loss of each sample (N,) from ``logits`` (N, K).

    ``"mse"``: mean over the K outputs of the squared distance to the one-hot label, or to float targets (N, K).
    ``"cross_entropy"``: in nats, labels (N,) integers.
    """
    if loss == "cross_entropy":
        return functional.cross_entropy(logits, labels.long(), reduction="none")
    if labels.ndim == logits.ndim:
        return (logits - labels).square().mean(-1)
    hot = labels[..., None] == torch.arange(logits.shape[-1], device=logits.device)
    return (logits - hot.to(logits.dtype)).square().mean(-1)


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of ``values`` (N,), weighted with ``weights`` (N,) where there are any."""
    return values.mean() if weights is None else torch.sum(values * weights) / torch.sum(weights)
