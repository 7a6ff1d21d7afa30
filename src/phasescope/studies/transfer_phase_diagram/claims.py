"""The claims of the study ``transfer-phase-diagram``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, near, value
from phasescope.studies.transfer_phase_diagram.settings import (
    ANGLES,
    HALF,
    SOURCE_NOISE,
    TransferSettings,
)
from phasescope.theory import linear_transfer
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

TAHIR = "Tahir et al. 2024"
NOTEBOOK = "javantahir/features_are_fate at adcbf63, plots.ipynb, "
ANGLE, COUNT, GAP = (0.0, 180.0), (0.0, math.inf), (0.0, math.inf)
LOW_NOISE, HIGH_NOISE = 0.2, 1.0
SIGNS_AT = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
BELOW = (0.25, 0.5, 0.75)


def claims(s: TransferSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_risks, _signs, _fine_tuning, _trained, _probes, _sources, _relu)
    return tuple(claim for group in groups for claim in group(s))


# -- measures ------------------------------------------------------------------------------------------------


def gain(name: str, over: str = "scratch") -> Measure:
    """Return the transferability of ``name``: the risk of ``over`` minus its own."""
    return value(over) - value(name)


def law(words: str, predicted: Callable[..., float], *axes: str) -> Measure:
    """Return what is predicted at each place of these axes of a cell."""

    def read(cell: xr.Dataset) -> Any:
        return xr.apply_ufunc(predicted, *(cell[axis] for axis in axes), vectorize=True)

    return Measure(read, words)


def gap(one: Measure, other: Measure) -> Measure:
    """Return the largest distance between two measures over all that a cell leaves open; NaN where one is NaN."""
    return abs(one - other).map(_largest, "largest {}")


def _largest(found: xr.DataArray) -> xr.DataArray:
    return found.max([dim for dim in found.dims if dim != "seed"], skipna=False)


def loses_at(d: int, angle: float, noise: float, between: tuple[float, float]) -> float:
    """Return where theory's risks at d dimensions cross, on the line between two gammas as ``root`` finds it."""

    def won(gamma: float) -> float:
        n = round(gamma * d)
        return linear_transfer.scratch_risk(n, d, noise) - linear_transfer.linear_transfer_risk(n, angle, noise)

    (low, high), (first, last) = between, map(won, between)
    return low + (high - low) * first / (first - last)


def root(values: xr.DataArray, along: str) -> Array:
    """Return where ``values`` first fall through zero along ``along`` (n,) per seed; NaN where they never do."""
    table, places = values.transpose("seed", along).values, values[along].values
    found = np.full(len(table), np.nan)
    for row, y in enumerate(table):
        falls = np.flatnonzero((y[:-1] > 0) & (y[1:] <= 0))
        if len(falls):
            i = falls[0]
            found[row] = places[i] + (places[i + 1] - places[i]) * y[i] / (y[i] - y[i + 1])
    return found


def break_even(name: str) -> Measure:
    """Return the angle in degrees at which ``name`` begins to lose to scratch; 180 where it never does."""

    def degrees(found: xr.DataArray) -> Array:
        return np.nan_to_num(np.degrees(root(found, "angle")), nan=180.0)

    return gain(name).map(degrees, "degrees at which {} falls through zero")


# -- closed forms on drawn samples ---------------------------------------------------------------------------


def _risks(s: TransferSettings) -> Sequence[Claim]:
    d, cell = s.dimension, at("diagram", gamma=0.5, noise=LOW_NOISE, angle=HALF)
    scratch = linear_transfer.scratch_risk(round(0.5 * d), d, LOW_NOISE)
    linear = linear_transfer.linear_transfer_risk(round(0.5 * d), HALF, LOW_NOISE)
    return (
        Claim("scratch-risk",
            f"From half a sample per dimension the minimum-norm solution has the risk {scratch:.4f}",
            Source(paper=f"{TAHIR}, Eq. 8", derived="theory.linear_transfer.scratch_risk, exact at finite size",
                tolerance="three standard errors of the mean of 300 draws"),
            value("scratch")(cell), near(scratch, 0.012),
            Control("without noise: what the data do not see, alone", at("diagram", gamma=0.5, noise=0.0, angle=HALF)),
            range=GAP),
        Claim("linear-risk", f"A probe on the source's feature, at 45 degrees, has the risk {linear:.4f}",
            Source(paper=f"{TAHIR}, Eq. 10", derived="theory.linear_transfer.linear_transfer_risk",
                tolerance="half of what the finite data add"),
            value("linear")(cell), near(linear, 0.005),
            Control("the same probe with endless data", value("risk", penalty=0.0)(at("probe", angle=HALF))),
            range=GAP),
    )  # fmt: skip


