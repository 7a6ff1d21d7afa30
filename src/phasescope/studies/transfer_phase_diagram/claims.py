"""The claims of the study ``transfer-phase-diagram``: an effect per seed, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.ensemble import last
from phasescope.lab.study import part
from phasescope.studies.transfer_phase_diagram.settings import TransferSettings
from phasescope.verdict import Claim, Control, Expectation
from phasescope.vocabulary import Array

TAHIR = "Tahir et al. 2024"
RIGHT, HALF, NARROW = float(np.pi / 3), float(np.pi / 4), float(np.radians(20.0))
LOW_NOISE, HIGH_NOISE = 0.2, 1.0
SIGNS_AT = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
BELOW = (0.25, 0.5, 0.75)


def claims(s: TransferSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_risks, _signs, _fine_tuning, _trained, _probes, _sources, _relu)
    return tuple(claim for group in groups for claim in group(s))


def risk(data: xr.Dataset, name: str, **at: float) -> xr.DataArray:
    """Return a risk of the diagram at the nearest places of ``at``."""
    return part(data, "diagram")[name].sel(at, method="nearest")


def gain(data: xr.Dataset, name: str, over: str = "scratch", **at: float) -> xr.DataArray:
    """Return the transferability of ``name``: the risk of ``over`` minus its own."""
    return risk(data, over, **at) - risk(data, name, **at)


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


def degrees(values: xr.DataArray) -> Array:
    """Return the angle in degrees at which ``values`` fall through zero; 180 where they never do."""
    return np.nan_to_num(np.degrees(root(values, "angle")), nan=180.0)


def beta_ratio(data: xr.Dataset, scale: float) -> Array:
    """Return (n,): the second singular value of the first layer over the first, after the source, per ``scale``."""
    weights = part(data, "source")["final.layers.0"].sel(scale=scale).transpose("seed", ...).values
    values = np.linalg.svd(weights, compute_uv=False)
    return np.asarray(values[:, 1] / values[:, 0] / scale)


def _risks(s: TransferSettings) -> Sequence[Claim]:
    d = s.dimension
    scratch = theory.scratch_risk(round(0.5 * d), d, LOW_NOISE)
    linear = theory.linear_transfer_risk(round(0.5 * d), HALF, LOW_NOISE)
    return (
        Claim(
            "scratch-risk",
            f"From half a sample per dimension the minimum-norm solution has the risk {scratch:.4f}",
            f"{TAHIR}, Eq. 8, at finite size; claim 1; margin of three standard errors",
            lambda x: risk(x, "scratch", gamma=0.5, noise=LOW_NOISE, angle=HALF).values,
            Expectation.near(scratch, 0.012),
            Control(
                "half as many samples", lambda x: risk(x, "scratch", gamma=0.25, noise=LOW_NOISE, angle=HALF).values
            ),
        ),
        Claim(
            "linear-risk",
            f"A probe on the source's feature, at 45 degrees, has the risk {linear:.4f}",
            f"{TAHIR}, Eq. 10; claim 2",
            lambda x: risk(x, "linear", gamma=0.5, noise=LOW_NOISE, angle=HALF).values,
            Expectation.near(linear, 0.005),
            Control("labels with noise 1", lambda x: risk(x, "linear", gamma=0.5, noise=HIGH_NOISE, angle=HALF).values),
        ),
    )


def _signs(s: TransferSettings) -> Sequence[Claim]:
    def changes(data: xr.Dataset, angle: float) -> Array:
        signs = [np.sign(gain(data, "linear", gamma=g, noise=LOW_NOISE, angle=angle).values) for g in SIGNS_AT]
        return np.asarray(np.sum(np.diff(np.array(signs), axis=0) != 0, axis=0), dtype=float)

    def contour(data: xr.Dataset, angle: float) -> Array:
        over = part(data, "diagram").sel(noise=LOW_NOISE).sel(angle=angle, method="nearest")
        return root(over.scratch - over.linear, "gamma")

    first = theory.negative_transfer(HALF, LOW_NOISE)[0][0]
    return (
        Claim(
            "three-signs",
            "One pair of tasks, at 45 degrees, changes the sign of linear transfer three times between 0.25 and 2 "
            "samples per dimension, so no distance between the tasks tells the sign",
            f"{TAHIR}, Fig. 2; claims 3 and 10",
            lambda x: changes(x, HALF),
            Expectation.near(3.0, 0.0),
            Control("at 20 degrees", lambda x: changes(x, NARROW)),
        ),
        Claim(
            "contour",
            f"Linear transfer at 45 degrees begins to lose at {first:.3f} samples per dimension",
            f"{TAHIR}, zero contours of Eq. 11; claim 3, with its margin for d = 100",
            lambda x: contour(x, HALF),
            Expectation.near(first, 0.05),
            Control("at 60 degrees", lambda x: contour(x, RIGHT)),
        ),
        Claim(
            "anomalous",
            "With one sample per dimension transfer wins again, where it loses on both sides: the scratch network's "
            "double descent (transferability at 45 degrees)",
            f"{TAHIR}, Fig. 2, anomalous positive transfer; claim 3",
            lambda x: gain(x, "linear", gamma=1.0, noise=LOW_NOISE, angle=HALF).values,
            Expectation.at_least(0.0),
            Control(
                "scratch with a ridge penalty, which has no double descent",
                lambda x: gain(x, "linear", "ridge", gamma=1.0, noise=LOW_NOISE, angle=HALF).values,
            ),
        ),
    )


def _fine_tuning(s: TransferSettings) -> Sequence[Claim]:
    angles = [float(np.radians(a)) for a in (20.0, 45.0, 60.0)]

    def worst(data: xr.Dataset, name: str, noise: float, law: str) -> Array:
        gaps = []
        for gamma in BELOW:
            for angle in angles:
                expected = (
                    theory.fine_tuning_transferability(gamma, angle)
                    if law == "printed"
                    else theory.balanced_fine_tuning(gamma, angle, noise)
                )
                gaps.append(np.abs(gain(data, name, gamma=gamma, noise=noise, angle=angle).values - expected))
        return np.asarray(np.max(gaps, axis=0))

    moved = float(np.degrees(theory.break_even_angle(0.5, HIGH_NOISE)))
    return (
        Claim(
            "printed-formula",
            "Keeping the source's part outside the data's span wins (1 - gamma)(2 cos - 1): the largest of nine gaps",
            f"{TAHIR}, Theorem 3.9, Eq. 15; claim 4",
            lambda x: worst(x, "printed", LOW_NOISE, "printed"),
            Expectation.at_most(0.015),
            Control("what gradient descent keeps, at noise 1", lambda x: worst(x, "balanced", HIGH_NOISE, "printed")),
        ),
        Claim(
            "break-even",
            "At noise 0.2 fine-tuning of a balanced network breaks even at 60 degrees",
            f"{TAHIR}, Eq. 15; claim 5",
            lambda x: degrees(gain(x, "balanced", gamma=0.5, noise=LOW_NOISE)),
            Expectation.near(60.0, 2.0),
            Control("at noise 1", lambda x: degrees(gain(x, "balanced", gamma=0.5, noise=HIGH_NOISE))),
        ),
        Claim(
            "break-even-moves",
            f"At noise 1 it breaks even at {moved:.1f} degrees, where cos = c / 2",
            "derived here from the balance of the layers; claim 5, with its margin",
            lambda x: degrees(gain(x, "balanced", gamma=0.5, noise=HIGH_NOISE)),
            Expectation.near(moved, 2.0),
            Control(
                "keeping the source's part as it is, as printed",
                lambda x: degrees(gain(x, "printed", gamma=0.5, noise=HIGH_NOISE)),
            ),
        ),
    )


def gap(data: xr.Dataset, who: str, law: str, gamma: float, noise: float) -> Array:
    """Return |risk of the trained networks - risk foreseen by ``law`` on their samples| (n,)."""
    at = {"gamma": gamma, "noise": noise}
    measured = settled(data, who).sel(at)
    return np.asarray(np.abs(measured.values - part(data, "foreseen")[law].sel(at).values))


def settled(data: xr.Dataset, who: str) -> xr.DataArray:
    """Return the risk at the end; of fine-tuned networks extrapolated to gradient flow, 2 R(rate / 2) - R(rate).

    Finite steps unbalance the layers by an amount proportional to the rate.
    """
    risk = last(part(data, who)["test_loss"])
    return 2 * risk.isel(lr=1) - risk.isel(lr=0) if "lr" in risk.dims else risk


def _trained(s: TransferSettings) -> Sequence[Claim]:
    def gained(data: xr.Dataset, gamma: float) -> Array:
        scratch, tuned = (settled(data, who).sel(gamma=gamma, noise=LOW_NOISE) for who in ("scratch", "tuned"))
        return np.asarray(np.abs(scratch.values - tuned.values))

    return (
        Claim(
            "scratch-is-minimum-norm",
            "A two-layer network of small first weights learns the minimum-norm solution (gap in risk)",
            f"{TAHIR}, Sec. 3; the margin is claim 6's",
            lambda x: gap(x, "scratch", "scratch", 0.5, LOW_NOISE),
            Expectation.at_most(1e-3),
            Control("a pretrained network", lambda x: gap(x, "tuned", "scratch", 0.5, LOW_NOISE)),
        ),
        Claim(
            "balanced-formula",
            "Fine-tuned by gradient descent it keeps the source's part times c, c^4 - a c^2 - b = 0 (gap in risk)",
            "derived here, a correction of Theorem 3.9; claim 6",
            lambda x: gap(x, "tuned", "balanced", 0.5, LOW_NOISE),
            Expectation.at_most(1e-3),
            Control("the printed formula, c = 1, at noise 1", lambda x: gap(x, "tuned", "printed", 0.5, HIGH_NOISE)),
        ),
        Claim(
            "printed-is-off",
            "At noise 1, 60 degrees, the printed formula misses the risk of fine-tuned networks by 0.1 on average",
            "measured before on other samples; claim 6",
            lambda x: gap(x, "tuned", "printed", 0.5, HIGH_NOISE),
            Expectation.at_least(0.1),
            Control("the corrected formula", lambda x: gap(x, "tuned", "balanced", 0.5, HIGH_NOISE)),
            statistic="mean",
        ),
        Claim(
            "one-direction",
            "After the source the first layer has one direction: its second singular value, over the first, is 1.9 "
            "times the scale of the first weights",
            f"{TAHIR}, sparsification of Sec. 3; the number is measured, and 2 for d to infinity; claim 7",
            lambda x: beta_ratio(x, s.scale),
            Expectation.near(1.9, 0.25),
            Control(f"first weights of scale {s.large_scale:g}", lambda x: beta_ratio(x, s.large_scale)),
        ),
        Claim(
            "enough-data",
            "With two samples per dimension fine-tuning and scratch end at the same place (difference of risks)",
            f"{TAHIR}, Theorem 3.9; claim 8",
            lambda x: gained(x, 2.0),
            Expectation.at_most(1e-3),
            Control("with half a sample per dimension", lambda x: gained(x, 0.5)),
        ),
    )


def _probes(s: TransferSettings) -> Sequence[Claim]:
    def off(data: xr.Dataset, angle: float) -> Array:
        measured = part(data, "probe").risk.sel(angle=angle, method="nearest")
        expected = [theory.ridge_probe_risk(HALF, p) for p in measured.penalty.values]
        return np.asarray(np.abs(measured.transpose("seed", "penalty").values - expected).max(axis=1))

    def at(data: xr.Dataset, features: int) -> Array:
        return np.asarray(part(data, "features").risk.sel(features=features).values)

    ten = theory.feature_transfer_risk(50, 10, 0.5, LOW_NOISE)
    return (
        Claim(
            "ridge-hurts",
            "With endless data a ridge penalty on the probe only hurts, by the formula (largest gap over penalties)",
            f"{TAHIR}, Eq. 13; claim 9",
            lambda x: off(x, HALF),
            Expectation.at_most(0.003),
            Control("a target at 60 degrees", lambda x: off(x, RIGHT)),
        ),
        Claim(
            "more-features",
            f"A probe on ten features that hold half of the target has the risk {ten:.4f}",
            "an extension of Eq. 10, derived here; the margin is three standard errors of the mean of 300 draws",
            lambda x: at(x, 10),
            Expectation.near(ten, 0.012),
            Control("twenty features", lambda x: at(x, 20)),
        ),
    )


def _sources(s: TransferSettings) -> Sequence[Claim]:
    from phasescope.studies.transfer_phase_diagram.settings import SOURCE_NOISE

    angles = [float(np.radians(a)) for a in (20.0, 45.0, 60.0)]

    def worst(data: xr.Dataset, measured: float, expected: float) -> Array:
        values = part(data, "sources").transferability.sel(source_gamma=measured)
        gaps = [
            np.abs(
                values.sel(angle=a, method="nearest").values
                - theory.finite_source_transferability(expected, 0.5, a, SOURCE_NOISE)
            )
            for a in angles
        ]
        return np.asarray(np.max(gaps, axis=0))

    return (
        Claim(
            "finite-source",
            "Fine-tuned from a source learnt from half a sample per dimension it wins by the formula (largest gap)",
            f"{TAHIR}, Eq. 22; the margin is claim 4's",
            lambda x: worst(x, 0.5, 0.5),
            Expectation.at_most(0.015),
            Control("a source of two samples per dimension", lambda x: worst(x, 2.0, 0.5)),
        ),
        Claim(
            "richer-source",
            "Fine-tuned from a source learnt from two samples per dimension it wins by the formula (largest gap)",
            f"{TAHIR}, Eq. 23; the margin is claim 4's",
            lambda x: worst(x, 2.0, 2.0),
            Expectation.at_most(0.015),
            Control("a source of half a sample per dimension", lambda x: worst(x, 0.5, 2.0)),
        ),
    )


def _relu(s: TransferSettings) -> Sequence[Claim]:
    few, many = s.relu_samples[0], s.relu_samples[-1]

    def ratio(data: xr.Dataset, over: str, under: str, samples: int, removed: float) -> Array:
        at = part(data, "relu").sel(samples=samples, removed=removed)
        return np.asarray((at[over] / at[under]).values)

    return (
        Claim(
            "relu-tuning",
            f"A ReLU student that knows four fifths of its teacher's neurons has, after {few} samples, at most half of "
            "the scratch student's risk (ratio)",
            f"{TAHIR}, Sec. 4, in direction; size and margin are ours",
            lambda x: ratio(x, "scratch", "tuned", few, 0.2),
            Expectation.at_least(2.0),
            Control("one that knows one fifth", lambda x: ratio(x, "scratch", "tuned", few, 0.8)),
        ),
        Claim(
            "relu-probe-loses",
            f"With frozen features it ends, after {many} samples, at twice the scratch student's risk or more (ratio)",
            f"{TAHIR}, Sec. 4, in direction; size and margin are ours",
            lambda x: ratio(x, "linear", "scratch", many, 0.2),
            Expectation.at_least(2.0),
            Control(f"after {few} samples", lambda x: ratio(x, "linear", "scratch", few, 0.2)),
        ),
    )
