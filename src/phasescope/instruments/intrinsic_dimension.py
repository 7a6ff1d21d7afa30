"""How many dimensions a cloud of points has near each of them: TwoNN and the maximum likelihood of distances.

Both see distances to nearest neighbours alone. Repeated points have none, so rows that do not differ by more than the
rounding of their type are one point, and are counted. Both need many more points as the dimension grows: of N points
in dimensions well above log2 N, neighbours are no longer near, and either estimate falls below the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phasescope.checks import number, whole
from phasescope.instruments.neighbours import Points, nearest, rows_of, spacing
from phasescope.vocabulary import BadInput

__all__ = ["IntrinsicDimension", "distinct", "likelihood_dimension", "two_nn"]


@dataclass(frozen=True)
class IntrinsicDimension:
    """An estimated dimension ``value`` with its standard ``error``, from ``points`` that were all different.

    ``duplicates`` is the number of rows left out because an earlier row is the same to rounding. The error is of the
    sampling; it counts that points share neighbours, and not that the cloud may be curved or its density uneven.
    """

    value: float
    error: float
    points: int
    duplicates: int


def distinct(points: Points, resolution: float | None = None) -> Tensor:
    """Return the rows (n,) of ``points`` (N, D) that are different from all earlier ones, as sorted int64 indices.

    Two rows are the same where their distance is at most ``resolution`` x their norm; by default the spacing of
    floats of their type (1.2e-7 for float32), as far apart as one vector rounded twice can be. Raises ``BadInput``
    for shapes, values that are not finite, and a resolution outside [0, 1).
    """
    rows = rows_of(points, 1)
    tolerance = spacing(points) if resolution is None else number(0, 1, open_high=True)("resolution", resolution)
    _, group = torch.unique(rows, dim=0, return_inverse=True)
    first = torch.full((int(group.max()) + 1,), len(rows), device=rows.device)
    kept = first.scatter_reduce(0, group, torch.arange(len(rows), device=rows.device), "amin").sort().values
    while len(kept) > 1:
        distance, index = nearest(rows[kept], 1)
        same = distance[:, 0] <= tolerance * rows[kept].norm(dim=1)
        later = same & (index[:, 0] < torch.arange(len(kept), device=rows.device))
        if not bool(later.any()):
            break
        kept = kept[~later]
    return kept


def two_nn(points: Points, *, discard: float = 0.1, resolution: float | None = None) -> IntrinsicDimension:
    """Return the dimension of ``points`` (N, D) from the ratio of each point's two nearest distances, r2 / r1.

    Where the density hardly changes within r2, the ratio follows a Pareto law of exponent d (Facco et al. 2017,
    Sci. Rep. 7, 12140). The share ``discard`` of largest ratios, which see farthest, only counts as "at
    least so large"; of the rest d is the maximum likelihood without its bias, where the paper fits a line to the same
    law. Dimensionless, in (0, inf). Null: of white noise in D dimensions, D for small D. Invariant to rotations,
    shifts, scale and the order of rows. ``resolution``: see ``distinct``. Cost N^2 D. Raises ``BadInput`` for fewer
    than ten different rows or a share outside [0, 1).
    """
    discard = number(0, 1, open_high=True)("discard", discard)
    rows, duplicates = _different(points, resolution, 10)
    distances, index = nearest(rows, 2)
    ratios = (distances[:, 1] / distances[:, 0]).log()
    kept = max(round(len(rows) * (1 - discard)), 3)
    limit = ratios.sort().values[kept - 1]
    seen = ratios.clamp(max=limit)
    total = float(seen.sum())
    if total == 0:
        raise BadInput(f"{len(rows)} points lie on a lattice, each with two equally near: a dimension needs others.")
    score = seen - (ratios <= limit).double() * total / int((ratios <= limit).sum())
    return IntrinsicDimension((kept - 1) / total, kept / total * _spread(score, index) / total, len(rows), duplicates)


def likelihood_dimension(points: Points, *, k: int = 10, resolution: float | None = None) -> IntrinsicDimension:
    """Return the dimension of ``points`` (N, D) by maximum likelihood from each point's ``k`` nearest distances.

    Levina and Bickel 2004 (NIPS 17, Eq. 8), with the inverses averaged over points (MacKay and Ghahramani 2005):
    d = (N (k - 1) - 1) / sum over points and j < k of log(r_k / r_j). Larger ``k`` gives smaller errors, and a larger
    bias from edges and curvature. Dimensionless, in (0, inf). Null: of white noise in D dimensions, D for small D.
    Invariant to rotations, shifts, scale and the order of rows. ``resolution``: see ``distinct``. Cost N^2 D. Raises
    ``BadInput`` for k < 3 or fewer than k + 2 different rows.
    """
    k = whole(3, 10**6)("k", k)
    rows, duplicates = _different(points, resolution, k + 2)
    distances, index = nearest(rows, k)
    means = (distances[:, -1:] / distances[:, :-1]).log().mean(1)
    total = float(means.sum())
    if total == 0:
        raise BadInput(f"{len(rows)} points have {k} equally near neighbours each: a dimension needs others.")
    value = (len(rows) * (k - 1) - 1) / ((k - 1) * total)
    return IntrinsicDimension(value, value * _spread(means - means.mean(), index) / total, len(rows), duplicates)


def _different(points: Points, resolution: float | None, fewest: int) -> tuple[Tensor, int]:
    kept = distinct(points, resolution)
    if len(kept) < fewest:
        raise BadInput(f"{len(points)} rows are {len(kept)} different points: give at least {fewest} different ones.")
    return rows_of(points, 1)[kept], len(points) - len(kept)


def _spread(scores: Tensor, index: Tensor) -> float:
    """Return the standard deviation of the sum of ``scores`` (N,), which are dependent where neighbours are shared.

    Points count as dependent when one is the other's neighbour, or both have a neighbour in common with the first's
    own; never less than for independent scores.
    """
    alone = scores.square().sum()
    near = scores[index].sum(1)  # what each point's neighbours have left
    together = alone + 2 * (scores * near).sum() - _mutual(scores, index)
    return float(torch.maximum(alone, together).sqrt())


def _mutual(scores: Tensor, index: Tensor) -> Tensor:
    """Return the sum of products over pairs that are each other's neighbours, which were counted twice."""
    back = (index[index] == torch.arange(len(index), device=index.device)[:, None, None]).any(2)
    return (scores[:, None] * scores[index] * back).sum()
