"""What several studies ask of a trajectory: when a level was crossed, where a peak stood, how seeds spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.figures import Line
from phasescope.lab.study import OrderParameter
from phasescope.vocabulary import Array


def at_the_end(reading: str, level: float = 0.5) -> OrderParameter:
    """Return the order parameter that a reading of one number is at the end, parted at ``level``."""
    return OrderParameter(reading, lambda data: last(data[reading]), level)


def crossing(values: xr.DataArray, level: float, along: str = "step") -> xr.DataArray:
    """Return where ``values`` first reach ``level`` along ``step``, or another dimension with a coordinate.

    Between records it is interpolated; inf where they never do. The other dimensions remain.

    >>> float(crossing(xr.DataArray([0.0, 0.5, 1.0], dims="step", coords={"step": [0, 10, 20]}), 0.75))
    15.0
    """
    if along not in values.dims and along in values.coords:  # an axis of one value, which a cell has left out
        values = values.expand_dims(along)
    moved = values.transpose(..., along)
    y, x = np.asarray(moved.values, dtype=np.float64), moved[along].values.astype(np.float64)
    above = y >= level
    after = np.argmax(above, axis=-1)
    before = np.maximum(after - 1, 0)
    y1 = np.take_along_axis(y, after[..., None], -1)[..., 0]
    y0 = np.take_along_axis(y, before[..., None], -1)[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(after == before, 1.0, (level - y0) / (y1 - y0))
    found = np.where(above.any(-1), x[before] + share * (x[after] - x[before]), np.inf)
    found = np.where(np.isnan(y).all(-1), np.nan, found)  # nothing was read
    return xr.DataArray(found, dims=moved.dims[:-1], coords=_others(moved, along))


def peak_step(values: xr.DataArray) -> xr.DataArray:
    """Return the recorded step at which ``values`` are largest; NaN records are left out."""
    moved = values.transpose(..., "step")
    array = np.asarray(moved.values, dtype=np.float64)
    nothing = np.isnan(array).all(-1)
    index = np.argmax(np.where(np.isnan(array), -np.inf, array), axis=-1)
    steps = np.where(nothing, np.nan, moved["step"].values[index].astype(np.float64))
    return xr.DataArray(steps, dims=moved.dims[:-1], coords=_others(moved))


def value_at(values: xr.DataArray, steps: xr.DataArray) -> xr.DataArray:
    """Return ``values`` interpolated at each member's own step; NaN where that step is infinite."""
    moved = values.transpose(*steps.dims, "step")
    x = moved["step"].values.astype(np.float64)
    out = np.full(steps.shape, np.nan)
    for place in np.ndindex(*steps.shape):
        at = float(steps.values[place])
        row = np.asarray(moved.values[place], dtype=np.float64)
        if np.isfinite(at):
            out[place] = np.interp(at, x[~np.isnan(row)], row[~np.isnan(row)])
    return xr.DataArray(out, dims=steps.dims, coords=steps.coords)


def band(label: str, values: xr.DataArray, x: Array | None = None, **kind: Any) -> Line:
    """Return the median over seeds with the band from the least to the largest seed, against ``step`` or ``x``.

    Infinite values (an event that never came) are shown where the median is finite.
    """
    table = np.asarray(values.transpose("seed", ...).values, dtype=np.float64)
    if table.ndim == 1:  # an axis of one value, which a cell has left out
        table = table[:, None]
    return band_of(label, table, np.asarray(values["step"].values if x is None else x, dtype=np.float64), **kind)


def band_of(label: str, table: Array, x: Array, **kind: Any) -> Line:
    """Return what ``band`` does of a table (seeds, places) of numbers."""
    seen = ~np.isnan(table).all(0)
    table = table[:, seen]
    with np.errstate(invalid="ignore"):
        middle, low, high = np.nanmedian(table, 0), np.nanmin(table, 0), np.nanmax(table, 0)
    return Line(label, x[seen], middle, low, high, **kind)


def _others(values: xr.DataArray, along: str = "step") -> dict[str, xr.DataArray]:
    return {str(name): c for name, c in values.coords.items() if along not in c.dims}
