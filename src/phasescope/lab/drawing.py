"""What figures say in few words: readings at cells over the steps or over an axis, beside theory's laws.

A series is labelled: ``{"training": ("train_accuracy", gd)}`` shows a reading, or a measure, of the networks of a cell,
the median over seeds with the band from the least to the largest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Curves, Histogram, Line
from phasescope.lab.readings import band
from phasescope.verdict import Cell, Measure
from phasescope.vocabulary import Array

Data = Mapping[str, xr.Dataset]
Read = str | Measure | Callable[[xr.Dataset], Any]
Series = Mapping[str, tuple[Read, Cell]]

STEP = Axis("step", "log")
ACCURACY = Axis("accuracy", limits=(-0.02, 1.02))
NONE: Mapping[str, Any] = {}
BANDS = "Median over seeds, band from the least to the largest."


def seen(data: Data, what: tuple[Read, Cell]) -> xr.DataArray:
    """Return a reading, given by its name, or what a measure or a function makes of a cell, at that cell."""
    read, cell = what
    found = cell.of(data)
    if isinstance(read, str):
        return found[read]
    value: xr.DataArray = read.read(found) if isinstance(read, Measure) else read(found)
    return value


def lines(data: Data, series: Series, x: Array | None = None, **kind: Any) -> list[Line]:
    """Return one line with its band for each series, over the steps or over ``x``; ``kind``: what else a line takes."""
    return [band(label, seen(data, what), x, **kind) for label, what in series.items()]


def level(label: str, value: float, x: Array) -> Line:
    """Return a level that theory gives, as a line over ``x``."""
    return Line(label, x, np.full(len(x), float(value)), role="theory")


def law(label: str, predicted: Callable[[Any], float], x: Array) -> Line:
    """Return what theory predicts at each of ``x``, as a line."""
    return Line(label, x, np.array([predicted(v) for v in x]), role="theory")


def curves(
    title: str,
    data: Data,
    y: Axis,
    series: Series,
    *,
    x: Axis = STEP,
    control: Series = NONE,
    levels: Mapping[str, float] = NONE,
    marks: Sequence[tuple[float, str]] = (),
) -> Curves:
    """Return series over the steps, the controls dashed, and the levels that theory gives."""
    found = [*lines(data, series), *lines(data, control, role="control")]
    return Curves(title, x, y, [*found, *(level(label, value, found[0].x) for label, value in levels.items())], marks)


def over(
    title: str,
    data: Data,
    x: Axis,
    at: Array | Sequence[float],
    y: Axis,
    series: Series,
    *,
    control: Series = NONE,
    laws: Mapping[str, Callable[[Any], float]] = NONE,
    levels: Mapping[str, float] = NONE,
    fine: Array | None = None,
    marks: Sequence[tuple[float, str]] = (),
) -> Curves:
    """Return series over the places ``at`` of an axis of the grid, theory's laws on ``fine`` places, and controls.

    ``levels`` are what theory gives as one number.
    """
    places = np.asarray(at)
    finer = places if fine is None else fine
    found = [*lines(data, series, places), *(law(label, predicted, finer) for label, predicted in laws.items())]
    found += lines(data, control, places, role="control")
    return Curves(title, x, y, [*found, *(level(label, value, places) for label, value in levels.items())], marks)


def histogram(
    title: str, data: Data, x: Axis, series: Series, *, bins: int = 40, marks: Sequence[tuple[float, str]] = ()
) -> Histogram:
    """Return the distribution of a reading over all seeds and units at each cell."""
    samples = [(label, np.ravel(seen(data, what).values)) for label, what in series.items()]
    return Histogram(title, x, samples, bins, marks)
