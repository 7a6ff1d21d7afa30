"""What the claims and figures of ``corrupted-labels`` share: which run is which phase, and the numbers expected.

Numbers that the paper or its authors' notebook state, or that an independent reproduction measured with other splits
and seeds, are in ``ROWS`` with the reproduction's tolerances. They are expected at those sizes only; the bounds of the
paper's Table 2 are expected at every size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.ensemble import last
from phasescope.lab.study import part
from phasescope.studies.corrupted_labels.settings import CorruptedLabelsSettings
from phasescope.verdict import Cell, Expectation
from phasescope.vocabulary import Array

DOSHI = "Doshi et al. 2023"
near = Expectation.near


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


def rows(s: CorruptedLabelsSettings) -> dict[str, tuple[str, float]]:
    """Return experiment and weight decay of each phase of the paper's Fig. 1, and of forgetting."""
    decays = {"partial": ("decay", s.partial), "full": ("decay", s.full), "forgetting": ("forgetting", s.forget)}
    return {"coexistence": ("plain", 0.0), **decays}


def places(s: CorruptedLabelsSettings) -> dict[str, Cell]:
    """Return the cell on the page's diagrams of each phase of Fig. 1, and of forgetting."""
    return {phase: Cell(name, {"weight_decay": decay}) for phase, (name, decay) in rows(s).items()}


def row(data: xr.Dataset, s: CorruptedLabelsSettings, phase: str) -> xr.Dataset:
    """Return the networks of one phase, by seed."""
    name, decay = rows(s)[phase]
    return part(data, name).sel(weight_decay=decay)


def values_of(found: xr.DataArray) -> Array:
    """Return the values in float64."""
    return np.asarray(found.values, dtype=np.float64)


def end(data: xr.Dataset, s: CorruptedLabelsSettings, phase: str, reading: str = "test_accuracy") -> Array:
    """Return a reading of one phase at the end, one value per seed."""
    return values_of(last(row(data, s, phase)[reading]))


def only(data: xr.Dataset, experiment: str, reading: str = "test_accuracy", **at: float) -> Array:
    """Return a reading at the end of an experiment; axes of one value are left out."""
    return values_of(last(part(data, experiment)[reading].sel(at).squeeze(_ones(data, experiment, at), drop=True)))


def _ones(data: xr.Dataset, experiment: str, at: dict[str, float]) -> list[str]:
    """Return the axes of an experiment, other than ``seed`` and those chosen by ``at``, that have one value."""
    found = part(data, experiment)
    return [str(d) for d, n in found["fate"].sizes.items() if n == 1 and d != "seed" and d not in at]


def truth_level(s: CorruptedLabelsSettings) -> float:
    """Return the training accuracy of the network that answers the truth."""
    return float(theory.full_inversion_accuracy(s.corruption, s.p))


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
