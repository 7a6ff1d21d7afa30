"""Activations with the Gaussian moments that signal propagation needs, closed forms where they exist.

With z ~ N(0, 1), phi the activation and K the kernel (the variance of a preactivation):
A(K) = E[phi(sqrt(K) z)^2], B(K) = E[phi'(sqrt(K) z)^2], m(K) = E[phi(sqrt(K) z)], V = A - m^2, and
dA/dK = E[phi'^2 + phi phi''], here as E[phi phi' z] / sqrt(K), which needs no second derivative and sees kinks rightly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import erf as _erf
from scipy.special import expit, ndtr

from phasescope.theory.domains import a_kernel, checked, number, numbers, places, pointwise, real, shown, text
from phasescope.theory.gaussian_moments import ROUNDING, Function, gaussian_mean, gaussian_pair_mean
from phasescope.vocabulary import Array, BadInput, nearest

__all__ = ["ACTIVATIONS", "Activation", "Moments", "activation", "custom_activation", "leaky_relu"]

TINY = 1e-100  # the scale that stands for sqrt(K) at K = 0: one-sided limits at a kink in 0 come out right
UNIT = np.sqrt(2 * np.pi)


@dataclass(frozen=True)
class Moments:
    """A, B, m and dA/dK of an activation at one kernel, with the largest estimated absolute error of the four.

    ``mean_square`` is A, ``slope_square`` B, ``mean`` m, ``growth`` dA/dK (NaN at K = 0 unless phi(0) = 0).
    """

    mean_square: float
    slope_square: float
    mean: float
    growth: float
    error: float

    @property
    def variance(self) -> float:
        """V = A - m^2, the variance of the activation over neurons."""
        return self.mean_square - self.mean**2


Pair = Callable[[float, float, float], float]


@dataclass(frozen=True)
class ClosedForms:
    """Moments of K, and E[phi(u) phi(v)] and E[phi'(u) phi'(v)] of (K1, K2, correlation), without integration."""

    moments: Callable[[float], tuple[float, float, float, float]]
    pair: Pair
    slope_pair: Pair


@dataclass(frozen=True)
class Activation:
    """An activation phi, its derivative, the points where either is not smooth, and closed forms where known.

    ``value`` and ``slope`` act on float64 arrays. Make your own with ``custom_activation``, which checks them.
    """

    name: str
    value: Function
    slope: Function
    kinks: tuple[float, ...] = ()
    closed: ClosedForms | None = None

    def moments(self, kernel: float) -> Moments:
        """Return the moments at ``kernel`` K; ``BadInput`` unless 0 <= K < inf."""
        usual = type(kernel) is float and 0 <= kernel < np.inf  # in the innermost loops
        return _moments(self, kernel if usual else a_kernel("kernel", kernel))

    def pair(self, first: float, second: float, correlation: float) -> float:
        """Return E[phi(u) phi(v)] for Gaussians of variance ``first``, ``second`` and the given correlation."""
        scales = _scales(first, second, correlation)
        if self.closed is not None:
            return self.closed.pair(first, second, correlation)
        return gaussian_pair_mean(self.value, self.value, scales, correlation, self.kinks).value

    def slope_pair(self, first: float, second: float, correlation: float) -> float:
        """Return E[phi'(u) phi'(v)] for Gaussians of variance ``first``, ``second`` and the given correlation."""
        scales = _scales(first, second, correlation)
        if self.closed is not None:
            return self.closed.slope_pair(first, second, correlation)
        return gaussian_pair_mean(self.slope, self.slope, scales, correlation, self.kinks).value

    def average(self, f: Callable[[Array, Array], Array], kernel: float) -> float:
        """Return E[f(phi(x), phi'(x))] over x ~ N(0, ``kernel``), by integration."""
        wide = _scale(a_kernel("kernel", kernel))
        return gaussian_mean(lambda x: f(self.value(x), self.slope(x)), wide, self.kinks).value


_a_correlation = number(-1, 1)


def _scale(kernel: float) -> float:
    return max(float(np.sqrt(kernel)), TINY)


def _scales(first: float, second: float, correlation: float) -> tuple[float, float]:
    _a_correlation("correlation", correlation)
    return _scale(a_kernel("kernel", first)), _scale(a_kernel("kernel", second))


@lru_cache(maxsize=65536)
def _moments(activation: Activation, kernel: float) -> Moments:
    if activation.closed is not None:
        found = [float(x) for x in activation.closed.moments(kernel)]
        return Moments(found[0], found[1], found[2], found[3], ROUNDING * max(1.0, *(abs(x) for x in found)))
    scale, phi, slope, kinks = _scale(kernel), activation.value, activation.slope, activation.kinks
    a = gaussian_mean(lambda x: phi(x) ** 2, scale, kinks)
    b = gaussian_mean(lambda x: slope(x) ** 2, scale, kinks)
    m = gaussian_mean(phi, scale, kinks)
    growth = gaussian_mean(lambda x: (phi(x) / scale) * slope(x) * (x / scale), scale, kinks)
    if kernel == 0:
        origin = float(phi(np.zeros(1))[0])
        return Moments(origin**2, b.value, origin, growth.value if origin == 0 else np.nan, max(b.error, growth.error))
    return Moments(a.value, b.value, m.value, growth.value, max(a.error, b.error, m.error, growth.error))


# -- closed forms ------------------------------------------------------------------------------------------------------


@checked(negative_slope=real)
def leaky_relu(negative_slope: float) -> Activation:
    """Return leaky ReLU, x for x > 0 and ``negative_slope`` x below: 0 is ReLU, 1 the identity, -1 the absolute value.

    phi = (1 + a)/2 x + (1 - a)/2 |x| gives A = K (1 + a^2)/2, B = (1 + a^2)/2, m = (1 - a) sqrt(K / 2 pi), and for two
    inputs the arc-cosine kernel of Cho and Saul 2009. Raises ``BadInput`` for a slope that is not finite.
    """
    a = negative_slope
    even, odd, square = ((1 - a) / 2) ** 2, ((1 + a) / 2) ** 2, (1 + a * a) / 2

    def pair(k1: float, k2: float, c: float) -> float:
        if c < -0.5:  # in the angle to the opposite input, t: as below, less what cancels for ReLU, c + |c|
            t = _to_opposite(c)
            return float(np.sqrt(k1) * np.sqrt(k2) * (a * c + even * 2 / np.pi * _arc_rest(t)))
        arc = np.sqrt((1 - c) * (1 + c)) + c * np.arcsin(c)
        return float(np.sqrt(k1) * np.sqrt(k2) * (odd * c + even * 2 / np.pi * arc))

    def slope_pair(k1: float, k2: float, c: float) -> float:
        if c < -0.5:
            return float(a + even * 2 / np.pi * _to_opposite(c))
        return float(odd + even * 2 / np.pi * np.arcsin(c))

    return Activation(
        "relu" if a == 0 else "linear" if a == 1 else f"leaky relu {a:g}",
        lambda x: np.where(x > 0, x, a * x),
        lambda x: np.where(x > 0, 1.0, a),
        () if a == 1 else (0.0,),
        ClosedForms(lambda k: (k * square, square, (1 - a) * float(np.sqrt(k)) / UNIT, square), pair, slope_pair),
    )


def _to_opposite(c: float) -> float:
    return 2 * math.asin(math.sqrt((1 + c) / 2))


def _arc_rest(t: float) -> float:
    """Return sin t - t cos t, by its series where both are nearly t."""
    if t > 1:
        return math.sin(t) - t * math.cos(t)
    term, total = t**3, 0.0
    for k in range(10):
        total += term / (2 * k + 3)
        term *= -t * t / ((2 * k + 2) * (2 * k + 3))
    return total


def _erf_moments(k: float) -> tuple[float, float, float, float]:
    # x = 2 K / (1 + 2 K), written so that large K does not round to 1 inside the arcsine
    angle = float(np.arctan2(2 * k, np.sqrt(1 + 4 * k)))
    return 2 / np.pi * angle, 4 / np.pi / np.sqrt(1 + 4 * k), 0.0, 4 / np.pi / ((1 + 2 * k) * np.sqrt(1 + 4 * k))


def _erf_pair(k1: float, k2: float, c: float) -> float:
    """Return (2/pi) asin(2 c sqrt(K1 K2) / sqrt((1 + 2 K1)(1 + 2 K2))), Williams 1997."""
    overlap = 2 * c * np.sqrt(k1) * np.sqrt(k2)
    return float(2 / np.pi * np.arctan2(overlap, np.sqrt(_erf_rest(k1, k2, c))))


def _erf_slope_pair(k1: float, k2: float, c: float) -> float:
    return float(4 / np.pi / np.sqrt(_erf_rest(k1, k2, c)))


def _erf_rest(k1: float, k2: float, c: float) -> float:
    # (1 + 2 K1)(1 + 2 K2) - 4 c^2 K1 K2
    return 1 + 2 * (k1 + k2) + 4 * k1 * k2 * (1 - c) * (1 + c)


def _gelu_slope(x: Array) -> Array:
    return np.asarray(ndtr(x) + x * np.exp(-(x**2) / 2) / UNIT)


def _silu_slope(x: Array) -> Array:
    s = expit(x)
    return np.asarray(s + x * s * expit(-x))


def _tanh_slope(x: Array) -> Array:
    e = np.exp(-2 * np.abs(x))  # 1 - tanh^2 would lose all digits far out
    return np.asarray(4 * e / (1 + e) ** 2)


ACTIVATIONS: dict[str, Activation] = {
    "relu": leaky_relu(0.0),
    "linear": leaky_relu(1.0),
    "erf": Activation(
        "erf",
        lambda x: np.asarray(_erf(x)),
        lambda x: 2 / np.sqrt(np.pi) * np.exp(-(x**2)),
        closed=ClosedForms(_erf_moments, _erf_pair, _erf_slope_pair),
    ),
    "tanh": Activation("tanh", np.tanh, _tanh_slope),
    "gelu": Activation("gelu", lambda x: x * ndtr(x), _gelu_slope),  # the exact form, not the tanh approximation
    "silu": Activation("silu", lambda x: x * expit(x), _silu_slope),
}


def a_phi(name: str, value: Any) -> Activation:
    """Read an activation or its name."""
    return activation(value)


def activation(name: str | Activation) -> Activation:
    """Return the activation of that name (one already made is passed through); ``BadInput`` for an unknown one."""
    if isinstance(name, Activation):
        return name
    if not isinstance(name, str):
        raise BadInput(f"the activation is {shown(name)}: give a name, one of {', '.join(ACTIVATIONS)}.")
    if name not in ACTIVATIONS:
        raise BadInput(f"there is no activation {shown(name)}{nearest(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]


@checked(name=text, value=pointwise, slope=pointwise, kinks=places)
def custom_activation(name: str, value: Function, slope: Function, kinks: Sequence[float] = ()) -> Activation:
    """Return an activation of your own from phi, its derivative, and the points where either is not smooth.

    Moments come from integration with an error estimate (``Moments.error``). The derivative is checked against
    differences of phi at 40 places in (-4, 4) off the kinks; ``BadInput`` where it is not one, or not of the same
    shape.
    """
    x = np.linspace(-4, 4, 41)[:-1] + 0.0371
    h = 1e-5
    x = x[np.all([np.abs(x - kink) > 2 * h for kink in kinks], axis=0)] if len(kinks) else x
    differences = (numbers("value(x)", value(x + h)) - numbers("value(x)", value(x - h))) / (2 * h)
    given = numbers("slope(x)", slope(x))
    if given.shape != x.shape or not np.allclose(given, differences, rtol=1e-5, atol=1e-5):
        raise BadInput(f"slope of {name!r} is not the derivative of its value: give phi' as a function of an array.")
    return Activation(name, value, slope, tuple(float(kink) for kink in kinks))
