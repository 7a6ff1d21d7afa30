"""Settings that contradict each other are refused before anything is trained, and none that work are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from phasescope import Grid, Member, Simulation, lab
from phasescope.ensemble import Quantity
from phasescope.ensemble import Simulation as Simulated
from phasescope.lab import Study
from phasescope.lab import bench as _lab
from phasescope.lab.rehearsal import rehearse
from phasescope.lab.settings import folder_name, settings_of
from phasescope.testing import check_study
from phasescope.verdict import Claim, Control, Expectation, Source
from phasescope.vocabulary import BadInput, Generators, Interrupted, Settings

GROKKING = lab.study_named("grokking")


class Planned(Exception):
    """The run got as far as its store."""


def plan(monkeypatch: pytest.MonkeyPatch, study: Any, **changes: Any) -> None:
    """Run up to the first file."""

    def stop(*_: object) -> None:
        raise Planned

    monkeypatch.setattr(_lab, "Store", stop)
    with pytest.raises(Planned):
        lab.run(study, settings=changes, device="cpu")


@pytest.mark.parametrize(
    "changes",
    [{"fractions": [0.4, 0.8]}, {"middle": 0.45}, {"fractions": [0.5, 0.6, 0.7, 0.8, 0.9]}, {"high": 0.4}],
    ids=str,
)
def test_a_cell_that_no_grid_has(changes: dict[str, Any], tmp_path: Path, tiny: dict[str, Any]) -> None:
    started = time.process_time()
    with pytest.raises(BadInput) as error:
        lab.run("grokking", out=tmp_path / "run", device="cpu", settings={**tiny, **changes})
    assert time.process_time() - started < 5
    assert "contradict each other" in str(error.value) and len(str(error.value)) <= 400
    assert next(iter(changes)) in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("study", ["grokking", "manifold-capacity", "model-collapse"])
def test_a_scale_of_a_study_is_not_refused(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(monkeypatch, study)


@pytest.mark.slow
@pytest.mark.parametrize("study", lab.study_points())
def test_no_scale_is_refused(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(monkeypatch, study)


@pytest.mark.parametrize(
    "changes",
    [{"seeds": 2}, {"steps": 50}, {"fractions": [0.3, 0.4, 0.5, 0.8, 0.9]}, {"p": 11}, {"width": 64}],
    ids=str,
)
def test_what_works_is_not_refused(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    plan(monkeypatch, "grokking", **changes)


class WalkSettings(Settings):
    length: int = 5
    seeds: int = 2


def walk(member: Member, generators: Generators) -> dict[str, Any]:
    return {"path": np.zeros(int(member["length"]))}


def study_of(effect: Any, dims: tuple[str, ...] = ("step",)) -> Study:
    def experiments(s: WalkSettings) -> dict[str, Simulation]:
        return {
            "walk": Simulated(
                "walk", walk, Grid({"length": [s.length]}, seeds=s.seeds), (Quantity("path", "1", "here", dims),)
            )
        }

    def claims(s: WalkSettings) -> list[Claim]:
        control = Control("nothing", lambda data: np.zeros(s.seeds))
        return [
            Claim("end", "It ends", Source(ours="here"), lambda data: effect(data, s), Expectation.at_least(0), control)
        ]

    return Study(
        "walks", "Walks", "Where?", GROKKING.paper, {"pocket": WalkSettings()}, experiments, claims, lambda data, s: ()
    )


def test_a_place_on_an_axis_of_unknown_length_is_left_to_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows how long the walk is before it was walked; a claim about its last step is judged at the end."""
    for length in (5, 5000):
        plan(monkeypatch, study_of(lambda d, s: d["walk"].path.values[:, 0, s.length - 1]), length=length)


def test_a_reading_that_is_not_there_is_refused() -> None:
    study = study_of(lambda d, s: d["walk"].pth.values[0, :, 0])
    with pytest.raises(BadInput, match="'end' looks for what"):
        lab.run(study, device="cpu")


def test_a_fault_of_a_study_is_not_renamed() -> None:
    """Where nothing was changed, settings are not to blame."""
    study = study_of(lambda d, s: d["walk"].path.values[0, :, 0])
    broken = Study(**{**study.__dict__, "claims": lambda s: [][s.length]})
    with pytest.raises(IndexError):
        lab.run(broken, device="cpu")
    with pytest.raises(BadInput, match="length = 7"):
        lab.run(broken, settings={"length": 7}, device="cpu")


