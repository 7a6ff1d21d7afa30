"""How alike two clouds of the same stimuli are, in several ways, each with its null, its ceiling and its error.

Each function takes two clouds and returns a ``Reading``. A null over all orders of one side's stimuli is exact where
``draws`` is 0; the Procrustes similarity, a sum of singular values, has no closed form, and its null is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phasescope.representation.similarity_clouds import MOST_OF_RSA, Cloud, groups_of, jackknife_error
from phasescope.representation.similarity_kernels import kernel_sums
from phasescope.representation.similarity_nulls import PairSums, kernel_moments, pair_moments, pairing_moments
from phasescope.vocabulary import Array

NOTHING = math.nan
SMALLEST = 1e-12  # a difference below it is rounding
RESOLVED = 1e-7  # a spread below it is: roots of singular values that are 0 but for rounding


@dataclass(frozen=True)
class Reading:
    """A similarity ``value`` with the standard ``error`` of its stimuli, its null over orders of them, its ``ceiling``.

    ``draws`` is how many orders were drawn for the null, 0 where its moments are exact. NaN: no reading.
    """

    value: float
    error: float
    null_mean: float
    null_sd: float
    ceiling: float = 1.0
    draws: int = 0

    @property
    def z(self) -> float:
        """How many standard deviations of the null lie between value and null; NaN where the null has no spread."""
        return (self.value - self.null_mean) / self.null_sd if self.null_sd > RESOLVED else NOTHING

    @property
    def corrected(self) -> float:
        """The value on the scale where the null is 0 and equality 1; NaN where the null is 1."""
        room = 1 - self.null_mean
        return (self.value - self.null_mean) / room if room > RESOLVED else NOTHING


Measure = Callable[[Cloud, Cloud, int, np.random.Generator], Reading]


def canonical(a: Cloud, b: Cloud, draws: int, generator: np.random.Generator) -> Reading:
    """Return the mean squared canonical correlation, over the smaller of the two ranks."""
    n, few = len(a), min(a.rank, b.rank)
    if max(a.rank, b.rank) >= n - 1:  # a cloud that fills the space of stimuli correlates fully with all others
        return Reading(1.0, NOTHING, 1.0, 0.0)
    mean, spread = kernel_moments(n, kernel_sums(a, white=True), kernel_sums(b, white=True))
    scale = math.sqrt(a.rank * b.rank) / few
    value = float((a.axes.T @ b.axes).square().sum()) / few
    return Reading(value, _canonical_error(a, b), mean * scale, spread * scale)


def _canonical_error(a: Cloud, b: Cloud) -> float:
    crossed, found = a.axes.T @ b.axes, []
    whole = crossed.square().sum()
    for group in groups_of(len(a)):
        rest = len(a) - (group.stop - group.start)
        if max(a.rank, b.rank) >= rest - 1:
            return NOTHING
        # over the others, about their mean, sums of products are 1 - X'X, 1 - Y'Y and C - X'Y with these few rows
        x, y = (torch.cat([c[group], c[group].sum(0, keepdim=True) / math.sqrt(rest)]) for c in (a.axes, b.axes))
        roots = [torch.linalg.cholesky_ex(torch.eye(len(z), dtype=z.dtype) - z @ z.T) for z in (x, y)]
        if any(bool(root.info) for root in roots):  # an axis that this group alone has
            return NOTHING
        value = _without(whole, crossed, x, y, roots[0].L, roots[1].L)
        found.append(value / min(a.rank, b.rank))
    return float(jackknife_error(torch.stack(found)))


def _without(whole: Tensor, crossed: Tensor, x: Tensor, y: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return tr((1 - X'X)^-1 B (1 - Y'Y)^-1 B') for B = C - X'Y, where ``whole`` is |C|^2.

    Woodbury: (1 - X'X)^-1 is 1 + X'(1 - XX')^-1 X, and ``left`` the Cholesky root of 1 - XX'.
    """
    own_x, own_y = x @ x.T, y @ y.T
    along_x, along_y = x @ crossed - own_x @ y, crossed @ y.T - x.T @ own_y
    both = along_x @ y.T
    square = whole - 2 * (x * (crossed @ y.T).T).sum() + (own_x * own_y).sum()
    first = torch.linalg.solve_triangular(left, along_x, upper=False).square().sum()
    second = torch.linalg.solve_triangular(right, along_y.T, upper=False).square().sum()
    third = torch.linalg.solve_triangular(left, both, upper=False)
    third = torch.linalg.solve_triangular(right, third.T, upper=False).square().sum()
    found: Tensor = square + first + second + third
    return found


def singular(a: Cloud, b: Cloud, draws: int, generator: np.random.Generator) -> Reading:
    """Return the mean squared canonical correlation of the axes that hold 99 % of each cloud's variance."""
    return canonical(a.leading(), b.leading(), draws, generator)


