"""What a model is asked: items with choices, passages of text, and scenarios that are made of them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasescope.errors import shown, told
from phasescope.vocabulary import BadInput

MOST_ITEMS = 10**6
FILES = (".json", ".jsonl", ".csv")
FORMAT = '{"question": "...", "choices": ["...", "..."], "answer": 0}'


@dataclass(frozen=True)
class Item:
    """A question, two choices or more, all different, and the place of the right one, counted from 0.

    ``question`` ends where the choice goes on: a model reads ``question``, a space, and the choice. Raises ``BadInput``
    for anything else.
    """

    question: str
    choices: tuple[str, ...]
    answer: int

    def __post_init__(self) -> None:
        if not isinstance(self.question, str) or not self.question.strip():
            raise BadInput(f"a question is {shown(self.question)}: give a text that is not empty.")
        choices = self.choices
        if not isinstance(choices, tuple | list) or not all(isinstance(c, str) and c.strip() for c in choices):
            raise BadInput(
                f"the choices of {shown(self.question)} are {shown(choices)}: give texts, none of them empty."
            )
        object.__setattr__(self, "choices", tuple(choices))
        if len(choices) < 2:
            raise BadInput(f"{shown(self.question)} has {len(choices)} choices: give two or more.")
        if len({c.strip() for c in choices}) < len(choices):
            raise BadInput(f"two choices of {shown(self.question)} are equal ({shown(choices)}): give each once.")
        if isinstance(self.answer, bool) or not isinstance(self.answer, int) or not 0 <= self.answer < len(choices):
            raise BadInput(
                f"the answer of {shown(self.question)} is {shown(self.answer)}: give the place of the right choice, "
                f"from 0 to {len(choices) - 1}."
            )


@dataclass(frozen=True)
class Scenario:
    """A name and its ``items``, all with choices, or its ``texts``, passages of which every model is to predict all.

    Raises ``BadInput`` for both, for none, and for what is neither.
    """

    name: str
    items: tuple[Item, ...] = ()
    texts: tuple[str, ...] = ()
    about: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise BadInput(f"the name of a scenario is {shown(self.name)}: give a text that is not empty.")
        for kind, word in ((Item, "items"), (str, "texts")):
            given = getattr(self, word)
            if not isinstance(given, tuple | list) or not all(isinstance(one, kind) for one in given):
                raise BadInput(f"the {word} of the scenario {self.name!r} are {shown(given)}: give a list of them.")
            object.__setattr__(self, word, tuple(given))
        if bool(self.items) == bool(self.texts):
            some = "items and texts" if self.items else "no items"
            raise BadInput(f"the scenario {self.name!r} has {some}: give items with choices, or texts.")
        if any(not text.strip() for text in self.texts):
            raise BadInput(f"the scenario {self.name!r} has a text that is empty: leave it out.")

    @property
    def asks(self) -> bool:
        """Whether there are choices; if not, text is predicted."""
        return bool(self.items)

    def __len__(self) -> int:
        return len(self.items) or len(self.texts)

    def __getitem__(self, rows: Sequence[int]) -> Scenario:
        """Return the scenario of these rows."""
        if self.asks:
            return Scenario(self.name, items=tuple(self.items[i] for i in rows), about=self.about)
        return Scenario(self.name, texts=tuple(self.texts[i] for i in rows), about=self.about)


def chance(items: Sequence[Item]) -> float:
    """Return what a guesser is right in: the larger of a uniform guess and, where all choices are one list, its best.

    A guess among k choices is right in 1/k; where every item has the same choices, such as yes and no, whoever always
    says the most frequent answer is right in its share.
    """
    uniform = sum(1 / len(item.choices) for item in items) / len(items)
    if len({item.choices for item in items}) > 1:
        return uniform
    answers = [item.answer for item in items]
    return max(uniform, max(answers.count(a) for a in set(answers)) / len(answers))


def read_task(path: Path | str) -> Scenario:
    """Return the items of a task file; its name is the file's.

    ``.jsonl`` has one item a line, ``.json`` a list of items, each ``{"question": ..., "choices": [...], "answer": i}``
    with ``answer`` the place of the right choice from 0 or the choice itself, or ``{"text": ...}`` for passages.
    ``.csv`` has a header with ``question``, ``choice_0``, ``choice_1``, ..., of which cells left empty are no choice,
    and either ``answer``, the right choice itself, or ``place``, its place from 0. Raises ``BadInput`` with file and
    row for anything else.
    """
    if not isinstance(path, str | Path) or not str(path).strip() or "\0" in str(path):
        raise BadInput(f"a task is {shown(path)}: give a file that ends in {', '.join(FILES)}.")
    path = Path(path)
    rows = _rows(path)
    if not rows:
        raise BadInput(f"{path} has no items: give at least one, such as {FORMAT}.")
    if len(rows) > MOST_ITEMS:
        raise BadInput(f"{path} has {len(rows):,} items: give at most {MOST_ITEMS:,}.")
    if all(isinstance(row, Mapping) and isinstance(row.get("text"), str) and row["text"].strip() for row in rows):
        return Scenario(path.stem, texts=tuple(row["text"] for row in rows), about=str(path))
    items = []
    for number, row in enumerate(rows, 1):
        try:
            items.append(_item(row))
        except BadInput as error:
            raise BadInput(f"{path}, item {number}: {error}") from error
    return Scenario(path.stem, items=tuple(items), about=str(path))


def _rows(path: Path) -> list[Any]:
    if path.suffix.lower() not in FILES:
        raise BadInput(f"the task {path} does not end in {', '.join(FILES)}: give a file of one of these kinds.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(told(error, path)) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is no text in UTF-8: save it as UTF-8.") from error
    if path.suffix.lower() == ".csv":
        try:
            return [_from_csv(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
        except csv.Error as error:
            raise BadInput(
                f"{path} is no table ({error}): give a header and rows, cells in quotes if need be."
            ) from error
    try:
        if path.suffix.lower() == ".jsonl":  # a line ends with it: U+2028 and others may stand in texts
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is no JSON ({str(error)[:80]}): give items such as {FORMAT}.") from error
    if not isinstance(found, list):
        raise BadInput(f"{path} is {shown(found)[:60]}: give a list of items such as {FORMAT}.")
    return found


def _from_csv(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a table as JSON would have it: ``answer`` is a choice, and ``place`` a number."""
    names = sorted((k for k in row if k and k.startswith("choice_") and k[7:].isdigit()), key=lambda k: int(k[7:]))
    if not names:
        return {"text": row["text"]} if row.get("text") else {"question": row.get("question"), "answer": None}
    choices = [row[name] for name in names if row[name]]
    found: dict[str, Any] = {"question": row.get("question"), "choices": choices}
    if row.get("place") is not None and row.get("answer") is None:
        place = str(row["place"]).strip()
        return found | {"answer": int(place) if re.fullmatch("[0-9]{1,9}", place) else place}
    return found | ({"answer": row["answer"]} if row.get("place") is None and row.get("answer") is not None else {})


def _item(row: Any) -> Item:
    missing = [name for name in ("question", "choices", "answer") if not isinstance(row, Mapping) or name not in row]
    if missing:
        raise BadInput(f"there is no {missing[0]!r} in {shown(row)[:80]}: give {FORMAT}.")
    choices, answer = row["choices"], row["answer"]
    if isinstance(answer, str) and isinstance(choices, list) and choices.count(answer) == 1:
        answer = choices.index(answer)
    return Item(row["question"], choices, answer)
