"""The claims of the study ``transformer-signal``: a measure at a cell, an expectation fixed here, and a control.

Controls of a formula are networks of the other skip connection, which of all that the paper could mean are the nearest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, least, near, value
from phasescope.lab.readings import crossing
from phasescope.studies.transformer_signal.predictions import (
    PLACES,
    Formula,
    block_at,
    exponents_at,
    gradient_formulas,
    path,
    placed,
    plane,
    settled_at,
    settled_block,
    weak_edge,
)
from phasescope.studies.transformer_signal.runs import MODES
from phasescope.studies.transformer_signal.settings import POWERS, RIVAL_SIGMA, TransformerSignalSettings
from phasescope.theory import transformer_signal
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

MODEL = "Cowsik et al. 2024, model of Eq. 4"
DERIVED = partial(Source, paper=MODEL)
PILOT = "the largest deviation of one to three networks of width 512 in a pilot of ours, rounded up"
OTHER = {"preserving": "reset", "reset": "preserving"}
UNSURE = 0.03  # what a formula of lambda_a may err by: a sign is judged only beyond
POSITIVE = (0.0, math.inf)
GROWTH = value("growth")
Score = Callable[[float, float], float]
"""Takes alpha and sigma_w to a number that ranks networks."""


def claims(s: TransformerSignalSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_paths, _collapse, _exponents, _gradients, _edges, _settled, _depths, _training)
    return tuple(claim for group in groups for claim in group(s))


def crossing_of(values: xr.DataArray) -> Array:
    """Return per seed the sigma_w where a straight line through ``values`` (seed, sigma_w) vanishes."""
    table, sigma = values.transpose("sigma_w", "seed").values, values.sigma_w.values.astype(float)
    slope, offset = np.polyfit(sigma, table, 1)
    return np.asarray(-offset / slope)


def first_crossing(values: xr.DataArray) -> Array:
    """Return per seed the sigma_w where ``values`` (seed, sigma_w) first rise to 0; inf where they never do."""
    return crossing(values, 0.0, "sigma_w").values


EDGE = GROWTH.map(first_crossing, "sigma_w where the {} first rises above 0")
STRAIGHT_EDGE = GROWTH.map(crossing_of, "sigma_w where a line through the {} vanishes")


def _paths(s: TransformerSignalSettings) -> Sequence[Claim]:
    def off(skip: str) -> Measure:
        """Return the largest |rho less the map's| of a block."""

        @partial(Measure, words=f"largest distance of rho from the map of the skip {skip}")
        def read(cell: xr.Dataset) -> xr.DataArray:
            q, p = path(s, skip).T
            distance: xr.DataArray = abs(1 - cell.gap - xr.DataArray(p / q, dims="layer"))
            return distance.max("layer", skipna=False)

        return read

    return tuple(
        Claim(f"path-{skip}",
            f"The correlation of tokens in general position follows the map, skip {skip!r} (largest deviation over "
            f"{s.path_depth} blocks; each seed a mean over {s.path_draws} networks)",
            DERIVED(derived="theory.transformer_signal.token_trajectory", tolerance=PILOT),
            off(skip)(at("path", skip=skip, sigma_A=1.0)), at_most(0.04),
            Control("networks of the other skip connection", at("path", skip=OTHER[skip], sigma_A=1.0)),
            range=(0, 2))
        for skip in OTHER
    )  # fmt: skip


@partial(Measure, words="mean of log(gap'/gap) over the blocks where 1e-12 < gap < 0.01")
def rate(cell: xr.Dataset) -> Array:
    """Return the mean of log(gap'/gap) over the blocks where 1e-12 < 1 - rho < 0.01."""
    gap = cell.gap.transpose("seed", "layer").values
    small = (gap[:, :-1] < 0.01) & (gap[:, 1:] > 1e-12)
    steps = np.where(small, np.diff(np.log(np.maximum(gap, 1e-300)), axis=-1), 0.0)
    return np.asarray(steps.sum(-1) / np.where(small.sum(-1) > 0, small.sum(-1), np.nan))


@partial(Measure, words="least growth of rho in one block as a fraction of what was left to 1")
def steadiness(cell: xr.Dataset) -> Array:
    """Return, per seed, the least growth of rho in one block as a fraction of what was left to 1."""
    values = cell.gap.transpose("seed", "layer").values
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmin(1 - values[:, 1:] / values[:, :-1], axis=-1))


