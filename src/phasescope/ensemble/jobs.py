"""From (learner, task, grid, recipe) to one job per member: the unit of work, a pure function of its description."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from torch import nn

from phasescope.checks import takes
from phasescope.ensemble.given import check_given
from phasescope.ensemble.marks import (
    Marks,
    drawn_mark,
    learner_marks,
    of_the_house,
    reads_mark,
    refuse_moods,
    structure,
    task_mark,
)
from phasescope.ensemble.reading import check_names
from phasescope.ensemble.sample import Sample, check_float32
from phasescope.ensemble.streams import copied, initialized, made, streams
from phasescope.ensemble.turns import turn
from phasescope.errors import shown
from phasescope.identity import fingerprint, full_name, house_fingerprint, surroundings
from phasescope.samples import checked
from phasescope.vocabulary import (
    BadInput,
    Draw,
    Drawn,
    Grid,
    Instrument,
    Knob,
    Member,
    Recipe,
    Sampler,
    Scatter,
    Task,
    Tunable,
    as_instrument,
    nearest,
    noting,
)

LearnerLike = nn.Module | Callable[[Member], nn.Module]
TaskLike = Task | Callable[[Member], Task]
FIXED = ("steps", "records", "first_record", "spacing", "dtype")
MOST_MEMBERS = 1_000_000
COPIED = ("inputs", "labels", "truth", "train", "test", "weights")
TOGETHER = (
    "loss",
    "label_smoothing",
    "optimizer",
    "schedule",
    "decayed",
    "batch",
    "sampling",
    "dtype",
)  # one for all of a tile
MADE = "made for each member"  # in place of a mark: of such networks only one is kept


@dataclass(frozen=True)
class Job:
    """One network to train: who, what, how, and what to read. ``module`` carries the member's own numbers.

    ``marks`` are the fingerprints of all that, ``sample`` what the member's data look like. A user's function ``make``
    makes the network, whose weights are kept; without one they are drawn anew, by the member's seed. ``tile`` says how
    many are trained at a time, None that memory decides, ``choice`` by what the engine was chosen, ``apart`` whether
    each core is to work in a process of its own. ``keep`` are the recorded steps at which the weights are kept.
    """

    member: Member
    module: nn.Module
    task: Task
    recipe: Recipe
    watch: tuple[Instrument, ...]
    at_end: tuple[Instrument, ...]
    engine: str
    marks: Marks
    sample: Sample
    make: Callable[[Member], nn.Module] | None = None
    tile: int | None = None
    choice: str = ""
    apart: bool = False
    keep: tuple[int, ...] = ()

    @property
    def way(self) -> str:
        """The name of the engine alone: "fused", "looped" and so on."""
        return self.engine.split("-")[0]

    def begun(self) -> nn.Module:
        """Return the member's network as training begins: drawn anew from ``module``, or made by the user's function.

        Raises ``BadInput`` where the function makes another network than it made before.
        """
        if self.make is None:
            return initialized(self.module, self.member.seed)
        with turn():
            module = copied(self.make(self.member))  # at once: another call may fill the same array anew
        if learner_marks(module, module, given=False)[0] != self.marks.learner:
            raise BadInput(
                "the function that makes the networks made another one when it was asked again for the same member: "
                "let it depend on the member alone, and its random weights on torch's, numpy's or Python's generator."
            )
        return module

    def draw(self) -> Draw:
        """Return what this member learns from, checked. Raises ``BadInput``."""
        return drawn(self.task, self.member)

    @cached_property
    def shape_key(self) -> str:
        """Jobs with equal keys can be stacked: networks alike but for their tensors' values, data of one shape."""
        words = {name: getattr(self.recipe, name) for name in TOGETHER}
        words |= {"sam": self.recipe.sam > 0, "average": self.recipe.average > 0}
        return repr((self.marks.shape, self.sample.shape, list((words | dict(self.marks.functions)).values())))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that changes the result, as plain data; its hash names the record."""
        return {
            "learner": {"name": full_name(type(self.module)), "is": self.marks.learner},
            "task": {"name": self.task.name, "is": self.marks.task},
            "recipe": self.recipe.model_dump(mode="json"),
            "functions": dict(self.marks.functions),
            # the task's own numbers too: two tables may differ in nothing but their train fraction
            "knobs": {name: plain(value) for name, value in {**self.task.knobs, **self.member.knobs}.items()},
            "seed": self.member.seed,
            "watch": list(self.marks.watch),
            "at_end": list(self.marks.at_end),
            "keep": list(self.keep),
            "engine": self.engine,
            "code": house_fingerprint("phasescope.ensemble.train"),
            "surroundings": surroundings(),
        }


def drawn(task: Task, member: Member) -> Draw:
    """Return what a task draws for a member, checked at the door. Raises ``BadInput`` with row and value."""
    with turn():
        draw = checked(task.draw(member, streams(member.seed)), task.classes, task.name)
        if of_the_house(task):
            return draw
        # copies: a user's task may fill the same arrays anew for the next member
        return replace(draw, **{part: np.array(getattr(draw, part)) for part in COPIED})


def plain(value: Any) -> Any:
    """Return a knob as records have it: numbers as floats."""
    # a grid over (0, 1) and one over (0.0, 1.0) hold the same members
    whole = isinstance(value, int | float) and not isinstance(value, bool) and float(value) == value
    return float(value) if whole else value


def jobs(
    learner: LearnerLike,
    task: TaskLike,
    grid: Grid | Scatter,
    recipe: Recipe,
    watch: Sequence[Instrument] = (),
    at_end: Sequence[Instrument] = (),
    engine: str = "",
) -> list[Job]:
    """Return one job per member of the grid, in the grid's order.

    Raises ``BadInput`` for an axis nobody knows, data that can not be used, and networks, tasks and instruments
    of which it can not be told what changes their numbers.
    """
    for what, value, kinds in (("grid", grid, Grid | Scatter), ("recipe", recipe, Recipe)):
        if not isinstance(value, kinds):
            raise BadInput(f"{what} is {shown(value)}: give a ps.{what.capitalize()}.")
    for name, read in (("watch", watch), ("at_end", at_end)):
        if isinstance(read, Instrument | str) or not isinstance(read, Iterable) or hasattr(read, "shape"):
            raise BadInput(f"{name} is {shown(read)}: give a list of instruments, such as ps.instruments.LEARNING.")
    watch, at_end = (tuple(as_instrument(thing) for thing in read) for read in (watch, at_end))
    check_names([i for read in (watch, at_end) for i in read], [[i.name for i in r] for r in (watch, at_end)], grid)
    if len(grid) > MOST_MEMBERS:
        raise BadInput(f"the grid has {len(grid):,} members: at most {MOST_MEMBERS:,} are allowed in one call.")
    making = _Making(learner, task, recipe.dtype)
    reads = tuple(tuple(reads_mark(i) for i in instruments) for instruments in (watch, at_end))
    found = []
    for member in grid:
        module, marked, make = making.module(member)
        its_task = making.task(member)
        _check_axes(member, module, its_task, free=making.free)
        own = {name: member[name] for name in Recipe.model_fields if name in member.knobs}
        its_recipe = Recipe(**{**recipe.model_dump(), **own}) if own else recipe
        its_mark, sample = making.data(its_task, member)
        if sample.endless and its_recipe.batch is None:
            raise BadInput("batch is None: a task that samples fresh data needs a batch size in its recipe.")
        own_code = tuple((name, making.function(name, value)) for name, value in its_recipe.functions.items())
        marks = Marks(*marked, its_mark, reads[0], reads[1], own_code)
        found.append(Job(member, module, its_task, its_recipe, watch, at_end, engine, marks, sample, make))
    making.unchanged()
    _check_free(found, grid, making)
    _check_parameters(found)
    for module in {id(job.module): job.module for job in found if job.make is None}.values():
        check_given(module, several=len({job.member.seed for job in found}) > 1)
    return found


class _Making:
    """Makes the networks and the data of one call. What is made twice alike, by its fingerprint, is kept once."""

    def __init__(self, learner: LearnerLike, task: TaskLike, dtype: str) -> None:
        self.learner, self.task_like, self.dtype = learner, task, dtype
        self.given = isinstance(learner, nn.Module)
        if not self.given:
            if isinstance(learner, type) or not callable(learner):
                raise BadInput(f"the learner is {shown(learner)}: give a torch.nn.Module, or a function of the member.")
            whole = learner.func if isinstance(learner, partial) else None
            if isinstance(whole, type) and issubclass(whole, nn.Module):
                raise BadInput(
                    f"the learner is {whole.__name__} with some arguments: give lambda member: {whole.__name__}(...)."
                )
            takes("the learner", learner, "member")
        if isinstance(task, type):
            raise BadInput(f"the task is {shown(task)}: make one, {task.__name__}(...), or a function of the member.")
        self.one_task = isinstance(task, Task)
        if not self.one_task and callable(task):
            takes("the task", task, "member")
        self.free = not (self.given and self.one_task)
        self.fresh: bool | None = None
        self.modules: dict[tuple[str, str], nn.Module] = {}
        self.own: dict[str, tuple[nn.Module, tuple[str, str]]] = {}
        self.arrays: dict[int, tuple[Any, bytes]] = {}
        self.tasks: list[tuple[Task, str]] = []
        self.samples: dict[Any, Sample] = {}
        self.functions: dict[int, str] = {}

    def module(self, member: Member) -> tuple[nn.Module, tuple[str, str], Callable[[Member], nn.Module] | None]:
        """Return the member's network, its fingerprints, and the function that makes it where its weights are kept."""
        if self.given:
            own = {name: member[name] for name in _knobs(self.learner) if name in member.knobs}
            key = repr(sorted(own.items()))
            if key not in self.own:
                self.own[key] = self._kept(self.learner, member)  # type: ignore[arg-type]
            return *self.own[key], None
        module = self.make(member)
        if self.fresh is None:  # asked twice: it may give out one network again and again
            self.fresh = self.make(member) is not module
        if not self.fresh or isinstance(module, Drawn):
            return *self._kept(module, member), None
        module = _tuned(module, member)
        marked = learner_marks(module, module, given=False)
        return self.modules.setdefault((MADE, marked[1]), module), marked, lambda who: _tuned(self.make(who), who)

    def function(self, name: str, value: Callable[..., Any]) -> str:
        """Return the fingerprint of one's own function in a recipe. Raises ``BadInput`` where it can not be told."""
        if id(value) not in self.functions:
            try:
                self.functions[id(value)] = fingerprint(value)
            except BadInput as error:
                raise BadInput(f"{name} of the recipe: {error}") from None
        return self.functions[id(value)]

    def make(self, member: Member) -> nn.Module:
        """Return what the user's function makes of a member. Raises ``BadInput``."""
        module = made(self.learner, member)
        if not isinstance(module, nn.Module):
            raise BadInput(f"the learner made {type(module).__name__} of a member: make a torch.nn.Module.")
        return module

    def reads(self, axis: str, member: Member) -> bool:
        """Return whether the user's functions, or a task of the user's own, ask for the knob ``axis`` of a member."""
        noted, read = noting(member)
        if not self.given:
            self.make(noted)
        drawn(self.task(noted), noted)
        return axis in read

    def _kept(self, module: nn.Module, member: Member) -> tuple[nn.Module, tuple[str, str]]:
        changed = _tuned(module, member, copy=True)
        marked = learner_marks(changed, module)
        return self.modules.setdefault(marked, changed), marked

    def task(self, member: Member) -> Task:
        """Return the member's task."""
        found = self.task_like if self.one_task or not callable(self.task_like) else self.task_like(member)
        if isinstance(found, type) or not isinstance(found, Task):
            raise BadInput(
                f"the task is {shown(found)}: give a Table, a Sampler, a function of the member that "
                "returns one, or anything with name, knobs, classes, draw(member, generators) and describe()."
            )
        return found

    def data(self, task: Task, member: Member) -> tuple[str, Sample]:
        """Return the fingerprint of the member's data, and what they look like."""
        if self.one_task and self.tasks:
            mark = self.tasks[0][1]
        else:  # of a function's tasks each is looked at: they may be one, changed in between
            mark = task_mark(task, self.arrays if self.one_task else {})
            self.tasks.append((task, mark))
        house, knobs = of_the_house(task), {name: member.get(name, v) for name, v in task.knobs.items()}
        key = (mark, repr(sorted(knobs.items())))
        if house and key in self.samples:
            return mark, self.samples[key]
        draw = drawn(task, member)
        if key not in self.samples and not house:
            refuse_moods(task, member, draw)
        if not house and not self.one_task:  # anew: a task may keep what it has once worked out
            self.tasks[-1] = (task, task_mark(task, {}))
        rows = draw.inputs[draw.train[:3]]
        answers = np.array(draw.labels[draw.train[:3]])
        real = answers.dtype.kind == "f"
        if self.dtype == "float32":
            check_float32(draw, task.name)
        weights, endless = draw.weights[draw.train], isinstance(task, Sampler)
        even = endless or bool((weights == weights[0]).all())
        self.samples[key] = Sample(len(draw.inputs), len(draw.train), real, endless, np.array(rows), answers, even)
        return (mark if house else drawn_mark(mark, task, member, draw, {})), self.samples[key]

    def unchanged(self) -> None:
        """Raise ``BadInput`` where making one member changed what another one is: by a global, or a shared array."""
        networks = [] if self.given or len(self.modules) < 2 else list(self.modules.items())
        for (marked, shape), module in networks:
            if not of_the_house(module) and structure(module) != shape:
                raise BadInput(
                    "the networks of two members share something that was changed after the first was made, such as a "
                    "global or an attribute of their class: keep each member's numbers on its own network."
                )
            if marked != MADE and learner_marks(module, module)[0] != marked and not isinstance(module, Tunable):
                raise BadInput(
                    "the function that makes the networks gives out one network for several members and changes its "
                    "numbers in between: make a network for each."
                )
        known: dict[int, tuple[Task, str]] = {}
        for task, mark in [] if self.one_task else self.tasks:
            now = known.setdefault(id(task), (task, task_mark(task, {})))[1]
            if now != mark:
                raise BadInput(
                    f"the task {task.name!r} of one member changed when another's was made: give each its own arrays."
                )


