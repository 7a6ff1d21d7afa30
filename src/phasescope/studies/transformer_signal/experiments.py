"""The experiments of ``transformer-signal``."""

from __future__ import annotations

from typing import Any

from phasescope.ensemble import Simulation
from phasescope.instruments.logits import LEARNING
from phasescope.lab.readings import at_the_end
from phasescope.lab.study import Experiment
from phasescope.learners import SignalTransformer
from phasescope.studies.transformer_signal.runs import GRADIENT, PASS, backpropagate, propagate
from phasescope.studies.transformer_signal.settings import TransformerSignalSettings
from phasescope.vocabulary import Grid, Recipe

SKIPS = ("preserving", "reset")
STRENGTHS = ("0.5 0.5 1", "0.5 0.5 2", "0.5 0.5 4", "0.3 0.8 3", "0.8 0.3 3")
NEARLY = 1 - 1e-10  # from 1e-4 on a growing gap is no longer small, and gradients' modes mix to that order


def experiments(s: TransformerSignalSettings) -> dict[str, Experiment | Simulation]:
    """Return the study's experiments by name: networks at initialization, then the trained ones."""
    return {**_near_collapse(s), **_far(s), "training": _training(s, True)}


def _run(title: str, axes: dict[str, Any], seeds: int, **fixed: Any) -> Simulation:
    return Simulation(title, propagate, Grid(axes, seeds=seeds), PASS, {"sigma_A": 1.0, **fixed})


def _near_collapse(s: TransformerSignalSettings) -> dict[str, Experiment | Simulation]:
    wide: dict[str, Any] = {"width": s.width, "hidden": s.hidden, "depth": s.depth, "tokens": 32, "start": NEARLY}
    small: dict[str, Any] = {"depth": 12, "width": s.diagram_width, "hidden": s.diagram_hidden}
    few: dict[str, Any] = {"tokens": 16, "start": NEARLY}
    long: dict[str, Any] = {"width": s.width, "hidden": s.narrow_hidden, "tokens": 32, "start": NEARLY}
    exponents = Grid({"skip": SKIPS, "strengths": STRENGTHS}, seeds=s.seeds)
    return {
        "exponents": Simulation(
            "exponents of angle and gradient", backpropagate, exponents, (*PASS, GRADIENT), {"sigma_A": 1.0, **wide}
        ),
        "diagram": _run(
            "angle exponents over strength and hidden scale",
            {"skip": SKIPS, "alpha": s.alphas, "sigma_w": s.sigmas}, s.diagram_seeds, **small, **few,
        ),
        "weak": _run(
            f"strengths of {s.weak_alpha:g} around the edge of chaos", {"skip": SKIPS, "sigma_w": s.weak_sigmas},
            s.weak_seeds, alpha=s.weak_alpha, depth=s.weak_depth, **long,
        ),
        "depths": _run(
            "strengths that fall with depth, and a control that do not", {"power": (0.5, 0.0), "depth": s.depths},
            s.seeds, skip="preserving", alpha=min(s.depths) ** -0.5, shallowest=min(s.depths), sigma_w=2.0, **long,
        ),
    }  # fmt: skip


def _far(s: TransformerSignalSettings) -> dict[str, Experiment | Simulation]:
    path: dict[str, Any] = {"width": s.path_width, "hidden": 2 * s.path_width, "depth": s.path_depth}
    settled: dict[str, Any] = {"width": s.width, "hidden": s.hidden // 2, "depth": s.settled_depth}
    return {
        "path": _run(
            "tokens from general position", {"skip": SKIPS, "sigma_A": (1.0, 2.0)}, s.seeds, alpha=0.7, sigma_w=3.0,
            start=0.2, unit_size=True, tokens=s.tokens, **path,
        ),
        "attention": _run(
            "attention without a perceptron", {"skip": SKIPS}, s.seeds, alpha_A=0.5, alpha_M=0.0, sigma_w=1.0,
            start=0.2, unit_size=True, width=s.width, hidden=1, depth=s.collapse_depth, tokens=s.tokens,
        ),
        "settled": _run(
            "where tokens settle", {"sigma_w": (3.0, s.settled_sigma), "start": (0.5, 0.999)}, s.seeds,
            skip="preserving", alpha=0.5, tokens=s.tokens, **settled,
        ),
    }  # fmt: skip


def _training(s: TransformerSignalSettings, scan: bool) -> Experiment:
    table = s.table
    learner = SignalTransformer(
        s.train_width, s.train_depth, hidden=s.train_hidden, inputs=table.inputs.shape[1], side=s.side,
        outputs=table.classes,
    )  # fmt: skip
    recipe = Recipe(
        optimizer="adam", lr=s.rate, beta2=0.999, steps=s.steps, batch=s.batch, loss="cross_entropy", records=3,
        first_record=max(s.steps // 4, 1),
    )  # fmt: skip
    grid = Grid({"alpha": s.train_alphas, "sigma_w": s.train_sigmas}, seeds=s.train_seeds) if scan else Grid()
    return Experiment("trained transformers", learner, table, grid, recipe, LEARNING)


def mapped(s: TransformerSignalSettings) -> Experiment:
    """Return what a phase map varies: a transformer on images; strengths, weight scales and rate are free."""
    return _training(s, False)


ORDERS = (at_the_end("test_accuracy", 0.5), at_the_end("train_accuracy", 0.5))
