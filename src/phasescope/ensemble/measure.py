"""``measure``: read the instruments on untrained members, analytic networks above all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import xarray as xr

from phasescope.ensemble import plan
from phasescope.ensemble.cores import on_cores
from phasescope.ensemble.door import check_answers
from phasescope.ensemble.jobs import Job, LearnerLike, TaskLike, jobs
from phasescope.ensemble.losses import loss_of
from phasescope.ensemble.reading import read, subject, tensors
from phasescope.ensemble.results import to_dataset
from phasescope.vocabulary import Array, Fate, Grid, Instrument, Recipe, Scatter, Trajectory


def to_measure(
    learner: LearnerLike,
    task: TaskLike,
    grid: Grid | Scatter,
    watch: Sequence[Instrument] = (),
    *,
    loss: Literal["mse", "cross_entropy"] = "mse",
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
    loss: Literal["mse", "cross_entropy"] = "mse",
) -> xr.Dataset:
    """Return what the instruments read on every member of ``grid`` as it is initialized; nothing is trained.

    The dataset has the grid's axes and ``seed`` as dimensions. Axes may be knobs of the learner or of the task.
    """
    return measured(to_measure(learner, task, grid, watch, loss=loss), grid, watch)


def measured(
    chosen: Sequence[Job], grid: Grid | Scatter, watch: Sequence[Instrument], workers: int | None = None
) -> xr.Dataset:
    """Return the dataset of ``measure`` from its jobs, as ``to_measure`` made them of ``grid``.

    Members are read on different cores, each on one, as far as memory goes round.
    """
    cpu = torch.device("cpu")
    largest = max(plan.bytes_per_member(job, "measure") for job in {job.shape_key: job for job in chosen}.values())
    several = max(min(workers or plan.cores(), plan.free_memory(cpu) // max(largest, 1)), 1)
    places: dict[int, Trajectory] = {}

    def work(place: int) -> None:
        if not stopped:
            places[place] = _read(chosen[place], watch)

    stopped: list[bool] = []
    on_cores(work, range(len(chosen)), int(several), lambda: None, lambda: stopped.append(True))
    found = [places[place] for place in range(len(chosen))]
    data_set = to_dataset(grid, (), watch, found).drop_vars(["fate", "last_step"])  # nothing was trained
    return data_set[[instrument.name for instrument in watch]]


def _read(job: Job, watch: Sequence[Instrument]) -> Trajectory:
    module = job.begun()
    stacks = [
        {name: value.detach()[None] for name, value in part.items()}
        for part in (dict(module.named_parameters()), dict(module.named_buffers()))
    ]
    data = tensors(job.draw(), torch.device("cpu"), torch.float32)
    seen = subject(
        module, stacks[0], stacks[1], {name: value[None] for name, value in data.items()}, loss_of(job.recipe)
    )
    readings: dict[str, Array] = {name: value[0] for name, value in read(watch, seen).items()}
    return Trajectory(job.member, torch.zeros(1).numpy(), {}, readings, {}, Fate.OUT_OF_STEPS, 0, 0.0)
