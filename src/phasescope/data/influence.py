"""What each training row adds to a prediction, and what would be without it: ridge and logistic regression, exactly."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from phasescope.checks import LARGE, array, number, word
from phasescope.vocabulary import Array, BadInput

ROUNDS, EXACT = 100, 1e-12


class Influence(NamedTuple):
    """What ``influence`` returns, float64: ``weights`` (D,) of the model and ``predictions`` (M,), its outputs.

    ``contributions`` (M, N): what each training row adds to an output; they sum to it. ``removal`` (M, N): by how much
    the output would change without the row, the penalty as it is; exact for ridge, one step of Newton's for logistic.
    """

    weights: Array
    predictions: Array
    contributions: Array
    removal: Array


def influence(
    X: Any, y: Any, at: Any = None, *, kind: Literal["ridge", "logistic"] = "ridge", penalty: float = 1e-2
) -> Influence:
    """Return what the rows ``X`` (N, D), ``y`` (N,) do to the outputs of a linear model at the rows ``at`` (M, D).

    The model minimizes mean_i l(w . x_i, y_i) + ``penalty`` |w|^2, without an intercept (give a column of ones), with l
    = (f - y)^2 for "ridge" and log(1 + exp(-y f)) for "logistic", where ``y`` are -1 and 1. Its outputs are sum_i
    alpha_i x_i . x with alpha_i = -l'_i / (2 penalty N), the representer theorem (Yeh et al. 2018, arXiv:1811.09720).
    ``at`` is by default X. Costs N D^2 and M N. Raises ``BadInput`` for shapes that do not fit, other
    labels, values that are not finite, and a penalty that is not above 0.

    >>> found = influence([[1.0], [2.0]], [1.0, 2.0], penalty=0.5)
    >>> bool(np.allclose(found.contributions.sum(1), found.predictions))
    True
    """
    kind = word("ridge", "logistic")("kind", kind)
    penalty = number(1 / LARGE, open_low=False)("penalty", penalty)
    x = array(2)("X", X)
    y = array(1)("y", y)
    if y.shape != (len(x),):
        raise BadInput(f"y has the shape {y.shape}, X {x.shape}: give one number (N,) for each row.")
    if kind == "logistic" and not np.isin(y, (-1, 1)).all():
        raise BadInput(f"y has {y[~np.isin(y, (-1, 1))][0]:g}: the labels of kind='logistic' are -1 and 1.")
    points = x if at is None else array(2)("at", at)
    if points.shape[1] != x.shape[1]:
        raise BadInput(f"at has {points.shape[1]} columns, X {x.shape[1]}: give the same.")
    n = len(x)
    slope, bend, weights = _fitted(x, y, kind, penalty)
    alpha = -slope / (2 * penalty * n)
    # the loss without row i has the gradient -l'_i x_i at the weights, and its curvature lacks l''_i x_i x_i^T
    inverse = np.linalg.inv((x.T * bend) @ x + 2 * penalty * n * np.eye(x.shape[1]))
    through = points @ inverse @ x.T
    leverage = np.einsum("nd,de,ne->n", x, inverse, x)
    return Influence(weights, points @ weights, (points @ x.T) * alpha, through * (slope / (1 - bend * leverage)))


def _fitted(x: Array, y: Array, kind: str, penalty: float) -> tuple[Array, Array, Array]:
    """Return first and second derivatives of the losses at the optimum (N,), and the weights there (D,)."""
    n, d = x.shape
    weights = np.zeros(d)

    def at(w: Array) -> tuple[float, Array, Array]:
        f = x @ w
        if kind == "ridge":
            return float(np.square(f - y).sum() + penalty * n * w @ w), 2 * (f - y), np.full(n, 2.0)
        p = 0.5 * (1 - np.tanh(y * f / 2))  # of the wrong label
        return float(np.logaddexp(0, -y * f).sum() + penalty * n * w @ w), -y * p, p * (1 - p)

    loss, slope, bend = at(weights)
    for _ in range(ROUNDS):
        gradient = x.T @ slope + 2 * penalty * n * weights
        step = np.linalg.solve((x.T * bend) @ x + 2 * penalty * n * np.eye(d), gradient)
        size = 1.0
        while size > 1e-9:
            there = at(weights - size * step)
            if there[0] <= loss + EXACT * abs(loss):
                break
            size /= 2
        weights = weights - size * step
        loss, slope, bend = there
        if np.abs(size * step).max() <= EXACT * max(1.0, np.abs(weights).max()):
            break
    return slope, bend, weights
