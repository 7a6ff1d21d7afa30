"""Tables of which a reader of the page chooses one: all travel as one JSON document, and the first is written out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from phasescope.figures import Choice

from .explorer import Script, script_hash

_TEXT = resources.files("phasescope.report").joinpath("choices.js").read_text(encoding="utf-8")
CHOOSER = Script(_TEXT, script_hash(_TEXT), "now")


@dataclass(frozen=True)
class Chosen:
    """A choice on the page: the names in each group, the first table's name and rows, and all tables as JSON."""

    title: str
    caption: str
    header: Sequence[str]
    groups: Mapping[str, Sequence[str]]
    first: str
    rows: Sequence[Sequence[str]]
    numbers: str


def chosen(choices: Sequence[Choice]) -> list[Chosen]:
    """Return what a page shows of the choices; one without any table is left out."""
    return [_chosen(choice) for choice in choices if any(choice.groups.values())]


def _chosen(choice: Choice) -> Chosen:
    groups = {group: [name for name, _ in tables] for group, tables in choice.groups.items() if tables}
    tables = [rows for several in choice.groups.values() for _, rows in several]
    group, names = next(iter(groups.items()))
    # "<" can not end the script element that holds it
    numbers = json.dumps([[list(row) for row in rows] for rows in tables], separators=(",", ":"))
    return Chosen(
        choice.title, choice.caption, choice.header, groups, f"{group}: {names[0]}", tables[0],
        numbers.replace("<", "\\u003c"),
    )  # fmt: skip
