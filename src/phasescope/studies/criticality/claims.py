"""The claims of the study ``criticality``: a measure at a cell, an expectation fixed here, and a control.

Where a claim compares a measured slope with a recurrence, both are fitted over the same layers. Claims about J and
about slopes are about means over seeds, for J is itself a mean; each seed is a mean over several networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Cell, Measure, Measured, at, at_least, at_most, between, most, near, value
from phasescope.studies.criticality.networks import BATCH_CASES, CASES, DEEP_CASES, ERF_WEIGHTS, PHIS
from phasescope.studies.criticality.readings import (
    chi_deviation,
    chi_reversed,
    factor,
    length_gain,
    level,
    octaves,
    predicted,
    slope,
    trained,
    window,
)
from phasescope.studies.criticality.settings import CriticalitySettings
from phasescope.theory import criticality
from phasescope.theory.criticality import Block
from phasescope.verdict import Claim, Control
from phasescope.vocabulary import Array, Knob

PAPER = "Doshi, He and Gromov 2023"
DERIVED = "derived here from its recurrences"


def claims(s: CriticalitySettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_diagrams, _relu, _erf, _powers, _norms, _batch, _tangent, _architectures, _training)
    return tuple(claim for group in groups for claim in group(s))


def _words(block: Block) -> str:
    return f"sigma_w^2 = {block.weight_variance:g}, sigma_b^2 = {block.bias_variance:.3g}"


# -- chi over the phase diagrams ---------------------------------------------------------------------------------------


def _diagrams(s: CriticalitySettings) -> Sequence[Claim]:
    def agrees(name: str, what: str, **places: Knob | Sequence[Knob]) -> Claim:
        return Claim(f"chi-{name}",
                   f"chi_J measured at layer {s.chi_layer} is theory's, {what} (root mean square relative deviation)",
                   f"{PAPER}, Fig. 1; {DERIVED}; claim 1.1",
                   chi_deviation(at("chi", **places), at("chi_theory", **places)), at_most(0.05),
                   Control("theory with sigma_w in reversed order", chi_reversed))  # fmt: skip

    return (
        *(
            agrees(phi, f"{phi} without norm, mu = 0 and 0.9", norm="none", residual=[0.0, 0.9], activation=phi)
            for phi in PHIS
        ),
        agrees("layer-norm", "LayerNorm on preactivations or activations", norm=["layer pre", "layer post"]),
        agrees("residual", "no norm, mu = 1", norm="none", residual=1.0),
        Claim("pre-longer",
            "At sigma_w^2 = 2 without bias gradients live longer with LayerNorm on preactivations than on activations "
            "(difference of 1/xi, mean over activations)",
            f"{PAPER}, abstract of the first version; true near sigma_b = 0 only; the margin is ours",
            length_gain(at("chi", residual=0.0, bias_variance=0.0)), at_least(0.1),
            Control("sigma_b^2 = 2", at("chi", residual=0.0, bias_variance=2.0)), unit="1/layer"),
    )  # fmt: skip


# -- J over depth ------------------------------------------------------------------------------------------------------


def _relu(s: CriticalitySettings) -> Sequence[Claim]:
    depth = min(20, s.depth)

    def rate(case: str, other: str) -> Claim:
        chi = criticality.fixed_chi(CASES[case])
        return Claim(f"{case.replace(' ', '-')}-rate",
                   f"ReLU at sigma_w^2 = {CASES[case].weight_variance:g}: log J changes by log {chi:g} per layer",
                   f"{PAPER}, Sec. 2; {DERIVED}; claim 1.2", slope((1, s.depth))(at("profiles", case=case)),
                   near(float(np.log(chi)), 0.02), Control(_words(CASES[other]), at("profiles", case=other)),
                   statistic="mean", unit="1/layer")  # fmt: skip

    return (
        Claim("relu-critical", f"ReLU at sigma_w^2 = 2: J^{{1,{depth}}} is 1",
            f"{PAPER}, Sec. 2; {DERIVED}; claim 1.2", value("jacobian", layer=depth)(at("profiles", case="relu 2")),
            between(0.85, 1.15), Control("sigma_w^2 = 1.8", at("profiles", case="relu 1.8")), statistic="mean"),
        rate("relu 1.8", "relu 2.2"),
        rate("relu 2.2", "relu 1.8"),
    )  # fmt: skip


def _deep(case: str) -> Cell:
    return at("deep", case=case)


def _erf(s: CriticalitySettings) -> Sequence[Claim]:
    first, final = window(s)
    beside = "set beside the linear network of the same draws"
    # J and K of the linear network with sigma_w = 1 are 1 in the mean at every width. Where the other network is nearly
    # linear, both share most of what one draw has by chance, and their ratio is free of that
    linear = _deep("linear")
    log_slope, root_slope = slope((first, final), "log depth"), slope((first, final), "root of depth")
    last_kernel = value("kernel", layer=final)

    def power(case: str) -> Measured:
        return log_slope(_deep(case)) - log_slope(linear)

    def kernel(case: str) -> Measured:
        return final * last_kernel(_deep(case)) / last_kernel(linear)

    stretched = predicted(DEEP_CASES["erf 2, mu 1"], (first, final), "root of depth")
    return (
        Claim("erf-power",
            f"erf at sigma_w^2 = pi/4: J falls as 1/l (slope of log J over log l on layers {first} to {final}, "
            f"{beside})", f"{PAPER}, critical exponent zeta = 1; {DERIVED}; claim 1.3", power("erf critical"),
            near(-1.0, 0.12), Control("sigma_w^2 = 1.5", power("erf chaotic")), statistic="mean"),
        Claim("erf-kernel", f"erf at sigma_w^2 = pi/4: l K^l is 1/2 (at layer {final}, {beside})",
            f"{DERIVED}; claim 1.3", kernel("erf critical"), near(0.5, 0.05),
            Control("with sigma_b^2 = 0.05", kernel("erf critical, bias")), statistic="mean"),
        Claim("stretched",
            f"erf without norm at mu = 1: log J grows as the root of depth, with the recurrence's slope "
            f"{stretched:.3g} on layers {first} to {final}",
            f"{PAPER}; {DERIVED}: 1.80 asymptotically; claim 1.8; the margin is that of claim 1.4",
            root_slope(_deep("erf 2, mu 1")), near(stretched, 0.1),
            Control("LayerNorm on preactivations, where J is a power", _deep("pre erf 2, mu 1")), statistic="mean"),
    )  # fmt: skip


def _powers(s: CriticalitySettings) -> Sequence[Claim]:
    first, final = window(s)
    power = slope((first, final), "log depth")
    theirs = {case: predicted(block, (first, final), "log depth") for case, block in DEEP_CASES.items()}

    def of(phi: str) -> Claim:
        expected = theirs[f"pre {phi} 2, mu 1"]
        return Claim(f"power-{phi}",
                   f"LayerNorm on preactivations and mu = 1, {phi}: J is a power of depth, {expected:.3g} by the "
                   f"recurrence on layers {first} to {final}",
                   f"{PAPER}, abstract: critical for any initialization; {DERIVED}; claim 1.4",
                   power(_deep(f"pre {phi} 2, mu 1")), near(expected, 0.1),
                   Control("mu = 0.9", _deep(f"pre {phi} 2, mu 0.9")), statistic="mean")  # fmt: skip

    @partial(Measure, words=f"deviation of the {power} from the recurrence's")
    def deviation(cell: xr.Dataset) -> Array:
        return np.asarray(abs(power.read(cell) - theirs[str(cell.case.item())]))

    biased = abs(power - theirs["pre relu 2, mu 1"])(_deep("pre relu 2, mu 1, bias"))
    return (
        *(of(phi) for phi in PHIS),
        Claim("power-everywhere",
            "The power does not depend on sigma_w: at sigma_w^2 = 0.5, 2 and 4 it is the recurrence's (worst "
            "deviation)", f"{PAPER}, abstract; {DERIVED}; claim 1.4",
            most(deviation, [_deep(f"pre relu {weight}, mu 1") for weight in ("0.5", "2", "4")]), at_most(0.1),
            Control("with sigma_b = sigma_w, where the power is 1/3", biased), statistic="mean"),
    )  # fmt: skip


def _norms(s: CriticalitySettings) -> Sequence[Claim]:
    half = CASES["pre relu"].weight_variance / 2  # J is that over K^1, which is 1: that of the first layer
    biased = Control("with sigma_b^2 = 0.25", at("profiles", case="pre relu, bias"))

    def post(name: str, case: str, other: str, words: str) -> Claim:
        chi = criticality.fixed_chi(CASES[case])
        return Claim(name, f"LayerNorm on activations, ReLU, {words}: J changes by a factor {chi:.4g} per layer",
                   f"{DERIVED}; claim 1.6", factor((2, s.depth))(at("profiles", case=case)), near(chi, 0.05),
                   Control(_words(CASES[other]), at("profiles", case=other)), statistic="mean")  # fmt: skip

    return (
        Claim("pre-kernel",
            "LayerNorm on preactivations, ReLU, sigma_w^2 = 1, no bias: the kernel is sigma_w^2 / 2 (their ratio)",
            f"{DERIVED}; claim 1.5", (value("kernel", layer=s.depth) / half)(at("profiles", case="pre relu")),
            near(1.0, 0.1), biased, statistic="mean"),
        Claim("pre-constant",
            "LayerNorm on preactivations, ReLU, no bias: J is sigma_w^2 / (2 K^1) at every layer (mean ratio over "
            f"layers 2 to {s.depth})", f"{DERIVED}; claim 1.5", (level / half)(at("profiles", case="pre relu")),
            near(1.0, 0.1), biased, statistic="mean"),
        post("post-rate", "post relu", "post relu, critical", "no bias"),
        post("post-critical", "post relu, critical", "post relu", "sigma_b^2 = 0.467 sigma_w^2"),
    )  # fmt: skip


def _batch(s: CriticalitySettings) -> Sequence[Claim]:
    half, final = s.batch_layers // 2, s.batch_layers
    rate = factor((2, final))

    def case(name: str) -> Cell:
        return at("batch", case=name)

    def apart(first: str, second: str) -> Measured:
        return abs(rate(case(first)) - rate(case(second)))

    infinite = criticality.fixed_chi(BATCH_CASES["batch relu 2"])
    return (
        Claim("batch-chaotic",
            f"BatchNorm, ReLU, mu = 0: J grows by pi / (pi - 1) per layer, or 2 % more in a batch of {s.batch_samples}",
            f"{DERIVED} for infinite batches; claim 1.7 measured 1.467 to 1.50", rate(case("batch relu 2")),
            between(round(infinite, 3), 1.5), Control("no norm at sigma_w^2 = 2", case("relu 2")), statistic="mean"),
        Claim("batch-invariant",
            "With BatchNorm the rate does not depend on sigma_w and sigma_b: the same to three digits",
            f"{DERIVED}; claim 1.7", apart("batch relu 2", "batch relu 0.5, bias"), at_most(5e-4),
            Control("without norm", apart("relu 2", "relu 0.5, bias"))),
        Claim("batch-residual",
            "BatchNorm with mu = 1: J grows slower than exponentially (rate of the deeper half over that of the first)",
            f"{DERIVED}; claim 1.7; the margin is ours: a power of depth halves its rate where depth doubles",
            (slope((half, final)) / slope((2, half)))(case("batch relu, mu 1")), at_most(0.5),
            Control("mu = 0", case("batch relu 2"))),
    )  # fmt: skip


def _tangent(s: CriticalitySettings) -> Sequence[Claim]:
    def apart(total: str) -> Measure:
        return abs(value("tangent") / value(total) - 1)

    return (
        Claim("tangent-kernel",
            "The tangent kernel is sum_l K^l J^{l,L}, for erf on its critical point and ReLU off it (worst deviation)",
            f"{PAPER}; {DERIVED}; claim 1.10",
            most(apart("total"), [at("tangent", case=case) for case in ("erf critical", "relu 1.6, bias")]),
            at_most(0.08), Control("the sum of kernels without Jacobians", apart("plain"))),
    )  # fmt: skip


# -- other architectures, and training ---------------------------------------------------------------------------------


def _architectures(s: CriticalitySettings) -> Sequence[Claim]:
    names = {"mixer": "MLP-Mixer", "resnet layer": "ResNet with LayerNorm", "resnet batch": "ResNet with BatchNorm"}
    return tuple(
        Claim(f"everywhere-{kind.replace(' ', '-')}",
            f"{name} at mu = 1: J is a power of depth at every sigma (its growth in the last octave of depth "
            "over that in the one before, 1 for a power, 2 for an exponential)",
            f"{PAPER}, abstract; the margin is ours: half-way to exp(sqrt(l)), where it is 1.41",
            octaves(at("architectures", kind=kind, mu=1.0)), near(1.0, 0.2),
            Control("mu = 0", at("architectures", kind=kind, mu=0.0)), statistic="mean")
        for kind, name in names.items()
    )  # fmt: skip


def _training(s: CriticalitySettings) -> Sequence[Claim]:
    deepest, shallowest = max(s.train_depths), min(s.train_depths)
    low, critical, high = ERF_WEIGHTS[0], ERF_WEIGHTS[1], ERF_WEIGHTS[-1]

    def erf(weight: float, depth: int = deepest) -> Cell:
        return at("train_erf", depth=depth, weight_variance=weight)

    def lead(depth: int) -> Measured:
        return trained(erf(critical, depth)) - trained(erf(high, depth))

    worst = trained.map(lambda accuracy: accuracy.min("weight_variance"), "the smallest over weight_variance of {}")
    return (
        Claim("trains-critical", f"An erf network of {deepest} layers learns at sigma_w^2 = pi/4 (test accuracy)",
            f"{PAPER}, Fig. 3; claim 1.9: 0.88 against 0.10 at sigma_w^2 = 0.4; the margin is ours",
            trained(erf(critical)), at_least(0.6), Control(f"sigma_w^2 = {low:g}, where gradients vanish", erf(low))),
        Claim("trains-not-chaotic",
            f"With {deepest} layers an erf network learns better at sigma_w^2 = pi/4 than at {high:g}, by 0.1 or more",
            f"{PAPER}, Fig. 3; claim 1.9: 0.88 against 0.34; the margin is ours", lead(deepest), at_least(0.1),
            Control(f"{shallowest} layers", lead(shallowest))),
        Claim("trains-everywhere",
            f"With LayerNorm on preactivations and mu = 1 ReLU networks of {deepest} layers learn at sigma_w^2 = 0.5 "
            "and 5 (the worst test accuracy)", f"{PAPER}, Fig. 3; claim 1.9: 0.97 and 0.96; the margin is ours",
            worst(at("train_everywhere")), at_least(0.9), Control("without norm and residual", at("train_relu"))),
    )  # fmt: skip
