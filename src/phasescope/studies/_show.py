"""What ``phasescope show`` prints of a study."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from phasescope.ensemble import train
from phasescope.studies._lab import steps_of
from phasescope.studies._registry import study_named
from phasescope.studies._study import Experiment, Study
from phasescope.vocabulary import Grid, Recipe

PROBE_SECONDS = 0.5


def shown(name: str) -> RenderableType:
    """Return a study's question, paper, settings, claims with sources, and its cost on this machine."""
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
        _costs(study),
        Text(),
        _claims(study, first),
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


def _costs(study: Study) -> Table:
    table = Table(
        "scale", "experiments", "networks", "steps if none leaves early", "estimate on this machine", box=None
    )
    for name, settings in study.scales.items():
        experiments = study.experiments(settings)
        trained = {k: e for k, e in experiments.items() if e.recipe}
        networks = sum(len(e.grid) for e in trained.values())
        table.add_row(
            name,
            str(len(experiments)),
            f"{networks:,}",
            f"{steps_of(trained):,}",
            f"at most {_minutes(_seconds(trained))}",
        )
    return table


def _seconds(experiments: dict[str, Experiment]) -> float:
    """Estimate a study's training time from a few steps of one network of its largest experiment."""
    largest = max(experiments.values(), key=lambda e: steps_of({"": e}))
    knobs = {axis: values[-1:] for axis, values in largest.grid.axes.items()}
    if largest.recipe is None:
        return 0.0

    def spent_on(steps: int) -> float:
        free = {"steps": steps, "records": 2, "overtime": float("inf"), "patience": float("inf")}
        started = time.perf_counter()
        train(largest.learner, largest.task, Grid(knobs, seeds=2), Recipe(**{**recipe.model_dump(), **free}))
        return time.perf_counter() - started

    recipe = largest.recipe
    start = min(spent_on(2), spent_on(2))  # the first call compiles
    steps, spent = 8, 0.0
    while spent < PROBE_SECONDS and steps < recipe.steps:
        steps *= 2
        spent = spent_on(steps)
    return max(spent - start, 0.0) / (2 * steps) * steps_of(experiments)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
