"""Trajectories as stored records, and as one labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from phasescope.vocabulary import Array, BadInput, Fate, Grid, Instrument, Member, Scatter, Trajectory


def to_record(t: Trajectory) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and facts that a store keeps of a trajectory."""
    arrays: dict[str, Array] = {"steps": t.steps}
    arrays |= {f"reading.{name}": value for name, value in t.readings.items()}
    arrays |= {f"end.{name}": value for name, value in t.ends.items()}
    arrays |= {f"final.{name}": value for name, value in t.final.items()}
    return arrays, {"fate": str(t.fate), "fate_step": t.fate_step, "seconds": t.seconds}


def from_record(member: Member, arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> Trajectory:
    """Return the trajectory that ``to_record`` took apart."""

    def part(kind: str) -> dict[str, Array]:
        return {name.removeprefix(kind): value for name, value in arrays.items() if name.startswith(kind)}

    return Trajectory(
        member,
        arrays["steps"],
        part("reading."),
        part("end."),
        part("final."),
        Fate(facts["fate"]),
        int(facts["fate_step"]),
        float(facts["seconds"]),
    )


def to_dataset(
    grid: Grid | Scatter, watch: Sequence[Instrument], at_end: Sequence[Instrument], found: Sequence[Trajectory]
) -> xr.Dataset:
    """Return one dataset with the grid's dimensions and ``step``; a reading is NaN after its member left."""
    axes = grid.dims
    steps = max((t.steps for t in found), key=len)
    data = xr.Dataset(coords={**grid.coords, **_places((*watch, *at_end)), "step": steps})

    def add(name: str, dims: Sequence[str], values: Sequence[Array], first: tuple[int, ...] = (), **attrs: Any) -> None:
        filled = padded(values, first)
        data[name] = ((*axes, *dims), filled.reshape(*grid.shape, *filled.shape[1:]), attrs)

    for instrument in watch:
        for name in (instrument.name, f"{instrument.name}_error"):
            if name in found[0].readings:
                add(
                    name,
                    ("step", *instrument.dims),
                    [t.readings[name] for t in found],
                    (len(steps),),
                    **_attributes(instrument),
                )
    for instrument in at_end:
        values = [t.ends[instrument.name] for t in found]
        add(f"end.{instrument.name}", instrument.dims, values, **_attributes(instrument))
    data["fate"] = (axes, np.array([str(t.fate) for t in found]).reshape(grid.shape))
    data["fate_step"] = (axes, np.array([t.fate_step for t in found]).reshape(grid.shape))
    data["last_step"] = (axes, np.array([t.steps[-1] for t in found]).reshape(grid.shape))
    data["seconds"] = (axes, np.array([t.seconds for t in found]).reshape(grid.shape), {"units": "s"})
    for name in sorted(found[0].final):  # a record gives them in no order
        if len({t.final[name].shape for t in found}) == 1:
            dims = [f"{name}_{i}" for i in range(found[0].final[name].ndim)]
            add(f"final.{name}", dims, [t.final[name] for t in found])
    return data


def _places(instruments: Sequence[Instrument]) -> dict[str, list[Any]]:
    """Return the coordinates that the instruments give to their own dimensions."""
    found: dict[str, list[Any]] = {}
    for instrument in instruments:
        for dim, values in instrument.coords.items():
            if found.setdefault(dim, list(values)) != list(values):
                raise BadInput(
                    f"{instrument.name} reads along {dim!r} at other places than an instrument beside it: "
                    "give both the same, or watch them in two experiments."
                )
    return found


def _attributes(instrument: Instrument) -> dict[str, Any]:
    return {"units": instrument.unit, "source": instrument.source, "null": instrument.null}


def padded(values: Sequence[Array], first: tuple[int, ...] = ()) -> Array:
    """Stack arrays of one rank into (M, ...), NaN where one is shorter; ``first``: least length of the first axis."""
    shapes = [v.shape for v in values]
    if len(set(shapes)) == 1 and shapes[0][:1] == first[:1]:
        return np.stack(values)
    shape = tuple(int(n) for n in np.max([(*first, *s[len(first) :]) for s in shapes], axis=0)) if shapes[0] else ()
    out = np.full((len(values), *shape), np.nan, dtype=np.result_type(values[0], np.float32))
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
    return xr.DataArray(
        out, dims=moved.dims[:-1], coords={k: v for k, v in moved.coords.items() if "step" not in v.dims}
    )
