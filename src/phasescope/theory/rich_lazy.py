"""One linear neuron f(x) = a w . x between the rich and the lazy regime, exactly.

Kunin et al. 2024, arXiv:2406.06158. Loss (1/2) |X beta - y|^2 with beta = a w, gradient flow with rates ``rate_a`` and
``rate_w``. delta = rate_w a^2 - rate_a |w|^2 is conserved: positive *upstream* (w learns faster), 0 *balanced*,
negative *downstream*. Unless said otherwise the rates are 1; others are the same flow in the time
sqrt(rate_a rate_w) t with delta / sqrt(rate_a rate_w), and a (rate_w / rate_a)^(1/4) in place of a.
"""

from __future__ import annotations

import math

import numpy as np

from phasescope.theory.domains import agree, array, checked, not_negative, positive, real
from phasescope.vocabulary import Array, BadInput

__all__ = [
    "basin_edge",
    "bias_potential",
    "bias_tilt",
    "conserved_delta",
    "function_flow",
    "null_coordinate",
    "split_function",
    "tangent_kernel",
    "whitened_flow",
]

some_axes = array(1, 2, 3, 4)


def split_lengths(delta: float, size: Array | float) -> tuple[Array, Array]:
    """Return a = sqrt((S + delta) / 2) and |w| = sqrt((S - delta) / 2), S = sqrt(delta^2 + 4 size^2), of |a w| = size.

    The smaller is size over the larger: as the difference it is, it would lose all its digits at large delta.
    """
    large = np.sqrt((np.hypot(delta, 2 * np.asarray(size)) + abs(delta)) / 2)
    small = np.divide(size, large, out=np.zeros_like(large), where=large > 0)
    return (large, small) if delta >= 0 else (small, large)


def _length(vector: Array) -> float:
    # scaled, so that neither the squares of tiny entries vanish nor those of huge ones overflow
    return math.hypot(*vector)


@checked(a=real, w=array(1), rate_a=positive, rate_w=positive)
def conserved_delta(a: float, w: Array, rate_a: float = 1.0, rate_w: float = 1.0) -> float:
    """Return delta = rate_w a^2 - rate_a |w|^2, which gradient flow conserves. Rates are above 0."""
    return float(rate_w * a**2 - rate_a * np.sum(w**2))


@checked(beta=array(1), delta=real)
def split_function(beta: Array, delta: float) -> tuple[float, Array]:
    """Return (a, w) with a w = beta, a^2 - |w|^2 = delta and a > 0.

    Raises ``BadInput`` where there is none: beta = 0 with delta < 0, for then a is 0 and w unknown, or delta = 0.
    """
    b = beta
    size = _length(b)
    if size == 0 and delta <= 0:
        raise BadInput(f"beta is 0 and delta is {delta:g}: the direction of w is known for beta != 0 or delta > 0.")
    a, w = split_lengths(delta, size)
    return float(a), w * b / size if size > 0 else b


@checked(x=array(2), a=real, w=array(1), rate_a=positive, rate_w=positive)
def tangent_kernel(x: Array, a: float, w: Array, rate_a: float = 1.0, rate_w: float = 1.0) -> Array:
    """Return X (rate_w a^2 I + rate_a w w^T) X^T (N, N) for inputs ``x`` (N, D)."""
    agree(x=(x, ("N", "D")), w=(w, ("D",)))
    along = x @ w
    return np.asarray(rate_w * a**2 * (x @ x.T) + rate_a * np.outer(along, along))


@checked(beta=array(1), delta=real, gram=array(2), moment=array(1))
def function_flow(beta: Array, delta: float, gram: Array, moment: Array) -> Array:
    """Return d beta / dt = -M (X^T X beta - X^T y), M = (S + delta)/2 I + (S - delta)/2 b b^T / |b|^2 (derived).

    ``gram`` X^T X (D, D), ``moment`` X^T y (D,); S = sqrt(delta^2 + 4 |beta|^2). Beta must not be 0.
    """
    b = beta
    agree(beta=(b, ("D",)), gram=(gram, ("D", "D")), moment=(moment, ("D",)))
    size = _length(b)
    if size == 0:
        raise BadInput("beta is 0: its flow depends on the direction of w there; begin elsewhere.")
    a, w = split_lengths(delta, size)
    slope, unit = gram @ b - moment, b / size
    return np.asarray(-(a**2 * slope + w**2 * unit * (unit @ slope)))