def _signs(s: TransferSettings) -> Sequence[Claim]:
    limit = linear_transfer.negative_transfer(HALF, LOW_NOISE)[0][0]
    first = loses_at(s.dimension, HALF, LOW_NOISE, (0.5, 0.6))
    loses = gain("linear").map(partial(root, along="gamma"), "gamma at which {} falls through zero")

    def changes(name: str) -> Measure:
        def read(cell: xr.Dataset) -> xr.DataArray:
            signs: xr.DataArray = np.sign(cell[name] - cell.linear)
            return (signs.diff("gamma") != 0).sum("gamma")

        return Measure(read, f"changes of the sign of {name} - linear over gamma")

    return (
        Claim("three-signs",
            "One pair of tasks, at 45 degrees, changes the sign of linear transfer three times between 0.25 and 2 "
            "samples per dimension, so no distance between the tasks tells the sign",
            Source(paper=f"{TAHIR}, Fig. 2", derived="theory.linear_transfer.negative_transfer", value="3",
                tolerance="none: a count"),
            changes("scratch")(at("diagram", gamma=SIGNS_AT, noise=LOW_NOISE, angle=HALF)), near(3.0, 0.0),
            Control("scratch with a ridge penalty, which has no double descent", changes("ridge")), range=COUNT),
        Claim("contour",
            f"Linear transfer at 45 degrees begins to lose at {first:.3f} samples per dimension ({limit:.3f} for d to "
            "infinity)",
            Source(paper=f"{TAHIR}, zero contours of Eq. 11",
                derived="theory.linear_transfer.scratch_risk and linear_transfer_risk, at finite size",
                tolerance="less than half of what the noise moves it by"),
            loses(at("diagram", noise=LOW_NOISE, angle=HALF)), near(first, 0.02),
            Control("without noise", at("diagram", noise=0.0, angle=HALF)), range=GAP),
        Claim("anomalous",
            "With one sample per dimension transfer wins again, where it loses on both sides: the scratch network's "
            "double descent (transferability at 45 degrees)",
            Source(paper=f"{TAHIR}, Fig. 2, anomalous positive transfer", value="above 0", tolerance="none: a sign"),
            gain("linear")(at("diagram", gamma=1.0, noise=LOW_NOISE, angle=HALF)), at_least(0.0),
            Control("scratch with a ridge penalty, which has no double descent", gain("linear", over="ridge"))),
    )  # fmt: skip


def _fine_tuning(s: TransferSettings) -> Sequence[Claim]:
    """What drawn samples make of formulas for fine-tuning: nothing learns here, so these are identities."""
    moved = float(np.degrees(linear_transfer.break_even_angle(0.5, HIGH_NOISE)))
    calm, noisy = at("diagram", gamma=0.5, noise=LOW_NOISE), at("diagram", gamma=0.5, noise=HIGH_NOISE)
    printed = law("printed formula", linear_transfer.fine_tuning_transferability, "gamma", "angle")
    nine = at("diagram", noise=HIGH_NOISE, gamma=BELOW, angle=ANGLES)
    two_degrees = "four standard errors of the mean of 300 draws"
    return (
        Claim("printed-formula",
            "Keeping the source's part outside the data's span wins (1 - gamma)(2 cos - 1), at noise 1 too: the "
            "largest of nine gaps",
            Source(code=f"{NOTEBOOK}ft_theory (the paper's Theorem 3.9, Eq. 15)", checked=True,
                tolerance="two and a half standard errors of the widest of nine means of 300 draws"),
            gap(gain("printed"), printed)(nine), at_most(0.015),
            Control("what gradient descent keeps", gap(gain("balanced"), printed)), kind="identity", range=GAP),
        Claim("break-even", "At noise 0.2 fine-tuning of a balanced network breaks even at 60 degrees",
            Source(code=f"{NOTEBOOK}ft_theory (the paper's Eq. 15)", value="where 2 cos = 1, whatever the noise",
                tolerance=two_degrees, checked=True),
            break_even("balanced")(calm), near(60.0, 2.0), Control("frozen features", break_even("linear")),
            kind="identity", range=ANGLE),
        Claim("break-even-moves", f"At noise 1 it breaks even at {moved:.1f} degrees, where cos = c / 2",
            Source(derived="theory.linear_transfer.break_even_angle", tolerance=two_degrees),
            break_even("balanced")(noisy), near(moved, 2.0),
            Control("keeping the source's part as it is, as printed", break_even("printed")), kind="identity",
            range=ANGLE),
    )  # fmt: skip


