"""``ps.train`` and ``ps.simulate`` as users call them: the folder that keeps and resumes, the bar, what the data say."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import phasescope as ps
from phasescope.ensemble import choice
from phasescope.ensemble.jobs import jobs
from phasescope.ensemble.tile import Prepared
from phasescope.lab import bar, sweep
from phasescope.lab.folder import results_in
from phasescope.lab.kept import difference, refuse_own

RECIPE = ps.Recipe(steps=6, records=3, lr=0.05, loss="cross_entropy")
CPU: dict[str, Any] = {"device": "cpu", "workers": 1, "engine": "looped"}
NUMBERS = np.random.default_rng(0).standard_normal((20, 4))
POINTS = ps.tasks.Table("points", NUMBERS, np.arange(20) % 2, 2, train_fraction=0.6)


class Net(nn.Module):
    """A network of a user's own; ``gain`` is a number that only its code knows."""

    def __init__(self, width: int = 3, gain: float = 1.0) -> None:
        super().__init__()
        self.a, self.b, self.gain = nn.Linear(4, width), nn.Linear(width, 2), gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * self.b(torch.relu(self.a(x)))  # type: ignore[no-any-return]


def go(out: Any = None, grid: ps.Grid | None = None, **changed: Any) -> xr.Dataset:
    asked = {"learner": Net(), "task": POINTS, "recipe": RECIPE, **CPU, **changed}
    learner, task, recipe = (asked.pop(name) for name in ("learner", "task", "recipe"))
    return ps.train(learner, task, grid or ps.Grid({"lr": [0.05, 0.1]}, seeds=2), recipe, out=out, **asked)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xr.Dataset]:
    """A folder that holds a finished run, and its data."""
    folder = tmp_path_factory.mktemp("sweep") / "run"
    return folder, go(folder)


# -- the folder --------------------------------------------------------------------------------------------------------


def test_the_same_call_trains_nothing_again_and_load_gives_the_same_data(kept: tuple[Path, xr.Dataset]) -> None:
    folder, data = kept
    heard: list[ps.ensemble.Progress] = []
    assert go(folder, on_progress=heard.append).identical(data)  # the seconds too
    assert (heard[-1].reused, heard[-1].steps_done) == (4, 0)
    assert ps.load(folder).identical(data)  # type: ignore[union-attr]
    with pytest.raises(ps.BadInput, match="which have no page"):
        results_in(folder)
    with ps.Store(folder) as store, pytest.raises(ps.BadInput, match="holds a training of a call in Python"):
        refuse_own(store)


def test_more_seeds_and_values_are_added_and_fewer_take_nothing_away(tmp_path: Path) -> None:
    first = go(tmp_path / "run")
    heard: list[ps.ensemble.Progress] = []
    grid = ps.Grid({"lr": [0.1, 0.05, 0.2]}, seeds=3)
    more = go(tmp_path / "run", grid, on_progress=heard.append)
    assert (heard[-1].members, heard[-1].reused) == (9, 4)
    alone = go(grid=grid)
    assert more.drop_vars("seconds").equals(alone.drop_vars("seconds"))  # as in one run, bit for bit
    assert go(tmp_path / "run").identical(first)
    loaded = ps.load(tmp_path / "run")
    assert isinstance(loaded, xr.Dataset) and loaded.identical(more)


def squared(factor: float) -> Callable[..., torch.Tensor]:
    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return factor * ((outputs - nn.functional.one_hot(targets, 2)) ** 2).mean(-1)

    return loss


