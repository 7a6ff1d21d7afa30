"""The experiments of ``modular-polynomials``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from phasescope.instruments.fourier import mean_participation, participation, participation_in_basis
from phasescope.instruments.logits import LEARNING, correct_logit, table_accuracy, table_loss
from phasescope.instruments.twins import twin_share
from phasescope.lab.polynomial_networks import (
    POWERS,
    experts_network,
    product_network,
    rows_with_zero,
    sampled,
    sum_network,
)
from phasescope.lab.study import Experiment, Inside
from phasescope.learners import ExactMLP, PowerMLP
from phasescope.studies.modular_polynomials.settings import (
    COMPOSED,
    LEARNABLE,
    PERTURBED,
    TWINS,
    PolynomialSettings,
)
from phasescope.tasks import addition, multiplication, parse, polynomial_table
from phasescope.theory import residues
from phasescope.vocabulary import Grid, Knob, Member, Recipe

EXACT = (table_accuracy, table_loss, correct_logit)


def experiments(s: PolynomialSettings) -> dict[str, Experiment]:
    """Return the study's experiments by name: trained networks first, then exact ones."""
    for p in (s.product_p, s.p, s.twin_p, s.twinless_p, s.exact_p, *s.composed_moduli, *s.primes):
        residues.require_prime(p, "this study")
    parse(s.mapped)
    return {**_products(s), **_sums(s), **_polynomials(s), **_exact_products(s), **_exact_sums(s), **_composed(s)}


def _products(s: PolynomialSettings) -> dict[str, Experiment]:
    task, learner = multiplication(s.product_p), PowerMLP(s.product_p, s.product_width)
    logs = participation_in_basis(residues.power_order(s.product_p), "log")
    watch = (*LEARNING, participation, logs)
    recipe = Recipe(**{**s.recipe.model_dump(), "steps": s.product_steps})
    coupled = Recipe(**{**recipe.model_dump(), "optimizer": "adam"})
    grid = Grid({"train_fraction": (s.product_fraction,)}, seeds=s.seeds)
    few = Grid({"train_fraction": (s.product_memorized,)}, seeds=s.seeds)
    return {
        "product": Experiment("n1 n2, AdamW", learner, task, grid, recipe, watch),
        "product_memorized": Experiment("control: memorized from less data", learner, task, few, recipe, watch),
        "coupled": Experiment("n1 n2, Adam with an L2 term", learner, task, grid, coupled, LEARNING),
    }