# -- trained networks ----------------------------------------------------------------------------------------


@partial(Measure, words="test_loss at the end, for gradient flow")
def settled(cell: xr.Dataset) -> xr.DataArray:
    """Return the risk at the end; of fine-tuned networks extrapolated to gradient flow, 2 R(rate / 2) - R(rate).

    Finite steps unbalance the layers by an amount proportional to the rate.
    """
    risk = last(cell.test_loss)
    return 2 * risk.isel(lr=1) - risk.isel(lr=0) if "lr" in risk.dims else risk


@partial(Measure, words="second singular value of the first layer over the first, over the scale")
def second_direction(cell: xr.Dataset) -> Array:
    """Return the second singular value of the first layer over the first (n,), in units of ``scale``."""
    values = np.linalg.svd(cell["final.layers.0"].transpose("seed", ...).values, compute_uv=False)
    return np.asarray(values[:, 1] / values[:, 0] / float(cell.scale))


def off(who: str, formula: str, noise: float) -> Measured:
    """Return the distance of trained networks' risk from what a formula foresees on their very samples."""
    place = {"gamma": 0.5, "noise": noise}
    return abs(settled(at(who, **place)) - value(formula)(at("foreseen", **place)))


def _trained(s: TransferSettings) -> Sequence[Claim]:
    def gained(gamma: float) -> Measured:
        place = {"gamma": gamma, "noise": LOW_NOISE}
        return abs(settled(at("scratch", **place)) - settled(at("tuned", **place)))

    nothing = "0.001 of the zero function's risk is taken for nothing"
    return (
        Claim("scratch-is-minimum-norm",
            "A two-layer network of small first weights learns the minimum-norm solution (gap in risk)",
            Source(paper=f"{TAHIR}, Sec. 3", ours=nothing, value="no gap", tolerance=nothing),
            off("scratch", "scratch", LOW_NOISE), at_most(1e-3),
            Control("a pretrained network", off("tuned", "scratch", LOW_NOISE)), range=GAP),
        Claim("balanced-formula",
            "Fine-tuned by gradient descent it keeps the source's part times c, c^4 - a c^2 - b = 0 (gap in risk)",
            Source(derived="theory.linear_transfer.kept_share, a correction of the paper's Theorem 3.9",
                tolerance="twice the largest gap of a pilot of 40 networks"),
            off("tuned", "balanced", LOW_NOISE), at_most(1e-3),
            Control("the printed formula, c = 1, on the same networks", off("tuned", "printed", LOW_NOISE)),
            range=GAP),
        Claim("printed-is-off",
            "At noise 1, 60 degrees, the printed formula misses the risk of fine-tuned networks by 0.01 or more",
            Source(ours="ten times what the corrected formula may miss it by, and 0.01 of the zero function's risk",
                tolerance="the smallest effect that matters"),
            off("tuned", "printed", HIGH_NOISE), at_least(0.01),
            Control("the corrected formula", off("tuned", "balanced", HIGH_NOISE)), range=GAP),
        Claim("one-direction",
            "After the source the first layer has one direction: its second singular value, over the first, is 1.9 "
            "times the scale of the first weights",
            Source(paper=f"{TAHIR}, sparsification of Sec. 3",
                pilot="one network of d = 30 and scale 0.01, whose ratio was 1.87; 2 for d to infinity", value="1.9",
                tolerance="the spread of a random matrix's largest singular value at d = 30"),
            second_direction(at("source", scale=s.scale)), near(1.9, 0.25),
            Control(f"first weights of scale {s.large_scale:g}", at("source", scale=s.large_scale)), range=GAP),
        Claim("enough-data",
            "With two samples per dimension fine-tuning and scratch end at the same place (difference of risks)",
            Source(code=f"{NOTEBOOK}ft_theory (the paper's Theorem 3.9)", value="0 beyond one sample per dimension",
                tolerance=nothing, checked=True),
            gained(2.0), at_most(1e-3), Control("with half a sample per dimension", gained(0.5)), range=GAP),
    )  # fmt: skip


