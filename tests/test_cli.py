"""The command line: one tiny run that is interrupted and resumed, its JSON document, and every bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import phasescope as ps
from phasescope import lab
from phasescope.commands import cli
from phasescope.ensemble.plan import cores
from phasescope.ensemble.schedule import record_steps
from phasescope.lab.study import Experiment

COMMAND = [sys.executable, "-m", "phasescope"]
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def sets(changes: dict[str, Any]) -> list[str]:
    rest = {name: value for name, value in changes.items() if name != "seeds"}
    pairs = [part for name, value in rest.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    return [*pairs, "--seeds", str(changes["seeds"])]


def call(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=120, env=ENV, cwd=cwd)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny: dict[str, Any]) -> Any:
    """The same command twice: stopped with Ctrl-C once members are kept, then run to the end."""
    home = tmp_path_factory.mktemp("cli")
    words = ["run", "grokking", *sets(tiny), "--device", "cpu", "--json", "--out", "here"]
    first = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV, cwd=home
    )
    journal, until = home / "here" / "journal.jsonl", time.monotonic() + 60
    while time.monotonic() < until and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    said = first.communicate(timeout=60)
    return home, (first.returncode, *said), call(*words, cwd=home)


def test_interrupted_is_3_and_says_so(finished: Any) -> None:
    code, out, err = finished[1]
    assert code == 3, err
    assert out == ""
    assert "members finished; they are kept; the same call resumes" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_the_same_command_resumes(finished: Any, tiny_results: Any) -> None:
    """Interrupted and resumed, the run holds the bits of one that was not."""
    home, _, done = finished
    assert done.returncode == 0, done.stderr
    mine, whole = lab.load(home / "here").data, tiny_results.data
    assert list(mine) == list(whole)
    for name, one in whole.items():
        assert mine[name].drop_vars("seconds", errors="ignore").identical(one.drop_vars("seconds", errors="ignore")), (
            name
        )


def test_json_is_one_document_and_nothing_else(finished: Any) -> None:
    """The keys are those of the issue; strict JSON; paths lead to files; progress and warnings stay off stdout."""
    home, _, done = finished
    document = json.loads(done.stdout, parse_constant=lambda text: pytest.fail(f"not strict JSON: {text}"))
    assert done.stdout.count("\n") == 1
    assert set(document) == {"study", "scale", "complete", "seconds", "claims", "report", "data", "provenance"}
    assert (document["study"], document["scale"], document["complete"]) == ("grokking", "pocket", True)
    for claim in document["claims"]:
        assert {"id", "sentence", "source", "measured", "interval", "expected", "n", "verdict", "control"} <= set(claim)
        assert {"sentence", "measured", "interval", "shows_effect"} <= set(claim["control"])
        assert claim["verdict"] in ("holds", "fails", "undecided")
        assert len(claim["interval"]) == 2
        assert isinstance(claim["control"]["shows_effect"], bool)
    assert len({claim["id"] for claim in document["claims"]}) == len(document["claims"]) >= 12
    for key in ("report", "data"):
        assert (home / document[key]).is_file(), document[key]
    assert "Warning" not in done.stderr
    assert document["provenance"]["settings"]["p"] == 7


def test_report_tells_a_finished_run_again(
    finished: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = finished[0]
    monkeypatch.chdir(home)
    (home / "here" / "report.html").unlink()
    code, out, err = in_process(["report", "here"], capsys, monkeypatch)
    assert code == 0, err
    page = (home / "here" / "report.html").read_text("utf-8")
    assert "Grokking modular arithmetic" in page
    assert "exact-accuracy" in out
    assert list((home / "here" / "figures").glob("*.svg"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_archive_is_explored_and_told_without_a_change(
    finished: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = finished[0]
    monkeypatch.chdir(home)
    before = contents(home / "here")
    code, out, err = in_process(["explore", "here", "--out", str(tmp_path / "page.html")], capsys, monkeypatch)
    assert (code, out) == (0, f"{tmp_path / 'page.html'}\n"), err
    assert "Grokking modular arithmetic" in (tmp_path / "page.html").read_text("utf-8")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    code, out, err = in_process(["report", "here"], capsys, monkeypatch)
    assert code == 0, err
    assert "exact-accuracy" in out and "phasescope explore here --out FILE" in out
    assert contents(home / "here") == before


def in_process(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["phasescope", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["list"], ["grokking", "Gromov 2023"]),
        (["show", "grokking"], ["When does a network", "2301.02679", "exact-accuracy", "on 2 cores", "as stored"]),
        (["list", "--json"], ['{"studies": [{"study": "', '"link": "https://arxiv.org/abs/2301.02679"']),
        (
            ["show", "grokking", "--json"],
            ['"question": "When does a network', '"pocket": {"p": 23', '"id": "exact-accuracy"'],
        ),
        (["doctor"], ["torch", "GFLOP/s", "cores"]),
        (["--help"], ["run", "map", "polynomial", "list", "show", "report", "doctor"]),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_the_other_commands_answer(
    words: list[str], expected: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = in_process(words, capsys, monkeypatch)
    assert code == 0, err
    assert all(text in out for text in expected), out


@pytest.mark.parametrize(
    ("study", "expected"),
    [
        ("corrupted-labels", ["2310.13061", "Table 2", "at most", "phasescope map", "phase, "]),
        pytest.param(
            "modular-polynomials", ["2406.03495", "twins", "at most", "phasescope map"], marks=pytest.mark.slow
        ),
    ],
)
def test_every_study_is_shown(
    study: str, expected: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the cost of training estimated at both scales; that of reading is left out here, which takes long."""
    monkeypatch.setattr("phasescope.commands.show.reading", lambda *_: 0.0)
    monkeypatch.setattr("phasescope.lab.cost.PROBE_SECONDS", 0.01)
    code, out, err = in_process(["show", study, "--estimate"], capsys, monkeypatch)
    assert code == 0, err
    assert all(text in out for text in expected), out


