"""Forecasts of held-out groups: nothing of a group reaches its own forecast, and every score has its closed form."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge as OtherRidge

from phasescope.verdict import forecasts
from phasescope.verdict.forecasts import (
    Boosting,
    Logistic,
    Mean,
    Ridge,
    balanced_accuracy,
    concordance,
    folds,
    held_out,
    miscalibration,
    skill,
    squared,
)
from phasescope.vocabulary import BadInput

DRAWN = np.random.default_rng(0)
X = DRAWN.normal(size=(60, 3))
GROUPS = np.repeat(np.arange(20), 3)
Y = X @ [1.0, -2.0, 0.0] + 0.1 * DRAWN.normal(size=60)
MODELS = [Mean(), Ridge(), Logistic(), Boosting(trees=5), Boosting(trees=5, chance=True)]


def target_of(model: forecasts.Model) -> np.ndarray:
    return (Y > 0) * 1.0 if isinstance(model, Logistic) or getattr(model, "chance", False) else Y


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_a_group_does_not_reach_its_own_forecast(model: forecasts.Model) -> None:
    y = target_of(model)
    own = GROUPS == 7
    other = y.copy()
    other[own] = 1 - other[own] if set(y) == {0.0, 1.0} else 100.0
    before, after = held_out(model, X, y, GROUPS), held_out(model, X, other, GROUPS)
    np.testing.assert_array_equal(before[own], after[own])
    assert (before[~own] != after[~own]).any()


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_the_order_of_rows_says_nothing(model: forecasts.Model) -> None:
    y, turn = target_of(model), np.random.default_rng(1).permutation(60)
    found = held_out(model, X, y, GROUPS, count=5)
    again = held_out(model, X[turn], y[turn], GROUPS[turn], count=5)
    np.testing.assert_allclose(again, found[turn], atol=1e-3 if isinstance(model, Logistic) else 1e-9)


def test_ridge_is_that_of_others() -> None:
    """Scikit-learn's ridge of scaled inputs with the penalty n / 100 times ours."""
    fitted = Ridge((10.0,)).fit(X, Y, GROUPS)
    z = (X - X.mean(0)) / X.std(0)
    other = OtherRidge(alpha=10.0 * 60 / 100).fit(z, Y)
    np.testing.assert_allclose(fitted(X), other.predict(z), rtol=1e-10)
    free = Ridge((0.0,)).fit(X, Y, GROUPS)(X)
    exact = np.linalg.lstsq(np.column_stack([np.ones(60), X]), Y, rcond=None)[0]
    np.testing.assert_allclose(free, np.column_stack([np.ones(60), X]) @ exact, rtol=1e-9)


def test_the_penalty_is_chosen_where_it_was_not_fitted() -> None:
    few, noise = np.random.default_rng(2).normal(size=(30, 25)), np.random.default_rng(3).normal(size=30)
    rows = np.arange(30)
    strong, weak = Ridge((100000.0,)).fit(few, noise, rows)(few), Ridge((1e-6,)).fit(few, noise, rows)(few)
    chosen = Ridge((1e-6, 100000.0)).fit(few, noise, rows)(few)
    np.testing.assert_allclose(chosen, strong)
    assert np.abs(weak - noise).mean() < np.abs(strong - noise).mean()  # the fit itself would choose the weak one


def test_a_constant_input_and_one_kind_of_target() -> None:
    constant = np.column_stack([X, np.full(60, 3.0)])
    np.testing.assert_allclose(held_out(Ridge(), constant, Y, GROUPS), held_out(Ridge(), X, Y, GROUPS))
    for model in (Logistic(), Boosting(chance=True)):
        np.testing.assert_array_equal(held_out(model, X, np.ones(60), GROUPS, count=3), 1)


def test_inputs_of_another_stand_in_where_rows_are_forecast() -> None:
    other = X[::-1].copy()
    fitted = Ridge().fit(X[GROUPS != 4], Y[GROUPS != 4], GROUPS[GROUPS != 4])
    found = held_out(Ridge(), X, Y, GROUPS, asked=other)
    np.testing.assert_allclose(found[GROUPS == 4], fitted(other[GROUPS == 4]))


