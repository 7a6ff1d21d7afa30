"""Which modular polynomials can be learnt at all? Doshi, He, Das and Gromov 2024, arXiv:2406.03495.

Weights are written down for sums of S terms (activation x^S), for products through the discrete logarithm, and for any
polynomial of two variables as experts: one product network per monomial, a softmax, one adder. Then two-layer quadratic
networks are trained on polynomials that are h(g1(n1) + g2(n2)) mod p, and on the same ones with a term added that they
should then be unable to learn (Hypothesis 5.1).

Training is the paper's: AdamW at 0.005 with weight decay 5, full batch, mean squared error. Its "Adam with weight decay
5" means the decoupled one; with the L2 term of plain Adam the network collapses, which is one of the claims. The paper
states neither the initial scale for S > 2 nor the number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from phasescope import theory
from phasescope.instruments import (
    LEARNING,
    correct_logit,
    mean_participation,
    participation,
    participation_in_basis,
    table_accuracy,
    table_loss,
    twin_share,
)
from phasescope.learners import ExactMLP, PowerMLP
from phasescope.studies._modular_polynomials_claims import LEARNABLE, PERTURBED, TWINS, cells, claims
from phasescope.studies._modular_polynomials_figures import figures
from phasescope.studies._polynomial_networks import (
    POWERS,
    experts_network,
    product_network,
    rows_with_zero,
    sampled,
    sum_network,
)
from phasescope.studies._readings import at_the_end
from phasescope.studies._study import Experiment, Inside, Paper, Study
from phasescope.tasks import addition, multiplication, parse, polynomial_table
from phasescope.vocabulary import Grid, Knob, Member, Positive, Recipe, Settings

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class PolynomialSettings(Settings):
    """Sizes of the study. All moduli are primes; ``twin_p`` is 1 modulo 3 and ``twinless_p`` 2, see ``theory``."""

    seeds: Count = 10
    product_p: Annotated[int, Field(ge=5)] = 31
    product_width: Count = 200
    product_fraction: Share = 0.6
    product_steps: Annotated[int, Field(ge=10)] = 600
    window: tuple[float, float] = (60.0, 100.0)
    sum_p: Annotated[int, Field(ge=5)] = 11
    sum_terms: Annotated[int, Field(ge=2, le=5)] = 4
    sum_width: Count = 600
    sum_steps: Annotated[int, Field(ge=10)] = 200
    p: Annotated[int, Field(ge=5)] = 23
    width: Count = 500
    steps: Annotated[int, Field(ge=10)] = 400
    twin_p: Annotated[int, Field(ge=7)] = 31
    twinless_p: Annotated[int, Field(ge=5)] = 29
    twin_width: Count = 400
    twin_fractions: tuple[Share, ...] = (0.4, 0.5, 0.6, 0.8)
    lr: Positive = 0.005
    weight_decay: float = 5.0
    records: Annotated[int, Field(ge=10)] = 60
    exact_p: Annotated[int, Field(ge=5)] = 97
    exact_width: Annotated[int, Field(ge=2)] = 500
    draws: Count = 16
    error_draws: Count = 96
    width_p: Annotated[int, Field(ge=5)] = 23
    widths: tuple[tuple[Count, ...], ...] = (
        (50, 70, 100, 140, 200, 280),
        (200, 280, 400, 560, 800, 1130, 1600),
        (1600, 2260, 3200, 4520, 6400, 9050),
    )
    sample: Annotated[int, Field(ge=100)] = 2000
    composed_moduli: tuple[int, ...] = (23, 97)
    expert_width: Annotated[int, Field(ge=2)] = 500
    adder_width: Count = 2000
    composed_draws: Count = 6
    primes: tuple[int, ...] = (23, 29, 31, 37, 43, 59, 79, 97)
    mapped: str = "(4*n1 + n2^2)^3"

    @property
    def recipe(self) -> Recipe:
        """The paper's optimizer, for ``steps`` steps."""
        return Recipe(lr=self.lr, weight_decay=self.weight_decay, steps=self.steps, records=self.records)


SCALES = {
    "pocket": PolynomialSettings(),
    "paper": PolynomialSettings(
        seeds=5,
        product_p=97,
        product_width=500,
        product_fraction=0.5,
        product_steps=150,
        window=(45.0, 70.0),
        sum_width=5000,
        p=97,
        width=5000,
        twin_p=97,
        twinless_p=101,
        twin_width=5000,
        twin_fractions=(0.5,),
        sample=10_000,
    ),
}
COMPOSED = (
    "2*n1^4*n2 + n1^2*n2^2 + 3*n1*n2^3",
    "n1^5*n2^3 + 4*n1^2*n2 + 5*n1^2*n2^3",
    "7*n1^4*n2^4 + 2*n1^3*n2^2 + 4*n1^2*n2^5",
)
EXACT = (table_accuracy, table_loss, correct_logit)


def experiments(s: PolynomialSettings) -> dict[str, Experiment]:
    """Return the study's experiments by name: trained networks first, then exact ones."""
    for p in (s.product_p, s.p, s.twin_p, s.twinless_p, s.exact_p, *s.composed_moduli, *s.primes):
        theory.require_prime(p, "this study")
    parse(s.mapped)
    return {**_products(s), **_sums(s), **_polynomials(s), **_exact_products(s), **_exact_sums(s), **_composed(s)}


