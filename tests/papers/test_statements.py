"""Every statement of a paper that the catalogue computes: it agrees, it is quick, and the docs' page says just that."""

from __future__ import annotations

import ast
import dataclasses
import importlib
from functools import cache
from pathlib import Path

import pytest

from phasescope.papers import Report, check
from phasescope.papers.catalogue import catalogue, statements_of, subjects
from phasescope.papers.statement import Compared, Statement, near
from phasescope.papers.telling import page_of
from phasescope.subjects import homes
from phasescope.verdict import Source

ROOT = Path(__file__).parents[2]
SERVED = [entry for entry in catalogue() if entry.status != "absent" and not entry.same]
CHECKED = [entry for entry in SERVED if entry.statements]


@cache
def report(name: str) -> Report:
    return check(name)


@pytest.mark.parametrize("name", [entry.id for entry in CHECKED])
def test_statements_agree_with_their_paper(name: str) -> None:
    found = report(name)
    assert found.agrees, f"\n{found}"
    assert len({one.statement.sentence for one in found.checked}) == len(found.checked)
    for one in found.checked:
        assert len({number.what for number in one.numbers}) == len(one.numbers), one.statement.sentence
        assert one.statement.source.tolerance, f"{one.statement.sentence}: where is the tolerance from?"


def test_the_page_says_what_the_statements_are() -> None:
    """Fails after a statement, the table or a number has changed: ``make papers`` mends it."""
    made = page_of([report(entry.id) for entry in SERVED])
    assert made == (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")


def test_every_statement_is_of_a_paper_of_its_subject() -> None:
    papers = {entry.id: entry for entry in catalogue()}
    for subject in {entry.subject for entry in catalogue()}:
        for found in statements_of(subject):
            entry = papers[found.paper]
            assert (entry.subject, entry.same) == (subject, ""), found.sentence
            assert entry.by, f"{found.paper} has a check, and nothing that serves it"
    assert subjects() <= {entry.subject.replace("-", "_") for entry in catalogue()}


def test_statements_use_the_public_interface_alone() -> None:
    """What a statement imports of the package is public: a name of a room, of a subject, or of the papers themselves."""
    public = {"theory": homes("phasescope.theory"), "instruments": homes("phasescope.instruments")}
    for path in sorted((ROOT / "src/phasescope/papers/statements").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("phasescope."):
                continue
            room, *rest = (node.module or "").split(".")[1:]
            for alias in node.names:
                where = f"{path.name}: {node.module}.{alias.name}"
                if room in public and rest:
                    assert [public[room][alias.name]] == rest, where
                elif room not in ("papers", "vocabulary"):
                    assert not rest and alias.name in importlib.import_module(node.module or "").__all__, where


def test_a_statement_that_is_wrong_differs() -> None:
    """What the checks are held to can fail: one number outside is enough, and none at all is no agreement."""

    def made(*numbers: Compared) -> Statement:
        return Statement("000-08", "s", Source(ours="a test"), lambda: numbers)

    right, wrong, nothing = near("a", 1.0, 1.0, 0.1), near("b", 1.2, 1.0, 0.1), near("c", float("nan"), 1.0, 0.1)
    assert made(right).check().agrees
    assert not made(right, wrong).check().agrees
    assert not made(nothing).check().agrees
    assert not made().check().agrees
    entry = next(entry for entry in catalogue() if entry.id == "000-08")
    found = Report(entry, (made(right).check(), made(right, wrong).check()))
    assert found.agrees is False and found.outcome == "checked: 2 statements, 1 of 2 agree"
    assert "✗ differs" in str(found) and "**Differs.**" in page_of([found])
    assert dataclasses.replace(found, checked=()).agrees is None