def test_the_first_reading_of_all_is_not_the_cost_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """It imports and compiles: on a busy machine that was seconds, and was counted for each of a thousand readings."""
    from phasescope.lab import cost

    now, calls = [0.0], []

    def measured(*given: Any) -> None:
        now[0] += 1.0 + 5.0 * (not calls) if given[-1] else 0.0
        calls.append(given)

    monkeypatch.setattr(cost, "measure", measured)
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    recipe = ps.Recipe(steps=10, records=5)
    asked = Experiment("slow at first", ps.learners.PowerMLP(5, 4), ps.tasks.addition(5), ps.Grid(seeds=4), recipe,
                       ps.instruments.LEARNING)  # fmt: skip
    readings = len(asked.grid) * len(record_steps(recipe))
    assert cost.reading("slow", asked, {}) == pytest.approx(readings / cores())


RUN = ["run", "grokking", "--out", "out"]
BAD: dict[str, tuple[list[str], str]] = {
    "p = 1": ([*RUN, "--set", "p=1"], "p is 1"),
    "p = 2.5": ([*RUN, "--set", "p=2.5"], "p is 2.5"),
    "p a word": ([*RUN, "--set", "p=seven"], "p is 'seven'"),
    "fraction 1": ([*RUN, "--set", "high=1"], "high is 1"),
    "fraction 0": ([*RUN, "--set", "low=0"], "low is 0"),
    "fraction in a list": ([*RUN, "--set", "fractions=[0.5,1.5]"], "1.5"),
    "fraction nan": ([*RUN, "--set", "high=NaN"], "high is nan"),
    "study": (["run", "groking", "--out", "out"], "did you mean 'grokking'?"),
    "scale": ([*RUN, "--scale", "pockt"], "did you mean 'pocket'?"),
    "setting": ([*RUN, "--set", "widht=3"], "did you mean 'width'?"),
    "no value": ([*RUN, "--set", "p"], "is not NAME=VALUE"),
    "width 0": ([*RUN, "--set", "width=0"], "width is 0"),
    "device": ([*RUN, "--device", "cuda"], "no CUDA device"),
    "device name": ([*RUN, "--device", "gpu"], "choose auto, cpu or cuda"),
    "memory": ([*RUN, "--set", "width=500000"], "GiB"),
    "learning rate": ([*RUN, "--set", "adam_rate=Infinity"], "adam_rate is inf"),
    "learning rate nan": ([*RUN, "--set", "rate_factor=NaN"], "rate_factor is nan"),
    "seeds": ([*RUN, "--seeds", "0"], "seeds is 0"),
    "seeds as a setting": ([*RUN, "--set", "seeds=0"], "seeds"),
    "a word of the API as a setting": ([*RUN, "--set", "workers=2"], "workers"),
    "set twice": ([*RUN, "--set", "p=7", "--set", "p=11"], "p= is there more than once"),
    "5,000 digits": ([*RUN, "--set", f"p={'9' * 5000}"], "too many digits"),
    "100,000 brackets": ([*RUN, "--set", f"p={'[' * 100_000}"], "200 brackets"),
    "100,000 characters": ([*RUN, "--set", f"p={'a' * 100_000}"], "at most 20,000"),
    "300 digits": ([*RUN, "--set", f"p={'9' * 300}"], "an integer of about 300 digits"),
    "a cell that no grid has": ([*RUN, "--set", "fractions=[0.4,0.8]"], "fractions = (0.4, 0.8)"),
    "a modulus of 400 digits": (["polynomial", "n1", "--p", "9" * 400], "about 400 digits"),
    "option": ([*RUN, "--sclae", "pocket"], "--sclae"),
    "command": (["rnu"], "rnu"),
    "report of nothing": (["report", "nowhere"], "nowhere"),
    "show": (["show", "groking"], "did you mean 'grokking'?"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_2_with_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line on stderr, nothing on stdout, and no folder left behind."""
    words, sentence = BAD[name]
    monkeypatch.chdir(tmp_path)
    code, out, err = in_process(words, capsys, monkeypatch)
    assert code == 2, err
    assert out == ""
    assert sentence in err
    assert err.startswith("phasescope: ")
    assert err.count("\n") == 1, err
    assert len(err) <= 420, err
    assert list(tmp_path.iterdir()) == []


def test_folders_that_can_not_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny: dict[str, Any]
) -> None:
    """An output that is a file, one whose parent is a file, and a store of a newer format."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    newer = tmp_path / "newer"
    newer.mkdir()
    for place in ("file", "file/below"):
        code, _, err = in_process(["run", "grokking", *sets(tiny), "--out", place], capsys, monkeypatch)
        assert (code, err.count("\n")) == (2, 1), err
    assert (tmp_path / "file").read_text() == "mine"
    from phasescope.store import FORMAT, Store

    with Store(newer):
        pass
    marker = newer / "store.json"
    marker.write_text(marker.read_text().replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}'))
    assert str(FORMAT + 1) in marker.read_text()
    for words in (["run", "grokking", *sets(tiny), "--out", "newer"], ["report", "newer"]):
        code, _, err = in_process(words, capsys, monkeypatch)
        assert (code, err.count("\n")) == (2, 1), err
        assert str(FORMAT + 1) in err


def test_no_traceback_from_a_process(tmp_path: Path) -> None:
    """The same through a real process: exit code, one line, nothing left."""
    done = call("run", "groking", "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


BARE = """
import typer
app = typer.Typer(help='A command.', pretty_exceptions_enable=False)
@app.command()
def run(study: str): 'Run.'
@app.command()
def show(study: str): 'Show.'
main = app
"""
LOADED = """
import sys; sys.argv = ['phasescope', '--help']
{}
try: main()
except SystemExit: print(*sys.modules, file=sys.stderr)
"""


def test_quiet_shows_no_progress_and_still_says_what_is_wrong(tmp_path: Path, tiny: dict[str, Any]) -> None:
    words = ["run", "associative-memory", "--set", "p=3", "--quiet"]
    wrong = call(*words, cwd=tmp_path)
    assert wrong.returncode == 2 and "p" in wrong.stderr
    lines = [call(*more, "papers", "000-08", cwd=tmp_path) for more in ([], ["--quiet"])]
    assert lines[0].stdout == lines[1].stdout and lines[1].stderr == ""


def test_shells_complete_commands_and_names_of_studies(tmp_path: Path) -> None:
    env = {**ENV, "_PHASESCOPE_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    for words, wanted in (("phasescope run grok", "grokking grokking-time"), ("phasescope prun", "prune")):
        env |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        code = "import sys; sys.argv[0] = 'phasescope'; from phasescope.__main__ import main; main()"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=tmp_path)
        assert found.stdout.split() == wanted.split(), found.stderr


def test_help_is_quick(tmp_path: Path) -> None:
    """It loads what a bare typer command loads, and at most 80 modules more, its own or of Python.

    How long that takes is measured in `benchmarks/start.py`, not here: a time would depend on what else runs.
    """
    ours, bare = (
        set(subprocess.run([sys.executable, "-c", LOADED.format(made)], capture_output=True, text=True, env=ENV,
                           cwd=tmp_path).stderr.split())
        for made in ("from phasescope.commands.cli import main", BARE)
    )  # fmt: skip
    roots = {name.partition(".")[0] for name in ours - bare} - set(sys.stdlib_module_names)
    assert roots == {"phasescope", "lazy_loader"}
    assert len(ours - bare) <= 80, sorted(ours - bare)
