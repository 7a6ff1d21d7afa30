"""What ``phasescope evaluate`` does, but for files and the terminal: load, ask, and say what the page shows."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from phasescope.commands.inspect import Told, folder_name, page_of
from phasescope.errors import aligned
from phasescope.evaluation import METRICS, Compared, Evaluation, evaluate, scenario_names
from phasescope.evaluation.result import COLUMNS
from phasescope.figures import Table
from phasescope.vocabulary import BadInput

QUESTION = "What can these language models do, how sure may they be believed, and do they differ?"


@dataclass(frozen=True)
class Asked:
    """What the command is given."""

    models: Sequence[Path]
    scenarios: Sequence[str]
    metrics: Sequence[str] | None
    limit: int
    shots: int
    draws: int
    perturbations: int
    batch: int | None
    seed: int
    device: str
    compare: bool

    @property
    def command(self) -> str:
        """The command line that asks the same."""
        words = ["phasescope", "evaluate", *map(str, self.models)]
        for option, values in (("--scenario", self.scenarios), ("--metric", self.metrics or ())):
            words += [part for value in values for part in (option, value)]
        words += ["--limit", str(self.limit), "--shots", str(self.shots), "--draws", str(self.draws)]
        words += ["--perturbations", str(self.perturbations), "--seed", str(self.seed)]
        return shlex.join(words + (["--compare"] if self.compare else []))


def given(models: Sequence[Path] | None) -> Sequence[Path]:
    """Return the folders that are named. Raises ``BadInput`` where there is none."""
    if not models:
        raise BadInput("there is no MODEL_DIR: name the Hugging Face folders of one model or more.")
    return models


def folder_of(models: Sequence[Path]) -> Path:
    """Return the folder of an evaluation of ``models``."""
    return Path("runs") / f"evaluate-{folder_name('-'.join(path.absolute().name for path in models))[:100]}"


def listed() -> str:
    """Return the names of scenarios and metrics, with what they are."""
    known = scenario_names()
    scenarios = [f"{name.ljust(max(map(len, known)))}  {about}" for name, about in known.items()]
    others = "a task file, a text file or folder, and lm-eval:TASK are scenarios too"
    metrics = [[name, unit, COLUMNS.get(name, "by model")] for name, unit in METRICS.items()]
    return "\n".join([*scenarios, others, "", *aligned(["metric", "unit", "column"], metrics)])


def named(models: Sequence[Path]) -> dict[str, Path]:
    """Return the models by the names of their folders, with those of the parents where these are equal."""
    paths = [path.absolute() for path in models]
    for depth in range(1, 20):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(paths):
            return dict(zip(names, models, strict=True))
    raise BadInput(f"a model is there twice: {', '.join(map(str, models))[:200]}; give each folder once.")


def evaluated(asked: Asked, folder: Path, tell: Callable[[str], object]) -> Told:
    """Ask the models by name; likelihoods that are done are kept in ``folder``. Raises what ``evaluate`` raises."""
    if asked.limit < 0:
        raise BadInput(f"--limit is {asked.limit}: give the number of items, or 0 for all.")
    if asked.compare and len(asked.models) < 2:
        raise BadInput("--compare needs two models or more: name their folders one after the other.")
    found = evaluate(
        named(asked.models), list(asked.scenarios) or None, list(asked.metrics) if asked.metrics else None,
        shots=asked.shots, draws=asked.draws, limit=asked.limit or None, seed=asked.seed,
        perturbations=asked.perturbations, cache=folder, batch=asked.batch, device=asked.device,
        on_progress=lambda what, done, total: tell(f"{what}: {done:,}/{total:,}"),
    )  # fmt: skip
    sides = [metric for metric, field in (("accuracy", "correct"), ("bits_per_byte", "bits")) if _has(found, field)]
    pairs = [(name, metric) for metric in sides for name in found.models[1:]] if asked.compare else []
    compared = [found.compare(name, found.models[0], metric=metric) for name, metric in pairs]
    text = "\n\n".join(map(str, (found, *compared)))
    document = {**found.to_json(), "compared": [_document(one) for one in compared]}
    return Told(folder.name, "evaluation.json", text, document, _page(asked, found, compared))


def _has(found: Evaluation, field: str) -> bool:
    return any(field in scores for scores in found.scores.values())


def _document(one: Compared) -> dict[str, Any]:
    rows = {
        name: {
            "difference": pair.difference, "low": pair.low, "high": pair.high, "items": pair.n,
            "counts": name not in one.at_chance, "words": one.words(pair),
        }
        for name, pair in one.rows.items()
    }  # fmt: skip
    return {"first": one.first, "second": one.second, "metric": one.metric, "scenarios": rows}


def _page(asked: Asked, found: Evaluation, compared: Sequence[Compared]) -> Any:
    tables, notes = [Table("Costs and wins", *found.models_table())], []
    for title, header, rows, why in found.blocks():
        tables.append(Table(title, header, rows))
        notes += [f"{title.split(':')[0]}: {line.removeprefix('- ')}." for line in why]
    for one in compared:
        tables.append(Table(f"{one.first} less {one.second}, {one.metric}, on the same items", *one.table()))
        notes += [f"{one.words(one.pooled)}."] if one.pooled is not None else []
    settings = {"models": ", ".join(found.models), **found.data.attrs}
    title = f"{', '.join(found.models)}: evaluated"
    page = page_of("evaluate", title, QUESTION, notes, [found.figure()], tables[0], settings, asked.command)
    return replace(page, tables=tables)
