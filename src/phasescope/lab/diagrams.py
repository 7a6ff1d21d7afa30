"""What a page lets readers explore of a study's run: every experiment's grid with all that was recorded on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from phasescope.figures import Diagram, Live, Opened, Recorded
from phasescope.verdict import Cell, Claim, Measured, axes_of
from phasescope.vocabulary import Array

MEMBER = ("fate", "fate_step", "last_step", "seconds")  # of a network, and no reading of it


def diagrams(
    parts: Mapping[str, xr.Dataset],
    titles: Mapping[str, str],
    opened: Mapping[str, Sequence[Opened]] | None = None,
    live: Mapping[str, Sequence[Live]] | None = None,
    cells: Mapping[str, Cell] | None = None,
) -> Sequence[Diagram]:
    """Return one diagram per experiment that has something to explore: a grid of more than one cell, or curves.

    ``opened`` experiment -> networks whose neurons can be looked at, ``live`` those that can be trained; ``cells``
    claim id -> where it is to be seen.
    """
    found = []
    for name, data in parts.items():
        d = diagram(titles.get(name, name), data)
        if d.quantities and (_cells(d) > 1 or any(q.along for q in d.quantities)):
            at = {key: _index(d, cell) for key, cell in (cells or {}).items() if cell.experiment == name}
            claims = {key: place for key, place in at.items() if place is not None}
            inside, alive = (opened or {}).get(name, ()), (live or {}).get(name, ())
            found.append(replace(d, opened=inside, live=alive, claims=claims))
    return found


def places(claims: Sequence[Claim]) -> dict[str, Cell]:
    """Return where each claim is to be seen: the first cell that its effect is measured at, if it says so."""
    return {c.id: c.effect.cells[0] for c in claims if isinstance(c.effect, Measured) and c.effect.cells}


def _index(d: Diagram, cell: Cell) -> tuple[int, ...] | None:
    """Return where along the axes a cell lies: at the first value of an axis that is not, or more than once, named."""
    found = []
    for axis, values in d.axes.items():
        named = cell.knobs.get(axis, values[0])
        one: Any = named[0] if isinstance(named, tuple) else named
        if one not in values:
            return None  # the claim has moved since: nothing is to be seen there
        found.append(list(values).index(one))
    return tuple(found)


def diagram(title: str, data: xr.Dataset) -> Diagram:
    """Return the diagram of one experiment: quantities of one number, or of numbers along one dimension."""
    readings = {str(name): v for name, v in data.data_vars.items() if "seed" in v.dims and _numbers(v)}
    axes = axes_of(data)
    quantities = []
    for name, values in readings.items():
        own = [dim for dim in values.dims if dim not in (*axes, "seed")]
        if name in MEMBER or name.startswith("final.") or len(own) > 1:
            continue
        moved = values.transpose(*axes, "seed", *own).values.astype(float)
        places, along = None, ""
        if own and own[0] in data.coords:
            along, places = str(own[0]), _places(data, str(own[0]))
        elif own:  # units without places, neurons above all, are told apart by rank alone
            along, places = f"rank of the {own[0]}", np.arange(1.0, moved.shape[-1] + 1)
            moved = -np.sort(-moved, axis=-1)
        if own and places is None:
            continue
        quantities.append(Recorded(name, str(values.attrs.get("units", "")), moved, along, places))
    fates = data.fate.transpose(*axes, "seed").values if "fate" in data else None
    values_of = {axis: [_plain(v) for v in data[axis].values] for axis in axes}
    seeds = [int(seed) for seed in data.seed.values] if "seed" in data.coords else [0]
    return Diagram(title, values_of, seeds, quantities, fates)


def _numbers(values: xr.DataArray) -> bool:
    return values.dtype.kind in "fiub"


def _places(data: xr.Dataset, dim: str) -> Array | None:
    """Return the numbers along a dimension, or None where they are no numbers."""
    values = np.asarray(data[dim].values)
    return values.astype(float) if values.dtype.kind in "fiu" else None


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _cells(found: Diagram) -> int:
    return int(np.prod([len(values) for values in found.axes.values()]))
