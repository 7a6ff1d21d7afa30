"""What a diagnosis says of a run, against runs written by hand and networks whose stability is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from torch import nn

import phasescope as ps
from phasescope.instruments import LEARNING
from phasescope.instruments.curvature import sharpness
from phasescope.instruments.logits import softmax_collapse
from phasescope.vocabulary import BadInput, Grid, Recipe

FATES = ["generalized", "memorized", "diverged", "out of steps"]
RECIPE = Recipe(steps=100, loss="cross_entropy", optimizer="sgd", lr=0.5)


def run(**readings: Any) -> xr.Dataset:
    """Four networks, one of each fate, recorded at four steps; those that left have no readings after."""
    data = xr.Dataset({name: (("seed", "step"), np.array(rows, float)) for name, rows in readings.items()})
    data["fate_step"] = ("seed", [10, 1, 47, 100])
    coords = {
        "step": [0, 1, 10, 100],
        "seed": range(4),
        "fate": ("seed", FATES),
        "last_step": ("seed", [10, 10, 10, 100]),
    }
    return data.assign_coords(coords)


def numbers(found: ps.ensemble.Diagnosis, name: str) -> list[float]:
    return [float(value) for value in found.table[name].values]


def test_fates_are_told_with_their_steps() -> None:
    found = ps.diagnosis(run(), RECIPE)
    np.testing.assert_array_equal(numbers(found, "diverged_at"), [np.nan, np.nan, 47, np.nan])
    np.testing.assert_array_equal(numbers(found, "left_at"), [10, 10, np.nan, np.nan])
    assert str(found).splitlines() == list(found.findings) == [
        "1 of 4 networks diverged, at step 47.",
        "2 of 4 networks left before step 100, at step 10: 1 generalized, 1 memorized.",
    ]  # fmt: skip
    assert set(found.table) == {"diverged_at", "left_at"} and set(found.table.coords) == {"seed"}


def test_losses_of_zero_are_counted_and_members_that_left_are_not_zero() -> None:
    nan = np.nan
    found = ps.diagnosis(run(train_loss=[[1, 0, 0, nan], [1, 1, 0, nan], [1, 2, 3, nan], [1, 1, 1, 1]]))
    assert numbers(found, "zero_losses") == [2, 1, 0, 0]
    assert "3 of 13 readings of the training loss are exactly 0, in 2 of 4 networks." in found.findings


def test_the_gap_of_accuracies_is_that_of_the_end() -> None:
    nan = np.nan
    train = [[0, 1, 1.0, nan], [0, 1, 1, nan], [0, 1, 1, nan], [0, 0.5, 0.5, 0.5]]
    test = [[0, 0, 1.0, nan], [0, 0, 0.25, nan], [0, 0, 0, nan], [0, 0.5, 0.5, 0.75]]
    found = ps.diagnosis(run(train_accuracy=train, test_accuracy=test))
    np.testing.assert_array_equal(numbers(found, "accuracy_gap"), [0, 0.75, np.nan, -0.25])
    said = "1 of 4 networks ends with a test accuracy below the training accuracy, by 0.75 in the median and 0.75 in the worst."
    assert found.findings[-1] == said


def test_collapse_is_read_or_else_bounded_by_the_loss() -> None:
    """A mean loss of 2^-26 leaves a quarter of the samples, at most, above 2^-24."""
    nan = np.nan
    read = run(softmax_collapse=[[0, 0, 0.5, nan], [0, 0, 0, nan], [0, 0.25, 1, nan], [0, 0, 0, 0]])
    found = ps.diagnosis(read)
    assert numbers(found, "collapsed") == [0.5, 0, 1, 0]
    np.testing.assert_array_equal(numbers(found, "collapsed_from"), [10, nan, 1, nan])
    assert "in 2 of 4 networks, first at steps 1 to 10, in the worst 100 % of them" in found.findings[-1]
    losses = run(train_loss=[[1, 1, 2.0**-26, nan], [1, 1, 1, nan], [1, 1, 1, nan], [1, 1, 2.0**-24, 2.0**-25]])
    found = ps.diagnosis(losses, RECIPE)
    assert numbers(found, "collapsed") == [0.75, 0, 0, 0.5]
    np.testing.assert_array_equal(numbers(found, "collapsed_from"), [10, nan, nan, 100])
    assert "in the worst at least 75 % of them" in found.findings[-1]
    for recipe in (None, Recipe(steps=100), RECIPE.model_copy(update={"dtype": "float64"})):
        assert not any("Softmax" in finding for finding in ps.diagnosis(losses, recipe).findings)
    mixed = losses.assign_coords(loss=("seed", ["mse", "mse", "cross_entropy", "cross_entropy"]))
    np.testing.assert_array_equal(numbers(ps.diagnosis(mixed, RECIPE), "collapsed"), [nan, nan, 0, 0.5])


def test_sharpness_is_told_beside_what_descent_is_stable_at() -> None:
    """2 / lr = 4; with momentum 1/2 and a decay of 1, (1 + 1/2)(4 - 1) = 4.5."""
    nan = np.nan
    data = run(sharpness=[[1, 2, 3, nan], [1, 4, 4.5, nan], [9, 9, 9, nan], [1, 2, 5, 4.5]])
    found = ps.diagnosis(data, RECIPE)
    assert numbers(found, "edge") == [0.75, 4.5 / 4, 9 / 4, 5 / 4]
    np.testing.assert_array_equal(numbers(found, "edge_from"), [nan, 1, 0, 10])
    said = (
        "The sharpness of 3 of 4 networks reaches the edge of stability, first at steps 0 to 10, and ends at 1.12 of it"
    )
    assert found.findings[-1].startswith(said)
    slow = RECIPE.model_copy(update={"momentum": 0.5, "weight_decay": 1.0})
    assert numbers(ps.diagnosis(data, slow), "edge") == [3 / 4.5, 1, 2, 5 / 4.5]
    rates = data.assign_coords(lr=("seed", [0.5, 1.0, 2.0, 0.25]), optimizer=("seed", ["sgd", "sgd", "sgd", "adam"]))
    np.testing.assert_array_equal(numbers(ps.diagnosis(rates, RECIPE), "edge"), [0.75, 4.5 / 2, 9, nan])
    alone = data.isel(seed=[2])  # it diverged: there is no end
    assert (
        ps.diagnosis(alone, RECIPE)
        .findings[-1]
        .startswith("The sharpness of 1 of 1 network reaches the edge of stability, first at step 0: ")
    )
    for changes in ({"batch": 8}, {"optimizer": "adamw"}, {"weight_decay": 4.0}):
        assert "edge" not in ps.diagnosis(data, RECIPE.model_copy(update=changes)).table


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.0), (0.5, 3.0)])
def test_descent_falls_below_the_edge_and_grows_beyond(momentum: float, decay: float) -> None:
    """A linear network has one Hessian everywhere: what the edge says of its rate is what becomes of its weights."""
    x = np.random.default_rng(1).normal(size=(40, 3))
    task = ps.tasks.Table("rows", x, x @ [[1.0], [2.0], [3.0]], 1, train_fraction=0.9)
    more = {"optimizer": "sgd", "momentum": momentum, "weight_decay": decay, "records": 2, "dtype": "float64"}
    probe = ps.train(nn.Linear(3, 1), task, Grid(), Recipe(steps=1, lr=1e-3, **more), (sharpness,))
    edge = 2 / (float(probe.sharpness[0, 0]) / (1 + momentum) + decay)
    recipe = Recipe(steps=400, **more)
    watch = (sharpness, ps.instruments.norms.weight_norm)
    data = ps.train(nn.Linear(3, 1), task, Grid({"lr": [0.97 * edge, 1.03 * edge]}), recipe, watch)
    ratio = ps.diagnosis(data, recipe).table.edge.values[:, 0]
    assert ratio[0] < 1 < ratio[1]
    assert data.weight_norm.values[0, 0, -1] < 10 and data.weight_norm.values[1, 0, -1] > 1e3


def test_a_run_that_stalls_is_told_and_a_quiet_one_says_nothing() -> None:
    stalled = Recipe(lr=0.05, steps=300, records=20, loss="cross_entropy")
    watch = (*LEARNING, softmax_collapse)
    data = ps.train(ps.learners.PowerMLP(5, 16), ps.tasks.addition(5), Grid(seeds=2), stalled, watch)
    read = ps.diagnosis(data, stalled)
    bound = ps.diagnosis(data.drop_vars("softmax_collapse"), stalled)
    assert "Softmax absorbs training samples in 2 of 2 networks" in str(read)
    assert (bound.table.collapsed <= read.table.collapsed).all()
    quiet = ps.diagnosis(run().isel(seed=[3]).drop_vars("fate_step").assign(fate_step=("seed", [100])), RECIPE)
    assert str(quiet) == "" and repr(quiet) == "nothing stands out" and quiet.findings == ()


def test_bad_input_is_named() -> None:
    for wrong in (3, xr.Dataset(), run().drop_vars("fate_step"), run().isel(step=slice(0, 0)), run().astype(str)):
        with pytest.raises(BadInput, match=f"this {type(wrong).__name__} has no fates with the steps"):
            ps.diagnosis(wrong)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="recipe is 3: give the"):
        ps.diagnosis(run(), 3)  # type: ignore[arg-type]
    named = run(sharpness=np.ones((4, 4))).assign_coords(lr=("seed", ["a", "b", "c", "d"]))
    with pytest.raises(BadInput, match="lr of this data is not what its members were trained by"):
        ps.diagnosis(named, RECIPE)
