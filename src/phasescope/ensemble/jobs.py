"""From (learner, task, grid, recipe) to one job per member: the unit of work, a pure function of its description."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from phasescope.ensemble.streams import streams
from phasescope.vocabulary import BadInput, Draw, Grid, Instrument, Knob, Member, Recipe, Scatter, Task, nearest

LearnerLike = nn.Module | Callable[[Member], nn.Module]
TaskLike = Task | Callable[[Member], Task]
FIXED = ("steps", "records", "first_record", "dtype")
AUTOINIT = ("inspection/autoinit.py", "inspection/autoinit_jacobians.py")  # a study draws first weights with it
ROOMS = ("ensemble", "instruments", "learners", "losses.py", "tasks", *AUTOINIT, "vocabulary.py")


@dataclass(frozen=True)
class Job:
    """One network to train: who, what, how, and what to read. ``module`` carries the member's own numbers."""

    member: Member
    module: nn.Module
    task: Task
    recipe: Recipe
    watch: tuple[Instrument, ...]
    at_end: tuple[Instrument, ...]
    engine: str

    def draw(self) -> Draw:
        """Return what this member learns from."""
        return self.task.draw(self.member, streams(self.member.seed))

    @cached_property
    def shape_key(self) -> str:
        """Jobs with equal keys can be stacked: same learner, task, loss, optimizer and row count."""
        recipe, knobs = self.recipe, getattr(self.module, "knobs", {})
        learner = {name: value for name, value in describe(self.module).items() if name not in knobs}
        count = getattr(self.task, "train_count", lambda member: 0)(self.member)
        key = (learner, self.task.describe(), recipe.loss, recipe.optimizer, recipe.batch, count)
        return repr((*key, recipe.dtype))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that changes the result, as plain data; its hash names the record."""
        return {
            "learner": describe(self.module),
            "task": self.task.describe(),
            "recipe": self.recipe.model_dump(mode="json"),
            # the task's own numbers too: two tables may differ in nothing but their train fraction
            "knobs": {name: plain(value) for name, value in {**self.task.knobs, **self.member.knobs}.items()},
            "seed": self.member.seed,
            "watch": [_reads(instrument) for instrument in self.watch],
            "at_end": [_reads(instrument) for instrument in self.at_end],
            "engine": self.engine,
            "code": code_fingerprint(),
            "libraries": libraries(),
        }


def _reads(instrument: Instrument) -> Any:
    # the same instrument at other places along its own dimensions is another reading
    places = {dim: [plain(value) for value in values] for dim, values in instrument.coords.items()}
    return [instrument.name, places] if places else instrument.name


def plain(value: Any) -> Any:
    """Return a knob as records have it: numbers as floats."""
    # a grid over (0, 1) and one over (0.0, 1.0) hold the same members
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


@cache
def libraries() -> dict[str, str]:
    """Return the versions of the libraries whose arithmetic decides the last bits."""
    # once for all members: each look-up reads the library's files
    return {name: metadata.version(name) for name in ("torch", "numpy", "numba")}


@cache
def code_fingerprint(rooms: tuple[str, ...] = ROOMS) -> str:
    """Return a hash of the rooms' source: by default what can change a trained number, so no reports, no studies."""
    home = Path(__file__).parent.parent
    files = sorted(file for room in rooms for file in ([home / room] if "." in room else (home / room).glob("*.py")))
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()[:16]


def describe(module: nn.Module) -> dict[str, Any]:
    """Return the learner's own description, or its class, printed form and source for a user's module."""
    own = getattr(module, "describe", None)
    if own is not None:
        return dict(own())
    try:
        source = inspect.getsource(type(module))
    except (OSError, TypeError):
        source = ""
    return {
        "learner": f"{type(module).__module__}.{type(module).__qualname__}",
        "printed": repr(module),
        "source": hashlib.sha256(source.encode()).hexdigest()[:16],
        "shapes": {name: list(value.shape) for name, value in module.named_parameters()},
    }


def jobs(
    learner: LearnerLike,
    task: TaskLike,
    grid: Grid | Scatter,
    recipe: Recipe,
    watch: Sequence[Instrument] = (),
    at_end: Sequence[Instrument] = (),
    engine: str = "",
) -> list[Job]:
    """Return one job per member of the grid, in the grid's order. Raises ``BadInput`` for an axis nobody knows."""
    made: dict[str, nn.Module] = {}

    def module_of(member: Member) -> nn.Module:
        module = learner if isinstance(learner, nn.Module) else learner(member)
        own = {name: member[name] for name in getattr(module, "knobs", {}) if name in member.knobs}
        key = repr((describe(module), sorted(own.items())))
        if key not in made:
            made[key] = _with_knobs(module, own)
        return made[key]

    found = []
    for member in grid:
        module = module_of(member)
        its_task: Any = task(member) if _is_factory(task) else task  # type: ignore[operator]
        _check_axes(member, module, its_task, free=_is_factory(task) or not isinstance(learner, nn.Module))
        own = {name: member[name] for name in Recipe.model_fields if name in member.knobs}
        its_recipe = Recipe(**{**recipe.model_dump(), **own})
        if hasattr(its_task, "batch") and its_recipe.batch is None:
            raise BadInput("batch is None: a task that samples fresh data needs a batch size in its recipe.")
        found.append(Job(member, module, its_task, its_recipe, tuple(watch), tuple(at_end), engine))
    return found


def _is_factory(task: TaskLike) -> bool:
    return not hasattr(task, "draw")


def _with_knobs(module: nn.Module, own: Mapping[str, Knob]) -> nn.Module:
    if not own:
        return module
    changed = copy.deepcopy(module)
    changed.with_knobs(own)  # type: ignore[operator]
    return changed


def _check_axes(member: Member, module: nn.Module, task: Task, *, free: bool) -> None:
    fixed = [name for name in member.knobs if name in FIXED]
    if fixed:
        raise BadInput(f"grid axis {fixed[0]!r} can not differ within one grid: set it in the recipe.")
    known = {*Recipe.model_fields, *task.knobs, *getattr(module, "knobs", {})} - set(FIXED)
    for name in member.knobs:
        if name not in known and not free:
            raise BadInput(f"nobody knows the grid axis {name!r}{nearest(name, known)}")
