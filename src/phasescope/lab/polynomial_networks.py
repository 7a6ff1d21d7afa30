"""Polynomials as networks: which exact weights explain a polynomial, and tables to try them on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from phasescope.ensemble import streams
from phasescope.learners import ExactMLP, ExpertsNetwork
from phasescope.tasks import ModularTable, Polynomial, parse, polynomial_table
from phasescope.theory import polynomial_forms, polynomial_weights, residues
from phasescope.vocabulary import Array, BadInput, Member

POWERS = {2: "quadratic", 3: "cubic", 4: "quartic", 5: "quintic"}


def table_of(p: int, polynomial: Polynomial) -> Array:
    """Return the table (p, ..., p) int32 of a polynomial modulo ``p``."""
    return polynomial_table(p, polynomial).law(Member({}, 0)).table


def sum_network(p: int, width: int, coefficients: Sequence[int], **changes: Any) -> ExactMLP:
    """Return the exact network for c_1 n_1 + ... + c_S n_S mod p, with the activation x^S."""
    weights = partial(polynomial_weights.sum_weights, terms=polynomial_weights.linear_terms(p, coefficients), **changes)
    return ExactMLP(p, width, weights, arity=len(coefficients), activation=POWERS[len(coefficients)])


def product_network(p: int, width: int, exponents: Sequence[int] = (1, 1), **changes: Any) -> ExactMLP:
    """Return the exact network for n_1^a n_2^b modulo the prime p."""
    factors = tuple(polynomial_weights.power_table(p, e) for e in exponents)
    return ExactMLP(p, width, partial(polynomial_weights.product_weights, factors=factors, **changes))


def form_network(p: int, width: int, form: polynomial_forms.Form) -> ExactMLP:
    """Return the exact network that a witness of learnability writes down, with the activation x^S."""
    if form.kind == "multiplicative":
        weights = partial(polynomial_weights.product_weights, factors=form.inner, outer=form.outer)
    else:
        weights = partial(polynomial_weights.sum_weights, terms=form.inner, outer=form.outer)
    return ExactMLP(p, width, weights, arity=len(form.inner), activation=POWERS[len(form.inner)])


def experts_network(
    p: int,
    polynomial: Polynomial | str,
    expert_width: int,
    adder_width: int,
    *,
    beta: float = 100.0,
    expert_phase_error: float = 0.0,
    misprinted: bool = False,
    factorial_factor: bool = True,
) -> ExpertsNetwork:
    """Return one product expert per monomial and the adder of their coefficients, modulo the prime p.

    ``expert_phase_error`` and ``misprinted`` are those of ``theory.polynomial_weights.product_weights``,
    ``factorial_factor`` that of ``theory.polynomial_weights.sum_weights``. The constant term goes into the adder's
    readout. Raises ``BadInput`` for composite p, other than two variables, and fewer than two or more than five
    monomials.
    """
    chosen = parse(polynomial) if isinstance(polynomial, str) else polynomial
    residues.require_prime(p, "a network of product experts")
    terms = {e: c % p for e, c in chosen.padded(max(2, chosen.arity)).items() if c % p}
    constant = terms.pop((0,) * max(2, chosen.arity), 0)
    if chosen.arity > 2 or not 2 <= len(terms) <= max(POWERS):
        raise BadInput(
            f"{chosen} has {chosen.arity} variables and {len(terms)} monomials modulo {p} beside the constant: experts "
            f"are composed for two variables and 2 to {max(POWERS)} monomials."
        )
    wrong: dict[str, Any] = {"phase_error": expert_phase_error, "misprinted": misprinted}
    experts = [product_network(p, expert_width, e, **wrong) for e in terms]
    outer = tuple((u + constant) % p for u in range(p)) if constant else None
    adder = sum_network(p, adder_width, tuple(terms.values()), outer=outer, factorial_factor=factorial_factor)
    return ExpertsNetwork(experts, adder, beta=beta)


def sampled(whole: ModularTable, rows: int) -> ModularTable:
    """Return a table, or ``rows`` of its rows drawn once for all where it has more."""
    if len(whole.inputs) <= rows:
        return whole
    chosen = streams(0)("data").choice(len(whole.inputs), rows, replace=False)
    chosen.sort()
    name = f"{rows} rows of {whole.name}"
    p = whole.modulus
    return ModularTable(name, whole.inputs[chosen], whole.labels[chosen], p, modulus=p, arity=whole.arity)


def rows_with_zero(table: ModularTable) -> ModularTable:
    """Return the rows of a table in which some input is 0."""
    chosen = (table.inputs == 0).any(1)
    name = f"{table.name}, rows with a 0"
    return ModularTable(
        name, table.inputs[chosen], table.labels[chosen], table.classes, modulus=table.modulus, arity=table.arity
    )
