"""The experiments of ``grokking``."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from phasescope.instruments.fourier import dominant_frequency, mean_participation, participation, phase_alignment
from phasescope.instruments.logits import LEARNING, correct_logit, table_accuracy, table_loss, wrong_logit_deviation
from phasescope.instruments.norms import gradient_norm, weight_norm
from phasescope.lab.readings import at_the_end
from phasescope.lab.study import Experiment, Inside
from phasescope.learners import ExactMLP, PowerMLP
from phasescope.studies.grokking.settings import OPERATIONS, POLYNOMIALS, GrokkingSettings
from phasescope.tasks import ModularTable, addition, function
from phasescope.theory import modular_addition
from phasescope.vocabulary import Array, Grid, Member, Recipe

PHASE_ERRORS = tuple(float(d) for d in np.linspace(0, np.pi, 7))
EXACT_WIDTHS = (25, 50, 60, 70, 80, 90, 100, 110, 130, 160, 200)


def square(n: Array) -> Array:
    """Return n^2, the function of the paper's Sec. 3.2 examples."""
    return n * n


def gaussian_weights(p: int, width: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Return Gaussian weights of the exact network's root mean square: a control without any structure."""
    deviation = modular_addition.unit_logit_scale(width) / np.sqrt(2)
    return deviation * generator.standard_normal((2, p, width)), deviation * generator.standard_normal((p, width))


def normal_error_weights(
    p: int, width: int, generator: np.random.Generator, *, phase_error: float
) -> tuple[Array, Array]:
    """Return exact weights whose phase errors are normal, with the variance of those uniform in (-d, d)."""
    first, second = generator.uniform(0, 2 * np.pi, (2, width))
    third = first + second + generator.normal(0, phase_error / np.sqrt(3), width)
    n, amplitude = np.arange(p), modular_addition.unit_logit_scale(width)
    embed = np.stack([modular_addition.wave(p, width, n, phase) for phase in (first, second)])
    return amplitude * embed, amplitude * modular_addition.wave(p, width, n, third)


def experiments(s: GrokkingSettings) -> dict[str, Experiment]:
    """Return the study's experiments by name: trained networks first, then exact ones."""
    return {**_trained(s), **_exact(s)}


def _trained(s: GrokkingSettings) -> dict[str, Experiment]:
    task = addition(s.p)
    field = PowerMLP(s.p, s.width, parametrization="mean-field")
    plain = PowerMLP(s.p, s.width)
    over = Grid({"train_fraction": s.fractions}, seeds=s.seeds)
    high = Grid({"train_fraction": (s.high,)}, seeds=s.seeds)
    descent = Recipe(optimizer="sgd", lr=s.rate, steps=s.steps, records=s.records, overtime=1.25, patience=3.0)
    adam = Recipe(optimizer="adamw", lr=s.adam_rate, steps=s.adam_steps, records=s.records // 2)
    watch = (*LEARNING, mean_participation)
    at_end = (participation, phase_alignment, dominant_frequency)

    def other(title: str, learner: PowerMLP, recipe: Recipe, grid: Grid = over) -> Experiment:
        return Experiment(title, learner, task, grid, recipe, watch, at_end)

    def changed(**values: float) -> Recipe:
        return Recipe(**{**descent.model_dump(), **values})

    strong = Recipe(**{**adam.model_dump(), "weight_decay": s.decays[-1]})
    few = Grid({"train_fraction": (s.memorized,)}, seeds=s.seeds)
    norms = (*watch, weight_norm, gradient_norm)
    decays = Grid({"weight_decay": s.decays, "train_fraction": s.fractions}, seeds=s.seeds)
    random_labels = Grid({"train_fraction": (s.high,), "corruption": (1.0,)}, seeds=s.seeds)
    narrow = PowerMLP(s.p, s.narrow, parametrization="mean-field")
    small = Recipe(**{**descent.model_dump(), "lr": s.rate * s.narrow / s.width})
    tables = Grid({"function": tuple(POLYNOMIALS), "train_fraction": (0.5,)}, seeds=s.seeds)
    others = Grid({"function": tuple(OPERATIONS), "train_fraction": (s.high,)}, seeds=s.seeds)
    return {
        "gd": Experiment("gradient descent", field, task, over, descent, norms, at_end),
        "momentum": other("gradient descent with momentum 0.9", field, changed(momentum=0.9, lr=0.16 * s.rate)),
        "decay": other("gradient descent with weight decay", field, changed(weight_decay=1e-3 / s.rate)),
        "dropout": other(
            "gradient descent with dropout 0.2",
            PowerMLP(s.p, s.width, dropout=0.2, parametrization="mean-field"),
            descent,
        ),
        "adamw": other("AdamW over weight decay", plain, adam, decays),
        "batchnorm": other(
            "mini-batch AdamW with batch normalization",
            PowerMLP(s.p, s.width, batch_norm=True),
            Recipe(lr=0.005, batch=64, steps=s.batch_steps, records=s.records, overtime=1.5),
        ),
        "shuffled": Experiment("control: random labels", field, task, random_labels, descent, norms, at_end),
        "shuffled_adamw": other("control: random labels, AdamW with weight decay", plain, strong, random_labels),
        "memorizing": other("control: too few samples, AdamW with weight decay", plain, strong, few),
        "narrow": other("control: a narrow network", narrow, small, high),
        "operations": Experiment(
            "gradient descent on other functions", field, partial(polynomial_table, s.p), others, descent, LEARNING
        ),
        "polynomials": Experiment(
            "functions that are not f(n) + g(m)",
            PowerMLP(s.p, s.polynomial_width),
            partial(polynomial_table, s.p),
            tables,
            Recipe(**{**adam.model_dump(), "weight_decay": 5.0}),
            LEARNING,
        ),
    }


def inside(s: GrokkingSettings) -> dict[str, Inside]:
    """Return what a page opens: the networks that learn the sum, beside the weights of Eqs. 6-7 at the same width."""
    exact = ExactMLP(s.p, s.width, modular_addition.addition_weights)
    names = ("gd", "momentum", "decay", "dropout", "adamw", "batchnorm", "shuffled")
    return {name: Inside(lambda member: exact) for name in names}


def mapped(s: GrokkingSettings) -> Experiment:
    """Return what a phase map varies: AdamW on addition; weight decay, train fraction, rate and dropout are free."""
    recipe = Recipe(lr=s.adam_rate, steps=s.adam_steps, records=8, weight_decay=s.decays[-1])
    return Experiment("AdamW", PowerMLP(s.p, s.width), addition(s.p), Grid(), recipe, (*LEARNING, mean_participation))


ORDERS = (at_the_end("test_accuracy"), at_the_end("train_accuracy"), at_the_end("mean_participation", 0.3))


def polynomial_table(p: int, member: Member) -> ModularTable:
    """Return the table of the member's ``function``."""
    name = str(member["function"])
    return function(p, {**POLYNOMIALS, **OPERATIONS}[name], name=f"{name} mod {p}")


def _exact(s: GrokkingSettings) -> dict[str, Experiment]:
    p, width = s.exact_p, s.exact_width
    task, seeds = addition(p), Grid(seeds=s.draws)
    logits = (table_accuracy, table_loss, correct_logit, wrong_logit_deviation)
    squares = function(p, lambda n, m: n**2 + m**2, name=f"n^2 + m^2 mod {p}")
    composed = function(p, lambda n, m: (n + m) ** 2, name=f"(n + m)^2 mod {p}")

    def weights(**changes: Any) -> ExactMLP:
        return ExactMLP(p, width, partial(modular_addition.addition_weights, **changes))

    def exact(title: str, learner: Any, table: ModularTable = task, grid: Grid = seeds) -> Experiment:
        return Experiment(title, learner, table, grid, at_end=logits)

    def branches(member: Member) -> ExactMLP:
        chosen = partial(modular_addition.composed_addition_weights, outer=square, branches=str(member["branches"]))
        return ExactMLP(p, width, chosen)

    return {
        "untrained": Experiment(
            "untrained networks",
            PowerMLP(s.p, s.width),
            addition(s.p),
            Grid(seeds=s.seeds),
            at_end=(participation, phase_alignment),
        ),
        "exact": Experiment("exact weights", weights(), task, seeds, at_end=(*logits, participation, phase_alignment)),
        "gaussian": exact("control: Gaussian weights", ExactMLP(p, width, gaussian_weights)),
        "widths": exact(
            "exact weights over width",
            lambda member: ExactMLP(p, int(member["width"]), modular_addition.addition_weights),
            grid=Grid({"width": EXACT_WIDTHS}, seeds=(s.draws + 1) // 2),
        ),
        "broken_widths": exact(
            "control: broken phase constraint over width",
            lambda member: ExactMLP(
                p, int(member["width"]), partial(modular_addition.addition_weights, phase_error=np.pi / 2)
            ),
            grid=Grid({"width": EXACT_WIDTHS}, seeds=(s.draws + 1) // 2),
        ),
        "phase_errors": exact(
            "exact weights under phase error",
            lambda member: ExactMLP(
                p, width, partial(modular_addition.addition_weights, phase_error=float(member["error"]))
            ),
            grid=Grid({"error": PHASE_ERRORS}, seeds=s.draws),
        ),
        "normal_errors": exact(
            "control: exact weights under normal phase errors of the same variance",
            lambda member: ExactMLP(p, width, partial(normal_error_weights, phase_error=float(member["error"]))),
            grid=Grid({"error": PHASE_ERRORS}, seeds=s.draws),
        ),
        "squares": exact("exact weights for n^2 + m^2", weights(f=square, g=square), squares),
        "squares_broken": exact(
            "control: weights for n^2 + m^2 whose phases ignore the constraint",
            weights(f=square, g=square, phase_error=np.pi),
            squares,
        ),
        "composed": exact(
            "exact weights for (n + m)^2", branches, composed, Grid({"branches": ("one", "all")}, seeds=s.draws)
        ),
    }
