"""Tasks: tables against a literal double loop, splits, corruption, and the sentences for bad input."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from phasescope.ensemble import streams
from phasescope.tasks import (
    GaussianMixture,
    Sampler,
    Table,
    addition,
    division,
    function,
    multiplication,
    subtraction,
)
from phasescope.vocabulary import BadInput, Draw, Member

MODULI = (2, 3, 4, 5, 6, 7, 12, 13)
FORMULAS = {
    "addition": (addition, lambda n, m, p: (n + m) % p),
    "subtraction": (subtraction, lambda n, m, p: (n - m) % p),
    "multiplication": (multiplication, lambda n, m, p: (n * m) % p),
}


def drawn(task: Any, seed: int = 0, **knobs: float) -> Draw:
    found: Draw = task.draw(Member(knobs, seed), streams(seed))
    return found


# -- tables ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", MODULI)
@pytest.mark.parametrize("name", FORMULAS)
def test_table_is_the_double_loop(name: str, p: int) -> None:
    """Every pair stands once, the second number runs fastest, and its label is the formula's: for any p >= 2."""
    make, formula = FORMULAS[name]
    table = make(p)
    expected = [(n, m, formula(n, m, p)) for n in range(p) for m in range(p)]
    assert [(*row, label) for row, label in zip(table.inputs.tolist(), table.labels.tolist(), strict=True)] == expected
    assert table.inputs.dtype == table.labels.dtype == np.int32
    assert table.classes == table.modulus == p


@pytest.mark.parametrize("p", MODULI)
def test_division_is_by_what_has_an_inverse(p: int) -> None:
    """n / m is the one q with q m = n; it is asked for exactly those m that are coprime to p."""
    table = division(p)
    rows = {tuple(row): label for row, label in zip(table.inputs.tolist(), table.labels.tolist(), strict=True)}
    assert set(rows) == {(n, m) for n in range(p) for m in range(p) if math.gcd(m, p) == 1}
    for (n, m), label in rows.items():
        assert [q for q in range(p) if (q * m) % p == n] == [label]


def test_big_powers_are_exact() -> None:
    """Powers far beyond 64 bits are taken in Python's integers: pow(n, e, p) knows them by another route."""
    table = function(97, lambda n, m: n**200 + 3 * m**61)
    expected = [(pow(n, 200, 97) + 3 * pow(m, 61, 97)) % 97 for n in range(97) for m in range(97)]
    assert table.labels.tolist() == expected


@pytest.mark.parametrize("arity", [1, 2, 3, 4])
def test_any_number_of_variables(arity: int) -> None:
    table = addition(5, arity=arity)
    rows = list(product(range(5), repeat=arity))
    assert table.inputs.tolist() == [list(row) for row in rows]
    assert table.labels.tolist() == [sum(row) % 5 for row in rows]


def test_constant_and_negative_formulas() -> None:
    """A formula may ignore its variables or be negative; its value is still reduced mod p."""
    assert function(7, lambda n, m: 9).labels.tolist() == [2] * 49
    assert function(7, lambda n: -n - 1, arity=1).labels.tolist() == [6, 5, 4, 3, 2, 1, 0]


def test_law_is_the_clean_table() -> None:
    """Theory sees the labels before corruption, placed by their inputs; what has no answer is -1."""
    law = subtraction(7, corruption=0.5).law(Member({"train_fraction": 0.3}, 1))
    assert all(law.table[n, m] == (n - m) % 7 for n in range(7) for m in range(7))
    assert (law.modulus, law.arity, law.train_fraction, law.corruption) == (7, 2, 0.3, 0.5)
    open_law = division(6).law(Member({}, 0))
    assert {m for m in range(6) if (open_law.table[:, m] >= 0).all()} == {1, 5}
    assert (open_law.table[:, [0, 2, 3, 4]] == -1).all()


