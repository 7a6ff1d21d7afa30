"""What a study is made of: its paper, its settings at each scale, its experiments, its claims and its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr
from torch import nn

from phasescope.checks import BadInput, kind, number, optional, shown, takes, text
from phasescope.ensemble import Simulation
from phasescope.ensemble.jobs import LearnerLike, TaskLike
from phasescope.figures import Figure
from phasescope.figures import Paper as Paper
from phasescope.verdict import Claim
from phasescope.vocabulary import Grid, Instrument, Member, Recipe, Settings, as_instrument


@dataclass(frozen=True)
class Experiment:
    """One grid of networks: who learns what and how, and what is read along the way and ``at_end``.

    Without a recipe nothing is trained: the members are read as they are initialized (analytic networks).
    """

    title: str
    learner: LearnerLike
    task: TaskLike
    grid: Grid
    recipe: Recipe | None = None
    watch: Sequence[Instrument] = ()
    at_end: Sequence[Instrument] = ()

    def __post_init__(self) -> None:
        text("the title of an experiment", self.title)
        kind(Grid, say="a ps.Grid, such as ps.Grid(seeds=3)")(f"the grid of {self.title!r}", self.grid)
        optional(kind(Recipe, say="a ps.Recipe, or None to read networks untrained"))(
            f"the recipe of {self.title!r}", self.recipe
        )
        for name, read in (("watch", self.watch), ("at_end", self.at_end)):
            if not isinstance(read, tuple | list):
                raise BadInput(
                    f"{name} of {self.title!r} is {shown(read)}: give a list of instruments, such as "
                    "ps.instruments.LEARNING."
                )
            for thing in read:
                as_instrument(thing)


@dataclass(frozen=True)
class OrderParameter:
    """What a phase map tells apart, read off trained networks: ``read`` takes a dataset to one value per network.

    With ``phases``, a value is the index of one of them. Without, it is a number in ``unit``, and the two phases are
    below ``level``, and ``level`` and above; NaN is a third, "no value". There go also the networks that diverged, for
    their last reading is one from before, unless ``diverged`` says that ``read`` has reckoned with them.
    """

    name: str
    read: Callable[[xr.Dataset], Any]
    level: float = 0.5
    phases: Sequence[str] = ()
    unit: str = ""
    diverged: bool = False

    def __post_init__(self) -> None:
        text("the name of an order parameter", self.name)
        takes(f"read of the order parameter {self.name!r}", self.read, "data")
        object.__setattr__(self, "level", number()(f"the level of {self.name!r}", self.level))
        if not isinstance(self.phases, tuple | list) or not all(isinstance(phase, str) for phase in self.phases):
            raise BadInput(f"the phases of {self.name!r} are {shown(self.phases)}: give a list of their names.")


@dataclass(frozen=True)
class Inside:
    """That a page opens the networks of an experiment: two-layer networks on residues, and what to set beside them.

    ``exact`` makes of a member the network that theory writes down for its task, or None. ``order``: the residues in
    the order in which the function is periodic, where that is not 0, 1, ..., p - 1.
    """

    exact: Callable[[Member], nn.Module | None] | None = None
    order: Sequence[int] = ()


def nothing_inside(s: Any) -> Mapping[str, Inside]:
    """Return that no experiment's networks are opened."""
    return {}


@dataclass(frozen=True)
class Study:
    """A paper's question, asked again.

    ``scales`` name -> settings, "pocket" first (minutes on two cores), "paper" the paper's own. ``experiments(s)`` name
    -> Experiment, or Simulation for members that no training makes. The effects of ``claims(s)``, and
    ``figures(data, s)``, see ``data`` name -> dataset, one for each experiment. ``mapped(s)`` is the experiment whose
    knobs a phase map may vary (its grid holds the others, one value each), and ``orders`` are the order parameters that
    it can be drawn by, the first by default. For the page, ``inside(s)`` experiment -> Inside names those whose
    networks are opened.
    """

    name: str
    title: str
    question: str
    paper: Paper
    scales: Mapping[str, Settings]
    experiments: Callable[[Any], Mapping[str, Experiment | Simulation]]
    claims: Callable[[Any], Sequence[Claim]]
    figures: Callable[[Mapping[str, xr.Dataset], Any], Sequence[Figure]]
    notes: str = ""
    mapped: Callable[[Any], Experiment] | None = None
    orders: Sequence[OrderParameter] = ()
    inside: Callable[[Any], Mapping[str, Inside]] = nothing_inside


def join(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return one dataset of all experiments, as a file keeps them: every name is prefixed with its experiment's."""
    values: dict[str, xr.Variable] = {}
    places: dict[str, xr.Variable] = {}
    for name, data in parts.items():
        names = [*data.variables, *(dim for dim in data.dims if dim not in data.variables)]
        renamed = data.rename({old: f"{name}.{old}" for old in names})
        places |= {str(key): value.variable for key, value in renamed.coords.items()}
        values |= {str(key): value.variable for key, value in renamed.data_vars.items()}
    return xr.Dataset(values, places)


def split(data: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return the experiments that ``join`` put together, by name.

    In files from before a reading had one name, one that was taken at the end alone is called ``end.<name>``.
    """
    parts = {}
    for name in dict.fromkeys(str(variable).split(".", 1)[0] for variable in data.data_vars):
        prefix = f"{name}."
        mine = [v for v in data.variables if str(v).startswith(prefix)]
        chosen = data[mine]
        chosen = chosen.drop_vars([v for v in chosen.variables if not str(v).startswith(prefix)])
        names = {*mine, *(dim for dim in chosen.dims if str(dim).startswith(prefix))}
        plain = chosen.rename({old: str(old).removeprefix(prefix) for old in names})
        plain = plain.set_coords([name for name in ("fate", "last_step") if name in plain])
        ends = {str(v): str(v).removeprefix("end.") for v in plain.data_vars if str(v).startswith("end.")}
        twice = [old for old, new in ends.items() if new in plain]
        parts[name] = plain.drop_vars(twice).rename({old: new for old, new in ends.items() if old not in twice})
    return parts


def part(data: Mapping[str, xr.Dataset], name: str) -> xr.Dataset:
    """Return the experiment ``name``; raise KeyError when it is not there."""
    if name not in data:
        raise KeyError(f"no experiment {name!r}")
    return data[name]
