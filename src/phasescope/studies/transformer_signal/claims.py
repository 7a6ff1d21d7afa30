"""The claims of the study ``transformer-signal``: each an effect per seed, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from phasescope import theory
from phasescope.ensemble import last, streams
from phasescope.lab.study import part
from phasescope.studies.transformer_signal.runs import MODES, block_of, numbers_of
from phasescope.studies.transformer_signal.settings import TransformerSignalSettings
from phasescope.verdict import Claim, Control, Expectation
from phasescope.vocabulary import Array, Member

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


def predicted(strengths: str, skip: str, tokens: int = 32) -> Any:
    """Return the theory's block of one of the study's settings "alpha_A alpha_M sigma_w"."""
    numbers = numbers_of(Member({"strengths": strengths, "skip": skip, "sigma_A": 1.0, "tokens": tokens}, 0))
    return block_of(numbers)


def path(s: TransformerSignalSettings, skip: str, *, score: float = 1.0, attention: float = 0.7) -> Array:
    """Return q and p (depth + 1, 2) of the path by the map; for sigma_A > 1, outside its domain, by that of n = inf."""
    numbers = {"alpha_A": attention, "alpha_M": 0.7, "sigma_w": 3.0, "sigma_A": score, "skip": skip}
    tokens = float(s.tokens) if score <= 1 else np.inf
    return _trajectory(block_of(numbers, tokens=tokens), s.path_depth)


@cache
def _trajectory(block: theory.TransformerBlock, depth: int) -> Array:
    return theory.token_trajectory(block, 1.0, 0.2, depth)


@cache
def _settled_at(block: theory.TransformerBlock) -> float:
    return theory.settled_correlation(block)  # seconds of integrals


def _paths(s: TransformerSignalSettings) -> Sequence[Claim]:
    def off(data: xr.Dataset, skip: str, attention: float) -> Array:
        states = path(s, skip, attention=attention)
        run = part(data, "path").gap.sel(skip=skip, sigma_A=1.0).transpose("seed", "layer")
        return np.asarray((1 - run.values - states[:, 1] / states[:, 0])[:, 1:].mean(-1))

    return tuple(
        Claim(
            f"path-{skip}",
            f"The correlation of tokens in general position follows the map, skip {skip!r} (deviation, mean over "
            f"{s.path_depth} blocks)",
            f"{DERIVED} (theory.token_trajectory); claim 3.1",
            partial(off, skip=skip, attention=0.7),
            Expectation.near(0.0, 0.04),
            Control("the map of a network without attention", partial(off, skip=skip, attention=0.0)),
            statistic="mean",
        )
        for skip in OTHER
    )


def _of(data: xr.Dataset, name: str, reading: str, **at: Any) -> xr.DataArray:
    return part(data, name)[reading].sel(at)


def _exponent_at(data: xr.Dataset, name: str, **at: Any) -> Array:
    return np.asarray(exponent(_of(data, name, "gap", **at)).values)


def _rate(data: xr.Dataset, skip: str) -> Array:
    """Return the mean of log(gap'/gap) over the blocks where 1e-12 < 1 - rho < 0.01."""
    gap = _of(data, "attention", "gap", skip=skip).transpose("seed", "layer").values
    near = (gap[:, :-1] < 0.01) & (gap[:, 1:] > 1e-12)
    steps = np.where(near, np.diff(np.log(np.maximum(gap, 1e-300)), axis=-1), 0.0)
    return np.asarray(steps.sum(-1) / np.where(near.sum(-1) > 0, near.sum(-1), np.nan))


def _steady(gap: xr.DataArray) -> Array:
    """Return, per seed, the least growth of rho in one block as a share of what was left to 1."""
    values = gap.transpose("seed", "layer").values
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmin(1 - values[:, 1:] / values[:, :-1], axis=-1))


