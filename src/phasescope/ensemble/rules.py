"""Updates that torch has no fused kernels for: RMSprop, Lion and Muon, on lists of stacked parameters (B, ...)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan et al. 2024, kellerjordan.github.io/posts/muon
NEWTON_SCHULZ_STEPS, LEAST_NORM = 5, 1e-7


def decay(theta: Any, n: Mapping[str, float]) -> None:
    """Take the decoupled weight decay of one step off the parameters, in place."""
    if n["weight_decay"]:
        torch._foreach_mul_(theta, 1 - n["lr"] * n["weight_decay"])


def rmsprop(theta: Any, g: Any, states: Any, n: Mapping[str, float], step: int) -> None:
    """Take torch's RMSprop step, in place: ``beta2`` is its alpha; weight decay is decoupled."""
    m, v = states
    decay(theta, n)
    torch._foreach_mul_(v, n["beta2"])
    torch._foreach_addcmul_(v, g, g, 1 - n["beta2"])
    size = torch._foreach_sqrt(v)
    torch._foreach_add_(size, n["eps"])
    if not n["momentum"]:
        torch._foreach_addcdiv_(theta, g, size, -n["lr"])
        return
    torch._foreach_mul_(m, n["momentum"])
    torch._foreach_addcdiv_(m, g, size)
    torch._foreach_add_(theta, m, alpha=-n["lr"])


def lion(theta: Any, g: Any, states: Any, n: Mapping[str, float], step: int) -> None:
    """Take the step of Chen et al. 2023, arXiv:2302.06675, Algorithm 2, in place: the sign of an interpolation."""
    m = states[0]
    decay(theta, n)
    update = torch._foreach_mul(m, n["beta1"])
    torch._foreach_add_(update, g, alpha=1 - n["beta1"])
    torch._foreach_sign_(update)
    torch._foreach_add_(theta, update, alpha=-n["lr"])
    torch._foreach_mul_(m, n["beta2"])
    torch._foreach_add_(m, g, alpha=1 - n["beta2"])


def muon(theta: Any, g: Any, states: Any, n: Mapping[str, float], step: int) -> None:
    """Take a step of Muon, in place, on matrices, and AdamW's at ``lr * lr_others`` on all else.

    The momentum, with Nesterov's form, is made orthogonal and scaled by sqrt(max(1, rows / columns)). Kernels of
    convolutions are matrices of (out, the rest).
    """
    m, v = states
    own = [i for i, p in enumerate(theta) if p.ndim > 2]  # beside the members' axis
    rest = [i for i, p in enumerate(theta) if p.ndim <= 2]
    if rest:
        torch._fused_adamw_(
            [theta[i] for i in rest], [g[i] for i in rest], [m[i] for i in rest], [v[i] for i in rest], [],
            [torch.tensor(float(step), device=theta[0].device)] * len(rest), lr=n["lr"] * n["lr_others"],
            beta1=n["beta1"], beta2=n["beta2"], weight_decay=n["weight_decay"], eps=n["eps"], amsgrad=False,
            maximize=False,
        )  # fmt: skip
    if not own:
        return
    matrices, gradients, moments = ([stack[i] for i in own] for stack in (theta, g, m))
    decay(matrices, n)
    torch._foreach_mul_(moments, n["momentum"])
    torch._foreach_add_(moments, gradients, alpha=1 - n["momentum"])
    ahead = torch._foreach_mul(moments, n["momentum"])
    torch._foreach_add_(ahead, gradients, alpha=1 - n["momentum"])
    for p, update in zip(matrices, ahead, strict=True):
        flat = update.flatten(2)
        rows, columns = flat.shape[1:]
        p.sub_(orthogonal(flat).view(p.shape), alpha=n["lr"] * max(1, rows / columns) ** 0.5)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return matrices (B, R, C) with all singular values brought near 1, between 0.7 and 1.2, by Newton-Schulz steps.

    In the precision of the matrices, where the author's code takes bfloat16.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + LEAST_NORM)
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).contiguous()


def uphill(parameters: Sequence[Tensor], gradients: Sequence[Tensor], radius: Tensor) -> None:
    """Move each member's parameters (B, ...) by ``radius`` (B,) along its gradient, in place.

    The first of the two gradients of sharpness-aware minimization: Foret et al. 2020, arXiv:2010.01412, Eq. 2, p = 2.
    """
    norm = torch.linalg.vector_norm(torch.cat([g.flatten(1) for g in gradients], 1), dim=1)
    scale = radius.to(norm.dtype) / (norm + 1e-12)
    torch._foreach_addcmul_(list(parameters), list(gradients), [scale.view(-1, *[1] * (g.ndim - 1)) for g in gradients])
