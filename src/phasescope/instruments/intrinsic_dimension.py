"""How many dimensions a cloud has near each point: TwoNN, GRIDE, and the maximum likelihood of distances.

All see distances to nearest neighbours alone. Repeated points have none, so rows that do not differ by more than the
rounding of their type are one point, and are counted. All need many more points as the dimension grows: of N points
in dimensions well above log2 N, neighbours are no longer near, and each estimate falls below the truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy import optimize
from torch import Tensor

from phasescope.checks import number, whole
from phasescope.instruments.neighbours import Points, nearest, rows_of, spacing
from phasescope.vocabulary import BadInput

__all__ = [
    "IntrinsicDimension",
    "Neighbourhood",
    "distinct",
    "gride",
    "likelihood_dimension",
    "neighbourhood",
    "two_nn",
]


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


@dataclass(frozen=True)
class Neighbourhood:
    """Distances (N, k) and indices (N, k) of the k nearest of N different points, and how many ``duplicates`` are out.

    Taken once with ``neighbourhood``, it can be given to several estimators in the points' stead.
    """

    distances: Tensor
    indices: Tensor
    duplicates: int


def neighbourhood(points: Points, k: int, *, resolution: float | None = None) -> Neighbourhood:
    """Return the ``k`` nearest of each different row of ``points`` (N, D); ``resolution``: see ``distinct``.

    Distances are in the unit of the points, up to one common scale. Cost N^2 D. Raises ``BadInput`` for fewer than
    k + 2 different rows.
    """
    return _near(points, whole(1, 10**6)("k", k), resolution, k + 2)


def _near(points: Points | Neighbourhood, k: int, resolution: float | None, fewest: int) -> Neighbourhood:
    if not isinstance(points, Neighbourhood):
        rows = rows_of(points, 1)
        kept, near = _apart(rows, _tolerance(points, resolution), k)
        if len(kept) < fewest or near is None:
            raise BadInput(f"{len(rows)} rows are {len(kept)} different points: give at least {fewest} different ones.")
        return Neighbourhood(*near, len(rows) - len(kept))
    found = points.distances
    if len(found) < fewest or found.shape[1] < k:
        raise BadInput(
            f"the neighbourhood has {len(found)} points with {found.shape[1]} neighbours each: give at least {fewest} "
            f"points with {k} each."
        )
    return Neighbourhood(found[:, :k], points.indices[:, :k], points.duplicates)


def distinct(points: Points, resolution: float | None = None) -> Tensor:
    """Return the rows (n,) of ``points`` (N, D) that are different from all earlier ones, as sorted int64 indices.

    Two rows are the same where their distance is at most ``resolution`` x their norm; by default the spacing of
    floats of their type (1.2e-7 for float32), as far apart as one vector rounded twice can be. Raises ``BadInput``
    for shapes, values that are not finite, and a resolution outside [0, 1).
    """
    return _apart(rows_of(points, 1), _tolerance(points, resolution), 1)[0]


def _tolerance(points: Points, resolution: float | None) -> float:
    return spacing(points) if resolution is None else number(0, 1, open_high=True)("resolution", resolution)


def _apart(rows: Tensor, tolerance: float, k: int) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """Return the rows that are different from all earlier ones, and the ``k`` nearest of each, None for fewer."""
    if k < len(rows):
        near = nearest(rows, k)
        if not bool((near[0][:, 0] <= tolerance * rows.norm(dim=1)).any()):
            return torch.arange(len(rows), device=rows.device), near
    _, group = torch.unique(rows, dim=0, return_inverse=True)
    first = torch.full((int(group.max()) + 1,), len(rows), device=rows.device)
    kept = first.scatter_reduce(0, group, torch.arange(len(rows), device=rows.device), "amin").sort().values
    while len(kept) > 1:
        distance, index = nearest(rows[kept], min(k, len(kept) - 1))
        same = distance[:, 0] <= tolerance * rows[kept].norm(dim=1)
        later = same & (index[:, 0] < torch.arange(len(kept), device=rows.device))
        if not bool(later.any()):
            return kept, (distance, index) if k < len(kept) else None
        kept = kept[~later]
    return kept, None


def two_nn(
    points: Points | Neighbourhood, *, discard: float = 0.1, resolution: float | None = None
) -> IntrinsicDimension:
    """Return the dimension of ``points`` (N, D) from the ratio of each point's two nearest distances, r2 / r1.

    Where the density hardly changes within r2, the ratio follows a Pareto law of exponent d (Facco et al. 2017,
    Sci. Rep. 7, 12140). The share ``discard`` of largest ratios, which see farthest, only counts as "at
    least so large"; of the rest d is the maximum likelihood without its bias, where the paper fits a line to the same
    law. Dimensionless, in (0, inf). Null: of white noise in D dimensions, D for small D. Invariant to rotations,
    shifts, scale and the order of rows. ``resolution``: see ``distinct``. Cost N^2 D. Raises ``BadInput`` for fewer
    than ten different rows or a share outside [0, 1).
    """
    discard = number(0, 1, open_high=True)("discard", discard)
    near = _near(points, 2, resolution, 10)
    ratios = (near.distances[:, 1] / near.distances[:, 0]).log()
    kept = max(round(len(ratios) * (1 - discard)), 3)
    limit = ratios.sort().values[kept - 1]
    seen = ratios.clamp(max=limit)
    total = float(seen.sum())
    if total == 0:
        raise BadInput(f"{len(ratios)} points lie on a lattice, each with two equally near: a dimension needs others.")
    score = seen - (ratios <= limit).double() * total / int((ratios <= limit).sum())
    error = kept / total * _spread(score, near.indices) / total
    return IntrinsicDimension((kept - 1) / total, error, len(ratios), near.duplicates)


def gride(points: Points | Neighbourhood, *, n1: int = 2, resolution: float | None = None) -> IntrinsicDimension:
    """Return the dimension of ``points`` (N, D) from the ratio of the distances to neighbours ``n1`` and 2 ``n1``.

    The larger ``n1``, the larger the scale that is looked at. Where the density hardly changes within r_{2 n1}, the
    ratio mu has the density d (mu^d - 1)^{n1 - 1} / (B(n1, n1) mu^{d (2 n1 - 1) + 1}), whose likelihood is maximized
    (Denti et al. 2022, Sci. Rep. 12, 20005); n1 = 1 is TwoNN with all ratios seen. Dimensionless, in (0, inf).
    Null: of white noise in D dimensions, D for small D. Invariant to rotations, shifts, scale and the order of rows.
    ``resolution``: see ``distinct``. Cost N^2 D. Raises ``BadInput`` for fewer than 2 n1 + 2 (at least ten) different
    rows, and where both neighbours are equally far for all.
    """
    n1 = whole(1, 10**5)("n1", n1)
    near = _near(points, 2 * n1, resolution, max(2 * n1 + 2, 10))
    ratios = (near.distances[:, 2 * n1 - 1] / near.distances[:, n1 - 1]).log()
    seen = ratios[ratios > 0]
    if len(seen) == 0:
        raise BadInput(
            f"{len(ratios)} points have neighbours {n1} and {2 * n1} equally near: a dimension needs others."
        )

    def scores(d: float) -> Tensor:
        """Return the derivative of each point's log likelihood with respect to d."""
        # s / (1 - exp(-d s)) tends to 1 / d as s does to 0, where two neighbours are equally near
        rising = torch.where(ratios > 0, ratios / (-torch.expm1(-d * ratios)).clamp(min=1e-300), 1 / d)
        return 1 / d + (n1 - 1) * rising - (2 * n1 - 1) * ratios

    low = high = math.log(1 / float(seen.mean()))
    while float(scores(math.exp(low)).sum()) < 0:
        low -= 1
    while float(scores(math.exp(high)).sum()) > 0:
        high += 1
    d = math.exp(float(optimize.brentq(lambda log: float(scores(math.exp(log)).sum()), low, high, xtol=1e-13)))
    half = (d * ratios / 2).clamp(max=300)
    bend = torch.where(ratios > 0, (ratios / (2 * torch.sinh(half))).square(), 1 / d**2)
    information = float((1 / d**2 + (n1 - 1) * bend).sum())
    error = _spread(scores(d), near.indices) / information
    return IntrinsicDimension(d, error, len(ratios), near.duplicates)


