"""What papers state, as data of the studies: the files, the tables made of them, and files that are none."""

from __future__ import annotations

import json
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from phasescope.lab import Study, stated, study_named, study_points
from phasescope.lab.registration import _now
from phasescope.papers import claims
from phasescope.vocabulary import BadInput

NAMES = [name for name, point in study_points().items() if point.value.startswith("phasescope.")]
FOURTEEN = {
    "associative-memory", "asymmetric-margin", "autoinit", "corrupted-labels", "criticality", "grokking", "layer-pruning",
    "manifold-capacity", "model-collapse", "modular-polynomials", "rich-and-lazy", "stochastic-collapse",
    "transfer-phase-diagram", "transformer-signal",
}  # fmt: skip


def test_each_old_study_says_what_its_paper_states_by_claims_that_there_are() -> None:
    """A claim that is renamed or new must find its statement: every one of the study's own is asked for somewhere."""
    known = {f"{row.study}/{row.id}" for row in claims()}
    assert {name for name in NAMES if stated.stated(study_named(name))} >= FOURTEEN
    for name in NAMES:
        said = stated.stated(study_named(name))
        asked = [claim for one in said for claim in one.claims]
        assert set(asked) <= known, f"{name} names claims that there are not: {set(asked) - known}"
        own = {claim for claim in known if claim.startswith(f"{name}/")}
        assert not said or own <= set(asked), f"{name}: no statement for {own - set(asked)}"
        assert len({one.statement for one in said}) == len(said)


def study_at(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Return a study whose claims are written in a module of ``folder``, where this text is the file."""
    (folder / stated.FILE).write_text(text, encoding="utf-8")
    module = types.ModuleType("made_up_claims")
    module.__file__ = str(folder / "claims.py")
    monkeypatch.setitem(__import__("sys").modules, "made_up_claims", module)

    def written(settings: Any) -> tuple[()]:
        return ()

    written.__module__ = "made_up_claims"
    return replace(study_named("grokking"), claims=written)


def test_a_statement_has_a_row_for_each_claim_and_one_for_what_is_unchecked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps([
        {"statement": "It is sudden | late", "claims": ["delay", "gone", "other/its"], "unchecked": "p = 997: a day"},
        {"statement": "and large", "unchecked": "not asked"},
    ])  # fmt: skip
    study = study_at(tmp_path, text, monkeypatch)
    run = [{"id": "delay", "kind": "trained", "verdict": "fails"}]
    (table,) = stated.table_of(study, "pocket", run)
    assert table.rows == (
        ("It is sudden | late", "delay", "trained", "pocket", "fails"),
        ("", "gone", "", "", "not in this run"),
        ("", "other/its", "", "", "in a run of its own"),
        ("", "p = 997: a day", "", "", "unchecked in part"),
        ("and large", "not asked", "", "", "unchecked"),
    )
    told = stated.to_markdown(study, stated.found_in("other", "paper", [{**run[0], "id": "its"}])).splitlines()
    assert told[2:5:2] == [
        "| It is sudden \\| late | delay |  |  | no stored run |",
        "|  | other/its | trained | paper | fails |",
    ]


@pytest.mark.parametrize("text", [
    "no list", "{}", "[1]", '[{"claims": ["delay"]}]', '[{"statement": "x"}]', '[{"statement": " ", "claims": ["a"]}]',
    '[{"statement": "x", "claims": "delay"}]', '[{"statement": "x", "claims": [""]}]', '[{"statement": "x", "why": "y"}]',
    '[{"statement": 1, "unchecked": "y"}]', "[" * 100_000,
])  # fmt: skip
def test_a_file_that_is_no_list_of_statements_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"statements\.json (can not be read|holds|has) "):
        stated.stated(study_at(tmp_path, text, monkeypatch))


def test_without_a_file_there_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_at(tmp_path, "[]", monkeypatch)
    (tmp_path / stated.FILE).unlink()
    assert stated.stated(study) == () == stated.table_of(study, "pocket", [])


def test_registrations_do_not_reach_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words about a paper may be mended after its claims were judged."""
    study, read = study_named("associative-memory"), []
    before = Path.read_bytes

    def watched(path: Path) -> bytes:
        read.append(path.name)
        return before(path)

    monkeypatch.setattr(Path, "read_bytes", watched)
    _now(study)
    assert "claims.py" in read and stated.FILE not in read
