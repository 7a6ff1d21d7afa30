"""``measure``: read the instruments on untrained members, analytic networks above all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from phasescope.ensemble import plan
from phasescope.ensemble.cores import on_cores
from phasescope.ensemble.door import check_answers
from phasescope.ensemble.errands import Elsewhere, Errand, cut, run_errands, unbundled
from phasescope.ensemble.executors import executor_named
from phasescope.ensemble.jobs import Job, LearnerLike, TaskLike, jobs
from phasescope.ensemble.kept import load, same_members, weights_of
from phasescope.ensemble.losses import loss_of
from phasescope.ensemble.reading import read, subject, tensors
from phasescope.ensemble.results import from_record, steps_kept, to_dataset, to_record
from phasescope.ensemble.slices import check_job, check_surroundings, in_turn
from phasescope.vocabulary import Array, Fate, Grid, Instrument, Recipe, Scatter, Trajectory

SECONDS = 5.0  # a bundle that is read elsewhere comes back after so many


def to_measure(
    learner: LearnerLike,
    task: TaskLike,
    grid: Grid | Scatter,
    watch: Sequence[Instrument] = (),
    *,
    loss: Literal["mse", "cross_entropy"] | Callable[[Tensor, Tensor], Tensor] = "mse",
) -> list[Job]:
    """Return the jobs that ``measure`` would do, checked: everything that can be refused is refused here."""
    chosen = jobs(learner, task, grid, Recipe(steps=1, loss=loss), at_end=watch)
    check_answers(chosen)
    plan.check_memory(chosen, "measure", 1, torch.device("cpu"))
    return chosen


def measure(
    learner: LearnerLike,
    task: TaskLike,
    grid: Grid | Scatter,
    watch: Sequence[Instrument],
    *,
    loss: Literal["mse", "cross_entropy"] | Callable[[Tensor, Tensor], Tensor] = "mse",
    weights: xr.Dataset | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """Return what the instruments read on every member of ``grid`` as it is initialized; nothing is trained.

    The dataset has the grid's axes and ``seed`` as dimensions. Axes may be knobs of the learner or of the task. With
    ``weights``, what ``train(..., keep=...)`` returned for the same learner, task and grid, the networks are read as
    they were at each kept step, the dimension ``step``, on this machine; a reading is NaN after its member has left.
    ``executor``: as ``train`` has it. Raises ``BadInput`` where the weights are those of other networks or of another
    grid.
    """
    elsewhere = executor_named(executor) if executor is not None else None
    found = to_measure(learner, task, grid, watch, loss=loss)
    return measured(found, grid, watch, executor=elsewhere, weights=weights)


def measured(
    chosen: Sequence[Job],
    grid: Grid | Scatter,
    watch: Sequence[Instrument],
    workers: int | None = None,
    executor: Elsewhere | None = None,
    weights: xr.Dataset | None = None,
) -> xr.Dataset:
    """Return the dataset of ``measure`` from its jobs, as ``to_measure`` made them of ``grid``.

    Members are read on different cores, each on one, as far as memory goes round.
    """
    if weights is not None:
        steps_kept(weights)
        same_members(weights, grid)
    if executor is None or weights is not None:
        places = _read_here(chosen, grid, watch, workers, weights)
    else:
        places = _read_elsewhere(chosen, executor)
    found = [places[place] for place in range(len(chosen))]
    watched, at_end = ((), watch) if weights is None else (watch, ())
    losses = {job.recipe.loss for job in chosen}
    data_set = to_dataset(grid, watched, at_end, found, losses).drop_vars(["fate", "last_step"])  # nothing was trained
    return data_set[[instrument.name for instrument in watch]]


def _read_here(
    chosen: Sequence[Job],
    grid: Grid | Scatter,
    watch: Sequence[Instrument],
    workers: int | None,
    weights: xr.Dataset | None,
) -> dict[int, Trajectory]:
    cpu = torch.device("cpu")
    largest = max(plan.bytes_per_member(job, "measure") for job in {job.shape_key: job for job in chosen}.values())
    several = max(min(workers or plan.cores(), plan.free_memory(cpu) // max(largest, 1)), 1)
    places: dict[int, Trajectory] = {}

    def work(place: int) -> None:
        if not stopped:
            if weights is None:
                places[place] = _read(chosen[place], chosen[place].begun(), watch)
            else:
                places[place] = _read_kept(chosen[place], list(weights_of(weights, grid, place)), watch)

    stopped: list[bool] = []
    on_cores(work, range(len(chosen)), int(several), lambda: None, lambda: stopped.append(True))
    return places


def _read_elsewhere(chosen: Sequence[Job], elsewhere: Elsewhere) -> dict[int, Trajectory]:
    found: dict[int, Trajectory] = {}

    def errand(places: range) -> Errand:
        def arguments(left: Sequence[int]) -> tuple[Any, ...]:
            return {i: chosen[i] for i in left}, chosen[0].identity, max(elsewhere.seconds, SECONDS)

        def take(arrays: dict[str, Array], facts: dict[str, Any]) -> tuple[Any, ...] | None:
            for key, record in unbundled(arrays, facts).items():
                found[int(key)] = from_record(chosen[int(key)].member, *record)
            left = [i for i in places if i not in found]
            return arguments(left) if left else None

        return Errand(read_slice, arguments(places), take, f"reading {chosen[places[0]].member}")

    run_errands(elsewhere, [errand(places) for places in cut(len(chosen), elsewhere)], lambda: None)
    return found


def read_slice(jobs: Mapping[int, Job], identity: Any, seconds: float) -> bytes:
    """Return the records of those of ``jobs`` that are read within ``seconds``, as ``bundled``.

    ``identity`` is that of a job where it was made: raises ``OtherCode`` where the code here gives other numbers.
    """
    check_surroundings(identity)
    for job in jobs.values():
        check_job(job)
    return in_turn(
        lambda place: to_record(_read(jobs[place], jobs[place].begun(), jobs[place].at_end)), list(jobs), seconds
    )


def _read_kept(job: Job, kept: Sequence[tuple[int, dict[str, Array]]], watch: Sequence[Instrument]) -> Trajectory:
    """Read a member at each step at which its weights were kept."""
    each = [_read(job, load(job.begun(), own), watch).ends for _, own in kept]
    readings = {name: np.stack([one[name] for one in each]) for name in (each[0] if each else ())}
    steps = np.array([step for step, _ in kept], dtype=np.int64)
    return Trajectory(job.member, steps, readings, {}, {}, Fate.OUT_OF_STEPS, 0, 0.0)


def _read(job: Job, module: nn.Module, watch: Sequence[Instrument]) -> Trajectory:
    stacks = [
        {name: value.detach()[None] for name, value in part.items()}
        for part in (dict(module.named_parameters()), dict(module.named_buffers()))
    ]
    data = tensors(job.draw(), torch.device("cpu"), _precision(module))
    seen = subject(
        module, stacks[0], stacks[1], {name: value[None] for name, value in data.items()}, loss_of(job.recipe)
    )
    readings: dict[str, Array] = {name: value[0] for name, value in read(watch, seen).items()}
    return Trajectory(job.member, torch.zeros(1).numpy(), {}, readings, {}, Fate.OUT_OF_STEPS, 0, 0.0)


def _precision(module: nn.Module) -> torch.dtype:
    """Return float64 for a network whose weights are all of that kind, as one that is loaded may be, else float32."""
    dtypes = {p.dtype for p in module.parameters() if p.is_floating_point()}
    return torch.float64 if dtypes == {torch.float64} else torch.float32
