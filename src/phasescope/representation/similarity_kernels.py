"""CKA between all pairs of many clouds in one pass over their kernels, never more than some of their rows at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from phasescope.instruments.similarity import LEAST
from phasescope.representation.similarity_clouds import Cloud, groups_of, jackknife_error
from phasescope.representation.similarity_nulls import kernel_moments, unbiased_spread

ENTRIES = 1 << 23  # of kernels held at once


@dataclass(frozen=True)
class AllPairs:
    """CKA between L clouds of the same N stimuli, with errors, and mean and spread over orders of them, all (L, L).

    ``mean`` and ``spread`` are exact (``similarity_nulls``), errors are those of leaving out groups of stimuli.
    """

    values: Tensor
    errors: Tensor
    mean: Tensor
    spread: Tensor


@dataclass
class _Sums:
    """Sums over pairs of stimuli, for each group G and each two clouds: see ``_summed``."""

    touching: Tensor
    inside: Tensor
    own: Tensor
    rows: Tensor
    to_group: Tensor
    diagonal: Tensor


def all_pairs(
    clouds: Sequence[Cloud], on_progress: Callable[[int, int], object] | None = None
) -> tuple[AllPairs, AllPairs]:
    """Return the unbiased and the biased linear CKA between all pairs of ``clouds``: see ``linear_cka``.

    Cost: N^2 (sum of ranks + L^2). Memory: a few rows of the kernels.
    """
    count, groups = len(clouds[0]), groups_of(len(clouds[0]))
    sums = _summed(clouds, groups, on_progress)
    found = []
    for unbiased in (True, False):
        whole = _cka(sums, None, count, unbiased)
        without = torch.stack([_cka(sums, g, group, unbiased) for g, group in enumerate(groups)])
        errors = jackknife_error(without)
        if unbiased:
            mean, spread = torch.zeros_like(whole), torch.full_like(whole, unbiased_spread(count))
        else:
            mean, spread = _orders(clouds)
        found.append(AllPairs(whole, errors, mean, spread))
    return found[0], found[1]


def _summed(
    clouds: Sequence[Cloud], groups: Sequence[slice], on_progress: Callable[[int, int], object] | None
) -> _Sums:
    """Return the sums of products of kernels: over pairs that touch a group, over pairs inside it, and by rows."""
    count, many = len(clouds[0]), len(clouds)
    zero = torch.zeros(len(groups), many, many, dtype=torch.float64)
    diagonal = torch.stack([cloud.rows.square().sum(1) for cloud in clouds])
    sums = _Sums(
        zero, zero.clone(), zero.clone(), torch.zeros(many, count, dtype=torch.float64),
        torch.zeros(len(groups), many, count, dtype=torch.float64), diagonal,
    )  # fmt: skip
    step = max(ENTRIES // (many * count), 1)
    scales = [cloud.sizes.square().sum().sqrt() for cloud in clouds]
    sums.diagonal /= torch.stack(scales)[:, None] ** 2
    for g, group in enumerate(groups):
        for start in range(group.start, group.stop, step):
            here = slice(start, min(start + step, group.stop))
            kernels = torch.stack(
                [(c.axes[here] * (c.sizes / scale) ** 2) @ c.axes.T for c, scale in zip(clouds, scales, strict=True)]
            )
            flat = kernels.flatten(1)
            sums.touching[g] += flat @ flat.T
            inner = kernels[:, :, group].flatten(1)
            sums.inside[g] += inner @ inner.T
            sums.rows[:, here] = kernels.sum(2)
            sums.to_group[g] += kernels.sum(1)
        own = sums.diagonal[:, group]
        sums.own[g] = own @ own.T
        if on_progress:
            on_progress(g + 1, len(groups))
    return sums


def _cka(sums: _Sums, left_out: int | None, group: slice | int, unbiased: bool) -> Tensor:
    """Return CKA (L, L) of all stimuli, or of those outside a group; NaN where rounding has left nothing of a kernel.

    So it is, without the diagonal, of stimuli that are all equally far apart, and where one is far from all others.
    """
    together, own = sums.touching.sum(0), sums.own.sum(0)
    least = LEAST * together.diagonal()
    rows, diagonal = sums.rows, sums.diagonal
    if left_out is not None:
        assert isinstance(group, slice)
        together = together - 2 * sums.touching[left_out] + sums.inside[left_out]
        own = own - sums.own[left_out]
        kept = torch.ones(rows.shape[1], dtype=torch.bool)
        kept[group] = False
        rows, diagonal = (rows - sums.to_group[left_out])[:, kept], diagonal[:, kept]
    n = rows.shape[1]
    if unbiased:
        together, rows = together - own, rows - diagonal
        total = rows.sum(1)
        hsic = together + torch.outer(total, total) / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows @ rows.T
    else:
        total = rows.sum(1)
        hsic = together + torch.outer(total, total) / n**2 - 2 / n * rows @ rows.T
    norms = torch.where(hsic.diagonal() > least, hsic.diagonal(), torch.nan).sqrt()
    return hsic / torch.outer(norms, norms)


def _orders(clouds: Sequence[Cloud]) -> tuple[Tensor, Tensor]:
    """Return mean and spread (L, L) of the biased CKA over all orders of the stimuli of one side."""
    each = [kernel_sums(cloud) for cloud in clouds]
    found = [[kernel_moments(len(clouds[0]), a, b) for b in each] for a in each]
    table = torch.tensor(found, dtype=torch.float64)
    return table[..., 0], table[..., 1]


def kernel_sums(cloud: Cloud, white: bool = False) -> tuple[float, float, float]:
    """Return trace, squared norm, and squared diagonal of a cloud's kernel; ``white``: with all lengths 1."""
    sizes = torch.ones_like(cloud.sizes) if white else cloud.sizes
    diagonal = (cloud.axes * sizes).square().sum(1)
    return float(sizes.square().sum()), float(sizes.pow(4).sum()), float(diagonal.square().sum())


def ceiling(first: Cloud, second: Cloud) -> float:
    """Return the highest biased CKA that clouds with these lengths of axes can have: their principal axes the same.

    Von Neumann's trace inequality: of all turns of one cloud's stimuli, none gives more than this.
    """
    a, b = first.sizes.square(), second.sizes.square()
    k = min(len(a), len(b))
    return float((a[:k] * b[:k]).sum()) / math.sqrt(float(a.square().sum() * b.square().sum()))