def _knobs(module: Any) -> Mapping[str, Knob]:
    return module.knobs if isinstance(module, Tunable) else {}


def _check_free(found: Sequence[Job], grid: Grid | Scatter, making: _Making) -> None:
    """Raise ``BadInput`` for an axis for a user's functions alone that they do not read, or that changes nothing."""
    known = {*Recipe.model_fields, *found[0].task.knobs, *_knobs(found[0].module)}
    for axis in {name for job in found for name in job.member.knobs} - known:
        made_of: dict[Any, dict[Any, set[tuple[str, str]]]] = {}  # of members alike but for it, what each value made
        for job in found:
            others = tuple(pair for pair in job.member.knobs.items() if pair[0] != axis)
            alike = (job.member.seed, () if isinstance(grid, Scatter) else others)
            values = made_of.setdefault(alike, {})
            values.setdefault(job.member[axis], set()).add((job.marks.learner, job.marks.task))
        varied = [values for values in made_of.values() if len(values) > 1]
        idle = varied and all(len(set().union(*values.values())) == 1 for values in varied)
        if idle or (not varied and not making.reads(axis, found[0].member)):
            raise BadInput(
                f"the grid axis {axis!r} changes neither networks nor data: let a function of the member read it, or "
                f"leave it out{nearest(axis, sorted(known - set(FIXED)))}"
            )


