"""The figures of the study ``corrupted-labels``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import xarray as xr

from phasescope.blocks import Axis, Curves, Figure
from phasescope.studies._corrupted_labels_rows import row
from phasescope.studies._readings import band

if TYPE_CHECKING:
    from phasescope.studies.corrupted_labels import CorruptedLabelsSettings

STEP = Axis("step", "log")
ACCURACY = Axis("accuracy", limits=(-0.02, 1.02))


def figures(data: xr.Dataset, s: CorruptedLabelsSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_learning(data, s),)


def _learning(data: xr.Dataset, s: CorruptedLabelsSettings) -> Figure:
    panels = []
    for phase, title in (("coexistence", "c"),):
        found = row(data, s, phase)
        panels.append(Curves(title, STEP, ACCURACY, [band("training", found.train_accuracy)]))
    return Figure("learning", "t", "c", panels, ("coexistence",))