def _collapse(s: TransformerSignalSettings) -> Sequence[Claim]:
    rates = {"preserving": np.log(1 - 0.25), "reset": -np.log(1 + 0.25)}
    alone = {skip: at("attention", skip=skip) for skip in rates}
    at_the_rate = tuple(
        Claim(f"attention-collapses-{skip}",
            f"Without a perceptron tokens collapse at the rate of the skip alone, skip {skip!r}, alpha_A = 0.5",
            DERIVED(derived="theory.transformer_signal.angle_exponent",
                value="log(1 - alpha^2) preserving, -log(1 + alpha^2) reset",
                tolerance="less than a third of the distance between the two"),
            rate(alone[skip]), near(float(rates[skip]), 0.02),
            Control("networks of the other skip connection", alone[OTHER[skip]]), unit="1/block")
        for skip in rates
    )  # fmt: skip
    steadily = Claim("attention-collapses-steadily",
        "Without a perceptron every block brings tokens closer (the least fraction of the remaining gap, either skip)",
        DERIVED(derived="theory.transformer_signal.token_trajectory", tolerance="none: it is a direction"),
        least(steadiness, list(alone.values())), at_least(0.0),
        Control("a perceptron in the chaotic phase, where tokens come closer at first too",
            at("settled", sigma_w=s.settled_sigma, start=0.5)),
        range=(-math.inf, 1))  # fmt: skip
    return (*at_the_rate, steadily)


def off_formula(mode: str, formula: Formula, skip: str, words: str) -> Measure:
    """Return how far the growth of ``mode`` is from the formula at the setting where it is farthest."""

    @partial(Measure, words=f"distance of the growth of {mode} from {words}, in the worst setting,")
    def read(cell: xr.Dataset) -> xr.DataArray:
        growth = cell.growth.sel(mode=mode, drop=True)
        predicted = [formula(block_at(str(name), skip)) for name in cell.strengths.values]
        distance: xr.DataArray = abs(growth - cell.strengths.copy(data=predicted))
        return distance.max("strengths", skipna=False)

    return read


def _exponents(s: TransformerSignalSettings) -> Sequence[Claim]:
    return tuple(
        Claim(f"angle-exponent-{skip}",
            f"Near collapse 1 - rho grows by lambda_a per block, skip {skip!r} (deviation in the worst of five "
            f"settings; each seed a mean over {s.draws} networks)",
            DERIVED(derived="theory.transformer_signal.angle_exponent", tolerance=PILOT),
            off_formula("angle", transformer_signal.angle_exponent, skip, f"lambda_a of the skip {skip}")(
                at("exponents", skip=skip)),
            at_most(0.03), Control("networks of the other skip connection", at("exponents", skip=OTHER[skip])),
            unit="1/block", range=POSITIVE)
        for skip in OTHER
    )  # fmt: skip


def _gradients(s: TransformerSignalSettings) -> Sequence[Claim]:
    formulas = gradient_formulas(s.depth)
    derived = dict(zip(MODES, ("gradient_exponent", "mean_gradient_exponent", "angle_exponent"), strict=True))
    rival = {"total": "mean", "mean": "difference", "difference": "mean"}  # were all parts of a gradient to grow alike
    words = {
        "total": "The squared gradient",
        "mean": "The token mean of the gradient",
        "difference": "What differs between tokens' gradients",
    }

    def off(mode: str, formula: str, skip: str) -> Measure:
        return off_formula(mode, formulas[formula], skip, f"the formula of the {formula} mode")

    return tuple(
        Claim(f"gradient-{mode}-{skip}",
            f"{words[mode]} grows from the last block to the first as predicted, skip {skip!r} (deviation in the worst "
            f"of five settings; each seed a mean over {s.draws} networks)",
            DERIVED(derived=f"theory.transformer_signal.{derived[mode]}", tolerance=PILOT),
            off(mode, mode, skip)(at("exponents", skip=skip)), at_most(0.02),
            Control(f"the {rival[mode]} mode of the same gradients", off(rival[mode], mode, skip)), unit="1/block",
            range=POSITIVE)
        for skip in OTHER
        for mode in MODES
    )  # fmt: skip


def _edges(s: TransformerSignalSettings) -> Sequence[Claim]:
    strongest = max(s.alphas)
    diagram = {skip: at("diagram", skip=skip, alpha=s.alphas, sigma_w=s.sigmas) for skip in OTHER}

    def agreement(skip: str) -> Measure:
        """Return the fraction of places with the sign of lambda_a, places where it is about 0 left out."""

        @partial(Measure, words=f"fraction of places with the sign of lambda_a of the skip {skip}")
        def read(cell: xr.Dataset) -> xr.DataArray:
            exact = plane(transformer_signal.angle_exponent, s.alphas, s.sigmas, skip=skip)
            right = ((cell.growth > 0) == (exact > 0)).where(abs(exact) > UNSURE).mean(("alpha", "sigma_w"))
            known: xr.DataArray = right.where(cell.growth.notnull().all(("alpha", "sigma_w")))
            return known

        return read

    weak = tuple(
        Claim(f"weak-edge-{skip}",
            f"At strengths of {s.weak_alpha:g} the edge of chaos is where the formula says, skip {skip!r} (each seed a "
            f"mean over {s.weak_draws} networks)",
            DERIVED(derived="theory.transformer_signal.edge_of_chaos",
                value=f"{weak_edge(s, skip):.3f}, and "
                f"{transformer_signal.weak_edge_of_chaos():.3f} at strengths of 0",
                tolerance="about what the strength moves the edge by"),
            STRAIGHT_EDGE(at("weak", skip=skip, sigma_w=s.weak_sigmas)), near(round(weak_edge(s, skip), 3), 0.1),
            Control(f"strengths of {strongest:g}: were the edge the same for all",
                EDGE(at("diagram", skip=skip, alpha=strongest, sigma_w=s.sigmas))),
            unit="sigma_w")
        for skip in OTHER
    )  # fmt: skip
    phases = tuple(
        Claim(f"phases-{skip}", "The sign of lambda_a is the predicted one over the plane of strength and sigma_w, "
            f"skip {skip!r} (fraction of places with |lambda_a| > {UNSURE:g})",
            DERIVED(derived="theory.transformer_signal.angle_exponent",
                tolerance="ours: one place of twenty may be lost to the noise of a single network"),
            agreement(skip)(diagram[skip]), at_least(0.95),
            Control("networks of the other skip connection", diagram[OTHER[skip]]), range=(0, 1))
        for skip in OTHER
    )  # fmt: skip
    return (*weak, *phases)