def _collapse(s: TransformerSignalSettings) -> Sequence[Claim]:
    rates = {"preserving": np.log(1 - 0.25), "reset": -np.log(1 + 0.25)}
    rate = tuple(
        Claim(
            f"attention-collapses-{skip}",
            f"Without a perceptron tokens collapse at the rate of the skip alone, skip {skip!r}, alpha_A = 0.5",
            f"{DERIVED}: log(1 - alpha^2) preserving, -log(1 + alpha^2) reset; claim 3.2",
            partial(_rate, skip=skip),
            Expectation.near(float(rates[skip]), 0.02),
            Control(
                "with a perceptron of sigma_w = 4",
                partial(_exponent_at, name="exponents", skip=skip, strengths="0.5 0.5 4"),
            ),
            unit="1/block",
            statistic="mean",
        )
        for skip in rates
    )
    chaos = {"sigma_w": s.settled_sigma, "start": 0.999}
    monotone = Claim(
        "attention-collapses-steadily",
        "Without a perceptron every block brings tokens closer (the least share of the remaining gap, either skip)",
        f"{DERIVED}; claim 3.2",
        lambda d: np.minimum(*(_steady(_of(d, "attention", "gap", skip=skip)) for skip in rates)),
        Expectation.at_least(0.0),
        Control("a perceptron in the chaotic phase", lambda d: _steady(_of(d, "settled", "gap", **chaos))),
    )
    return (*rate, monotone)


def _off(measured: xr.DataArray, formula: Callable[[Any], float], skip: str) -> Array:
    """Return per seed the mean over settings of a measured exponent less its formula."""
    names = [str(name) for name in measured.strengths.values]
    expected = xr.DataArray([formula(predicted(name, skip)) for name in names], dims="strengths")
    return np.asarray((measured.drop_vars("strengths") - expected).mean("strengths").values)


def _exponents(s: TransformerSignalSettings) -> Sequence[Claim]:
    def off(data: xr.Dataset, skip: str, formula: str) -> Array:
        return _off(exponent(_of(data, "exponents", "gap", skip=skip)), theory.angle_exponent, formula)

    return tuple(
        Claim(
            f"angle-exponent-{skip}",
            f"Near collapse 1 - rho grows by lambda_a per block, skip {skip!r} (deviation, mean over five settings)",
            f"{DERIVED} (theory.angle_exponent); claim 3.3",
            partial(off, skip=skip, formula=skip),
            Expectation.near(0.0, 0.03),
            Control("the formula of the other skip connection", partial(off, skip=skip, formula=OTHER[skip])),
            unit="1/block",
            statistic="mean",
        )
        for skip in OTHER
    )


def gradient_formulas(depth: int) -> Mapping[str, Callable[[Any], float]]:
    """Return the theory of each of ``MODES``."""
    parts = (lambda b: theory.gradient_exponent(b, depth), theory.mean_gradient_exponent, theory.angle_exponent)
    return dict(zip(MODES, parts, strict=True))


def _gradients(s: TransformerSignalSettings) -> Sequence[Claim]:
    formulas = gradient_formulas(s.depth)
    wrong = {"total": "mean", "mean": "difference", "difference": "mean"}
    words = {
        "total": "The squared gradient",
        "mean": "The token mean of the gradient",
        "difference": "What differs between tokens' gradients",
    }

    def off(data: xr.Dataset, skip: str, mode: str, formula: str) -> Array:
        return _off(_of(data, "exponents", "gradient", skip=skip, mode=mode), formulas[formula], skip)

    return tuple(
        Claim(
            f"gradient-{mode}-{skip}",
            f"{words[mode]} grows from the last block to the first as predicted, skip {skip!r} (deviation)",
            f"{DERIVED} (theory.gradient_exponent and its parts); claim 3.6",
            partial(off, skip=skip, mode=mode, formula=mode),
            Expectation.near(0.0, 0.02),
            Control(
                f"the formula of the {wrong[mode]} mode",
                partial(off, skip=skip, mode=mode, formula=wrong[mode]),
            ),
            unit="1/block",
            statistic="mean",
        )
        for skip in OTHER
        for mode in MODES
    )


