"""Which tables modulo p can be written as h(g_1 + g_2) or h(g_1 g_2), which certainly not, and what twins give away.

Doshi, He, Das and Gromov 2024, arXiv:2406.03495, Sec. 5, conjecture that a two-layer network learns a table exactly if
it is h(g_1(n_1) + g_2(n_2)) mod p (Hypothesis 5.1). Products belong to the same family through the discrete logarithm,
but with the addition modulo p - 1: as a table modulo p, n_1 n_2 is certified not to be of the additive form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from phasescope.theory.domains import array, checked, modulus, open_share, terms_of
from phasescope.theory.residues import require_prime, separated
from phasescope.vocabulary import Array, BadInput

__all__ = [
    "Form",
    "Learnability",
    "additive_form",
    "certified_not_additive",
    "copying_accuracy",
    "learnability",
    "multiplicative_form",
    "twin_counts",
    "twin_fraction",
]

Terms = Mapping[tuple[int, ...], int]
table_of = array(1, 2, 3, 4, 5, low=-1, high=1e6, integer=True)
answered = array(1, 2, 3, 4, 5, low=0, high=1e6, integer=True)
MOST_DEGREE = 100  # above, the linear equations take minutes


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


@checked(table=table_of)
def certified_not_additive(table: Array) -> str:
    """Return why a table (p, p) can not be h(g_1(n_1) + g_2(n_2)) mod p, or "" where nothing is shown.

    If all p columns differ then g_2 takes each value once, so every row is a rearrangement of the values of h: all rows
    hold the same multiset. And the transposed. Holds for every integer p >= 2. For more variables every plane of two of
    them is tested, the others at 1. The argument is a reproduction's; the test is sound, and not complete.
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
            place: list[Any] = [1] * table.ndim
            place[i] = place[j] = slice(None)
            found.append((table[tuple(place)], f" over n{i + 1} and n{j + 1}, the others at 1,"))
    return found


@checked(p=modulus, terms=terms_of, table=table_of)
def additive_form(p: int, terms: Terms, table: Array) -> Form | None:
    """Return g_s and h with table = h(g_1 + g_2 + ...) mod the prime p, or None where the method finds none.

    ``terms``: exponents -> coefficient of a polynomial with this table (p, ..., p). If f = h(g_1 + ... + g_S) as
    polynomials over GF(p), then its slopes f_s = h'(g) g_s'(n_s) obey f_1 g_s' = f_s g_1', linear equations for the
    coefficients of g_1' and g_s' that have one solution up to a factor (``separated``); h is then read off the table,
    where it must be single valued. Each answer is checked on the whole table. None is no proof that there is no form.
    """
    _belongs(p, terms, table, "the search for the form h(g1 + g2)")
    for candidate in _representatives(p, terms):
        inner = _integrated(p, candidate, table.ndim)
        form = inner and _read_outer(p, "additive", inner, table)
        if form:
            return form
    return None


def _belongs(p: int, terms: Terms, table: Array, purpose: str) -> None:
    require_prime(p, purpose)
    variables = len(next(iter(terms), (0,) * table.ndim))
    if table.shape != (p,) * variables or table.max() >= p:
        raise BadInput(
            f"the table has shape {table.shape} and labels up to {table.max()}: terms of {variables} variables modulo "
            f"{p} have {variables} axes of length {p} and labels below {p}."
        )


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
    """Return the tables of g_1 .. g_S from the slopes of a polynomial, or None where they do not separate."""
    slopes = [_slope(p, terms, place) for place in range(arity)]
    moving = [place for place in range(arity) if slopes[place]]
    parts: dict[int, list[int]] = {place: [0] for place in range(arity)}
    for place in moving[1:]:
        found = separated(p, slopes[moving[0]], slopes[place], (moving[0], place))
        if found is None:
            return None
        parts[moving[0]], parts[place] = found
    if len(moving) == 1:  # a function of one variable is its own g, with h the identity
        parts[moving[0]] = _coefficients(slopes[moving[0]], moving[0])
    inner = [_integral(p, parts[place]) for place in range(arity)]
    return None if any(table is None for table in inner) else tuple(table for table in inner if table is not None)


def _slope(p: int, terms: Terms, place: int) -> dict[tuple[int, ...], int]:
    found = {}
    for exponents, value in terms.items():
        power = exponents[place]
        if power * value % p:
            found[(*exponents[:place], power - 1, *exponents[place + 1 :])] = power * value % p
    return found


def _coefficients(slope: Terms, place: int) -> list[int]:
    found = [0] * (1 + max(exponents[place] for exponents in slope))
    for exponents, value in slope.items():
        found[exponents[place]] = value
    return found


def _integral(p: int, slope: Sequence[int]) -> tuple[int, ...] | None:
    """Return the table (p,) of the integral of a polynomial in one variable, None where it has none in this field."""
    if any(value % p and (power + 1) % p == 0 for power, value in enumerate(slope)):
        return None
    steps = [(power + 1, value * pow(power + 1, -1, p)) for power, value in enumerate(slope) if value % p]
    return tuple(sum(value * pow(n, power, p) for power, value in steps) % p for n in range(p))


