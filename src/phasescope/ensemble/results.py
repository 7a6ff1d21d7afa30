"""Trajectories as stored records, and as one labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from phasescope.vocabulary import Array, Fate, Grid, Instrument, Member, Trajectory


def to_record(t: Trajectory) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and facts that a store keeps of a trajectory."""
    arrays: dict[str, Array] = {"steps": t.steps}
    arrays |= {f"reading.{name}": value for name, value in t.readings.items()}
    arrays |= {f"final.{name}": value for name, value in t.final.items()}
    return arrays, {"fate": str(t.fate), "fate_step": t.fate_step, "seconds": t.seconds}


def from_record(member: Member, arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> Trajectory:
    """Return the trajectory that ``to_record`` took apart."""

    def part(kind: str) -> dict[str, Array]:
        return {name.removeprefix(kind): value for name, value in arrays.items() if name.startswith(kind)}

    fate = Fate(facts["fate"])
    return Trajectory(
        member, arrays["steps"], part("reading."), part("final."), fate, int(facts["fate_step"]), facts["seconds"]
    )


def to_dataset(grid: Grid, watch: Sequence[Instrument], found: Sequence[Trajectory]) -> xr.Dataset:
    """Return one dataset with the grid's axes, ``seed`` and ``step``; a reading is NaN after its member left."""
    axes = (*grid.axes, "seed")
    steps = max((t.steps for t in found), key=len)
    coords: dict[str, Any] = {name: list(values) for name, values in grid.axes.items()}
    data = xr.Dataset(coords={**coords, "seed": list(grid.seed_values), "step": steps})
    for instrument in watch:
        for name in (instrument.name, f"{instrument.name}_error"):
            if name in found[0].readings:
                values = _padded([t.readings[name] for t in found], len(steps)).reshape(*grid.shape, len(steps), *_tail(found, name))
                attrs = {"units": instrument.unit, "source": instrument.source, "null": instrument.null}
                data[name] = ((*axes, "step", *instrument.dims), values, attrs)
    data["fate"] = (axes, np.array([str(t.fate) for t in found]).reshape(grid.shape))
    data["fate_step"] = (axes, np.array([t.fate_step for t in found]).reshape(grid.shape))
    data["last_step"] = (axes, np.array([t.steps[-1] for t in found]).reshape(grid.shape))
    data["seconds"] = (axes, np.array([t.seconds for t in found]).reshape(grid.shape), {"units": "s"})
    for name in found[0].final:
        shapes = {t.final[name].shape for t in found}
        if len(shapes) == 1:
            shape = shapes.pop()
            dims = tuple(f"{name}_{i}" for i in range(len(shape)))
            data[f"final.{name}"] = ((*axes, *dims), np.stack([t.final[name] for t in found]).reshape(*grid.shape, *shape))
    return data


def _tail(found: Sequence[Trajectory], name: str) -> tuple[int, ...]:
    return tuple(int(n) for n in np.max([t.readings[name].shape[1:] for t in found], axis=0)) if found else ()


def _padded(values: Sequence[Array], times: int) -> Array:
    tail = tuple(int(n) for n in np.max([v.shape[1:] for v in values], axis=0)) if values[0].ndim > 1 else ()
    out = np.full((len(values), times, *tail), np.nan, dtype=np.result_type(values[0], np.float32))
    for row, value in zip(out, values, strict=True):
        row[tuple(slice(n) for n in value.shape)] = value
    return out


def last(values: xr.DataArray) -> xr.DataArray:
    """Return each member's last reading: at its release, or at the end.

    >>> last(xr.DataArray([[1.0, 2.0, np.nan]], dims=("seed", "step"))).values
    array([2.])
    """
    moved = values.transpose(..., "step")
    array = np.asarray(moved.values)
    valid = ~np.isnan(array)
    index = array.shape[-1] - 1 - np.argmax(valid[..., ::-1], axis=-1)
    out = np.take_along_axis(array, index[..., None], axis=-1)[..., 0]
    return xr.DataArray(out, dims=moved.dims[:-1], coords={k: v for k, v in moved.coords.items() if "step" not in v.dims})
