"""Phase maps end to end: of a study and of one's own experiment, resumed, refused, told, and against the full grid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from phasescope import lab
from phasescope.ensemble import Span, last, train
from phasescope.instruments import LEARNING
from phasescope.lab import Experiment, MapResults, OrderParameter, phase_map
from phasescope.learners import PowerMLP
from phasescope.store import Store
from phasescope.tasks import addition
from phasescope.vocabulary import BadInput, Grid, Interrupted, Recipe
from test_cli import call

X, Y = "train_fraction=0.2:0.9", "lr=0.0003:0.03:log"
MINE = Experiment("mine", PowerMLP(7, 24), addition(7), Grid(), Recipe(steps=80, lr=0.03, records=4), LEARNING)
SMALL: dict[str, Any] = {"x": X, "y": Y, "tolerance": 1 / 8, "seeds": 3}
TINY = {"p": 7, "width": 24, "adam_steps": 60}


@pytest.fixture(scope="module")
def mine() -> MapResults:
    return phase_map(MINE, by="train_accuracy", **SMALL)


@pytest.fixture(scope="module")
def full() -> xr.Dataset:
    """Every place of the same lattice with every seed, trained as an ordinary grid."""
    axes = {span.name: span.values(9).tolist() for span in map(Span.parse, (Y, X))}
    grid = Grid(axes, seeds=3)
    return train(MINE.learner, MINE.task, grid, MINE.recipe or Recipe(), MINE.watch)


def test_a_map_is_the_full_grid_where_it_looked(mine: MapResults, full: xr.Dataset) -> None:
    """Each sampled place has the very networks of the full grid: same values, same medians, same majorities."""
    values = last(full.train_accuracy)
    d = mine.data
    assert d.phase.dims == ("lr", "train_fraction")
    for row, column, seed, value in zip(
        d.network_row.values, d.network_column.values, d.network_seed.values, d.network_value.values, strict=True
    ):
        assert values.values[row, column, seed] == value
    majority = (values >= 0.5).sum("seed").values >= 2
    all_seeds = d.networks.values == 3
    assert (d.phase.values == majority)[all_seeds].all()
    assert (d.phase.values == majority).mean() > 0.9


def test_a_map_says_what_it_holds(mine: MapResults) -> None:
    d = mine.data
    assert d.of_phase.values.tolist() == ["train accuracy < 0.5", "train accuracy ≥ 0.5", "no value"]
    assert int(d.sampled.sum()) == d.attrs["cells"] == int((d.networks > 0).sum())
    assert d.attrs["networks_trained"] == int(d.networks.sum()) == d.sizes["network"]
    assert d.attrs["networks_full"] == 81 * 3
    assert np.isnan(d.value.values[~d.sampled.values]).all()
    assert (d["count"].sum("of_phase") == d.networks).all()
    assert abs(sum(mine.shares().values()) - 1) < 1e-12
    low, high, along = d.boundary_low.values, d.boundary_high.values, d.boundary_along.values
    at = np.where(along == 0, d.boundary_x.values, d.boundary_y.values)
    assert ((low <= at) & (at <= high)).all() and len(at)
    assert "networks" in mine.cost() and "train accuracy" in mine.title
    assert mine.study is None and mine.command == "" and mine.directory is None and mine.told().paper is None


def test_figures_of_a_map_are_blocks(mine: MapResults) -> None:
    (figure,) = mine.figures()
    phases, *_ = figure.panels
    assert phases.values.shape == (9, 9) and phases.boundary.shape[1] == 4  # type: ignore[union-attr]
    assert "no value" not in phases.phases  # type: ignore[union-attr]


def test_a_map_is_kept_resumed_and_loaded(tmp_path: Path) -> None:
    """A second call trains nothing; what is loaded is what was drawn."""
    first = phase_map(MINE, by="train_accuracy", out=tmp_path / "run", **SMALL)
    heard: list[Any] = []
    again = phase_map(MINE, by="train_accuracy", out=tmp_path / "run", on_progress=heard.append, **SMALL)
    assert all(stage.progress.reused == stage.progress.finished for stage in heard)
    xr.testing.assert_identical(first.data, again.data)
    loaded = lab.load(tmp_path / "run")
    assert isinstance(loaded, MapResults)
    xr.testing.assert_identical(first.data, loaded.data)
    assert loaded.summary() == first.summary()


def test_an_interrupted_map_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Ctrl-C in the third round: the rounds before are kept, and the rest comes out the same."""
    rounds: set[str] = set()

    def stop(stage: Any) -> None:
        rounds.add(stage.title)
        if len(rounds) == 3:
            raise KeyboardInterrupt

    with pytest.raises((Interrupted, KeyboardInterrupt)):
        phase_map(MINE, by="train_accuracy", out=tmp_path / "run", on_progress=stop, **SMALL)
    with Store(tmp_path / "run", read_only=True) as store:
        kept = len(store.records())
    assert kept > 0
    heard: list[Any] = []
    resumed = phase_map(MINE, by="train_accuracy", out=tmp_path / "run", on_progress=heard.append, **SMALL)
    assert max(stage.progress.reused for stage in heard) > 0
    plain = phase_map(MINE, by="train_accuracy", **SMALL)
    xr.testing.assert_identical(resumed.data.drop_vars("network_seconds"), plain.data.drop_vars("network_seconds"))