def crossing_of(values: xr.DataArray) -> Array:
    """Return per seed the sigma_w where a straight line through ``values`` (seed, sigma_w) vanishes."""
    table, sigma = values.transpose("sigma_w", "seed").values, values.sigma_w.values.astype(float)
    slope, offset = np.polyfit(sigma, table, 1)
    return np.asarray(-offset / slope)


def _weak_edge(data: xr.Dataset, skip: str) -> Array:
    return crossing_of(exponent(_of(data, "weak", "gap", skip=skip)))


def _edge(data: xr.Dataset, skip: str, alpha: float) -> Array:
    return first_crossing(exponent(_of(data, "diagram", "gap", skip=skip, alpha=alpha)))


def predictions(s: TransformerSignalSettings, skip: str) -> xr.DataArray:
    """Return lambda_a (alpha, sigma_w) of the diagram by its formula."""
    values = [[theory.angle_exponent(predicted(f"{a} {a} {w}", skip, 16)) for w in s.sigmas] for a in s.alphas]
    coords = {"alpha": list(s.alphas), "sigma_w": list(s.sigmas)}
    return xr.DataArray(values, dims=("alpha", "sigma_w"), coords=coords)


def _edges(s: TransformerSignalSettings) -> Sequence[Claim]:
    def agreement(data: xr.Dataset, skip: str, formula: str) -> Array:
        measured, exact, guess = (
            exponent(_of(data, "diagram", "gap", skip=skip)),
            *(predictions(s, n) for n in (skip, formula)),
        )
        right = ((measured > 0) == (guess > 0)).where(np.abs(exact) > UNSURE)
        return np.asarray(right.mean(("alpha", "sigma_w")).values)

    def edge(skip: str) -> float:
        weak = block_of(
            {"alpha_A": s.weak_alpha, "alpha_M": s.weak_alpha, "sigma_w": 1.0, "sigma_A": 1.0, "skip": skip},
            tokens=np.inf,
        )
        return theory.edge_of_chaos(weak)

    weak = tuple(
        Claim(
            f"weak-edge-{skip}",
            f"At strengths of {s.weak_alpha:g} the edge of chaos is where the formula says, skip {skip!r}",
            f"{DERIVED} (theory.edge_of_chaos; {theory.weak_edge_of_chaos():.3f} at strengths of 0); claim 3.4",
            partial(_weak_edge, skip=skip),
            Expectation.near(round(edge(skip), 3), 0.1),
            Control(
                f"strengths of {max(s.alphas):g}, whose edge lies elsewhere",
                partial(_edge, skip=skip, alpha=max(s.alphas)),
            ),
            unit="sigma_w",
            statistic="mean",
        )
        for skip in OTHER
    )
    phases = tuple(
        Claim(
            f"phases-{skip}",
            "The sign of lambda_a is the predicted one over the plane of strength and sigma_w, "
            f"skip {skip!r} (share of places with |lambda_a| > {UNSURE:g})",
            f"{COWSIK}: ordered and chaotic phase; formula derived here; claims 3.3 and 3.4",
            partial(agreement, skip=skip, formula=skip),
            Expectation.at_least(0.95),
            Control("the formula of the other skip connection", partial(agreement, skip=skip, formula=OTHER[skip])),
        )
        for skip in OTHER
    )
    return (*weak, *phases)


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


def settled_block(s: TransformerSignalSettings, sigma: float) -> Any:
    """Return the theory's block of the experiment ``settled``."""
    return theory.TransformerBlock(0.5, 0.5, sigma, 1.0, s.tokens)


def _settled(s: TransformerSignalSettings) -> Sequence[Claim]:
    star = _settled_at(settled_block(s, s.settled_sigma))

    def off(data: xr.Dataset, sigma: float) -> Array:
        rho = 1 - _of(data, "settled", "gap", sigma_w=sigma).isel(layer=-1)
        return np.asarray(np.abs(rho.transpose("start", "seed").values - star).max(0))

    return (
        Claim(
            "settles-apart",
            f"In the chaotic phase tokens settle at one correlation below 1, rho* = {star:.3f}, from above and below "
            "(the larger deviation)",
            f"{DERIVED} (theory.settled_correlation); tolerance of the map's path; claim 3.5",
            lambda d: off(d, s.settled_sigma),
            Expectation.at_most(0.04),
            Control("sigma_w = 3, in the ordered phase", lambda d: off(d, 3.0)),
            statistic="mean",
        ),
    )


