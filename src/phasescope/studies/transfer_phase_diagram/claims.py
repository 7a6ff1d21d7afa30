"""The claims of the study ``transfer-phase-diagram``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

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
    NARROW,
    SOURCE_NOISE,
    WIDE,
    TransferSettings,
)
from phasescope.theory import linear_transfer
from phasescope.verdict import Claim, Control
from phasescope.vocabulary import Array

TAHIR = "Tahir et al. 2024"
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
    d, half = s.dimension, {"noise": LOW_NOISE, "angle": HALF}
    scratch = linear_transfer.scratch_risk(round(0.5 * d), d, LOW_NOISE)
    linear = linear_transfer.linear_transfer_risk(round(0.5 * d), HALF, LOW_NOISE)
    return (
        Claim("scratch-risk",
            f"From half a sample per dimension the minimum-norm solution has the risk {scratch:.4f}",
            f"{TAHIR}, Eq. 8, at finite size; claim 1; margin of three standard errors",
            value("scratch")(at("diagram", gamma=0.5, **half)), near(scratch, 0.012),
            Control("half as many samples", at("diagram", gamma=0.25, **half))),
        Claim("linear-risk", f"A probe on the source's feature, at 45 degrees, has the risk {linear:.4f}",
            f"{TAHIR}, Eq. 10; claim 2", value("linear")(at("diagram", gamma=0.5, **half)), near(linear, 0.005),
            Control("labels with noise 1", at("diagram", gamma=0.5, noise=HIGH_NOISE, angle=HALF))),
    )  # fmt: skip


def _signs(s: TransferSettings) -> Sequence[Claim]:
    first = linear_transfer.negative_transfer(HALF, LOW_NOISE)[0][0]
    loses = gain("linear").map(partial(root, along="gamma"), "gamma at which {} falls through zero")

    @partial(Measure, words="changes of the sign of scratch - linear over gamma")
    def changes(cell: xr.Dataset) -> xr.DataArray:
        signs: xr.DataArray = np.sign(cell.scratch - cell.linear)
        return (signs.diff("gamma") != 0).sum("gamma")

    return (
        Claim("three-signs",
            "One pair of tasks, at 45 degrees, changes the sign of linear transfer three times between 0.25 and 2 "
            "samples per dimension, so no distance between the tasks tells the sign",
            f"{TAHIR}, Fig. 2; claims 3 and 10", changes(at("diagram", gamma=SIGNS_AT, noise=LOW_NOISE, angle=HALF)),
            near(3.0, 0.0), Control("at 20 degrees", at("diagram", gamma=SIGNS_AT, noise=LOW_NOISE, angle=NARROW))),
        Claim("contour", f"Linear transfer at 45 degrees begins to lose at {first:.3f} samples per dimension",
            f"{TAHIR}, zero contours of Eq. 11; claim 3, with its margin for d = 100",
            loses(at("diagram", noise=LOW_NOISE, angle=HALF)), near(first, 0.05),
            Control("at 60 degrees", at("diagram", noise=LOW_NOISE, angle=WIDE))),
        Claim("anomalous",
            "With one sample per dimension transfer wins again, where it loses on both sides: the scratch network's "
            "double descent (transferability at 45 degrees)",
            f"{TAHIR}, Fig. 2, anomalous positive transfer; claim 3",
            gain("linear")(at("diagram", gamma=1.0, noise=LOW_NOISE, angle=HALF)), at_least(0.0),
            Control("scratch with a ridge penalty, which has no double descent", gain("linear", over="ridge"))),
    )  # fmt: skip


def _fine_tuning(s: TransferSettings) -> Sequence[Claim]:
    moved = float(np.degrees(linear_transfer.break_even_angle(0.5, HIGH_NOISE)))
    calm, noisy = at("diagram", gamma=0.5, noise=LOW_NOISE), at("diagram", gamma=0.5, noise=HIGH_NOISE)
    printed = law("printed formula", linear_transfer.fine_tuning_transferability, "gamma", "angle")
    nine = {"gamma": BELOW, "angle": ANGLES}
    return (
        Claim("printed-formula",
            "Keeping the source's part outside the data's span wins (1 - gamma)(2 cos - 1): the largest of nine gaps",
            f"{TAHIR}, Theorem 3.9, Eq. 15; claim 4",
            gap(gain("printed"), printed)(at("diagram", noise=LOW_NOISE, **nine)), at_most(0.015),
            Control("what gradient descent keeps, at noise 1",
                gap(gain("balanced"), printed)(at("diagram", noise=HIGH_NOISE, **nine)))),
        Claim("break-even", "At noise 0.2 fine-tuning of a balanced network breaks even at 60 degrees",
            f"{TAHIR}, Eq. 15; claim 5", break_even("balanced")(calm), near(60.0, 2.0), Control("at noise 1", noisy)),
        Claim("break-even-moves", f"At noise 1 it breaks even at {moved:.1f} degrees, where cos = c / 2",
            "derived here from the balance of the layers; claim 5, with its margin", break_even("balanced")(noisy),
            near(moved, 2.0), Control("keeping the source's part as it is, as printed", break_even("printed"))),
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

    return (
        Claim("scratch-is-minimum-norm",
            "A two-layer network of small first weights learns the minimum-norm solution (gap in risk)",
            f"{TAHIR}, Sec. 3; the margin is claim 6's", off("scratch", "scratch", LOW_NOISE), at_most(1e-3),
            Control("a pretrained network", off("tuned", "scratch", LOW_NOISE))),
        Claim("balanced-formula",
            "Fine-tuned by gradient descent it keeps the source's part times c, c^4 - a c^2 - b = 0 (gap in risk)",
            "derived here, a correction of Theorem 3.9; claim 6", off("tuned", "balanced", LOW_NOISE), at_most(1e-3),
            Control("the printed formula, c = 1, at noise 1", off("tuned", "printed", HIGH_NOISE))),
        Claim("printed-is-off",
            "At noise 1, 60 degrees, the printed formula misses the risk of fine-tuned networks by 0.1 on average",
            "measured before on other samples; claim 6", off("tuned", "printed", HIGH_NOISE), at_least(0.1),
            Control("the corrected formula", off("tuned", "balanced", HIGH_NOISE)), statistic="mean"),
        Claim("one-direction",
            "After the source the first layer has one direction: its second singular value, over the first, is 1.9 "
            "times the scale of the first weights",
            f"{TAHIR}, sparsification of Sec. 3; the number is measured, and 2 for d to infinity; claim 7",
            second_direction(at("source", scale=s.scale)), near(1.9, 0.25),
            Control(f"first weights of scale {s.large_scale:g}", at("source", scale=s.large_scale))),
        Claim("enough-data",
            "With two samples per dimension fine-tuning and scratch end at the same place (difference of risks)",
            f"{TAHIR}, Theorem 3.9; claim 8", gained(2.0), at_most(1e-3),
            Control("with half a sample per dimension", gained(0.5))),
    )  # fmt: skip


# -- probes, poor sources and ReLU networks ------------------------------------------------------------------


def _probes(s: TransferSettings) -> Sequence[Claim]:
    ten = linear_transfer.feature_transfer_risk(50, 10, 0.5, LOW_NOISE)
    risk, formula = (
        value("risk"),
        law("formula at 45 degrees", partial(linear_transfer.ridge_probe_risk, HALF), "penalty"),
    )
    return (
        Claim("ridge-hurts",
            "With endless data a ridge penalty on the probe only hurts, by the formula (largest gap over penalties)",
            f"{TAHIR}, Eq. 13; claim 9", gap(risk, formula)(at("probe", angle=HALF)), at_most(0.003),
            Control("a target at 60 degrees", at("probe", angle=WIDE))),
        Claim("more-features", f"A probe on ten features that hold half of the target has the risk {ten:.4f}",
            "an extension of Eq. 10, derived here; the margin is three standard errors of the mean of 300 draws",
            risk(at("features", features=10)), near(ten, 0.012),
            Control("twenty features", at("features", features=20))),
    )  # fmt: skip


def _sources(s: TransferSettings) -> Sequence[Claim]:
    poor, rich = (at("sources", source_gamma=gamma, angle=ANGLES) for gamma in (0.5, 2.0))

    def off_formula(gamma: float) -> Measure:
        def formula(angle: float) -> float:
            return linear_transfer.finite_source_transferability(gamma, 0.5, angle, SOURCE_NOISE)

        return gap(value("transferability"), law(f"formula for a source_gamma of {gamma:g}", formula, "angle"))

    return (
        Claim("finite-source",
            "Fine-tuned from a source learnt from half a sample per dimension it wins by the formula (largest gap)",
            f"{TAHIR}, Eq. 22; the margin is claim 4's", off_formula(0.5)(poor), at_most(0.015),
            Control("a source of two samples per dimension", rich)),
        Claim("richer-source",
            "Fine-tuned from a source learnt from two samples per dimension it wins by the formula (largest gap)",
            f"{TAHIR}, Eq. 23; the margin is claim 4's", off_formula(2.0)(rich), at_most(0.015),
            Control("a source of half a sample per dimension", poor)),
    )  # fmt: skip


def _relu(s: TransferSettings) -> Sequence[Claim]:
    few, many = s.relu_samples[0], s.relu_samples[-1]
    scratch, linear, tuned = value("scratch"), value("linear"), value("tuned")
    return (
        Claim("relu-tuning",
            f"A ReLU student that knows four fifths of its teacher's neurons has, after {few} samples, at most half of "
            "the scratch student's risk (ratio)", f"{TAHIR}, Sec. 4, in direction; size and margin are ours",
            (scratch / tuned)(at("relu", samples=few, removed=0.2)), at_least(2.0),
            Control("one that knows one fifth", at("relu", samples=few, removed=0.8))),
        Claim("relu-probe-loses",
            f"With frozen features it ends, after {many} samples, at twice the scratch student's risk or more (ratio)",
            f"{TAHIR}, Sec. 4, in direction; size and margin are ours",
            (linear / scratch)(at("relu", samples=many, removed=0.2)), at_least(2.0),
            Control(f"after {few} samples", at("relu", samples=few, removed=0.2))),
    )  # fmt: skip
