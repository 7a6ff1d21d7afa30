"""Stochastic collapse: noise that vanishes on an invariant set draws training into it.

Chen, Kunin, Yamamura and Ganguli 2023, arXiv:2306.04251. Near an invariant set the gradient and its noise both vanish
in proportion to the distance x from it, so that log x walks with a constant drift: dx = drift x dt + noise x dB (Ito)
gives d E[log x] / dt = drift - noise^2 / 2. The set attracts where this rate is negative, also where the loss alone
repels.

One equation serves the paper's quartic loss and every mode of its teacher and student: dx = (mu x - x^3) dt + zeta x
dB.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, gammainc, gammaln

from phasescope.theory.domains import agree, array, checked, not_negative, positive, real
from phasescope.vocabulary import Array, BadInput

__all__ = [
    "attractivity",
    "collapse_rate",
    "collapse_threshold",
    "critical_singular_value",
    "mode_strength",
    "neuron_rates",
    "neuron_threshold",
    "quartic_density",
    "quartic_mean_absolute",
    "quartic_mean_square",
    "quartic_path",
    "quartic_share_below",
]


@checked(curvature=real, noise_curvature=real)
def attractivity(curvature: float, noise_curvature: float) -> float:
    """Return L''(0) + D''(0) / 2 of d x = -L' dt + sqrt(2 D) dB, in 1 / time: positive where the set x = 0 attracts.

    ``curvature`` is L''(0), ``noise_curvature`` D''(0) of a diffusion D that vanishes at 0 with its slope. It is minus
    the rate of ``collapse_rate``. Chen et al. 2023, Sec. 4.
    """
    return curvature + noise_curvature / 2


@checked(drift=real, noise=not_negative, step=not_negative)
def collapse_rate(drift: float, noise: float, step: float = 0.0) -> float:
    """Return d E[log |x|] / dt of dx = ``drift`` x dt + ``noise`` x dB, in 1 / time: negative where x = 0 attracts.

    With ``step`` > 0 it is exact for the discrete walk x' = x (1 + drift step + noise sqrt(step) N(0, 1)), which is
    what stochastic gradient descent does: E[log |1 + a + b N|] / step. The square of 1 + a + b N is a mixture, with
    Poisson weights, of chi-squared variables (derived here). Raises ``BadInput`` for a negative noise or step.
    """
    if step == 0:
        return drift - noise**2 / 2
    move, b = drift * step, noise * math.sqrt(step)
    a = 1 + move
    if a == 0 and b == 0:
        return -math.inf
    if abs(a) > 12 * b:  # where the series needs many terms and their sum has lost digits
        # log |a| / step, where 1 + move has lost the move; |1 + m| = 1 + max(m, -2 - m)
        grown = drift * (math.log1p(max(move, -2 - move)) / move if move else 1.0)
        return grown - (noise / a) ** 2 * _log_loss((b / a) ** 2)
    half = (a / b) ** 2 / 2
    reach = 12 * math.sqrt(half + 12) + 40
    j = np.arange(max(0, math.floor(half - reach)), math.ceil(half + reach))
    weights = np.exp(j * math.log(half) - half - gammaln(j + 1)) if half > 0 else (j == 0).astype(float)
    mean = weights @ (math.log(2) + digamma(j + 0.5)) / weights.sum()
    return float(mean / 2 + math.log(b)) / step


def _log_loss(r: float) -> float:
    """Return -E[log |1 + sqrt(r) N|] / r = sum_n (2 n - 1)!! r^(n - 1) / (2 n) for r <= 1/144, N normal.

    The series is asymptotic; its terms fall until n = 1 / (2 r) and are below rounding at n = 20.
    """
    total, moment = 0.0, 1.0
    for n in range(1, 21):
        total += moment / (2 * n)
        moment *= (2 * n + 1) * r
    return total


@checked(drift=positive, step=not_negative)
def collapse_threshold(drift: float, step: float = 0.0) -> float:
    """Return the noise above which x = 0 attracts in spite of ``drift`` > 0: sqrt(2 drift), or that of steps ``step``.

    Raises ``BadInput`` for a drift that is not positive, where 0 attracts without noise, and for a step so large that
    no noise makes the discrete walk collapse.
    """
    guess = math.sqrt(2 * drift)
    if step == 0:
        return guess
    most = min(2 * guess, 1 / math.sqrt(step))  # beyond noise sqrt(step) = 1 the steps overshoot and noise drives out
    if collapse_rate(drift, most, step) >= 0:
        raise BadInput(f"drift {drift} with step {step}: no noise makes the walk collapse; take a smaller step.")
    found = brentq(lambda noise: collapse_rate(drift, noise, step), 1e-3 * guess, most, xtol=1e-12 * guess)
    return float(found)


# -- dx = (mu x - x^3) dt + zeta x dB ----------------------------------------------------------------------------------


def _shape(mu: float, zeta: float) -> float:
    """Return the shape k of the stationary law x^2 ~ Gamma(k, scale zeta^2). Domain: zeta^2 < 2 mu."""
    if not 0 < zeta**2 < 2 * mu:
        raise BadInput(f"mu {mu}, zeta {zeta}: the stationary density needs 0 < zeta^2 < 2 mu; beyond, all collapses.")
    return (2 * mu - zeta**2) / (2 * zeta**2)


FLAT_SHAPE = 20.0  # from here on Stirling's series for log Gamma is exact to rounding


def _stirling(k: float) -> float:
    """Return log Gamma(k) - [(k - 1/2) log k - k + log(2 pi) / 2] for k >= ``FLAT_SHAPE``."""
    r = 1 / k / k
    return (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r / 1188)))) / k


def _bend(t: Array | float) -> Array:
    """Return log(1 + t) - t for t >= -1, also where both are nearly equal: 2 artanh(w) - t, w = t / (2 + t)."""
    t = np.asarray(t, dtype=np.float64)
    w = np.where(np.abs(t) < 0.5, t / (2 + t), 0.0)
    series = np.polynomial.polynomial.polyval(w**2, 2 / np.arange(3, 43, 2))
    with np.errstate(divide="ignore"):
        return np.asarray(np.where(np.abs(t) < 0.5, w**3 * series - t * w, np.log1p(t) - t))


@checked(x=array(), mu=real, zeta=not_negative)
def quartic_density(x: Array, mu: float, zeta: float) -> Array:
    """Return the stationary density over the real line, |x|^(2 mu / zeta^2 - 2) exp(-x^2 / zeta^2) normalized.

    Chen et al. 2023, Fig. 1. Infinite at 0 where zeta^2 > mu. Raises ``BadInput`` outside 0 < zeta^2 < 2 mu.
    """
    k = _shape(mu, zeta)
    if k >= FLAT_SHAPE:
        # the law of x^2 as its distance from the mean, k zeta^2: all large terms of the logarithm have gone
        root = math.sqrt(k) * zeta
        off = (np.abs(x) - root) / root * ((np.abs(x) + root) / root)
        log = (k - 0.5) * _bend(off) - off / 2
        return np.asarray(np.exp(log - _stirling(k)) / (math.sqrt(2 * math.pi) * zeta))
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.where((x == 0) & (k == 0.5), 0.0, (2 * k - 1) * np.log(np.abs(x) / zeta))
    return np.asarray(np.exp(log - (x / zeta) ** 2 - gammaln(k)) / zeta)


@checked(x=not_negative, mu=real, zeta=not_negative)
def quartic_share_below(x: float, mu: float, zeta: float) -> float:
    """Return the stationary probability of |x'| < ``x``; 1 where the noise collapses everything, zeta^2 >= 2 mu > 0."""
    if mu > 0 and zeta**2 >= 2 * mu:
        return 1.0
    return float(gammainc(_shape(mu, zeta), (x / zeta) ** 2))


