"""Trajectories as stored records, and as one labelled dataset."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from phasescope.checks import plain, shown
from phasescope.vocabulary import Array, BadInput, Fate, Grid, Instrument, Member, Scatter, Trajectory, nearest

#: The units of losses that are known; a reading of any other, or of several in one grid, has the unit "loss".
UNITS_OF_LOSSES = {"cross_entropy": "nats", "mse": "squared error"}


def to_record(t: Trajectory) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and facts that a store keeps of a trajectory."""
    arrays: dict[str, Array] = {"steps": t.steps}
    arrays |= {f"reading.{name}": value for name, value in t.readings.items()}
    arrays |= {f"end.{name}": value for name, value in t.ends.items()}
    arrays |= {f"final.{name}": value for name, value in t.final.items()}
    if t.kept:
        arrays |= {"kept_steps": np.array(t.kept_steps)} | {f"kept.{name}": value for name, value in t.kept.items()}
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
        arrays["kept_steps"].tolist() if "kept_steps" in arrays else (),
        part("kept."),
    )


def to_dataset(
    grid: Grid | Scatter,
    watch: Sequence[Instrument],
    at_end: Sequence[Instrument],
    found: Sequence[Trajectory],
    losses: Collection[Any] = (),
) -> xr.Dataset:
    """Return one dataset with the grid's dimensions and ``step``; a reading is NaN after its member left.

    ``losses`` are those of the recipes: they say in which unit a reading of the loss is.
    """
    axes = grid.dims
    steps = max((t.steps for t in found), key=len)
    data = xr.Dataset(coords={**grid.coords, **_places((*watch, *at_end)), "step": ("step", steps, {"units": "step"})})

    def add(name: str, dims: Sequence[str], values: Sequence[Array], first: tuple[int, ...] = (), **attrs: Any) -> None:
        filled = padded(values, first)
        data[name] = ((*axes, *dims), filled.reshape(*grid.shape, *filled.shape[1:]), attrs)

    for instrument in watch:
        for name in _names(instrument):
            if any(name in t.readings for t in found):
                values = [_or_missing(t.readings, name, instrument) for t in found]
                add(name, ("step", *instrument.dims), values, (len(steps),), **_attributes(instrument, losses))
    for instrument in only_at_end(watch, at_end):
        for name in [n for n in _names(instrument) if "_error" not in n and any(n in t.ends for t in found)]:
            # a network that diverged has no final reading, as ``last`` says of one that was watched
            values = [np.full_like(v, np.nan, dtype=np.result_type(v.dtype, np.float32)) if t.fate == Fate.DIVERGED
                      else v for t in found for v in [_or_missing(t.ends, name, instrument)]]  # fmt: skip
            add(name, instrument.dims, values, **_attributes(instrument, losses))

    def each(values: Sequence[Any], **attrs: str) -> tuple[Sequence[str], Array, dict[str, str]]:
        return axes, np.array(values).reshape(grid.shape), attrs

    data["fate_step"] = each([t.fate_step for t in found], units="step", source="when its fate was settled")
    data["seconds"] = each([t.seconds for t in found], units="s", source="the work spent on it")
    for name in sorted({name for t in found for name in t.final}):  # a record gives them in no order
        _add_final(add, data, axes, grid.shape, name, [t.final.get(name) for t in found])
        _add_kept(add, data, name, found)
    # coordinates: they stay beside every reading, so that ``last`` knows where a member's last reading stands, and
    # whose is not a final one
    return data.assign_coords(
        fate=each([str(t.fate) for t in found], source="how its training ended"),
        last_step=each([t.steps[-1] for t in found], units="step", source="when it was last read"),
    )


def _names(instrument: Instrument) -> list[str]:
    """Return the names of an instrument's readings: of the weights, and of their averages; and those of its errors."""
    own = [instrument.name, f"{instrument.name}_error"]
    return [*own, *(f"average.{name}" for name in own)]


def _or_missing(readings: Mapping[str, Array], name: str, instrument: Instrument) -> Array:
    """Return a member's reading; NaN of its size where only others have one, such as that of an average."""
    return readings[name] if name in readings else np.full(readings[instrument.name].shape, np.nan, np.float32)


def only_at_end(watch: Sequence[Instrument], at_end: Sequence[Instrument]) -> list[Instrument]:
    """Return the instruments read at the end alone: of one that is watched too, ``last`` gives the same number."""
    watched = {instrument.name for instrument in watch}
    return [instrument for instrument in at_end if instrument.name not in watched]


