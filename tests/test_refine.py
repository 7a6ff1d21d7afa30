"""The search for a boundary: laws over lattices, shapes of phases, noise and budgets. Nothing is trained here."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from phasescope.ensemble import Refinement, Span
from phasescope.ensemble.refine import certainty
from phasescope.vocabulary import BadInput

Phase = Callable[[int, int], int]
SHAPES: dict[str, Phase] = {
    "one phase": lambda i, j: 0,
    "a diagonal": lambda i, j: int(i + j > 30),
    "a quarter disc": lambda i, j: int(i * i + j * j > 500),
    "a hyperbola": lambda i, j: int((i + 1) * (j + 1) > 90),
    "a wave": lambda i, j: int(i > 16 + 9 * math.sin(j / 4)),
    "three phases": lambda i, j: (i + 2 * j > 40) + (i - j > 10),
    "a tongue": lambda i, j: int(abs(i - 16) < j / 5),
}


def explored(shape: tuple[int, int], phase: Phase, phases: int = 3, **numbers: Any) -> tuple[Refinement, list[Any]]:
    """Answer without noise until nothing is asked."""
    found = Refinement(shape, phases, **{"seeds": 1, "first": 1, "confidence": 0.7, **numbers})
    said = []
    while asked := found.ask():
        said.append(asked)
        for place, _ in asked:
            found.tell(place, phase(*place))
    return found, said


def truth_of(shape: tuple[int, int], phase: Phase) -> Any:
    return np.array([[phase(i, j) for j in range(shape[1])] for i in range(shape[0])])


@pytest.mark.parametrize("name", SHAPES)
def test_a_noiseless_map_is_the_full_grid(name: str) -> None:
    """What was inferred must be what training would have found, at a third of the places or less."""
    found, _ = explored((33, 33), SHAPES[name])
    assert (found.phase == truth_of((33, 33), SHAPES[name])).all()
    assert not found.uncertain.any()
    assert found.sampled.sum() <= 33 * 33 / (2.9 if name in ("a wave", "three phases", "a tongue") else 3.5)


@given(
    rows=st.integers(2, 40), columns=st.integers(2, 40), slope=st.floats(-3, 3), offset=st.floats(-1, 2),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_every_straight_boundary_is_found(rows: int, columns: int, slope: float, offset: float) -> None:
    """On a lattice of any shape, to the place: the axes of a map are rarely of a power of two."""

    def phase(i: int, j: int) -> int:
        return int(i / (rows - 1) > offset + slope * (j / (columns - 1) - 0.5))

    found, _ = explored((rows, columns), phase, 2)
    truth = truth_of((rows, columns), phase)
    wrong = found.phase != truth
    # a sliver between two known places can be passed over; it is never wider than the first meshes
    mesh = max(math.ceil((n - 1) / max(min(n, 9) - 1, 1)) for n in (rows, columns))
    assert wrong.sum() <= mesh * mesh / 2
    same_corners = len({truth[i, j] for i, j in product((0, -1), (0, -1))}) == 1
    assert not wrong.any() or same_corners or mesh > 1


def test_no_network_is_asked_for_twice() -> None:
    """Replicas of a place are 0, 1, 2, ... in this order: each is one member of the ensemble."""
    generator = np.random.default_rng(0)
    found = Refinement((17, 17), 2)
    seen: dict[Any, list[int]] = {}
    while asked := found.ask():
        for place, replica in asked:
            seen.setdefault(place, []).append(replica)
            found.tell(place, int(generator.random() < 1 / (1 + math.exp(8 - sum(place) / 2))))
    assert all(replicas == list(range(len(replicas))) for replicas in seen.values())
    assert max(map(len, seen.values())) <= 7
    assert {place: len(replicas) for place, replicas in seen.items()} == {
        place: int(found.told[place]) for place in map(tuple, np.argwhere(found.sampled).tolist())
    }


def test_what_was_not_answered_is_asked_again() -> None:
    """A round that was cut short is taken up where it stood."""
    found = Refinement((9, 9), 2)
    first = found.ask()
    for place, _ in first[:-2]:
        found.tell(place, 0)
    assert found.ask() == first[-2:]


def test_the_same_answers_bring_the_same_questions() -> None:
    """A map resumes by asking the same of the networks that are kept."""
    assert explored((33, 33), SHAPES["a wave"])[1] == explored((33, 33), SHAPES["a wave"])[1]


def test_noise_takes_replicas_where_seeds_differ_and_few_elsewhere() -> None:
    """Replicas follow the noise: three far from the boundary, all seven on it."""
    generator = np.random.default_rng(1)
    found = Refinement((33, 33), 2)
    while asked := found.ask():
        for (i, j), _ in asked:
            found.tell((i, j), int(generator.random() < 1 / (1 + math.exp(16 - i))))
    distance = np.abs(np.add.outer(np.arange(33), np.zeros(33)) - 16)
    told = found.told.astype(float)
    told[told == 0] = np.nan
    assert np.nanmean(told[distance <= 1]) > 5
    assert np.nanmean(told[distance >= 8]) < 3.3


def test_a_noisy_boundary_is_held_where_it_is() -> None:
    """The boundary's interval must hold the true place of one half at least as often as two ends at 90 % allow."""
    hits, total = 0, 0
    for seed in range(8):
        generator = np.random.default_rng(seed)
        found = Refinement((33, 33), 2)
        while asked := found.ask():
            for (i, j), _ in asked:
                found.tell((i, j), int(generator.random() < 1 / (1 + math.exp((15.4 - i) / 0.7))))
        edges = found.boundary()
        across = edges[edges[:, 4] == 0]
        hits += int(((across[:, 2] <= 15.4) & (across[:, 3] >= 15.4)).sum())
        total += len(across)
        assert abs(np.median(across[:, 0]) - 15.4) < 0.5
    assert total > 8 * 30
    assert hits / total > 0.8


