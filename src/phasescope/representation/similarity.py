"""Ways to say how alike two representations are that are not one number with a null: correlations, distances, codes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phasescope.checks import as_labels, word
from phasescope.instruments.neighbours import rows_of
from phasescope.representation.encode_ridge import Ridge
from phasescope.representation.similarity_clouds import Cloud, cosines, groups_of, jackknife_error
from phasescope.vocabulary import BadInput

__all__ = ["Stitching", "canonical_correlations", "relative_codes", "shape_distance", "stitch"]
FEWEST_LABELLED = 20
DISTANCES = {"cosine": math.nan, "euclidean": 2.0, "l1": 1.0, "linf": math.inf}


def _two(first: Any, second: Any) -> tuple[Cloud, Cloud]:
    a, b = Cloud.of(first, "first"), Cloud.of(second, "second")
    if len(a) != len(b):
        raise BadInput(f"first and second have {len(a)} and {len(b)} rows: give the same stimuli in the same order.")
    return a, b


def canonical_correlations(first: Any, second: Any) -> Tensor:
    """Return the canonical correlations (K,) float64 of ``first`` (N, D) and ``second`` (N, E), falling; K the rank.

    Hotelling 1936 (Biometrika 28), by singular values of the product of orthonormal bases. Dimensionless. Bounds:
    [0, 1]. Null: of unrelated stimuli their mean square is max(D, E) / (N - 1), and of white noise the largest squared
    one nears Wachter's edge c + e - 2 c e + 2 sqrt(c e (1 - c) (1 - e)) with c = D / N, e = E / N. Invariant to
    invertible linear maps and shifts of either. Raises ``BadInput`` where one side has as many dimensions as stimuli,
    since all are 1 then.
    """
    a, b = _two(first, second)
    if max(a.rank, b.rank) >= len(a) - 1:
        raise BadInput(
            f"{len(a)} stimuli have {max(a.rank, b.rank)} dimensions, and then all canonical correlations are 1: give "
            "more stimuli, or the leading principal axes of each side."
        )
    correlations: Tensor = torch.linalg.svdvals(a.axes.T @ b.axes).clamp(max=1)
    return correlations


def shape_distance(first: Any, second: Any) -> float:
    """Return the angle in radians between ``first`` (N, D) and ``second`` (N, E) after the best rotation.

    Williams et al. 2021, arXiv:2110.14739: arccos(|X'Y|_* / (|X| |Y|)) of the centred clouds, a metric on shapes.
    Bounds: [0, pi / 2]. Null: of unrelated white noise with D = E << N, arccos(8 / (3 pi) sqrt(D / N)). Invariant to
    rotations, shifts and scale of either. Raises ``BadInput`` as ``ps.compare``.
    """
    a, b = _two(first, second)
    x, y = a.rows / a.rows.norm(), b.rows / b.rows.norm()
    u, _, vt = torch.linalg.svd(x.T @ y, full_matrices=False)
    # the sine of half the angle, from the difference of the rotated clouds: an arccos near 1 has half of the digits
    apart = float((x @ u - y @ vt.T).square().sum() + _rest(x, u) + _rest(y, vt.T))
    return 2 * math.asin(min(math.sqrt(max(apart, 0.0)) / 2, 1.0))


def _rest(rows: Tensor, turn: Tensor) -> Tensor:
    """Return what of ``rows`` lies outside the columns of ``turn``: the other cloud has nothing there."""
    rest: Tensor = (rows - rows @ turn @ turn.T).square().sum()
    return rest


def relative_codes(points: Any, anchors: Any, distance: str = "cosine") -> Tensor:
    """Return the relative codes (N, A) float64 of ``points`` (N, D): cosines to ``anchors`` (A, D), about their mean.

    Moschella et al. 2023, arXiv:2209.15430, there without centring. ``distance`` "euclidean", "l1" or "linf": distances
    to the anchors instead, over the mean distance between anchors, which Cannistraci et al. 2023, arXiv:2310.01211,
    join with the cosines. Dimensionless. Bounds: [-1, 1]; of distances [0, inf). Null: of white noise mean 0, variance
    1 / D; of distances 1. Invariant to rotations, shifts and scale of the space that points and anchors share; "l1" and
    "linf" to orders and signs of the coordinates in place of rotations. Raises ``BadInput`` for other shapes, and for
    anchors that are all the same where distances are asked for.
    """
    distance = word(*DISTANCES)("distance", distance)
    rows, some = rows_of(points, 1), rows_of(anchors, 2)
    if rows.shape[1] != some.shape[1]:
        raise BadInput(f"points have {rows.shape[1]} dimensions and anchors {some.shape[1]}: give those of one space.")
    middle = some.mean(0)
    if distance == "cosine":
        return cosines(rows - middle, some - middle)
    between, to_anchors = (_distances(side, some, DISTANCES[distance]) for side in (some, rows))
    unit = float(between.sum()) / (len(some) * (len(some) - 1))
    if unit == 0:
        raise BadInput(f"all {len(some)} anchors are the same: distances need anchors that differ.")
    return to_anchors / unit


def _distances(rows: Tensor, others: Tensor, power: float) -> Tensor:
    exact: Tensor = torch.cdist(rows, others, p=power, compute_mode="donot_use_mm_for_euclid_dist")
    return exact


@dataclass(frozen=True)
class Stitching:
    """Accuracies of a readout of relative codes: on its ``own`` side, ``stitched`` to the other, by ``chance``.

    ``error`` is the standard error of ``stitched`` over test stimuli, ``absolute`` the accuracy without codes, on the
    raw features of the other side, NaN where these have another number of dimensions.
    """

    own: float
    stitched: float
    error: float
    absolute: float
    chance: float
    anchors: int

    def __str__(self) -> str:
        raw = "" if math.isnan(self.absolute) else f", {self.absolute:.3f} on raw features"
        return (
            f"stitched {self.stitched:.3f} ± {self.error:.3f}, own {self.own:.3f}{raw}, chance {self.chance:.3f}; "
            f"{self.anchors} anchors"
        )


def stitch(first: Any, second: Any, labels: Any, *, anchors: int = 100) -> Stitching:
    """Return how well a readout that was fitted on ``first`` (N, D) reads ``second`` (N, E), by relative codes.

    Zero-shot stitching (Moschella et al. 2023, arXiv:2209.15430): ``anchors`` stimuli, evenly spaced, are known on
    both sides; of the others every second fits a ridge readout of ``labels`` (N,) from codes of ``first``, and the
    rest test it on codes of ``second``. Accuracies are fractions; chance is the largest class among test stimuli.
    Raises ``BadInput`` for fewer than 20 stimuli besides the anchors, and where rows differ in number.
    """
    sides = [rows_of(x, FEWEST_LABELLED) for x in (first, second)]
    count = len(sides[0])
    if len(sides[1]) != count:
        raise BadInput(f"first and second have {count} and {len(sides[1])} rows: give the same stimuli in one order.")
    read = as_labels("labels", labels, count=count)
    if not 2 <= anchors <= count - FEWEST_LABELLED:
        raise BadInput(f"anchors is {anchors}: of {count} stimuli take from 2 to {count - FEWEST_LABELLED}.")
    chosen = torch.arange(anchors) * count // anchors
    others = torch.ones(count, dtype=torch.bool)
    others[chosen] = False
    rest = torch.nonzero(others)[:, 0]
    fit, test = rest[::2], rest[1::2]
    wanted = torch.nn.functional.one_hot(read, int(read.max()) + 1).double()
    codes = [relative_codes(x, x[chosen]) for x in sides]
    ridge = Ridge(codes[0][fit]).fitted(wanted[fit])
    own, stitched = ((ridge.predict(x[test]).argmax(1) == read[test]).double() for x in codes)
    absolute = math.nan
    if sides[0].shape[1] == sides[1].shape[1]:
        raw = Ridge(sides[0][fit]).fitted(wanted[fit])
        absolute = float((raw.predict(sides[1][test]).argmax(1) == read[test]).double().mean())
    total = stitched.sum()
    groups = groups_of(len(test))
    left = torch.stack([(total - stitched[g].sum()) / (len(test) - (g.stop - g.start)) for g in groups])
    chance = float(torch.bincount(read[test]).max()) / len(test)
    return Stitching(float(own.mean()), float(stitched.mean()), float(jackknife_error(left)), absolute, chance, anchors)
