"""Closed forms of ``phasescope.data``: the long tail by all samples, ranks under projection by other integrals."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from phasescope.data import influence, long_tail, ranking_error
from phasescope.vocabulary import BadInput


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_the_long_tail_by_all_samples(rows: int) -> None:
    """Every sequence of kinds, with its probability: what is not in it, and what is in it once, is guessed."""
    p = np.array([0.5, 0.3, 0.15, 0.05])
    unseen = once = 0.0
    for sample in itertools.product(range(4), repeat=rows):
        counts = np.bincount(sample, minlength=4)
        chance = math.prod(p[list(sample)])
        unseen += chance * p[counts == 0].sum() / 2
        once += chance * p[counts == 1].sum()
    found = long_tail(10 * p, rows)
    assert found == pytest.approx((unseen, once / 2, once), abs=1e-12)


def test_the_validated_numbers_of_the_long_tail() -> None:
    """5,000 kinds, 5,000 rows: 0.184, 0.0955, 0.0223 and 0.184, 0.0493, 0.0092 for exponents 0, 1 and 1.5."""
    for exponent, unseen, extra in ((0, 0.184, 0.184), (1, 0.0955, 0.0493), (1.5, 0.0223, 0.0092)):
        found = long_tail(np.arange(1, 5001) ** -float(exponent), 5000)
        assert found[:2] == pytest.approx((unseen, extra), abs=6e-4)
    assert long_tail([1.0], 3) == (0, 0, 0)  # the one kind is seen three times
    assert long_tail([1.0], 1).singletons == 0.5


@pytest.mark.parametrize("dimensions", [1, 3, 40])
@pytest.mark.parametrize("margin", [0.0, 0.2, 0.9])
def test_ranks_under_projection_by_an_integral(dimensions: int, margin: float) -> None:
    """Over the length of the projected query, of which given the rest is Gaussian."""
    slope = margin / math.sqrt(1 - margin**2)
    whole = integrate.quad(
        lambda r: stats.chi.pdf(r, dimensions) * stats.norm.cdf(-slope * r), 0, math.inf, epsabs=1e-12
    )[0]
    assert ranking_error(margin, dimensions) == pytest.approx(whole, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: long_tail([0.0, 0.0], 3), "all 0"),
        (lambda: long_tail([-1.0, 2.0], 3), "entry -1"),
        (lambda: long_tail([1.0], 0), "rows is 0"),
        (lambda: ranking_error(1.0, 3), "margin is 1"),
        (lambda: ranking_error(math.nan, 3), "margin is nan"),
        (lambda: ranking_error(0.5, 0), "dimensions is 0"),
    ],
)
def test_refusals(call: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        call()


def test_rows_of_float32_are_read_without_a_warning() -> None:
    """Warnings are errors here: the ends of what is allowed are beyond float32."""
    x = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    found = influence(x, x[:, 0])
    assert np.allclose(found.weights, influence(x.astype(np.float64), x[:, 0].astype(np.float64)).weights)
