"""The numbers of ``modular-polynomials`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.instruments.logits import LEARNING
from phasescope.lab.polynomial_networks import POWERS
from phasescope.lab.study import Experiment
from phasescope.learners import PowerMLP
from phasescope.tasks import polynomial_table
from phasescope.vocabulary import Grid, Positive, Recipe, Settings

LEARNABLE = ("(4*n1 + n2^2)^3", "(2*n1 + 3*n2)^4", "(5*n1^3 + 2*n2^4)^2")
PERTURBED = tuple(f"{f} {g}" for f, g in zip(LEARNABLE, ("+ n1*n2", "- n1^2", "- n2"), strict=True))
TWINS = PERTURBED[2]
COMPOSED = (
    "2*n1^4*n2 + n1^2*n2^2 + 3*n1*n2^3",
    "n1^5*n2^3 + 4*n1^2*n2 + 5*n1^2*n2^3",
    "7*n1^4*n2^4 + 2*n1^3*n2^2 + 4*n1^2*n2^5",
)

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class PolynomialSettings(Settings):
    """Sizes of the study. All moduli are primes; ``twin_p`` is 1 modulo 3 and ``twinless_p`` 2, see ``theory``.

    From ``product_memorized`` and ``sum_memorized`` of a table networks only memorize. ``large_p`` squared is about
    ``width_p`` cubed: two terms with as many rows as three.
    """

    seeds: Count = 13
    product_p: Annotated[int, Field(ge=5)] = 31
    product_width: Count = 200
    product_fraction: Fraction = 0.6
    product_memorized: Fraction = 0.2
    product_steps: Annotated[int, Field(ge=10)] = 600
    window: tuple[float, float] = (60.0, 100.0)
    sum_p: Annotated[int, Field(ge=5)] = 11
    sum_terms: Annotated[int, Field(ge=2, le=5)] = 4
    sum_width: Count = 600
    sum_memorized: Fraction = 0.1
    sum_steps: Annotated[int, Field(ge=10)] = 200
    p: Annotated[int, Field(ge=5)] = 23
    width: Count = 500
    steps: Annotated[int, Field(ge=10)] = 400
    twin_p: Annotated[int, Field(ge=7)] = 31
    twinless_p: Annotated[int, Field(ge=5)] = 29
    twin_width: Count = 400
    twin_fractions: tuple[Fraction, ...] = (0.4, 0.5, 0.6, 0.8)
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
    large_p: Annotated[int, Field(ge=5)] = 109
    large_widths: tuple[Count, ...] = (100, 140, 200, 280, 400, 560, 800)
    sample: Annotated[int, Field(ge=100)] = 2000
    composed_moduli: tuple[int, ...] = (23, 97)
    expert_width: Annotated[int, Field(ge=2)] = 500
    adder_width: Count = 2000
    composed_draws: Count = 13
    primes: tuple[int, ...] = (23, 29, 31, 37, 43, 59, 79, 97)
    mapped: str = "(4*n1 + n2^2)^3"

    @property
    def recipe(self) -> Recipe:
        """The paper's optimizer, for ``steps`` steps."""
        return Recipe(lr=self.lr, weight_decay=self.weight_decay, steps=self.steps, records=self.records)


SCALES = {
    "pocket": PolynomialSettings(),
    "paper": PolynomialSettings(
        seeds=13,
        product_p=97,
        product_width=500,
        product_fraction=0.5,
        product_memorized=0.1,
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


def mapped(s: PolynomialSettings) -> Experiment:
    """Return what a phase map varies: one polynomial; weight decay, train fraction and learning rate are free."""
    recipe = Recipe(**{**s.recipe.model_dump(), "records": 8})
    table = polynomial_table(s.p, s.mapped)
    learner = PowerMLP(s.p, s.width, arity=table.arity, activation=POWERS[table.arity])
    return Experiment(f"{s.mapped} modulo {s.p}", learner, table, Grid(), recipe, LEARNING)
