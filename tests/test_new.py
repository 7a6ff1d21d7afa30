"""``phasescope new``: what it writes runs, obeys the laws, and is found once it is installed; what it refuses."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import phasescope as ps
from phasescope.commands.new import new
from phasescope.store import atomic
from phasescope.testing import check_study


@pytest.fixture
def spirals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder, _ = new("two-spirals", "2301.02679", tmp_path)
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module("two_spirals").STUDY
    for name in [name for name in sys.modules if name.split(".")[0] == "two_spirals"]:
        del sys.modules[name]


def test_a_new_study_obeys_the_laws(spirals: ps.Study, tmp_path: Path) -> None:
    assert spirals.name == "two-spirals" and "2301.02679" in spirals.paper.bibtex
    found = check_study(spirals, tmp_path / "run", settings={"steps": 20, "seeds": 2, "widths": [2, 8]})
    assert [verdict.id for verdict in found.verdicts] == ["wide-generalizes"]
    mapped = ps.phase_map(spirals, x="lr=0.001:0.1:log", y="train_fraction=0.2:0.8", tolerance=0.5, seeds=1,
                          out=tmp_path / "map", settings={"steps": 5, "widths": [2]})  # fmt: skip
    assert mapped.study is spirals and mapped.page(tmp_path / "map.html").stat().st_size > 10_000
    again = ps.load(tmp_path / "map", study=spirals)
    assert isinstance(again, ps.MapResults) and again.data.identical(mapped.data)


def test_what_it_writes_is_clean(spirals: ps.Study, tmp_path: Path) -> None:
    ruff = [sys.executable, "-m", "ruff"]
    for command in (
        ["check", "--isolated", "--line-length", "120"],
        ["format", "--check", "--isolated", "--line-length", "120"],
    ):
        done = subprocess.run([*ruff, *command, str(tmp_path / "two-spirals")], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_installed_and_run_as_printed(tmp_path: Path) -> None:
    """The three lines that it prints, but into a folder of the test's, and small."""
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path])}

    def phasescope(*words: str) -> str:
        command = [sys.executable, "-m", "phasescope", *words]
        done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = phasescope("new", "spirals")
    assert "-m pip install --editable spirals" in told and "phasescope run spirals" in told and "pytest spirals" in told
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    done = subprocess.run([*pip, "--target", "site", "./spirals"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Spirals" in phasescope("list")
    small = ("--set", "steps=10", "--set", "widths=[2]", "--seeds", "2", "--out", "run", "--json")
    document = json.loads(phasescope("run", "spirals", *small))
    assert document["study"] == "spirals" and Path(tmp_path / document["report"]).is_file()


@pytest.mark.parametrize(
    ("name", "arxiv", "said"),
    [
        ("grokking", "", "a study called 'grokking' already"),
        ("numpy", "", "a Python package called 'numpy' already"),
        ("json", "", "a Python package called 'json' already"),
        ("Spirals", "", "no name of a study"),
        ("two spirals", "", "no name of a study"),
        ("../spirals", "", "no name of a study"),
        ("two-", "", "no name of a study"),
        ("class", "", "no name of a study"),
        ("s" * 41, "", "no name of a study"),
        ("", "", "no name of a study"),
        ("spirals", "23", "no number of arXiv"),
        ("spirals", "2301.02679\n", "no number of arXiv"),
        ("there", "", "exists: name a folder that does not"),
    ],
)
def test_what_it_refuses(name: str, arxiv: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ps.BadInput, match=said):
        new(name, arxiv, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["there"] and not list((tmp_path / "there").iterdir())


def test_it_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = atomic.write_atomic

    def full(path: Path, data: bytes) -> None:
        if path.name == "claims.py":
            raise OSError(28, "No space left on device")
        written(path, data)

    monkeypatch.setattr("phasescope.commands.new.write_atomic", full)
    with pytest.raises(ps.BadInput, match="disk"):
        new("spirals", "", tmp_path)
    assert list(tmp_path.iterdir()) == []