@checked(times=array(1, low=0), a0=real, w0=array(1), target=array(1))
def whitened_flow(times: Array, a0: float, w0: Array, target: Array) -> tuple[Array, Array]:
    """Return a (T,) and w (T, D) at ``times`` for whitened data, X^T X = I and X^T y = ``target``, in closed form.

    nu = w . target / a obeys a Riccati equation between its fixed points M = (S - delta) / 2 and -P = -(S + delta) / 2,
    S = sqrt(delta^2 + 4 |target|^2). With n = w0 . target, E = e^(-S t) and A = n + a0 P, B = a0 M - n, the numbers
    a, w . target and the rest of w are e^(P t) (A + B E) / S, e^(P t) (A M - B P E) / S and that of w0, each over
    sqrt(1 + 2 I), I = int e^(2 P u) (A + B e^(-S u))^2 du / S^2 (derived). At delta < 0 a may cross 0. Domain: a0 != 0,
    target != 0, times >= 0 with (|delta| + S) t <= 600, or the exponentials overflow.
    """
    t = times
    agree(w0=(w0, ("D",)), target=(target, ("D",)))
    delta, length = conserved_delta(a0, w0), _length(target)
    s = math.hypot(delta, 2 * length)
    if abs(a0) < 1e-75 or length == 0:
        raise BadInput(f"a0 is {a0:g} and |target| is {length:g}: the closed form needs |a0| >= 1e-75 and a target.")
    if t.min() < 0 or (abs(delta) + s) * t.max() > 600:
        raise BadInput(
            f"times reach from {t.min():g} to {t.max():g}: they must lie in [0, {600 / (abs(delta) + s):g}]."
        )
    unit = target / length
    p, m = (float(share) ** 2 / s for share in split_lengths(delta, length))  # of S
    n = float(w0 @ unit) * (length / s)
    first, second = n + a0 * p, a0 * m - n

    def grown(rate: float) -> Array:
        return np.asarray(t if rate == 0 else np.expm1(rate * t) / rate)  # int e^(rate u) du

    area = first**2 * grown(2 * p * s) + 2 * first * second * grown(delta) + second**2 * grown(-2 * m * s)
    shrunk = np.sqrt(1 + 2 * area)
    rise, part = np.exp(p * s * t), -np.expm1(-s * t)  # E = 1 - part
    a = rise * (a0 + (n - a0 * m) * part) / shrunk
    along = rise * (float(w0 @ unit) + (a0 * (length / s) - float(w0 @ unit) * p) * part) / shrunk
    across = w0 - (w0 @ unit) * unit
    return a, along[:, None] * unit + across / shrunk[:, None]


@checked(a=positive, delta=real, target=array(1))
def basin_edge(a: float, delta: float, target: Array) -> float:
    """Return the w . target below which a neuron with this a > 0 and delta < 0 flips its sign: -a (delta + S) / 2."""
    if not delta < 0:
        raise BadInput(f"a is {a:g} and delta is {delta:g}: basins are parted for a > 0 and delta < 0.")
    return -a * float(split_lengths(delta, _length(target))[0]) ** 2


@checked(beta=some_axes, delta=real)
def bias_potential(beta: Array, delta: float) -> Array:
    """Return Psi(beta) = (S - 2 delta) sqrt(S + delta) / 3, S = sqrt(delta^2 + 4 |beta|^2), over the last axis.

    Trained on y = X beta without a unique solution, the neuron ends at the interpolator that minimizes
    Psi(beta) - psi beta0 . beta / |beta0| (``bias_tilt`` gives psi).
    """
    size = np.hypot.reduce(beta, axis=-1, initial=0.0)
    return np.asarray((np.hypot(delta, 2 * size) - 2 * delta) * math.sqrt(2) * split_lengths(delta, size)[0] / 3)


@checked(beta0=array(1), delta=real)
def bias_tilt(beta0: Array, delta: float) -> float:
    """Return psi = sqrt(sqrt(delta^2 + 4 |beta0|^2) - delta), how much the first direction weighs."""
    return math.sqrt(2) * float(split_lengths(delta, _length(beta0))[1])


@checked(beta0=array(1), delta=real, null=array(1), solution=not_negative)
def null_coordinate(beta0: Array, delta: float, null: Array, solution: float) -> float:
    """Return where the neuron ends along ``null``, the one unit direction that the data do not see.

    ``solution`` is the length of the least-squares solution. k sqrt(K + sqrt(K^2 + c^2)) with K = (k^2 + delta)/2,
    c = ``solution`` and k = psi / sqrt(2) times the cosine of beta0 and ``null``.
    """
    b, direction = beta0, null
    agree(beta0=(b, ("D",)), null=(direction, ("D",)))
    lengths = _length(b), _length(direction)
    if lengths[0] == 0 or abs(lengths[1] - 1) > 1e-9:
        raise BadInput(f"|beta0| is {lengths[0]:g} and |null| is {lengths[1]:g}: give beta0 != 0 and a unit vector.")
    a, w = (float(part) for part in split_lengths(delta, lengths[0]))
    unit = b / lengths[0]
    cosine = float(unit @ direction)
    # k = |w| cos; K as (k^2 + delta) / 2 would cancel where beta0 is along null
    twice = a**2 - (w * _length(unit - cosine * direction)) ** 2
    return w * cosine * float(split_lengths(twice, solution)[0])
