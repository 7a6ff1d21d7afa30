"""What ``phasescope width`` does, but for the terminal: load, train at several widths, and say what the page shows."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from phasescope.checks import number, whole, word
from phasescope.commands.inspect import Told, folder_name, page_of
from phasescope.commands.scores import read_examples
from phasescope.errors import sentence
from phasescope.figures import Table
from phasescope.inspection.batches import users_code
from phasescope.inspection.load import load_builder
from phasescope.vocabulary import BadInput, Recipe
from phasescope.width import coordinate_check, transfer
from phasescope.width.coordinates import widths_of
from phasescope.width.coordinates_result import WORDS, CoordinateCheck
from phasescope.width.kept import can_be_kept
from phasescope.width.rates import grid_of
from phasescope.width.rates_result import RateTransfer
from phasescope.width.scaling import PARAMETRIZATIONS

QUESTION = "Do layers keep their size and learn alike at every width, and does the learning rate transfer?"


@dataclass(frozen=True)
class Asked:
    """What the command is given."""

    builder: str
    data: Path | None
    widths: str
    parametrization: str
    optimizer: str
    rate: float
    steps: int
    seeds: int
    rates: str | None
    train: int
    folder: Path

    @property
    def command(self) -> str:
        """The command line that asks the same."""
        words = ["phasescope", "width", self.builder, "--data", str(self.data), "--widths", self.widths]
        words += ["--parametrization", self.parametrization, "--optimizer", self.optimizer, "--rate", f"{self.rate:g}"]
        words += ["--steps", str(self.steps), "--seeds", str(self.seeds)]
        words += [] if self.rates is None else ["--rates", self.rates, "--train", str(self.train)]
        return shlex.join(words)


def folder_of(builder: str) -> Path:
    """Return the folder of the check of ``builder``."""
    return Path("runs") / f"width-{folder_name(Path(builder).name)}"


def numbers_in(option: str, text: str, kind: type) -> list[Any]:
    """Return the numbers in a list with commas.

    >>> numbers_in("--widths", "64,128", int)
    [64, 128]
    """
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        example = "64,128,256" if kind is int else "0.001,0.002,0.004"
        raise BadInput(f"{option} is {text!r}: give numbers with commas, such as {example}.") from None


def checked(asked: Asked, tell: Callable[[str], object]) -> Told:
    """Load the builder and the examples by name, and check; finished networks are kept in the folder.

    Raises ``BadInput`` for what can not be used.
    """
    word(*PARAMETRIZATIONS)("--parametrization", asked.parametrization)
    number(1e-30, 1e30)("--rate", asked.rate)
    for option, steps in (("--steps", asked.steps), ("--train", asked.train)):
        whole(1, 10**9)(option, steps)
    widths = widths_of(numbers_in("--widths", asked.widths, int))
    rates = None if asked.rates is None else grid_of(numbers_in("--rates", asked.rates, float))  # before all training
    x, y, _ = read_examples(asked.data)
    loss = "mse" if np.asarray(y).dtype.kind == "f" else "cross_entropy"
    recipe = Recipe(optimizer=cast("Any", asked.optimizer), lr=asked.rate, steps=asked.steps, loss=loss, records=2)
    longer = Recipe(optimizer=cast("Any", asked.optimizer), lr=asked.rate, steps=asked.train, loss=loss, records=2)
    builder = load_builder(asked.builder)
    common: dict[str, Any] = {"parametrization": asked.parametrization, "seeds": asked.seeds, "name": asked.builder}
    common["out"] = asked.folder if can_be_kept(builder, widths[0]) else None
    common["on_progress"] = lambda what, done, total: tell(f"{asked.builder}: {what}, {done:,}/{total:,}")
    with users_code(asked.builder, always=False):
        found = coordinate_check(builder, (x, y), widths=widths, recipe=recipe, **common)
        moved = None
        if rates is not None:
            moved = transfer(builder, (x, y), widths=widths, rates=rates, recipe=longer, **common)
    document = {**found.to_json(), "transfer": None if moved is None else moved.to_json()}
    text = str(found) if moved is None else f"{found}\n\n{moved}"
    return Told(asked.folder.name, "width.json", text, document, _page(asked, found, moved, recipe))


def _page(asked: Asked, found: CoordinateCheck, moved: RateTransfer | None, recipe: Recipe) -> Any:
    figures, tables = [found.figure()], [Table("Layer by layer", *found.table())]
    notes = ["  ".join(WORDS), f"{sentence(found.summary())}."]
    if found.control is not None:
        tables.append(Table("The control: the builder as it is", *found.control.table()))
    if moved is not None:
        figures.append(moved.figure())
        tables.append(Table("The best rate", *moved.table()))
        notes.append(f"{sentence(moved.summary())}.")
    settings = {"builder": asked.builder, "data": str(asked.data), "widths": asked.widths, "seeds": asked.seeds}
    settings |= {"parametrization": asked.parametrization, **recipe.model_dump(mode="json")}
    page = page_of(
        "width", f"{asked.builder}: {found.verdict}", QUESTION, notes, figures, tables[0], settings, asked.command
    )
    return replace(page, tables=tables)
