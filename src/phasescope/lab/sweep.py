"""``train`` and ``simulate`` as users call them: with a folder that keeps and resumes, a bar, and facts in the data."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch
import xarray as xr
from torch import nn

from phasescope.checks import BadInput, flag, kind, optional
from phasescope.ensemble import Progress, Simulation, device_named
from phasescope.ensemble import simulate as simulated
from phasescope.ensemble.executors import executor_named
from phasescope.ensemble.jobs import Job, LearnerLike, TaskLike, jobs, plain
from phasescope.ensemble.kept import kept_steps
from phasescope.ensemble.marks import learner_marks, task_mark
from phasescope.ensemble.tile import Prepared
from phasescope.ensemble.train import Engine, check_call, check_engine, engines_chosen, on_processors, trained
from phasescope.errors import resumable
from phasescope.identity import fingerprint, full_name, surroundings
from phasescope.instruments import LEARNING
from phasescope.lab.bar import bar
from phasescope.lab.bench import provenance
from phasescope.lab.kept import Marks, finish, kept
from phasescope.lab.settings import folder_of
from phasescope.vocabulary import Grid, Instrument, Keeper, Member, Recipe, Scatter, Task

LIBRARIES = ("phasescope", "torch", "numpy")
FUNCTION = "a function of the member"


def train(
    learner: LearnerLike,
    task: TaskLike,
    grid: Grid | Scatter,
    recipe: Recipe,
    watch: Sequence[Instrument] | None = None,
    *,
    at_end: Sequence[Instrument] = (),
    out: str | Path | None = None,
    device: str = "auto",
    engine: Engine = "auto",
    tile: int | None = None,
    workers: int | None = None,
    keep: Sequence[int] | Literal["all"] = (),
    keeper: Keeper | None = None,
    progress: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint_every: float = 5.0,
    executor: Any = None,
) -> xr.Dataset:
    """Train every member of ``grid`` and return what the instruments of ``watch`` read, as one labelled dataset.

    ``learner``: any ``nn.Module`` written for one network, or a function of the member that makes one (for axes such as
    width). Parameters that need no gradient keep their values. ``task``: a table, a sampler, anything with the protocol
    ``Task``, or a function of the member. Axes of the grid may be numbers of the recipe, of the task or of the learner.
    ``watch`` is read along the way, by default ``instruments.LEARNING`` (losses and accuracies, training and test), and
    ``at_end`` once at the end.

    ``keep`` are recorded steps, or "all": the weights at these are kept as ``kept.<name>``, along a dimension ``kept``.
    ``final(data, step=..., seed=...)`` returns one member's, ``measure(..., weights=data)`` reads instruments on all.

    ``out`` is a folder that keeps what is finished: the same call goes on with what was stopped, and a call with other
    seeds or other values along the same axes trains only those that are not there. Where anything else has changed (the
    network, the data, the recipe, the number of steps, versions) it is refused, for no number there would be the same.
    The dataset is kept there too: ``ps.load(out)`` returns it. ``keeper`` is such a store opened by yourself.

    The dataset has the grid's axes, ``seed`` and ``step`` as dimensions (``member`` and ``step`` for a ``Scatter``); a
    reading is NaN after its member has left. ``fate``, ``fate_step``, ``seconds`` (per member), the readings of
    ``at_end``, and the final parameters (``final.<name>``; padded with NaN where members differ in shape, see
    ``ps.final``) stand beside the readings. Each variable has its ``units``, and ``data.attrs`` says, in plain text or
    JSON, the learner, task, recipe, seeds, device and versions, and the engine: by which timings it was chosen, and why
    others were left out.

    ``engine="auto"`` measures which one is fastest for these networks and keeps the choice with the run. ``"fused"`` is
    compiled code (CPU, learners with a fused step), the same bits whatever else is trained; ``"looped"`` is plain
    torch, one network per core; ``"stacked"``, ``"traced"`` and ``"compiled"`` train ``tile`` networks side by side.
    A bar shows how far it is, in terminals and notebooks (elsewhere a line every minute on the standard errors), unless
    ``progress=False``; ``on_progress`` takes its place.
    ``executor`` trains elsewhere than in threads: "processes" of this machine, "ray", "ray://host:port", "slurm" or a
    ``concurrent.futures.Executor``; a bundle whose worker is lost is trained again, with the same numbers.

    Raises ``BadInput`` for unknown axes, data and networks that do not fit or of which it can not be told what changes
    their numbers, missing devices, too little memory, and a folder that is in use, can not be written or holds
    something else; ``Interrupted`` after Ctrl-C.
    """
    check_call(keeper, on_progress, checkpoint_every)
    check_engine(device, engine, tile, workers)
    place, wanted = _folder(out, keeper), flag("progress", progress)
    elsewhere = None if executor is None else executor_named(executor, workers)
    device = device if elsewhere is None else on_processors(device)
    where, prepared, begun = device_named(device), Prepared(), time.monotonic()
    with resumable(kept=place is not None or keeper is not None), bar("training", "steps", wanted, on_progress) as tell:
        found = jobs(learner, task, grid, recipe, LEARNING if watch is None else watch, at_end)
        steps = kept_steps(keep, recipe)
        found = [replace(job, keep=steps) for job in found] if steps else found
        told = _training(learner, task, found[0], [engine, tile, where.type])
        again = partial(_made_again, learner, task, recipe, found)
        with kept(place, keeper, told, (_marked(job) for job in found), again) as store:
            chosen = engines_chosen(
                found, device=device, engine=engine, tile=tile, workers=workers, keeper=store, prepared=prepared
            )
            data = trained(
                chosen, grid, device=device, workers=workers, keeper=store, on_progress=tell,
                checkpoint_every=checkpoint_every, prepared=prepared, executor=elsewhere,
            )  # fmt: skip
            data.attrs = _facts_of_training(chosen, where)
            if place is not None:
                finish(store, data, grid, provenance(None, "", None, where, time.monotonic() - begun))
    return data


def simulate(
    simulation: Simulation,
    *,
    out: str | Path | None = None,
    workers: int | None = None,
    keeper: Keeper | None = None,
    progress: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """Measure every member of the simulation's grid by its function, and return the quantities as one dataset.

    This is how a training loop of your own, or any other function of a member, becomes a grid that is spread over the
    cores, kept, resumed, labelled and judged. Members run on different cores, each on one, and a member sees only its
    own streams: same seed, same bits, whatever runs beside it. ``out`` keeps what is finished, as in ``ps.train``: the
    same call goes on, other members are added, anything else is refused. ``progress`` and ``on_progress`` are as there.

    Raises ``Interrupted`` after Ctrl-C, ``BadInput`` where the function returns anything but its quantities and for a
    folder that can not be used; what the function raises itself is passed on.
    """
    check_call(keeper, on_progress, 0)
    kind(Simulation, say="a ps.Simulation(title, measure, grid, quantities)")("simulation", simulation)
    place, wanted, begun = _folder(out, keeper), flag("progress", progress), time.monotonic()
    with (
        resumable(kept=place is not None or keeper is not None),
        bar(simulation.title, "members", wanted, on_progress) as tell,
    ):
        told = _simulation(simulation)
        with kept(place, keeper, told) as store:
            data = simulated(simulation, keeper=store, workers=workers, on_progress=tell, executor=executor)
            data.attrs = {
                "simulation": simulation.title,
                "measure": told["measure"]["name"],
                "fixed": as_json(told["numbers"]),
                "seeds": as_json(_seeds(simulation.grid)),
                "versions": _versions(),
            }
            if place is not None:
                facts = provenance(None, "", None, torch.device("cpu"), time.monotonic() - begun)
                finish(store, data, simulation.grid, facts)
    return data


def _folder(out: Any, keeper: Keeper | None) -> Path | None:
    """Return the folder that keeps a call, or None. Raises ``BadInput``."""
    if out is not None and keeper is not None:
        raise BadInput("out and keeper are both given: the folder out is a keeper of its own; leave one of them out.")
    found: Path | None = optional(folder_of)("out", out)
    return None if found is None else found.absolute()  # a user's own code may go to another folder on the way


# -- what a run is -----------------------------------------------------------------------------------------------------


def _training(learner: LearnerLike, task: TaskLike, first: Job, asked: Sequence[Any]) -> dict[str, Any]:
    """Return what all members of a training share, as plain data: all of their identity but knobs, seed and engine.

    Of a function that makes networks or tasks nothing is told: members show whether it makes the same ones.
    """
    identity, own = first.identity, first.member.knobs
    given, one_task = isinstance(learner, nn.Module), isinstance(task, Task)
    return {
        "what": "training",
        "learner": {
            "name": identity["learner"]["name"] if given else FUNCTION,
            "is": learner_marks(learner, learner)[0] if isinstance(learner, nn.Module) else "",
        },
        "task": {
            "name": first.task.name if one_task else FUNCTION,
            "is": task_mark(task, {}) if isinstance(task, Task) else "",
        },
        "axes": sorted(own),
        "recipe": {name: value for name, value in identity["recipe"].items() if name not in own},
        "numbers": {name: v for name, v in identity["knobs"].items() if name not in own and one_task},
        **{name: identity[name] for name in ("functions", "watch", "at_end", "keep")},
        "engine": [str(part) for part in asked if part is not None],
        **{name: identity[name] for name in ("surroundings", "code")},
    }


def _simulation(simulation: Simulation) -> dict[str, Any]:
    """Return what all members of a simulation share."""
    return {
        "what": "simulation",
        "measure": {"name": full_name(simulation.measure), "is": fingerprint(simulation.measure)},
        "axes": sorted(next(iter(simulation.grid)).knobs),
        "numbers": dict(simulation.fixed),
        "quantities": [[q.name, q.unit, q.source, q.dims, dict(q.coords)] for q in simulation.quantities],
        "surroundings": surroundings(),
    }


def _marked(job: Job) -> tuple[Mapping[str, Any], int, Marks]:
    """Return a member's knobs as its record has them, its seed, and what it is made of."""
    knobs = {name: plain(value) for name, value in {**job.task.knobs, **job.member.knobs}.items()}
    return knobs, job.member.seed, {"learner": job.marks.learner, "task": job.marks.task}