def test_a_loss_of_ones_own_is_known_by_what_it_does(tmp_path: Path) -> None:
    data = go(tmp_path / "run", recipe=RECIPE.model_copy(update={"loss": squared(1.0)}))
    assert data.train_loss.attrs["units"] == "loss" and "squared.<locals>.loss" in data.attrs["recipe"]
    with pytest.raises(ps.BadInput, match="a run with another loss of the name that this call has"):
        go(tmp_path / "run", recipe=RECIPE.model_copy(update={"loss": squared(2.0)}))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "recipe": ({"recipe": RECIPE.model_copy(update={"batch": 4})}, "batch = None, where this call has 4"),
    "steps": (
        {"recipe": RECIPE.model_copy(update={"steps": 9})},
        "steps = 6, where this call has 9 and reads networks at other steps",
    ),
    "axes": ({"grid": ps.Grid(seeds=2)}, "the axes lr, where this call has none"),
    "numbers of the data": (
        {"task": ps.tasks.Table("points", NUMBERS, np.arange(20) % 2, 2, train_fraction=0.5)},
        "train_fraction = 0.6, where this call has 0.5",
    ),
    "data": (
        {"task": ps.tasks.Table("points", 2 * NUMBERS, np.arange(20) % 2, 2, train_fraction=0.6)},
        "another task of the name points",
    ),
    "network": ({"learner": Net(gain=2.0)}, "another learner of the name .*Net, whose code or numbers were others"),
    "kind of network": ({"learner": nn.Linear(4, 2)}, "the learner .*Net, where this call has .*Linear"),
    "instruments": ({"watch": ()}, "the instruments train_accuracy, .*, where this call has none"),
    "weights kept": ({"keep": [6]}, "the weights kept at none, where this call has 6"),
    "engine": ({"engine": "stacked"}, "the engine looped, cpu, where this call has stacked, cpu"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_another_run_is_refused_with_what_differs(kept: tuple[Path, xr.Dataset], what: str) -> None:
    folder, _ = kept
    changed, said = REFUSED[what]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}
    with pytest.raises(ps.BadInput, match=said) as raised:
        go(folder, **changed)
    assert str(raised.value).endswith("name another folder; what is there stays as it is, and ps.load opens it.")
    assert all(path.read_bytes() == data for path, data in before.items())


def test_other_versions_and_code_are_another_run() -> None:
    there = {"surroundings": {"torch": "2.5", "numpy": "2.0"}, "code": "a"}
    here = {"surroundings": {"torch": "2.6", "numpy": "2.0"}, "code": "b"}
    assert difference(there, here) == "a run with torch = '2.5', where this call has '2.6'"
    assert difference({**here, "code": "a"}, here) == "a run of other code of Phasescope"
    assert difference(here, here) == ""


def test_a_function_of_the_member_is_known_by_what_it_makes(tmp_path: Path) -> None:
    """Its code may change, for instance for new values, as long as the networks that are there stay what they are."""
    out, grid = tmp_path / "run", ps.Grid({"width": [2, 3]}, seeds=2)
    go(out, grid, learner=lambda member: Net(int(member["width"])))
    wider = ps.Grid({"width": [2, 3, 5]}, seeds=2)
    heard: list[ps.ensemble.Progress] = []
    go(out, wider, learner=lambda member: Net(5 if member["width"] == 5 else member["width"]), on_progress=heard.append)
    assert heard[-1].reused == 4
    with pytest.raises(ps.BadInput, match="seed 0 of another learner, for what makes it"):
        go(out, wider, learner=lambda member: Net(member["width"], 1.0 if member["width"] == 2 else 2.0))
    with pytest.raises(ps.BadInput, match="of another learner, for what makes it"):  # where no member is met again
        go(out, ps.Grid({"width": [2, 3]}, [7]), learner=lambda member: Net(member["width"], 2.0))
    assert go(out, ps.Grid({"width": [2, 3]}, [7]), learner=lambda member: Net(member["width"])).sizes["seed"] == 1


def test_a_folder_is_where_it_was_when_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    def make(member: ps.Member) -> Net:
        monkeypatch.chdir(tmp_path / "elsewhere")
        return Net()

    go("run", learner=make)
    assert (tmp_path / "run" / "results.safetensors").exists()


@pytest.mark.parametrize("out", [True, False])
def test_an_interrupted_call_says_so_before_anything_is_trained(out: bool, tmp_path: Path) -> None:
    def ask(member: ps.Member) -> Net:
        raise KeyboardInterrupt

    said = "the same call resumes" if out else "nothing is kept without a store"
    with pytest.raises(ps.Interrupted, match=said):
        go(tmp_path / "run" if out else None, learner=ask)


