"""How alike two descriptions of the same samples are: linear CKA, and the neighbours that they share."""

from __future__ import annotations

from torch import Tensor

from phasescope.checks import whole
from phasescope.instruments.neighbours import Points, nearest, rows_of
from phasescope.vocabulary import BadInput

__all__ = ["LEAST", "linear_cka", "neighbour_overlap"]

LEAST = 1e-12
"""Share of a kernel's squared entries below which the rest without its diagonal is rounding, and has no CKA."""


def _pair(first: Points, second: Points, fewest: int) -> tuple[Tensor, Tensor]:
    a, b = rows_of(first, fewest), rows_of(second, fewest)
    if len(a) != len(b):
        raise BadInput(f"the points have {len(a)} and {len(b)} rows: give the same samples in the same order.")
    return a, b


def linear_cka(first: Points, second: Points, *, unbiased: bool = True) -> Tensor:
    """Return the linear CKA () float64 of ``first`` (N, D) and ``second`` (N, E): alignment of their kernels X X'.

    Kornblith et al. 2019, arXiv:1905.00414. Dimensionless. Each sample's kernel with itself is left out (Song et al.
    2012, JMLR 13), so that the null is 0 for unrelated samples at every N >= 4, of standard deviation sqrt(2 /
    (N (N - 3))) over orders of the rows; bounds: [-1, 1]. With ``unbiased`` False they count, as in the paper: bounds
    [0, 1], null of independent white noise about sqrt(D E / ((n + D + 1)(n + E + 1))), n = N - 1, near 1 for fewer
    samples than dimensions. Invariant to rotations, shifts and scale of either, and to one order of rows. No N x N
    array is made. Raises ``BadInput`` for other shapes, and rows that are all the same.
    """
    a, b = (x - x.mean(0) for x in _pair(first, second, 4 if unbiased else 2))
    a, b = (x / x.abs().max().clamp(min=1e-300) for x in (a, b))
    read = _hsic_unbiased if unbiased else lambda x, y: (x.T @ y).square().sum()
    own_a, own_b = read(a, a), read(b, b)
    if not all(bool(own > LEAST * (x.T @ x).square().sum()) for own, x in ((own_a, a), (own_b, b))):
        raise BadInput(
            f"of {len(a)} rows of points nothing is left beside rounding: they differ too little, are all equally far "
            "apart, or one is far from all others: leave that one out, or set unbiased=False."
        )
    return read(a, b) / (own_a * own_b).sqrt()


def _hsic_unbiased(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased HSIC times n (n - 3), from features alone: sums over kernels without their diagonals."""
    n = len(x)
    own_x, own_y = x.square().sum(1), y.square().sum(1)
    row_x, row_y = x @ x.sum(0) - own_x, y @ y.sum(0) - own_y
    together = (x.T @ y).square().sum() - (own_x * own_y).sum()
    return together + row_x.sum() * row_y.sum() / ((n - 1) * (n - 2)) - 2 * (row_x * row_y).sum() / (n - 2)


def neighbour_overlap(first: Points, second: Points, k: int = 10) -> Tensor:
    """Return the share (N,) of each sample's ``k`` nearest in ``first`` (N, D) that are also so in ``second`` (N, E).

    Float64. The mean is the mutual k-nearest-neighbour score of Huh et al. 2024, arXiv:2405.07987, after Doimo et al.
    2020, arXiv:2007.03506. Dimensionless. Bounds: [0, 1]. Null: k / (N - 1) for unrelated points, 1 for the same ones.
    Invariant to rotations, shifts and scale of either, and to one order of rows. Equal rows are ordered by chance, so
    leave them out first (``distinct``). Cost N^2 (D + E). Raises ``BadInput`` for k outside [1, N - 1], and for
    rows that are all the same.
    """
    a, b = _pair(first, second, 2)
    for rows in (a, b):
        if bool((rows == rows[0]).all()):
            raise BadInput(f"all {len(rows)} rows of points are the same: neighbours need rows that differ.")
    k = whole(1, len(a) - 1)(f"k of {len(a)} points", k)
    (_, mine), (_, theirs) = nearest(a, k), nearest(b, k)
    return (mine[:, :, None] == theirs[:, None, :]).any(2).double().mean(1)
