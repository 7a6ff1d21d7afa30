"""The variances of a cloud along its principal axes, and errors of what is made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phasescope.instruments.neighbours import Points, all_same, rows_of
from phasescope.vocabulary import Array, BadInput

FEWEST, RUNS = 8, 20


@dataclass(frozen=True)
class Spectrum:
    """The ``variances`` (r,) of ``rows`` points along their principal axes, falling, up to one common scale.

    ``without`` (runs, r) are those without one run of neighbouring rows each: along the same axes, which is right to
    first order in the rows left out. ``axes`` (D, r) are the directions.
    """

    variances: Array
    without: Array
    axes: Tensor
    rows: int

    @classmethod
    def of(cls, points: Points, *, centred: bool = True) -> Spectrum:
        """Return the spectrum of ``points`` (N, D), about their mean or the origin.

        Raises ``BadInput`` for fewer than 8 rows and rows without any variance.
        """
        given = rows_of(points, FEWEST)
        rows = given - given.mean(0) if centred else given
        largest = float(rows.abs().max())
        # what is left of equal rows after centring is rounding
        if largest == 0 or (centred and all_same(points)):
            raise BadInput(f"all {len(rows)} rows of points are the same: a shape needs rows that differ.")
        rows = rows / largest
        wide = rows.shape[1] > len(rows)
        squares, vectors = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
        squares, vectors = squares.flip(0), vectors.flip(1)
        kept = squares > torch.finfo(torch.float64).eps * max(rows.shape) * squares[0]
        squares, vectors = squares[kept], vectors[:, kept]
        axes = rows.T @ vectors / squares.sqrt() if wide else vectors
        parts = (rows @ axes).square().tensor_split(min(RUNS, len(rows)))
        sums = torch.stack([part.sum(0) for part in parts])
        counts = torch.tensor([float(len(part)) for part in parts], dtype=torch.float64, device=rows.device)
        less = 1 if centred else 0
        without = (sums.sum(0) - sums) / (len(rows) - counts - less)[:, None]
        return cls((squares / (len(rows) - less)).cpu().numpy(), without.cpu().numpy(), axes, len(rows))


def jackknife(spectrum: Spectrum, read: Callable[[Array], float]) -> tuple[float, float]:
    """Return ``read`` of the variances, and its standard error by leaving out each run of rows in turn."""
    left = np.array([read(variances) for variances in spectrum.without])
    runs = len(left)
    return read(spectrum.variances), math.sqrt((runs - 1) * float(np.var(left)))
