"""The experiments of ``transformer-signal``."""

from __future__ import annotations

from functools import partial
from typing import Any

from phasescope.ensemble import Simulation
from phasescope.instruments.logits import LEARNING
from phasescope.lab.readings import at_the_end
from phasescope.lab.study import Experiment
from phasescope.learners import SignalTransformer
from phasescope.studies.transformer_signal.predictions import PLACES, SAMPLES, TOKENS, placed
from phasescope.studies.transformer_signal.runs import BOTH_WAYS, PASS, backpropagate, propagate
from phasescope.studies.transformer_signal.settings import POWERS, RIVAL_SIGMA, TransformerSignalSettings
from phasescope.tasks.table import Table
from phasescope.vocabulary import Grid, Member, Recipe

SKIPS = ("preserving", "reset")
NEARLY = 1 - 1e-10  # from 1e-4 on a growing gap is no longer small, and gradients' modes mix to that order


def experiments(s: TransformerSignalSettings) -> dict[str, Experiment | Simulation]:
    """Return the study's experiments by name: networks at initialization, then the trained ones."""
    return {**_near_collapse(s), **_far(s), "training": _training(s, True)}


def _run(title: str, axes: dict[str, Any], s: TransformerSignalSettings, **fixed: Any) -> Simulation:
    return Simulation(title, propagate, Grid(axes, seeds=s.seeds), PASS, {"sigma_A": 1.0, **fixed})


def _near_collapse(s: TransformerSignalSettings) -> dict[str, Experiment | Simulation]:
    close: dict[str, Any] = {"tokens": TOKENS, "start": NEARLY}
    wide: dict[str, Any] = {"width": s.width, "hidden": s.hidden, "depth": s.depth, "draws": s.draws, "sigma_A": 1.0}
    small: dict[str, Any] = {"width": s.diagram_width, **close}
    return {
        "exponents": Simulation(
            "exponents of angle and gradient", backpropagate, Grid({"skip": SKIPS}, seeds=s.seeds), (BOTH_WAYS,),
            {**wide, **close},
        ),
        "diagram": _run(
            "angle exponents over strength and hidden scale",
            {"skip": SKIPS, "alpha": s.alphas, "sigma_w": s.sigmas}, s, depth=12, hidden=s.diagram_hidden, **small,
        ),
        "weak": _run(
            f"strengths of {s.weak_alpha:g} around the edge of chaos", {"skip": SKIPS, "sigma_w": s.weak_sigmas}, s,
            alpha=s.weak_alpha, depth=s.weak_depth, width=s.width, hidden=s.weak_hidden, draws=s.weak_draws, **close,
        ),
        "depths": _run(
            "strengths that fall with depth, by two laws", {"power": POWERS, "depth": s.depths}, s, skip="preserving",
            alpha=min(s.depths) ** -0.5, shallowest=min(s.depths), sigma_w=1.0, hidden=s.diagram_width,
            draws=s.depths_draws, **small,
        ),
    }  # fmt: skip


def _far(s: TransformerSignalSettings) -> dict[str, Experiment | Simulation]:
    path: dict[str, Any] = {"hidden": 2 * s.path_width, "depth": s.path_depth, "draws": s.path_draws}
    settled: dict[str, Any] = {"hidden": s.hidden, "depth": s.settled_depth, "draws": s.settled_draws}
    apart: dict[str, Any] = {"start": 0.2, "unit_size": True, "tokens": s.tokens, "width": s.path_width}
    return {
        "path": _run(
            "tokens from general position", {"skip": SKIPS, "sigma_A": (1.0, 2.0)}, s, alpha=0.7, sigma_w=3.0, **apart,
            **path,
        ),
        "attention": _run(
            "attention without a perceptron", {"skip": SKIPS}, s, alpha_A=0.5, alpha_M=0.0, sigma_w=1.0, hidden=1,
            depth=s.collapse_depth, **apart,
        ),
        "settled": _run(
            "where tokens settle", {"sigma_w": (RIVAL_SIGMA, s.settled_sigma), "start": (0.5, 0.999)}, s,
            skip="preserving", alpha=0.5, tokens=s.tokens, width=s.width, **settled,
        ),
    }  # fmt: skip


def network(s: TransformerSignalSettings, table: Table) -> SignalTransformer:
    """Return the transformer on images that is trained."""
    return SignalTransformer(
        s.train_width, s.train_depth, hidden=s.train_hidden, inputs=table.inputs.shape[1], side=s.side,
        outputs=table.classes,
    )  # fmt: skip


def placed_network(s: TransformerSignalSettings, table: Table, member: Member) -> SignalTransformer:
    """Return the transformer at the strength and hidden scale that are drawn for the member."""
    net = network(s, table)
    alpha, sigma_w = placed(s, str(member["sample"]), str(member["place"]), member.seed)
    net.with_knobs({"alpha": alpha, "sigma_w": sigma_w})
    return net


def _training(s: TransformerSignalSettings, pairs: bool) -> Experiment:
    table = s.table
    recipe = Recipe(
        optimizer="adam", lr=s.rate, beta2=0.999, steps=s.steps, batch=s.batch, loss="cross_entropy", records=3,
        first_record=max(s.steps // 4, 1),
    )  # fmt: skip
    grid = Grid({"sample": SAMPLES, "place": PLACES}, seeds=s.train_seeds) if pairs else Grid()
    learner = partial(placed_network, s, table) if pairs else network(s, table)
    return Experiment("trained transformers", learner, table, grid, recipe, LEARNING)


def mapped(s: TransformerSignalSettings) -> Experiment:
    """Return what a phase map varies: a transformer on images; strengths, weight scales and rate are free."""
    return _training(s, False)


ORDERS = (at_the_end("test_accuracy", 0.5), at_the_end("train_accuracy", 0.5))
