"""Grids, members and recipes take what plainly says the right thing, and refuse all else in one sentence."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np
import pytest
import torch

import phasescope as ps
from phasescope.ensemble.refine import Refinement
from phasescope.verdict import decide, estimate, interval, intervals, judge
from phasescope.vocabulary import as_instrument


def plainly(value: Any) -> str:
    """Return a test's name: the value without its address, which is another one in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


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


@pytest.mark.parametrize("axes", AXES, ids=plainly)
def test_other_axes_are_refused_at_once(axes: Any) -> None:
    start = time.perf_counter()
    with pytest.raises(ps.BadInput) as error:
        ps.Grid(axes)
    assert len(str(error.value)) <= 400
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("seeds", SEEDS, ids=plainly)
def test_other_seeds_are_refused_at_once(seeds: Any) -> None:
    with pytest.raises(ps.BadInput, match="seed"):
        ps.Grid(seeds=seeds)


@pytest.mark.parametrize(
    "members", [None, [], 3, "ab", [1], [ps.Member({}, 0), ps.Member({"a": 1}, 0)], {ps.Grid: 1}], ids=plainly
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
    ids=plainly,
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
    ids=plainly,
)  # fmt: skip
def test_an_instrument_of_wrong_parts_is_refused(parts: Any) -> None:
    given = {"measure": largest.measure, "unit": "1", "source": "a test", **parts}
    with pytest.raises(ps.BadInput):
        ps.instrument(given.pop("measure"), **given)


def test_a_plain_function_without_a_unit_is_told_what_to_do() -> None:
    with pytest.raises(ps.BadInput, match="unit="):
        as_instrument(lambda s: s)
    assert as_instrument(largest) is largest


EXPECTED = ps.Expectation.at_least(1.0)
CONTROL = ps.Control("nothing is seen", lambda data: [0.0])
CLAIM = {
    "id": "1",
    "sentence": "s",
    "source": ps.Source(ours="a test"),
    "effect": np.ravel,
    "expected": EXPECTED,
    "control": CONTROL,
}
LOOP = {"fit": lambda data, g: data, "sample": lambda model, n, g: model, "real": np.arange(4.0), "fits": 2}
NUMBERS = {"statistic": "mean", "level": 0.9, "range": (0.0, 4.0)}
# a right call, argument by argument, and the values that an argument takes beside its own
NOUNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "Expectation": (ps.Expectation, {"low": 0.0, "high": 1.0}),
    "near": (ps.Expectation.near, {"value": 1.0, "tolerance": 0.1}),
    "between": (ps.Expectation.between, {"a": 1.0, "b": 2.0}),
    "at_least": (ps.Expectation.at_least, {"x": 1.0}),
    "at_most": (ps.Expectation.at_most, {"x": 1.0}),
    "Control": (ps.Control, {"sentence": "s", "effect": np.ravel}),
    "Claim": (ps.Claim, CLAIM),
    "Span": (ps.Span, {"name": "lr", "low": 0.1, "high": 1.0, "scale": "log"}),
    "parse": (ps.Span.parse, {"text": "lr=0.1:1:log"}),
    "values": (ps.Span("lr", 0.1, 1.0).values, {"count": 3}),
    "at": (ps.Span("lr", 0.1, 1.0).at, {"places": [0.5], "count": 3}),
    "Refinement": (Refinement, {"shape": (9, 9), "phases": 2, "seeds": 3, "first": 1, "confidence": 0.9, "cells": 30}),
    "feedback_loop": (ps.feedback_loop, LOOP),
    "policy": (ps.feedback_loop, {**LOOP, "policy": "replace", "generators": 0}),
    "interval": (interval, {"samples": [1.0, 2.0, 3.0], **NUMBERS}),
    "intervals": (intervals, {"samples": [[1.0, 2.0, 3.0]], **NUMBERS}),
    "estimate": (estimate, {"samples": [1.0, 2.0], "statistic": "mean"}),
    "judge": (judge, {"claims": [], "data": ps.feedback_loop(**LOOP).readings, "alpha": 0.1}),
}
BAD: list[Any] = [
    None,
    "no such",
    1j,
    object(),
    float("nan"),
    [None],
    [[1], [1, 2]],
    {},
    10**400,
    -1e300,
    True,
    b"",
    -1,
]


@pytest.mark.parametrize("name", NOUNS)
def test_every_part_of_a_noun_is_looked_at(name: str) -> None:
    call, right = NOUNS[name]
    call(**right)
    for argument, given in right.items():
        for bad in BAD:
            same_kind = (
                isinstance(bad, str) and isinstance(given, str) and argument in ("id", "sentence", "source", "name")
            )
            number = (
                isinstance(bad, int | float) and bad in (-1, -1e300) and argument in ("low", "high", "a", "x", "value")
            )
            if same_kind or number or (bad is None and argument == "cells"):
                continue
            start = time.perf_counter()
            with pytest.raises(ps.BadInput) as error:
                call(**{**right, argument: bad})
            assert len(str(error.value)) <= 400
            assert time.perf_counter() - start < 5


def test_decisions_and_lattices_know_their_places() -> None:
    assert decide(EXPECTED, (2.0, 3.0), (0.0, 0.5)) == "holds"
    lattice = Refinement((9, 9), 2)
    for place, phase in (((-1, 0), 0), ((0, 9), 0), ((0, 0), 2), ((0, 0), -1)):
        with pytest.raises(ps.BadInput, match="lattice"):
            lattice.tell(place, phase)


@pytest.mark.parametrize("grid", [{"learning_rate": [1.0]}, {"lr": [0.1, 0.2], "learning_rate": [1.0]}])
@pytest.mark.parametrize("reads", [None, "[]", "get", "**", "task"])
def test_an_axis_of_one_value_that_nobody_reads_is_refused(grid: Any, reads: str | None) -> None:
    """It would stand beside every number as if it had made it."""

    def network(member: ps.Member) -> torch.nn.Module:
        if reads == "[]":
            assert member["learning_rate"] == 1.0
        if reads == "get":
            assert member.get("learning_rate", 1.0) == 1.0
        if reads == "**":
            assert dict(**member.knobs)
        return torch.nn.Linear(3, 2)

    table = ps.tasks.Table("rows", np.eye(6, 3, dtype=np.float32), np.arange(6) % 2, 2)

    def task(member: ps.Member) -> ps.tasks.Table:
        assert member["learning_rate"] == 1.0
        return table

    learner_task = (network, task if reads == "task" else table)
    if reads is None:
        with pytest.raises(ps.BadInput, match="'learning_rate' changes neither networks nor data"):
            ps.train(*learner_task, ps.Grid(grid), ps.Recipe(steps=2, records=2))
    else:
        assert ps.train(*learner_task, ps.Grid(grid), ps.Recipe(steps=2, records=2)).sizes["learning_rate"] == 1