def test_where_nothing_is_finished_any_run_may_begin(tmp_path: Path) -> None:
    with pytest.raises(ps.BadInput, match="engine is 'fused'"):  # the folder is there by then
        go(tmp_path / "run", learner=Net(4), engine="fused")
    assert (tmp_path / "run" / "run.json").exists()
    assert go(tmp_path / "run").sizes["seed"] == 2


@pytest.mark.parametrize("what", ["file", "other files", "keeper's", "open", "damaged"])
def test_a_folder_that_can_not_be_used_has_one_sentence(tmp_path: Path, what: str) -> None:
    out = tmp_path / "run"
    said = {
        "file": "is a file: name a folder", "other files": "is no store but holds 'notes.txt'",
        "keeper's": "holds a run that another call began", "open": "is already open in this process",
        "damaged": "run.json is not what was written there",
    }[what]  # fmt: skip
    if what == "file":
        out.write_text("mine")
    elif what == "other files":
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    else:
        store = ps.Store(out)
        store.save({"p": 7, "seed": 0}, {"x": np.zeros(1)}, {})
        if what != "open":
            store.close()
    if what == "damaged":
        (out / "run.json").write_text("{")
    with pytest.raises(ps.BadInput, match=said):
        go(out)
    store = None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"out": 3}, "out is 3: give the path of a folder"),
        ({"progress": "yes"}, "progress is 'yes': give True or False"),
        ({"on_progress": 3}, "on_progress is 3: give a function"),
    ],
)
def test_bad_options_have_one_sentence(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ps.BadInput, match=said):
        go(**options)
    with ps.Store(tmp_path / "store") as store, pytest.raises(ps.BadInput, match="out and keeper are both given"):
        go(tmp_path / "run", keeper=store)
    assert not (tmp_path / "run").exists()


def stop_after(members: int) -> Callable[[ps.ensemble.Progress], None]:
    def heard(progress: ps.ensemble.Progress) -> None:
        if progress.finished >= members:
            raise KeyboardInterrupt

    return heard


def test_what_was_stopped_goes_on(tmp_path: Path) -> None:
    with pytest.raises(
        ps.Interrupted, match=r"interrupted with \d of 4 members finished; they are kept; the same call"
    ):
        go(tmp_path / "run", on_progress=stop_after(1))
    with pytest.raises(ps.BadInput, match=r"is not finished \(\d members are\): the same call goes on"):
        ps.load(tmp_path / "run")
    assert go(tmp_path / "run").drop_vars("seconds").equals(go().drop_vars("seconds"))


def test_a_run_keeps_its_engine_on_other_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = jobs(Net(), POINTS, ps.Grid(seeds=2), RECIPE)
    chosen = choice.Choice("looped", 1, {"looped:1": 5.0}, ["a note"])
    monkeypatch.setattr(choice, "choose", lambda *asked: chosen)
    with ps.Store(tmp_path / "run") as store:
        cpu = torch.device("cpu")
        assert choice.chosen_for(made, cpu, "auto", None, 2, store, Prepared()) == chosen
        monkeypatch.setattr(choice, "choose", lambda *asked: pytest.fail("chosen again"))
        assert choice.chosen_for(made, cpu, "auto", None, 1, store, Prepared()) == chosen


# -- what the data say -------------------------------------------------------------------------------------------------


def test_losses_and_accuracies_are_watched_unless_told_otherwise(kept: tuple[Path, xr.Dataset]) -> None:
    watched = {i.name for i in ps.instruments.LEARNING}
    units = {"train_loss": "nats", "test_loss": "nats", "train_accuracy": "1", "test_accuracy": "1"}
    assert watched == units.keys() <= set(kept[1])
    assert {name: kept[1][name].attrs["units"] for name in units} == units
    assert all("units" in kept[1][name].attrs for name in (*kept[1].data_vars, "step", "last_step"))
    assert not watched & set(go(watch=(), grid=ps.Grid()))