@checked(mu=real, zeta=not_negative)
def quartic_mean_absolute(mu: float, zeta: float) -> float:
    """Return the stationary E|x| = zeta Gamma(k + 1/2) / Gamma(k), k = mu / zeta^2 - 1/2, in the density's domain."""
    k = _shape(mu, zeta)
    if k < FLAT_SHAPE:
        return zeta * math.exp(math.lgamma(k + 0.5) - math.lgamma(k))
    return math.sqrt(k) * zeta * math.exp(k * float(_bend(1 / (2 * k))) + _stirling(k + 0.5) - _stirling(k))


@checked(mu=real, zeta=not_negative)
def quartic_mean_square(mu: float, zeta: float) -> float:
    """Return the stationary E[x^2] = max(mu - zeta^2 / 2, 0): what the noise leaves of the noiseless mu.

    Exact, because E[d log |x|] = 0 in a stationary state (derived here). Raises ``BadInput`` for zeta < 0.
    """
    return max(mu - zeta**2 / 2, 0.0)


@checked(start=array(1), increments=array(2), mu=real, zeta=not_negative, dt=positive)
def quartic_path(start: Array, increments: Array, mu: float, zeta: float, dt: float) -> Array:
    """Return the exact solution (T + 1, W) along given Brownian ``increments`` (T, W) of variance ``dt``.

    With G = exp((mu - zeta^2/2) t + zeta B): x = x0 G / sqrt(1 + 2 x0^2 int G^2 dt), since 1/x^2 obeys a linear
    equation (derived here); the integral is by trapezoids between the given times. ``start`` (W,). Raises ``BadInput``
    for dt <= 0.
    """
    agree(start=(start, ("W",)), increments=(increments, ("T", "W")))
    log = np.cumsum((mu - zeta**2 / 2) * dt + zeta * increments, 0)
    if np.abs(log).max() > 300:
        raise BadInput(f"log x moves by {np.abs(log).max():.3g}: floats hold 300; give shorter times.")
    growth = np.exp(np.concatenate([np.zeros_like(log[:1]), log]))
    areas = np.cumsum((growth[1:] ** 2 + growth[:-1] ** 2) * dt / 2, 0)
    areas = np.concatenate([np.zeros_like(areas[:1]), areas])
    return np.asarray(start * growth / np.hypot(1, start * np.sqrt(2 * areas)))