def _add_final(
    add: Callable[..., None],
    data: xr.Dataset,
    axes: Sequence[str],
    shape: tuple[int, ...],
    name: str,
    values: Sequence[Array | None],
) -> None:
    """Add the final parameters called ``name``; of unequal shapes, padded with NaN, and with each member's own shape.

    Where even the number of axes differs, all are laid flat. A member without it has the shape -1. ``final`` undoes it.
    """
    known = [v for v in values if v is not None]
    shapes = {v.shape for v in known}
    if len(shapes) == 1 and len(known) == len(values):
        dims = [f"{name}_{i}" for i in range(known[0].ndim)]
        return add(f"final.{name}", dims, known, units="1")
    rank = max(v.ndim for v in known)
    own = np.full((len(values), max(rank, 1)), -1)
    for row, value in zip(own, values, strict=True):
        if value is not None:
            row[: max(value.ndim, 1)] = value.shape or (1,)
    alike = len({v.ndim for v in known}) == 1 and rank > 0
    filled = [np.zeros((0,) * (rank if alike else 1), known[0].dtype) if v is None else v for v in values]
    dims = [f"{name}_{i}" for i in range(rank)] if alike else [f"{name}_flat"]
    add(
        f"final.{name}",
        dims,
        filled if alike else [v.ravel() for v in filled],
        units="1",
        padded="NaN beyond a member's own shape",
    )
    data[f"shape.{name}"] = ((*axes, f"{name}_axis"), own.reshape(*shape, -1), {"units": "1"})


def _add_kept(add: Callable[..., None], data: xr.Dataset, name: str, found: Sequence[Trajectory]) -> None:
    """Add the parameters called ``name`` that were kept along the way, laid out as the final ones are."""
    steps = max((t.kept_steps for t in found), key=len)
    if not any(name in t.kept for t in found):
        return
    data.coords["kept"] = list(steps)
    own = [str(d) for d in data[f"final.{name}"].dims if re.fullmatch(rf"{re.escape(name)}_(\d+|flat)", str(d))]
    sizes = [data.sizes[d] for d in own]
    dtype = data[f"final.{name}"].dtype
    values = [t.kept[name] if name in t.kept else np.full((0, *[0] * len(own)), np.nan, dtype) for t in found]
    if any(v.ndim != 1 + len(own) for v in values):
        values = [v.reshape(len(v), -1) for v in values]
    add(f"kept.{name}", ("kept", *own), values, (len(steps), *sizes), units="1", padded="NaN after a member has left")


def steps_kept(data: xr.Dataset) -> list[int]:
    """Return the steps at which ``train`` kept weights. Raises ``BadInput`` where there are none."""
    if not isinstance(data, xr.Dataset) or "kept" not in data.coords:
        raise BadInput(
            f"no weights were kept in this {type(data).__name__}: give what ps.train(..., keep=...) returned."
        )
    return [int(step) for step in data["kept"].values]


def _at_step(data: xr.Dataset, step: Any) -> xr.Dataset:
    """Return a dataset whose final parameters are those that were kept at ``step``."""
    if plain(step) not in steps_kept(data):
        raise BadInput(f"no weights were kept at step {shown(step)}: there are those of {steps_kept(data)}.")
    names = [str(name).removeprefix("kept.") for name in data.data_vars if str(name).startswith("kept.")]
    found = data.drop_vars([f"final.{name}" for name in names])
    found = found.rename({f"kept.{name}": f"final.{name}" for name in names})
    return found.sel(kept=plain(step), drop=True)


def final(data: xr.Dataset, *, step: int | None = None, **cell: Any) -> dict[str, Array]:
    """Return one member's final parameters by name, each in its own shape; ``cell`` says which by axis and ``seed``.

    With ``step``, those that were kept at that step, by ``train(..., keep=...)``. ``data`` is what ``train`` returned.
    An axis that is not named must have one value. Raises ``BadInput`` for a cell that is not there, or more than one,
    and for a step at which nothing was kept.

    >>> grid = xr.Dataset({"final.w": (("width", "seed", "w_0"), [[[1.0, np.nan]], [[2.0, 3.0]]]),
    ...                    "shape.w": (("width", "seed", "w_axis"), [[[1]], [[2]]])}, {"width": [1, 2], "seed": [0]})
    >>> final(grid, width=1)["w"]
    array([1.])
    """
    if not isinstance(data, xr.Dataset) or not any(str(name).startswith("final.") for name in data.data_vars):
        raise BadInput(
            f"there are no final parameters in this {type(data).__name__}: give the dataset that ps.train returned."
        )
    data = data if step is None else _at_step(data, step)
    axes = list(dict.fromkeys(dim for name in data.data_vars for dim in _axes_of_final(data, str(name))))
    for axis, value in cell.items():
        known = list(map(str, data[axis].values)) if axis in axes else sorted(axes)
        if axis not in axes or not isinstance(plain(value), int | float | str) or value not in data[axis].values:
            raise BadInput(
                f"there is no member with {axis}={shown(value)}{nearest(str(value if axis in axes else axis), known)}"
            )
    chosen = data.sel(cell)
    found = {}
    for key in map(str, chosen.data_vars):
        if not key.startswith("final."):
            continue
        name, values = key.removeprefix("final."), chosen[key]
        own = chosen.get(f"shape.{name}")
        wide = _axes_of_final(chosen, key)
        if any(values.sizes[d] > 1 for d in wide):
            raise BadInput(f"{', '.join(wide)} have more than one value: name one of each, for example {wide[0]}=...")
        array = np.asarray(values.squeeze(wide, drop=True).values)
        if own is not None:
            shape = [int(n) for n in np.ravel(own.squeeze(wide, drop=True).values) if n >= 0]
            if not shape:
                continue  # this member has no such parameter
            flat = array.ndim == 1 and len(shape) > 1
            array = array[: int(np.prod(shape))].reshape(shape) if flat else array[tuple(slice(n) for n in shape)]
        found[name] = array
    if step is not None and int(np.ravel(chosen["last_step"])[0]) < step:
        raise BadInput(
            f"the member had left at step {int(np.ravel(chosen['last_step'])[0])}: nothing is kept of step {step}."
        )
    return found