def _depths(s: TransformerSignalSettings) -> Sequence[Claim]:
    def ratio(data: xr.Dataset, power: float) -> Array:
        found = exponent(_of(data, "depths", "gap", power=power))
        whole = found * found.depth
        return np.asarray((whole.sel(depth=max(s.depths)) / whole.sel(depth=min(s.depths))).values)

    return (
        Claim(
            "strength-and-depth",
            f"With alpha falling as 1/sqrt(L), L lambda_a stays the same up to a factor of 2 from depth "
            f"{min(s.depths)} to {max(s.depths)} (their ratio)",
            f"{COWSIK}: the paper's conclusion, as quoted by a reader; the formula's ratio is 0.95; claim 3.7",
            lambda d: ratio(d, 0.5),
            Expectation.between(0.5, 2.0),
            Control("the same strength at every depth", lambda d: ratio(d, 0.0)),
            statistic="mean",
        ),
    )


def trained_exponents(s: TransformerSignalSettings) -> tuple[xr.DataArray, xr.DataArray]:
    """Return lambda_a and lambda_g, the gradient's token mean, (alpha, sigma_w) of the trained networks."""
    coords = {"alpha": list(s.train_alphas), "sigma_w": list(s.train_sigmas)}
    found = []
    for formula in (theory.angle_exponent, theory.mean_gradient_exponent):
        blocks = [[theory.TransformerBlock(a, a, w) for w in s.train_sigmas] for a in s.train_alphas]
        values = [[formula(block) for block in row] for row in blocks]
        found.append(xr.DataArray(values, dims=("alpha", "sigma_w"), coords=coords))
    return found[0], found[1]


def _ranked(loss: xr.DataArray, by: xr.DataArray, where: xr.DataArray | None = None, shuffled: bool = False) -> Array:
    """Return per seed the rank correlation over cells of ``loss`` with ``by``, or its mean over shuffles of these."""
    table = loss.transpose("seed", "alpha", "sigma_w").values.reshape(loss.sizes["seed"], -1)
    chosen = np.flatnonzero((by.notnull() if where is None else where).values.ravel())
    ranks = rankdata(by.values.ravel()[chosen])
    found = []
    for seed, row in enumerate(table):
        mine = rankdata(row[chosen])
        orders = [ranks]
        if shuffled:
            generator = streams(seed)("shuffle")
            orders = [generator.permutation(ranks) for _ in range(SHUFFLES)]
        found.append(np.mean([np.corrcoef(mine, order)[0, 1] for order in orders]))
    return np.asarray(found)


def _training(s: TransformerSignalSettings) -> Sequence[Claim]:
    angle, gradient = trained_exponents(s)
    distance = (angle**2 + gradient**2) ** 0.5
    words = {
        "trains-near-criticality": (
            "Test loss after training rises with the distance of (lambda_a, lambda_g) from 0", distance, None,
        ),
        "collapse-hurts": (
            "Among ordered networks test loss rises with the strength of collapse, -lambda_a", -angle, angle < 0,
        ),
        "gradients-hurt": ("Test loss rises with lambda_g, the growth of gradients", gradient, None),
    }  # fmt: skip

    def effect(data: xr.Dataset, name: str, shuffled: bool) -> Array:
        _, by, where = words[name]
        return _ranked(last(part(data, "training").test_loss), by, where, shuffled)

    return tuple(
        Claim(
            name,
            f"Exploratory: {words[name][0]} (rank correlation over {s.train_depth}-block networks)",
            "arXiv:2403.02579: the exponents predict the test loss; size, optimizer and the margin 0.5 are ours; "
            "claim 3.8",
            partial(effect, name=name, shuffled=False),
            Expectation.at_least(0.5),
            Control("exponents shuffled over the networks", partial(effect, name=name, shuffled=True)),
            statistic="mean",
        )
        for name in words
    )