def test_folds_hold_whole_groups_out_once() -> None:
    masks = folds(GROUPS, 6, np.random.default_rng(0))
    assert (np.sum(masks, 0) == 1).all() and len(masks) == 6
    assert all(len(np.unique(mask[g == GROUPS])) == 1 for mask in masks for g in range(20))
    assert len(folds(GROUPS)) == 20
    with pytest.raises(BadInput, match="give 20 folds or fewer"):
        folds(GROUPS, 21)


def test_scores_by_hand() -> None:
    assert skill(np.array([0.0, 2]), np.array([0.0, 1]), np.array([1.0, 1])) == 0.5
    assert np.isnan(skill(np.ones(2), np.zeros(2), np.ones(2)))
    truth = np.array([1.0, 1, 1, 0])
    assert balanced_accuracy(truth, np.array([0.9, 0.5, 0.1, 0.4])) == pytest.approx((2 / 3 + 1) / 2)
    assert balanced_accuracy(truth, np.full(4, 0.9)) == 0.5
    assert np.isnan(balanced_accuracy(np.ones(3), np.ones(3)))
    y, group = np.array([1.0, 2, 3, 1, 1, 2]), np.array([0, 0, 0, 1, 1, 1])
    assert concordance(y, np.array([1.0, 3, 2, 5, 5, 5]), group) == pytest.approx((2 + 2 * 0.5) / 5)
    assert concordance(y, group.astype(float), group) == 0.5  # what is one for a group
    assert concordance(y, group + 1e-15 * y, group) == 0.5  # equal but for rounding
    assert np.isnan(concordance(np.ones(3), np.arange(3.0), np.zeros(3)))
    assert miscalibration(truth, np.full(4, 0.75)) == 0
    assert miscalibration(np.array([0.0, 1]), np.array([1.0, 0.25])) == pytest.approx((1 + 0.75) / 2)
    assert miscalibration(truth, np.ones(4)) == 0.25  # the last bin has its upper end


def test_a_forecast_that_knows_nothing_has_no_skill() -> None:
    noise = np.random.default_rng(5).normal(size=60)
    mean = held_out(Mean(), X, noise, GROUPS, count=10)
    assert skill(noise, held_out(Ridge(), X, noise, GROUPS, count=10), mean) < 0.1
    assert skill(Y, held_out(Ridge(), X, Y, GROUPS, count=10), held_out(Mean(), X, Y, GROUPS, count=10)) > 0.98


def test_squares_are_all_products() -> None:
    np.testing.assert_allclose(squared(np.array([[2.0, 3.0]])), [[2, 3, 4, 6, 9]])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: held_out(Ridge(), X, np.where(GROUPS == 3, np.nan, Y), GROUPS), "target is .*: give finite numbers"),
        (lambda: held_out(Ridge(), X[:5], Y, GROUPS), "as many rows of each"),
        (lambda: held_out(Ridge(), X, Y, np.zeros(60)), "nothing is left to fit"),
        (lambda: held_out(Ridge(), X, Y, GROUPS, asked=X[:, :2]), "as many rows of each"),
        (lambda: held_out(Ridge(), X[:, 0], Y, GROUPS), "2 axes"),
        (lambda: skill(Y, Y[:3], Y), "as many of each"),
        (lambda: skill([], [], []), "one row at least"),
        (lambda: balanced_accuracy(Y, Y), "give 0 or 1"),
        (lambda: concordance(Y, Y, GROUPS[:2]), "as many of each"),
        (lambda: folds(np.zeros((2, 2))), "number of its group"),
        (lambda: folds("abc"), "groups is"),
        (lambda: miscalibration(Y, Y, 0), "bins is 0"),
    ],
)
def test_what_can_not_be_scored_is_refused(call: object, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        call()  # type: ignore[operator]
