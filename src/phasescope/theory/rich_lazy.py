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

some_axes = array(1, 2, 3, 4)


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
    square = (math.hypot(delta, 2 * float(np.linalg.norm(b))) + delta) / 2
    if not square > 0:
        raise BadInput(f"beta is 0 and delta is {delta:g}: the direction of w is known for beta != 0 or delta > 0.")
    a = math.sqrt(square)
    return a, b / a


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
    square = float(b @ b)
    if square == 0:
        raise BadInput("beta is 0: its flow depends on the direction of w there; begin elsewhere.")
    s = math.sqrt(delta**2 + 4 * square)
    slope = gram @ b - moment
    return np.asarray(-((s + delta) / 2 * slope + (s - delta) / 2 * b * (b @ slope) / square))


@checked(times=array(1, low=0), a0=real, w0=array(1), target=array(1))
def whitened_flow(times: Array, a0: float, w0: Array, target: Array) -> tuple[Array, Array]:
    """Return a (T,) and w (T, D) at ``times`` for whitened data, X^T X = I and X^T y = ``target``, in closed form.

    nu = w . target / a obeys a Riccati equation, nu = (S tanh Q - delta) / 2 with Q = Q0 + S t / 2 and
    S = sqrt(delta^2 + 4 |target|^2); a^2 = e^(delta t) cosh^2 Q / (cosh^2 Q0 / a0^2 + 2 I(t)) (derived). At delta < 0 a
    may cross 0. Domain: a0 != 0, target != 0, times >= 0 with (|delta| + S) t <= 600, or the exponentials overflow.
    """
    t = times
    agree(w0=(w0, ("D",)), target=(target, ("D",)))
    delta, length = conserved_delta(a0, w0), float(np.linalg.norm(target))
    s = math.hypot(delta, 2 * length)
    if abs(a0) < 1e-75 or length == 0:
        raise BadInput(f"a0 is {a0:g} and |target| is {length:g}: the closed form needs |a0| >= 1e-75 and a target.")
    if t.min() < 0 or (abs(delta) + s) * t.max() > 600:
        raise BadInput(
            f"times reach from {t.min():g} to {t.max():g}: they must lie in [0, {600 / (abs(delta) + s):g}]."
        )
    ratio = (delta + 2 * float(w0 @ target) / a0) / s
    if abs(ratio) == 1:  # nu rests; the closed form is continuous there
        ratio *= 1 - 1e-15
    # |ratio| > 1 makes tanh a coth: a shift of Q by i pi / 2, and the result is real
    q0 = np.arctanh(complex(ratio))
    q = q0 + s * t / 2

    def grown(u: Array, at: Array) -> Array:
        return np.asarray(np.exp(delta * u) * (delta * np.cosh(2 * at) - s * np.sinh(2 * at)) / (-4 * length**2))

    flat = t / 2 if delta == 0 else np.expm1(delta * t) / (2 * delta)
    integral = flat + (grown(t, q) - grown(np.zeros(1), np.array([q0]))) / 2
    square = np.real(np.exp(delta * t) * np.cosh(q) ** 2 / (np.cosh(q0) ** 2 / a0**2 + 2 * integral))
    crossed = (ratio < -1) & (t > -2 * q0.real / s)
    a = np.where(crossed, -1.0, 1.0) * math.copysign(1.0, a0) * np.sqrt(np.maximum(square, 0))
    along = np.real((s * np.tanh(q) - delta) / 2) * a / length
    across = w0 - (w0 @ target) * target / length**2
    size = float(np.linalg.norm(across))
    left = np.sqrt(np.maximum(square - delta - along**2, 0)) if size > 0 else np.zeros_like(t)
    return a, along[:, None] * target / length + left[:, None] * across / (size or 1.0)


@checked(a=positive, delta=real, target=array(1))
def basin_edge(a: float, delta: float, target: Array) -> float:
    """Return the w . target below which a neuron with this a > 0 and delta < 0 flips its sign: -a (delta + S) / 2."""
    if not delta < 0:
        raise BadInput(f"a is {a:g} and delta is {delta:g}: basins are parted for a > 0 and delta < 0.")
    return -a * (delta + math.hypot(delta, 2 * float(np.linalg.norm(target)))) / 2


@checked(beta=some_axes, delta=real)
def bias_potential(beta: Array, delta: float) -> Array:
    """Return Psi(beta) = (S - 2 delta) sqrt(S + delta) / 3, S = sqrt(delta^2 + 4 |beta|^2), over the last axis.

    Trained on y = X beta without a unique solution, the neuron ends at the interpolator that minimizes
    Psi(beta) - psi beta0 . beta / |beta0| (``bias_tilt`` gives psi).
    """
    s = np.sqrt(delta**2 + 4 * np.sum(beta**2, axis=-1))
    return np.asarray((s - 2 * delta) * np.sqrt(np.maximum(s + delta, 0)) / 3)


@checked(beta0=array(1), delta=real)
def bias_tilt(beta0: Array, delta: float) -> float:
    """Return psi = sqrt(sqrt(delta^2 + 4 |beta0|^2) - delta), how much the first direction weighs."""
    return math.sqrt(max(math.hypot(delta, 2 * float(np.linalg.norm(beta0))) - delta, 0.0))


@checked(beta0=array(1), delta=real, null=array(1), solution=not_negative)
def null_coordinate(beta0: Array, delta: float, null: Array, solution: float) -> float:
    """Return where the neuron ends along ``null``, the one unit direction that the data do not see.

    ``solution`` is the length of the least-squares solution. k sqrt(K + sqrt(K^2 + c^2)) with K = (k^2 + delta)/2,
    c = ``solution`` and k = psi / sqrt(2) times the cosine of beta0 and ``null``.
    """
    b, direction = beta0, null
    agree(beta0=(b, ("D",)), null=(direction, ("D",)))
    lengths = float(np.linalg.norm(b)), float(np.linalg.norm(direction))
    if lengths[0] == 0 or abs(lengths[1] - 1) > 1e-9:
        raise BadInput(f"|beta0| is {lengths[0]:g} and |null| is {lengths[1]:g}: give beta0 != 0 and a unit vector.")
    k = bias_tilt(b, delta) / math.sqrt(2) * float(b @ direction) / lengths[0]
    half = (k**2 + delta) / 2
    return k * math.sqrt(half + math.hypot(half, solution))
