"""What a study's paper states, in our words, beside the claims that ask it: a table for pages, from stored verdicts.

A study's package may have a file ``statements.json``, a list of statements::

    [{"statement": "A sum modulo p is learnt suddenly", "claims": ["delay", "other-study/its-claim"]},
     {"statement": "So are larger tables", "unchecked": "not asked at this size: p = 997 takes a day"}]

Each has ``claims``, or says in ``unchecked`` why none asks it, or both, where they ask a part. A claim of another study
stands behind that study's name. It is data and no code: registrations do not reach it, and it changes no number.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasescope.checks import BadInput, shown
from phasescope.errors import shortened
from phasescope.figures import Table
from phasescope.lab.study import Study

FILE = "statements.json"
TITLE, HEADER = "What the paper states", ("statement", "claim", "of", "scale", "verdict")
NOT_STORED, UNCHECKED = "no stored run", "unchecked"
Found = Mapping[str, tuple[str, str, str]]
"""What runs found: the name of a claim, behind that of its study and a slash, -> its kind, the scale, the verdict."""


@dataclass(frozen=True)
class Stated:
    """A ``statement`` of a paper in our words, the ``claims`` that ask it, and why it, or a part, is ``unchecked``.

    A claim's name stands behind that of its study and a slash.
    """

    statement: str
    claims: tuple[str, ...] = ()
    unchecked: str = ""


def stated(study: Study) -> tuple[Stated, ...]:
    """Return what the study's paper states, from the file in the package of its claims; nothing where there is none.

    Raises ``BadInput`` for a file that is no such list.
    """
    place = _place(study)
    if place is None or not place.is_file():
        return ()
    try:
        listed = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{place} can not be read ({shortened(str(error), 80)}): give a list of statements.") from None
    if not isinstance(listed, list):
        raise BadInput(f"{place} holds {shown(listed)}: give a list of statements.")
    return tuple(_one(entry, place, study.name) for entry in listed)


def _place(study: Study) -> Path | None:
    """Return where a study's statements would stand: in the package that its claims are written in."""
    module = sys.modules.get(getattr(study.claims, "__module__", ""))
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).parent / FILE


def _one(entry: Any, place: Path, study: str) -> Stated:
    known = {"statement": str, "claims": list, "unchecked": str}
    right = isinstance(entry, dict) and all(isinstance(v, known.get(k, ())) for k, v in entry.items())
    claims = entry.get("claims", []) if right else []
    if not right or not all(isinstance(claim, str) and claim for claim in claims):
        raise BadInput(f"{place} has {shown(entry)}: give 'statement', and 'claims', a list of names, or 'unchecked'.")
    statement, unchecked = entry.get("statement", "").strip(), entry.get("unchecked", "").strip()
    if not statement or not (claims or unchecked):
        raise BadInput(f"{place} has {shown(entry)}: give a statement, and claims that ask it, or why it is unchecked.")
    return Stated(statement, tuple(c if "/" in c else f"{study}/{c}" for c in claims), unchecked)


def found_in(study: str, scale: str, verdicts: Sequence[Mapping[str, Any]]) -> Found:
    """Return what one run found, of the verdicts as ``Verdicts.to_json`` gives them."""
    return {f"{study}/{v['id']}": (str(v.get("kind", "")), scale, str(v["verdict"])) for v in verdicts}


def rows(study: Study, found: Found, absent: Callable[[str], str]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield a row for each claim of each statement, and one for what is unchecked: the columns are ``HEADER``'s.

    ``absent`` says of a claim that was not found, by its whole name, why.
    """
    for one in stated(study):
        words = one.statement
        for claim in one.claims:
            kind, scale, verdict = found.get(claim) or ("", "", absent(claim))
            yield words, claim.removeprefix(f"{study.name}/"), kind, scale, verdict
            words = ""
        if one.unchecked:
            yield words, one.unchecked, "", "", f"{UNCHECKED} in part" if one.claims else UNCHECKED


def table_of(study: Study, scale: str, verdicts: Sequence[Mapping[str, Any]]) -> tuple[Table, ...]:
    """Return the table for the page of one run, none without statements; other studies have runs of their own."""

    def absent(claim: str) -> str:
        return "not in this run" if claim.startswith(f"{study.name}/") else "in a run of its own"

    found = tuple(rows(study, found_in(study.name, scale, verdicts), absent))
    return (Table(TITLE, HEADER, found),) if found else ()


def to_markdown(study: Study, found: Found) -> str:
    """Return the table as a page of the documentation shows it."""
    lines = [HEADER, ("---",) * len(HEADER), *rows(study, found, lambda claim: NOT_STORED)]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(words: str) -> str:
    """Return words that stay in their cell."""
    return words.replace("|", "\\|").replace("\n", " ")