def _settled(s: TransformerSignalSettings) -> Sequence[Claim]:
    star = settled_at(settled_block(s))

    @partial(Measure, words=f"largest distance of rho after the last block from {star:.3f}")
    def off(cell: xr.Dataset) -> xr.DataArray:
        rho: xr.DataArray = 1 - cell.gap.isel(layer=-1)
        return abs(rho - star).max("start", skipna=False)

    return (
        Claim("settles-apart",
            f"In the chaotic phase tokens settle at one correlation below 1, rho* = {star:.3f}, from above and below "
            f"(the larger deviation; each seed a mean over {s.settled_draws} networks)",
            DERIVED(derived="theory.transformer_signal.settled_correlation", value=f"{star:.3f}",
                tolerance="that of the path, which settles there"),
            off(at("settled", sigma_w=s.settled_sigma)), at_most(0.04),
            Control(f"sigma_w = {RIVAL_SIGMA:g}, in the chaotic phase too", at("settled", sigma_w=RIVAL_SIGMA)),
            range=(0, 2)),
    )  # fmt: skip


def _depths(s: TransformerSignalSettings) -> Sequence[Claim]:
    whole = GROWTH * value("depth")
    law, rival = POWERS

    def ratio(power: float) -> Measured:
        deep, shallow = (at("depths", power=power, depth=depth) for depth in (max(s.depths), min(s.depths)))
        return whole(deep) / whole(shallow)

    return (
        Claim("strength-and-depth",
            f"With alpha falling as 1/sqrt(L), L lambda_a stays the same from depth {min(s.depths)} to {max(s.depths)} "
            f"(their ratio; each seed a mean over {s.depths_draws} networks)",
            DERIVED(derived="theory.transformer_signal.weak_edge_of_chaos",
                value="0.97 at sigma_w = 1, 1 at weak strengths", tolerance="5 % at each of the two depths"),
            ratio(law), near(1.0, 0.1), Control(f"alpha falling as L^-{rival:g}", ratio(rival))),
    )  # fmt: skip


def right_order(s: TransformerSignalSettings, sample: str, score: Score, words: str) -> Measure:
    """Return whether of two networks the one with the lower score, a number of (alpha, sigma_w), has the lower loss."""

    @partial(Measure, words=f"whether the network with the lower {words} has the lower test_loss at the end")
    def read(one: xr.Dataset, other: xr.Dataset) -> Array:
        worse = (last(one.test_loss) - last(other.test_loss)).values
        seeds = np.atleast_1d(one.seed.values)
        scores = [[score(*placed(s, sample, place, int(seed))) for place in PLACES] for seed in seeds]
        higher = np.subtract(*np.transpose(scores))
        return np.where(np.isnan(worse), np.nan, (worse > 0) == (higher > 0))

    return read


def _training(s: TransformerSignalSettings) -> Sequence[Claim]:
    tried = {
        "trains-near-criticality": ("any", "is nearer to (lambda_a, lambda_g) = 0",
            lambda *place: math.hypot(*exponents_at(*place)), "distance of the exponents from 0"),
        "collapse-hurts": ("ordered", "collapses less, both being ordered,",
            lambda *place: -exponents_at(*place)[0], "-lambda_a"),
        "gradients-hurt": ("any", "has the smaller lambda_g, the growth of gradients,",
            lambda *place: exponents_at(*place)[1], "lambda_g"),
    }  # fmt: skip
    return tuple(
        Claim(name,
            f"Exploratory: of two {s.train_depth}-block networks of any strength and sigma_w, the one that {sentence} "
            "has the lower test loss after training (fraction of pairs)",
            Source(paper="arXiv:2403.02579, abstract: the exponents predict the test loss",
                ours="three pairs of four, Kendall's rank correlation of 0.5; size, optimizer and steps are ours too",
                tolerance="two pairs of four would be chance"),
            right_order(s, sample, score, words)(*(at("training", sample=sample, place=place) for place in PLACES)),
            at_least(0.75),
            Control("the one of lower strength", right_order(s, sample, lambda alpha, _: alpha, "strength")),
            statistic="proportion", range=(0, 1), counts="pairs of networks")
        for name, (sample, sentence, score, words) in tried.items()
    )  # fmt: skip