def _made_again(
    learner: LearnerLike, task: TaskLike, recipe: Recipe, jobs_here: Sequence[Job], knobs: Mapping[str, Any], seed: int
) -> Marks:
    """Return what a member of a record, with its ``knobs`` and seed, is made of now, by the functions of this call."""
    axes = {name: [job.member[name] for job in jobs_here] for name in jobs_here[0].member.knobs}
    # records have whole numbers as floats, which make no layer's width
    whole = {name for name, values in axes.items() if all(type(value) is int for value in values)}
    own = {name: int(knobs[name]) if name in whole else knobs[name] for name in axes}
    return _marked(jobs(learner, task, Scatter([Member(own, seed)]), recipe)[0])[2]


# -- what the data say -------------------------------------------------------------------------------------------------


def _facts_of_training(chosen: Sequence[Job], device: torch.device) -> dict[str, str]:
    """Return the attributes of a training's dataset: plain text, and JSON, so that every file format can hold them."""
    first = chosen[0]
    recipe = {name: value for name, value in first.identity["recipe"].items() if name not in first.member.knobs}
    return {
        "learner": ", ".join(dict.fromkeys(full_name(type(job.module)) for job in chosen)),
        "task": ", ".join(dict.fromkeys(job.task.name for job in chosen)),
        "recipe": as_json(recipe),
        "seeds": as_json(_seeds([job.member for job in chosen])),
        "engine": _engines(chosen),
        "device": device.type,
        "versions": _versions(),
    }


