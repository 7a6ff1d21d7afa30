"""The claims of the study ``transformer-signal``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from phasescope.ensemble import last, streams
from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, between, least, near, value
from phasescope.studies.transformer_signal.predictions import (
    Formula,
    block_at,
    gradient_formulas,
    path,
    plane,
    settled_at,
    settled_block,
    trained_exponents,
    weak_edge,
)
from phasescope.studies.transformer_signal.runs import MODES
from phasescope.studies.transformer_signal.settings import TransformerSignalSettings
from phasescope.theory.transformer_signal import angle_exponent, weak_edge_of_chaos
from phasescope.verdict import Claim, Control
from phasescope.vocabulary import Array

COWSIK = "Cowsik et al. 2024, model of Eq. 4"
DERIVED = "derived here from the model of arXiv:2403.02579"
OTHER = {"preserving": "reset", "reset": "preserving"}
UNSURE = 0.03  # what a formula of lambda_a may err by (claim 3): a sign is judged only beyond
SHUFFLES = 400


def claims(s: TransformerSignalSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_paths, _collapse, _exponents, _gradients, _edges, _settled, _depths, _training)
    return tuple(claim for group in groups for claim in group(s))


def exponent(gap: xr.DataArray) -> xr.DataArray:
    """Return the growth of log(1 - rho) per block, from the first layer to the last of each member."""
    filled = gap.transpose(..., "layer")
    values = np.asarray(filled.values)
    depth = np.isfinite(values).sum(-1) - 1
    end = np.take_along_axis(values, depth[..., None], -1)[..., 0]
    found = np.log(end / values[..., 0]) / depth
    return xr.DataArray(found, dims=filled.dims[:-1], coords={d: filled[d] for d in filled.dims[:-1]})


def crossing_of(values: xr.DataArray) -> Array:
    """Return per seed the sigma_w where a straight line through ``values`` (seed, sigma_w) vanishes."""
    table, sigma = values.transpose("sigma_w", "seed").values, values.sigma_w.values.astype(float)
    slope, offset = np.polyfit(sigma, table, 1)
    return np.asarray(-offset / slope)


def first_crossing(values: xr.DataArray) -> Array:
    """Return per seed the sigma_w where ``values`` (seed, sigma_w) first rise above 0; the largest if never."""
    table, sigma = values.transpose("seed", "sigma_w").values, values.sigma_w.values.astype(float)
    found = np.full(len(table), sigma[-1])
    for i, row in enumerate(table):
        above = np.flatnonzero(row > 0)
        if len(above):
            j = int(above[0])
            found[i] = sigma[0] if j == 0 else np.interp(0, row[j - 1 : j + 1], sigma[j - 1 : j + 1])
    return found


GROWTH = value("gap").map(exponent, "growth of log {} per block")
EDGE = GROWTH.map(first_crossing, "sigma_w where the {} first rises above 0")
STRAIGHT_EDGE = GROWTH.map(crossing_of, "sigma_w where a line through the {} vanishes")


def _paths(s: TransformerSignalSettings) -> Sequence[Claim]:
    def off(skip: str, attention: float) -> Measure:
        """Return the mean over blocks of rho less the map's."""

        @partial(Measure, words=f"rho less the map's with alpha_A {attention:g}, mean over blocks")
        def read(cell: xr.Dataset) -> xr.DataArray:
            q, p = path(s, skip, attention=attention).T
            deviation: xr.DataArray = 1 - cell.gap - xr.DataArray(p / q, dims="layer")
            return deviation.isel(layer=slice(1, None)).mean("layer", skipna=False)

        return read

    return tuple(
        Claim(f"path-{skip}",
            f"The correlation of tokens in general position follows the map, skip {skip!r} (deviation, mean over "
            f"{s.path_depth} blocks)", f"{DERIVED} (theory.transformer_signal.token_trajectory); claim 3.1",
            off(skip, 0.7)(at("path", skip=skip, sigma_A=1.0)), near(0.0, 0.04),
            Control("the map of a network without attention", off(skip, 0.0)), statistic="mean")
        for skip in OTHER
    )  # fmt: skip


@partial(Measure, words="mean of log(gap'/gap) over the blocks where 1e-12 < gap < 0.01")
def rate(cell: xr.Dataset) -> Array:
    """Return the mean of log(gap'/gap) over the blocks where 1e-12 < 1 - rho < 0.01."""
    gap = cell.gap.transpose("seed", "layer").values
    small = (gap[:, :-1] < 0.01) & (gap[:, 1:] > 1e-12)
    steps = np.where(small, np.diff(np.log(np.maximum(gap, 1e-300)), axis=-1), 0.0)
    return np.asarray(steps.sum(-1) / np.where(small.sum(-1) > 0, small.sum(-1), np.nan))


