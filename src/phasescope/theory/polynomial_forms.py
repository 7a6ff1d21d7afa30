"""Which tables modulo p can be written as h(g_1 + g_2) or h(g_1 g_2), which certainly not, and what twins give away.

Doshi, He, Das and Gromov 2024, arXiv:2406.03495, Sec. 5, conjecture that a two-layer network learns a table exactly if
it is h(g_1(n_1) + g_2(n_2)) mod p (Hypothesis 5.1). Products belong to the same family through the discrete logarithm,
but with the addition modulo p - 1: as a table modulo p, n_1 n_2 is certified not to be of the additive form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np

from phasescope.theory.residues import require_prime
from phasescope.vocabulary import Array, BadInput

Terms = Mapping[tuple[int, ...], int]
MOST_DEGREE = 120  # above, the factorization over the field takes minutes; the reduced form stays below 2 p


@dataclass(frozen=True)
class Form:
    """A witness that a table is h(g_1 op g_2 op ...): ``inner`` (S, p) tables of g_s, ``outer`` (p,) that of h."""

    kind: Literal["additive", "multiplicative"]
    inner: tuple[tuple[int, ...], ...]
    outer: tuple[int, ...]

    def table(self, p: int) -> Array:
        """Return the table (p, ..., p) that the witness writes; it is compared with the one it explains."""
        parts = np.ix_(*(np.array(g, dtype=np.int64) for g in self.inner))
        total: Array = parts[0] % p
        for part in parts[1:]:
            total = (total + part) % p if self.kind == "additive" else total * part % p
        return np.asarray(np.array(self.outer, dtype=np.int64)[total])


def certified_not_additive(table: Array) -> str:
    """Return why a table (p, p) can not be h(g_1(n_1) + g_2(n_2)) mod p, or "" where nothing is shown.

    If all p columns differ then g_2 takes each value once, so every row is a rearrangement of the values of h: all rows
    hold the same multiset. And the transposed. Holds for every integer p >= 2. For more variables every plane of two of
    them is tested, the others at 0. The argument is a reproduction's; the test is sound, and not complete.
    """
    for plane, where in _planes(np.asarray(table)):
        for side, (lines, others) in {"columns": ("column", "row"), "rows": ("row", "column")}.items():
            found = plane if side == "columns" else plane.T
            distinct = len(np.unique(found.T, axis=0))
            if distinct == found.shape[1] and len(np.unique(np.sort(found, axis=1), axis=0)) > 1:
                return (
                    f"all {distinct} {lines}s of the table{where} differ, so each {others} would be a rearrangement of "
                    f"one and the same list, but the {others}s hold different values"
                )
    return ""


def _planes(table: Array) -> Sequence[tuple[Array, str]]:
    if table.ndim == 2:
        return [(table, "")]
    found = []
    for i in range(table.ndim):
        for j in range(i + 1, table.ndim):
            place: list[Any] = [0] * table.ndim
            place[i] = place[j] = slice(None)
            found.append((table[tuple(place)], f" over n{i + 1} and n{j + 1}, the others at 0,"))
    return found


def additive_form(p: int, terms: Terms, table: Array) -> Form | None:
    """Return g_s and h with table = h(g_1 + g_2 + ...) mod the prime p, or None where the method finds none.

    ``terms``: exponents -> coefficient of a polynomial with this table (p, ..., p). If f = h(g_1 + ... + g_S) as
    polynomials over GF(p), then its partial derivatives are h'(g) g_s'(n_s): without their greatest common divisor each
    depends on its own variable alone, and integrates to g_s; h is then read off the table, where it must be single
    valued. Each answer is checked on the whole table. None is no proof that there is no such form.
    """
    require_prime(p, "the search for the form h(g1 + g2)")
    for candidate in _representatives(p, terms):
        inner = _integrated(p, candidate, table.ndim)
        form = inner and _read_outer(p, "additive", inner, table)
        if form:
            return form
    return None


def _representatives(p: int, terms: Terms) -> Sequence[Terms]:
    """Return the polynomial as written and with exponents below p: a form may be visible in one of them alone."""
    written = {e: c % p for e, c in terms.items() if c % p}
    low: dict[tuple[int, ...], int] = {}
    for exponents, value in written.items():
        key = tuple((e - 1) % (p - 1) + 1 if e else 0 for e in exponents)
        low[key] = (low.get(key, 0) + value) % p
    reduced = {e: c for e, c in low.items() if c}
    found = [written, reduced] if written != reduced else [written]
    return [t for t in found if max((max(e, default=0) for e in t), default=0) <= MOST_DEGREE]


def _integrated(p: int, terms: Terms, arity: int) -> tuple[tuple[int, ...], ...] | None:
    """Return the tables of g_1 .. g_S from the derivatives of a polynomial, or None where they do not separate."""
    from sympy import Poly, gcd, symbols

    variables = symbols(f"n1:{arity + 1}")
    f = Poly(dict(terms) or {(0,) * arity: 0}, *variables, modulus=p)
    slopes = [f.diff(v) for v in variables]
    moving = [s for s in slopes if not s.is_zero]
    if not moving:
        return ((0,) * p,) * arity
    common = reduce(gcd, moving)
    inner = []
    for place, slope in enumerate(slopes):
        own = slope.exquo(common) if not slope.is_zero else slope
        table = _integral(p, own.as_dict(), place)
        if table is None:
            return None
        inner.append(table)
    return tuple(inner)


def _integral(p: int, slope: Terms, place: int) -> tuple[int, ...] | None:
    """Return the table (p,) of the integral of a polynomial in one variable, None where it has none in this field."""
    total = np.zeros(p, dtype=object)
    for exponents, value in slope.items():
        power = exponents[place] + 1
        if sum(exponents) != exponents[place] or power % p == 0:
            return None
        total += [int(value) * pow(power, -1, p) * pow(n, power, p) for n in range(p)]
    return tuple(int(v) for v in total % p)


def _read_outer(p: int, kind: Any, inner: tuple[tuple[int, ...], ...], table: Array) -> Form | None:
    """Return the form whose h is read off the table, if h has one value at each place and the whole table agrees."""
    places = Form(kind, inner, tuple(range(p))).table(p)
    outer = np.zeros(p, dtype=np.int64)
    outer[places.ravel()] = table.ravel()
    form = Form(kind, inner, tuple(int(v) for v in outer))
    return form if np.array_equal(form.table(p), table) else None


def multiplicative_form(p: int, terms: Terms, table: Array) -> Form | None:
    """Return g_1, g_2 and h with table (p, p) = h(g_1(n_1) g_2(n_2)) mod the prime p, or None where none is found.

    Two cases, each checked on the whole table: the table less a constant has rank one over GF(p), so that h adds that
    constant; or all exponents of the polynomial are multiples of one pair (a, b), and g_1 = n_1^a, g_2 = n_2^b.
    """
    require_prime(p, "the search for the form h(g1 g2)")
    if table.ndim != 2:
        return None
    for constant in range(p):
        form = _rank_one(p, (table - constant) % p, constant)
        if form:
            return form
    pairs = [e for e in terms if any(e)]
    a, b = np.gcd.reduce(np.array(pairs or [(0, 0)]), axis=0).tolist()
    if not a or not b or any(x * b != y * a for x, y in pairs):
        return None
    powers = tuple(tuple(pow(n, e, p) for n in range(p)) for e in (a, b))
    return _read_outer(p, "multiplicative", powers, table)


def _rank_one(p: int, table: Array, constant: int) -> Form | None:
    corner = table[:4, :4].astype(np.int64)
    minors = np.multiply.outer(corner, corner)
    if ((minors - minors.transpose(0, 3, 2, 1)) % p).any() or not table.any():
        return None
    row, column = (int(i) for i in np.argwhere(table)[0])
    scale = pow(int(table[row, column]), -1, p)
    first, second = table[:, column].astype(np.int64), table[row].astype(np.int64) * scale % p
    if not np.array_equal(np.outer(first, second) % p, table):
        return None
    shifted = tuple((u + constant) % p for u in range(p))
    return Form("multiplicative", (tuple(first.tolist()), tuple(second.tolist())), shifted)


@dataclass(frozen=True)
class Learnability:
    """What is known of a table before any training.

    ``answer``: "exact weights" (a ``form`` was found), "excluded" (certified not additive, no product either, so
    Hypothesis 5.1 has it unlearnable), or "open". ``reason`` says it in one sentence; ``certificate`` is the multiset
    test's own finding, which a product shows too.
    """

    answer: Literal["exact weights", "excluded", "open"]
    reason: str
    form: Form | None
    certificate: str


def learnability(p: int, terms: Terms, table: Array) -> Learnability:
    """Return whether a polynomial's table (p, ..., p) modulo a prime has exact weights, is excluded, or neither.

    Raises ``BadInput`` for composite p and for tables with inputs that have no answer.
    """
    require_prime(p, "the test of learnability")
    if (table < 0).any():
        raise BadInput("the table has inputs without an answer: give one label for each input.")
    certificate = certified_not_additive(table)
    form = None if certificate else additive_form(p, terms, table)
    if form:
        return Learnability("exact weights", "it is h(g1(n1) + g2(n2) + ...) mod p", form, certificate)
    product = multiplicative_form(p, terms, table)
    if product:
        reason = "it is h(g1(n1) g2(n2)) mod p, a sum of discrete logarithms modulo p - 1"
        return Learnability("exact weights", reason, product, certificate)
    if certificate:
        return Learnability("excluded", f"it is not h(g1(n1) + g2(n2)) mod p: {certificate}", None, certificate)
    return Learnability("open", "no such form was found, and the multiset test excludes none", None, certificate)


def twin_fraction(table: Array, train_fraction: float) -> float:
    """Return the expected share of the test cells of a table (p, ..., p) that have a twin among the training cells.

    Two values of a variable are twins if they give the same label whatever the other variables are; cells are twins if
    their values are, one by one. With N cells of which K train, a test cell with t twins has none of them in training
    with probability prod_{i<t} (N - 1 - K - i) / (N - 1 - i), about (1 - K/N)^t. Learning nothing but which inputs are
    the same gives this accuracy. Derived here; it explains the 72 % of arXiv:2406.03495, App. C. For n^3 modulo
    p = 1 mod 3 it is about (1 - (1 - a)^2) (p - 1)/p. Raises ``BadInput`` for fractions outside (0, 1).
    """
    if not 0 < train_fraction < 1:
        raise BadInput(f"train_fraction is {train_fraction}: it must lie strictly between 0 and 1.")
    others = twin_counts(table).ravel()
    rows = others.size
    count = min(max(round(train_fraction * rows), 1), rows - 1)
    missing = {0: 1.0}
    for t in range(int(others.max())):
        missing[t + 1] = missing[t] * max(rows - 1 - count - t, 0) / (rows - 1 - t)
    return float(np.mean([1 - missing[int(t)] for t in others]))


def twin_counts(table: Array) -> Array:
    """Return, for each cell of a table (p, ..., p), how many other cells are its twins, int64 of the same shape."""
    sizes = []
    for place in range(table.ndim):
        lines = np.moveaxis(table, place, 0).reshape(table.shape[place], -1)
        _, group, size = np.unique(lines, axis=0, return_inverse=True, return_counts=True)
        sizes.append(size[group.ravel()])
    total: Array = sizes[0]
    for size in sizes[1:]:
        total = np.multiply.outer(total, size)
    return np.asarray(total - 1)


def copying_accuracy(table: Array, train_fraction: float) -> float:
    """Return the test accuracy of copying the label of a twin and answering the majority class where there is none."""
    twins = twin_fraction(table, train_fraction)
    majority = float(np.bincount(table.ravel()).max() / table.size)
    return twins + (1 - twins) * majority
