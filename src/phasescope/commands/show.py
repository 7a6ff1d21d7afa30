"""What ``phasescope show`` prints of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from phasescope.errors import sentence
from phasescope.lab.conduct import brief
from phasescope.lab.cost import Known, reading, training
from phasescope.lab.registration import standing
from phasescope.lab.registry import study_named, study_points
from phasescope.lab.seeds import kinds, seeds_of
from phasescope.lab.study import Study, budget_of
from phasescope.papers.claims import minutes, stored_cost
from phasescope.verdict import KINDS, Measured, power, seeds_needed

ALPHA, INSIDE = 0.05, 1.5


def shown(name: str, *, estimate: bool = False, details: bool = False) -> RenderableType:
    """Return a study's question, paper, settings, claims, and its cost; ``details``: claims in full.

    Its cost is that of the runs stored with this version. To ``estimate`` it on this machine, training is timed by a
    few steps, and a network of each part that is measured is measured whole, which may take minutes.
    """
    study = study_named(name)
    first = next(iter(study.scales.values()))
    paper = study.paper
    return Group(
        Text(study.title, style="bold"),
        Text(study.question),
        Text(f"{paper.authors} {paper.year}, {paper.title}{f', {paper.link}' if paper.link else ''}"),
        Text(study.notes),
        Text(),
        _settings(study),
        Text(),
        _costs(study, estimate),
        Text(),
        *_claims(study, first, details=details),
        Text(f"{sentence(_standing(study, details=details))}."),
        Text(_deciding(study, first)),
        Text(_maps(study, first)),
    )


def _standing(study: Study, *, details: bool) -> str:
    found = str(standing(study))
    return found if details else brief(found)


def listed() -> str:
    """Return the studies, two lines for each: what it is called and asks, and where its paper is to be read."""
    lines, points = [], study_points()
    wide = max(map(len, points), default=0) + 1
    for name in points:
        study = study_named(name)
        first, *others = study.paper.authors.split(", ")
        authors = f"{first} et al." if others else first
        lines += [f"{name:{wide}} {study.title}", f"{'':{wide}} {authors} {study.paper.year}, {study.paper.link}"]
    return "\n".join(lines)


def document(name: str) -> dict[str, Any]:
    """Return a study as plain data: question, paper, settings by scale, and the claims of the first scale."""
    study = study_named(name)
    claims = study.claims(next(iter(study.scales.values())))
    return {
        "study": study.name,
        "title": study.title,
        "question": study.question,
        "paper": {key: getattr(study.paper, key) for key in ("title", "authors", "year", "link")},
        "scales": {scale: settings.model_dump(mode="json") for scale, settings in study.scales.items()},
        "standing": str(standing(study)),
        "claims": [
            {
                "id": c.id,
                "sentence": c.sentence,
                "source": str(c.source),
                "expected": str(c.expected),
                "control": c.control.sentence,
            }
            for c in claims
        ],
    }


def _deciding(study: Study, settings: Any) -> str:
    """Return what the first scale's seeds can decide, and what the looks of --until decided can."""
    experiments = study.experiments(settings)
    claims = kinds(study.claims(settings), experiments)
    m, needed = len(claims), seeds_needed(max(len(claims), 1))
    sizes = sorted({n for claim in claims if (n := seeds_of(claim, experiments))})
    chances = ", ".join(f"{_chance(n, m)} at {n} seeds" for n in sizes)
    looks = ", ".join(f"{_chance(n, m * len(study.looks))} at {n}" for n in study.looks)
    count = Counter[str](claim.kind for claim in claims)
    about = ", ".join(f"{KINDS[kind]}: {count[kind]}" for kind in KINDS if count[kind])
    return (
        f"{m} claim{'' if m == 1 else 's'} ({about}), judged together: a median needs {needed} seeds or more. One that "
        f"lies {INSIDE:g} standard deviations inside an end of its tolerance is within it with a chance of "
        f"{chances or 'nothing'}; with --until decided, of {looks}."
    )


def _chance(n: int, shares: int) -> str:
    """Return how likely ``n`` seeds decide, where the error is divided into so many shares."""
    found = power(n, ALPHA / (2 * max(shares, 1)), INSIDE)
    return f"{found:.0%}" if found < 0.99 else "99%"


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


def _claims(study: Study, settings: Any, *, details: bool) -> Iterator[RenderableType]:
    """Yield the claims' sentences by their names; or each with source, measure, expectation and control."""
    claims = study.claims(settings)
    if not details:
        table = Table(
            Column("claim", no_wrap=True), "what it says (--details for sources, measures, controls)", box=None
        )
        for c in claims:
            table.add_row(c.id, c.sentence)
        yield table
        return
    for c in claims:
        effect, control = c.effect, c.control.effect
        measured = f"{effect}, expected " if isinstance(effect, Measured) else "expected "
        other = f" ({'; '.join(map(str, control.cells))})" if isinstance(control, Measured) and control.cells else ""
        yield Text.assemble(
            (c.id, "bold"), f"  {c.sentence} ", (f"({c.source})\n", "dim"), f"  measured {measured}{c.expected}\n",
            f"  control  {c.control.sentence}{other}\n",
        )  # fmt: skip


def _costs(study: Study, estimate: bool) -> Table:
    last = "at most, on this machine" if estimate else "as stored (--estimate: here)"
    table = Table("scale", "experiments", "networks", "steps if none leaves early", last, box=None)
    known: Known = {}
    for name, settings in study.scales.items():
        experiments = study.experiments(settings)
        networks = sum(len(e.grid) for e in experiments.values())
        if estimate:
            seconds = training(experiments) + sum(reading(title, e, known) for title, e in experiments.items())
            cost = minutes(seconds)
        else:
            cost = stored_cost(study.name, name) or "not stored"
        table.add_row(name, str(len(experiments)), f"{networks:,}", f"{budget_of(experiments):,}", cost)
    return table
