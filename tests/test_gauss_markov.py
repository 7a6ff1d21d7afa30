"""Waypoints of a Gauss-Markov chain: against the joint Gaussian conditioned by force, and the paper's precision."""

from __future__ import annotations

import numpy as np
import pytest

from phasescope.theory.gauss_markov import stationary_variance, waypoints
from phasescope.vocabulary import Array, BadInput

RNG = np.random.default_rng(3)


def conditioned(start: Array, end: Array, operator: Array, c: float, count: int) -> tuple[Array, Array]:
    """Write down mean and covariance of all steps given the start, then condition on the last one."""
    step, noise, d = c / (c + 1) * operator, c / (c + 1) * np.eye(len(start)), len(start)
    means, own = [start], [np.zeros((d, d))]
    for _ in range(count + 1):
        means.append(step @ means[-1])
        own.append(step @ own[-1] @ step.T + noise)
    joint = np.zeros((count + 1, d, count + 1, d))
    for first in range(count + 1):
        crossed = own[first + 1]
        for later in range(first, count + 1):
            joint[later, :, first], joint[first, :, later] = crossed, crossed.T
            crossed = step @ crossed
    matrix, mean, a = joint.reshape(2 * ((count + 1) * d,)), np.concatenate(means[1:]), count * d
    gain = matrix[:a, a:] @ np.linalg.inv(matrix[a:, a:])
    return mean[:a] + gain @ (end - mean[a:]), matrix[:a, :a] - gain @ matrix[a:, :a]


@pytest.mark.parametrize(("d", "count", "c"), [(1, 1, 1.8), (2, 1, 0.3), (3, 4, 1.0), (2, 9, 20.0)])
def test_waypoints_are_the_joint_gaussian_given_both_ends(d: int, count: int, c: float) -> None:
    operator, (start, end) = RNG.normal(size=(d, d)), RNG.normal(size=(2, d))
    means, covariance = waypoints(start, end, operator, c, count)
    expected, spread = conditioned(start, end, operator, c, count)
    np.testing.assert_allclose(means.ravel(), expected, atol=1e-12)
    np.testing.assert_allclose(covariance, spread, atol=1e-12)
    # the paper's precision
    own = (c + 1) / c * np.eye(d) + c / (c + 1) * operator.T @ operator
    before = np.kron(np.eye(count, k=-1), operator)
    np.testing.assert_allclose(
        (np.kron(np.eye(count), own) - before - before.T) @ covariance, np.eye(count * d), atol=1e-10
    )


def test_on_the_straight_line_where_the_variance_is_large() -> None:
    """A the identity: at c = 1e6 the line, to 1e-4; at c = 1 the means sag below it."""
    start, end = RNG.normal(size=(2, 3))
    line = start + np.arange(1, 5)[:, None] / 5 * (end - start)
    np.testing.assert_allclose(waypoints(start, end, np.eye(3), 1e6, 4)[0], line, atol=1e-4)
    assert np.linalg.norm(waypoints(start, start, np.eye(3), 1.0, 4)[0][2]) < 0.5 * np.linalg.norm(start)


def test_the_variance_stays_along_the_chain() -> None:
    """At A = rotation / r the next marginal is the marginal, and one waypoint has the variance c (1-r^2)/(1+r^2)."""
    r, turn = 0.7, np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    c = stationary_variance(r)
    step = c / (c + 1) * turn / r
    np.testing.assert_allclose(step @ step.T * c + c / (c + 1) * np.eye(3), c * np.eye(3), atol=1e-12)
    means, covariance = waypoints(np.ones(3), -np.ones(3), turn / r, c)
    np.testing.assert_allclose(covariance, c * (1 - r**2) / (1 + r**2) * np.eye(3), atol=1e-12)
    np.testing.assert_allclose(means[0], r / (1 + r**2) * (turn - turn.T) @ np.ones(3), atol=1e-12)


def test_refusals_say_what_to_give() -> None:
    one = np.ones(2)
    with pytest.raises(BadInput, match="count is 501 with 2 dimensions: give at most 500, 1,000 numbers in all"):
        waypoints(one, one, np.eye(2), 1.0, 501)
    with pytest.raises(BadInput, match="nearer to a rotation"):
        waypoints(one, one, [[1.0, 1e9], [0.0, 1.0]], 1.0, 3)
    with pytest.raises(BadInput, match="operator"):
        waypoints(one, one, np.eye(3), 1.0)