def _products(s: PolynomialSettings) -> dict[str, Experiment]:
    task, learner = multiplication(s.product_p), PowerMLP(s.product_p, s.product_width)
    logs = participation_in_basis(theory.power_order(s.product_p), "log")
    watch = (*LEARNING, participation, logs)
    recipe = Recipe(**{**s.recipe.model_dump(), "steps": s.product_steps})
    coupled = Recipe(**{**recipe.model_dump(), "optimizer": "adam"})
    grid = Grid({"train_fraction": (s.product_fraction,)}, seeds=s.seeds)
    noise = Grid({"train_fraction": (s.product_fraction,), "corruption": (1.0,)}, seeds=s.seeds)
    return {
        "product": Experiment("n1 n2, AdamW", learner, task, grid, recipe, watch),
        "product_noise": Experiment("control: random labels", learner, task, noise, recipe, watch),
        "coupled": Experiment("n1 n2, Adam with an L2 term", learner, task, grid, coupled, LEARNING),
    }


def _sums(s: PolynomialSettings) -> dict[str, Experiment]:
    task = addition(s.sum_p, arity=s.sum_terms)
    learner = PowerMLP(s.sum_p, s.sum_width, arity=s.sum_terms, activation=POWERS[s.sum_terms])
    few = {"steps": s.sum_steps, "records": min(s.records, 12), "first_record": s.sum_steps // 10}
    recipe = Recipe(**{**s.recipe.model_dump(), **few})
    watch = (*LEARNING, mean_participation)
    noise = Grid({"corruption": (1.0,)}, seeds=s.seeds)
    return {
        "sum": Experiment(f"a sum of {s.sum_terms} terms", learner, task, Grid(seeds=s.seeds), recipe, watch),
        "sum_noise": Experiment("control: a sum with random labels", learner, task, noise, recipe, watch),
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
        "raw_product": exact("control: weights for n1 + n2", sum_network(p, width, (1, 1))),
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

        grid, error = Grid({"width": widths}, seeds=s.draws), Grid({"width": widths[:1]}, seeds=s.error_draws)
        broken = partial(network, error=np.pi)
        found |= {
            f"sums_{terms}": Experiment(f"exact sums of {terms} terms over width", network, task, grid, at_end=EXACT),
            f"error_{terms}": Experiment(f"exact sums of {terms} terms", network, task, error, at_end=EXACT),
            f"broken_{terms}": Experiment(
                f"control: {terms} terms, free phases", broken, task,
                Grid({"width": widths[-1:]}, seeds=(s.draws + 1) // 2), at_end=EXACT,
            ),
        }  # fmt: skip
    return found


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
    every = Grid({"modulus": small, "polynomial": COMPOSED}, seeds=s.composed_draws)
    whole = Grid({"modulus": s.composed_moduli, "polynomial": COMPOSED}, seeds=s.composed_draws)
    return {
        "composed": composed("polynomials of experts", whole),
        "composed_broken": composed("control: experts with free phases", every, expert_phase_error=np.pi),
        "composed_error": composed("a polynomial of experts, many draws", one),
        "composed_unscaled": composed("control: an adder without 2^S/S!", one, factorial_factor=False),
    }


def inside(s: PolynomialSettings) -> dict[str, Inside]:
    """Return what a page opens: products, in the order of their logarithms, and sums, beside their exact weights."""
    order = theory.power_order(s.product_p)
    product = product_network(s.product_p, s.product_width)
    total = sum_network(s.sum_p, s.sum_width, (1,) * s.sum_terms)
    products = {name: Inside(lambda member: product, order) for name in ("product", "product_noise", "coupled")}
    return {**products, **{name: Inside(lambda member: total) for name in ("sum", "sum_noise")}}


def mapped(s: PolynomialSettings) -> Experiment:
    """Return what a phase map varies: one polynomial; weight decay, train fraction and learning rate are free."""
    recipe = Recipe(**{**s.recipe.model_dump(), "records": 8})
    table = polynomial_table(s.p, s.mapped)
    learner = PowerMLP(s.p, s.width, arity=table.arity, activation=POWERS[table.arity])
    return Experiment(f"{s.mapped} modulo {s.p}", learner, table, Grid(), recipe, LEARNING)


STUDY = Study(
    name="modular-polynomials",
    title="Grokking modular polynomials",
    question="Which modular polynomials can a two-layer network learn at all, and which can be written down?",
    paper=Paper(
        authors="Darshil Doshi, Tianyu He, Aritra Das, Andrey Gromov",
        year=2024,
        title="Grokking modular polynomials",
        link="https://arxiv.org/abs/2406.03495",
        bibtex=(
            "@article{doshi2024grokking,\n  title   = {Grokking modular polynomials},\n"
            "  author  = {Doshi, Darshil and He, Tianyu and Das, Aritra and Gromov, Andrey},\n"
            "  journal = {arXiv preprint arXiv:2406.03495},\n  year    = {2024}\n}"
        ),
    ),
    scales=SCALES,
    experiments=experiments,
    claims=claims,
    figures=figures,
    notes=(
        "Eq. 6 prints the amplitude (2/(N-1))^(-1/3); the exponent must be +1/3, and a claim shows what the print "
        "does. "
        "The mean squared errors of the paper's Table 1 (App. B) do not follow from its printed formula."
    ),
    mapped=mapped,
    orders=(at_the_end("test_accuracy"), at_the_end("train_accuracy")),
    inside=inside,
    cells=cells,
)