def procrustes(a: Cloud, b: Cloud, draws: int, generator: np.random.Generator) -> Reading:
    """Return the cosine between the clouds after the best rotation: |X'Y|_* / (|X| |Y|)."""
    x, y = a.rows, b.rows
    norm = float(x.norm() * y.norm())
    u, s, vt = torch.linalg.svd(x.T @ y, full_matrices=False)
    value = float(s.sum()) / norm
    k = min(a.rank, b.rank)
    top = float((a.sizes[:k] * b.sizes[:k]).sum()) / norm
    # to first order, what each stimulus adds: the sum of singular values changes by x_i' U V' y_i
    share = ((x @ u) * (y @ vt.T)).sum(1) / s.sum()
    own = x.square().sum(1) / x.square().sum() + y.square().sum(1) / y.square().sum()
    adds = value * (share - own / 2)
    without = torch.stack([value - adds[group].sum() for group in groups_of(len(a))])
    left, right = x.T.float(), y.float()  # seven digits are more than a mean of draws has
    drawn = [
        float(torch.linalg.svdvals(left @ right[torch.from_numpy(generator.permutation(len(y)))]).sum()) / norm
        for _ in range(draws)
    ]
    null = (float(np.mean(drawn)), float(np.std(drawn, ddof=1))) if draws > 1 else (NOTHING, NOTHING)
    return Reading(value, float(jackknife_error(without)), *null, top, draws)


def dissimilarities(a: Cloud, b: Cloud, draws: int, generator: np.random.Generator) -> Reading:
    """Return the rank correlation (Spearman) of the Euclidean distances between stimuli, at most 512 of them."""
    n = min(len(a), MOST_OF_RSA)
    rows, columns = torch.triu_indices(n, n, 1)
    # what differs by rounding alone is a tie
    sides = [(found / found.max() * 1e12).round() for found in (a.distances, b.distances)]
    if any(bool(side.min() == side.max()) for side in sides):  # all distances are the same
        return Reading(NOTHING, NOTHING, 0.0, NOTHING)
    order, equal = zip(*(_sorted(side.numpy()) for side in sides), strict=True)
    ties = any(equal)
    read = _with_ties(sides, rows, columns) if ties else _without_ties(order, rows.numpy(), columns.numpy())
    every = torch.ones(n, dtype=torch.bool)
    found = []
    for group in groups_of(n):
        kept = every.clone()
        kept[group] = False
        found.append(read(kept))
    sums = []
    for side, at in zip(sides, order, strict=True):
        if ties:
            rank = _ranks(_places(side), torch.ones(len(rows), dtype=torch.bool))
        else:
            rank = torch.from_numpy(_inverse(at)).double()
        centred = rank - rank.mean()
        sums.append(PairSums.of_pairs(centred / centred.norm(), rows, columns))
    mean, spread = pair_moments(*sums)
    return Reading(float(read(every)), float(jackknife_error(torch.stack(found))), mean / 2, spread / 2)


def _sorted(values: Array) -> tuple[Array, bool]:
    """Return the order of ``values``, whole numbers from 0 to 1e12, and whether two are equal.

    Each is sorted together with its place, which stands in the last bits: numbers alone are sorted faster.
    """
    bits = max(len(values) - 1, 1).bit_length()
    keys = (values.astype(np.int64) << bits) | np.arange(len(values))
    keys.sort()
    return keys & ((1 << bits) - 1), bool((np.diff(keys >> bits) == 0).any())


def _inverse(order: Array) -> Array:
    """Return the place of each entry in ``order``."""
    found = np.empty_like(order)
    found[order] = np.arange(len(order))
    return found


def _without_ties(order: Sequence[Array], rows: Array, columns: Array) -> Callable[[Tensor], Tensor]:
    """Return Spearman's correlation over the pairs of those stimuli that are kept, where no two distances are equal.

    Along each order the rank of a kept pair is the number of kept ones up to it.
    """
    first, second = order
    across = _inverse(first)[second]  # where in the first order the pairs of the second one are
    count, along = int(columns.max()) + 1, np.arange(1.0, len(rows) + 1)
    in_first, in_second = ((rows * count + columns)[at] for at in (first, second))

    def read(kept: Tensor) -> Tensor:
        pairs = np.logical_and.outer(kept.numpy(), kept.numpy()).ravel()
        ranks = pairs.take(in_first).cumsum(dtype=np.int32)
        found = ranks.take(across.take(np.flatnonzero(pairs.take(in_second))))
        both, n = float(found.astype(np.float64) @ along[: len(found)]), float(ranks[-1])
        return torch.tensor((both - n * ((n + 1) / 2) ** 2) / (n * (n**2 - 1) / 12), dtype=torch.float64)

    return read