def _axes_of_final(data: xr.Dataset, key: str) -> list[str]:
    """Return the dimensions of a variable that are axes of the grid; none where it is no final parameter."""
    name = re.escape(key.removeprefix("final."))
    # an axis may be called weight_decay, and a parameter weight
    own = re.compile(rf"{name}_(\d+|flat)")
    return [str(d) for d in data[key].dims if not own.fullmatch(str(d))] if key.startswith("final.") else []


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


def _attributes(instrument: Instrument, losses: Collection[Any]) -> dict[str, Any]:
    units = {UNITS_OF_LOSSES.get(loss) for loss in losses}
    unit = units.pop() if instrument.unit == "loss" and len(units) == 1 else None
    return {"units": unit or instrument.unit, "source": instrument.source, "null": instrument.null}


def padded(values: Sequence[Array], first: tuple[int, ...] = ()) -> Array:
    """Stack arrays of one rank into (M, ...), NaN where one is shorter; ``first``: least length of the first axis."""
    shapes = [v.shape for v in values]
    if len(set(shapes)) == 1 and shapes[0][:1] == first[:1]:
        return np.stack(values)
    shape = tuple(int(n) for n in np.max([(*first, *s[len(first) :]) for s in shapes], axis=0)) if shapes[0] else ()
    out = np.full((len(values), *shape), np.nan, dtype=np.result_type(np.float32, *{v.dtype for v in values}))
    for row, value in zip(out, values, strict=True):
        row[tuple(slice(n) for n in value.shape)] = value
    return out


def last(values: xr.DataArray) -> xr.DataArray:
    """Return each member's last reading: at its release, or at the end. One that diverged has none: NaN.

    What is NaN there is NaN, also where an earlier reading was a number. ``train`` sets ``fate`` and ``last_step``
    beside its readings; without the latter, the last reading that is a number counts. How many are missing is in
    ``attrs["missing"]``; ``xarray`` leaves them out of a median unless told ``skipna=False``.

    >>> curves = xr.DataArray([[1.0, 2.0, np.nan], [5.0, np.nan, np.nan]], dims=("seed", "step"))
    >>> last(curves).values
    array([2., 5.])
    >>> last(curves.assign_coords(fate=("seed", ["memorized", "diverged"]))).values
    array([ 2., nan])
    """
    if not isinstance(values, xr.DataArray) or "step" not in values.dims:
        raise BadInput(
            f"last takes one reading over the steps, such as data.test_accuracy: got {type(values).__name__}."
        )
    moved = values.transpose(..., "step")
    array = np.asarray(moved.values)
    valid = ~np.isnan(array)
    index = array.shape[-1] - 1 - np.argmax(valid[..., ::-1], axis=-1)
    coords = {k: v for k, v in moved.coords.items() if "step" not in v.dims}
    ends = xr.DataArray(index, dims=moved.dims[:-1], coords=coords)
    known = {kind: [n for n in coords if str(n).split(".")[-1] == kind] for kind in ("fate", "last_step")}
    for name in known["last_step"] if "step" in moved.coords else ():
        at = np.searchsorted(moved["step"].values, coords[name].values, side="right") - 1
        ends = (xr.zeros_like(ends) + coords[name].copy(data=at.clip(0))).transpose(*ends.dims)
    out = np.take_along_axis(array, ends.values[..., None], axis=-1)[..., 0]
    found = xr.DataArray(out, dims=moved.dims[:-1], coords=coords, name=values.name)
    for name in known["fate"]:  # a reading of before the divergence is none of the end
        found = found.where(moved.coords[name] != str(Fate.DIVERGED)).transpose(*found.dims)
    found = found.drop_vars([*known["fate"], *known["last_step"]])
    found.attrs = {**values.attrs, "missing": int(np.isnan(found.values).sum())}
    return found
