"""``simulate``: anything a study measures per member that no training loop makes, as one resumable job.

A deep network at initialization, a linear model in closed form, a memory that is written and read: each member is one
call of a plain function with the member's numbers and its random streams, and leaves named arrays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np
import xarray as xr

from phasescope.checks import kind, readable, shown, takes, text, word
from phasescope.ensemble import plan
from phasescope.ensemble.cores import on_cores
from phasescope.ensemble.door import whole_number
from phasescope.ensemble.errands import Elsewhere, Errand, Record, cut, run_errands, unbundled
from phasescope.ensemble.executors import executor_named, local_processes, refused_by
from phasescope.ensemble.jobs import plain
from phasescope.ensemble.results import padded
from phasescope.ensemble.run import Progress, interrupted
from phasescope.ensemble.slices import check_function, check_surroundings, in_turn
from phasescope.ensemble.streams import streams
from phasescope.identity import fingerprint, full_name, house_fingerprint, surroundings
from phasescope.vocabulary import Array, BadInput, Generators, Grid, Keeper, Kind, Knob, Member, Scatter

Found = Mapping[str, Any]
SECONDS = 5.0  # a bundle that is measured elsewhere comes back after so many
WAITING = 0.8  # members that compute for a smaller share of their time wait for one another
LONG = 20.0  # seconds that are left, from which processes are worth their start


@dataclass(frozen=True)
class Quantity:
    """What a simulation leaves under ``name``: its unit, its source, its own dimensions and the places along them."""

    name: str
    unit: str
    source: str
    dims: tuple[str, ...] = ()
    coords: Mapping[str, Sequence[Knob]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text("the name of a quantity", self.name)
        for what in ("unit", "source"):
            kind(str, say="a text")(f"the {what} of the quantity {self.name!r}", getattr(self, what))
        if not isinstance(self.dims, tuple | list) or not all(isinstance(dim, str) and dim for dim in self.dims):
            raise BadInput(f"dims of {self.name!r} is {shown(self.dims)}: give a tuple of names, such as ('time',).")
        places = kind(Mapping, say="a mapping, such as {'time': [0, 1]}")(f"coords of {self.name!r}", self.coords)
        other = [dim for dim in places if dim not in self.dims]
        if other or len(set(self.dims)) < len(self.dims):
            which = f"coords along {other[0]!r}" if other else "one dimension twice"
            raise BadInput(f"the quantity {self.name!r} has {which}: its dims are {shown(self.dims)}; name each once.")


@dataclass(frozen=True)
class Simulation:
    """One grid of members that are measured by a function: ``measure(member, generators)`` name -> number or array.

    ``member[name]`` has the grid's axes and the numbers of ``fixed``. ``measure`` is a plain function of a module, so
    that its record depends on nothing but the member and the source. Each of ``quantities`` must be returned; arrays
    of one quantity may differ in length between members and are padded with NaN. ``work`` is what a member costs, in
    a unit that is one at all scales of a study: with it the cost at another scale is told without measuring one there.
    ``kind`` says what a member is, for claims about it: "simulation", or "trained" where ``measure`` trains something,
    "foreign model" where it reads a model of somebody else, "identity" where it evaluates formulas alone.
    """

    title: str
    measure: Callable[[Member, Generators], Found]
    grid: Grid
    quantities: Sequence[Quantity]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    work: float = 0.0
    kind: str = "simulation"

    def __post_init__(self) -> None:
        text("the title of a simulation", self.title)
        word(*get_args(Kind))(f"the kind of {self.title!r}", self.kind)
        if getattr(self.measure, "__closure__", 0) is not None or "<" in self.measure.__qualname__:
            raise BadInput(f"{self.title!r} measures by {shown(self.measure)}: give a plain function of a module.")
        takes(f"measure of {self.title!r}", self.measure, "member", "generators")
        kind(Grid, Scatter, say="a ps.Grid, such as ps.Grid({'width': [8, 16]}, seeds=3)")("grid", self.grid)
        kind(Mapping, say="a mapping of names to numbers")("fixed", self.fixed)
        given = self.quantities
        if not isinstance(given, tuple | list) or not given or not all(isinstance(q, Quantity) for q in given):
            raise BadInput(f"quantities is {shown(given)}: give a list of ps.Quantity(name, unit, source).")
        taken = [*self.grid.dims, *self.grid.coords]
        for q in given:
            for name in (q.name, *q.dims):
                if name in taken or (name == q.name and [other.name for other in given].count(name) > 1):
                    raise BadInput(f"{self.title!r} leaves {name!r} twice, as a quantity or an axis: rename one.")

    @property
    def unit(self) -> str:
        """What its progress counts."""
        return "members"

    @property
    def budget(self) -> int:
        """How many of them there are."""
        return len(self.grid)

    def with_seeds(self, seeds: Sequence[int]) -> Simulation:
        """Return the simulation of the same cells with other seeds. Raises ``BadInput`` where members are listed."""
        if not isinstance(self.grid, Grid):
            raise BadInput(
                f"the members of {self.title!r} are listed one by one: give a ps.Grid to choose their seeds."
            )
        return replace(self, grid=Grid(self.grid.axes, seeds))

    def plan(self, device: str = "auto", workers: int | None = None) -> None:
        """Refuse beforehand what can be: nothing, for a simulation was looked at when it was made."""

    def leaves(self, planned: None = None) -> Sequence[Quantity]:
        """Return what it will leave."""
        return self.quantities

    def run(
        self,
        planned: None,
        keeper: Keeper | None,
        device: str = "auto",
        workers: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        executor: Elsewhere | None = None,
    ) -> xr.Dataset:
        """Measure every member; see ``simulate``. It runs on the processor, whatever ``device`` is."""
        return simulate(self, keeper=keeper, workers=workers, on_progress=on_progress, executor=executor)

    def member(self, member: Member) -> Member:
        """Return the member with the fixed numbers beside its own."""
        return Member({**self.fixed, **member.knobs}, member.seed)

    def identity(self, member: Member, mark: str = "") -> dict[str, Any]:
        """Return everything that changes the member's numbers, as plain data; its hash names the record.

        ``mark`` is the fingerprint of ``measure``, for a caller who asks for many members at once.
        """
        return {
            "simulation": full_name(self.measure),
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
    executor: Any = None,
) -> xr.Dataset:
    """Measure every member of the simulation's grid, and return the quantities as one labelled dataset.

    Members run on different cores, each on one, and a member sees only its own streams: same seed, same bits, whatever
    runs beside it. Where they are seen to wait for one another in one process, as the short steps of small networks do,
    and much is left, the rest is measured in processes, one for each core. A member that ``keeper`` knows is not
    measured again. ``executor`` ("processes", "ray", "ray://host:port", "slurm" or a ``concurrent.futures.Executor``)
    measures bundles of members elsewhere. Raises ``Interrupted`` after Ctrl-C, ``BadInput`` where ``measure`` returns
    anything but its quantities; what it raises itself is passed on.
    """
    kind(Simulation, say="a ps.Simulation(title, measure, grid, quantities)")("simulation", simulation)
    if keeper is not None and not isinstance(keeper, Keeper):
        raise BadInput(f"keeper is {shown(keeper)}: give a ps.Store(folder), or leave it out.")
    workers = workers if workers is None else whole_number("workers", workers)
    elsewhere = executor_named(executor, workers) if executor is not None else None
    members = list(simulation.grid)
    found: dict[int, Found] = {}
    progress, tell = Progress(len(members), len(members)), on_progress or (lambda progress: None)
    mark = fingerprint(simulation.measure)
    for i, member in enumerate(members):
        kept = keeper.load(simulation.identity(member, mark)) if keeper else None
        if kept is not None:
            found[i] = kept[0]
            progress.count(reused=True)
    left = [i for i in range(len(members)) if i not in found]

    def keep(i: int, arrays: dict[str, Array]) -> None:
        if keeper is not None:
            keeper.save(simulation.identity(members[i], mark), arrays, {})
        found[i] = arrays
        progress.count()

    try:
        if elsewhere is None:
            several = workers or plan.cores()
            left = _measure_here(simulation, members, several, left, keep, lambda: tell(progress))
            elsewhere = _processes(simulation, mark, several) if left else None
            if left and elsewhere is None:  # they can not be measured there
                _measure_here(simulation, members, several, left, keep, lambda: tell(progress), stay=True)
        if elsewhere is not None:
            _measure_elsewhere(elsewhere, simulation, members, mark, left, keep, lambda: tell(progress))
    except KeyboardInterrupt:
        raise interrupted(progress, "measured", keeper) from None
    tell(progress)
    return _dataset(simulation, [found[i] for i in range(len(members))])


Keep = Callable[[int, dict[str, Array]], None]


def _measured(simulation: Simulation, member: Member) -> dict[str, Array]:
    return _arrays(simulation, simulation.measure(simulation.member(member), streams(member.seed)))


def _measure_here(
    simulation: Simulation,
    members: Sequence[Member],
    workers: int,
    left: Sequence[int],
    keep: Keep,
    tell: Callable[[], None],
    stay: bool = False,
) -> list[int]:
    """Measure the members at the places ``left`` on this machine's cores, and return those that are not measured.

    Without ``stay`` some are not, where members wait for one another, as short steps in Python do, and the rest would
    take long: processes of their own are faster then.
    """
    done: set[int] = set()
    stopping, busy, spent = False, 0.0, 0.0

    def work(i: int) -> None:
        nonlocal stopping, busy, spent
        if stopping:
            return
        began, used = time.monotonic(), time.thread_time()
        keep(i, _measured(simulation, members[i]))
        done.add(i)
        busy, spent = busy + time.thread_time() - used, spent + time.monotonic() - began
        rest = spent / len(done) * (len(left) - len(done)) / workers
        if not stay and workers > 1 and len(done) >= workers and busy < WAITING * spent and rest > LONG:
            stopping = True

    def stop() -> None:
        nonlocal stopping
        stopping = True

    on_cores(work, left, workers, tell, stop)
    return [i for i in left if i not in done]


def _processes(simulation: Simulation, mark: str, workers: int) -> Elsewhere | None:
    """Return processes of this machine, or None where the members can not be measured there."""
    found = local_processes(workers)
    return None if refused_by(found, measure_slice, simulation, _code(), mark, {}, 0.0) else found


def _code() -> dict[str, Any]:
    return {"code": house_fingerprint("phasescope.ensemble.train"), "surroundings": surroundings()}


def _measure_elsewhere(
    elsewhere: Elsewhere,
    simulation: Simulation,
    members: Sequence[Member],
    mark: str,
    left: Sequence[int],
    keep: Keep,
    tell: Callable[[], None],
) -> None:
    """Measure the members at the places ``left`` elsewhere, bundle by bundle."""
    identity = _code()

    def errand(places: list[int]) -> Errand:
        def arguments() -> tuple[Any, ...]:
            return simulation, identity, mark, {i: members[i] for i in places}, max(elsewhere.seconds, SECONDS)

        def take(arrays: dict[str, Array], facts: dict[str, Any]) -> tuple[Any, ...] | None:
            for key, record in unbundled(arrays, facts).items():
                keep(int(key), record[0])
                places.remove(int(key))
            return arguments() if places else None

        return Errand(measure_slice, arguments(), take, f"measuring {members[places[0]]} of {simulation.title!r}")

    run_errands(elsewhere, [errand([left[i] for i in some]) for some in cut(len(left), elsewhere)], tell)


def measure_slice(
    simulation: Simulation, identity: Mapping[str, Any], mark: str, members: Mapping[int, Member], seconds: float
) -> bytes:
    """Return what ``measure`` gives for those of ``members`` that are reached within ``seconds``, as ``bundled``.

    ``mark`` is its fingerprint, and ``identity`` the code and surroundings, where it was asked for: raises
    ``OtherCode`` where they are others here.
    """
    check_surroundings(identity)
    check_function(simulation.measure, mark)

    def one(place: int) -> Record:
        try:
            return _measured(simulation, members[place]), {}
        except Exception as error:
            error.add_note(f"raised while measuring {members[place]}")
            raise

    return in_turn(one, list(members), seconds)


def _arrays(simulation: Simulation, values: Any) -> dict[str, Array]:
    """Return what ``measure`` gave as arrays. Raises ``BadInput`` where that is not its quantities, as numbers."""
    title, names = simulation.title, [q.name for q in simulation.quantities]
    if not isinstance(values, Mapping):
        raise BadInput(f"measure of {title!r} returned {shown(values)}: return a mapping with {shown(sorted(names))}.")
    if set(values) != set(names):
        raise BadInput(f"{title!r} measured {sorted(map(str, values))}: its quantities are {sorted(names)}.")
    arrays = {name: _array(f"the quantity {name!r} of {title!r}", values[name]) for name in names}
    for q in simulation.quantities:
        if arrays[q.name].ndim != len(q.dims):
            raise BadInput(f"{q.name!r} has shape {arrays[q.name].shape}: its dimensions are {q.dims}.")
    return arrays


def _array(name: str, values: Any) -> Array:
    given = readable(name, values)
    try:
        found = np.asarray(given)
    except ValueError:
        raise BadInput(f"{name} is ragged: give rows of equal length.") from None
    if found.dtype.kind not in "biufc":
        raise BadInput(f"{name} is {shown(values)}: give a number, or an array of numbers.")
    return found


def _dataset(simulation: Simulation, found: Sequence[Found]) -> xr.Dataset:
    grid = simulation.grid
    data = xr.Dataset(coords=grid.coords)
    for q in simulation.quantities:
        values = padded([np.asarray(part[q.name]) for part in found])
        for dim, size in zip(q.dims, values.shape[1:], strict=True):
            known = len(q.coords[dim]) if dim in q.coords else data.sizes.get(dim, size)
            if known != size:
                raise BadInput(
                    f"the quantity {q.name!r} has {size} entries along {dim!r}, which has {known}: give as many, or "
                    "the dimension another name."
                )
        attributes = {"units": q.unit, "source": q.source}
        data[q.name] = ((*grid.dims, *q.dims), values.reshape(*grid.shape, *values.shape[1:]), attributes)
        data = data.assign_coords({dim: list(places) for dim, places in q.coords.items()})
    return data