def test_the_data_say_how_they_were_made(kept: tuple[Path, xr.Dataset]) -> None:
    said = kept[1].attrs
    assert all(isinstance(value, str) for value in said.values())
    recipe = ps.Recipe(lr=RECIPE.lr, **json.loads(said["recipe"]))  # the axis is not in it
    assert recipe == RECIPE and "Infinity" in said["recipe"]
    assert said["learner"] == "Net" and said["task"] == "points" and said["device"] == "cpu"
    assert json.loads(said["seeds"]) == [0, 1] and said["engine"] == "looped, 1 at a time"
    assert json.loads(said["versions"])["torch"] == torch.__version__


def test_the_engine_is_told_with_its_timings_and_for_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter(
        [choice.Choice("looped", 1, {"looped:1": 5.0}, ["traced left out: it branches"]), choice.Choice("looped", 1)]
    )
    monkeypatch.setattr(choice, "choose", lambda *asked: next(found))
    monkeypatch.setattr(choice, "_KNOWN", {})
    grid = ps.Grid({"width": [2, 3]}, seeds=2)
    said = go(learner=lambda member: Net(int(member["width"])), grid=grid, engine="auto").attrs["engine"]
    assert said.splitlines() == [
        "2 members: looped, 1 at a time (microseconds per network and step: looped:1 5); traced left out: it branches",
        "2 members: looped, 1 at a time",
    ]


def test_the_data_can_leave_as_a_table_and_as_netcdf(kept: tuple[Path, xr.Dataset], tmp_path: Path) -> None:
    _, data = kept
    data.to_netcdf(tmp_path / "data.nc", engine="scipy")  # which is always there
    with xr.open_dataset(tmp_path / "data.nc", engine="scipy") as back:
        assert back.load().identical(data)
    frame = data[["train_loss", "test_accuracy"]].to_dataframe().reset_index()
    assert len(frame) == 2 * 2 * data.sizes["step"] and {"lr", "seed", "step", "fate"} <= set(frame)
    one = frame[(frame.lr == 0.1) & (frame.seed == 1)]
    assert np.array_equal(one.train_loss, data.train_loss.sel(lr=0.1, seed=1))


# -- the bar -----------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_drawn_in_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bar, "EVERY", {"terminal": 0.0, "log": 60.0})
    seen = {}
    for name, stream, options in (
        ("terminal", Terminal(), {}), ("file", io.StringIO(), {}), ("off", Terminal(), {"progress": False}),
        ("own", Terminal(), {"on_progress": lambda progress: None}),
    ):  # fmt: skip
        monkeypatch.setattr(sys, "stderr", stream)
        go(grid=ps.Grid(seeds=2), **options)
        seen[name] = stream.getvalue()
    assert "2/2 members" in seen.pop("terminal")
    assert seen == {"file": "", "off": "", "own": ""}


def test_a_bar_is_drawn_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    fake: Any = ModuleType("IPython.display")
    fake.HTML, fake.display = str, lambda words, display_id: SimpleNamespace(update=shown.append)
    shell = SimpleNamespace(kernel=1)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    go(grid=ps.Grid(seeds=2))
    assert "preparing" in shown[0] and "2/2 members" in shown[-1] and "value='1.0000'" in shown[-1]
    shell = SimpleNamespace()  # IPython in a terminal
    assert bar.place_here() in ("terminal", "log")


