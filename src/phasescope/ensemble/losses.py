"""The two losses, per sample; a loss is their weighted mean."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

FEW = 32  # classes, up to which torch's softmax on a CPU is several times as fast along the first axis


def sample_losses(logits: Tensor, labels: Tensor, loss: str, *, quick: bool = False) -> Tensor:
    """Return the loss of each sample (N,) from ``logits`` (N, K).

    ``"mse"``: mean over the K outputs of the squared distance to the one-hot label, or to float targets (N, K).
    ``"cross_entropy"``: in nats, labels (N,) integers. ``quick`` may give other last bits.
    """
    if loss == "cross_entropy" and quick and logits.shape[-1] <= FEW and logits.device.type == "cpu":
        return -torch.log_softmax(logits.t().contiguous(), 0).gather(0, labels.long()[None])[0]
    if loss == "cross_entropy":
        return functional.cross_entropy(logits, labels.long(), reduction="none")
    if labels.ndim == logits.ndim:
        return (logits - labels).square().mean(-1)
    hot = labels[..., None] == torch.arange(logits.shape[-1], device=logits.device)
    return (logits - hot.to(logits.dtype)).square().mean(-1)


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of ``values`` (N,), weighted with ``weights`` (N,) where there are any."""
    return values.mean() if weights is None else torch.sum(values * weights) / torch.sum(weights)
