"""How evenly a cloud of points uses its space: seven readings, each with an error and the value of white noise."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from phasescope.directions import unit
from phasescope.instruments.isotropy import outlier_dimensions
from phasescope.instruments.neighbours import Points, rows_of
from phasescope.representation.dimension import participation
from phasescope.representation.isotropy_spectrum import FEWEST, RUNS, Spectrum, jackknife
from phasescope.representation.readings import Measured, spread
from phasescope.vocabulary import Array, BadInput

__all__ = ["Measured", "isotropy", "partition_score", "uniformity_w2", "von_neumann_entropy"]


def von_neumann_entropy(points: Points) -> float:
    """Return -sum l log l, in nats, of the eigenvalues l of the mean outer product of the unit rows of ``points``.

    ``points`` (N, D); not centred, so it falls where all rows point the same way. Bounds: [0, log min(N, D)]. Null: of
    white noise log D - D / (2 N) for N >> D. Invariant to rotations, the size of each row and the order of rows. Kim et
    al. 2023, arXiv:2304.01434. Raises ``BadInput`` for fewer than 8 rows with a direction.
    """
    return _entropy(Spectrum.of(_directed(points), centred=False).variances)


def partition_score(points: Points) -> float:
    """Return I(V) = min Z(c) / max Z(c) of ``points`` (N, D), Z(c) = sum exp(c . x) over principal axes c, both ways.

    The axes are those of X'X, not centred, and X is scaled to a mean squared entry of 1, so that the score does not
    depend on a scale (the paper takes embeddings as they are). Dimensionless. Bounds: [0, 1]; 1 where all directions
    look the same. Null: of white noise it tends to 1 as N grows. Invariant to rotations and the order of rows. Mu and
    Viswanath 2018, arXiv:1702.01417, Sec. 2. Raises ``BadInput`` for fewer than 8 rows and rows that are all zero.
    """
    rows = _scaled(points)
    return _partition(rows @ Spectrum.of(rows, centred=False).axes)[0]


def uniformity_w2(points: Points) -> float:
    """Return the 2-Wasserstein distance of the unit rows of ``points`` (N, D) from N(0, I / D), as if they were normal.

    sqrt(|mu|^2 + 1 + tr S - (2 / sqrt D) tr S^{1/2}) with their mean mu and covariance S (about mu, with 1 / N): unlike
    the potential of pairs it sees that directions are not used. In units of the sphere's radius. Bounds: [0, sqrt(2)],
    about. Null: of white noise it tends to 0 as N grows; with k of D directions used evenly, sqrt(2 - 2 sqrt(k / D)).
    Invariant to rotations, the size of each row and the order of rows. Fang et al. 2024, arXiv:2403.00642. Raises
    ``BadInput`` for fewer than 8 rows with a direction.
    """
    return _uniformity(_directed(points))[0]


def isotropy(points: Points) -> dict[str, Measured]:
    """Return how evenly ``points`` (N, D) use their space, by name, with errors from leaving out runs of rows.

    "isoscore": (P - 1) / (D - 1) with the participation ratio P. "effective_rank": exp of the entropy of the singular
    values. "top_share": of the variance along the first principal axis. "entropy": ``von_neumann_entropy``. "cosine":
    the mean over pairs. "partition": ``partition_score``. "uniformity": ``uniformity_w2``. "outliers": coordinates with
    five times the mean variance. The first three and the last do not see a shift; none sees the scale; the order of
    rows changes errors alone. Nulls are those of white noise of as many points, NaN where no formula is known for them.
    Raises ``BadInput`` for fewer than 8 rows, one column, and rows that are all the same or have no direction.
    """
    return measured(points, Spectrum.of(points))


def measured(points: Points, spectrum: Spectrum) -> dict[str, Measured]:
    """Return ``isotropy`` of ``points``, whose centred ``spectrum`` is known."""
    given = rows_of(points, FEWEST)
    n, d = given.shape
    if d < 2:
        raise BadInput(f"points of shape {tuple(given.shape)}: in one dimension there is nothing to be uneven.")
    rows = _directed(given)
    scaled = _scaled(given)
    free = n - 1
    noise = (free * d + 2) / (free + d + 1)
    score, score_error = jackknife(spectrum, participation)
    along = scaled @ Spectrum.of(scaled, centred=False).axes
    few = math.nan
    return {
        "isoscore": Measured((score - 1) / (d - 1), score_error / (d - 1), (noise - 1) / (d - 1)),
        "effective_rank": Measured(*jackknife(spectrum, _rank), few),
        "top_share": Measured(*jackknife(spectrum, lambda v: float(v[0] / v.sum())), few),
        "entropy": Measured(
            *jackknife(Spectrum.of(rows, centred=False), _entropy), math.log(d) - d / (2 * n) if n >= 4 * d else few
        ),
        "cosine": Measured(*_cosines(rows), 0.0),
        "partition": Measured(*_partition(along), few),
        "uniformity": Measured(*_uniformity(rows), few),
        "outliers": Measured(float(len(outlier_dimensions(given))), few, 0.0),
    }


def _directed(points: Points) -> Tensor:
    rows = unit(rows_of(points, FEWEST))
    there = rows.norm(dim=1) > 0
    if int(there.sum()) < FEWEST:
        raise BadInput(f"{int(there.sum())} of {len(rows)} rows have a direction: give at least {FEWEST} not all zero.")
    return rows[there]


def _scaled(points: Points) -> Tensor:
    rows = rows_of(points, FEWEST)
    size = float(rows.square().mean().sqrt())
    if size == 0:
        raise BadInput(f"all {len(rows)} rows of points are zero: give rows with a direction.")
    return rows / size


def _rank(variances: Array) -> float:
    return math.exp(_entropy(np.sqrt(variances)))


def _entropy(weights: Array) -> float:
    shares = weights / weights.sum()
    shares = shares[shares > 0]
    return max(0.0, float(-(shares * np.log(shares)).sum()))  # and not -0.0


def _cosines(rows: Tensor) -> tuple[float, float]:
    """Return the mean cosine over pairs of unit rows, and its error."""
    parts = rows.tensor_split(min(RUNS, len(rows)))
    total = rows.sum(0)

    def mean(summed: Tensor, n: int) -> float:
        return (float(summed.square().sum()) - n) / (n * (n - 1))

    left = [mean(total - part.sum(0), len(rows) - len(part)) for part in parts]
    return mean(total, len(rows)), spread(left)


def _partition(along: Tensor) -> tuple[float, float]:
    """Return the partition score of rows given along their axes, and its error."""
    parts = along.tensor_split(min(RUNS, len(along)))
    sums = torch.stack([torch.cat([part.logsumexp(0), (-part).logsumexp(0)]) for part in parts])

    def score(some: Tensor) -> float:
        logs = some.logsumexp(0)
        return float((logs.min() - logs.max()).exp())

    return score(sums), spread([score(torch.cat([sums[:i], sums[i + 1 :]])) for i in range(len(sums))])


def _distance(mean: float, variances: Array, d: int) -> float:
    squared = mean + 1 + float(variances.sum()) - 2 / math.sqrt(d) * float(np.sqrt(variances).sum())
    return math.sqrt(max(squared, 0.0))


def _uniformity(rows: Tensor) -> tuple[float, float]:
    """Return the distance of unit rows from the even law, and its error."""
    n, d = rows.shape
    total = rows.sum(0)
    mean = float((total / n).square().sum())
    if 1 - mean < 1e-12:  # one direction: what is left of its variance is rounding
        return _distance(mean, np.zeros(1), d), math.nan
    spectrum = Spectrum.of(rows)
    parts = rows.tensor_split(len(spectrum.without))
    scale = (1 - mean) / float(spectrum.variances.sum())  # unit rows: |mu|^2 + tr S = 1
    left = []
    for part, variances in zip(parts, spectrum.without, strict=True):
        away = float(((total - part.sum(0)) / (n - len(part))).square().sum())
        left.append(_distance(away, variances * scale, d))
    return _distance(mean, spectrum.variances * scale, d), spread(left)
