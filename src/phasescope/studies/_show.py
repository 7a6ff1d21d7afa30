"""What ``phasescope show`` prints of a study."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from phasescope.ensemble import Simulation, measure, streams, train
from phasescope.ensemble.plan import cores
from phasescope.ensemble.schedule import record_steps
from phasescope.ensemble.train import one_core
from phasescope.studies._lab import steps_of
from phasescope.studies._registry import study_named
from phasescope.studies._study import Experiment, Study
from phasescope.vocabulary import Grid, Instrument, Recipe

Known = dict[str, tuple[dict[str, Any], float, float]]  # a simulation's numbers, work, and seconds a member, by name
PROBE_SECONDS, WARM_SECONDS = 0.5, 0.3


def shown(name: str, *, estimate: bool = False) -> RenderableType:
    """Return a study's question, paper, settings, claims with sources, and its cost on this machine.

    A study that trains is timed by a few steps. One that simulates is timed only to ``estimate``: a network of each
    part is measured whole, which may take minutes.
    """
    study = study_named(name)
    first = next(iter(study.scales.values()))
    paper = study.paper
    return Group(
        Text(study.title, style="bold"),
        Text(study.question),
        Text(f"{paper.authors} {paper.year}, {paper.title}, {paper.link}"),
        Text(study.notes),
        Text(),
        _settings(study),
        Text(),
        _costs(study, estimate),
        Text(),
        _claims(study, first),
        Text(_maps(study, first)),
    )


def _maps(study: Study, settings: Any) -> str:
    """Return what a phase map of the study can be drawn over and by."""
    if study.mapped is None:
        return "No phase maps: the study names no order parameter."
    e = study.mapped(settings)
    own = [name for part in (e.task, e.learner) for name in getattr(part, "knobs", {})]
    knobs = dict.fromkeys([*e.grid.axes, *own, "lr", "weight_decay", "batch"])
    orders = dict.fromkeys([*(order.name for order in study.orders), "fate"])
    return (
        f"Phase maps (phasescope map {study.name} --x KNOB=LOW:HIGH --y KNOB=LOW:HIGH --by ORDER) of: {e.title}. "
        f"Knobs: {', '.join(knobs)}, and every other number of a recipe. Order parameters: {', '.join(orders)}."
    )


def _settings(study: Study) -> Table:
    table = Table("setting", *study.scales, box=None)
    dumps = [s.model_dump(mode="json") for s in study.scales.values()]
    for name in dumps[0]:
        table.add_row(name, *(str(dump[name]) for dump in dumps))
    return table


def _claims(study: Study, settings: Any) -> Table:
    table = Table("claim", "sentence", "source", "expected", "control", box=None, padding=(0, 2, 1, 0))
    for c in study.claims(settings):
        table.add_row(c.id, c.sentence, c.source, str(c.expected), c.control.sentence)
    return table


def _costs(study: Study, estimate: bool) -> Table:
    table = Table(
        "scale", "experiments", "networks", "steps if none leaves early", "estimate on this machine", box=None
    )
    known: Known = {}
    for name, settings in study.scales.items():
        experiments = study.experiments(settings)
        networks = sum(len(e.grid) for e in experiments.values())
        cost = "to be had by --estimate"
        if estimate or not any(isinstance(e, Simulation) for e in experiments.values()):
            seconds = _training(experiments) + sum(_reading(title, e, known) for title, e in experiments.items())
            cost = f"up to {_minutes(seconds)}"
        table.add_row(name, str(len(experiments)), f"{networks:,}", f"{steps_of(experiments):,}", cost)
    return table


def _one_cell(e: Experiment, seeds: int) -> Grid:
    return Grid({axis: values[-1:] for axis, values in e.grid.axes.items()}, seeds=seeds)


def _simulating(name: str, e: Simulation, known: Known) -> float:
    """Estimate the seconds that a simulation takes, from its last member, or from one at a scale before.

    The same numbers cost the same; others are scaled by their work, for a member at a paper's scale may take an hour.
    """
    if name in known:
        fixed, work, seconds = known[name]
        same = fixed == dict(e.fixed)
        if same or (e.work and work):
            return seconds * (1.0 if same else e.work / work) * len(e.grid) / cores()
    member = list(e.grid)[-1]
    started = time.perf_counter()
    with ThreadPoolExecutor(1, initializer=one_core) as pool:  # as a run measures it
        pool.submit(e.measure, e.member(member), streams(member.seed)).result()
    known[name] = (dict(e.fixed), e.work, time.perf_counter() - started)
    return known[name][2] * len(e.grid) / cores()


def _reading(name: str, e: Experiment | Simulation, known: Known) -> float:
    """Estimate the seconds that an experiment's readings take, from one reading of one network."""
    if isinstance(e, Simulation):
        return _simulating(name, e, known)

    def spent_on(watch: Sequence[Instrument]) -> float:
        started = time.perf_counter()
        measure(e.learner, e.task, _one_cell(e, 1), watch)
        return time.perf_counter() - started

    def settled(watch: Sequence[Instrument]) -> float:
        first = spent_on(watch)  # the first call warms up, which a long one hides
        return first if first > WARM_SECONDS else spent_on(watch)

    if e.recipe is None:
        return settled(e.at_end) * len(e.grid)
    each = max(settled(e.watch) - spent_on(()), 0.0)  # training prepares a network once, not at each reading
    return each * len(e.grid) * len(record_steps(e.recipe)) / cores()


def _training(experiments: Mapping[str, Experiment | Simulation]) -> float:
    """Estimate a study's seconds of training from a few steps of two networks of its largest experiment."""
    trained = {name: e for name, e in experiments.items() if isinstance(e, Experiment) and e.recipe is not None}
    if not trained:
        return 0.0
    largest = max(trained.values(), key=lambda e: steps_of({"": e}))
    recipe = largest.recipe or Recipe()

    def spent_on(steps: int) -> float:
        free = {"steps": steps, "records": 2, "first_record": 1, "overtime": float("inf"), "patience": float("inf")}
        started = time.perf_counter()
        train(largest.learner, largest.task, _one_cell(largest, 2), Recipe(**{**recipe.model_dump(), **free}))
        return time.perf_counter() - started

    start = min(spent_on(2), spent_on(2))  # the first call compiles
    steps, spent = 8, 0.0
    while spent < PROBE_SECONDS and steps < recipe.steps:
        steps *= 2
        spent = spent_on(steps)
    return max(spent - start, 0.0) / (2 * steps) * steps_of(trained)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
