"""What the claims and figures of ``corrupted-labels`` share: which run is which phase, and what is expected of it.

The bounds of the paper's Table 2 are expected at every size; what the authors' notebook prints, at its size alone.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.measures import Cell, Measure, at, near
from phasescope.studies.corrupted_labels.settings import CorruptedLabelsSettings
from phasescope.theory import label_corruption
from phasescope.verdict import Source

DOSHI = "Doshi et al. 2023"


NOTEBOOK = "github.com/d-doshi/Grokking, Notebooks/Grokking_with_label_corruption.ipynb"
UNIT, POSITIVE = (0.0, 1.0), (0.0, math.inf)
DIFFERENCE = (-1.0, 1.0)
# training and test accuracy without weight decay, by p, width, train fraction and corruption
ROWS = {(97, 500, 0.5, 0.35): (near(0.98, 0.01), near(0.98, 0.015))}


def paper(
    place: str, *, derived: str = "", ours: str = "", pilot: str = "", value: str = "", tolerance: str = ""
) -> Source:
    """Return a source in the study's paper, which says whose the number is where it is not there."""
    return Source(paper=f"{DOSHI}, {place}", derived=derived, ours=ours, pilot=pilot, value=value, tolerance=tolerance)


def phases(s: CorruptedLabelsSettings) -> dict[str, Cell]:
    """Return the networks of each phase of the paper's Fig. 1, and of forgetting."""
    return {
        "coexistence": at("plain", weight_decay=0.0),
        "partial": at("decay", weight_decay=s.partial),
        "full": at("decay", weight_decay=s.full),
        "forgetting": at("forgetting", weight_decay=s.forget),
    }


@partial(Measure, words="participation at the end")
def neurons_at_end(cell: xr.Dataset) -> xr.DataArray:
    """Return every neuron's inverse participation ratio at the end, whether or not it was recorded on the way."""
    ratio = cell.participation
    return last(ratio) if "step" in ratio.dims else ratio


def truth_level(s: CorruptedLabelsSettings) -> float:
    """Return the training accuracy of the network that answers the truth."""
    return float(label_corruption.full_inversion_accuracy(s.corruption, s.p))


def truth_tolerance(s: CorruptedLabelsSettings) -> float:
    """Return four deviations of the fraction of training samples whose label was drawn again and is right."""
    samples = round(s.train_fraction * s.p**2)
    return float(4 * np.sqrt(s.corruption / s.p * (1 - 1 / s.p) / samples))


def deeper(s: CorruptedLabelsSettings) -> dict[str, tuple[str, str, int, float]]:
    """Return the deeper networks that are trained: by experiment, words, figure of the paper, p and weight decay."""
    kinds = {
        "deep": ("three-layer ReLU network", "7b", s.deep_p, s.deep_decay),
        "tokens": ("one-layer transformer", "7a", s.token_p, s.token_decay),
    }
    return {name: kinds[name] for name, seeds in (("deep", s.deep_seeds), ("tokens", s.token_seeds)) if seeds}