def _check_parameters(found: Sequence[Job]) -> None:
    """Raise ``BadInput`` where an axis is called as the dataset calls a parameter's own dimension."""
    axes = {name for job in found for name in job.member.knobs}
    if not any(re.fullmatch(r".*_(\d+|flat|axis)", name) for name in axes):
        return
    for module in {id(job.module): job.module for job in found}.values():
        for name, parameter in (*module.named_parameters(), *module.named_buffers()):
            own = {f"{name}_{part}" for part in (*range(parameter.ndim), "flat", "axis")} & axes
            if own:
                raise BadInput(
                    f"a grid axis is called {min(own)!r}, as the dataset calls a dimension of {name!r}: rename it."
                )


def _tuned(module: nn.Module, member: Member, *, copy: bool = False) -> nn.Module:
    """Return a network with the member's own knobs set, where it has any."""
    own = {name: member[name] for name in _knobs(module) if name in member.knobs}
    changed = copied(module) if own and copy else module
    if own and isinstance(changed, Tunable):
        changed.with_knobs(own)
    return changed


def _check_axes(member: Member, module: nn.Module, task: Task, *, free: bool) -> None:
    fixed = [name for name in member.knobs if name in FIXED]
    if fixed:
        raise BadInput(f"grid axis {fixed[0]!r} can not differ within one grid: set it in the recipe.")
    known = {*Recipe.model_fields, *task.knobs, *_knobs(module)} - set(FIXED)
    for name in member.knobs:
        if name not in known and not free:
            raise BadInput(f"nobody knows the grid axis {name!r}{nearest(name, known)}")