# -- probes, poor sources and ReLU networks ------------------------------------------------------------------


@partial(Measure, words="risk without a penalty")
def unpenalized(cell: xr.Dataset) -> xr.DataArray:
    """Return the probe's risk at the least penalty."""
    least: xr.DataArray = cell.risk.isel(penalty=0, drop=True)
    return least


def _probes(s: TransferSettings) -> Sequence[Claim]:
    ten = linear_transfer.feature_transfer_risk(50, 10, 0.5, LOW_NOISE)
    risk, formula = (
        value("risk"),
        law("formula at 45 degrees", partial(linear_transfer.ridge_probe_risk, HALF), "penalty"),
    )
    return (
        Claim("ridge-hurts",
            "With endless data a ridge penalty on the probe only hurts, by the formula (largest gap over penalties)",
            Source(code=f"{NOTEBOOK}ge_ridge_theory (the paper's Eq. 13)", value="1 - (1 + 2 l) cos^2 / (1 + l)^2",
                tolerance="about a twentieth of what the largest penalty costs", checked=True),
            gap(risk, formula)(at("probe", angle=HALF)), at_most(0.003),
            Control("that it costs nothing: the risk without a penalty", gap(risk, unpenalized)), range=GAP),
        Claim("more-features", f"A probe on ten features that hold half of the target has the risk {ten:.4f}",
            Source(derived="theory.linear_transfer.feature_transfer_risk, an extension of the paper's Eq. 10",
                tolerance="two standard errors of the mean of 300 draws, a sixth of what the features cost"),
            risk(at("features", features=10)), near(ten, 0.012),
            Control("one feature that holds as much", at("features", features=1)), range=GAP),
    )  # fmt: skip


def _sources(s: TransferSettings) -> Sequence[Claim]:
    """Formulas for fine-tuning from a source of finite data: solutions on drawn samples, so identities."""
    perfect = law("formula for a perfect source", partial(linear_transfer.fine_tuning_transferability, 0.5), "angle")

    def claim(name: str, gamma: float, words: str) -> Claim:
        def formula(angle: float) -> float:
            return linear_transfer.finite_source_transferability(gamma, 0.5, angle, SOURCE_NOISE)

        wins, predicted = value("transferability"), law(f"formula for a source_gamma of {gamma:g}", formula, "angle")
        return Claim(name,
            f"Fine-tuned from a source learnt from {words} per dimension it wins by the formula (largest gap)",
            Source(code=f"{NOTEBOOK}ft_theory_finite_src (the paper's Eq. {22 if gamma < 1 else 23})", checked=True,
                tolerance="five standard errors of the mean of 900 draws"),
            gap(wins, predicted)(at("sources", source_gamma=gamma, angle=ANGLES)), at_most(0.015),
            Control("the formula for a perfect source", gap(wins, perfect)), kind="identity", range=GAP)  # fmt: skip

    return claim("finite-source", 0.5, "half a sample"), claim("richer-source", 2.0, "two samples")


def _relu(s: TransferSettings) -> Sequence[Claim]:
    few, many = s.relu_samples[0], s.relu_samples[-1]
    scratch, linear, tuned = value("scratch"), value("linear"), value("tuned")
    source = Source(paper=f"{TAHIR}, Sec. 4", ours="a factor of two is the smallest that matters",
        value="the direction only", tolerance="the smallest effect that matters")  # fmt: skip
    return (
        Claim("relu-tuning",
            f"A ReLU student that knows four fifths of its teacher's neurons has, after {few} samples, at most half of "
            "the scratch student's risk (ratio)", source,
            (scratch / tuned)(at("relu", samples=few, removed=0.2)), at_least(2.0),
            Control("one that knows one fifth", at("relu", samples=few, removed=0.8)), range=GAP),
        Claim("relu-probe-loses",
            f"With frozen features it ends, after {many} samples, at twice the scratch student's risk or more (ratio)",
            source, (linear / scratch)(at("relu", samples=many, removed=0.2)), at_least(2.0),
            Control(f"after {few} samples", at("relu", samples=few, removed=0.2)), range=GAP),
    )  # fmt: skip