# -- the split ------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(p=st.integers(2, 12), seed=st.integers(0, 2**31), fraction=st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_split_covers_the_table_once(p: int, seed: int, fraction: float) -> None:
    """Train and test are disjoint, together the whole table, and train has the nearest count that leaves both a row."""
    split = drawn(addition(p), seed, train_fraction=fraction)
    assert sorted([*split.train.tolist(), *split.test.tolist()]) == list(range(p * p))
    assert len(split.train) == addition(p).train_count(Member({"train_fraction": fraction}, 0))
    assert abs(len(split.train) - fraction * p * p) <= 1
    assert min(len(split.train), len(split.test)) >= 1
    assert (np.diff(split.train) > 0).all()
    assert (np.diff(split.test) > 0).all()


def law_splits_are_nested(draw: Any) -> None:
    """With one seed more data means the same data and more, so that a phase boundary is no accident of the split."""
    for seed in range(3):
        previous: set[int] = set()
        for fraction in (0.1, 0.25, 0.5, 0.77, 0.9):
            now = set(draw(addition(11), seed, train_fraction=fraction).train.tolist())
            assert previous < now
            previous = now


def law_no_leak(draw: Any) -> None:
    """A row that is tested is never trained on."""
    for seed in range(4):
        split = draw(addition(7), seed, train_fraction=0.6)
        assert not set(split.train.tolist()) & set(split.test.tolist())


def test_splits_are_nested() -> None:
    law_splits_are_nested(drawn)


def test_no_leak() -> None:
    law_no_leak(drawn)


def test_split_is_a_function_of_the_seed_alone() -> None:
    """The same seed gives the same rows whatever the other knobs; another seed gives others."""
    first = drawn(addition(11), 3)
    again = drawn(addition(11), 3, corruption=0.4, weight_decay=2.0)
    other = drawn(addition(11), 4)
    assert first.train.tolist() == again.train.tolist() != other.train.tolist()


def test_split_is_uniform() -> None:
    """Each of the 25 rows trains equally often: chi-square over 400 fixed seeds."""
    counts = np.zeros(25)
    for seed in range(400):
        counts[drawn(addition(5), seed, train_fraction=0.4).train] += 1
    # sampling without replacement makes the statistic smaller by 1 - fraction
    assert chisquare(counts).statistic / 0.6 < 51.2  # chi2(24), p = 0.001, scipy.stats.chi2.isf(0.001, 24)


# -- corruption -----------------------------------------------------------------------------------------------------------


def law_corruption(draw: Any) -> None:
    """Labels of floor(xi * train) training rows are drawn anew; test labels and the truth are never touched."""
    task = addition(11)
    for seed in range(3):
        clean = draw(task, seed, train_fraction=0.7)
        for xi in (0.0, 0.3, 1.0):
            noisy = draw(task, seed, train_fraction=0.7, corruption=xi)
            changed = np.flatnonzero(noisy.labels != task.labels)
            replaced = math.floor(xi * len(noisy.train))
            assert set(changed.tolist()) <= set(noisy.train.tolist())
            assert len(changed) <= replaced
            # 1/p of the drawn labels are right by accident: a binomial count, within 4 standard deviations
            lucky = replaced / 11
            assert len(changed) >= replaced - lucky - 4 * math.sqrt(lucky + 1e-9)
            assert (noisy.labels[noisy.test] == task.labels[noisy.test]).all()
            assert (noisy.truth == task.labels).all()
            assert noisy.train.tolist() == clean.train.tolist()


def test_corruption() -> None:
    law_corruption(drawn)


def test_corrupted_labels_are_uniform_over_all_classes() -> None:
    """At corruption 1 the labels are uniform, so 1/p of them stay right (arXiv:2310.13061, Sec. 1.1)."""
    task = addition(7)
    seen, right = np.zeros(7), 0
    for seed in range(100):
        noisy = drawn(task, seed, train_fraction=0.5, corruption=1.0)
        rows = noisy.train
        seen += np.bincount(noisy.labels[rows], minlength=7)
        right += int((noisy.labels[rows] == task.labels[rows]).sum())
    total = seen.sum()
    assert chisquare(seen).pvalue > 1e-3
    assert abs(right / total - 1 / 7) < 4 * math.sqrt(6 / 49 / total)


