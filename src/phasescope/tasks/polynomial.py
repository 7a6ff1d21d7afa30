"""A small exact algebra of polynomials with integer coefficients, and their tables modulo p.

A ``Polynomial`` is formal: ``n1^23`` and ``n1`` differ, though they agree at every residue modulo 23. ``reduced(p)``
is the one representative of the function: exponents below p, coefficients in 0 .. p - 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb
from operator import index
from typing import Any

import numpy as np

from phasescope.errors import BadInput, shown
from phasescope.vocabulary import Array

Exponents = tuple[int, ...]
MOST_TERMS = 2_000
MOST_PRODUCTS = 1_000_000
MOST_BITS = 4_096
MOST_DEGREE = 1_000
MOST_VARIABLES = 9


@dataclass(frozen=True, init=False)
class Polynomial:
    """A polynomial in n1, n2, ... with integer coefficients, in normal form: equal ones compare equal.

    ``terms``: pairs (exponents, coefficient), no coefficient 0, highest degree first. Exponents are a tuple, one per
    variable, without zeros at its end. Calling it evaluates it exactly. Raises ``BadInput`` for negative exponents and
    for expansions beyond the bounds of this module (terms, bits of a coefficient, degree); ``TypeError`` for numbers
    that are not whole.

    >>> str((4 * Polynomial.variable(1) + Polynomial.variable(2) ** 2) ** 2)
    'n2^4 + 8*n1*n2^2 + 16*n1^2'
    """

    terms: tuple[tuple[Exponents, int], ...]

    def __init__(self, terms: Mapping[Exponents, int]) -> None:
        kept: dict[Exponents, int] = {}
        for exponents, coefficient in terms.items():
            key = _stripped(exponents)
            kept[key] = kept.get(key, 0) + index(coefficient)
        kept = {key: value for key, value in kept.items() if value}
        _check_size(kept)
        object.__setattr__(self, "terms", tuple(sorted(kept.items(), key=_order, reverse=True)))

    @classmethod
    def variable(cls, number: int) -> Polynomial:
        """Return the variable ``n<number>``, counted from 1. Raises ``BadInput`` outside 1 .. 9."""
        if not 1 <= number <= MOST_VARIABLES:
            raise BadInput(f"there is no variable n{number}: variables are n1 to n{MOST_VARIABLES}.")
        return cls({(0,) * (number - 1) + (1,): 1})

    @classmethod
    def constant(cls, value: int) -> Polynomial:
        """Return the constant polynomial ``value``."""
        return cls({(): value})

    @property
    def arity(self) -> int:
        """The number of variables: the highest index that occurs, 0 for a constant."""
        return max((len(exponents) for exponents, _ in self.terms), default=0)

    @property
    def degree(self) -> int:
        """The total degree; 0 for constants."""
        return max((sum(exponents) for exponents, _ in self.terms), default=0)

    def padded(self, arity: int) -> dict[Exponents, int]:
        """Return the terms as a dictionary, with exponents of ``arity`` entries each."""
        return {(*exponents, *(0,) * (arity - len(exponents))): value for exponents, value in self.terms}

    def __add__(self, other: Polynomial | int) -> Polynomial:
        total = dict(self.terms)
        for exponents, value in _as_polynomial(other).terms:
            total[exponents] = total.get(exponents, 0) + value
        return Polynomial(total)

    __radd__ = __add__

    def __neg__(self) -> Polynomial:
        return Polynomial({exponents: -value for exponents, value in self.terms})

    def __sub__(self, other: Polynomial | int) -> Polynomial:
        return self + -_as_polynomial(other)

    def __rsub__(self, other: int) -> Polynomial:
        return -self + other

    def __mul__(self, other: Polynomial | int) -> Polynomial:
        right = _as_polynomial(other)
        if len(self.terms) * len(right.terms) > MOST_PRODUCTS:
            raise BadInput(
                f"a product of {len(self.terms)} by {len(right.terms)} terms is too large to expand: "
                f"at most {MOST_PRODUCTS:,} pairs are allowed."
            )
        total: dict[Exponents, int] = {}
        for first, a in self.terms:
            for second, b in right.terms:
                key = _added(first, second)
                total[key] = total.get(key, 0) + a * b
        return Polynomial(total)

    __rmul__ = __mul__

    def __pow__(self, exponent: int) -> Polynomial:
        if exponent < 0:
            raise BadInput(f"the exponent is {exponent}: polynomials have exponents >= 0.")
        self._check_power(exponent)
        result = Polynomial.constant(1)
        for bit in bin(exponent)[2:]:  # square and multiply, from the highest bit
            result = result * result
            result = result * self if bit == "1" else result
        return result

    def _check_power(self, exponent: int) -> None:
        """Refuse before expanding: the number of terms, the bits and the degree are known from below or above."""
        count = max(len(self.terms), 1)
        if exponent > MOST_DEGREE and count == 1:
            _refuse_degree(exponent)
        if self.degree * exponent > MOST_DEGREE:
            _refuse_degree(self.degree * exponent)
        if exponent > 1 and comb(exponent + count - 1, count - 1) > MOST_TERMS:
            raise BadInput(
                f"the power {exponent} of {count} terms is too large to expand: it may have "
                f"{comb(exponent + count - 1, count - 1):,} terms, and at most {MOST_TERMS:,} are allowed."
            )
        bits = max((abs(value).bit_length() for _, value in self.terms), default=0)
        if (bits - 1) * exponent > MOST_BITS:
            _refuse_bits((bits - 1) * exponent)

    def __call__(self, *values: Any) -> Any:
        """Return the exact value at Python integers or arrays of them (dtype object); extra values are ignored."""
        if len(values) < self.arity:
            raise BadInput(f"{len(values)} values for the {self.arity} variables of {self}: give one for each.")
        total: Any = 0
        for exponents, coefficient in self.terms:
            product: Any = coefficient
            for value, exponent in zip(values, exponents, strict=False):
                product = product * value**exponent if exponent else product
            total = total + product
        return total

    def residues(self, p: int, inputs: Array) -> Array:
        """Return the values (N,) int64 modulo ``p`` at ``inputs`` (N, S), from tables of powers: no large integers."""
        numbers = range(p)
        total = np.zeros(len(inputs), dtype=np.int64)
        for exponents, coefficient in self.terms:
            product = np.full(len(inputs), coefficient % p, dtype=np.int64)
            for column, exponent in zip(inputs.T, exponents, strict=False):
                powers = np.array([pow(n, exponent, p) for n in numbers], dtype=np.int64)
                product = product * powers[column] % p
            total = (total + product) % p
        return total

    def modulo(self, p: int) -> Polynomial:
        """Return the polynomial with its coefficients taken modulo ``p``; exponents stay as they are."""
        return Polynomial({exponents: value % p for exponents, value in self.terms})

    def reduced(self, p: int) -> Polynomial:
        """Return the representative of its function modulo the prime ``p``: n^p = n, so exponents lie below p.

        Raises ``BadInput`` for a composite p, where residues have no such representative.
        """
        _check_prime(p)
        total: dict[Exponents, int] = {}
        for exponents, value in self.terms:
            key = _stripped(tuple((e - 1) % (p - 1) + 1 if e else 0 for e in exponents))
            total[key] = (total.get(key, 0) + value) % p
        return Polynomial(total)

    def __str__(self) -> str:
        text = ""
        for exponents, value in self.terms:
            sign = "-" if value < 0 else "+"
            text += f" {sign} " if text else ("-" if value < 0 else "")
            text += _monomial(exponents, abs(value))
        return text or "0"


def _as_polynomial(value: Polynomial | int) -> Polynomial:
    return value if isinstance(value, Polynomial) else Polynomial.constant(value)


def _stripped(exponents: Exponents) -> Exponents:
    if any(e < 0 for e in exponents):
        raise BadInput(f"exponents are {exponents}: polynomials have exponents >= 0.")
    end = len(exponents)
    while end and exponents[end - 1] == 0:
        end -= 1
    return tuple(index(e) for e in exponents[:end])


def _added(first: Exponents, second: Exponents) -> Exponents:
    short, long = sorted((first, second), key=len)
    return tuple(a + b for a, b in zip(short, long, strict=False)) + long[len(short) :]


def _order(term: tuple[Exponents, int]) -> tuple[int, Exponents]:
    return sum(term[0]), term[0]


def _monomial(exponents: Exponents, value: int) -> str:
    factors = [f"n{i}" if e == 1 else f"n{i}^{e}" for i, e in enumerate(exponents, 1) if e]
    return "*".join(factors if factors and value == 1 else [str(value), *factors])


def _check_size(terms: Mapping[Exponents, int]) -> None:
    if len(terms) > MOST_TERMS:
        raise BadInput(f"the polynomial has {len(terms):,} terms when expanded: at most {MOST_TERMS:,} are allowed.")
    if any(len(exponents) > MOST_VARIABLES for exponents in terms):
        raise BadInput(f"the polynomial has more than {MOST_VARIABLES} variables: use n1 to n{MOST_VARIABLES}.")
    degree = max((sum(exponents) for exponents in terms), default=0)
    if degree > MOST_DEGREE:
        _refuse_degree(degree)
    bits = max((abs(value).bit_length() for value in terms.values()), default=0)
    if bits > MOST_BITS:
        _refuse_bits(bits)


def _refuse_degree(degree: int) -> None:
    raise BadInput(
        f"the degree is {degree:,}: at most {MOST_DEGREE:,} is allowed; modulo a prime p, n^p equals n, so take the "
        "exponents modulo p - 1."
    )


def _refuse_bits(bits: int) -> None:
    raise BadInput(
        f"a coefficient has about {bits:,} bits: at most {MOST_BITS:,} are allowed; take coefficients modulo p."
    )


def _check_prime(p: int) -> None:
    from sympy import isprime

    if not isprime(p):
        raise BadInput(f"p is {shown(p)}: exponents can be reduced only modulo a prime, where n^p equals n.")
