"""Facts about the residues modulo a prime: primitive roots, discrete logarithms, linear equations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from phasescope.theory.domains import shown
from phasescope.vocabulary import Array, BadInput

__all__ = ["discrete_logarithms", "power_order", "primitive_root", "require_prime"]

MOST_P = 1_000_000  # tables of p entries are made


def require_prime(p: int, purpose: str) -> None:
    """Raise ``BadInput`` unless ``p`` is prime; the sentence says what ``purpose`` needs it for, and names neighbours.

    >>> require_prime(23, "multiplication")
    """
    from sympy import factorint, isprime, nextprime, prevprime

    if isinstance(p, bool) or not isinstance(p, int | np.integer) or not 2 <= p <= MOST_P:
        raise BadInput(f"p is {shown(p)}: {purpose} needs a prime, such as 23 or 97, below {MOST_P:,}.")
    p = int(p)
    if isprime(p):
        return
    parts = " x ".join(str(q) for q, e in factorint(p).items() for _ in range(e))
    raise BadInput(
        f"p is {p} = {parts}, not a prime: {purpose} needs a prime, because only then are all residues but 0 the "
        f"powers of one of them; choose {prevprime(p)} or {nextprime(p)}."
    )


def primitive_root(p: int) -> int:
    """Return the least g whose powers run through 1 .. p - 1 modulo the prime ``p``.

    >>> primitive_root(23), primitive_root(97), primitive_root(2)
    (5, 5, 1)
    """
    from sympy.ntheory import primitive_root as least

    require_prime(p, "a primitive root")
    return int(least(p, smallest=True)) if p > 2 else 1


def power_order(p: int) -> list[int]:
    """Return the residues 1 .. p - 1 as powers g^0, g^1, ... of the primitive root: the log basis."""
    g, p = primitive_root(p), int(p)
    return [pow(g, i, p) for i in range(p - 1)]


def discrete_logarithms(p: int) -> Array:
    """Return ``logs`` (p,) int64 with g^logs[n] = n modulo the prime ``p``; logs[0] is -1, for 0 has none.

    >>> discrete_logarithms(5).tolist()
    [-1, 0, 1, 3, 2]
    """
    order = power_order(p)
    logs = np.full(p, -1, dtype=np.int64)
    logs[order] = np.arange(p - 1)
    return logs


def null_vector(matrix: Array, p: int) -> Array | None:
    """Return the x (C,) with matrix (R, C) x = 0 modulo the prime ``p``, its last entry that can be chosen set to 1.

    None where only x = 0 solves it, or where the solutions have more than one dimension.

    >>> null_vector(np.array([[1, 2], [2, 4]]), 5).tolist()
    [3, 1]
    """
    rows = np.asarray(matrix, dtype=np.int64) % p
    pivots: list[int] = []
    for column in range(rows.shape[1]):
        at = len(pivots)
        below = np.flatnonzero(rows[at:, column])
        if not len(below):
            continue
        rows[[at, at + below[0]]] = rows[[at + below[0], at]]
        rows[at] = rows[at] * pow(int(rows[at, column]), -1, p) % p
        others = np.flatnonzero(rows[:, column])
        others = others[others != at]
        rows[others] = (rows[others] - rows[others, column, None] * rows[at]) % p
        pivots.append(column)
    free = [column for column in range(rows.shape[1]) if column not in pivots]
    if len(free) != 1:
        return None
    found = np.zeros(rows.shape[1], dtype=np.int64)
    found[free[0]] = 1
    found[pivots] = -rows[: len(pivots), free[0]] % p
    return found


def separated(
    p: int, first: Mapping[tuple[int, ...], int], second: Mapping[tuple[int, ...], int], places: tuple[int, int]
) -> tuple[list[int], list[int]] | None:
    """Return the coefficients of a(n_i), b(n_j), lowest first, with first / second = a / b modulo the prime ``p``.

    ``first`` and ``second`` are polynomials (exponents -> coefficient), i and j the ``places`` of the two variables.
    The solution is unique up to a factor, for a second one would differ by a function of n_i alone that is one of n_j
    alone; a is scaled so that its highest coefficient is 1. None where the ratio does not separate.
    """
    degrees = [max(e[place] for e in part) for part, place in zip((first, second), places, strict=True)]
    columns = [(second, places[0], k, -1) for k in range(degrees[0] + 1)]
    columns += [(first, places[1], k, 1) for k in range(degrees[1] + 1)]
    rows: dict[tuple[int, ...], int] = {}
    entries = []
    for number, (part, place, k, sign) in enumerate(columns):
        for exponents, value in part.items():
            key = (*exponents[:place], exponents[place] + k, *exponents[place + 1 :])
            entries.append((rows.setdefault(key, len(rows)), number, sign * value))
    matrix = np.zeros((len(rows), len(columns)), dtype=np.int64)
    where = np.array(entries)
    np.add.at(matrix, (where[:, 0], where[:, 1]), where[:, 2])
    found = null_vector(matrix, p)
    if found is None:
        return None
    a = found[: degrees[0] + 1]
    top = int(a[np.flatnonzero(a)[-1]]) if a.any() else 1
    found = found * pow(top, -1, p) % p
    return found[: degrees[0] + 1].tolist(), found[degrees[0] + 1 :].tolist()
