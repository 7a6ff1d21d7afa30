"""Readings of embeddings: the capacity that they attain, what limits it, alignment and uniformity. Plain tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from phasescope.checks import as_points, number
from phasescope.directions import unit
from phasescope.instruments.neighbours import Points
from phasescope.instruments.signal import mean_cosine

__all__ = ["alignment", "capacity_error", "spectral_flatness", "uniformity"]


def _matrices(centroids: Points) -> Tensor:
    return as_points("centroids (..., data, dimensions)", centroids, axes=())


def capacity_error(centroids: Points) -> Tensor:
    """Return the pretraining percent error (...) of ``centroids`` (..., P, D), a share in [0, 1] for rows in the ball.

    1 - ||M||_* / sqrt(P min(P, D)): 0 where the embeddings attain the bound, 1 for zero. arXiv:2406.09366, Eq. 4. Not a
    percentage in spite of its name. Raises ``BadInput`` for fewer than two axes.
    """
    rows = _matrices(centroids)
    data, dimension = rows.shape[-2:]
    bound = (data * min(data, dimension)) ** 0.5
    missing: Tensor = 1 - torch.linalg.svdvals(rows).sum(-1) / bound
    return missing


def spectral_flatness(centroids: Points) -> Tensor:
    """Return ||M||_* / (sqrt(min(P, D)) ||M||_F) (...) of ``centroids`` (..., P, D): 1 where singular values are equal.

    1 - ``capacity_error`` is the root of the mean squared norm of the rows (the views agree) times this (the data
    spread): derived here. At least 1 / sqrt(min(P, D)), attained at rank 1; NaN for zero.
    """
    values = torch.linalg.svdvals(_matrices(centroids))
    largest = values[..., :1]  # divided by where squares would leave the floats
    values = values / torch.where((largest > 1e15) | (largest < 1e-15), largest, 1.0)
    flat: Tensor = values.sum(-1) / (values.shape[-1] ** 0.5 * values.square().sum(-1).sqrt())
    return flat


def alignment(embeddings: Points) -> Tensor:
    """Return the mean squared distance (...) between different views in ``embeddings`` (..., P, K, D), at norm 1.

    2 - 2 cosine, in [0, 4]; 0 where all views of a datum agree, 2 for unrelated ones. Zeros have no direction: such
    views, and data with fewer than two others, are left out; NaN where nothing is left. Wang and Isola 2020,
    arXiv:2005.10242, Sec. 4.1, with alpha = 2. Raises ``BadInput`` for fewer than two views.
    """
    points = as_points("embeddings (..., data, views, dimensions)", embeddings, axes=(), least=3, fewest=2)
    return 2 - 2 * mean_cosine(points).nanmean(-1)


def uniformity(embeddings: Points, t: float = 2.0) -> Tensor:
    """Return log mean exp(-t |x - y|^2) (...) over pairs of different rows of ``embeddings`` (..., N, D), at norm 1.

    Rows of zeros have no direction and are left out; NaN for fewer than two others. 0 where all are the same; about
    ``theory.manifold_capacity.uniform_potential(D, t)`` for rows uniform on the sphere. In nats. Wang and
    Isola 2020, arXiv:2005.10242, Sec. 4.1. Raises ``BadInput`` for fewer than two rows or t <= 0.
    """
    t = number(0, open_low=True)("t", t)
    points = as_points("embeddings (..., rows, dimensions)", embeddings, axes=(), fewest=2)
    directed = unit(points)
    there = directed.detach().norm(dim=-1) > 0
    exponents = -2 * t * (1 - directed @ directed.mT)
    itself = torch.eye(points.shape[-2], dtype=torch.bool, device=points.device)
    others = exponents.masked_fill(itself | ~(there[..., None] & there[..., None, :]), -torch.inf)
    rows = there.sum(-1)
    # without a pair this is -inf less -inf
    mean: Tensor = torch.logsumexp(others.flatten(-2), -1) - (rows * (rows - 1)).to(points.dtype).log()
    return mean
