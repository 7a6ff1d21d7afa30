"""Partial rank correlations: what is given is out of them, what is planted is found, and many are counted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from phasescope.verdict.associations import partial_correlations, residuals, strongest
from phasescope.vocabulary import BadInput

DRAWN = np.random.default_rng(0)
N = 200
GIVEN = DRAWN.normal(size=(N, 2))
CAUSE = DRAWN.normal(size=N)
GROUPS = np.arange(N) // 2
READINGS = np.column_stack([
    GIVEN[:, 0] + 0.1 * DRAWN.normal(size=N), CAUSE + GIVEN[:, 1], np.exp(GIVEN[:, 1]), np.ones(N),
])  # fmt: skip
OUTCOME = GIVEN[:, 0] + GIVEN[:, 1] + CAUSE + 0.3 * DRAWN.normal(size=N)


def left(values: np.ndarray) -> np.ndarray:
    return residuals(values, GIVEN, GROUPS, count=10, generator=np.random.default_rng(1))


def test_what_is_given_is_taken_out_and_what_is_planted_stays() -> None:
    found = partial_correlations(left(READINGS), left(OUTCOME[:, None])[:, 0])
    plain = stats.spearmanr(READINGS[:, 0], OUTCOME).statistic
    assert plain > 0.4 and abs(found[0]) < 0.2  # it only repeats what is given
    assert found[1] > 0.7 and abs(found[2]) < 0.2
    assert np.isnan(found[3])


def test_correlations_are_spearmans() -> None:
    found = partial_correlations(READINGS, OUTCOME)
    expected = [stats.spearmanr(READINGS[:, j], OUTCOME).statistic for j in range(3)]
    np.testing.assert_allclose(found[:3], expected)


def test_residuals_do_not_see_their_own_group() -> None:
    other = OUTCOME.copy()
    own = GROUPS == 3
    other[own] = np.sort(OUTCOME)[[0, 1]]  # ranks of others move by two of two hundred at most
    apart = left(OUTCOME[:, None])[~own] - left(other[:, None])[~own]
    assert np.abs(apart).max() < 0.05
    forecast = stats.rankdata(OUTCOME) / (N + 1) - left(OUTCOME[:, None])[:, 0]
    again = stats.rankdata(other) / (N + 1) - left(other[:, None])[:, 0]
    assert np.abs(forecast[own] - again[own]).max() < 0.05


def test_many_readings_are_counted() -> None:
    """Of thirty readings of noise some are correlated at 5 % each; the chance of the strongest is a chance."""
    chances = []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        _, chance = strongest(draw.normal(size=(20, 30)), draw.normal(size=20), draw, times=19)
        chances.append(chance)
    assert 0.0 <= np.mean(np.array(chances) <= 0.05) <= 0.18
    assert 0.35 < np.mean(chances) < 0.65
    value, chance = strongest(left(READINGS), left(OUTCOME[:, None])[:, 0], np.random.default_rng(0), times=99)
    assert value > 0.7 and chance == 0.01


def test_what_can_not_be_correlated_is_refused() -> None:
    with pytest.raises(BadInput, match="8 rows or more"):
        residuals(np.zeros((3, 1)), np.zeros((3, 1)), np.arange(3))
    with pytest.raises(BadInput, match="as many"):
        residuals(READINGS, GIVEN[:50], GROUPS)
    with pytest.raises(BadInput, match="finite numbers"):
        residuals(np.full((N, 1), np.nan), GIVEN, GROUPS)
    with pytest.raises(BadInput, match="three rows or more"):
        partial_correlations(READINGS, OUTCOME[:3])
    with pytest.raises(BadInput, match="times is 0"):
        strongest(READINGS, OUTCOME, np.random.default_rng(0), times=0)
    assert np.isnan(partial_correlations(READINGS, np.ones(N))).all()
