"""The catalogue of papers: which are known here, what of the package serves each, and what is not here."""

from __future__ import annotations

import csv
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from phasescope.errors import BadInput

if TYPE_CHECKING:
    from phasescope.papers.statement import Statement

HERE = "phasescope.papers"
ARXIV = re.compile(r"(?:https?://)?(?:arxiv\.org/(?:abs|pdf)/)?(?:arxiv:)?(\d{4}\.\d{4,5})(?:v\d+)?(?:\.pdf)?", re.I)


@dataclass(frozen=True)
class Entry:
    """A paper of the catalogue.

    ``subject`` is the file of ``papers/statements`` that holds its checks. ``by``: the studies ("study grokking") and
    public names ("theory.modular_addition") that serve it; ``lacks``: what it stands in the catalogue for and they do
    not give. ``same`` is the id under which the same paper stands already.
    """

    id: str
    title: str
    authors: str
    link: str
    subject: str
    by: tuple[str, ...]
    lacks: str
    same: str

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The paper's statements that can be computed here; for a paper that stands twice, those of the first."""
        return tuple(found for found in statements_of(self.subject) if found.paper == (self.same or self.id))

    @property
    def studies(self) -> tuple[str, ...]:
        """The names of the studies that serve it."""
        return tuple(part.removeprefix("study ") for part in self.by if part.startswith("study "))

    @property
    def status(self) -> str:
        """What is said of it: "checked" or "checked in part", "no check" or "in part, no check", or "absent".

        "checked" is said where statements are computed, "in part" where something is lacking; it does not say how they
        come out. "no check": something here serves the paper, and nothing computes a statement of it.
        """
        if self.statements:
            return "checked in part" if self.lacks else "checked"
        return f"{'in part, ' if self.lacks else ''}no check" if self.by else "absent"

    @property
    def text(self) -> str:
        """All that words are looked for in."""
        return " ".join((self.id, self.title, self.authors, self.link, self.subject, *self.by, self.status)).lower()


@cache
def catalogue() -> tuple[Entry, ...]:
    """Return every paper of the catalogue, in its order."""
    table = (files(HERE) / "papers.tsv").read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(Entry(by=tuple(filter(None, row.pop("by").split("; "))), **row) for row in rows)


@cache
def statements_of(subject: str) -> tuple[Statement, ...]:
    """Return the statements that are computed in a subject's file; none where there is no such file."""
    from phasescope.papers.statement import Statement

    name = subject.replace("-", "_")
    if name not in subjects():
        return ()
    module = importlib.import_module(f"{HERE}.statements.{name}")
    return tuple(found for found in vars(module).values() if isinstance(found, Statement))


@cache
def subjects() -> frozenset[str]:
    """Return the names of the files that hold statements."""
    package = importlib.import_module(f"{HERE}.statements")
    return frozenset(module.name for module in pkgutil.iter_modules(package.__path__))


def find(words: str = "", *, absent: bool = False) -> tuple[Entry, ...]:
    """Return the papers whose id, title, authors, subject, status or servants have all ``words``, in any case.

    Those that nothing here serves are left out unless ``absent``.
    """
    wanted = words.lower().split()
    return tuple(
        found
        for found in catalogue()
        if (absent or found.status != "absent") and all(word in found.text for word in wanted)
    )


def paper(name: str) -> Entry:
    """Return the paper of an id ("000-08"), an arXiv number or address, or words that only its title has.

    Raises ``BadInput`` where there is none, or several.
    """
    name = name.strip()
    number = ARXIV.fullmatch(name)
    if number:
        found = [one for one in catalogue() if one.link.endswith(f"/{number[1]}")]
    else:
        found = [one for one in catalogue() if one.id == name] or list(_titled(name))
    found = [one for one in found if not one.same] or found
    if len(found) == 1 or (found and number):
        return found[0]
    if not found:
        raise BadInput(f"the catalogue has no paper {name!r}: phasescope papers --all WORDS looks for one.")
    others = "" if len(found) <= 4 else f" and {len(found) - 4} more"
    raise BadInput(
        f"{name!r} is {len(found)} papers, {', '.join(one.id for one in found[:4])}{others}: give one's id."
        f" phasescope papers --all {name} lists them."
    )


def _titled(words: str) -> Iterator[Entry]:
    wanted = words.lower().split()
    exact = [one for one in catalogue() if one.title.lower() == words.lower()]
    yield from exact or (one for one in catalogue() if wanted and all(word in one.title.lower() for word in wanted))
