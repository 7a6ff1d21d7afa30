"""Facts about the residues modulo a prime: primitive roots and discrete logarithms."""

from __future__ import annotations

import numpy as np

from phasescope.vocabulary import Array, BadInput


def require_prime(p: int, purpose: str) -> None:
    """Raise ``BadInput`` unless ``p`` is prime; the sentence says what ``purpose`` needs it for, and names neighbours.

    >>> require_prime(23, "multiplication")
    """
    from sympy import factorint, isprime, nextprime, prevprime

    if isinstance(p, bool) or not isinstance(p, int | np.integer) or p < 2:
        raise BadInput(f"p is {p}: {purpose} needs a prime, such as 23 or 97.")
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
    g = primitive_root(p)
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