def likelihood_dimension(
    points: Points | Neighbourhood, *, k: int = 10, resolution: float | None = None
) -> IntrinsicDimension:
    """Return the dimension of ``points`` (N, D) by maximum likelihood from each point's ``k`` nearest distances.

    Levina and Bickel 2004 (NIPS 17, Eq. 8), with the inverses averaged over points (MacKay and Ghahramani 2005):
    d = (N (k - 1) - 1) / sum over points and j < k of log(r_k / r_j). Larger ``k`` gives smaller errors, and a larger
    bias from edges and curvature. Dimensionless, in (0, inf). Null: of white noise in D dimensions, D for small D.
    Invariant to rotations, shifts, scale and the order of rows. ``resolution``: see ``distinct``. Cost N^2 D. Raises
    ``BadInput`` for k < 3 or fewer than k + 2 different rows.
    """
    k = whole(3, 10**6)("k", k)
    near = _near(points, k, resolution, k + 2)
    means = (near.distances[:, -1:] / near.distances[:, :-1]).log().mean(1)
    total = float(means.sum())
    if total == 0:
        raise BadInput(f"{len(means)} points have {k} equally near neighbours each: a dimension needs others.")
    value = (len(means) * (k - 1) - 1) / ((k - 1) * total)
    error = value * _spread(means - means.mean(), near.indices) / total
    return IntrinsicDimension(value, error, len(means), near.duplicates)


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
