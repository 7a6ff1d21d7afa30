"""Where the cells of a map lie: their centres in order, the scale around them, and how large they are."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator

from phasescope.figures import Axis
from phasescope.vocabulary import Array

from .scales import Scale, apply, edges


def centres(axis: Axis, given: Array) -> tuple[Array, Array]:
    """Return where the cells lie, ascending, and which those are; a 0 on a log axis lies one step below."""
    values = np.asarray(given, dtype=float)
    log = axis.scale == "log"
    kept = np.flatnonzero(np.isfinite(values) & ((values >= 0) | (not log)))
    order = kept[np.argsort(values[kept], kind="stable")]
    places = values[order]
    if log and (places == 0).any():
        positive = places[places > 0]
        step = positive[1] / positive[0] if len(positive) > 1 and positive[1] > positive[0] else 2.0
        places = np.where(places == 0, (positive[0] if len(positive) else 1.0) / step, places)
    return places, order


def cell_scale(axis: Axis, places: Array, values: Array) -> Scale:
    """Return the scale around cells at ``places`` that stand for ``values``, both ascending."""
    log = axis.scale == "log"
    ends = edges(places, log)
    low, high = float(ends[0]), float(ends[-1])
    zero = float(places[0]) if log and float(values[0]) == 0 else None
    if axis.limits is not None and axis.limits[0] < axis.limits[1] and (axis.limits[0] > 0 or not log):
        low, high = axis.limits
    whole = not log and bool(np.all(np.mod(values, 1) == 0))
    return Scale(axis, low, high, zero, whole)


def apply_cells(axes: Axes, which: str, scale: Scale, places: Array) -> None:
    """Set limits and ticks of the ``"x"`` or ``"y"`` axis; a single row of cells has one tick, in its middle."""
    apply(axes, which, scale)
    if len(places) == 1 and scale.zero is None and not scale.axis.names:
        drawn = getattr(axes, f"{which}axis")
        drawn.set_major_locator(FixedLocator([float(places[0])]))
        drawn.set_major_formatter(FixedFormatter([f"{places[0]:.6g}"]))


def spans(places: Array, log: bool) -> Array:
    """Return the length of each cell along an axis as a fraction of them all, in logarithms if ``log``.

    >>> spans(np.array([1.0, 10.0, 100.0]), log=True).round(3).tolist()
    [0.333, 0.333, 0.333]
    """
    ends = edges(places, log)
    lengths = np.diff(np.log(ends) if log else ends)
    total = lengths.sum()
    return np.asarray(lengths / total if total > 0 else np.full(len(lengths), 1 / max(1, len(lengths))))