def test_a_place_known_to_be_of_the_other_side_holds_no_boundary() -> None:
    """Phases 0 1 0? 1 down a line, the third in doubt: the change from it to the fourth is held by the first, not by the
    second, which is known to be beyond; and nothing below holds the change from the second to the third."""
    found = Refinement((4, 2), 2)
    found.asked[:] = 3
    for row, outcomes in enumerate(([0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 1, 1])):
        for phase in outcomes:
            for column in (0, 1):
                found.tell((row, column), phase)
    edges = found.boundary()
    assert edges[edges[:, 1] == 0][:, 2:4].tolist() == [[0, 1], [1, 3], [0, 3]]


def test_boundary_points_stand_between_different_neighbours() -> None:
    found, _ = explored((33, 33), SHAPES["a quarter disc"], 2)
    truth = truth_of((33, 33), SHAPES["a quarter disc"])
    edges = found.boundary()
    assert len(edges) == (truth[1:] != truth[:-1]).sum() + (truth[:, 1:] != truth[:, :-1]).sum()
    for row, column, low, high, along, line in edges:
        at, fixed = (row, column) if along == 0 else (column, row)
        assert low == math.floor(at) and high == low + 1 and at == low + 0.5
        assert fixed == line
        one, other = [(int(end), int(line)) if along == 0 else (int(line), int(end)) for end in (low, high)]
        assert truth[one] != truth[other]


@pytest.mark.parametrize("cells", [25, 60, 120, 200])
def test_a_budget_is_kept_and_spent_on_the_coarse_first(cells: int) -> None:
    """With few cells the whole boundary is known coarsely, not one corner of it finely; the rest is called uncertain."""
    found, _ = explored((65, 65), SHAPES["a quarter disc"], 2, cells=cells)
    assert found.sampled.sum() <= cells
    truth = truth_of((65, 65), SHAPES["a quarter disc"])
    wrong = found.phase != truth
    assert not (wrong & ~found.uncertain).any()
    assert wrong.mean() < 8 / cells


