"""The claims of the study ``criticality``: a measure at a cell, an expectation fixed here, and its nearest rival.

Where a claim compares a measured slope with a recurrence, both are fitted over the same layers. J is a mean over
networks: each seed is a mean over several, and the median of seeds is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf

import numpy as np
import xarray as xr

from phasescope.lab.measures import Cell, Measure, Measured, at, at_least, at_most, between, most, near, value
from phasescope.studies.criticality.networks import BATCH_CASES, CASES, DEEP_CASES, ERF_WEIGHTS, PHIS, TRAIN_BIAS
from phasescope.studies.criticality.readings import (
    chi_deviation,
    chi_early,
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
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array, Knob

FRACTION, POSITIVE = (0.0, 1.0), (0.0, inf)  # what accuracies, and what Jacobians and their ratios, can be
EVERYWHERE = "abstract: LayerNorm on preactivations and residuals are critical for any initialization"
FIRST = "abstract of the first version, arXiv:2111.12143v1"
PILOT = "fresh networks of width 400 and 500, 3 to 10 of them"
TRAINED = "Fig. 3 (which initializations can be trained)"


def claims(s: CriticalitySettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_diagrams, _relu, _erf, _powers, _norms, _batch, _tangent, _architectures, _training)
    return tuple(claim for group in groups for claim in group(s))


def _words(block: Block) -> str:
    return f"sigma_w^2 = {block.weight_variance:g}, sigma_b^2 = {block.bias_variance:.3g}"


# -- chi over the phase diagrams ---------------------------------------------------------------------------------------


def _diagrams(s: CriticalitySettings) -> Sequence[Claim]:
    plain: dict[str, Knob | Sequence[Knob]] = {"norm": "none", "residual": [0.0, 0.9]}

    def agrees(name: str, what: str, rival: str, instead: Measured, **places: Knob | Sequence[Knob]) -> Claim:
        return Claim(f"chi-{name}",
                   f"chi_J measured at layer {s.chi_layer} is theory's, {what} (root mean square relative deviation)",
                   Source(paper="Fig. 1", derived="theory.criticality.chi_jacobian",
                       tolerance="5 %: twice what the estimate of one seed scatters by"),
                   chi_deviation(at("chi", **places), at("chi_theory", **places)), at_most(0.05),
                   Control(rival, instead), range=POSITIVE)  # fmt: skip

    def one(phi: str) -> Claim:
        places = {**plain, "activation": phi}
        measured = at("chi", **places)
        early = "theory with the kernel of the first layer, before it has settled"
        # ReLU's chi_J does not depend on the kernel: its nearest rival is the activation that looks like it
        rival, instead = (
            ("theory of GELU networks", chi_deviation(measured, at("chi_theory", **plain, activation="gelu")))
            if phi == "relu"
            else (early, chi_early(measured, at("chi_theory", **places)))
        )
        return agrees(phi, f"{phi} without norm, mu = 0 and 0.9", rival, instead, **places)

    normed = {"norm": ["layer pre", "layer post"]}
    return (
        *(one(phi) for phi in PHIS),
        agrees("layer-norm", "LayerNorm on preactivations or activations", "theory without normalization",
            chi_deviation(at("chi", norm=normed["norm"]), at("chi_theory", norm="none")), norm=normed["norm"]),
        agrees("residual", "no norm, mu = 1", "theory with the kernel of the first layer, which grows with depth",
            chi_early(at("chi", norm="none", residual=1.0), at("chi_theory", norm="none", residual=1.0)), norm="none",
            residual=1.0),
        Claim("pre-longer",
            "At sigma_w^2 = 2 without bias gradients live longer with LayerNorm on preactivations than on activations "
            "(difference of 1/xi, mean over activations)",
            Source(paper=FIRST, ours="where sigma_b^2 = 0: with much bias it is the other way round",
                tolerance="0.1 per layer, the smallest effect that matters over ten layers", checked=True),
            length_gain(at("chi", residual=0.0, bias_variance=0.0)), at_least(0.1),
            Control("sigma_b^2 = 2", at("chi", residual=0.0, bias_variance=2.0)), unit="1/layer"),
    )  # fmt: skip


# -- J over depth ------------------------------------------------------------------------------------------------------


def _relu(s: CriticalitySettings) -> Sequence[Claim]:
    depth = min(20, s.depth)

    def rate(case: str) -> Claim:
        chi = criticality.fixed_chi(CASES[case])
        return Claim(f"{case.replace(' ', '-')}-rate",
                   f"ReLU at sigma_w^2 = {CASES[case].weight_variance:g}: log J changes by log {chi:g} per layer",
                   Source(paper="Sec. 2", derived="theory.criticality.fixed_chi", value=f"log {chi:g}",
                       tolerance="a fifth of the distance to the critical point"),
                   slope((1, s.depth))(at("profiles", case=case)), near(float(np.log(chi)), 0.02),
                   Control("sigma_w^2 = 2, which is critical", at("profiles", case="relu 2")),
                   unit="1/layer")  # fmt: skip

    return (
        Claim("relu-critical", f"ReLU at sigma_w^2 = 2: J^{{1,{depth}}} is 1",
            Source(paper="Sec. 2", derived="theory.criticality.apjn", value="1 at every width",
                tolerance="15 %: two standard errors of the mean of ten networks of a pilot"),
            value("jacobian", layer=depth)(at("profiles", case="relu 2")), between(0.85, 1.15),
            Control("sigma_w^2 = 1.8", at("profiles", case="relu 1.8")), range=POSITIVE),
        rate("relu 1.8"),
        rate("relu 2.2"),
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
            f"{beside})",
            Source(derived="theory.critical_initialization.critical_exponent",
                value="-1, and -0.99 by the recurrence on these layers",
                tolerance=f"the scatter of a pilot, six networks: {PILOT}"),
            power("erf critical"), near(-1.0, 0.12),
            Control("with sigma_b^2 = 0.05, which is ordered", power("erf critical, bias"))),
        Claim("erf-kernel", f"erf at sigma_w^2 = pi/4: l K^l is 1/2 (at layer {final}, {beside})",
            Source(derived="theory.criticality.kernel_trajectory", value="1/2 at great depth",
                tolerance="10 %: finite depth"),
            kernel("erf critical"), near(0.5, 0.05),
            Control("with sigma_b^2 = 0.05", kernel("erf critical, bias")), range=POSITIVE),
        Claim("stretched",
            f"erf without norm at mu = 1: log J grows as the root of depth, with the recurrence's slope "
            f"{stretched:.3g} on layers {first} to {final}",
            Source(derived="theory.criticality.log_apjn", value=f"{stretched:.3g}; 1.80 at great depth",
                tolerance="that of the powers of depth"),
            root_slope(_deep("erf 2, mu 1")), near(stretched, 0.1),
            Control("LayerNorm on preactivations, where J is a power", _deep("pre erf 2, mu 1"))),
    )  # fmt: skip


def _powers(s: CriticalitySettings) -> Sequence[Claim]:
    first, final = window(s)
    power = slope((first, final), "log depth")
    theirs = {case: predicted(block, (first, final), "log depth") for case, block in DEEP_CASES.items()}
    tolerance = f"0.1, the scatter of a pilot, three networks: {PILOT}"

    def of(phi: str) -> Claim:
        expected = theirs[f"pre {phi} 2, mu 1"]
        return Claim(f"power-{phi}",
                   f"LayerNorm on preactivations and mu = 1, {phi}: J is a power of depth, {expected:.3g} by the "
                   f"recurrence on layers {first} to {final}",
                   Source(paper=EVERYWHERE, derived="theory.criticality.log_apjn", value=f"{expected:.3g}",
                       tolerance=tolerance,
                       checked=True),
                   power(_deep(f"pre {phi} 2, mu 1")), near(expected, 0.1),
                   Control("mu = 0.9", _deep(f"pre {phi} 2, mu 0.9")))  # fmt: skip

    @partial(Measure, words=f"deviation of the {power} from the recurrence's")
    def deviation(cell: xr.Dataset) -> Array:
        return np.asarray(abs(power.read(cell) - theirs[str(cell.case.item())]))

    biased = abs(power - theirs["pre relu 2, mu 1"])(_deep("pre relu 2, mu 1, bias"))
    return (
        *(of(phi) for phi in PHIS),
        Claim("power-everywhere",
            "The power does not depend on sigma_w: at sigma_w^2 = 0.5, 2 and 4 it is the recurrence's (worst "
            "deviation)",
            Source(paper=EVERYWHERE, derived="theory.criticality.log_apjn", tolerance=tolerance, checked=True),
            most(deviation, [_deep(f"pre relu {weight}, mu 1") for weight in ("0.5", "2", "4")]), at_most(0.1),
            Control("with sigma_b = sigma_w, where the power is 1/3", biased), range=POSITIVE),
    )  # fmt: skip


def _norms(s: CriticalitySettings) -> Sequence[Claim]:
    half = CASES["pre relu"].weight_variance / 2  # J is that over K^1, which is 1: that of the first layer
    biased = "with sigma_b^2 = 0.25"
    tolerance = "10 %: networks of finite width deviate by so much"

    def post(name: str, case: str, other: str, words: str) -> Claim:
        chi = criticality.fixed_chi(CASES[case])
        return Claim(name, f"LayerNorm on activations, ReLU, {words}: J changes by a factor {chi:.4g} per layer",
                   Source(derived="theory.criticality.fixed_chi", value=f"{chi:.4g}",
                       tolerance="a tenth of the distance between the two"),
                   factor((2, s.depth))(at("profiles", case=case)), near(chi, 0.05),
                   Control(_words(CASES[other]), at("profiles", case=other)), range=POSITIVE)  # fmt: skip

    return (
        Claim("pre-kernel",
            "LayerNorm on preactivations, ReLU, sigma_w^2 = 1, no bias: the kernel is sigma_w^2 / 2 (their ratio)",
            Source(derived="theory.criticality.kernel_trajectory", value="1", tolerance=tolerance),
            (value("kernel", layer=s.depth) / half)(at("profiles", case="pre relu")), near(1.0, 0.1),
            Control(biased, at("profiles", case="pre relu, bias")), range=POSITIVE),
        Claim("pre-constant",
            "LayerNorm on preactivations, ReLU, no bias: J is sigma_w^2 / (2 K^1) at every layer (mean ratio over "
            f"layers 2 to {s.depth} at width {s.wide})",
            Source(derived="theory.criticality.apjn", value="1", tolerance=tolerance), (level / half)(at("wide",
                case="pre relu")),
            near(1.0, 0.1), Control(biased, at("wide", case="pre relu, bias")), range=POSITIVE),
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
            Source(pilot="width 256, batches of 64, four networks: 1.490", value="pi / (pi - 1) = 1.467 for infinite "
                "batches (theory.criticality.fixed_chi)", tolerance="from that to 2 % more"),
            rate(case("batch relu 2")), between(round(infinite, 3), 1.5),
            Control("no norm at sigma_w^2 = 2", case("relu 2")), range=POSITIVE),
        Claim("batch-invariant",
            "With BatchNorm the rate does not depend on sigma_w and sigma_b: the same to three digits",
            Source(derived="theory.criticality.fixed_chi", value="the same",
                tolerance="three digits; exact but for rounding"),
            apart("batch relu 2", "batch relu 0.5, bias"), at_most(5e-4),
            Control("without norm", apart("relu 2", "relu 0.5, bias")), range=POSITIVE),
        Claim("batch-residual",
            "BatchNorm with mu = 1: J grows slower than exponentially (rate of the deeper half over that of the first)",
            Source(derived="theory.criticality.log_apjn", value="0.3 to 0.4",
                tolerance="a power of depth halves its rate, or "
                "more, where depth doubles"),
            (slope((half, final)) / slope((2, half)))(case("batch relu, mu 1")), at_most(0.5),
            Control("mu = 0", case("batch relu 2"))),
    )  # fmt: skip


def _tangent(s: CriticalitySettings) -> Sequence[Claim]:
    def apart(total: str) -> Measure:
        return abs(value("tangent") / value(total) - 1)

    return (
        Claim("tangent-kernel",
            "The tangent kernel is sum_l K^l J^{l,L}, for erf on its critical point and ReLU off it (worst deviation)",
            Source(paper=f"{FIRST}: partial Jacobians and the tangent kernel are related",
                derived="theory.correlation_map.ntk",
                tolerance="8 %: two standard deviations of networks of width 300 in a pilot", checked=True),
            most(apart("total"), [at("tangent", case=case) for case in ("erf critical", "relu 1.6, bias")]),
            at_most(0.08), Control("the sum of kernels without Jacobians", apart("plain")), range=POSITIVE),
    )  # fmt: skip


# -- other architectures, and training ---------------------------------------------------------------------------------


def _architectures(s: CriticalitySettings) -> Sequence[Claim]:
    names = {"mixer": "MLP-Mixer", "resnet layer": "ResNet with LayerNorm", "resnet batch": "ResNet with BatchNorm"}
    # the nearest mu that is not critical; in the mixer 0, for at 0.5 and 0.9 log J hardly grows where sigma_w^2 = 5
    beside = {"mixer": 0.0, "resnet layer": 0.9, "resnet batch": 0.9}
    return tuple(
        Claim(f"everywhere-{kind.replace(' ', '-')}",
            f"{name} at mu = 1: J is a power of depth at every sigma (its growth in the last octave of depth "
            "over that in the one before, 1 for a power, 2 for an exponential)",
            Source(paper="abstract: ResNets and MLP-Mixers are critical everywhere", checked=True,
                ours="a power of depth grows by the same factor in each octave",
                tolerance="0.2, half-way to exp(sqrt(l)), where the ratio is 1.41"),
            octaves(at("architectures", kind=kind, mu=1.0)), near(1.0, 0.2),
            Control(f"mu = {beside[kind]:g}", at("architectures", kind=kind, mu=beside[kind])))
        for kind, name in names.items()
    )  # fmt: skip


def _training(s: CriticalitySettings) -> Sequence[Claim]:
    deepest, shallowest = max(s.train_depths), min(s.train_depths)
    low, critical, high = ERF_WEIGHTS[0], ERF_WEIGHTS[1], ERF_WEIGHTS[-1]

    def erf(weight: float, depth: int = deepest) -> Cell:
        return at("train_erf", depth=depth, weight_variance=weight)

    def lead(depth: int) -> Measured:
        return trained(erf(critical, depth)) - trained(erf(high, depth))

    worst = trained.map(lambda accuracy: accuracy.min("weight_variance"), "the smallest over sigma_w^2 of {}")
    best = trained.map(lambda accuracy: accuracy.max("weight_variance"), "the largest over sigma_w^2 of {}")
    pilot = "handwritten digits, 40 layers of width 96, 120 steps"
    return (
        Claim("trains-critical", f"An erf network of {deepest} layers learns at sigma_w^2 = pi/4 (test accuracy)",
            Source(paper=TRAINED, pilot=f"{pilot}: 0.88 there, 0.10 at 0.4, 0.34 at 2.5", tolerance="twice what is "
                "reached beside it"),
            trained(erf(critical)), at_least(0.6),
            Control(f"the better of sigma_w^2 = {low:g} and {high:g}", most(trained, [erf(low), erf(high)])),
            range=FRACTION),
        Claim("trains-not-chaotic",
            f"With {deepest} layers an erf network learns better at sigma_w^2 = pi/4 than at {high:g}, by 0.1 or more",
            Source(paper=TRAINED, ours="one digit in ten more is the smallest effect that matters",
                value="0.88 against 0.34 in a pilot", tolerance="one digit in ten"),
            lead(deepest), at_least(0.1), Control(f"{shallowest} layers", lead(shallowest)), range=(-1.0, 1.0)),
        Claim("trains-everywhere",
            f"With LayerNorm on preactivations and mu = 1 ReLU networks of {deepest} layers learn at sigma_w^2 = 0.5, "
            f"2 and 5, with sigma_b^2 = {TRAIN_BIAS:g} (the worst test accuracy)",
            Source(paper=TRAINED, ours="nine digits in ten are learnt", value="0.96 and more in a pilot without bias",
                tolerance="one digit in ten"),
            worst(at("train_everywhere")), at_least(0.9),
            Control("LayerNorm without the residual, mu = 0 (the best)", best(at("train_normed"))), range=FRACTION),
    )  # fmt: skip