def test_the_made_up_data_have_the_names_and_axes_of_the_true_ones(tiny_results: Any) -> None:
    """Every variable of a run is there beforehand, over the same axes at the same places."""
    from phasescope.lab.rehearsal import made_up

    experiments = GROKKING.experiments(tiny_results.settings)
    plans = {name: e.plan("cpu") for name, e in experiments.items()}
    for name, made in made_up(experiments, plans, 8).items():
        true = tiny_results[name]
        assert set(true.variables) <= set(made.variables)
        for reading, values in true.data_vars.items():
            assert made[reading].dims == values.dims, (name, reading)
        for key, places in true.coords.items():
            if key not in ("step", "fate", "last_step"):
                np.testing.assert_array_equal(made[key].values, places.values)
            elif key == "step":
                assert set(places.values.tolist()) <= set(made[key].values.tolist()), name
    rehearse(
        GROKKING.claims(tiny_results.settings),
        lambda *_: (),
        experiments,
        plans,
        tiny_results.settings,
        tiny_results.settings,
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("seeds", 10**6, "at most 10,000"),
        ("p", 10**400, "an integer of about 400 digits"),
        ("p", 10**5000, "an integer of about 5000 digits"),
        ("width", 10**9, "at most"),
        ("fractions", [0.5] * 2000, "at most 1,000"),
        ("decays", ["x" * 10_000], "decays"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_are_bounded(name: str, value: Any, said: str) -> None:
    with pytest.raises(BadInput) as error:
        settings_of(GROKKING, "pocket", {name: value})
    assert said in str(error.value) and len(str(error.value)) <= 400


def test_a_long_name_of_a_folder_is_cut() -> None:
    names = [folder_name("run-" + "x" * 300 + end) for end in "ab"]
    assert len(set(names)) == 2 and max(map(len, names)) == 200


def test_ctrl_c_between_two_trainings_is_interrupted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Judging is no training, and yet the run can be taken up again."""

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_lab, "judge", stopped)
    with pytest.raises(Interrupted, match="the same call resumes"):
        lab.run(study_of(lambda d, s: d["walk"].path.values[0, :, 0]), device="cpu", out=tmp_path / "run")


class Elsewhere:
    """An experiment of a kind of one's own: networks that another program has trained."""

    title, unit, budget, kind = "elsewhere", "members", 2, "trained"
    grid = Grid({"width": [8, 16]}, seeds=3)

    def with_seeds(self, seeds: Any) -> Elsewhere:
        """They are what they are."""
        return self

    def plan(self, device: str = "auto", workers: int | None = None) -> None:
        """Nothing can be refused."""

    def leaves(self, planned: None) -> list[Quantity]:
        return [Quantity("loss", "nats", "elsewhere", ("layer",), {"layer": [0, 1]})]

    def run(
        self, planned: None, keeper: Any, device: str = "auto", workers: int | None = None, on_progress: Any = None
    ) -> xr.Dataset:
        values = np.arange(12.0).reshape(2, 3, 2)
        return xr.Dataset({"loss": (("width", "seed", "layer"), values)}, {**self.grid.coords, "layer": [0, 1]})


def test_an_experiment_may_be_of_a_kind_of_ones_own(tmp_path: Path) -> None:
    def claims(s: WalkSettings) -> list[Claim]:
        loss = lab.measures.value("loss", layer=1)
        at = lab.measures.at
        return [
            Claim("deep", "Is it?", Source(ours="here"), loss(at("other", width=16)), Expectation.at_least(6.5),
                  Control("narrow", at("other", width=8)))
        ]  # fmt: skip

    paper = GROKKING.paper
    study = Study("other", "T", "Q?", paper, {"pocket": WalkSettings()}, lambda s: {"other": Elsewhere()}, claims,
                  lambda data, s: ())  # fmt: skip
    found = check_study(study, tmp_path / "run")
    np.testing.assert_array_equal(found["other"].loss.sel(width=16, layer=1), [7, 9, 11])
    wrong = Study(**{**study.__dict__, "claims": lambda s: [Claim("x", "?", Source(ours="here"), lab.measures.value("los")(
        lab.measures.at("other", width=16)), Expectation.at_least(1), Control("c", lab.measures.at("other", width=8)))]})  # fmt: skip
    with pytest.raises(BadInput, match="looks for what they do not make"):
        lab.run(wrong, out=tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()