@partial(Measure, words="least growth of rho in one block as a share of what was left to 1")
def steadiness(cell: xr.Dataset) -> Array:
    """Return, per seed, the least growth of rho in one block as a share of what was left to 1."""
    values = cell.gap.transpose("seed", "layer").values
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmin(1 - values[:, 1:] / values[:, :-1], axis=-1))


def _collapse(s: TransformerSignalSettings) -> Sequence[Claim]:
    rates = {"preserving": np.log(1 - 0.25), "reset": -np.log(1 + 0.25)}
    alone = {skip: at("attention", skip=skip) for skip in rates}
    at_the_rate = tuple(
        Claim(f"attention-collapses-{skip}",
            f"Without a perceptron tokens collapse at the rate of the skip alone, skip {skip!r}, alpha_A = 0.5",
            f"{DERIVED}: log(1 - alpha^2) preserving, -log(1 + alpha^2) reset; claim 3.2", rate(alone[skip]),
            near(float(rates[skip]), 0.02),
            Control("with a perceptron of sigma_w = 4", GROWTH(at("exponents", skip=skip, strengths="0.5 0.5 4"))),
            unit="1/block", statistic="mean")
        for skip in rates
    )  # fmt: skip
    steadily = Claim("attention-collapses-steadily",
        "Without a perceptron every block brings tokens closer (the least share of the remaining gap, either skip)",
        f"{DERIVED}; claim 3.2", least(steadiness, list(alone.values())), at_least(0.0),
        Control("a perceptron in the chaotic phase", at("settled", sigma_w=s.settled_sigma, start=0.999)),
    )  # fmt: skip
    return (*at_the_rate, steadily)


def off_formula(measured: Measure, formula: Formula, skip: str, words: str) -> Measure:
    """Return the mean over the settings of ``measured`` less the formula at each of them."""

    @partial(Measure, words=f"{measured} less {words}, mean over settings")
    def read(cell: xr.Dataset) -> xr.DataArray:
        blocks = [block_at(str(name), skip) for name in cell.strengths.values]
        found: xr.DataArray = measured.read(cell) - cell.strengths.copy(data=[formula(block) for block in blocks])
        return found.mean("strengths", skipna=False)

    return read


def _exponents(s: TransformerSignalSettings) -> Sequence[Claim]:
    def off(skip: str) -> Measure:
        return off_formula(GROWTH, angle_exponent, skip, f"lambda_a of the skip {skip}")

    return tuple(
        Claim(f"angle-exponent-{skip}",
            f"Near collapse 1 - rho grows by lambda_a per block, skip {skip!r} (deviation, mean over five settings)",
            f"{DERIVED} (theory.transformer_signal.angle_exponent); claim 3.3", off(skip)(at("exponents", skip=skip)),
            near(0.0, 0.03), Control("the formula of the other skip connection", off(OTHER[skip])),
            unit="1/block", statistic="mean")
        for skip in OTHER
    )  # fmt: skip


def _gradients(s: TransformerSignalSettings) -> Sequence[Claim]:
    formulas = gradient_formulas(s.depth)
    wrong = {"total": "mean", "mean": "difference", "difference": "mean"}
    words = {
        "total": "The squared gradient",
        "mean": "The token mean of the gradient",
        "difference": "What differs between tokens' gradients",
    }

    def off(skip: str, mode: str, formula: str) -> Measure:
        return off_formula(value("gradient", mode=mode), formulas[formula], skip, f"the formula of the {formula} mode")

    return tuple(
        Claim(f"gradient-{mode}-{skip}",
            f"{words[mode]} grows from the last block to the first as predicted, skip {skip!r} (deviation)",
            f"{DERIVED} (theory.transformer_signal.gradient_exponent and its parts); claim 3.6",
            off(skip, mode, mode)(at("exponents", skip=skip)), near(0.0, 0.02),
            Control(f"the formula of the {wrong[mode]} mode", off(skip, mode, wrong[mode])), unit="1/block",
            statistic="mean")
        for skip in OTHER
        for mode in MODES
    )  # fmt: skip


