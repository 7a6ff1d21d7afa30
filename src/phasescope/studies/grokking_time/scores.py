"""How good the forecasts of ``grokking-time`` are: one number for each seed, over the networks of that seed alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure
from phasescope.studies.grokking_time.settings import AXES, CELL, MODELS
from phasescope.verdict.forecasts import balanced_accuracy, concordance, miscalibration, skill
from phasescope.vocabulary import Array

Rows = tuple[Array, Array, Array]


def flat(values: xr.DataArray) -> Array:
    """Return values of networks as (seeds, n), in the order of ``AXES``."""
    found = np.asarray(values.transpose("seed", *AXES).values, dtype=float)
    return found.reshape(len(found), -1)


def times(cell: xr.Dataset, inputs: str, model: str, split: str) -> Iterator[Rows]:
    """Yield, seed by seed, the logarithms (base 10) of steps of networks that grokked, their forecasts, their cells."""
    pairs = np.repeat(np.arange(flat(cell.step).shape[1] // cell.sizes["twin"]), cell.sizes["twin"])
    forecasts = flat(cell.log_step.sel(inputs=inputs, model=model, held=split))
    for step, found in zip(flat(cell.step), forecasts, strict=True):
        known = np.isfinite(step) & (step > 0) & np.isfinite(found)
        yield np.log10(step[known]), found[known], pairs[known]


def fates(cell: xr.Dataset, inputs: str, model: str, split: str) -> Iterator[tuple[Array, Array]]:
    """Yield, seed by seed, whether networks grokked within the budget, and the forecast chances."""
    chances = flat(cell.chance.sel(inputs=inputs, model=model, held=split))
    for step, found in zip(flat(cell.step), chances, strict=True):
        known = ~np.isnan(step) & np.isfinite(found)
        yield np.isfinite(step[known]) * 1.0, found[known]


def gain(inputs: str, model: str, over: str, split: str = CELL, over_model: str = "") -> Measure:
    """Return by how much the squared error of times is less than from inputs ``over``, as a share of that.

    ``over_model`` is LINEAR, TREES, or, empty, the better of both in each seed, by the very networks that are scored:
    the harder rival.
    """

    def read(cell: xr.Dataset) -> Array:
        rivals = [times(cell, over, m, split) for m in ((over_model,) if over_model else MODELS)]
        rows = zip(times(cell, inputs, model, split), *rivals, strict=True)
        return np.array([_gain(own, others) for own, *others in rows])

    words = f"1 - squared error of log steps from {inputs} ({model}) over that from {over}"
    return Measure(read, f"{words}, {split} held out")


def _gain(own: Rows, rivals: list[Rows]) -> float:
    """Return the skill over the best rival; NaN where none forecasts the same networks."""
    y, f, _ = own
    scores = [skill(y, f, r) for _, r, _ in rivals if len(y) and len(r) == len(y)]
    return min(scores, default=float("nan"))


def told(inputs: str, model: str, split: str = CELL) -> Measure:
    """Return the balanced accuracy of whether networks grok within the budget."""
    words = f"balanced accuracy of whether networks grok, from {inputs} ({model}), {split} held out"
    return _of_fates(inputs, model, split, balanced_accuracy, words)


def off(inputs: str, model: str, split: str = CELL) -> Measure:
    """Return by how much chances differ from shares (expected calibration error, ten bins)."""
    words = f"mean difference of chance and share, from {inputs} ({model}), {split} held out"
    return _of_fates(inputs, model, split, miscalibration, words)


def _of_fates(inputs: str, model: str, split: str, score: Callable[[Array, Array], float], words: str) -> Measure:
    def read(cell: xr.Dataset) -> Array:
        found = fates(cell, inputs, model, split)
        return np.array([score(truth, chance) if len(truth) else np.nan for truth, chance in found])

    return Measure(read, words)


def in_order(inputs: str, model: str, split: str = CELL) -> Measure:
    """Return the share of pairs of networks of one cell, both of which grok, of which the earlier one is told."""

    def read(cell: xr.Dataset) -> Array:
        return np.array([concordance(*rows) if len(rows[0]) else np.nan for rows in times(cell, inputs, model, split)])

    return Measure(read, f"share of pairs of one cell in the right order, from {inputs} ({model}), {split} held out")


def over_critical(cell: xr.Dataset) -> Array:
    """Return each network's fraction over the critical one of its modulus, decay and corruption (seeds, n)."""
    modulus, decay, fraction, corrupted, _ = np.meshgrid(*(cell[axis].values for axis in AXES), indexing="ij")
    terms = (cell.law.sel(term=term).values for term in ("modulus", "decay", "corruption", "middle"))
    b, c, d, middle = (np.asarray(term).reshape(-1, *[1] * modulus.ndim) for term in terms)
    critical = middle * (modulus / 20) ** b * decay**c * np.exp(d * corrupted)
    return np.asarray(fraction / critical).reshape(len(critical), -1)
