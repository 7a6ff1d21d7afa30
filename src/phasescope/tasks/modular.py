"""Exact tables of functions modulo p: addition, subtraction, multiplication, division, and any other.

Every table lists all p^S inputs in C order (the last variable runs fastest); division lists those that have an answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

from phasescope.checks import takes, whole
from phasescope.errors import shown
from phasescope.tasks.table import Table
from phasescope.vocabulary import Array, BadInput, Law, Member

MOST_ROWS = 20_000_000


@dataclass(frozen=True)
class ModularTable(Table):
    """The table of a function of ``arity`` numbers modulo ``modulus``: ``inputs`` (N, S), ``labels`` (N,), int32."""

    modulus: int = 2
    arity: int = 2

    def law(self, member: Member) -> Law:
        """Return the frozen description that theory may see; inputs that have no answer are -1 in the table."""
        fraction, corruption = self._fractions(member)
        table = np.full((self.modulus,) * self.arity, -1, dtype=np.int32)
        table[tuple(self.inputs.T)] = self.labels
        return Law(self.name, self.modulus, self.arity, fraction, corruption, table)


def table_inputs(p: Any, arity: int) -> Array:
    """Return all inputs (p^S, S) int32 in C order. Raises ``BadInput`` for p < 2 and for tables too large."""
    if isinstance(p, bool) or not isinstance(p, int | np.integer) or p < 2:
        raise BadInput(f"p is {shown(p)}: the modulus must be an integer >= 2.")
    arity = whole(1, 10**6)("arity", arity)
    if arity * math.log(int(p)) > 1e4 or int(p) ** arity > MOST_ROWS:
        digits = arity * math.log10(int(p))
        rows = f"{int(p) ** arity:,}" if digits < 18 else f"about 10^{digits:.0f}"
        raise BadInput(
            f"a table of {arity} variables modulo {shown(int(p))} has {rows} rows: "
            f"at most {MOST_ROWS:,} are allowed; use fewer variables, a smaller p, or a Sampler."
        )
    return np.indices((int(p),) * arity).reshape(arity, -1).T.astype(np.int32)


def function(
    p: int,
    formula: Callable[..., Any],
    *,
    arity: int = 2,
    name: str | None = None,
    train_fraction: float = 0.5,
    corruption: float = 0.0,
) -> ModularTable:
    """Return the exact table of ``formula(n_1, ..., n_S) mod p``, for any integer p >= 2.

    ``formula`` is called once with S arrays of Python integers, so powers never overflow; its values are reduced mod p.

    >>> function(5, lambda n, m: n**2 + m**2 + n * m).labels[:5].tolist()
    [0, 1, 4, 4, 1]
    """
    inputs = table_inputs(p, arity)
    values = np.asarray(
        takes("formula", formula, *(f"n{i + 1}" for i in range(arity)))(*inputs.T.astype(object)), dtype=object
    )
    if values.shape not in ((), (len(inputs),)) or not all(isinstance(v, int | np.integer) for v in values.ravel()):
        raise BadInput(
            f"formula gives {shown(values.ravel()[0]) if values.size else 'nothing'} for the first row: "
            f"it must give whole numbers, one for each of the {len(inputs):,} rows."
        )
    labels = (np.broadcast_to(values, len(inputs)) % p).astype(np.int32)
    return ModularTable(name or f"function mod {p}", inputs, labels, p, train_fraction, corruption, p, arity)


def addition(p: int, *, arity: int = 2, train_fraction: float = 0.5, corruption: float = 0.0) -> ModularTable:
    """Return the table of (n_1 + ... + n_S) mod p."""
    return function(
        p,
        lambda *n: sum(n),
        arity=arity,
        name=f"addition mod {p}",
        train_fraction=train_fraction,
        corruption=corruption,
    )


def subtraction(p: int, *, train_fraction: float = 0.5, corruption: float = 0.0) -> ModularTable:
    """Return the table of (n - m) mod p."""
    return function(
        p, lambda n, m: n - m, name=f"subtraction mod {p}", train_fraction=train_fraction, corruption=corruption
    )


def multiplication(p: int, *, train_fraction: float = 0.5, corruption: float = 0.0) -> ModularTable:
    """Return the table of (n * m) mod p."""
    return function(
        p, lambda n, m: n * m, name=f"multiplication mod {p}", train_fraction=train_fraction, corruption=corruption
    )


def division(p: int, *, train_fraction: float = 0.5, corruption: float = 0.0) -> ModularTable:
    """Return the table of n / m mod p over all m that have an inverse (for prime p, all but 0).

    >>> table = division(5)
    >>> bool(((table.labels * table.inputs[:, 1]) % 5 == table.inputs[:, 0]).all())
    True
    """
    inputs = table_inputs(p, 2)
    inverse = {m: pow(m, -1, p) for m in range(p) if gcd(m, p) == 1}
    inputs = inputs[np.isin(inputs[:, 1], list(inverse))]
    labels = np.array([int(n) * inverse[int(m)] % p for n, m in inputs], dtype=np.int32)
    return ModularTable(f"division mod {p}", inputs, labels, p, train_fraction, corruption, p, 2)