def test_progress_counts_cells(tmp_path: Path) -> None:
    heard: list[Any] = []
    found = phase_map(MINE, by="train_accuracy", on_progress=heard.append, **SMALL)
    assert heard[-1].number == found.data.attrs["cells"]
    assert all(stage.number <= stage.count for stage in heard)


def test_an_order_parameter_of_ones_own_with_phases() -> None:
    """Phases by name: here by what the seed's networks do, memorize or not."""

    def read(data: xr.Dataset) -> Any:
        return (last(data.train_accuracy) > 0.9).astype(int) + (last(data.test_accuracy) > 0.9).astype(int)

    order = OrderParameter("stage", read, phases=("learns nothing", "memorizes", "generalizes"))
    found = phase_map(MINE, by=order, **SMALL)
    assert set(found.shares()) <= set(order.phases)
    assert np.isnan(found.data.value.values).all()
    assert len(found.figures()[0].panels) == 2


def test_fate_is_an_order_parameter_of_every_experiment() -> None:
    assert "generalized" in phase_map(MINE, by="fate", **SMALL).data.of_phase.values


def test_held_knobs_stay() -> None:
    """The knobs in the experiment's grid are those of every network."""
    e = Experiment("noisy", MINE.learner, MINE.task, Grid({"corruption": (0.9,)}), MINE.recipe, LEARNING)
    found = phase_map(e, by="train_accuracy", **SMALL)
    plain = phase_map(MINE, by="train_accuracy", **SMALL)
    assert found.map["held"] == {"corruption": 0.9}
    assert found.data.network_value.values.mean() != plain.data.network_value.values.mean()


def test_integer_and_log_axes_are_trained_at_their_values() -> None:
    found = phase_map(MINE, x="batch=4:12:int", y="lr=1e-4:1e-1:log", by="train_accuracy", tolerance=1 / 4, seeds=1)
    assert found.data.batch.values.tolist() == [4, 6, 8, 10, 12]
    assert found.data.batch.dtype.kind == "i"
    assert np.allclose(found.data.lr.values, np.geomspace(1e-4, 1e-1, 5))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"x": "train_fraction=0.2"}, "is not NAME=LOW:HIGH"),
        ({"x": "train_fraction=0.5:0.5"}, "at least two points"),
        ({"x": "train_fraction=0:0.9"}, r"train_fraction is 0.0: it must lie in \(0, 1\)"),
        ({"x": "moon=0:1"}, "nobody knows the grid axis 'moon'"),
        ({"x": "steps=1:9:int"}, "can not differ within one grid"),
        ({"x": "corruption=0:1.5"}, r"corruption is 1.5: it must lie in \[0, 1\]"),
        ({"x": "lr=0.1:3"}, "x and y are both 'lr'"),
        ({"by": "test_acuracy"}, "there is no order parameter 'test_acuracy'; did you mean 'test_accuracy'"),
        ({"tolerance": 0.0}, "tolerance is 0 of an axis"),
        ({"tolerance": 0.9}, "tolerance is 0.9 of an axis"),
        ({"cells": 3}, "cells is 3"),
        ({"seeds": 0}, "seeds is 0"),
        ({"confidence": 2.0}, "confidence is 2.0"),
        ({"p": 11}, "settings p belong to studies"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"by": OrderParameter("odd", lambda d: np.zeros(3))}, r"gives float64 values of shape \(3,\) for"),
        ({"by": OrderParameter("gone", lambda d: d["gone"])}, "looks for something that is not read"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        phase_map(MINE, **{**SMALL, **changes})


def test_what_can_not_be_mapped_is_refused(tmp_path: Path) -> None:
    wide = Experiment("wide", MINE.learner, MINE.task, Grid({"dropout": (0.1, 0.2)}), MINE.recipe, LEARNING)
    with pytest.raises(BadInput, match=r"'wide' can not be mapped.*not so: dropout"):
        phase_map(wide, **SMALL)
    still = Experiment("still", MINE.learner, MINE.task, Grid(), at_end=LEARNING)
    with pytest.raises(BadInput, match="'still' can not be mapped: give it a recipe"):
        phase_map(still, **SMALL)
    with pytest.raises(BadInput, match="train_fraction is"):
        phase_map(MINE, x="train_fraction=0:0.9", y=Y, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# -- the command line ---------------------------------------------------------------------------------------------------


def test_the_command_draws_keeps_and_tells(tmp_path: Path) -> None:
    """``phasescope map`` and ``phasescope report`` of its folder; the printed command is the one that was given."""
    sets = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
    words = ["map", "grokking", "--x", X, "--y", Y, "--tolerance", "0.25", "--seeds", "1", *sets]
    done = call(*words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["complete"] and document["study"] == "grokking"
    assert set(document["cost"]) >= {"cells", "cells_full", "networks_trained", "steps_full"}
    assert Path(tmp_path, document["report"]).exists() and Path(tmp_path, document["data"]).exists()
    assert "--set p=7" in document["map"]["command"] and "--x train_fraction=0.2:0.9" in document["map"]["command"]
    page = Path(tmp_path, document["report"]).read_text()
    assert "of 0 claims" not in page and "where networks were trained" in page
    told = call("report", str(Path(document["report"]).parent), cwd=tmp_path)
    assert told.returncode == 0 and "phases" in told.stdout, told.stderr


def test_the_command_refuses_in_one_sentence(tmp_path: Path) -> None:
    done = call("map", "grokking", "--x", "weight_decay=0", "--y", Y, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "NAME=LOW:HIGH" in done.stderr
    assert not list(tmp_path.iterdir())
