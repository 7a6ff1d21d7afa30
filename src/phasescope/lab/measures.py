"""The measures that studies are written with: a reading at its start, its end, its peak, when it crosses a level.

Each gives one value per seed at any cell, and they compose, such as ``end("test_loss") / highest("test_loss")``. A
measure of a study's own is a function of a cell's dataset under ``@Measure``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from phasescope.checks import number
from phasescope.ensemble import last
from phasescope.lab.readings import crossing, peak_step
from phasescope.verdict import Cell as Cell
from phasescope.verdict import Expectation
from phasescope.verdict import Measure as Measure
from phasescope.verdict import Measured as Measured
from phasescope.verdict import at as at
from phasescope.verdict import least as least
from phasescope.verdict import most as most
from phasescope.vocabulary import Array

at_least, at_most = Expectation.at_least, Expectation.at_most
between, near = Expectation.between, Expectation.near


def _curve(cell: xr.Dataset, reading: str, along: str = "step") -> xr.DataArray:
    """Return a reading that has a dimension; raise ``KeyError`` where it has none, or is not there."""
    found = cell[reading]
    if along not in found.dims and along not in found.coords:
        raise KeyError(
            f"{reading!r} was not read along {along!r}, but over {', '.join(map(str, found.dims)) or 'nothing'}"
        )
    return found


def value(reading: str, **where: Any) -> Measure:
    """Return a reading that is one number per network; ``where`` says at which place of its own dimensions."""
    places = "".join(f", {dim} {place}" for dim, place in where.items())
    return Measure(lambda cell: cell[reading].sel(where), f"{reading}{places}")


def mean(reading: str, *over: str) -> Measure:
    """Return the mean of a reading over dimensions of its own, such as "neuron"."""
    return Measure(lambda cell: cell[reading].mean(over, skipna=False), f"mean of {reading} over {' and '.join(over)}")


def start(reading: str) -> Measure:
    """Return the first record of a reading."""
    return Measure(lambda cell: _curve(cell, reading).isel(step=0), f"{reading} at the start")


def end(reading: str) -> Measure:
    """Return a reading at the end: the last record of one that was watched. A network that diverged has none."""

    def read(cell: xr.Dataset) -> xr.DataArray:
        found = cell[reading]
        return last(found) if "step" in found.dims else found

    return Measure(read, f"{reading} at the end")


def highest(reading: str) -> Measure:
    """Return the largest record of a reading."""
    return Measure(lambda cell: _curve(cell, reading).max("step"), f"highest {reading}")


def steps_to(reading: str, level: float, along: str = "step") -> Measure:
    """Return where along ``step``, or another dimension, a reading first reaches ``level``; inf where it never does."""
    level = number()("level", level)
    words = f"{along if along != 'step' else 'steps'} to {reading} {level:g}"
    return Measure(lambda cell: crossing(_curve(cell, reading, along), level, along), words)


def step_of_peak(reading: str) -> Measure:
    """Return the recorded step at which a reading is largest."""
    return Measure(lambda cell: peak_step(_curve(cell, reading)), f"step of the peak of {reading}")


def by_seed(read: Callable[[xr.Dataset], float], words: str = "") -> Measure:
    """Return the measure that ``read`` takes from the networks of one seed, seed by seed."""

    def each(cell: xr.Dataset) -> Array:
        return np.array([read(cell.isel(seed=i)) for i in range(cell.sizes["seed"])], dtype=float)

    return Measure(each, words or Measure(read).words)


def rank_correlation(a: Array, b: Array, given: Sequence[Array] = ()) -> float:
    """Return Spearman's correlation of two arrays (n,), of what ranks of ``given`` do not tell linearly; NaN if equal.

    Equal values share a rank.

    >>> round(rank_correlation(np.array([1.0, 2, 3]), np.array([2.0, 3, 9])), 9)
    1.0
    """
    both = [np.asarray(values, dtype=float) for values in (a, b)]
    if any(not len(values) or np.isnan(values).any() or np.ptp(values) == 0 for values in both):
        return float("nan")
    ranks = [stats.rankdata(values) for values in both]
    if given:
        told = np.stack([np.ones(len(ranks[0])), *(stats.rankdata(values) for values in given)], 1)
        ranks = [r - told @ np.linalg.lstsq(told, r, rcond=None)[0] for r in ranks]
        if min(float(r @ r) for r in ranks) < 1e-18:
            return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