def _edges(s: TransformerSignalSettings) -> Sequence[Claim]:
    strongest = max(s.alphas)
    diagram = {skip: at("diagram", skip=skip, alpha=s.alphas, sigma_w=s.sigmas) for skip in OTHER}

    def agreement(skip: str, formula: str) -> Measure:
        """Return the share of places with the sign that a formula has, places with lambda_a of about 0 left out."""

        @partial(Measure, words=f"share of places with the sign of lambda_a of the skip {formula}")
        def read(cell: xr.Dataset) -> xr.DataArray:
            exact, guess = (plane(angle_exponent, s.alphas, s.sigmas, skip=name) for name in (skip, formula))
            right = (exponent(cell.gap) > 0) == (guess > 0)
            return right.where(abs(exact) > UNSURE).mean(("alpha", "sigma_w"))

        return read

    weak = tuple(
        Claim(f"weak-edge-{skip}",
            f"At strengths of {s.weak_alpha:g} the edge of chaos is where the formula says, skip {skip!r}",
            f"{DERIVED} (theory.transformer_signal.edge_of_chaos; {weak_edge_of_chaos():.3f} at strengths of 0); "
            "claim 3.4",
            STRAIGHT_EDGE(at("weak", skip=skip, sigma_w=s.weak_sigmas)), near(round(weak_edge(s, skip), 3), 0.1),
            Control(f"strengths of {strongest:g}, whose edge lies elsewhere",
                EDGE(at("diagram", skip=skip, alpha=strongest, sigma_w=s.sigmas))),
            unit="sigma_w", statistic="mean")
        for skip in OTHER
    )  # fmt: skip
    phases = tuple(
        Claim(f"phases-{skip}", "The sign of lambda_a is the predicted one over the plane of strength and sigma_w, "
            f"skip {skip!r} (share of places with |lambda_a| > {UNSURE:g})",
            f"{COWSIK}: ordered and chaotic phase; formula derived here; claims 3.3 and 3.4",
            agreement(skip, skip)(diagram[skip]), at_least(0.95),
            Control("the formula of the other skip connection", agreement(skip, OTHER[skip])))
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
            "(the larger deviation)",
            f"{DERIVED} (theory.transformer_signal.settled_correlation); tolerance of the map's path; claim 3.5",
            off(at("settled", sigma_w=s.settled_sigma)), at_most(0.04),
            Control("sigma_w = 3, in the ordered phase", at("settled", sigma_w=3.0)), statistic="mean"),
    )  # fmt: skip


def _depths(s: TransformerSignalSettings) -> Sequence[Claim]:
    whole = GROWTH * value("depth")

    def ratio(power: float) -> Measured:
        deep, shallow = (at("depths", power=power, depth=depth) for depth in (max(s.depths), min(s.depths)))
        return whole(deep) / whole(shallow)

    return (
        Claim("strength-and-depth",
            f"With alpha falling as 1/sqrt(L), L lambda_a stays the same up to a factor of 2 from depth "
            f"{min(s.depths)} to {max(s.depths)} (their ratio)",
            f"{COWSIK}: the paper's conclusion, as quoted by a reader; the formula's ratio is 0.95; claim 3.7",
            ratio(0.5), between(0.5, 2.0), Control("the same strength at every depth", ratio(0.0)), statistic="mean"),
    )  # fmt: skip


def ranked(by: xr.DataArray, words: str, *, shuffled: bool = False) -> Measure:
    """Return the rank correlation of the loss with ``by`` where that is a number, or its mean over shuffles."""
    chosen = np.flatnonzero(by.notnull().values.ravel())
    ranks = rankdata(by.values.ravel()[chosen])

    @partial(Measure, words=f"rank correlation of test_loss at the end with {words}" + ", shuffled" * shuffled)
    def read(run: xr.Dataset) -> Array:
        table = last(run.test_loss).transpose("seed", "alpha", "sigma_w").values.reshape(run.sizes["seed"], -1)
        found = []
        for seed, row in enumerate(table):
            mine, generator = rankdata(row[chosen]), streams(seed)("shuffle")
            orders = [generator.permutation(ranks) for _ in range(SHUFFLES)] if shuffled else [ranks]
            found.append(np.mean([np.corrcoef(mine, order)[0, 1] for order in orders]))
        return np.asarray(found)

    return read


def _training(s: TransformerSignalSettings) -> Sequence[Claim]:
    angle, gradient = trained_exponents(s)
    tried = {
        "trains-near-criticality": (
            "Test loss after training rises with the distance of (lambda_a, lambda_g) from 0",
            (angle**2 + gradient**2) ** 0.5, "the distance of the exponents from 0",
        ),
        "collapse-hurts": (
            "Among ordered networks test loss rises with the strength of collapse, -lambda_a",
            -angle.where(angle < 0), "-lambda_a where that is positive",
        ),
        "gradients-hurt": ("Test loss rises with lambda_g, the growth of gradients", gradient, "lambda_g"),
    }  # fmt: skip
    networks = at("training", alpha=s.train_alphas, sigma_w=s.train_sigmas)
    return tuple(
        Claim(name, f"Exploratory: {sentence} (rank correlation over {s.train_depth}-block networks)",
            "arXiv:2403.02579: the exponents predict the test loss; size, optimizer and the margin 0.5 are ours; "
            "claim 3.8", ranked(by, words)(networks), at_least(0.5),
            Control("exponents shuffled over the networks", ranked(by, words, shuffled=True)), statistic="mean")
        for name, (sentence, by, words) in tried.items()
    )  # fmt: skip
