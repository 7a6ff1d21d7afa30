"""Differentiable losses for anyone's training loop: plain torch functions of embeddings, without state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from phasescope.checks import BadInput, as_points, number
from phasescope.directions import unit

Points = Any  # a tensor, an array of numpy's, or nested lists

__all__ = ["centroids", "contrastive", "mmcr"]


def centroids(embeddings: Points) -> Tensor:
    """Return the mean (..., P, D) over views of ``embeddings`` (..., P, K, D), each first scaled to norm 1.

    P data, K views of each, D dimensions; leading axes are batches. A zero embedding stays zero. Half precision is
    reckoned, and returned, in float32. Raises ``BadInput`` for fewer than three axes, and what is no array of numbers.
    Source: arXiv:2406.09366, Eq. 2.
    """
    return _normal(embeddings).mean(-2)


def mmcr(embeddings: Points, *, local_weight: float = 0.0) -> Tensor:
    """Return the MMCR loss (...): minus the nuclear norm of the centroids of ``embeddings`` (..., P, K, D).

    With ``local_weight`` lambda, ``lambda / P sum_p ||Z_p||_*`` is added, where Z_p (K, D) are the unit-norm views of
    datum p: it makes them agree, and the centroids do that already. Between -sqrt(P min(P, D)) and 0 for lambda = 0.
    A view of zeros counts as 0 and has the gradient 0; near zero the gradient grows as 1 / norm, since only the
    direction counts.
    Dimensionless, in the embeddings' dtype, float32 for half precision. For two augmented batches ``a``, ``b`` (P, D)
    of the same data it is ``mmcr(torch.stack([a, b], 1))``.

    Raises ``BadInput`` as ``centroids``, for values that are not finite, and for a negative ``local_weight``. Source:
    Yerxa et al. 2023, arXiv:2303.03307; arXiv:2406.09366, Eq. 3.

    >>> float(mmcr(torch.eye(3)[:, None]))  # three orthogonal data attain the bound, P = 3
    -3.0
    """
    local_weight = number(0)("local_weight", local_weight)
    views = _normal(embeddings)
    try:
        loss: Tensor = -torch.linalg.svdvals(views.mean(-2)).sum(-1)
        if local_weight == 0:
            return loss
        local: Tensor = torch.linalg.svdvals(views.mT).sum(-1).mean(-1)  # tall matrices are faster than wide ones
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        # looked at afterwards: a look at every step would wait for the accelerator
        if bool(views.isfinite().all()):
            raise
        raise BadInput(
            f"embeddings of shape {tuple(views.shape)} are not all finite: lower the learning rate."
        ) from None
    return loss + local_weight * local


def contrastive(left: Points, right: Points, *, temperature: float = 0.07) -> Tensor:
    """Return the symmetric InfoNCE loss of paired embeddings (P, D), (P, D) in nats: what CLIP minimizes.

    Rows are scaled to norm 1, zeros stay zero; the logits are their inner products over ``temperature``. log P where
    nothing is told apart. Raises ``BadInput`` for unequal shapes and a temperature that is not positive. Source:
    Radford et al. 2021, arXiv:2103.00020, Fig. 3.
    """
    temperature = number(1e-30, 1e30)("temperature", temperature)
    left, right = (as_points("embeddings", x, finite=False) for x in (left, right))
    if left.shape != right.shape:
        raise BadInput(f"embeddings of shapes {tuple(left.shape)} and {tuple(right.shape)}: give two of shape (P, D).")
    logits = unit(left) @ unit(right).T / temperature
    of_itself = torch.arange(len(left), device=left.device)
    entropy = torch.nn.functional.cross_entropy
    return (entropy(logits, of_itself) + entropy(logits.T, of_itself)) / 2


def _normal(embeddings: Points) -> Tensor:
    points = as_points("embeddings (..., data, views, dimensions)", embeddings, axes=(), least=3, finite=False)
    return unit(points)
