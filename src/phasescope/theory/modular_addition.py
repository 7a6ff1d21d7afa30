"""Exact weights for modular addition, and how well they must work (Gromov 2023, arXiv:2301.02679).

Conventions: the network is ``f_q(n, m) = scale * sum_k W_qk (U_k(n) + V_k(m))^2``; the weights here give the correct
logit the expectation 1 with ``scale = 1``, that is amplitude A = (2/N)^(1/3) on each factor. (Eq. 2 of arXiv:2310.13061
prints the exponent -1/3; its own derivation needs +1/3.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

from phasescope.theory.domains import (
    checked,
    count,
    generator,
    modulus,
    not_negative,
    open_share,
    optional,
    pointwise,
    real,
    shown,
    whole,
    word,
)
from phasescope.vocabulary import Array, BadInput

__all__ = [
    "addition_weights",
    "composed_addition_weights",
    "correct_logit_factor",
    "expected_accuracy",
    "expected_squared_error",
    "one_branch_accuracy",
    "unit_logit_scale",
    "width_needed",
    "wrong_logit_deviation",
]

MOST_WEIGHTS = 10**8  # p x width: a gigabyte each for inputs and outputs
width_of = whole(1, MOST_WEIGHTS // 2)


def _residues(p: int, formula: Callable[[Array], Array] | None) -> Array:
    values = np.arange(p, dtype=object)
    if formula is None:
        return values.astype(np.int64)
    found = np.asarray(formula(values))
    if found.shape != (p,) or not all(isinstance(value, int | np.integer) for value in found):
        raise BadInput(f"a function of residues gives {shown(found)}: give one whole number for each of {p}.")
    return (found % p).astype(np.int64)


def wave(p: int, width: int, residues: Array, phase: Array) -> Array:
    """Return cos(2 pi k r / p + phase_k), (len(residues), N), for the frequencies k = 1 .. N taken mod p."""
    # the product k * r is reduced mod p first, so that the cosine's argument stays exact for large widths
    frequency = np.arange(1, width + 1) % p
    return np.asarray(np.cos(2 * np.pi * ((residues[:, None] * frequency) % p) / p + phase))


@checked(
    p=modulus,
    width=width_of,
    generator=generator,
    f=optional(pointwise),
    g=optional(pointwise),
    phase_error=not_negative,
)
def addition_weights(
    p: int,
    width: int,
    generator: np.random.Generator,
    *,
    f: Callable[[Array], Array] | None = None,
    g: Callable[[Array], Array] | None = None,
    phase_error: float = 0.0,
) -> tuple[Array, Array]:
    """Return exact weights ``embed`` (2, p, N) and ``readout`` (p, N) for (f(n) + g(m)) mod p, float64.

    Eqs. 6-7 with the constraint phi1 + phi2 = phi3 (Eq. 12), frequencies k = 1..N taken mod p, and phi1, phi2 uniform
    from ``generator``. ``f`` and ``g`` act on an array of Python integers (default: identity). ``phase_error`` = d
    breaks the constraint by noise uniform in (-d, d) on phi3. Raises ``BadInput`` for p < 2 or width < 1.
    """
    if p * width > MOST_WEIGHTS:
        raise BadInput(f"width is {width} with p = {p}: give at most {MOST_WEIGHTS // p:,}.")
    first, second = generator.uniform(0, 2 * np.pi, (2, width))
    third = first + second + generator.uniform(-1, 1, width) * phase_error
    amplitude = unit_logit_scale(width)
    embed = np.stack([wave(p, width, _residues(p, f), first), wave(p, width, _residues(p, g), second)])
    return amplitude * embed, amplitude * wave(p, width, np.arange(p), third)


@checked(p=modulus, width=width_of, generator=generator, outer=pointwise, branches=word("one", "all"))
def composed_addition_weights(
    p: int,
    width: int,
    generator: np.random.Generator,
    *,
    outer: Callable[[Array], Array],
    branches: str = "all",
) -> tuple[Array, Array]:
    """Return weights for F(n + m) mod p, reading each output off the preimages of F (arXiv:2301.02679, Sec. 3.2).

    ``branches="one"`` keeps the smallest preimage of each value: for a 2-to-1 F only a share (p + 1)/(2 p) of the
    inputs is then answered. ``"all"`` sums over the preimages. Outputs without preimage have zero weights.
    """
    embed, readout = addition_weights(p, width, generator)
    values = _residues(p, outer)
    composed = np.zeros_like(readout)
    for q in range(p):
        preimages = np.flatnonzero(values == q)
        composed[q] = readout[preimages[:1] if branches == "one" else preimages].sum(0)
    return embed, composed


@checked(width=count)
def unit_logit_scale(width: int) -> float:
    """Return the amplitude A = (2/N)^(1/3) of every weight that makes the correct logit 1 on average."""
    return float((2.0 / width) ** (1 / 3))


@checked(width=count)
def expected_squared_error(width: int) -> float:
    """Return the mean squared error of the exact network over samples and outputs: 4/N.

    Of the nine cosines in W (U + V)^2 eight have random phases; their squared amplitudes (1, 4 x 1/4^2, 3 x 1/2^2) sum
    to 2, so each logit deviates with variance (2/N)^2 * N * 2 / 2 = 4/N. Derived here; valid for N of order p or more.
    """
    return 4.0 / width


@checked(width=count)
def wrong_logit_deviation(width: int) -> float:
    """Return the standard deviation of the wrong logits, 2 / sqrt(N)."""
    return float(np.sqrt(expected_squared_error(width)))


@checked(phase_error=real)
def correct_logit_factor(phase_error: float) -> float:
    """Return the factor sin(d)/d by which the correct logit falls under phase errors uniform in (-d, d), in radians."""
    return float(np.sinc(phase_error / np.pi))


@checked(p=whole(2), width=count)
def expected_accuracy(p: int, width: int) -> float:
    """Return the full-table accuracy of the exact network, with its p logits taken as independent Gaussians.

    P(1 + s x_0 > s max of p - 1 others), s = 2/sqrt(N). An approximation: at p = 97 it is above the measured accuracy
    at N = 25 (0.51 against 0.46), and below it from N = 50 on (0.83 against 0.90; N = 100: 0.988 against 0.997), as the
    correct logit seldom falls as low as a Gaussian would.
    """
    s = wrong_logit_deviation(width)
    x = np.linspace(-9, 9, 2001)  # the trapezoid rule is exact to rounding for so smooth and short a function
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return float(np.trapezoid(density * ndtr((1 + s * x) / s) ** (p - 1), x))


@checked(p=whole(2), accuracy=open_share)
def width_needed(p: int, accuracy: float = 0.99) -> int:
    """Return the least width at which ``expected_accuracy`` reaches ``accuracy``; ``BadInput`` outside (1/p, 1).

    >>> width_needed(97)
    103
    """
    if not 1 / p < accuracy:
        raise BadInput(f"accuracy is {accuracy}: it must lie between chance {1 / p:.3g} and 1, both excluded.")
    low, high = 1, 2
    while expected_accuracy(p, high) < accuracy:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if expected_accuracy(p, middle) >= accuracy else (middle, high)
    return high


@checked(p=whole(3))
def one_branch_accuracy(p: int) -> float:
    """Return the fraction of inputs that one-branch weights of a 2-to-1 F can answer, (p + 1) / (2 p), for odd p."""
    if p % 2 == 0:
        raise BadInput(f"p is {p}: a 2-to-1 function of all residues but one needs an odd p.")
    return (p + 1) / (2 * p)
