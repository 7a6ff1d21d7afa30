"""Grids, members and recipes take what plainly says the right thing, and refuse all else in one sentence."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch

import phasescope as ps
from phasescope.vocabulary import as_instrument


def test_numbers_of_numpy_and_torch_become_pythons() -> None:
    grid = ps.Grid({"lr": np.logspace(-3, -2, 3), "k": torch.tensor([1, 2]), "f": range(2)}, seeds=np.int64(2))
    assert grid.shape == (3, 2, 2, 2)
    for member in grid:
        assert [type(v) for v in member.knobs.values()] == [float, int, int]
        assert type(member.seed) is int
    assert ps.Grid(seeds=np.array([4, 7])).seed_values == (4, 7)
    assert ps.Grid(seeds=(3,)).coords == {"seed": [3]}
    loose: Any = np.float32(0.25)
    assert type(ps.Member({"lr": loose}, 0)["lr"]) is float


def test_a_grid_keeps_its_values_when_the_list_changes() -> None:
    values = [1, 2]
    grid = ps.Grid({"a": values})
    values.append(3)
    assert grid.shape == (2, 1)


AXES: list[Any] = [
    {"lr": 0.1}, {"lr": "ab"}, {"lr": []}, {"lr": [1, 1]}, {"lr": [1, 1.0]}, {"lr": [[1], [2]]}, {"lr": {1: 2}},
    {"lr": {1, 2}}, {"lr": [float("nan")]}, {"lr": [None]}, {"lr": [2**64]}, {"lr": [1j]}, {"lr": np.zeros((2, 2))},
    {"lr": range(10**20)}, {1: [2]}, {"": [1]}, {"seed": [1]}, {"step": [1]}, {"member": [1]}, [("lr", [1])], None,
    "lr", {"lr": [object()]}, {"lr": iter([1])}, {"lr": None},
    {"a": range(10**5), "b": range(10**5)}, {c: range(10**4) for c in "abcdefgh"},
]  # fmt: skip
SEEDS: list[Any] = [
    None, "12", 2.0, 1.5, [1.5], [1.0], True, [True], [], 0, -1, [-1], [1, 1], 10**18, 10**20, range(10**20), ["a"],
    [2**64], {}, lambda: 1, float("nan"), np.zeros((2, 2), int), np.array([0.5]),
]  # fmt: skip


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_other_axes_are_refused_at_once(axes: Any) -> None:
    start = time.perf_counter()
    with pytest.raises(ps.BadInput) as error:
        ps.Grid(axes)
    assert len(str(error.value)) <= 400
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_other_seeds_are_refused_at_once(seeds: Any) -> None:
    with pytest.raises(ps.BadInput, match="seed"):
        ps.Grid(seeds=seeds)


@pytest.mark.parametrize(
    "members", [None, [], 3, "ab", [1], [ps.Member({}, 0), ps.Member({"a": 1}, 0)], {ps.Grid: 1}], ids=str
)
def test_other_members_are_refused(members: Any) -> None:
    with pytest.raises(ps.BadInput):
        ps.Scatter(members)


@pytest.mark.parametrize(
    ("knobs", "seed"),
    [
        (None, 0),
        ({"a": object()}, 0),
        ({"a": [float("nan")]}, 0),
        ({"a": float("nan")}, 0),
        ({}, -1),
        ({}, 1.5),
        ({}, "1"),
        ({1: 1}, 0),
    ],
)
def test_other_knobs_are_refused(knobs: Any, seed: Any) -> None:
    with pytest.raises(ps.BadInput):
        ps.Member(knobs, seed)


@pytest.mark.parametrize(
    "numbers",
    [
        {"eps": 1e-300}, {"lr": 1e-300}, {"lr": 1e39}, {"weight_decay": 1e300}, {"lr": True}, {"steps": 10**20},
        {"records": 10**9}, {"batch": 0}, {"lr": None}, {"lr": float("nan")}, {"steps": 1.5}, {"dtype": "float16"},
        {"lr": [0.1]}, {"lr": 10**400}, {"overtime": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_a_recipe_refuses_what_its_type_of_numbers_can_not_hold(numbers: Any) -> None:
    with pytest.raises(ps.BadInput) as error:
        ps.Recipe(**numbers)
    assert len(str(error.value)) <= 400


def test_a_recipe_takes_what_fits() -> None:
    loose: Any = {"lr": np.float32(0.5), "steps": np.int64(7), "eps": np.array(1e-300), "dtype": "float64"}
    found = ps.Recipe(**loose)
    assert (found.lr, found.steps, found.eps) == (0.5, 7, 1e-300)


@ps.instrument(unit="1", source="largest weight of the embedding")
def largest(subject: ps.Subject) -> torch.Tensor:
    return subject.parameters["embed"].abs().flatten(1).amax(1)


def test_a_plain_function_is_an_instrument() -> None:
    per_neuron = ps.instrument(
        lambda s: s.parameters["embed"].abs().amax((1, 2)).numpy(), name="per_neuron", unit="1", source="a test",
        cost="weights", dims=("neuron",),
    )  # fmt: skip
    data = ps.train(
        ps.learners.PowerMLP(5, 8), ps.tasks.addition(5), ps.Grid(seeds=3), ps.Recipe(steps=4, records=3),
        watch=(largest, per_neuron),
    )  # fmt: skip
    assert data.largest.dims == ("seed", "step")
    np.testing.assert_array_equal(data.per_neuron.max("neuron"), data.largest)


@pytest.mark.parametrize(
    "measure",
    [
        lambda s: 1.0, lambda s: None, lambda s: s.train.double(), lambda s: s.train.sum(1)[:1], lambda s: "x",
        lambda s: [[1], [1, 2]],
    ],
)  # fmt: skip
def test_a_function_that_gives_no_number_per_network_is_refused(measure: Any) -> None:
    wrong = ps.instrument(measure, name="wrong", unit="1", source="a test")
    subject: Any = type("Three networks", (), {"train": torch.ones(3, 4, dtype=torch.bool)})()
    with pytest.raises(ps.BadInput, match="wrong"):
        wrong(subject)


@pytest.mark.parametrize(
    "parts",
    [
        {"unit": ""}, {"unit": None}, {"source": 3}, {"cost": "free"}, {"bounds": (1, 0)}, {"bounds": 3}, {"dims": "n"},
        {"dims": (1,)}, {"coords": {"n": [1]}}, {"name": "two words"}, {"measure": 3}, {"measure": lambda s: s},
    ],
    ids=str,
)  # fmt: skip
def test_an_instrument_of_wrong_parts_is_refused(parts: Any) -> None:
    given = {"measure": largest.measure, "unit": "1", "source": "a test", **parts}
    with pytest.raises(ps.BadInput):
        ps.instrument(given.pop("measure"), **given)


def test_a_plain_function_without_a_unit_is_told_what_to_do() -> None:
    with pytest.raises(ps.BadInput, match="unit="):
        as_instrument(lambda s: s)
    assert as_instrument(largest) is largest