def test_corruption_grows_by_adding_rows() -> None:
    """More corruption replaces the same rows and more: the noise of one seed is one noise."""
    task, previous = addition(13), None
    for xi in (0.1, 0.2, 0.5, 0.9):
        noisy = drawn(task, 5, corruption=xi)
        changed = set(np.flatnonzero(noisy.labels != task.labels).tolist())
        if previous is not None:
            assert previous <= changed
        previous = changed


def test_a_task_is_not_changed_by_drawing() -> None:
    task = addition(5)
    before = task.labels.copy()
    drawn(task, 0, corruption=1.0)
    assert (task.labels == before).all()


# -- description ----------------------------------------------------------------------------------------------------------


def test_description_tells_tables_apart_by_their_numbers() -> None:
    """The identity of a record needs a description that differs when a label, an input or the class count does."""
    table = Table("t", np.arange(6.0).reshape(3, 2), np.array([0, 1, 0], np.int32), 2)
    same = Table("t", np.arange(6.0).reshape(3, 2), np.array([0, 1, 0], np.int32), 2, train_fraction=0.7)
    others = [
        Table("t", np.arange(6.0).reshape(3, 2), np.array([0, 1, 1], np.int32), 2),
        Table("t", 1 + np.arange(6.0).reshape(3, 2), np.array([0, 1, 0], np.int32), 2),
        Table("t", np.arange(6.0).reshape(3, 2), np.array([0, 1, 0], np.int32), 3),
        Table("u", np.arange(6.0).reshape(3, 2), np.array([0, 1, 0], np.int32), 2),
    ]
    assert table.describe() == same.describe()
    assert all(table.describe() != other.describe() for other in others)


def test_sampler_draws_again_what_it_drew() -> None:
    """A step's batch is a function of (seed, step), and training, train and test samples are different streams."""
    task = Sampler("noise", lambda g, n: (g.random((n, 2)), g.integers(0, 3, n)), 3, readout_size=8)
    a, b = task.batch(Member({}, 1), streams(1), 7, 4), task.batch(Member({}, 1), streams(1), 7, 4)
    assert all((x == y).all() for x, y in zip(a, b, strict=True))
    assert (task.batch(Member({}, 1), streams(1), 8, 4)[0] != a[0]).all()
    assert (task.batch(Member({}, 2), streams(2), 7, 4)[0] != a[0]).all()
    draw = drawn(task, 1)
    assert draw.train.tolist() == list(range(8))
    assert draw.test.tolist() == list(range(8, 16))
    assert not (draw.inputs[:8] == draw.inputs[8:]).any()


def sampled_by(scale: float) -> Sampler:
    return Sampler("scaled", lambda g, n: (scale * g.random((n, 1)), g.integers(0, 2, n)), 2)


def test_sampler_description_sees_its_code() -> None:
    one = Sampler("s", lambda g, n: (g.random((n, 1)), g.integers(0, 2, n)), 2)
    two = Sampler("s", lambda g, n: (2 * g.random((n, 1)), g.integers(0, 2, n)), 2)
    assert one.describe() != two.describe()
    assert sampled_by(1.0).describe() == sampled_by(1.0).describe()


# -- bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 0, -3, 2.5, 7.0, True, "7", None])
@pytest.mark.parametrize("make", [addition, subtraction, multiplication, division])
def test_a_modulus_must_be_an_integer_of_two_or_more(make: Any, p: Any) -> None:
    with pytest.raises(BadInput, match=r"^p is .*: the modulus must be an integer >= 2\.$"):
        make(p)


@pytest.mark.parametrize("value", [0, 1, -1, 1.5, math.nan, math.inf])
def test_a_train_fraction_lies_inside(value: float) -> None:
    sentence = rf"^train_fraction is {value}: it must lie in \(0, 1\)\.$"
    with pytest.raises(BadInput, match=sentence):
        addition(5, train_fraction=value)
    with pytest.raises(BadInput, match="train_fraction" if math.isnan(value) else sentence):
        drawn(addition(5), 0, train_fraction=value)


