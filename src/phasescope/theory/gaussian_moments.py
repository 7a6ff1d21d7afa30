"""Averages over one and two Gaussian variables, each with an estimate of its own error.

Smooth integrands go by Gauss-Hermite; where two orders disagree, or the integrand has kinks, by Gauss-Legendre on
panels that end at the kinks and shrink towards them. The error returned is the difference of two rules plus rounding.
It is an estimate: an integrand with structure far finer than its scale and with no kink declared can mislead both
rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy.special import roots_hermitenorm, roots_legendre

from phasescope.theory.domains import checked, number, places, pointwise, scale, sequence
from phasescope.vocabulary import Array, BadInput

__all__ = ["Estimate", "gaussian_mean", "gaussian_pair_mean"]

Function = Callable[[Array], Array]
REACH = 12.0  # in standard deviations: the density beyond is 2e-32 of its peak
ROUNDING = 4e-16
ACCEPTED = 1e-14  # relative difference of two Gauss-Hermite rules at which they are believed
HALVINGS = 6


class Estimate(NamedTuple):
    """An average and the estimated absolute error of its numerical integration."""

    value: float
    error: float


def _two_scales(name: str, values: Any) -> tuple[float, float]:
    found = [scale(name, value) for value in sequence(name, values, 2)]
    if len(found) != 2:
        raise BadInput(f"{name} has 1 number: give two, one for each variable.")
    return found[0], found[1]


@cache
def _hermite(order: int) -> tuple[Array, Array]:
    nodes, weights = roots_hermitenorm(order)
    return nodes, weights / weights.sum()


@cache
def _legendre(order: int) -> tuple[Array, Array]:
    nodes, weights = roots_legendre(order)
    return (nodes + 1) / 2, weights / 2  # on (0, 1)


def _on_panels(edges: Array, order: int) -> tuple[Array, Array]:
    """Return nodes and Gaussian weights (..., panels * order) between sorted ``edges`` (..., panels + 1)."""
    nodes, weights = _legendre(order)
    width = np.diff(edges)[..., None]
    z = (edges[..., :-1, None] + width * nodes).reshape(*edges.shape[:-1], -1)
    w = (width * weights).reshape(*edges.shape[:-1], -1)
    return z, w * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def _steps(size: float) -> Array:
    """Return distances that double from ``size``/4 to the reach, both ways, and 0: panels shrink towards a place."""
    if not 0 < size < 4 * REACH:
        return np.zeros(1)
    sizes = size / 4 * 2.0 ** np.arange(np.ceil(np.log2(8 * REACH / size)) + 1)
    return np.concatenate([-sizes, [0.0], sizes])


def _graded(places: Sequence[tuple[float, float]]) -> Array:
    """Return sorted edges over the reach: every integer, and around each (place, size) steps down to its size."""
    around = [place + _steps(size) for place, size in places]
    edges = np.concatenate([np.arange(-REACH, REACH + 1), *around])
    return np.unique(edges[np.abs(edges) <= REACH])


def _summed(f: Callable[[Array], Array], z: Array, w: Array) -> tuple[float, float]:
    terms = w * f(z)
    return float(terms.sum()), float(np.abs(terms).sum())


def _agreed(f: Function, scale: float) -> Estimate | None:
    """Return the average by Gauss-Hermite with 200 nodes, or None where 121 nodes (one of them 0) say otherwise."""
    (coarse, _), (fine, size) = (_summed(lambda z: f(scale * z), *_hermite(n)) for n in (121, 200))
    error = abs(fine - coarse)
    # a function that overflows far out gives infinities and NaN, which are no agreement
    return Estimate(fine, error + ROUNDING * size) if np.isfinite(size) and error <= ACCEPTED * size else None


@checked(f=pointwise, scale=scale, kinks=places)
def gaussian_mean(f: Function, scale: float = 1.0, kinks: Sequence[float] = ()) -> Estimate:
    """Return E[f(scale z)], z ~ N(0, 1), for a vectorized ``f`` that is smooth between its ``kinks``.

    Raises ``BadInput`` for a scale outside (0, inf), and for a function that is not finite, or not small against the
    density at 12 standard deviations, such as exp(x^2).

    >>> round(gaussian_mean(np.abs, 1.0, kinks=[0.0]).value ** 2 * np.pi, 12)
    2.0
    """
    with np.errstate(all="ignore"):
        if not kinks and (found := _agreed(f, scale)) is not None:
            return found
        edges = _graded([(kink / scale, 1 / scale) for kink in {0.0, *kinks}])
        value, size = _summed(lambda z: f(scale * z), *_on_panels(edges, 16))
        for _ in range(HALVINGS):
            edges = np.sort(np.concatenate([edges, (edges[1:] + edges[:-1]) / 2]))
            coarse, (value, size) = value, _summed(lambda z: f(scale * z), *_on_panels(edges, 16))
            if not abs(value - coarse) > ACCEPTED * size:
                break
    ends = np.array([-1, -0.99, 0.99, 1]) * REACH
    with np.errstate(all="ignore"):
        tail = float(np.abs(f(scale * ends) * np.exp(-(ends**2) / 2)).max())
    if not np.isfinite(value) or not tail <= 1e-12 * size:
        raise BadInput(
            f"no Gaussian average at scale {scale:g}: take a finite function that grows slower than exp(x^2 / 2)."
        )
    return Estimate(value, abs(value - coarse) + ROUNDING * size)


@checked(f=pointwise, g=pointwise, scales=_two_scales, correlation=number(-1, 1), kinks=places)
def gaussian_pair_mean(
    f: Function, g: Function, scales: tuple[float, float], correlation: float, kinks: Sequence[float] = ()
) -> Estimate:
    """Return E[f(s1 u) g(s2 v)] for standard normal u, v of the given ``correlation``, ``scales`` = (s1, s2).

    v = c u + sqrt(1 - c^2) w with u, w independent. The ``kinks`` are those of f and of g; those of g lie, for a given
    u, at their own places of w, so the inner panels move with u. Raises ``BadInput`` for |correlation| > 1.
    """
    (s1, s2), c = scales, correlation
    s = float(np.sqrt((1 - c) * (1 + c)))
    if s == 0:
        folded = [*kinks, *(c * s1 / s2 * kink for kink in kinks)]
        return gaussian_mean(lambda x: f(x) * g(c * s2 / s1 * x), s1, folded)
    with np.errstate(all="ignore"):
        if not kinks and (found := _agreed_pair(f, g, scales, c, s)) is not None:
            return found
        coarse, _ = _pair_on_panels(f, g, scales, (c, s), kinks, 10)
        value, size = _pair_on_panels(f, g, scales, (c, s), kinks, 16)
    if not np.isfinite(value):
        raise BadInput(f"the Gaussian average at scales {scales} is {value}: the functions must be finite there.")
    return Estimate(value, abs(value - coarse) + ROUNDING * size)


def _agreed_pair(f: Function, g: Function, scales: tuple[float, float], c: float, s: float) -> Estimate | None:
    found = []
    for order in (81, 140):
        z, w = _hermite(order)
        terms = np.outer(w * f(scales[0] * z), w) * g(scales[1] * (c * z[:, None] + s * z))
        found.append((float(terms.sum()), float(np.abs(terms).sum())))
    (coarse, _), (fine, size) = found
    error = abs(fine - coarse)
    return Estimate(fine, error + ROUNDING * size) if np.isfinite(size) and error <= ACCEPTED * size else None


def _pair_on_panels(
    f: Function, g: Function, scales: tuple[float, float], mix: tuple[float, float], kinks: Sequence[float], order: int
) -> tuple[float, float]:
    (s1, s2), (c, s) = scales, mix
    bends = [0.0, *kinks]
    places = [(kink / s1, 1 / s1) for kink in bends]
    if c != 0:  # the inner average bends where v meets a kink, over a length s
        places += [(kink / (s2 * c), s / abs(c)) for kink in bends]
    u, w = _on_panels(_graded(places), order)
    near = u[:, None] * (-c / s)
    moving = [near + kink / (s2 * s) + _steps(1 / (s2 * s)) for kink in bends]
    fixed = np.broadcast_to(np.arange(-REACH, REACH + 1), (u.size, int(2 * REACH) + 1))
    edges = np.sort(np.clip(np.concatenate([fixed, *moving], 1), -REACH, REACH), 1)
    inner, weight = _on_panels(edges, order)
    terms = (w * f(s1 * u))[:, None] * weight * g(s2 * (c * u[:, None] + s * inner))
    return float(terms.sum()), float(np.abs(terms).sum())
