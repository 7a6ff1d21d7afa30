"""One linear neuron between rich and lazy: closed forms against the flow itself, and against published numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar

from phasescope.ensemble import streams
from phasescope.theory import rich_lazy
from phasescope.vocabulary import Array, BadInput

X = np.array([0.5, 1.0])
NULL = np.array([-2.0, 1.0]) / math.sqrt(5)
BETA0, SOLUTION = np.array([0.4, 0.05]), np.array([0.44, 0.88])
LIMITS = {-4: -1.2422, -2: -1.0336, -1: -0.8365, 0: -0.5624, 1: -0.4063, 2: -0.3641, 4: -0.3442}
"""delta -> null coordinate, by simulation with X = (.5, 1), X^T y = 1.1 X and beta0 = (.4, .05); the facts' table."""


def flow(
    times: Array, a0: float, w0: Array, gram: Array, moment: Array, rates: tuple[float, float] = (1.0, 1.0)
) -> Array:
    """(a, w) at ``times`` (1 + D, T) by integration of the gradient flow."""

    def slope(_: float, z: Array) -> Array:
        error = moment - gram @ (z[0] * z[1:])
        return np.concatenate([[rates[0] * z[1:] @ error], rates[1] * z[0] * error])

    found = solve_ivp(slope, (0, times[-1]), np.concatenate([[a0], w0]), t_eval=times, rtol=1e-11, atol=1e-13)
    return np.asarray(found.y)


def law_closed_form(closed: Callable[..., tuple[Array, Array]] = rich_lazy.whitened_flow) -> None:
    """The flow of random neurons, upstream and downstream; those whose a changes its sign are among them."""
    times = np.linspace(0, 4, 9)
    flipped = 0
    for seed in range(24):
        g = streams(seed)("any")
        a0, w0, target = float(g.standard_normal()), g.standard_normal(3), g.standard_normal(3)
        expected = flow(times, a0, w0, np.eye(3), target)
        a, w = closed(times, a0, w0, target)
        np.testing.assert_allclose(a, expected[0], atol=1e-8)
        np.testing.assert_allclose(w, expected[1:].T, atol=1e-7)
        flipped += a[0] * a[-1] < 0
    assert flipped >= 1


def test_closed_form() -> None:
    law_closed_form()


def test_balanced_and_aligned_starts() -> None:
    """delta = 0 exactly, and w along the target: the edges of the closed form."""
    times = np.linspace(0, 5, 6)
    for a0, w0 in ((1.0, np.array([0.6, 0.8])), (0.5, np.array([0.0, 0.3])), (2.0, np.array([0.0, -0.1]))):
        target = np.array([0.0, 1.5])
        a, w = rich_lazy.whitened_flow(times, a0, w0, target)
        expected = flow(times, a0, w0, np.eye(2), target)
        np.testing.assert_allclose(a, expected[0], atol=1e-8)
        np.testing.assert_allclose(w, expected[1:].T, atol=1e-7)


def test_other_rates_are_another_time() -> None:
    """Rates enter as sqrt(rate_a rate_w) t, and a (rate_w / rate_a)^(1/4)."""
    rates, times = (0.5, 2.0), np.linspace(0, 3, 4)
    a0, w0, target = 0.7, np.array([0.2, -0.9]), np.array([1.0, 0.5])
    bent = (rates[1] / rates[0]) ** 0.25
    a, w = rich_lazy.whitened_flow(math.sqrt(rates[0] * rates[1]) * times, a0 * bent, w0 / bent, target)
    expected = flow(times, a0, w0, np.eye(2), target, rates)
    np.testing.assert_allclose(a / bent, expected[0], atol=1e-8)
    np.testing.assert_allclose(w * bent, expected[1:].T, atol=1e-7)


def test_delta_is_conserved() -> None:
    rates, times = (0.5, 2.0), np.linspace(0, 5, 6)
    found = flow(times, 0.7, np.array([0.2, -0.9]), np.diag([1.0, 3.0]), np.array([1.0, 0.5]), rates)
    deltas = [rich_lazy.conserved_delta(z[0], z[1:], *rates) for z in found.T]
    np.testing.assert_allclose(deltas, deltas[0], atol=1e-9)


