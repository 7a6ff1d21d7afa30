"""The catalogue: what it lists is there, what it says is so, and the command line and Python say the same."""

from __future__ import annotations

import importlib.util
import json
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import phasescope as ps
from phasescope.commands.cli import app
from phasescope.papers.catalogue import catalogue
from phasescope.papers.claims import ClaimRow, Claims, Run
from phasescope.papers.lines import Column, table
from phasescope.papers.telling import summary
from phasescope.vocabulary import BadInput

ROOT = Path(__file__).parents[2]


def said(*words: str, columns: int = 80) -> str:
    found = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, words, standalone_mode=False)
    if found.exception is not None:
        raise found.exception
    return found.output


def test_the_table_is_whole() -> None:
    entries = catalogue()
    ids = [entry.id for entry in entries]
    assert len(ids) == len(set(ids)) == 282
    assert all(entry.title and entry.subject for entry in entries)
    links = [entry.link for entry in entries if entry.link and not entry.same]
    assert len(links) == len(set(links))
    assert all(link.startswith("https://") for link in links)
    for entry in (entry for entry in entries if entry.same):
        first = entries[ids.index(entry.same)]
        assert not first.same
        assert (first.title, first.by, first.lacks, first.status) == (entry.title, entry.by, entry.lacks, entry.status)


def test_what_serves_a_paper_is_public() -> None:
    studies = ps.list_studies()
    for entry in catalogue():
        for part in entry.by:
            if part.startswith("study "):
                assert studies[part.removeprefix("study ")].paper.link == entry.link, entry.id
            else:
                assert attrgetter(part)(ps) is not None
    listed = {entry.link for entry in catalogue()}  # a study may be of a paper that is not
    assert {study.paper.link for study in studies.values()} & listed <= {e.link for e in catalogue() if e.by}


def test_papers_are_found_by_id_number_address_and_title() -> None:
    names = (
        "000-08",
        "2301.02679",
        "https://arxiv.org/abs/2301.02679v2",
        "arXiv:2301.02679",
        "Grokking modular arithmetic",
    )
    assert {ps.papers.paper(name).id for name in names} == {"000-08"}
    assert ps.papers.paper("grokking polynomials").id == "000-02"
    assert ps.papers.paper("2310.13061").id == "000-07"  # which stands twice
    assert ps.papers.paper("004-043").same == "000-07"


@pytest.mark.parametrize("name", ["", "999-99", "9999.99999", "no such words"])
def test_a_paper_that_is_not_there_is_said_so(name: str) -> None:
    with pytest.raises(BadInput, match="the catalogue has no paper"):
        ps.papers.paper(name)


def test_words_of_several_titles_are_refused() -> None:
    with pytest.raises(BadInput, match=r"'neural networks' is \d+ papers, .* and \d+ more: give one's id"):
        ps.papers.paper("neural networks")


def test_served_and_absent_papers() -> None:
    served, all_ = ps.papers.find(), ps.papers.find(absent=True)
    assert len(all_) == 282 > len(served)
    assert all(entry.status != "absent" for entry in served)
    absent = ps.papers.check("004-032")  # a text that no laboratory of small networks computes
    assert (absent.entry.status, absent.agrees, absent.outcome) == ("absent", None, "absent")
    assert str(absent).splitlines()[-1] == "absent"
    assert [entry.id for entry in ps.papers.find("GROKKING arithmetic")] == ["000-08"]
    assert summary(tuple(all_)).startswith("276 papers: ") and summary(tuple(all_)).endswith("(and 6 that stand twice)")


@pytest.mark.parametrize(
    "words", [("claims",), ("papers",), ("papers", "--all"), ("paper", "2108.07344"), ("claims", "fails")]
)
def test_lines_are_no_wider_than_the_terminal(words: tuple[str, ...]) -> None:
    for columns in (80, 120):
        lines = said(*words, columns=columns).splitlines()
        assert max(map(len, lines)) <= columns, max(lines, key=len)


def test_json_is_one_document_that_says_the_same() -> None:
    found = json.loads(said("paper", "2108.07344", "--json"))
    assert found["status"] == "checked" and found["agrees"] is True
    assert [one["sentence"] for one in found["statements"]] == [
        s.sentence for s in ps.papers.paper("003-211").statements
    ]
    assert found["statements"][0]["numbers"][0]["agrees"] is True
    assert json.loads(said("papers", "--json")) == ps.papers.find().to_json()
    assert json.loads(said("claims", "grokking", "delay", "--json")) == json.loads(
        json.dumps(ps.claims("grokking delay").to_json())
    )


# -- claims ------------------------------------------------------------------------------------------------------------


def gallery() -> Any:
    spec = importlib.util.spec_from_file_location("gallery_of_claims", ROOT / "docs/gallery/make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gallery_of_claims"] = module
    spec.loader.exec_module(module)
    return module


def test_the_claims_are_those_of_the_studies_and_of_the_stored_runs() -> None:
    """Fails after a claim or a stored run has changed: ``make gallery`` mends it."""
    make = gallery()
    assert make.claims_table() == make.CLAIMS.read_text(encoding="utf-8")
    assert make.runs_table() == make.CLAIMS.with_name("runs.json").read_text(encoding="utf-8")


def test_claims_are_searched_by_all_words() -> None:
    everything = ps.claims()
    assert len(everything) > 200
    assert len({(row.study, row.id) for row in everything}) == len(everything)
    fails = ps.claims("fails")
    assert fails.rows and {row.verdict for row in fails} <= {row.verdict for row in everything}
    assert all("grokking" in row.text and "phase" in row.text for row in ps.claims("Phase GROKKING"))
    assert str(ps.claims("no such words at all")).startswith("no claim has all")


def test_the_run_with_most_seeds_is_told_and_all_are_kept() -> None:
    def run(name: str, verdict: str, n: int) -> Run:
        return Run(name, "2026-01-01", verdict, 1.0, (0.5, "Infinity"), n, "seeds")

    row = ClaimRow("s", "c", "It does", "ours: x", ">= 1", "", "", (run("a", "undecided", 12), run("b", "holds", 40)))
    assert row.verdict == "holds"
    assert Claims((row,)).to_json()[0]["runs"][0]["verdict"] == "undecided"
    equals = (run("a", "undecided", 16), run("a-decided", "holds", 16))
    assert ClaimRow("s", "c", "It does", "ours: x", ">= 1", "", "", equals).verdict == "holds"
    full = Claims((row,)).details()
    assert "undecided 1 [0.5, inf], n = 12" in full and "holds     1 [0.5, inf], n = 40" in full
    assert Claims((ClaimRow("s", "c", "It does", "ours: x", ">= 1", "", ""),)).summary() == "1 claim: 1 not run"


def test_a_table_gives_the_free_columns_what_is_left() -> None:
    rows = [("a", "x" * 50, "y" * 50), ("bb", "x", "y")]
    lines = list(table((Column("id", 4), Column("one"), Column("two")), rows, 40))
    assert [len(line) for line in lines[1:2]] == [40] and lines[2].startswith("bb  x")
    assert lines[1].count("…") == 2