def _with_ties(sides: Sequence[Tensor], rows: Tensor, columns: Tensor) -> Callable[[Tensor], Tensor]:
    """Return Spearman's correlation over the pairs of stimuli that are kept, equal distances at their mean rank."""
    places = [_places(side) for side in sides]

    def read(kept: Tensor) -> Tensor:
        pairs = kept[rows] & kept[columns]
        return _correlation(*(_ranks(place, pairs)[pairs] for place in places))

    return read


def _places(values: Tensor) -> Tensor:
    """Return for each of ``values`` how many smaller ones there are, ties counted once."""
    found: Tensor = torch.unique(values, return_inverse=True)[1]
    return found


def _ranks(places: Tensor, counted: Tensor) -> Tensor:
    """Return the mean ranks of values among those that are ``counted``."""
    many = torch.bincount(places, weights=counted.double(), minlength=int(places.max()) + 1)
    middle = many.cumsum(0) - (many - 1) / 2
    return middle[places]


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    x, y = x - x.mean(), y - y.mean()
    found: Tensor = (x @ y) / (x.norm() * y.norm())
    return found


def neighbours(a: Cloud, b: Cloud, draws: int, generator: np.random.Generator) -> Reading:
    """Return the share of each stimulus's nearest ones that are so in both clouds, on average."""
    n, k, near = len(a), a.neighbours, (a.near, b.near)
    row, place, other = torch.nonzero(near[0][:, :, None] == near[1][:, None, :], as_tuple=True)

    def shared(kept: Tensor) -> Tensor:
        mine, theirs = (_first(kept[found], k) for found in near)
        return (mine[row, place] & theirs[row, other] & kept[row]).sum() / (kept.sum() * k)

    found = []
    for group in groups_of(n):
        kept = torch.ones(n, dtype=torch.bool)
        kept[group] = False
        found.append(shared(kept).double())
    value = float(shared(torch.ones(n, dtype=torch.bool)).double())
    mean, spread = pair_moments(*(_graph(cloud) for cloud in (a, b)))
    return Reading(value, float(jackknife_error(torch.stack(found))), mean / (n * k), spread / (n * k))


def _first(there: Tensor, k: int) -> Tensor:
    """Return which of the places of each row are its first ``k`` that are there."""
    return there & (there.cumsum(1) <= k)


def _graph(cloud: Cloud) -> PairSums:
    """Return the sums of the graph in which each stimulus points to its nearest ones."""
    n, k = len(cloud), cloud.neighbours
    near = cloud.near[:, :k]
    met = torch.bincount(near.flatten(), minlength=n).double()
    mutual = (near[near] == torch.arange(n)[:, None, None]).sum()
    return PairSums(n, n * k, n * k, float(mutual), n * k**2, float(met.square().sum()), k * n * k)


def relative(a: Cloud, b: Cloud, draws: int, generator: np.random.Generator) -> Reading:
    """Return the mean cosine of relative codes of the same stimulus; the null is over orders of all but the anchors."""
    x, y = a.codes(), b.codes()
    without = [(a.codes(group) * b.codes(group)).sum(1).mean() for group in groups_of(len(a))]
    error = float(jackknife_error(torch.stack(without)))
    return Reading(float((x * y).sum(1).mean()), error, *pairing_moments(x, y))


def retrieval(a: Cloud, b: Cloud, draws: int, generator: np.random.Generator) -> Reading:
    """Return the fraction of stimuli whose own relative code is the nearest in b; the null is as for ``relative``."""
    chosen = _chosen(a.codes(), b.codes())
    without = [_chosen(a.codes(group), b.codes(group)).diagonal().mean() for group in groups_of(len(a))]
    n = len(chosen)
    odd = chosen - chosen.mean(1, keepdim=True) - chosen.mean(0) + chosen.mean()
    spread = math.sqrt(float(odd.square().sum()) / (n - 1)) / n
    error = float(jackknife_error(torch.stack(without)))
    return Reading(float(chosen.diagonal().mean()), error, float(chosen.mean()), spread)


def _chosen(x: Tensor, y: Tensor) -> Tensor:
    """Return which code of ``y`` is nearest to each of ``x`` (Q, Q); codes that are the same share it."""
    likeness = x @ y.T
    best = likeness >= likeness.max(1, keepdim=True).values - SMALLEST
    return best / best.sum(1, keepdim=True).double()


MEASURES: dict[str, Measure] = {
    "cca": canonical, "svcca": singular, "procrustes": procrustes, "rsa": dissimilarities, "neighbours": neighbours,
    "relative": relative, "retrieval": retrieval,
}  # fmt: skip
