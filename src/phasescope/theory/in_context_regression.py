"""Noisy linear regression in context: the two Bayes rules, of all tasks and of a finite pool, and their errors.

Raventos, Paul, Chen and Ganguli 2023, arXiv:2306.15063: y = w . x + noise, w ~ N(0, I_D), x ~ N(0, I_D), noise
N(0, ``noise``), a variance > 0. An answer to question k sees the examples before it. Errors are mean squared distances
to w . x, divided by D.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import integrate, stats

from phasescope.theory.domains import agree, array, checked, count, positive, whole
from phasescope.vocabulary import Array, BadInput

__all__ = ["dmmse_answers", "ridge_answers", "ridge_error", "ridge_error_limit"]

points, targets = array(2), array(1)


@checked(x=points, y=targets, noise=positive)
def ridge_answers(x: Array, y: Array, noise: float) -> Array:
    """Return the answers (K,) of ridge regression to one sequence x (K, D), y (K,): Bayes where w ~ N(0, I).

    w_k = (X^T X + noise I)^-1 X^T y over the k examples before the question; the first answer is 0. Solved anew at
    each, in float64 (``Ridge.predict`` in the authors' ``icl/models.py``).
    """
    agree(x=(x, ("K", "D")), y=(y, ("K",)))
    found = np.zeros(len(x))
    for k in range(1, len(x)):
        # as least squares of k + D rows, which noise of any size leaves well-posed
        rows = np.concatenate([x[:k], math.sqrt(noise) * np.eye(x.shape[1])])
        found[k] = x[k] @ np.linalg.lstsq(rows, np.append(y[:k], np.zeros(x.shape[1])))[0]
    return found


@checked(x=points, y=targets, pool=points, noise=positive)
def dmmse_answers(x: Array, y: Array, pool: Array, noise: float) -> Array:
    """Return the answers (K,) of Bayes with a uniform prior over ``pool`` (M, D), the discrete MMSE estimator.

    w_k = sum_i softmax_i(-sum_j (y_j - w_i . x_j)^2 / (2 noise)) w_i over the examples j < k; the first answer is that
    of the pool's mean (``DiscreteMMSE.predict`` in the authors' ``icl/models.py``).
    """
    agree(x=(x, ("K", "D")), y=(y, ("K",)), pool=(pool, ("M", "D")))
    found = np.zeros(len(x))
    for k in range(len(x)):
        energy = ((y[:k] - pool @ x[:k].T) ** 2).sum(1) / (2 * noise)
        weights = np.exp(energy.min() - energy)
        found[k] = x[k] @ (weights @ pool) / weights.sum()
    return found


@checked(dimension=count, shots=whole(0, 10_000), noise=positive)
def ridge_error(dimension: int, shots: int, noise: float) -> float:
    """Return ridge's mean error / D after ``shots`` examples, E tr (I + X^T X / noise)^-1 / D, its posterior variance.

    A quadrature over chi^2, exact for shots <= 1 or D = 1 (derived); the rest is in ``ridge_error_limit``. Raises
    ``BadInput`` elsewhere.
    """
    if shots == 0:
        return 1.0
    if shots > 1 and dimension > 1:
        raise BadInput(f"dimension is {dimension} and shots is {shots}: it is known for one of them at most 1.")
    freedom = dimension if shots == 1 else shots
    chi = stats.chi2(freedom)
    # E 1 / (1 + q / noise) over the quantiles of q, where the integrand is bounded
    left = integrate.quad(lambda u: noise / (noise + chi.ppf(u)), 0, 1, epsabs=1e-13, epsrel=1e-13, limit=400)[0]
    return float((dimension - 1 + left) / dimension)


@checked(ratio=positive, noise=positive)
def ridge_error_limit(ratio: float, noise: float) -> float:
    """Return ridge's error / D for D -> infinity at ``ratio`` = shots / D and ``noise`` = variance / D.

    noise m, where m is Marchenko's and Pastur's resolvent at -noise, the positive root of noise m^2 +
    (noise + ratio - 1) m - 1 = 0 (derived).
    """
    half = (noise + ratio - 1) / 2
    root = math.hypot(half, math.sqrt(noise))
    return noise / (half + root) if half > 0 else root - half
