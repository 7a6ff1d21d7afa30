"""Whether a feature is a circle: a probe for it, and whether its plane falls apart into two features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.checks import array, as_points, number, whole
from phasescope.ensemble import streams
from phasescope.instruments.neighbours import Points, rows_of
from phasescope.representation.encode_ridge import Ridge
from phasescope.representation.readings import Measured, left_out, table
from phasescope.vocabulary import Array, BadInput

FEWEST, RUNS, FOLDS, ANGLES = 40, 20, 5, 90


@dataclass(frozen=True)
class Irreducibility:
    """Whether a plane is two features or one: ``separability`` in bits, and the ``mixture`` index, a fraction.

    A high separability, far above its null, says that no turn of the plane makes its coordinates independent; a low
    mixture index, near its null, that no line holds many points: then the plane is one feature of two dimensions.
    """

    separability: Measured
    mixture: Measured
    angle: float

    def __str__(self) -> str:
        return table({"separability": self.separability, "mixture": self.mixture})


@dataclass(frozen=True)
class Circle:
    """A probe for a phase: ``r2`` on points that were held out, and the ``plane`` (N, 2) of its predictions.

    ``irreducible`` says whether that plane is one feature; the plane is predicted on points that the probe did not see.
    """

    r2: Measured
    null_sd: float
    plane: Array
    irreducible: Irreducibility

    def __str__(self) -> str:
        rows = {
            "r2": self.r2,
            "separability": self.irreducible.separability,
            "mixture": self.irreducible.mixture,
        }
        return table(rows, f"spread of r2 over shuffled phases: {self.null_sd:.4f}")


def irreducible(plane: Points, *, epsilon: float = 0.1, draws: int = 20, seed: int = 0) -> Irreducibility:
    """Return whether a ``plane`` (N, 2) of points is one feature of two dimensions, or two, or a mixture.

    Engels et al. 2024, arXiv:2405.14860. Separability: the least mutual information, in bits, of the two coordinates
    over rotations of the plane, here from equally filled bins, sqrt(N / 5) a side and at most 40. Null: the same cells
    with one coordinate shuffled, drawn ``draws`` times: 0 plus what so many bins add. Mixture: the largest fraction of
    points within ``epsilon`` root mean squares of a line, over lines through points at 90 angles; the mean square is
    that of distances to the line. Null: of as many normal points, 5 draws; erf(epsilon / sqrt 2) for many. Bounds: [0,
    log2 of the bins], [0, 1]. Invariant to rotations (up to the steps of angles), shifts and scale. The authors' code
    takes bins of equal width, and descent for the line. Raises ``BadInput`` for fewer than 40 points and planes without
    extent.
    """
    epsilon = number(0, 1, open_low=True)("epsilon", epsilon)
    draws, seed = whole(2, 10**6)("draws", draws), whole(0, 2**63 - 1)("seed", seed)
    points = rows_of(plane, FEWEST).cpu().numpy()
    if points.shape[1] != 2:
        raise BadInput(f"the plane has shape {points.shape}: give two columns.")
    centred = points - points.mean(0)
    if (
        np.linalg.matrix_rank(centred / max(float(np.abs(centred).max()), 1e-300), tol=1e-9 * math.sqrt(len(points)))
        < 2
    ):
        raise BadInput(f"{len(points)} points lie on a line: give a plane that they fill.")
    bins = min(max(int(math.sqrt(len(points) / 5)), 2), 40)
    angles = np.arange(ANGLES) * math.pi / 2 / ANGLES
    shared = [_information(*_turned(centred, angle), bins) for angle in angles]
    best = int(np.argmin(shared))
    across, along = _turned(centred, angles[best])
    generator = streams(seed)("shuffled plane")
    null = [_information(across, generator.permutation(along), bins) for _ in range(draws)]
    clouds = [streams(seed)("normal plane", i).standard_normal(points.shape) for i in range(min(draws, 5))]

    def separate(kept: Array) -> float:
        return _information(*_turned(centred[kept], angles[best]), bins)

    def mixed(some: Array) -> float:
        return max(_band(_turned(some, 2 * angle)[0], epsilon) for angle in angles)

    return Irreducibility(
        Measured(shared[best], left_out(len(points), RUNS, separate), float(np.mean(null))),
        Measured(mixed(points), math.nan, float(np.mean([mixed(cloud) for cloud in clouds]))),
        float(angles[best]),
    )


def circular(points: Points, phases: Any, *, draws: int = 20, seed: int = 0) -> Circle:
    """Return how well a linear probe reads ``phases`` (N,), in radians, from ``points`` (N, D), as (cos, sin).

    A ridge for each of the two, its penalty chosen on the points it is fitted on, in five folds of every fifth point;
    r2 is 1 less the squared error on held-out points over the variance of (cos, sin). Days of a week are phases
    2 pi day / 7. Dimensionless. Bounds: at most 1. Null: with phases shuffled, drawn ``draws`` times, 0 or a little
    below. Invariant to rotations, shifts and scale of the points, and one shift of the phases. Errors leave out runs
    of points from the test in turn, with the fits held. ``irreducible`` judges the probe's plane. After Engels et al.
    2024, arXiv:2405.14860. Raises ``BadInput`` for fewer than 40 points and phases that are all the same.
    """
    draws, seed = whole(2, 10**6)("draws", draws), whole(0, 2**63 - 1)("seed", seed)
    rows = rows_of(as_points("points", points), FEWEST).cpu()
    read = array(1)("phases", phases)
    if len(read) != len(rows):
        raise BadInput(f"there are {len(rows)} points and {len(read)} phases: give one for each, in radians.")
    wanted = torch.from_numpy(np.stack([np.cos(read), np.sin(read)], 1))
    if float(wanted.var(0).sum()) < 1e-12:
        raise BadInput("all phases are the same: a circle needs points all around it.")
    folds = torch.arange(len(rows)) % FOLDS
    ridges = [Ridge(rows[folds != fold]) for fold in range(FOLDS)]
    plane = _held_out(ridges, rows, wanted, folds)
    shuffles = (torch.from_numpy(streams(seed)("phases", i).permutation(len(rows))) for i in range(draws))
    null = [_r2(_held_out(ridges, rows, wanted[order], folds), wanted[order]) for order in shuffles]
    error = left_out(len(rows), RUNS, lambda kept: _r2(plane[torch.from_numpy(kept)], wanted[torch.from_numpy(kept)]))
    r2 = Measured(_r2(plane, wanted), error, float(np.mean(null)))
    return Circle(r2, float(np.std(null)), plane.numpy(), irreducible(plane, draws=draws, seed=seed))


def _held_out(ridges: list[Ridge], rows: Tensor, wanted: Tensor, folds: Tensor) -> Tensor:
    plane = torch.zeros_like(wanted)
    for fold, ridge in enumerate(ridges):
        test = folds == fold
        plane[test] = ridge.fitted(wanted[~test]).predict(rows[test])
    return plane


def _r2(predicted: Tensor, wanted: Tensor) -> float:
    return 1 - float((predicted - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum())


def _turned(plane: Array, angle: float) -> tuple[Array, Array]:
    c, s = math.cos(angle), math.sin(angle)
    return plane[:, 0] * c + plane[:, 1] * s, plane[:, 1] * c - plane[:, 0] * s


def _information(x: Array, y: Array, bins: int) -> float:
    """Return the mutual information, in bits, of ``x`` and ``y`` (N,) in equally filled bins."""
    inner = np.arange(1, bins) / bins
    cells = [np.searchsorted(np.quantile(v, inner), v, side="right") for v in (x, y)]  # equal values share a bin
    joint = np.bincount(cells[0] * bins + cells[1], minlength=bins**2).reshape(bins, bins) / len(x)
    apart = joint.sum(1, keepdims=True) * joint.sum(0)
    filled = joint > 0
    return float((joint[filled] * np.log2(joint[filled] / apart[filled])).sum())


def _band(values: Array, epsilon: float) -> float:
    """Return the largest fraction of ``values`` (N,) within epsilon root mean squares of one of them."""
    values = np.sort(values)
    half = epsilon * np.sqrt(values.var() + np.square(values.mean() - values))
    return float((np.searchsorted(values, values + half) - np.searchsorted(values, values - half)).max()) / len(values)
