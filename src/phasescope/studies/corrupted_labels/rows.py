"""What the claims and figures of ``corrupted-labels`` share: which run is which phase, and the numbers expected.

Numbers that the paper or its authors' notebook state, or that an independent reproduction measured with other splits
and seeds, are in ``ROWS`` with the reproduction's tolerances. They are expected at those sizes only; the bounds of the
paper's Table 2 are expected at every size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.measures import Cell, Measure, at, near
from phasescope.studies.corrupted_labels.settings import CorruptedLabelsSettings
from phasescope.theory import label_corruption
from phasescope.verdict import Expectation

DOSHI = "Doshi et al. 2023"


@dataclass(frozen=True)
class Row:
    """What is expected at one size: accuracies and mean participation ratios at no, partial and full weight decay.

    ``tenth`` and ``fifth``: test accuracy after taking out that share of the neurons, highest participation first.
    """

    train: Expectation
    test: Expectation
    partial: Expectation
    full_tolerance: float
    participation: tuple[float, float, float]
    tenth: Expectation
    fifth: Expectation


ROWS = {
    (97, 500, 0.5, 0.35): Row(
        near(0.98, 0.01), near(0.98, 0.015), near(0.79, 0.03), 0.003, (0.28, 0.41, 0.62), near(0.77, 0.05),
        near(0.18, 0.08),
    ),
    (59, 300, 0.7, 0.3): Row(
        near(0.99, 0.01), near(0.973, 0.015), near(0.85, 0.02), 0.01, (0.32, 0.48, 0.70), near(0.70, 0.05),
        near(0.20, 0.08),
    ),
}  # fmt: skip


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
    """Return every neuron's participation ratio at the end, whether or not it was recorded along the way too."""
    ratio = cell.participation
    return last(ratio) if "step" in ratio.dims else ratio


def truth_level(s: CorruptedLabelsSettings) -> float:
    """Return the training accuracy of the network that answers the truth."""
    return float(label_corruption.full_inversion_accuracy(s.corruption, s.p))


def known_row(s: CorruptedLabelsSettings) -> Row | None:
    """Return what is expected at this size, or None where nothing is known of it."""
    return ROWS.get((s.p, s.width, s.train_fraction, s.corruption))


def deeper(s: CorruptedLabelsSettings) -> dict[str, tuple[str, str, int, float]]:
    """Return the deeper networks that are trained: by experiment, words, figure of the paper, p and weight decay."""
    kinds = {
        "deep": ("three-layer ReLU network", "7b", s.deep_p, s.deep_decay),
        "tokens": ("one-layer transformer", "7a", s.token_p, s.token_decay),
    }
    return {name: kinds[name] for name, seeds in (("deep", s.deep_seeds), ("tokens", s.token_seeds)) if seeds}