@pytest.mark.parametrize("value", [-0.1, 1.01, math.nan])
def test_a_corruption_is_a_share(value: float) -> None:
    with pytest.raises(BadInput, match=rf"^corruption is {value}: it must lie in \[0, 1\]\.$"):
        addition(5, corruption=value)


@pytest.mark.parametrize("laid", [np.longdouble, ">f4", np.float16, "reversed", "columns first", bool])
def test_numbers_of_any_layout_are_learnt_from(laid: Any) -> None:
    """Types, bytes' orders and strides that torch does not know are the numbers that they are."""
    x = np.arange(24.0).reshape(12, 2) % 5
    ways: dict[Any, Any] = {"reversed": np.float32(x)[::-1], "columns first": np.asfortranarray(np.float32(x))}
    given = ways[laid] if laid in ways else x.astype(laid)
    task = Table("laid", given, (np.arange(12) % 2)[::-1], 2)
    assert torch.equal(torch.from_numpy(task.inputs).double(), torch.tensor(np.array(given, np.float64)))
    assert torch.from_numpy(task.labels).tolist() == [1, 0] * 6


def test_too_many_rows_are_refused_with_the_number() -> None:
    with pytest.raises(BadInput, match=r"100,000,000 rows: at most 20,000,000"):
        addition(10, arity=8)
    with pytest.raises(BadInput, match="arity is 0"):
        function(5, lambda: 0, arity=0)


def test_wrong_tables_are_refused() -> None:
    with pytest.raises(BadInput, match="3 inputs and 2 labels"):
        Table("t", np.zeros((3, 1)), np.zeros(2, np.int32), 2)
    with pytest.raises(BadInput, match="at least two"):
        Table("t", np.zeros((1, 1)), np.zeros(1, np.int32), 2)
    with pytest.raises(BadInput, match="only class labels can be corrupted"):
        drawn(Table("t", np.zeros((4, 1)), np.zeros((4, 2)), 2), 0, corruption=0.9)


# -- clusters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 7, 40])
def test_clusters_overlap_equally_in_all_dimensions(dimension: int) -> None:
    """The rule is right as often as it is said to be, in test rows too; away from x_1 there is nothing but noise."""
    found = drawn(GaussianMixture(dimension, 20_000), seed=dimension, bayes_accuracy=0.8)
    assert len(found.train) == len(found.test) == 20_000 and len(np.intersect1d(found.train, found.test)) == 0
    for rows in (found.train, found.test):
        x, y = found.inputs[rows], found.labels[rows]
        assert np.mean((x[:, 0] > 0) == y) == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / 20_000))
        assert y.mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(20_000))
        for sign in (0, 1):
            rest = x[y == sign][:, 1:]
            assert np.abs(rest.mean(0)).max(initial=0) < 5 / math.sqrt(10_000)
            assert np.abs(rest.std(0) - 1).max(initial=0) < 0.04
        assert x[y == 1, 0].std() == pytest.approx(1, abs=0.03)


def test_clusters_are_the_members_own() -> None:
    task = GaussianMixture(3, 10)
    assert task.train_count(Member({"rows": 7}, 0)) == len(drawn(task, rows=7).train) == 7
    np.testing.assert_array_equal(drawn(task, 1).inputs, drawn(task, 1).inputs)
    assert not np.array_equal(drawn(task, 1).inputs, drawn(task, 2).inputs)
    np.testing.assert_array_equal(drawn(task, 1).labels, drawn(task, 1, bayes_accuracy=0.6).labels)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: GaussianMixture(0), "dimension is 0"),
        (lambda: GaussianMixture(3, 0), "rows is 0"),
        (lambda: GaussianMixture(3, bayes_accuracy=0.5), r"bayes_accuracy is 0\.5"),
        (lambda: drawn(GaussianMixture(3), bayes_accuracy=1.0), "bayes_accuracy is 1"),
        (lambda: GaussianMixture(10**6, 10**4), "rows is 10,000 in 1,000,000 dimensions"),
    ],
)
def test_clusters_that_are_refused(call: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        call()