def _sums(s: PolynomialSettings) -> dict[str, Experiment]:
    task = addition(s.sum_p, arity=s.sum_terms)
    learner = PowerMLP(s.sum_p, s.sum_width, arity=s.sum_terms, activation=POWERS[s.sum_terms])
    few = {"steps": s.sum_steps, "records": min(s.records, 12), "first_record": s.sum_steps // 10}
    recipe = Recipe(**{**s.recipe.model_dump(), **few})
    watch = (*LEARNING, mean_participation)
    less = Grid({"train_fraction": (s.sum_memorized,)}, seeds=s.seeds)
    return {
        "sum": Experiment(f"a sum of {s.sum_terms} terms", learner, task, Grid(seeds=s.seeds), recipe, watch),
        "sum_memorized": Experiment("control: a sum memorized from less data", learner, task, less, recipe, watch),
    }


def _polynomials(s: PolynomialSettings) -> dict[str, Experiment]:
    def tables(p: int, member: Member) -> object:
        return polynomial_table(p, str(member["polynomial"]))

    axes: dict[str, Sequence[Knob]] = {"polynomial": [*LEARNABLE, *PERTURBED], "train_fraction": [0.5]}
    over = Grid({"train_fraction": s.twin_fractions}, seeds=s.seeds)

    def twins(title: str, p: int) -> Experiment:
        learner = PowerMLP(p, s.twin_width)
        return Experiment(title, learner, polynomial_table(p, TWINS), over, s.recipe, LEARNING, (twin_share,))

    return {
        "polynomials": Experiment(
            "learnable and perturbed polynomials",
            PowerMLP(s.p, s.width),
            partial(tables, s.p),  # type: ignore[arg-type]
            Grid(axes, seeds=s.seeds),
            s.recipe,
            LEARNING,
            (twin_share,),
        ),
        "twins": twins(f"{TWINS} modulo {s.twin_p}", s.twin_p),
        "twinless": twins(f"control: {TWINS} modulo {s.twinless_p}", s.twinless_p),
    }


def _exact_products(s: PolynomialSettings) -> dict[str, Experiment]:
    p, width, seeds = s.exact_p, s.exact_width, Grid(seeds=s.draws)
    task = multiplication(p)
    zeros = rows_with_zero(task)

    def exact(title: str, learner: ExactMLP, rows: object = task) -> Experiment:
        return Experiment(title, learner, rows, seeds, at_end=EXACT)  # type: ignore[arg-type]

    printed = product_network(p, width, misprinted=True)
    return {
        "exact_product": exact("exact weights for n1 n2", product_network(p, width)),
        "misprinted": exact("the printed exponent -1/3", printed),
        "misprinted_zeros": exact("the printed exponent, rows with a 0", printed, zeros),
        "zeros": exact("control: the exponent +1/3, rows with a 0", product_network(p, width), zeros),
    }


def _exact_sums(s: PolynomialSettings) -> dict[str, Experiment]:
    p, found = s.width_p, dict[str, Experiment]()
    for place, widths in enumerate(s.widths):
        terms = place + 2
        task, ones = sampled(addition(p, arity=terms), s.sample), (1,) * terms

        def network(member: Member, ones: tuple[int, ...] = ones, error: float = 0.0) -> ExactMLP:
            return sum_network(p, int(member["width"]), ones, phase_error=error)

        def over(title: str, widths: Sequence[int], seeds: int, error: float = 0.0) -> Experiment:
            grid = Grid({"width": widths}, seeds=seeds)
            return Experiment(title, partial(network, error=error), task, grid, at_end=EXACT)  # noqa: B023

        found |= {
            f"sums_{terms}": over(f"exact sums of {terms} terms over width", widths, s.draws),
            f"error_{terms}": over(f"exact sums of {terms} terms", widths[:1], s.error_draws),
            f"broken_{terms}": over(f"control: {terms} terms, free phases", widths[:1], s.draws, np.pi),
        }
    return found | {"sums_large": _large(s)}


def _large(s: PolynomialSettings) -> Experiment:
    def network(member: Member) -> ExactMLP:
        return sum_network(s.large_p, int(member["width"]), (1, 1))

    title, grid = f"control: sums of 2 terms modulo {s.large_p}", Grid({"width": s.large_widths}, seeds=s.draws)
    return Experiment(title, network, sampled(addition(s.large_p), s.sample), grid, at_end=EXACT)


def _composed(s: PolynomialSettings) -> dict[str, Experiment]:
    def task(member: Member) -> object:
        return polynomial_table(int(member["modulus"]), str(member["polynomial"]))

    def network(member: Member, **changes: float) -> object:
        p, text = int(member["modulus"]), str(member["polynomial"])
        return experts_network(p, text, s.expert_width, s.adder_width, **changes)  # type: ignore[arg-type]

    def composed(title: str, grid: Grid, **changes: float) -> Experiment:
        return Experiment(title, partial(network, **changes), task, grid, at_end=EXACT)  # type: ignore[arg-type]

    small = s.composed_moduli[:1]
    one = Grid({"modulus": small, "polynomial": COMPOSED[:1]}, seeds=(s.error_draws + 1) // 2)
    whole = Grid({"modulus": s.composed_moduli, "polynomial": COMPOSED}, seeds=s.composed_draws)
    return {
        "composed": composed("polynomials of experts", whole),
        "composed_printed": composed("control: experts with the printed exponent", whole, misprinted=True),
        "composed_error": composed("a polynomial of experts, many draws", one),
        "composed_unscaled": composed("control: an adder without 2^S/S!", one, factorial_factor=False),
    }


def inside(s: PolynomialSettings) -> dict[str, Inside]:
    """Return what a page opens: products, in the order of their logarithms, and sums, beside their exact weights."""
    order = residues.power_order(s.product_p)
    product = product_network(s.product_p, s.product_width)
    total = sum_network(s.sum_p, s.sum_width, (1,) * s.sum_terms)
    products = {name: Inside(lambda member: product, order) for name in ("product", "product_memorized", "coupled")}
    return {**products, **{name: Inside(lambda member: total) for name in ("sum", "sum_memorized")}}