def test_a_study_and_a_map_draw_a_bar_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bar, "EVERY", {"terminal": 0.0, "log": 60.0})
    e = ps.Experiment("short", ps.learners.PowerMLP(5, 8), ps.tasks.addition(5), ps.Grid(), ps.Recipe(steps=3))
    paper, nothing = ps.Paper("A", 2024, "B", "", ""), lambda *given: ()
    study = ps.Study("bars", "Bars", "?", paper, {"pocket": ps.Settings()}, lambda s: {"e": e}, nothing, nothing)
    ends = {"x": "train_fraction=0.4:0.8", "y": "lr=0.01:0.1:log", "by": "fate", "tolerance": 0.5, "seeds": 1}
    for options in ({}, {"progress": False}):
        monkeypatch.setattr(sys, "stderr", Terminal())
        ps.run(study, out=tmp_path / f"run{len(options)}", **options)
        assert ("1/1 short" in sys.stderr.getvalue()) == (not options)  # type: ignore[attr-defined]
        monkeypatch.setattr(sys, "stderr", Terminal())
        ps.phase_map(e, **ends, **options)
        assert ("members" in sys.stderr.getvalue()) == (not options)  # type: ignore[attr-defined]


def test_what_is_told_between_two_drawings_is_left_out() -> None:
    said: list[str] = []
    drawn = bar.Bar("lines", SimpleNamespace(print=lambda words, soft_wrap: said.append(words)))  # type: ignore[arg-type]
    for place in range(5):
        drawn("run", place / 5, f"{place}")
    assert said == ["run: 0"]


def test_a_log_tells_of_long_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(bar, "EVERY", {"log": 0.01})
    with bar.bar("training", "steps", True, None) as tell:
        time.sleep(0.02)
        tell(ps.ensemble.Progress(3, 30))
    assert stream.getvalue().startswith("training: 0/3 members") and stream.getvalue().endswith("left\n")


# -- one's own loop ----------------------------------------------------------------------------------------------------


def walk(member: ps.Member, generators: Any) -> dict[str, Any]:
    return {"end": member["scale"] * generators("walk").standard_normal(int(member["length"])).sum()}


def walks(seeds: int = 2, **fixed: Any) -> ps.Simulation:
    end = ps.Quantity("end", "1", "here")
    return ps.Simulation("walks", walk, ps.Grid({"length": [3, 5]}, seeds=seeds), [end], {"scale": 1.0, **fixed})


def test_a_loop_of_ones_own_is_kept_extended_and_told(tmp_path: Path) -> None:
    heard: list[ps.ensemble.Progress] = []
    how: dict[str, Any] = {"out": tmp_path / "run", "workers": 1, "on_progress": heard.append}
    data = ps.simulate(walks(), **how)
    assert ps.simulate(walks(), **how).identical(data) and heard[-1].reused == 4
    more = ps.simulate(walks(seeds=3), **how)
    assert (heard[-1].members, heard[-1].reused) == (6, 4) and more.sel(seed=[0, 1]).end.equals(data.end)
    loaded = ps.load(tmp_path / "run")
    assert isinstance(loaded, xr.Dataset) and loaded.identical(more)
    assert data.attrs["simulation"] == "walks" and json.loads(data.attrs["fixed"]) == {"scale": 1.0}
    with pytest.raises(ps.BadInput, match=r"scale = 1.0, where this call has 2.0"):
        ps.simulate(walks(scale=2.0), out=tmp_path / "run")
    with pytest.raises(ps.BadInput, match="holds a simulation, where this call is a training"):
        go(tmp_path / "run")


def test_words_that_json_lacks() -> None:
    assert sweep.as_json([float("-inf"), {"a": (1, float("nan"))}]) == '["-Infinity", {"a": [1, "NaN"]}]'


# -- in notebooks ------------------------------------------------------------------------------------------------------


def test_what_a_study_is_made_of_shows_itself_in_notebooks() -> None:
    from phasescope.lab import study_named

    study = study_named("grokking")
    settings = study.scales["pocket"]
    claim = study.claims(settings)[0]
    recipe = ps.Recipe(lr=0.3, schedule=lambda step: 1 / step)
    grid = ps.Grid({"<b>": [1, 2]}, seeds=20)
    shown = [thing._repr_html_() for thing in (study, claim, recipe, grid)]
    for text, words in zip(shown, (study.question, claim.control.sentence, "0.3", "20 seeds, 0 to 19"), strict=True):
        assert words in text and text.endswith("</table>")
    assert "&lt;b&gt;" in shown[3] and "lambda" in shown[2] and "momentum" not in shown[2]
