"""What a similarity reads of unrelated stimuli, exactly: mean and spread over all orders of the rows of one side.

Each similarity here is a sum over pairs of stimuli, or over single ones, so its first two moments over the N! orders of
one side's rows have closed forms. Nothing is assumed of the data but that stimuli could have come in any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["PairSums", "kernel_moments", "pair_moments", "pairing_moments", "unbiased_spread"]


@dataclass(frozen=True)
class PairSums:
    """What the null of sum over i != j of A_ij B_ij needs of A (N, N): sums over its entries off the diagonal.

    ``total`` of A_ij, ``squares`` of A_ij^2, ``mirrored`` of A_ij A_ji; of rows r and columns c ``rows`` of r_i^2,
    ``columns`` of c_i^2, ``mixed`` of r_i c_i.
    """

    count: int
    total: float
    squares: float
    mirrored: float
    rows: float
    columns: float
    mixed: float

    @classmethod
    def of(cls, matrix: Tensor) -> PairSums:
        """Return the sums of ``matrix`` (N, N), whose diagonal is left out."""
        a = matrix.double().clone()
        a.fill_diagonal_(0)
        r, c = a.sum(1), a.sum(0)
        squares, mirrored = a.square().sum(), (a * a.T).sum()
        sums = (a.sum(), squares, mirrored, r.square().sum(), c.square().sum(), (r * c).sum())
        return cls(len(a), *map(float, sums))

    @classmethod
    def of_pairs(cls, values: Tensor, rows: Tensor, columns: Tensor) -> PairSums:
        """Return the sums of the symmetric matrix whose entries at pairs i < j, ``rows`` and ``columns``, are given."""
        count = int(columns.max()) + 1
        sums = torch.bincount(rows, values, minlength=count) + torch.bincount(columns, values, minlength=count)
        squares, touching = 2 * float(values.square().sum()), float(sums.square().sum())
        return cls(count, float(sums.sum()), squares, squares, touching, touching, touching)

    def patterns(self) -> tuple[float, ...]:
        """Return the sums of A_ij A_kl over the seven ways in which (i, j) and (k, l) can share indices."""
        pairs = (self.squares, self.mirrored)
        shared = (
            self.rows - self.squares, self.columns - self.squares, self.mixed - self.mirrored,
            self.mixed - self.mirrored,
        )  # fmt: skip
        return (*pairs, *shared, self.total**2 - sum(pairs) - sum(shared))


def pair_moments(first: PairSums, second: PairSums) -> tuple[float, float]:
    """Return mean and standard deviation of the sum over i != j of A_ij B_p(i)p(j) over all orders p, N >= 4.

    Mantel 1967 (Cancer Research 27): the square of the sum is one over pairs of pairs, and each of the seven ways in
    which these share indices is on average the mean of its products.
    """
    n = first.count
    twos, threes, fours = n * (n - 1), n * (n - 1) * (n - 2), n * (n - 1) * (n - 2) * (n - 3)
    counts = (twos, twos, threes, threes, threes, threes, fours)
    mean = first.total * second.total / twos
    patterns = zip(first.patterns(), second.patterns(), counts, strict=True)
    second_moment = sum(a * b / count for a, b, count in patterns)
    return mean, math.sqrt(max(second_moment - mean**2, 0.0))


def kernel_moments(
    count: int, first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float]:
    """Return mean and standard deviation of tr(K L_p) / sqrt(tr K^2 tr L^2) over all orders p of the rows of L.

    K and L are centred kernels (N, N) with their diagonals; each is given by tr K, tr K^2 and the sum of K_ii^2. Of
    ``count`` >= 4 stimuli. Kazi-Aoual et al. 1995 (Comput. Stat. Data Anal. 20); derived again here from ``PairSums``,
    with the diagonals as a sum of their own, which shares rows with the pairs.
    """
    n = count
    mean = first[0] * second[0] / (n - 1)
    twos, threes, fours = n * (n - 1), n * (n - 1) * (n - 2), n * (n - 1) * (n - 2) * (n - 3)
    # off the diagonal, and on it; the rows of a centred kernel add up to 0, so those without the diagonal to -K_ii
    a, b = (_patterns(*sums) for sums in (first, second))
    counts = (n, twos, twos, threes, twos, threes, fours)
    weights = (1, 1, 2, 4, 4, 2, 1)
    moment = sum(w * x * y / c for w, x, y, c in zip(weights, a, b, counts, strict=True))
    scale = math.sqrt(first[1] * second[1])
    return mean / scale, math.sqrt(max(moment - mean**2, 0.0)) / scale


def _patterns(trace: float, square: float, diagonal: float) -> tuple[float, ...]:
    """Return the sums of K_ij K_kl over the ways in which i, j, k, l are the same, of a centred kernel.

    In order: all one (K_ii^2); K_ii K_kk; K_ij^2; K_ij K_ik; K_ii K_ij; K_ii K_kl; all different (K_ij K_kl).
    """
    off = square - diagonal  # of K_ij^2, i != j
    on = trace**2 - diagonal  # of K_ii K_kk, i != k
    chain = diagonal - off  # sum over i of (row without diagonal)^2 is that of K_ii^2
    corner = -diagonal  # of K_ii K_ij: the rest of row i is -K_ii
    apart = -(trace**2) - 2 * corner  # of K_ii K_kl with k, l other than i: all pairs add up to -trace
    four = trace**2 - 2 * off - 4 * chain
    return diagonal, on, off, chain, corner, apart, four


def unbiased_spread(count: int) -> float:
    """Return the standard deviation of the unbiased CKA of ``count`` >= 4 stimuli over all orders: sqrt(2/(N(N-3))).

    Of any two clouds: rows of a kernel centred without its diagonal add up to 0 and so do its entries, which leaves
    nothing of the sums in ``pair_moments`` but the squares. Its mean is 0.

    >>> round(unbiased_spread(32), 3)
    0.046
    """
    return math.sqrt(2 / (count * (count - 3)))


def pairing_moments(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Return mean and standard deviation of the mean over i of x_i . y_p(i), rows of (N, D) both, over all orders p.

    Hoeffding 1951 (Ann. Math. Stat. 22), for the matrix of products of centred rows.
    """
    x, y = first - first.mean(0), second - second.mean(0)
    n = len(x)
    # sum over i, j of (x_i . y_j)^2
    squares = ((x.T @ x) * (y.T @ y)).sum()
    return float(first.mean(0) @ second.mean(0)), math.sqrt(float(squares) / (n - 1)) / n
