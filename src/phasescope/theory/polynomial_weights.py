"""Exact weights for sums of many terms and for products modulo p, and the error they must have.

Doshi, He, Das and Gromov 2024, arXiv:2406.03495, Eqs. 1-2 and 6. The network is ``f = W phi(sum_s U_s[n_s])`` with
phi(x) = x^S; amplitudes make the correct logit 1 on average. Eq. 6 prints the amplitude of the product's weights with
the exponent -1/3; its own derivation needs +1/3, and ``misprinted=True`` keeps the print to show what it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import comb, factorial

import numpy as np

from phasescope.theory.domains import (
    checked,
    count,
    degree,
    flag,
    generator,
    integers,
    modulus,
    not_negative,
    optional,
    tables,
    whole,
)
from phasescope.theory.modular_addition import MOST_WEIGHTS, wave, width_of
from phasescope.theory.residues import discrete_logarithms
from phasescope.vocabulary import Array, BadInput

__all__ = [
    "expected_sum_error",
    "linear_terms",
    "power_table",
    "product_weights",
    "sum_amplitude",
    "sum_error_constant",
    "sum_weights",
    "sum_width_growth",
]

MOST_TERMS = 5  # the highest power that learners have as an activation


@checked(p=modulus, coefficients=integers())
def linear_terms(p: int, coefficients: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the tables (S, p) of ``c_s * n mod p`` for ``sum_weights``."""
    return tuple(tuple(int(c) * n % p for n in range(p)) for c in coefficients)


@checked(
    p=modulus,
    width=width_of,
    generator=generator,
    terms=tables,
    outer=optional(integers()),
    phase_error=not_negative,
    factorial_factor=flag,
)
def sum_weights(
    p: int,
    width: int,
    generator: np.random.Generator,
    *,
    terms: Sequence[Sequence[int]],
    outer: Sequence[int] | None = None,
    phase_error: float = 0.0,
    factorial_factor: bool = True,
) -> tuple[Array, Array]:
    """Return exact weights ``embed`` (S, p, N) and ``readout`` (p, N) for h(g_1(n_1) + ... + g_S(n_S)) mod p, float64.

    ``terms`` (S, p) are the tables of g_s, ``outer`` (p,) that of h (default: identity); each output sums over its
    preimages under h. Eqs. 1-2: frequencies 1 .. N mod p, uniform phases psi_s, readout phase their sum, amplitude
    ``sum_amplitude(S, N)``. The activation must be x^S. Two controls: ``phase_error`` = d adds noise uniform in (-d, d)
    to the readout phase, ``factorial_factor=False`` leaves the factor 2^S/S! out of the amplitude.

    Raises ``BadInput`` for p < 2, width < 1, or fewer than 2 or more than 5 terms.
    """
    tables, count = np.asarray(terms), len(terms)
    _check(p, width, outer)
    _check_tables("terms", tables, count, p)
    phases = generator.uniform(0, 2 * np.pi, (count, width))
    last = phases.sum(0) + generator.uniform(-1, 1, width) * phase_error
    amplitude = sum_amplitude(count, width) if factorial_factor else width ** (-1 / (count + 1))
    embed = np.stack([wave(p, width, table % p, phase) for table, phase in zip(tables, phases, strict=True)])
    return amplitude * embed, amplitude * _by_preimage(wave(p, width, np.arange(p), last), outer)


@checked(terms=whole(1, 100), width=count)
def sum_amplitude(terms: int, width: int) -> float:
    """Return A = (2^S / (N S!))^(1/(S+1)), the amplitude of every weight of the S-term sum (Eq. 2)."""
    return float((2.0**terms / (width * factorial(terms))) ** (1 / (terms + 1)))


def _by_preimage(readout: Array, outer: Sequence[int] | None) -> Array:
    """Return the readout (p, N) of h(u) from that of u: each output sums the rows of its preimages."""
    if outer is None:
        return readout
    composed = np.zeros_like(readout)
    np.add.at(composed, np.asarray(outer, dtype=np.int64) % len(readout), readout)
    return composed


