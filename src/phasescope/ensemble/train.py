"""``train``: a whole grid of networks in one call, resumable, with the fate of every member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
import xarray as xr

from phasescope.checks import function
from phasescope.ensemble import fused, plan
from phasescope.ensemble.choice import Choice, chosen_for
from phasescope.ensemble.door import check_networks, whole_number
from phasescope.ensemble.errands import Elsewhere
from phasescope.ensemble.executors import executor_named, local_processes
from phasescope.ensemble.jobs import Job, LearnerLike, TaskLike, jobs
from phasescope.ensemble.kept import kept_steps
from phasescope.ensemble.results import to_dataset
from phasescope.ensemble.run import Progress, Run
from phasescope.ensemble.slices import named
from phasescope.ensemble.tile import Prepared
from phasescope.errors import shown
from phasescope.vocabulary import (
    BadInput,
    Grid,
    Instrument,
    Keeper,
    Recipe,
    Scatter,
    nearest,
)

Engine = Literal["auto", "fused", "looped", "stacked", "traced", "compiled"]


def device_named(name: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``; raise ``BadInput`` when it is not there."""
    if not isinstance(name, str) or name not in ("auto", "cpu", "cuda"):
        raise BadInput(f"device is {shown(name)}: choose auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("device is 'cuda', but this machine has no CUDA device that torch can use: choose cpu or auto.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def on_processors(device: str) -> str:
    """Return the device of work that is done elsewhere. Raises ``BadInput`` for "cuda"."""
    if device == "cuda":
        raise BadInput("device is 'cuda', and what an executor does is done on processors: choose cpu or auto.")
    return "cpu"


def train(
    learner: LearnerLike,
    task: TaskLike,
    grid: Grid | Scatter,
    recipe: Recipe,
    watch: Sequence[Instrument] = (),
    *,
    at_end: Sequence[Instrument] = (),
    device: str = "auto",
    engine: Engine = "auto",
    tile: int | None = None,
    workers: int | None = None,
    keep: Sequence[int] | Literal["all"] = (),
    keeper: Keeper | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint_every: float = 5.0,
    executor: Any = None,
) -> xr.Dataset:
    """Train every member of ``grid`` and return one labelled dataset, as ``ps.train`` does, whose words are the same.

    Nothing is shown, nothing is recorded that ``watch`` does not name, and only a ``keeper`` keeps what is finished: a
    member found there is not trained again. Raises ``BadInput``, and ``Interrupted`` after Ctrl-C.
    """
    check_call(keeper, on_progress, checkpoint_every)
    elsewhere = executor_named(executor, workers) if executor is not None else None
    device = device if elsewhere is None else on_processors(device)
    prepared = Prepared()
    chosen = planned(
        learner, task, grid, recipe, watch, at_end=at_end, device=device, engine=engine, tile=tile, workers=workers,
        keep=keep, keeper=keeper, prepared=prepared,
    )  # fmt: skip
    return trained(
        chosen, grid, device=device, workers=workers, keeper=keeper, on_progress=on_progress,
        checkpoint_every=checkpoint_every, prepared=prepared, executor=elsewhere,
    )  # fmt: skip


def check_call(keeper: Any, on_progress: Any, checkpoint_every: Any) -> None:
    """Raise ``BadInput`` for what no call can be kept by, told to, or saved after."""
    if not (isinstance(checkpoint_every, int | float) and checkpoint_every >= 0):
        raise BadInput(f"checkpoint_every is {checkpoint_every!r}: give seconds, a number of at least 0.")
    if on_progress is not None:
        function("on_progress", on_progress)
    if keeper is not None and (isinstance(keeper, type) or not isinstance(keeper, Keeper)):
        raise BadInput(f"keeper is {shown(keeper)}: give a ps.Store(folder), or leave it out.")


def trained(
    chosen: Sequence[Job],
    grid: Grid | Scatter,
    *,
    device: str = "auto",
    workers: int | None = None,
    keeper: Keeper | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint_every: float = 5.0,
    prepared: Prepared | None = None,
    executor: Elsewhere | None = None,
) -> xr.Dataset:
    """Return the dataset of ``train`` from its jobs, as ``planned`` made them of ``grid`` for the same ``device``."""
    run = Run(chosen, keeper, on_progress, checkpoint_every)
    if executor is None and len(run.left) > 1 and any(job.apart for job in run.left):
        executor = local_processes(workers or plan.cores())
    if chosen[0].way == "fused":
        run.fused(workers or plan.cores(), executor)
    else:
        run.tiles(device_named(device), workers or plan.cores(), prepared or Prepared(), executor)
    run.on_progress(run.progress)
    losses = {job.recipe.loss for job in chosen}
    return to_dataset(grid, chosen[0].watch, chosen[0].at_end, [run.found[i] for i in range(len(chosen))], losses)


def planned(
    learner: LearnerLike,
    task: TaskLike,
    grid: Grid | Scatter,
    recipe: Recipe,
    watch: Sequence[Instrument] = (),
    *,
    at_end: Sequence[Instrument] = (),
    device: str = "auto",
    engine: Engine | None = None,
    tile: int | None = None,
    workers: int | None = None,
    keep: Sequence[int] | Literal["all"] = (),
    keeper: Keeper | None = None,
    prepared: Prepared | None = None,
) -> list[Job]:
    """Return the jobs that ``train`` would do, checked: everything that can be refused is refused here.

    Without ``engine``, it is the fused one where it can be and the stacked one otherwise, whatever is faster: so
    that a measurement never changes a published number.
    """
    check_engine(device, engine, tile, workers)
    found = jobs(learner, task, grid, recipe, watch, at_end)
    steps = kept_steps(keep, recipe)
    found = [replace(job, keep=steps) for job in found] if steps else found
    return engines_chosen(
        found, device=device, engine=engine, tile=tile, workers=workers, keeper=keeper, prepared=prepared
    )


def check_engine(device: str, engine: Any, tile: Any, workers: Any) -> None:
    """Raise ``BadInput`` for an engine that there is not, and for sizes that are no whole numbers."""
    device_named(device)
    if engine is not None and (not isinstance(engine, str) or engine not in get_args(Engine)):
        raise BadInput(f"engine is {shown(engine)}{nearest(str(engine), get_args(Engine))}")
    for name, value in (("workers", workers), ("tile", tile)):
        if value is not None:
            whole_number(name, value)


def engines_chosen(
    chosen: list[Job],
    *,
    device: str = "auto",
    engine: Engine | None = None,
    tile: int | None = None,
    workers: int | None = None,
    keeper: Keeper | None = None,
    prepared: Prepared | None = None,
) -> list[Job]:
    """Return the jobs with the engine of each; see ``planned``, which makes them too."""
    where = device_named(device)
    able = where.type == "cpu" and all(fused.supports(job) for job in chosen)
    if engine == "fused" and not able:
        raise BadInput(
            "engine is 'fused', which needs the CPU, a learner with a fused step, a table of class labels, and a "
            "recipe without schedules, clipping and functions of one's own."
        )
    several = workers or plan.cores()
    if engine == "fused" or (able and engine in (None, "auto")):
        check_networks(chosen, side_by_side=False)
        plan.check_memory(chosen, "fused", several, where)
        return [replace(job, engine=f"fused-{where.type}") for job in chosen]
    return _with_engines(chosen, where, engine or "stacked", tile, several, keeper, prepared or Prepared())


def _with_engines(
    chosen: list[Job],
    device: torch.device,
    engine: str,
    tile: int | None,
    workers: int,
    keeper: Keeper | None,
    prepared: Prepared,
) -> list[Job]:
    """Return the jobs with the engine of each, and with what it was chosen by."""
    if engine == "auto" and device.type != "cpu":
        engine = "stacked"
    if engine in ("looped", "stacked"):
        check_networks(chosen, side_by_side=engine == "stacked")
        plan.check_memory(chosen, "stacked", workers if engine == "looped" else 1, device)
        size = 1 if engine == "looped" else tile
        own = engine if size is None or engine == "looped" else f"{engine}-{size}"
        return [replace(job, engine=f"{own}-{device.type}", tile=size) for job in chosen]
    check_networks(chosen, side_by_side=False)
    plan.check_memory(chosen, "stacked", workers, device)
    bundles: dict[str, list[Job]] = {}
    for job in chosen:
        bundles.setdefault(job.shape_key, []).append(job)
    choices: dict[str, Choice] = {}
    alike: dict[str, Choice] = {}
    for key, bundle in bundles.items():
        known = alike.get(bundle[0].marks.shape)
        with named(bundle):
            choices[key] = chosen_for(bundle, device, engine, tile, workers, keeper, prepared, known)
        alike.setdefault(bundle[0].marks.shape, choices[key])
    made = []
    for job in chosen:
        choice = choices[job.shape_key]
        own = f"{choice.engine}-{choice.size}-{device.type}"
        made.append(replace(job, engine=own, tile=choice.size, choice=str(choice), apart=choice.apart))
    return made
