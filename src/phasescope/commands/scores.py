"""What ``phasescope scores`` does, but for the terminal: load, train, score, and say what the page shows."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phasescope.checks import number, whole
from phasescope.commands.inspect import Told, folder_name, page_of
from phasescope.data import Scores, scores
from phasescope.data.scores_result import SCORES, WORDS
from phasescope.errors import aligned
from phasescope.figures import Table
from phasescope.inspection.batches import users_code
from phasescope.inspection.load import arrays_in, load_model
from phasescope.samples import rows_of
from phasescope.vocabulary import Array, BadInput, Recipe

JUDGED = ("score", "AUC", "AUC error", "precision", "precision error")
QUESTION = "Which examples are hard, which labels are suspect, and what is memorized?"


@dataclass(frozen=True)
class Asked:
    """What the command is given."""

    model: str
    data: Path | None
    seeds: int
    steps: int
    rate: float
    batch: int
    suspects: int
    by: str
    folder: Path


def folder_of(model: str) -> Path:
    """Return the folder of the scores of examples for ``model``."""
    return Path("runs") / f"scores-{folder_name(Path(model).name or model)}"


def read_examples(path: Path | None) -> tuple[Array, Array, Array | None]:
    """Return inputs (N, ...), labels (N,) and which labels were changed on purpose, if the file says so.

    The arrays "X", "y" and "flipped" (row numbers, or booleans (N,)) of a file .npz or .safetensors. Raises
    ``BadInput``.
    """
    if path is None:
        raise BadInput(
            "there is no --data: save examples, for example with numpy.savez('data.npz', X=inputs, y=labels)."
        )
    if not path.is_file():
        raise BadInput(f"there is no {path}: give a file .npz or .safetensors with the arrays X and y.")
    found = arrays_in(path)
    missing = [name for name in ("X", "y") if name not in found]
    if missing:
        raise BadInput(f"{path} has {', '.join(sorted(found)) or 'nothing'}, and no {missing[0]!r}: save both X and y.")
    return found["X"], found["y"], found.get("flipped")


def scored(asked: Asked, tell: Callable[[str], object]) -> Told:
    """Load the network and the examples by name and score; finished networks are kept in the folder.

    Raises ``BadInput`` for what can not be used.
    """
    x, y, flipped = read_examples(asked.data)
    if y.ndim != 1:
        raise BadInput(f"{asked.data}: y has the shape {y.shape}: give one class (N,) for each row.")
    seeds = whole(2, 10_000)("--seeds", asked.seeds)
    count = min(whole(1, 10**9)("--suspects", asked.suspects), len(y))
    if asked.by not in SCORES:
        raise BadInput(f"--by is {asked.by!r}: choose one of {', '.join(SCORES)}.")
    number(1e-30, 1e30)("--rate", asked.rate)
    for option, value in (("--steps", asked.steps), ("--batch", asked.batch)):
        whole(1, 10**9)(option, value)
    recipe = Recipe(
        lr=asked.rate, steps=asked.steps, batch=asked.batch, loss="cross_entropy", records=min(40, max(2, asked.steps))
    )
    if flipped is not None:
        rows_of(flipped, len(y), "flipped", str(asked.data))
    module = load_model(asked.model)
    name = asked.data.name if asked.data is not None else ""
    with users_code(asked.model, always=False):
        found = scores(
            module, x, y, seeds=seeds, recipe=recipe, name=name, out=asked.folder,
            on_progress=lambda what, done, total: tell(f"{name}: {what}, {done:,}/{total:,}"),
        )  # fmt: skip
    rows = found.suspects(count, asked.by)
    suspects = Table(
        f"Suspects by {asked.by}, the hardest first", ("row", "label", *SCORES),
        [[str(i), str(y[i]), *(_number(found.data[key].values[i]) for key in SCORES)] for i in rows],
    )  # fmt: skip
    command = ["phasescope", "scores", asked.model, "--data", str(asked.data), "--seeds", str(seeds), "--steps"]
    command += [str(asked.steps), "--rate", f"{asked.rate:g}", "--batch", str(asked.batch), "--by", asked.by]
    notes = [f"{found.summary()}.", *WORDS, *(f"Coherence {line}." for line in found.coherence_lines()), *found.notes]
    page = page_of(
        "scores", f"{name}: scores of examples", QUESTION, notes, [found.figure()], Table("Scores", *found.table()),
        {"model": asked.model, "data": str(asked.data), "seeds": seeds, **recipe.model_dump()}, shlex.join(command),
    )  # fmt: skip
    text = f"{found}\n\nSuspects by {asked.by}: {', '.join(map(str, rows)) or 'none, no row has this score'}"
    document, tables = {**found.to_json(), "suspects": rows.tolist()}, [*page.tables, suspects]
    if flipped is not None:
        judged = _judged(found, flipped)
        document["judged"] = {row[0]: dict(zip(JUDGED[1:], row[1:], strict=True)) for row in judged}
        lines = [[row[0], *(f"{value:.3f}" for value in row[1:])] for row in judged]
        tables.append(Table("Of labels that were changed on purpose", JUDGED, lines))
        text += "\n\n" + "\n".join(aligned(JUDGED, lines, left=False))
    return Told(asked.folder.name, "scores.json", text, document, replace(page, tables=tables))


def _number(value: float) -> str:
    return f"{float(value):.3g}" if np.isfinite(value) else "-"


def _judged(found: Scores, flipped: Array) -> list[list[Any]]:
    """Return a row for each score that was read: its name, and how it finds ``flipped``, with errors over seeds."""
    areas, errors = found.judged(flipped), found.judged_errors(flipped)
    read = [by for by in SCORES if np.isfinite(areas[by][0])]
    return [[by, areas[by][0], errors[by][0], areas[by][1], errors[by][1]] for by in read]
