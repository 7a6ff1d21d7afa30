"""How sharply labels change between near points: the empirical Lipschitz constant of the labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from phasescope.checks import array, as_points, number, whole
from phasescope.ensemble import streams
from phasescope.instruments.neighbours import Points, moderate, spacing
from phasescope.representation.readings import Measured, left_out, table
from phasescope.vocabulary import Array, BadInput

FEWEST, MOST, RUNS = 10, 1000, 20


@dataclass(frozen=True)
class Sharpness:
    """The ``largest`` slope of labels between two points, and an upper ``quantile`` of all slopes that differ from 0.

    Their nulls have the labels shuffled. ``conflicts`` are pairs at one place with different labels, left out.
    """

    largest: Measured
    quantile: Measured
    pairs: int
    conflicts: int

    def __str__(self) -> str:
        said = f"{self.pairs:,} pairs with different labels" + (
            f"; {self.conflicts:,} more are at one place, and have no slope" if self.conflicts else ""
        )
        return table({"largest": self.largest, "quantile": self.quantile}, said)


def label_sharpness(
    points: Points, labels: Any, *, classes: bool = False, quantile: float = 0.99, draws: int = 5, seed: int = 0
) -> Sharpness:
    """Return how sharply ``labels`` (N,) change over ``points`` (N, D): the largest |y - y'| / |x - x'|.

    K_F of Konz and Mazurowski 2024, arXiv:2401.08865, Sec. 3.2, over all pairs of at most 1,000 points, evenly spaced.
    With ``classes`` all labels that differ are 1 apart; labels 0 and 1 need no such word. Unit: that of labels over
    that of points. The largest rests on one pair and has no error; so the ``quantile`` of the slopes of pairs that
    differ stands beside it, its error from leaving out runs of points. Nulls: means over ``draws`` shuffles of the
    labels. Invariant to rotations and shifts of points; twice the points' scale halves it. Raises ``BadInput`` for
    fewer than 10 points and labels that are all the same.
    """
    quantile = number(0, 1, open_high=True)("quantile", quantile)
    draws, seed = whole(1, 10**4)("draws", draws), whole(0, 2**63 - 1)("seed", seed)
    rows, unit = moderate(as_points("points", points, fewest=FEWEST).detach().double().cpu())
    values = array(1)("labels", labels)
    if len(values) != len(rows):
        raise BadInput(f"there are {len(rows)} points and {len(values)} labels: give one for each.")
    chosen = np.arange(min(len(rows), MOST)) * len(rows) // min(len(rows), MOST)
    rows, values = rows[torch.from_numpy(chosen)], values[chosen]
    if float(np.ptp(values)) == 0:
        raise BadInput("all labels are the same: a sharpness needs labels that differ.")
    apart = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").numpy()
    same = apart <= spacing(points) * np.linalg.norm(rows.numpy(), axis=1)[:, None]
    far = np.where(same, math.inf, apart)

    def slopes(y: Array) -> Array:
        gap: Array = (y[:, None] != y).astype(float) if classes else np.abs(y[:, None] - y)
        return gap / far

    def upper(found: Array) -> float:
        rising = found[np.triu_indices(len(found), 1)]
        rising = rising[rising > 0]
        return float(np.quantile(rising, quantile)) if len(rising) else math.nan

    whole_ = slopes(values)
    shuffled = [slopes(streams(seed)("labels", i).permutation(values)) for i in range(draws)]
    differ = np.triu(values[:, None] != values, 1)
    return Sharpness(
        Measured(float(whole_.max()) / unit, math.nan, float(np.mean([one.max() for one in shuffled])) / unit),
        Measured(
            upper(whole_) / unit,
            left_out(len(rows), RUNS, lambda kept: upper(whole_[np.ix_(kept, kept)])) / unit,
            float(np.mean([upper(one) for one in shuffled])) / unit,
        ),
        int((differ & ~same).sum()),
        int((differ & same).sum()),
    )