def _read_outer(p: int, kind: Any, inner: tuple[tuple[int, ...], ...], table: Array) -> Form | None:
    """Return the form whose h is read off the table, if h has one value at each place and the whole table agrees."""
    places = Form(kind, inner, tuple(range(p))).table(p)
    outer = np.zeros(p, dtype=np.int64)
    outer[places.ravel()] = table.ravel()
    form = Form(kind, inner, tuple(int(v) for v in outer))
    return form if np.array_equal(form.table(p), table) else None


@checked(p=modulus, terms=terms_of, table=table_of)
def multiplicative_form(p: int, terms: Terms, table: Array) -> Form | None:
    """Return g_s and h with table = h(g_1(n_1) g_2(n_2) ...) mod the prime p, or None where none is found.

    Two cases, each checked on the whole table (p, ..., p): the table less a constant is a product of functions of one
    variable each, so that h adds that constant; or the exponents of all terms are multiples of one tuple, such as
    (1, 2) for n_1 n_2^2 + n_1^2 n_2^4, and g_s is that power of n_s.
    """
    _belongs(p, terms, table, "the search for the form h(g1 g2)")
    for constant in range(p):
        form = _product(p, (table - constant) % p, constant)
        if form:
            return form
    varying = np.array([e for e in terms if any(e)] or [(0,) * table.ndim])
    powers = np.gcd.reduce(varying, axis=0)
    if not powers.all() or any(len(set((e // powers).tolist())) > 1 for e in varying):
        return None
    inner = tuple(tuple(pow(n, int(e), p) for n in range(p)) for e in powers)
    return _read_outer(p, "multiplicative", inner, table)


def _product(p: int, table: Array, constant: int) -> Form | None:
    """Return the factors of a table that is a product of functions of one variable each, read off its axes."""
    place: list[Any] = [slice(4), slice(4), *[1] * (table.ndim - 2)]
    corner = table[tuple(place)].astype(np.int64)
    minors = np.multiply.outer(corner, corner)
    if ((minors - minors.transpose(0, 3, 2, 1)) % p).any() or not table.any():
        return None
    base = tuple(int(i) for i in np.argwhere(table)[0])
    scale = pow(int(table[base]), -1, p)
    inner = []
    for axis in range(table.ndim):
        place = [*base[:axis], slice(None), *base[axis + 1 :]]
        line = table[tuple(place)].astype(np.int64)
        inner.append(tuple((line * (scale if axis else 1) % p).tolist()))
    form = Form("multiplicative", tuple(inner), tuple((u + constant) % p for u in range(p)))
    return form if np.array_equal(form.table(p), (table + constant) % p) else None


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


@checked(p=modulus, terms=terms_of, table=table_of)
def learnability(p: int, terms: Terms, table: Array) -> Learnability:
    """Return whether a polynomial's table (p, ..., p) modulo a prime has exact weights, is excluded, or neither.

    Raises ``BadInput`` for composite p and for tables with inputs that have no answer.
    """
    _belongs(p, terms, table, "the test of learnability")
    if (table < 0).any():
        raise BadInput("the table has inputs without an answer: give one label for each input.")
    certificate = certified_not_additive(table)
    form = None if certificate else additive_form(p, terms, table)
    if form:
        return Learnability("exact weights", "it is h(g1(n1) + g2(n2) + ...) mod p", form, certificate)
    product = multiplicative_form(p, terms, table)
    if product:
        reason = "it is h(g1(n1) g2(n2) ...) mod p, a sum of discrete logarithms modulo p - 1"
        reason += ", and certified not to be a sum modulo p itself" if certificate else ""
        return Learnability("exact weights", reason, product, certificate)
    if certificate:
        return Learnability("excluded", f"it is not h(g1(n1) + g2(n2)) mod p: {certificate}", None, certificate)
    return Learnability("open", "no such form was found, and the multiset test excludes none", None, certificate)


@checked(table=table_of, train_fraction=open_share)
def twin_fraction(table: Array, train_fraction: float) -> float:
    """Return the expected fraction of the test cells of a table (p, ..., p) that have a twin among the training cells.

    Two values of a variable are twins if they give the same label whatever the other variables are; cells are twins if
    their values are, one by one. With N cells of which K train, a test cell with t twins has none of them in training
    with probability prod_{i<t} (N - 1 - K - i) / (N - 1 - i), about (1 - K/N)^t. Learning nothing but which inputs are
    the same gives this accuracy. Derived here; it explains the 72 % of arXiv:2406.03495, App. C. For n^3 modulo
    p = 1 mod 3 it is about (1 - (1 - a)^2) (p - 1)/p. Raises ``BadInput`` for fractions outside (0, 1).
    """
    if table.size < 2:
        raise BadInput(f"the table has shape {table.shape}: training and test need at least two cells.")
    others = twin_counts(table).ravel()
    rows = others.size
    count = min(max(round(train_fraction * rows), 1), rows - 1)
    i = np.arange(others.max())
    none_of = np.concatenate([[1.0], np.cumprod(np.maximum(rows - 1 - count - i, 0) / (rows - 1 - i))])
    return float(1 - none_of[others].mean())


@checked(table=table_of)
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


@checked(table=answered, train_fraction=open_share)
def copying_accuracy(table: Array, train_fraction: float) -> float:
    """Return the test accuracy of copying the label of a twin and answering the majority class where there is none."""
    twins = twin_fraction(table, train_fraction)
    majority = float(np.bincount(table.ravel()).max() / table.size)
    return twins + (1 - twins) * majority
