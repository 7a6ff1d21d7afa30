"""How evenly a cloud of points uses its space: participation ratio, IsoScore, effective rank, outlier dimensions.

All but ``mean_cosine`` (in ``signal``) are of the covariance, so the mean of the points does not count.
"""

from __future__ import annotations

import torch
from torch import Tensor

from phasescope.checks import number
from phasescope.instruments.neighbours import Points, rows_of
from phasescope.vocabulary import BadInput

__all__ = ["effective_rank", "isoscore", "outlier_dimensions", "participation_ratio"]


def _spectrum(rows: Tensor) -> Tensor:
    """Return the singular values (min(N, D),) of the centred ``rows``, the largest set to 1."""
    values = torch.linalg.svdvals(rows - rows.mean(0))
    largest = values.max()
    # what is left of equal rows after centring is rounding
    if largest <= torch.finfo(torch.float64).eps * len(rows) * rows.abs().max():
        raise BadInput(f"all {len(rows)} rows of points are the same: a shape needs rows that differ.")
    shape: Tensor = values / largest
    return shape


def participation_ratio(points: Points) -> Tensor:
    """Return tr(C)^2 / tr(C^2) () float64 of the covariance C of ``points`` (N, D): directions with equal variance.

    Dimensionless. Bounds: [1, min(D, N - 1)]. Null: of white noise, (n D + 2) / (n + D + 1) with n = N - 1, which
    tends to D as N grows. Invariant to rotations, shifts, scale and the order of rows. Gao et al. 2017, bioRxiv
    214262. Raises ``BadInput`` for rows that are all the same.
    """
    return _participation(rows_of(points, 2))


def _participation(rows: Tensor) -> Tensor:
    variances = _spectrum(rows).square()
    return variances.sum().square() / variances.square().sum()


def isoscore(points: Points) -> Tensor:
    """Return the IsoScore () float64 of ``points`` (N, D), D >= 2: 1 for equal variance in all directions, 0 in one.

    (P - 1) / (D - 1) with the participation ratio P: to this the algorithm of Rudman et al. 2022, arXiv:2108.07344,
    reduces (derived here, and tested against its steps). Dimensionless. Bounds: [0, 1]. Null: of white noise that of P,
    below 1 where N is not much larger than D. Invariant to rotations, shifts, scale and the order of rows.
    """
    rows = rows_of(points, 2)
    if rows.shape[1] < 2:
        raise BadInput(f"points of shape {tuple(rows.shape)}: in one dimension there is nothing to be uneven.")
    return (_participation(rows) - 1) / (rows.shape[1] - 1)


def effective_rank(points: Points) -> Tensor:
    """Return exp(entropy) () float64 of the singular values, scaled to sum 1, of the centred rows of ``points`` (N, D).

    Dimensionless. Bounds: [1, min(D, N - 1)]. Null: of white noise D for N >> D. It counts weak directions more than
    the participation ratio does. Invariant to rotations, shifts, scale
    and the order of rows. Roy and Vetterli 2007 (EUSIPCO), Def. 1, there without centring. Raises ``BadInput`` for rows
    that are all the same.
    """
    shares = _spectrum(rows_of(points, 2))
    shares = shares / shares.sum()
    entropy: Tensor = torch.special.entr(shares).sum()
    return entropy.exp()


def outlier_dimensions(points: Points, factor: float = 5.0) -> Tensor:
    """Return the coordinates (k,) of ``points`` (N, D) with at least ``factor`` x the mean variance, largest first.

    Int64. Rudman, Chen and Eickhoff 2023, arXiv:2310.17715, with their factor 5. Null: none of white noise; never more
    than D / factor. Invariant to shifts, scale and the order of rows, and not to rotations: it is about the
    coordinates. Raises ``BadInput`` for a factor that is not above 1 and rows that are all the same.
    """
    factor = number(1, open_low=True)("factor", factor)
    rows = rows_of(points, 2)
    _spectrum(rows)
    variances = rows.var(0)
    order = variances.argsort(descending=True, stable=True)
    return order[variances[order] >= factor * variances.mean()]
