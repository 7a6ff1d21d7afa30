"""The direction of a vector: what is left when its size is taken out, right for sizes up to the ends of the floats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def unit(vectors: Tensor, axis: int = -1, *, zeros: float = 0.0) -> Tensor:
    """Return floating ``vectors`` divided by their Euclidean norms along ``axis``; differentiable, of the same type.

    No square leaves the floats, whatever the size: the largest entry is taken out first. A vector of zeros has no
    direction: it becomes ``zeros``, 0 or NaN, and its gradient is 0 for 0. A vector with an entry that is not finite
    becomes NaN. The gradient grows as 1 / norm; below 10^4 times the smallest normal number, where it would leave the
    floats, there is none.

    >>> import torch
    >>> unit(torch.tensor([[3e30, 4e30], [3e-30, 4e-30], [0.0, 0.0]])).tolist()[2]
    [0.0, 0.0]
    """
    import torch

    # the direction does not depend on what is divided by, so the largest entry needs no gradient
    largest = vectors.detach().abs().amax(axis, keepdim=True)
    nothing = largest == 0
    if vectors.requires_grad:
        vectors = torch.where(largest < 1e4 * torch.finfo(vectors.dtype).tiny, vectors.detach(), vectors)
    vectors = vectors / largest.masked_fill(nothing, 1.0)
    length = torch.linalg.vector_norm(vectors, dim=axis, keepdim=True)
    # 0 / inf is 0 without a gradient
    direction: Tensor = vectors / length.masked_fill(nothing, torch.inf if zeros == 0 else torch.nan)
    return direction