@checked(
    p=modulus,
    width=width_of,
    generator=generator,
    factors=tables,
    outer=optional(integers()),
    phase_error=not_negative,
    misprinted=flag,
)
def product_weights(
    p: int,
    width: int,
    generator: np.random.Generator,
    *,
    factors: Sequence[Sequence[int]],
    outer: Sequence[int] | None = None,
    phase_error: float = 0.0,
    misprinted: bool = False,
) -> tuple[Array, Array]:
    """Return exact weights ``embed`` (S, p, N) and ``readout`` (p, N) for h(g_1(n_1) g_2(n_2) ...) mod a prime p.

    Eq. 6: off 0 the product is a sum of discrete logarithms, periodic in p - 1; inputs whose factor is 0 have one
    neuron to themselves, the first. ``factors`` (S, p) are the tables of g_s (``power_table`` for n^a), ``outer`` (p,)
    that of h; float64. The activation must be x^S; for S = 2, the paper's case, the amplitude is (2 / (N - 1))^(1/3),
    and its inverse where ``misprinted``; ``phase_error`` as in ``sum_weights``. More factors are our extension.

    Raises ``BadInput`` for composite p, width < 2, and fewer than 2 or more than 5 factors.
    """
    logs = discrete_logarithms(p)
    tables, count = np.asarray(factors), len(factors)
    _check(p, width, outer, least=2)
    _check_tables("factors", tables, count, p)
    amplitude = sum_amplitude(count, width - 1) ** (-1 if misprinted else 1)
    phases = generator.uniform(0, 2 * np.pi, (count, width - 1))
    last = phases.sum(0) + generator.uniform(-1, 1, width - 1) * phase_error
    embed, readout = np.zeros((count, p, width)), np.zeros((p, width))
    for part, table, phase in zip(embed, tables % p, phases, strict=True):
        _write_factor(part, logs[table], p - 1, amplitude, phase)
    _write_factor(readout, logs, p - 1, amplitude, last)
    return embed, _by_preimage(readout, outer)


def _write_factor(part: Array, logs: Array, period: int, amplitude: float, phase: Array) -> None:
    zero = logs < 0
    part[zero, 0] = 1.0
    part[~zero, 1:] = amplitude * wave(period, part.shape[1] - 1, logs[~zero], phase)


@checked(p=modulus, exponent=degree, coefficient=whole(-(10**15)))
def power_table(p: int, exponent: int, coefficient: int = 1) -> tuple[int, ...]:
    """Return the table (p,) of ``coefficient * n^exponent mod p``; n^0 is 1, also for n = 0.

    >>> power_table(5, 2)
    (0, 1, 4, 4, 1)
    """
    return tuple(coefficient * pow(n, exponent, p) % p for n in range(p))


def _check_tables(name: str, tables: Array, count: int, p: int) -> None:
    if not 2 <= count <= MOST_TERMS or tables.shape != (count, p):
        raise BadInput(
            f"{name} has shape {tables.shape}: give 2 to {MOST_TERMS} tables of length p = {p}; the activation is a "
            "power as high as there are tables."
        )


def _check(p: int, width: int, outer: Sequence[int] | None, least: int = 1) -> None:
    if width < least or p * width > MOST_WEIGHTS:
        raise BadInput(f"width is {width} with p = {p}: give from {least} to {MOST_WEIGHTS // p:,}.")
    if outer is not None and len(outer) != p:
        raise BadInput(f"outer has {len(outer)} values: give the table of h, of length p = {p}.")


@checked(terms=whole(2, 40))
def sum_error_constant(terms: int) -> float:
    """Return kappa_S: the exact network for a sum of S terms has mean squared error kappa_S / N.

    kappa_S = (2^S/S!)^2 E[(cos t_1 + ... + cos t_S)^(2S)] / 2 - 1/2 with independent uniform angles: the mean square of
    one neuron's contribution at a random readout phase, less that of the part that is signal. Derived here; 4 for S = 2
    (``expected_squared_error``), and it grows about 6.5-fold per term. Raises ``BadInput`` below two terms.

    >>> [round(sum_error_constant(s), 1) for s in (2, 3, 4, 5)]
    [4.0, 25.3, 164.5, 1118.7]
    """
    moment = _moment(terms, 2 * terms)
    return float(Fraction(2**terms, factorial(terms)) ** 2 * moment / 2 - Fraction(1, 2))


def _moment(terms: int, order: int) -> Fraction:
    """Return E[(cos t_1 + ... + cos t_S)^order] exactly, adding one cosine at a time by the binomial theorem."""
    single = [Fraction(comb(k, k // 2), 2**k) if k % 2 == 0 else Fraction(0) for k in range(order + 1)]
    total = single
    for _ in range(terms - 1):
        total = [
            sum((comb(n, k) * total[k] * single[n - k] for k in range(n + 1)), Fraction(0)) for n in range(order + 1)
        ]
    return total[order]


@checked(terms=whole(2, 40), width=count)
def expected_sum_error(terms: int, width: int) -> float:
    """Return the mean squared error kappa_S / N of the exact sum of S ``terms`` at ``width`` N >= p.

    >>> expected_sum_error(2, 100)
    0.04
    """
    return sum_error_constant(terms) / width


@checked(terms=whole(2, 39))
def sum_width_growth(terms: int) -> float:
    """Return kappa_(S+1) / kappa_S: how many times wider the network must be for one term more at equal error."""
    return sum_error_constant(terms + 1) / sum_error_constant(terms)
