"""The claims of the study ``criticality``: each an effect per seed, an expectation fixed here, and a control.

Where a claim compares a measured slope with a recurrence, both are fitted over the same layers. Claims about J and
about slopes are about means over seeds, for J is itself a mean; each seed is a mean over several networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.lab.study import part
from phasescope.studies.criticality.networks import BATCH_CASES, CASES, DEEP_CASES, ERF_WEIGHTS, PHIS
from phasescope.studies.criticality.readings import (
    against_linear,
    chi_deviation,
    length_gain,
    octaves,
    over_layers,
    predicted,
    slope,
    trained,
    window,
)
from phasescope.studies.criticality.settings import CriticalitySettings
from phasescope.theory import Block
from phasescope.verdict import Claim, Control, Expectation
from phasescope.vocabulary import Array

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
    wrong = "theory with sigma_w in reversed order"

    def agrees(name: str, what: str, at: Mapping[str, object]) -> Claim:
        return Claim(
            f"chi-{name}",
            f"chi_J measured at layer {s.chi_layer} is theory's, {what} (root mean square relative deviation)",
            f"{PAPER}, Fig. 1; {DERIVED}; claim 1.1",
            lambda d: chi_deviation(d, at),
            Expectation.at_most(0.05),
            Control(wrong, lambda d: chi_deviation(d, at, shuffled=True)),
        )

    plain = {"norm": "none", "residual": [0.0, 0.9]}
    return (
        *(agrees(phi, f"{phi} without norm, mu = 0 and 0.9", {**plain, "activation": phi}) for phi in PHIS),
        agrees("layer-norm", "LayerNorm on preactivations or activations", {"norm": ["layer pre", "layer post"]}),
        agrees("residual", "no norm, mu = 1", {"norm": "none", "residual": 1.0}),
        Claim(
            "pre-longer",
            "At sigma_w^2 = 2 without bias gradients live longer with LayerNorm on preactivations than on activations "
            "(difference of 1/xi, mean over activations)",
            f"{PAPER}, abstract of the first version; true near sigma_b = 0 only; the margin is ours",
            lambda d: length_gain(d, 0),
            Expectation.at_least(0.1),
            Control("sigma_b^2 = 2", lambda d: length_gain(d, -1)),
            unit="1/layer",
        ),
    )


# -- J over depth ------------------------------------------------------------------------------------------------------


def _relu(s: CriticalitySettings) -> Sequence[Claim]:
    depth, between = min(20, s.depth), (1, s.depth)

    def at(case: str) -> Callable[[xr.Dataset], Array]:
        return lambda d: over_layers(d, "profiles", case)[:, depth - 1]

    def rate(case: str, other: str) -> Claim:
        value = theory.fixed_chi(CASES[case])
        return Claim(
            f"{case.replace(' ', '-')}-rate",
            f"ReLU at sigma_w^2 = {CASES[case].weight_variance:g}: log J changes by log {value:g} per layer",
            f"{PAPER}, Sec. 2; {DERIVED}; claim 1.2",
            lambda d: slope(d, "profiles", case, between),
            Expectation.near(float(np.log(value)), 0.02),
            Control(_words(CASES[other]), lambda d: slope(d, "profiles", other, between)),
            statistic="mean",
            unit="1/layer",
        )

    return (
        Claim(
            "relu-critical",
            f"ReLU at sigma_w^2 = 2: J^{{1,{depth}}} is 1",
            f"{PAPER}, Sec. 2; {DERIVED}; claim 1.2",
            at("relu 2"),
            Expectation.between(0.85, 1.15),
            Control("sigma_w^2 = 1.8", at("relu 1.8")),
            statistic="mean",
        ),
        rate("relu 1.8", "relu 2.2"),
        rate("relu 2.2", "relu 1.8"),
    )


def _erf(s: CriticalitySettings) -> Sequence[Claim]:
    between, final = window(s), s.layers
    beside = "set beside the linear network of the same draws"

    def power(case: str) -> Callable[[xr.Dataset], Array]:
        return lambda d: slope(d, "deep", case, between, np.log, against_linear)

    def kernel(case: str) -> Callable[[xr.Dataset], Array]:
        return lambda d: final * against_linear(d, "deep", case, "kernel")[:, -1]

    stretched = predicted(DEEP_CASES["erf 2, mu 1"], between, np.sqrt)
    return (
        Claim(
            "erf-power",
            f"erf at sigma_w^2 = pi/4: J falls as 1/l (slope of log J over log l on layers {between[0]} to {final}, "
            f"{beside})",
            f"{PAPER}, critical exponent zeta = 1; {DERIVED}; claim 1.3",
            power("erf critical"),
            Expectation.near(-1.0, 0.12),
            Control("sigma_w^2 = 1.5", power("erf chaotic")),
            statistic="mean",
        ),
        Claim(
            "erf-kernel",
            f"erf at sigma_w^2 = pi/4: l K^l is 1/2 (at layer {final}, {beside})",
            f"{DERIVED}; claim 1.3",
            kernel("erf critical"),
            Expectation.near(0.5, 0.05),
            Control("with sigma_b^2 = 0.05", kernel("erf critical, bias")),
            statistic="mean",
        ),
        Claim(
            "stretched",
            f"erf without norm at mu = 1: log J grows as the root of depth, with the recurrence's slope "
            f"{stretched:.3g} on layers {between[0]} to {final}",
            f"{PAPER}; {DERIVED}: 1.80 asymptotically; claim 1.8; the margin is that of claim 1.4",
            lambda d: slope(d, "deep", "erf 2, mu 1", between, np.sqrt),
            Expectation.near(stretched, 0.1),
            Control(
                "LayerNorm on preactivations, where J is a power",
                lambda d: slope(d, "deep", "pre erf 2, mu 1", between, np.sqrt),
            ),
            statistic="mean",
        ),
    )


def _powers(s: CriticalitySettings) -> Sequence[Claim]:
    between = window(s)

    def power(case: str) -> Callable[[xr.Dataset], Array]:
        return lambda d: slope(d, "deep", case, between, np.log)

    def of(phi: str) -> Claim:
        expected = predicted(DEEP_CASES[f"pre {phi} 2, mu 1"], between, np.log)
        return Claim(
            f"power-{phi}",
            f"LayerNorm on preactivations and mu = 1, {phi}: J is a power of depth, {expected:.3g} by the recurrence "
            f"on layers {between[0]} to {between[1]}",
            f"{PAPER}, abstract: critical for any initialization; {DERIVED}; claim 1.4",
            power(f"pre {phi} 2, mu 1"),
            Expectation.near(expected, 0.1),
            Control("mu = 0.9", power(f"pre {phi} 2, mu 0.9")),
            statistic="mean",
        )

    weights = ("pre relu 0.5, mu 1", "pre relu 2, mu 1", "pre relu 4, mu 1")
    recursions = [predicted(DEEP_CASES[case], between, np.log) for case in weights]

    def worst(data: xr.Dataset) -> Array:
        found = [power(case)(data) - theirs for case, theirs in zip(weights, recursions, strict=True)]
        return np.asarray(np.abs(found).max(0))

    return (
        *(of(phi) for phi in PHIS),
        Claim(
            "power-everywhere",
            "The power does not depend on sigma_w: at sigma_w^2 = 0.5, 2 and 4 it is the recurrence's (worst "
            "deviation)",
            f"{PAPER}, abstract; {DERIVED}; claim 1.4",
            worst,
            Expectation.at_most(0.1),
            Control(
                "with sigma_b = sigma_w, where the power is 1/3",
                lambda d: np.abs(power("pre relu 2, mu 1, bias")(d) - recursions[1]),
            ),
            statistic="mean",
        ),
    )


def _norms(s: CriticalitySettings) -> Sequence[Claim]:
    between = (2, s.depth)

    def kernel(case: str) -> Callable[[xr.Dataset], Array]:
        block = CASES[case]
        return lambda d: over_layers(d, "profiles", case, "kernel")[:, -1] / (block.weight_variance / 2)

    def level(case: str) -> Callable[[xr.Dataset], Array]:
        # J = sigma_w^2 / (2 K^1), and K^1 is that of the first layer; a mean over layers, for it is constant
        return lambda d: over_layers(d, "profiles", case)[:, 1:].mean(1) / (CASES[case].weight_variance / 2)

    def post(name: str, case: str, other: str, words: str) -> Claim:
        value = theory.fixed_chi(CASES[case])
        return Claim(
            name,
            f"LayerNorm on activations, ReLU, {words}: J changes by a factor {value:.4g} per layer",
            f"{DERIVED}; claim 1.6",
            lambda d: np.exp(slope(d, "profiles", case, between)),
            Expectation.near(value, 0.05),
            Control(_words(CASES[other]), lambda d: np.exp(slope(d, "profiles", other, between))),
            statistic="mean",
        )

    return (
        Claim(
            "pre-kernel",
            "LayerNorm on preactivations, ReLU, sigma_w^2 = 1, no bias: the kernel is sigma_w^2 / 2 (their ratio)",
            f"{DERIVED}; claim 1.5",
            kernel("pre relu"),
            Expectation.near(1.0, 0.1),
            Control("with sigma_b^2 = 0.25", kernel("pre relu, bias")),
            statistic="mean",
        ),
        Claim(
            "pre-constant",
            "LayerNorm on preactivations, ReLU, no bias: J is sigma_w^2 / (2 K^1) at every layer (mean ratio over "
            f"layers 2 to {s.depth})",
            f"{DERIVED}; claim 1.5",
            level("pre relu"),
            Expectation.near(1.0, 0.1),
            Control("with sigma_b^2 = 0.25", level("pre relu, bias")),
            statistic="mean",
        ),
        post("post-rate", "post relu", "post relu, critical", "no bias"),
        post("post-critical", "post relu, critical", "post relu", "sigma_b^2 = 0.467 sigma_w^2"),
    )


def _batch(s: CriticalitySettings) -> Sequence[Claim]:
    final = s.batch_layers
    pair = ("batch relu 2", "batch relu 0.5, bias")

    def rate(case: str) -> Callable[[xr.Dataset], Array]:
        return lambda d: np.exp(slope(d, "batch", case, (2, final)))

    def apart(first: str, second: str) -> Callable[[xr.Dataset], Array]:
        return lambda d: np.abs(rate(first)(d) - rate(second)(d))

    def bend(case: str) -> Callable[[xr.Dataset], Array]:
        half = final // 2
        return lambda d: slope(d, "batch", case, (half, final)) / slope(d, "batch", case, (2, half))

    least = theory.fixed_chi(BATCH_CASES[pair[0]])
    return (
        Claim(
            "batch-chaotic",
            f"BatchNorm, ReLU, mu = 0: J grows by pi / (pi - 1) per layer, or 2 % more in a batch of {s.batch_samples}",
            f"{DERIVED} for infinite batches; claim 1.7 measured 1.467 to 1.50",
            rate(pair[0]),
            Expectation.between(round(least, 3), 1.5),
            Control("no norm at sigma_w^2 = 2", rate("relu 2")),
            statistic="mean",
        ),
        Claim(
            "batch-invariant",
            "With BatchNorm the rate does not depend on sigma_w and sigma_b: the same to three digits",
            f"{DERIVED}; claim 1.7",
            apart(*pair),
            Expectation.at_most(5e-4),
            Control("without norm", apart("relu 2", "relu 0.5, bias")),
        ),
        Claim(
            "batch-residual",
            "BatchNorm with mu = 1: J grows slower than exponentially (rate of the deeper half over that of the first)",
            f"{DERIVED}; claim 1.7; the margin is ours: a power of depth halves its rate where depth doubles",
            bend("batch relu, mu 1"),
            Expectation.at_most(0.5),
            Control("mu = 0", bend("batch relu 2")),
        ),
    )


def _tangent(s: CriticalitySettings) -> Sequence[Claim]:
    def ratio(data: xr.Dataset, total: str) -> Array:
        found = part(data, "tangent")
        return np.asarray(abs(found["tangent"] / found[total] - 1).isel(case=[0, 1]).max("case").values)

    return (
        Claim(
            "tangent-kernel",
            "The tangent kernel is sum_l K^l J^{l,L}, for erf on its critical point and ReLU off it (worst deviation)",
            f"{PAPER}; {DERIVED}; claim 1.10",
            lambda d: ratio(d, "total"),
            Expectation.at_most(0.08),
            Control("the sum of kernels without Jacobians", lambda d: ratio(d, "plain")),
        ),
    )


# -- other architectures, and training ---------------------------------------------------------------------------------


def _architectures(s: CriticalitySettings) -> Sequence[Claim]:
    names = {"mixer": "MLP-Mixer", "resnet layer": "ResNet with LayerNorm", "resnet batch": "ResNet with BatchNorm"}

    def of(kind: str) -> Claim:
        return Claim(
            f"everywhere-{kind.replace(' ', '-')}",
            f"{names[kind]} at mu = 1: J is a power of depth at every sigma (its growth in the last octave of depth "
            "over that in the one before, 1 for a power, 2 for an exponential)",
            f"{PAPER}, abstract; the margin is ours: half-way to exp(sqrt(l)), where it is 1.41",
            lambda d: octaves(d, kind, 1.0),
            Expectation.near(1.0, 0.2),
            Control("mu = 0", lambda d: octaves(d, kind, 0.0)),
            statistic="mean",
        )

    return tuple(of(kind) for kind in names)


def _training(s: CriticalitySettings) -> Sequence[Claim]:
    deepest, shallowest = max(s.train_depths), min(s.train_depths)

    def erf(weight: float, depth: int = deepest) -> Callable[[xr.Dataset], Array]:
        def effect(data: xr.Dataset) -> Array:
            return np.asarray(trained(data, "train_erf").sel(depth=depth, weight_variance=weight).values)

        return effect

    def lead(depth: int) -> Callable[[xr.Dataset], Array]:
        return lambda d: erf(critical, depth)(d) - erf(high, depth)(d)

    def worst(experiment: str) -> Callable[[xr.Dataset], Array]:
        return lambda d: np.asarray(trained(d, experiment).min("weight_variance").values)

    low, critical, high = ERF_WEIGHTS[0], ERF_WEIGHTS[1], ERF_WEIGHTS[-1]
    return (
        Claim(
            "trains-critical",
            f"An erf network of {deepest} layers learns at sigma_w^2 = pi/4 (test accuracy)",
            f"{PAPER}, Fig. 3; claim 1.9: 0.88 against 0.10 at sigma_w^2 = 0.4; the margin is ours",
            erf(critical),
            Expectation.at_least(0.6),
            Control(f"sigma_w^2 = {low:g}, where gradients vanish", erf(low)),
        ),
        Claim(
            "trains-not-chaotic",
            f"With {deepest} layers an erf network learns better at sigma_w^2 = pi/4 than at {high:g}, by 0.1 or more",
            f"{PAPER}, Fig. 3; claim 1.9: 0.88 against 0.34; the margin is ours",
            lead(deepest),
            Expectation.at_least(0.1),
            Control(f"{shallowest} layers", lead(shallowest)),
        ),
        Claim(
            "trains-everywhere",
            f"With LayerNorm on preactivations and mu = 1 ReLU networks of {deepest} layers learn at sigma_w^2 = 0.5 "
            "and 5 (the worst test accuracy)",
            f"{PAPER}, Fig. 3; claim 1.9: 0.97 and 0.96; the margin is ours",
            worst("train_everywhere"),
            Expectation.at_least(0.9),
            Control("without norm and residual", worst("train_relu")),
        ),
    )
