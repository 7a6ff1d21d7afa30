"""What a study costs on this machine, estimated from a few steps and readings of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from phasescope.ensemble import Simulation, measure, streams, train
from phasescope.ensemble.cores import threads
from phasescope.ensemble.plan import cores
from phasescope.ensemble.schedule import record_steps
from phasescope.lab.study import Experiment, Work, budget_of
from phasescope.vocabulary import Grid, Instrument, Recipe

#: A simulation's numbers, work, and seconds a member, by name.
Known = dict[str, tuple[dict[str, Any], float, float]]
PROBE_SECONDS, LONG_SECONDS = 0.5, 20.0


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
    with threads(1) as pool:  # as a run measures it
        pool.submit(e.measure, e.member(member), streams(member.seed)).result()
    known[name] = (dict(e.fixed), e.work, time.perf_counter() - started)
    return known[name][2] * len(e.grid) / cores()


def reading(name: str, e: Work, known: Known) -> float:
    """Estimate the seconds that an experiment's readings take, from one reading of one network."""
    if isinstance(e, Simulation):
        return _simulating(name, e, known)
    if not isinstance(e, Experiment):
        return 0.0  # nobody knows what an experiment of another kind costs

    def spent_on(watch: Sequence[Instrument]) -> float:
        started = time.perf_counter()
        measure(e.learner, e.task, _one_cell(e, 1), watch)
        return time.perf_counter() - started

    def settled(watch: Sequence[Instrument]) -> float:
        first = spent_on(watch)  # the first call imports and compiles, seconds on a busy machine; each reading does not
        return first if first > LONG_SECONDS else min(first, spent_on(watch))

    if e.recipe is None:
        return settled(e.at_end) * len(e.grid)
    each = max(settled(e.watch) - spent_on(()), 0.0)  # training prepares a network once, not at each reading
    return each * len(e.grid) * len(record_steps(e.recipe)) / cores()


def training(experiments: Mapping[str, Work]) -> float:
    """Estimate a study's seconds of training from a few steps of two networks of its largest experiment."""
    trained = {name: e for name, e in experiments.items() if isinstance(e, Experiment) and e.recipe is not None}
    if not trained:
        return 0.0
    largest = max(trained.values(), key=lambda e: e.budget)
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
    return max(spent - start, 0.0) / (2 * steps) * budget_of(trained)
