"""Stages and phases of learning against their definition, worked out from curves whose crossings are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import phasescope as ps
from phasescope.vocabulary import BadInput

STEPS = 300
NUMBERS = ("train_step", "test_step", "lag", "lag_low", "lag_high", "ratio")


def curves(train: Any, test: Any, steps: Any = None) -> xr.Dataset:
    """Accuracies that jump from .5 to .95 at the given steps (inf: never), over seeds."""
    steps = np.arange(STEPS + 1) if steps is None else np.asarray(steps)
    rows = {"train_accuracy": train, "test_accuracy": test}
    values = {name: np.where(steps >= np.array(at, float)[:, None], 0.95, 0.5) for name, at in rows.items()}
    return xr.Dataset({name: (("seed", "step"), part) for name, part in values.items()}, {"step": steps})


def of_liu(train: float, test: float, lag: float) -> str:
    """The table of arXiv:2205.10343 and its code: who reaches the level within the budget, and how much later."""
    if train == np.inf:
        return "confusion" if test == np.inf else "test only"
    if test == np.inf:
        return "memorization"
    return "comprehension" if test - train < lag else "grokking"


AT = st.one_of(st.integers(0, STEPS), st.just(np.inf))


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(AT, AT), min_size=1, max_size=6), lag=st.integers(0, 100),
    kept=st.sets(st.integers(1, STEPS), min_size=0, max_size=40),
)  # fmt: skip
def test_phases_are_those_of_the_definition(pairs: Any, lag: int, kept: set[int]) -> None:
    """With every step recorded, exactly; of fewer records, the same phase or none, and the true lag between its ends."""
    train, test = np.array(pairs, float).T
    expected = [of_liu(*pair, lag) for pair in pairs]
    dense = ps.stages(curves(train, test), lag=lag)
    assert dense.phase.values.tolist() == expected
    np.testing.assert_array_equal(dense.train_step, np.where(np.isinf(train), np.nan, train))
    both = np.isfinite(train) & np.isfinite(test)
    true = np.where(both, test - np.where(both, train, 0), np.nan)
    for name in ("lag", "lag_low", "lag_high"):
        np.testing.assert_array_equal(dense[name], true)
    sparse = ps.stages(curves(train, test, sorted({0, STEPS, *kept})), lag=lag)
    for found, exact, is_both in zip(sparse.phase.values, expected, both, strict=True):
        assert found == exact or (found == "undecided" and is_both)
    assert (sparse.lag_low.values[both] <= true[both]).all() and (true[both] <= sparse.lag_high.values[both]).all()


def test_levels_are_two_and_the_first_record_at_one_counts() -> None:
    data = xr.Dataset(
        {"train_accuracy": ("step", [0.2, 0.8, 1.0, 0.7, 1.0]), "test_accuracy": ("step", [0.1, 0.3, 0.5, 0.9, 0.4])},
        {"step": [0, 1, 10, 100, 1000]},
        {"seeds": "0 to 2"},
    )
    found = ps.stages(data, levels=(1.0, 0.5), lag=5)
    assert found.attrs["seeds"] == "0 to 2"  # how the data were made is told of what is read off them too
    assert [float(found[name]) for name in NUMBERS] == [10, 10, 0, -8, 8, 1]
    assert found.phase.item() == "undecided"  # both came between steps 2 and 10
    assert ps.stages(data, levels=(0.8, 0.9), lag=10).phase.item() == "grokking"
    assert ps.stages(data, levels=(0.8, 0.9), lag=1000).phase.item() == "comprehension"
    assert found.attrs["levels"] == (1.0, 0.5) and "2205.10343" in found.attrs["source"]
    assert found.lag.attrs["units"] == "step" and found.ratio.attrs["units"] == "1"


def test_what_left_early_is_undecided_and_what_diverged_is_diverged() -> None:
    """Readings end where a member left; what it had not reached by then nobody knows."""
    nan = np.nan
    train = [[0.1, 1, 1, 1], [0.1, 1, 1, nan], [0.1, 0.2, nan, nan], [0.1, 1, 1, nan], [0.1, 1, 1, nan], [nan, 1, 1, 1]]
    test = [[0.1, 0.1, 0.2, 0.2], [0.1, 0.1, 0.2, nan], [0.1, 0.1, nan, nan], [0.1, 0.1, 1, nan], [0.1, 1, 1, nan],
            [0.1, 0.1, nan, 0.2]]  # fmt: skip
    fates = ["memorized", "memorized", "out of steps", "diverged", "generalized", "memorized"]
    data = xr.Dataset(
        {"train_accuracy": (("member", "step"), train), "test_accuracy": (("member", "step"), test)},
        {"step": [0, 1, 2, 3], "fate": ("member", fates), "last_step": ("member", [3, 2, 1, 2, 2, 3]),
         "lr": ("member", np.arange(6.0))},
    )  # fmt: skip
    found = ps.stages(data, lag=5)
    phases = ["memorization", "undecided", "undecided", "diverged", "comprehension", "undecided"]
    assert found.phase.values.tolist() == phases
    assert found.train_step.values[:2].tolist() == [1, 1] and np.isnan(found.train_step.values[2])
    assert found.test_step.values[3] == 2  # what it had reached stays a fact
    assert found.lr.values.tolist() == list(range(6)) and set(found.coords) == {"lr"}
    cut = ps.stages(data.sel(step=slice(0, 1)), lag=5)  # by one step, before it diverged, all is known
    known = ["memorization", "memorization", "confusion", "memorization", "comprehension", "memorization"]
    assert cut.phase.values.tolist() == known


def test_stages_of_networks_that_were_trained_on_a_grid_and_off_it() -> None:
    """Networks that see four fifths of the table, and decay, know it; without decay, with half of it, they memorize."""
    cells = [{"weight_decay": 0.0, "train_fraction": 0.5}, {"weight_decay": 1.0, "train_fraction": 0.8}]
    scatter = ps.Scatter([ps.Member(cell, seed) for cell in cells for seed in (0, 1)])
    grid = ps.Grid({"weight_decay": [0.0, 1.0], "train_fraction": [0.5, 0.8]}, seeds=2)
    recipe = ps.Recipe(steps=300, lr=0.01, records=300, spacing="linear")
    task, watch = ps.tasks.addition(11), ps.instruments.LEARNING
    data, table = (ps.train(ps.learners.PowerMLP(11, 64), task, over, recipe, watch) for over in (scatter, grid))
    found, of_grid = ps.stages(data, (0.99, 0.9), lag=20), ps.stages(table, (0.99, 0.9), lag=20)
    assert set(found.sizes) == {"member"} and set(of_grid.sizes) == {"weight_decay", "train_fraction", "seed"}
    for name in (*NUMBERS, "phase"):
        expected = [of_grid[name].sel(cell).values for cell in cells]
        np.testing.assert_array_equal(found[name].values.reshape(2, 2), expected)
    assert found.phase.values.tolist()[:2] == ["memorization"] * 2
    assert set(found.phase.values.tolist()[2:]) <= {"comprehension", "grokking"}
    for name, level in (("train", 0.99), ("test", 0.9)):
        for row, step in zip(data[f"{name}_accuracy"].values, found[f"{name}_step"].values, strict=True):
            reached = np.flatnonzero(row >= level)  # every step was recorded
            assert reached[0] == step if len(reached) else np.isnan(step)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"data": None}, "there is no train_accuracy over step in this NoneType: give what ps.train returned"),
        ({"data": xr.Dataset({"train_accuracy": ("step", [0.1])})}, "there is no test_accuracy over step"),
        ({"levels": 0.9}, "levels is 0.9: give two"),
        ({"levels": (0.9, 0.9, 0.9)}, "give two"),
        ({"levels": (0.9, 1.1)}, "a level is 1.1"),
        ({"levels": (0.0, 0.9)}, "a level is 0.0"),
        ({"lag": -1}, "lag is -1"),
        ({"data": curves([1], [2]).sel(step=slice(-3, -1))}, "no train_accuracy over step"),
    ],
)
def test_bad_input_is_named(wrong: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        ps.stages(**{"data": curves([1], [2]), **wrong})
