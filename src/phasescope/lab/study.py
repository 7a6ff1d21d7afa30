"""What a study is made of: its paper, its settings at each scale, its experiments, its claims and its figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import xarray as xr
from torch import nn

from phasescope.checks import BadInput, kind, number, optional, shown, takes, text
from phasescope.ensemble import Progress, Quantity
from phasescope.ensemble.errands import Elsewhere
from phasescope.ensemble.jobs import Job, LearnerLike, TaskLike
from phasescope.ensemble.measure import measured, to_measure
from phasescope.ensemble.results import only_at_end
from phasescope.ensemble.schedule import record_steps
from phasescope.ensemble.train import planned, trained
from phasescope.figures import Choice, Figure
from phasescope.figures import Paper as Paper
from phasescope.notebooks import facts
from phasescope.verdict import Claim, rising
from phasescope.vocabulary import Fate, Grid, Instrument, Keeper, Member, Recipe, Scatter, Settings, as_instrument

NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*")


class Work(Protocol):
    """An experiment of any kind: ``Experiment`` trains or reads networks, ``Simulation`` measures by a function.

    A kind of your own has what stands here; nothing else is asked of it.
    """

    @property
    def title(self) -> str:
        """What readers are told that it is."""
        ...

    @property
    def grid(self) -> Grid | Scatter:
        """Its members."""
        ...

    @property
    def unit(self) -> str:
        """What its progress counts: "steps" of training, or "members"."""
        ...

    @property
    def budget(self) -> int:
        """How many of them it takes if no member ends early."""
        ...

    @property
    def kind(self) -> str:
        """What its members are, for claims about them: "trained", "simulation", "foreign model" or "identity"."""
        ...

    def with_seeds(self, seeds: Sequence[int]) -> Work:
        """Return the same experiment with other seeds; one whose seeds can not be chosen returns itself."""
        ...

    def plan(self, device: str = "auto", workers: int | None = None) -> Any:
        """Refuse, by ``BadInput``, what can be refused before anything is done; return what ``leaves`` needs."""
        ...

    def leaves(self, planned: Any) -> Sequence[Quantity]:
        """Return what the dataset will hold over the grid: claims are tried on made-up numbers of this shape."""
        ...

    def run(
        self,
        planned: Any,
        keeper: Keeper | None,
        device: str = "auto",
        workers: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        executor: Elsewhere | None = None,
    ) -> xr.Dataset:
        """Do what was planned, and return one dataset over the grid; what ``keeper`` has of it is not done again.

        ``executor`` is given where a run is to be done elsewhere, and left out otherwise.
        """
        ...


def budget_of(experiments: Mapping[str, Work]) -> int:
    """Return the steps of a whole study if no member settles early; a simulated member is one step."""
    return sum(e.budget for e in experiments.values())


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
        if self.recipe is None and self.watch:
            raise BadInput(f"{self.title!r} watches and does not train: give it a recipe, or read at_end alone.")

    @property
    def unit(self) -> str:
        """What its progress counts."""
        return "steps"

    @property
    def budget(self) -> int:
        """The training steps of all members if none settles early."""
        return len(self.grid) * self.recipe.steps if self.recipe else 0

    @property
    def kind(self) -> str:
        """Trained networks, or such as are read untrained, which is a simulation."""
        return "trained" if self.recipe else "simulation"

    def with_seeds(self, seeds: Sequence[int]) -> Experiment:
        """Return the experiment with other seeds in each cell."""
        return replace(self, grid=Grid(self.grid.axes, seeds))

    def plan(self, device: str = "auto", workers: int | None = None) -> list[Job]:
        """Return the jobs of training, or of reading. Raises ``BadInput`` for all that can be refused beforehand."""
        if self.recipe is None:
            return to_measure(self.learner, self.task, self.grid, self.at_end)
        return planned(
            self.learner, self.task, self.grid, self.recipe, self.watch, at_end=self.at_end, device=device,
            workers=workers,
        )  # fmt: skip

    def leaves(self, planned: Sequence[Job]) -> Sequence[Quantity]:
        """Return the readings, the fates and the final parameters that the jobs will leave."""
        ends = [Quantity(i.name, i.unit, i.source, i.dims, i.coords) for i in only_at_end(self.watch, self.at_end)]
        if self.recipe is None:
            return ends
        step = {"step": max((record_steps(job.recipe) for job in planned), key=len).tolist()}
        watched = [
            Quantity(name, i.unit, i.source, ("step", *i.dims), {**step, **i.coords})
            for i in self.watch
            for name in (i.name, f"{i.name}_error")
        ]
        facts = [Quantity(name, "1", "training") for name in ("fate", "last_step", "fate_step", "seconds")]
        return [*watched, *ends, *facts, *_parameters(planned)]

    def run(
        self,
        planned: Sequence[Job],
        keeper: Keeper | None,
        device: str = "auto",
        workers: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        executor: Elsewhere | None = None,
    ) -> xr.Dataset:
        """Train every member, or read it as it is initialized; see ``ps.train`` and ``ps.measure``."""
        if self.recipe is not None:
            return trained(
                planned, self.grid, device=device, keeper=keeper, workers=workers, on_progress=on_progress,
                executor=executor,
            )  # fmt: skip
        found = measured(planned, self.grid, self.at_end, workers, executor)
        if on_progress is not None:
            on_progress(Progress(len(self.grid), 0, finished=len(self.grid)))
        return found


def _parameters(jobs: Sequence[Job]) -> list[Quantity]:
    """Return the final parameters and buffers that have one shape in all networks."""
    shapes: dict[str, set[tuple[int, ...]]] = {}
    for module in {id(job.module): job.module for job in jobs}.values():
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            shapes.setdefault(name, set()).add(tuple(value.shape))
    found = []
    for name, several in shapes.items():
        if len(several) == 1:
            dims = {f"{name}_{i}": range(n) for i, n in enumerate(next(iter(several)))}
            found.append(Quantity(f"final.{name}", "1", "training", tuple(dims), dims))
    return found


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


def nothing_to_choose(data: Mapping[str, xr.Dataset], s: Any) -> Sequence[Choice]:
    """Return that a page has no tables to choose from."""
    return ()


@dataclass(frozen=True)
class Study:
    """A paper's question, asked again.

    ``scales`` name -> settings, "pocket" first (minutes on two cores), "paper" the paper's own. ``experiments(s)`` name
    -> Experiment, or Simulation for members that no training makes, or a kind of your own (``Work``).
    The effects of ``claims(s)``, and
    ``figures(data, s)``, see ``data`` name -> dataset, one for each experiment. ``mapped(s)`` is the experiment whose
    knobs a phase map may vary (its grid holds the others, one value each), and ``orders`` are the order parameters that
    it can be drawn by, the first by default. For the page, ``inside(s)`` experiment -> Inside names those whose
    networks are opened, and ``choices(data, s)`` are tables of which a reader chooses one. ``looks`` are the numbers of
    seeds at which claims are looked at until they are decided.
    """

    name: str
    title: str
    question: str
    paper: Paper
    scales: Mapping[str, Settings]
    experiments: Callable[[Any], Mapping[str, Work]]
    claims: Callable[[Any], Sequence[Claim]]
    figures: Callable[[Mapping[str, xr.Dataset], Any], Sequence[Figure]]
    notes: str = ""
    mapped: Callable[[Any], Experiment] | None = None
    orders: Sequence[OrderParameter] = ()
    inside: Callable[[Any], Mapping[str, Inside]] = nothing_inside
    looks: Sequence[int] = (16, 32, 64, 128)
    choices: Callable[[Mapping[str, xr.Dataset], Any], Sequence[Choice]] = nothing_to_choose

    def _repr_html_(self) -> str:
        settings = next(iter(self.scales.values()))
        rows = [("question", self.question), ("paper", f"{self.paper.authors} {self.paper.year}, {self.paper.title}")]
        rows += [("scales", ", ".join(self.scales))]
        rows += [(name, f"{len(e.grid):,} members: {e.title}") for name, e in self.experiments(settings).items()]
        return facts(self.title, [*rows, ("claims", ", ".join(claim.id for claim in self.claims(settings)))])

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise BadInput(f"a study is called {shown(self.name)}: give letters, digits and hyphens, a letter first.")
        for part in ("title", "question"):
            text(f"the {part} of the study {self.name!r}", getattr(self, part))
        kind(Paper, say="a ps.Paper")(f"the paper of the study {self.name!r}", self.paper)
        scales = self.scales
        if not isinstance(scales, Mapping) or not scales or not all(isinstance(s, Settings) for s in scales.values()):
            raise BadInput(f"the scales of {self.name!r} are {shown(scales)}: give a mapping of names to ps.Settings.")
        object.__setattr__(self, "looks", tuple(rising(f"the looks of {self.name!r}", self.looks)))
        for part in ("experiments", "claims", "inside", *(["mapped"] if self.mapped is not None else [])):
            takes(f"{part} of the study {self.name!r}", getattr(self, part), "settings")
        for part in ("figures", "choices"):
            takes(f"{part} of the study {self.name!r}", getattr(self, part), "data", "settings")


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
        plain = plain.drop_vars(twice)
        for old in ends.keys() - set(twice) if "fate" in plain else ():  # such a network has no final reading
            plain[old] = plain[old].where(plain["fate"] != str(Fate.DIVERGED)).transpose(*plain[old].dims)
        parts[name] = plain.rename({old: new for old, new in ends.items() if old not in twice})
    return parts