def test_estimate_of_what_is_left_ends_at_nothing() -> None:
    found = Refinement((33, 33), 2, seeds=1, first=1, confidence=0.7)
    guesses: list[int] = []
    asked_in_all: list[int] = []
    while asked := found.ask():
        guesses.append(found.left)
        asked_in_all.append(int(found.sampled.sum()))
        for (i, j), _ in asked:
            found.tell((i, j), int(i + j > 30))
    assert found.left == 0
    for guess, cells in zip(guesses[:2], asked_in_all, strict=False):
        real = asked_in_all[-1] - cells
        assert real / 3 < guess < 3 * real


def test_certainty_is_the_beta_posterior() -> None:
    """Against the distribution's own tail; more than two phases: the top two count."""
    for a, b in product(range(8), range(8)):
        high, low = max(a, b), min(a, b)
        assert certainty(np.array([a, b])) == pytest.approx(beta(high + 1, low + 1).sf(0.5), abs=1e-12)
    assert certainty(np.array([4, 0, 1])) == certainty(np.array([0, 4, 1])) == certainty(np.array([4, 1, 1]))


def test_an_unknown_lattice_says_so() -> None:
    found = Refinement((5, 5), 2)
    assert (found.phase == -1).all() and found.uncertain.all() and found.boundary().shape == (0, 6)
    assert found.left == 0


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ({"shape": (1, 9)}, "rows of the lattice is 1"),
        ({"phases": 1}, "phases is 1: give a whole number from 2"),
        ({"first": 0}, "first is 0"),
        ({"first": 8}, "first is 8 and seeds is 7"),
        ({"confidence": 0.5}, "confidence is 0.5"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"cells": 24}, "cells is 24: a map needs at least 25"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers: dict[str, Any], sentence: str) -> None:
    given_ = {"shape": (9, 9), "phases": 2, **numbers}
    with pytest.raises(BadInput, match=sentence):
        Refinement(**given_)


# -- axes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("weight_decay=0:20", [0, 5, 10, 15, 20]),
        ("lr=0.0001:1:log", [1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        ("batch=8:64:int", [8, 22, 36, 50, 64]),
        ("batch=3:5:int", [3, 4, 5]),
        (" x = -1 : 1e0 : lin ", [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_axes_are_read_and_laid_out(text: str, values: list[float]) -> None:
    assert Span.parse(text).values(5).tolist() == values


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("weight_decay", "is not NAME=LOW:HIGH"),
        ("weight_decay=0", "is not NAME=LOW:HIGH"),
        ("weight_decay=0:1:2", "is not NAME=LOW:HIGH"),
        ("weight_decay=0:1:sqrt", "is not NAME=LOW:HIGH"),
        ("lr=a:b", "'a' and 'b' must be numbers"),
        ("lr=1:1", "at least two points"),
        ("lr=2:1", "the lower one first"),
        ("lr=0:nan", "two finite ends|finite number"),
        ("lr=0:1:log", "its lower end must be above 0"),
        ("batch=1.5:3:int", "both ends must be whole"),
    ],
)
def test_wrong_axes_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        Span.parse(text)


def test_places_between_values_follow_the_scale() -> None:
    assert Span("lr", 1e-4, 1, "log").at(np.array([0.0, 0.5, 4.0]), 5) == pytest.approx([1e-4, 10**-3.5, 1.0])
    assert Span("d", 0, 20).at(np.array([0.5, 3.25]), 5) == pytest.approx([2.5, 16.25])


def test_places_have_the_digits_that_one_would_write() -> None:
    """Else the cell 0.3 of a map and 0.3 of a grid written by hand would be two networks."""
    assert Span("f", 0.1, 0.9).values(9).tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
