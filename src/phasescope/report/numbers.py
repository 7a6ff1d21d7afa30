"""The numbers of a figure as CSV: one row for each point, cell or sample that is drawn."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from phasescope.figures import Axis, Curves, Figure, HeatMap, Histogram, Line, PhaseMap

COLUMNS = ("panel", "series", "role", "x", "y", "low", "high", "value")
FORMULAS = ("=", "+", "-", "@")  # with which spreadsheets take a text for a formula
Row = tuple[Any, ...]


def numbers_of(figure: Figure) -> str:
    """Return what ``figure`` draws as CSV, with the columns panel, series, role, x, y, low, high, value.

    ``low`` and ``high`` are the ends of a band, ``value`` is that of a cell of a map or of a sample of a histogram,
    or the phase's name; what a row does not have is empty, and NaN is ``nan``. Axes are named in the titles of
    panels, and so are the categories along them.

    >>> lines = [Line("one", np.array([1.0, 2.0]), np.array([0.5, np.nan]))]
    >>> print(numbers_of(Figure("a", "A", "", [Curves("loss", Axis("step"), Axis("nats"), lines)])).strip())
    panel,series,role,x,y,low,high,value
    loss (nats over step),one,measured,1.0,0.5,,,
    loss (nats over step),one,measured,2.0,nan,,,
    """
    text = io.StringIO()
    written = csv.writer(text, lineterminator="\n")
    written.writerow(COLUMNS)
    for panel in figure.panels:
        written.writerows(tuple(map(_cell, row)) for row in _rows(panel))
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return "'" + value if value.startswith(FORMULAS) else value
    return value.item() if isinstance(value, np.generic) else value


def _rows(panel: Any) -> Iterator[Row]:
    axes = f"{_named(panel.y)} over {_named(panel.x)}" if hasattr(panel, "y") else _named(panel.x)
    title = f"{panel.title} ({axes})"
    if isinstance(panel, Curves):
        yield from _lines(title, panel.lines)
    elif isinstance(panel, HeatMap):
        for y, row in zip(panel.y_values, panel.values, strict=True):
            for x, value in zip(panel.x_values, row, strict=True):
                yield (title, panel.label, "measured", x, y, "", "", value)
        yield from _lines(title, panel.lines)
    elif isinstance(panel, PhaseMap):
        for y, row in zip(panel.y_values, panel.values, strict=True):
            for x, v in zip(panel.x_values, row, strict=True):
                yield (title, "phase", "measured", x, y, "", "", panel.phases[int(v)] if v >= 0 else "unknown")
    elif isinstance(panel, Histogram):
        for name, values in panel.samples:
            yield from ((title, name, "measured", "", "", "", "", value) for value in np.ravel(values))


def _named(axis: Axis) -> str:
    """Return an axis's label, with the names of the places 0, 1, 2, ... where it has them."""
    return axis.label + (": " + ", ".join(f"{i} {name}" for i, name in enumerate(axis.names)) if axis.names else "")


def _lines(title: str, lines: Any) -> Iterator[Row]:
    for line in lines:
        assert isinstance(line, Line)
        low, high = (("",) * len(line.x) if end is None else end for end in (line.low, line.high))
        for x, y, a, b in zip(line.x, line.y, low, high, strict=True):
            yield (title, line.label, line.role, x, y, a, b, "")
