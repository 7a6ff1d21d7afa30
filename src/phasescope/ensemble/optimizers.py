"""Per-member optimizers on stacked parameters: every number is a tensor (B,), so no two members need share one.

The updates are those of ``torch.optim`` (SGD with momentum, Adam, AdamW), with decoupled weight decay for SGD too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from phasescope.vocabulary import Recipe

Tensors = dict[str, Tensor]
NUMBERS = ("lr", "weight_decay", "momentum", "beta1", "beta2", "eps")


def numbers(recipes: Sequence[Recipe], device: torch.device) -> Tensors:
    """Return the recipes' numbers as float64 tensors (B,)."""
    return {
        name: torch.tensor([getattr(r, name) for r in recipes], dtype=torch.float64, device=device) for name in NUMBERS
    }


def moments(parameters: Mapping[str, Tensor]) -> tuple[Tensors, Tensors]:
    """Return zero first and second moments shaped like the stacked parameters."""
    zeros = {name: torch.zeros_like(value) for name, value in parameters.items()}
    return zeros, {name: torch.zeros_like(value) for name, value in parameters.items()}


def _like(number: Tensor, value: Tensor) -> Tensor:
    return number.to(value.dtype).reshape(-1, *([1] * (value.ndim - 1)))


def update(
    optimizer: str, parameters: Tensors, gradients: Mapping[str, Tensor], m: Tensors, v: Tensors, n: Tensors, step: int
) -> None:
    """Take optimizer step ``step`` (1, 2, ...) on all members in place; ``n`` are the numbers, ``m``, ``v`` moments."""
    for name, theta in parameters.items():
        rule = _sgd if optimizer == "sgd" else _adam
        rule(theta, gradients[name], m[name], v[name], n, step, coupled=optimizer == "adam")


def _sgd(theta: Tensor, g: Tensor, m: Tensor, v: Tensor, n: Tensors, step: int, *, coupled: bool) -> None:
    momentum = n["momentum"] if step > 1 else torch.zeros_like(n["momentum"])
    m.mul_(_like(momentum, m)).add_(g)
    theta.mul_(_like(1 - n["lr"] * n["weight_decay"], theta)).sub_(_like(n["lr"], theta) * m)


def _adam(theta: Tensor, g: Tensor, m: Tensor, v: Tensor, n: Tensors, step: int, *, coupled: bool) -> None:
    if coupled:
        g = g + _like(n["weight_decay"], theta) * theta
    else:
        theta.mul_(_like(1 - n["lr"] * n["weight_decay"], theta))
    m.mul_(_like(n["beta1"], m)).add_(_like(1 - n["beta1"], g) * g)
    v.mul_(_like(n["beta2"], v)).add_(_like(1 - n["beta2"], g) * g * g)
    rate = n["lr"] / (1 - n["beta1"] ** step)
    correction = torch.rsqrt(1 - n["beta2"] ** step)
    theta.sub_(_like(rate, theta) * m / (v.sqrt() * _like(correction, v) + _like(n["eps"], v)))
