"""Readings of the loss landscape: how sharply the training loss bends around a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from phasescope.vocabulary import Instrument, Reading, Subject

__all__ = ["sharpness"]

MOST_PRODUCTS = 256  # Hessian-vector products for one reading; some tens are usual
EVERY = 8  # products between two looks at the eigenvalue


class _PlainAttention(TorchFunctionMode):
    """Attention by its formula, in this thread alone: the fast kernels have no second derivative."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return _attention(*args, **given)
        if func is functional.multi_head_attention_forward and given.get("need_weights") is False:
            return func(*args, **{**given, "need_weights": True})[0], None  # the weights are had by the formula alone
        return func(*args, **given)


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """Return softmax(scale q k^T + mask) v, as torch's ``scaled_dot_product_attention`` without dropout."""
    if enable_gqa:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        masked = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if masked else scores + attn_mask
    return scores.softmax(-1) @ value


def _sharpness(s: Subject) -> Reading:
    own = [value.detach().requires_grad_() for value in s.parameters.values()]
    if not own:
        return Reading(torch.zeros(len(s.train), dtype=torch.float64, device=s.train.device))
    with torch.enable_grad(), _PlainAttention():
        loss = s.training_loss(dict(zip(s.parameters, own, strict=True)))
        slopes = torch.autograd.grad(loss.sum(), own, create_graph=True, materialize_grads=True)
    bent = [slope for slope in slopes if slope.requires_grad]
    sizes = [value[0].numel() for value in own]

    def product(vectors: Tensor) -> Tensor:
        """Return the Hessian of each network times its own vector, (B, P)."""
        if not bent:
            return torch.zeros_like(vectors)
        parts = [part.view_as(p).to(p.dtype) for part, p in zip(torch.split(vectors, sizes, 1), own, strict=True)]
        along = [part for part, slope in zip(parts, slopes, strict=True) if slope.requires_grad]
        found = torch.autograd.grad(bent, own, along, retain_graph=True, materialize_grads=True)
        return torch.cat([part.reshape(len(vectors), -1).double() for part in found], 1)

    # an eigenvalue is as exact as the square of its vector
    tolerance = max(torch.finfo(value.dtype).eps for value in own) ** 0.5
    return largest_eigenvalue(product, len(s.train), sum(sizes), tolerance, s.train.device)


def largest_eigenvalue(
    product: Callable[[Tensor], Tensor], batch: int, size: int, tolerance: float, device: torch.device
) -> Reading:
    """Return the largest eigenvalue (B,) of B symmetric matrices (P, P) that are known by their products with vectors.

    Lanczos' recursion in float64 from a fixed start, without reorthogonalization, which the outermost eigenvalues do
    not need. A network is done when the residual of its eigenvector is below ``tolerance`` times its eigenvalue (or
    times a thousandth of the largest by size), and not valid if it never is, or if a product is not finite.
    """
    start = torch.arange(size, dtype=torch.float64, device=device).square().mul(torch.pi * 2**0.5).cos()
    vectors = (start / start.norm()).expand(batch, size)  # a chirp: no symmetry of the weights is orthogonal to it
    before, beta = torch.zeros_like(vectors), torch.zeros(batch, dtype=torch.float64, device=device)
    value, done = torch.full_like(beta, torch.nan), torch.zeros_like(beta, dtype=torch.bool)
    over = done.clone()  # the vectors so far span all that the matrix makes of them
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for count in range(1, MOST_PRODUCTS + 1):
        moved = product(vectors) - beta[:, None] * before
        alpha = (moved * vectors).sum(1)
        # beyond the end: a number that is no larger than the largest eigenvalue, and coupled to nothing
        diagonal.append(torch.where(over, diagonal[0] if diagonal else alpha, alpha))
        moved = moved - alpha[:, None] * vectors
        beta = moved.norm(dim=1)
        over |= beta <= 1e-14 * _size(diagonal, beside)
        beta = beta.masked_fill(over, 0)
        beside.append(beta)
        before, vectors = vectors, (moved / beta[:, None]).masked_fill(over[:, None], 0)
        if count % EVERY and count < MOST_PRODUCTS:
            continue
        largest, residual, most = _ritz(diagonal, beside)
        near = ~done & (residual <= tolerance * torch.maximum(largest.abs(), 1e-3 * most))
        value, done = torch.where(near, largest, value), done | near
        if bool((done | ~most.isfinite()).all()):
            break
    return Reading(value, valid=done)


def _size(diagonal: list[Tensor], beside: list[Tensor]) -> Tensor:
    return torch.stack([*diagonal, *beside]).abs().amax(0)


def _ritz(diagonal: list[Tensor], beside: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the largest Ritz value (B,), its residual, and the largest by size; NaN where a number is not finite."""
    count = len(diagonal)
    matrix = torch.diag_embed(torch.stack(diagonal, 1))
    if count > 1:
        couplings = torch.stack(beside[:-1], 1)
        matrix = matrix + torch.diag_embed(couplings, 1) + torch.diag_embed(couplings, -1)
    sound = matrix.flatten(1).isfinite().all(1)
    values, vectors = torch.linalg.eigh(matrix.masked_fill(~sound[:, None, None], 0).cpu())
    values, vectors = values.to(matrix.device), vectors.to(matrix.device)
    residual = beside[-1] * vectors[:, -1, -1].abs()
    return values[:, -1], residual, values.abs().amax(1).masked_fill(~sound, torch.nan)


sharpness = Instrument(
    "sharpness", _sharpness, "loss",
    "largest eigenvalue of the Hessian of the training loss over all training samples, in evaluation mode, by Lanczos' "
    "method; Cohen et al. 2021, arXiv:2103.00065. Gradient descent with the learning rate lr is stable below 2 / lr",
    "backward", (-float("inf"), float("inf")), "0 where the loss does not depend on the weights", (),
    ("neuron permutation", "sample permutation"),
)  # fmt: skip
