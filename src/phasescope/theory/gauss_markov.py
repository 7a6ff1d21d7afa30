"""Waypoints of a Gauss-Markov chain of representations, between two ends. Eysenbach et al. 2024, arXiv:2403.04082.

Letters: psi (d,) is a representation, with the marginal N(0, c I); A (d, d) is the operator that contrastive learning
finds, with the log ratio log p(next | now) / p(next) = -|A psi_now - psi_next|^2 / 2 + a term of psi_now alone. So
p(next | now) is N(c / (c + 1) A psi_now, c / (c + 1) I), and A A' = (c + 1) / c I where the marginal stays (derived).
"""

from __future__ import annotations

import math

import numpy as np

from phasescope.theory.domains import agree, array, checked, number, positive, whole
from phasescope.vocabulary import Array, BadInput

__all__ = ["stationary_variance", "waypoints"]

MOST = 1000  # numbers in all waypoints: a matrix of as many rows is factored
WORST = 1e7  # condition of a square root of the precision, whose square still leaves two digits


@checked(correlation=number(0, 1, open_low=True, open_high=True))
def stationary_variance(correlation: float) -> float:
    """Return the variance c = r^2 / (1 - r^2) of representations, r being the ``correlation`` of one step.

    For a process x_next = r R x + sqrt(1 - r^2) noise, R a rotation: psi = sqrt(c) Q x and A = Q R Q' / r, with any
    rotation Q, are the only linear ones that have the log ratio exactly (derived here); then c / (c + 1) = r^2.

    >>> round(stationary_variance(0.8), 4)
    1.7778
    """
    return correlation**2 / ((1 - correlation) * (1 + correlation))


@checked(start=array(1), end=array(1), operator=array(2), variance=positive, count=whole(1, MOST))
def waypoints(start: Array, end: Array, operator: Array, variance: float, count: int = 1) -> tuple[Array, Array]:
    """Return the means (count, d) and covariance (count d, count d) of the steps between ``start`` and ``end`` (d,).

    ``operator`` is A (d, d), ``variance`` c. The precision has blocks (c + 1) / c I + c / (c + 1) A'A, and -A' above
    and -A below them; it times the means is A start at the first waypoint, plus A' end at the last (the paper's
    inference by one matrix inverse). Where A is the identity and c large, these are on the straight line.

    Raises ``BadInput`` for shapes that do not agree, for more than 1,000 numbers, and for an A that spreads too far.

    >>> means, covariance = waypoints([1.0], [1.0], [[1.25]], stationary_variance(0.8))
    >>> round(float(means[0, 0]), 4), round(float(covariance[0, 0]), 4)  # less than the ends: 2 r / (1 + r^2)
    (0.9756, 0.3902)
    """
    d = agree(start=(start, ("d",)), end=(end, ("d",)), operator=(operator, ("d", "d")))["d"]
    if count * d > MOST:
        raise BadInput(f"count is {count} with {d} dimensions: give at most {MOST // d}, {MOST:,} numbers in all.")
    gain = math.sqrt(1 + 1 / variance)  # one over the standard deviation of a step
    rows, known = np.zeros((count + 1, d, count, d)), np.zeros((count + 1, d))
    for step in range(count):  # of each step the noise, in units of its deviation, is linear in its two ends
        rows[step, :, step] = gain * np.eye(d)
        rows[step + 1, :, step] = -operator / gain
    known[0], known[-1] = operator @ start / gain, -gain * end
    if not np.isfinite(rows).all() or not np.isfinite(known).all():
        raise BadInput("operator, variance and ends are too large together: divide all representations by one number.")
    frame, root = np.linalg.qr(rows.reshape((count + 1) * d, count * d))
    if not np.linalg.cond(root) < WORST:
        largest = np.abs(operator).max()
        raise BadInput(
            f"operator, to {largest:.3g}, stretches too unevenly: give one nearer to a rotation over sqrt(c / (c + 1))."
        )
    spread = np.linalg.inv(root)
    return (spread @ (frame.T @ known.ravel())).reshape(count, d), spread @ spread.T