def _engines(chosen: Sequence[Job]) -> str:
    """Return in words which engine trained, and how it was chosen; where networks differ in shape, a line for each."""
    counts: dict[str, int] = {}
    for job in chosen:
        name = job.way
        said = job.choice or (f"{name}, {job.tile} at a time" if job.tile else name)
        counts[said] = counts.get(said, 0) + 1
    return "\n".join(said if len(counts) == 1 else f"{count} members: {said}" for said, count in counts.items())


def _seeds(members: Grid | Scatter | Sequence[Member]) -> list[int]:
    return sorted({member.seed for member in members})


def _versions() -> str:
    return as_json({name: metadata.version(name) for name in LIBRARIES})


def as_json(value: Any) -> str:
    """Return plain data as JSON; the numbers that it lacks are the words "Infinity", "-Infinity" and "NaN".

    >>> as_json({"steps": 300, "patience": float("inf")})
    '{"steps": 300, "patience": "Infinity"}'
    """

    def worded(part: Any) -> Any:
        if isinstance(part, Mapping):
            return {name: worded(inner) for name, inner in part.items()}
        if isinstance(part, list | tuple):
            return [worded(inner) for inner in part]
        return json.dumps(part) if isinstance(part, float) and not math.isfinite(part) else part

    return json.dumps(worded(value), allow_nan=False)