def test_function_flow_is_the_flow_of_the_weights() -> None:
    """d(a w)/dt by the product rule."""
    gram, moment = np.array([[2.0, 0.3], [0.3, 1.0]]), np.array([0.4, -1.0])
    for delta in (-2.0, 0.0, 1.5):
        beta = np.array([0.7, -0.2])
        a, w = rich_lazy.split_function(beta, delta)
        assert a**2 - w @ w == pytest.approx(delta)
        np.testing.assert_allclose(a * w, beta)
        error = moment - gram @ beta
        np.testing.assert_allclose(rich_lazy.function_flow(beta, delta, gram, moment), (w @ error) * w + a**2 * error)


def test_the_tangent_kernel_moves_the_function() -> None:
    x, w = np.array([[1.0, 0.2], [0.3, -1.0], [2.0, 1.0]]), np.array([0.4, 0.9])
    error = np.array([0.1, -0.5, 0.3])
    moved = (w @ (x.T @ error) * 0.5) * (x @ w) + 0.8 * x @ (2.0 * 0.8 * x.T @ error)
    np.testing.assert_allclose(rich_lazy.tangent_kernel(x, 0.8, w, 0.5, 2.0) @ error, moved)


def law_null_coordinate(coordinate: Callable[..., float] = rich_lazy.null_coordinate) -> None:
    """The table, by simulation of the flow, and by the potential's least point among the interpolators."""
    for delta, expected in LIMITS.items():
        found = coordinate(BETA0, float(delta), NULL, float(np.linalg.norm(SOLUTION)))
        assert found == pytest.approx(expected, abs=1e-4)
        direction, psi = BETA0 / np.linalg.norm(BETA0), rich_lazy.bias_tilt(BETA0, delta)

        def height(at: float, delta: float = delta, direction: Array = direction, psi: float = psi) -> float:
            beta = SOLUTION + at * NULL
            return float(rich_lazy.bias_potential(beta, delta) - psi * direction @ beta)

        least = minimize_scalar(height, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10}).x
        assert found == pytest.approx(least, abs=1e-5)


def test_null_coordinate() -> None:
    law_null_coordinate()


@pytest.mark.parametrize("delta", [-1.0, 0.0, 2.0])
def test_null_coordinate_is_where_the_flow_ends(delta: float) -> None:
    a, w = rich_lazy.split_function(BETA0, delta)
    end = flow(np.array([0.0, 80.0]), a, w, np.outer(X, X), 1.1 * X)[:, -1]
    assert end[0] * end[1:] @ NULL == pytest.approx(LIMITS[int(delta)], abs=1e-3)


def test_basins() -> None:
    """On either side of the edge the sign of a ends differently."""
    target, a, delta = np.array([0.0, 1.0]), 0.5, -2.0
    edge = rich_lazy.basin_edge(a, delta, target)
    size = math.sqrt(a**2 - delta)
    for shift, sign in ((-1e-3, -1), (1e-3, 1)):
        along = edge + shift
        w = np.array([math.sqrt(size**2 - along**2), along])
        assert np.sign(rich_lazy.whitened_flow(np.array([0.0, 20.0]), a, w, target)[0][-1]) == sign


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: rich_lazy.conserved_delta(1.0, X, 0.0), "rate_a is 0"),
    (lambda: rich_lazy.conserved_delta(1.0, np.eye(2)), "w has shape"),
    (lambda: rich_lazy.split_function(np.zeros(2), -1.0), "beta is 0 and delta is -1"),
    (lambda: rich_lazy.function_flow(np.zeros(2), 1.0, np.eye(2), X), "beta is 0"),
    (lambda: rich_lazy.whitened_flow(np.array([1.0]), 0.0, X, X), "a0 is 0"),
    (lambda: rich_lazy.whitened_flow(np.array([1e4]), 1.0, X, X), r"must lie in \[0, "),
    (lambda: rich_lazy.whitened_flow(np.array([-1.0]), 1.0, X, X), "times has the entry -1"),
    (lambda: rich_lazy.basin_edge(1.0, 1.0, X), "delta is 1"),
    (lambda: rich_lazy.null_coordinate(np.zeros(2), 1.0, NULL, 1.0), "beta0 != 0"),
    (lambda: rich_lazy.null_coordinate(BETA0, 1.0, 2 * NULL, 1.0), "unit vector"),
]


@pytest.mark.parametrize(("call", "words"), BAD)
def test_what_is_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        call()
