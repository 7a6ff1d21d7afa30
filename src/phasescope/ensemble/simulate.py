"""``simulate``: anything a study measures per member that no training loop makes, as one resumable job.

A deep network at initialization, a linear model in closed form, a memory that is written and read: each member is one
call of a plain function with the member's numbers and its random streams, and leaves named arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from phasescope.ensemble import plan
from phasescope.ensemble.jobs import plain
from phasescope.ensemble.results import padded
from phasescope.ensemble.streams import streams
from phasescope.ensemble.train import Progress, interrupted, on_cores
from phasescope.identity import fingerprint, surroundings
from phasescope.vocabulary import Array, BadInput, Generators, Grid, Keeper, Knob, Member

Found = Mapping[str, Any]


@dataclass(frozen=True)
class Quantity:
    """What a simulation leaves under ``name``: its unit, its source, its own dimensions and the places along them."""

    name: str
    unit: str
    source: str
    dims: tuple[str, ...] = ()
    coords: Mapping[str, Sequence[Knob]] = field(default_factory=dict)


@dataclass(frozen=True)
class Simulation:
    """One grid of members that are measured by a function: ``measure(member, generators)`` name -> number or array.

    ``member[name]`` has the grid's axes and the numbers of ``fixed``. ``measure`` is a plain function of a module, so
    that its record depends on nothing but the member and the source. Each of ``quantities`` must be returned; arrays
    of one quantity may differ in length between members and are padded with NaN. ``work`` is what a member costs, in
    a unit that is one at all scales of a study: with it the cost at another scale is told without measuring one there.
    """

    title: str
    measure: Callable[[Member, Generators], Found]
    grid: Grid
    quantities: Sequence[Quantity]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    work: float = 0.0

    def __post_init__(self) -> None:
        if getattr(self.measure, "__closure__", 0) is not None or "<" in self.measure.__qualname__:
            raise BadInput(f"{self.title!r} measures by {self.measure!r}: give a plain function of a module.")

    def member(self, member: Member) -> Member:
        """Return the member with the fixed numbers beside its own."""
        return Member({**self.fixed, **member.knobs}, member.seed)

    def identity(self, member: Member, mark: str = "") -> dict[str, Any]:
        """Return everything that changes the member's numbers, as plain data; its hash names the record.

        ``mark`` is the fingerprint of ``measure``, for a caller who asks for many members at once.
        """
        return {
            "simulation": f"{self.measure.__module__}.{self.measure.__qualname__}",
            "is": mark or fingerprint(self.measure),
            "knobs": {name: plain(value) for name, value in self.member(member).knobs.items()},
            "seed": member.seed,
            "surroundings": surroundings(),
        }


def simulate(
    simulation: Simulation,
    *,
    keeper: Keeper | None = None,
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> xr.Dataset:
    """Measure every member of the simulation's grid, and return the quantities as one labelled dataset.

    Members run on different cores, each on one, and a member sees only its own streams: same seed, same bits, whatever
    runs beside it. A member that ``keeper`` knows is not measured again. Raises ``Interrupted`` after Ctrl-C.
    """
    members = list(simulation.grid)
    found: dict[int, Found] = {}
    progress, tell = Progress(len(members), len(members)), on_progress or (lambda progress: None)
    mark = fingerprint(simulation.measure)
    for i, member in enumerate(members):
        kept = keeper.load(simulation.identity(member, mark)) if keeper else None
        if kept is not None:
            found[i] = kept[0]
            progress.count(reused=True)
    stopping = False

    def work(i: int) -> None:
        if stopping:
            return
        member = members[i]
        arrays = _arrays(simulation, simulation.measure(simulation.member(member), streams(member.seed)))
        if keeper is not None:
            keeper.save(simulation.identity(member, mark), arrays, {})
        found[i] = arrays
        progress.count()

    left = [i for i in range(len(members)) if i not in found]

    def stop() -> None:
        nonlocal stopping
        stopping = True

    try:
        on_cores(work, left, workers or plan.cores(), lambda: tell(progress), stop)
    except KeyboardInterrupt:
        raise interrupted(progress, "measured", keeper) from None
    tell(progress)
    return _dataset(simulation, [found[i] for i in range(len(members))])


def _arrays(simulation: Simulation, values: Found) -> dict[str, Array]:
    names = [q.name for q in simulation.quantities]
    if set(values) != set(names):
        raise BadInput(f"{simulation.title!r} measured {sorted(values)}: its quantities are {sorted(names)}.")
    arrays = {name: np.asarray(values[name]) for name in names}
    for q in simulation.quantities:
        if arrays[q.name].ndim != len(q.dims):
            raise BadInput(f"{q.name!r} has shape {arrays[q.name].shape}: its dimensions are {q.dims}.")
    return arrays


def _dataset(simulation: Simulation, found: Sequence[Found]) -> xr.Dataset:
    grid = simulation.grid
    data = xr.Dataset(coords=grid.coords)
    for q in simulation.quantities:
        values = padded([np.asarray(part[q.name]) for part in found])
        attributes = {"units": q.unit, "source": q.source}
        data[q.name] = ((*grid.dims, *q.dims), values.reshape(*grid.shape, *values.shape[1:]), attributes)
        data = data.assign_coords({dim: list(places) for dim, places in q.coords.items()})
    return data
