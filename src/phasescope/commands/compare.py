"""What ``phasescope compare`` does, but for files and the terminal: load two models, compare, say what is shown."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasescope.commands.inspect import Told, folder_name, given, loaded, page_of
from phasescope.figures import Table
from phasescope.inspection.batches import users_code
from phasescope.representation.compare import compare
from phasescope.representation.compare_result import WORDS

QUESTION = "Are these two networks alike, layer by layer, beyond what unrelated ones would be?"


@dataclass(frozen=True)
class Asked:
    """What the command is given; ``by``, ``points`` and ``draws`` as ``ps.compare`` takes them."""

    first: str
    second: str
    batch: Path | None
    second_batch: Path | None
    places: Sequence[str] | None
    by: str
    points: int
    draws: int
    seed: int


def folder_of(first: str, second: str) -> Path:
    """Return the folder of a comparison of two models."""
    return Path("runs") / "-".join(["compare", *map(folder_name, _names(first, second))])


def compared(asked: Asked, folder: Path, tell: Callable[[str], object]) -> Told:
    """Load both models and their batches by name and compare them; pairs that are done are kept in ``folder``.

    ``tell`` is told what is being done.

    Raises ``BadInput`` without a batch, and what ``load_model``, ``load_batch`` and ``compare`` raise.
    """
    first = given(asked.batch, "models")
    names = _names(asked.first, asked.second)
    models, batches = [], []
    for model, batch in ((asked.first, first), (asked.second, asked.second_batch or first)):
        tell(f"loading {model}")
        module, inputs = loaded(model, batch)
        models.append(module)
        batches.append(inputs)

    def progress(what: str, done: int, total: int) -> None:
        tell(f"{what}, {done}/{total}" if total else f"{what}, {done}")

    options: dict[str, Any] = {"by": asked.by, "points": asked.points, "draws": asked.draws, "seed": asked.seed}
    with users_code(f"{asked.first} or {asked.second}", always=False):
        found = compare(
            models[0],
            models[1],
            batches[0],
            batch_b=batches[1],
            places=asked.places,
            names=names,
            out=folder,
            on_progress=progress,
            **options,
        )
    header, rows = found.table()
    settings = {"a": asked.first, "b": asked.second, "batch": str(asked.batch), **options}
    command = ["phasescope", "compare", asked.first, asked.second, "--batch", str(asked.batch)]
    command += ["--second-batch", str(asked.second_batch)] if asked.second_batch else []
    command += ["--places", ",".join(asked.places)] if asked.places else []
    command += [word for key, value in options.items() for word in (f"--{key}", str(value))]
    page = page_of(
        "compare", f"{names[0]} beside {names[1]}", QUESTION, [f"{found.summary()}.", *WORDS, *found.notes],
        [found.figure()], Table("Pairs of layers", header, rows), settings, shlex.join(command),
    )  # fmt: skip
    return Told(folder.name, "comparison.json", str(found), found.to_json(), page)


def _names(first: str, second: str) -> tuple[str, str]:
    """Return short names of two models, told apart where their last parts are the same.

    >>> _names("runs/one", "runs/two"), _names("a/m", "b/m"), _names("m", "m")
    (('one', 'two'), ('a/m', 'b/m'), ('m', 'm (2)'))
    """
    short = [Path(name).name or name for name in (first, second)]
    if short[0] == short[1]:
        short = [first, second if first != second else f"{second} (2)"]
    return short[0], short[1]