# -- linear teacher and student, one singular mode ---------------------------------------------------------------------


@checked(rate=positive, label_noise=not_negative)
def critical_singular_value(rate: float, label_noise: float) -> float:
    """Return s_c = h sigma^2 / 2: modes of the teacher below it are lost. Chen et al. 2023, Sec. 6, Fig. 5.

    A step is u -= h (u v - s + sigma N) v and likewise for v; ``rate`` h, ``label_noise`` sigma, time is h x steps.
    Started at u = v the mode x = u obeys the quartic equation with mu = s and zeta = sigma sqrt(h), so that
    E[u v] = E[x^2] tends to max(s - s_c, 0). Raises ``BadInput`` for a rate <= 0 or a negative noise.
    """
    return rate * label_noise**2 / 2


@checked(time=array(low=0), singular_value=real, start=positive, critical=real)
def mode_strength(time: Array, singular_value: float, start: float = 1.0, critical: float = 0.0) -> Array:
    """Return s_eff / (1 + (s_eff / start - 1) exp(-2 s_eff t)), s_eff = ``singular_value`` - ``critical``.

    The noiseless course of u v for ``critical`` 0. With s_c it is the curve of Chen et al. 2023, Fig. 5, and an upper
    bound of the geometric mean exp(E[log u v]), because d E[log u v] / dt = 2 (s_eff - E[u v]) and E[u v] is never
    below the geometric mean (derived here). For the same reason the mean of E[u v] over the time from 0 is never below
    that of the curve. Start / (1 + 2 start t) at s_eff = 0. Raises ``BadInput`` for a start that is not positive.
    """
    time, s = np.asarray(time), singular_value - critical
    # 1 / strength = exp(-2 s t) / start + (1 - exp(-2 s t)) / s, without the 0 / 0 at s = 0
    with np.errstate(over="ignore"):  # a mode far below s_c: 1 / inf = 0
        span = 2 * time if s == 0 else -np.expm1(-2 * s * time) / s
        return np.asarray(1 / (np.exp(-2 * s * time) / start + span))


# -- one neuron w2 phi(w1 x) under label noise -------------------------------------------------------------------------


@checked(x=array(1), y=array(1))
def neuron_threshold(x: Array, y: Array) -> float:
    """Return sum x y / sum x^2: a neuron collapses where eta zeta^2 phi'(0) / 2 exceeds it. Chen et al. 2023, Thm 5.1.

    Scalar inputs ``x`` (N,) and targets ``y`` (N,); squared error with factor 1/2, label noise of deviation zeta, rate
    eta. Raises ``BadInput`` where all inputs are 0.
    """
    agree(x=(x, ("N",)), y=(y, ("N",)))
    if not (x**2).sum() > 0:
        raise BadInput("all inputs are 0: a neuron sees nothing and has no threshold.")
    return float((x * y).sum() / (x**2).sum())


@checked(x=array(1), y=array(1), noise=not_negative, slope=real, step=not_negative)
def neuron_rates(x: Array, y: Array, noise: float, slope: float = 1.0, step: float = 0.0) -> tuple[float, float]:
    """Return d E[log |w1 + w2|] / dt and d E[log |w1 - w2|] / dt near w = 0; ``noise`` eta zeta^2, ``slope`` phi'(0).

    +- slope C - noise slope^2 S / 2 with C = mean x y and S = mean x^2 (derived here). The neuron collapses where both
    are negative, which for C > 0 is the condition of ``neuron_threshold``. With ``step`` > 0 for the walk in
    steps of that length, as ``collapse_rate``. Raises ``BadInput`` for a negative noise.
    """
    agree(x=(x, ("N",)), y=(y, ("N",)))
    pull, size = slope * float((x * y).mean()), slope**2 * float((x**2).mean())
    kick = math.sqrt(noise * size)
    return collapse_rate(pull, kick, step), collapse_rate(-pull, kick, step)
