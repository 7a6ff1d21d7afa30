"""The numbers of ``grokking-time`` at each scale, and the names of what forecasts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

Share = Annotated[float, Field(gt=0, lt=1)]
Corruption = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]

MEAN, FRACTION, MEMORIZED = "mean", "fraction of the table", "step of memorization"
COORDINATES, READINGS, BOTH = "coordinates of the cell", "early readings", "coordinates and readings"
TWIN, CURVE, PERMUTED = "coordinates and the twin's readings", "coordinates and test curve", "another network's"
INPUTS = (MEAN, FRACTION, MEMORIZED, COORDINATES, READINGS, BOTH, TWIN, CURVE, PERMUTED)
"""What a network is forecast from. A twin is the other network of the same cell."""
LINEAR, TREES = "linear", "boosting"
MODELS = (LINEAR, TREES)
CELL, MODULUS = "cells", "moduli"
SPLITS = (CELL, MODULUS)
"""What is held out whole."""
SHALLOW = {CELL: (COORDINATES, READINGS, BOTH, TWIN), MODULUS: (COORDINATES, BOTH)}
"""What trees are grown on, by what is held out; the rest is left to the linear models."""
AXES = ("modulus", "decay", "fraction", "corrupted", "twin")


class GrokkingTimeSettings(Settings):
    """Sizes of the study. Each seed has ``twins`` networks in each cell of moduli, decays, fractions and corruptions.

    ``early`` is the share of ``steps`` in which a network is read. It has grokked when test accuracy is ``level``,
    and memorized when training accuracy is ``known``. Kernels are read on ``probes`` training rows.
    """

    seeds: Annotated[int, Field(ge=2)] = 12
    moduli: Annotated[tuple[Annotated[int, Field(ge=5)], ...], Field(min_length=2)] = (13, 17, 23, 31)
    decays: Annotated[tuple[Positive, ...], Field(min_length=2)] = (0.3, 1.0, 3.0)
    fractions: Annotated[tuple[Share, ...], Field(min_length=2)] = (0.32, 0.39, 0.47, 0.56, 0.66, 0.77, 0.89)
    corruptions: Annotated[tuple[Corruption, ...], Field(min_length=2)] = (0.0, 0.1)
    twins: Annotated[int, Field(ge=2, le=2)] = 2
    width: Count = 64
    rate: Positive = 0.003
    steps: Annotated[int, Field(ge=20)] = 1500
    early: Share = 0.05
    level: Share = 0.9
    known: Share = 0.99
    early_records: Annotated[int, Field(ge=4)] = 16
    records: Annotated[int, Field(ge=5)] = 32
    probes: Annotated[int, Field(ge=2)] = 16
    folds: Annotated[int, Field(ge=2)] = 8
    trees: Count = 60

    @property
    def window(self) -> int:
        """The last of the steps in which a network is read."""
        return max(4, round(self.early * self.steps))


SCALES = {
    "pocket": GrokkingTimeSettings(),
    "middle": GrokkingTimeSettings(
        moduli=(13, 17, 23, 31, 43, 59), fractions=(0.2, 0.25, 0.32, 0.39, 0.47, 0.56, 0.66, 0.77, 0.89),
        corruptions=(0.0, 0.1, 0.2), width=128, steps=4000,
    ),
    "paper": GrokkingTimeSettings(
        moduli=(23, 31, 43, 59, 79, 97), fractions=(0.15, 0.2, 0.25, 0.32, 0.39, 0.47, 0.56, 0.66, 0.77, 0.89),
        corruptions=(0.0, 0.1, 0.2, 0.3), width=500, steps=20_000,
    ),
}  # fmt: skip
