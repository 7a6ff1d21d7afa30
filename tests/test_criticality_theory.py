"""Signal propagation: moments against other integrations, every printed critical point, and laws of the algebra."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr

from phasescope.theory import activations, autoinit, correlation_map, criticality
from phasescope.theory.activations import activation
from phasescope.theory.autoinit import (
    autoinit_step,
    batchnorm_scale_ratio,
    contraction,
    iterations,
    largest_rate,
    largest_square_rate,
    relu_gain,
    target_scale,
)
from phasescope.theory.critical_initialization import (
    critical_bias,
    critical_exponent,
    critical_points,
    critical_weights,
    stretched_length,
)
from phasescope.theory.criticality import NORMS, Block
from phasescope.theory.finite_width import kernel_variance, singular_value_spread
from phasescope.theory.gaussian_moments import gaussian_mean, gaussian_pair_mean
from phasescope.vocabulary import BadInput

PI = math.pi
NAMES = sorted(activations.ACTIVATIONS)
NUMERIC = ("tanh", "gelu", "silu")
RELU_BY_HAND = activations.custom_activation("hand", lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0), kinks=[0])
HARD_TANH = activations.custom_activation(
    "clip", lambda x: np.clip(x, -1, 1), lambda x: 1.0 * (abs(x) < 1), kinks=[-1, 1]
)

SHIFTED = activations.custom_activation("shifted", lambda x: x + 5, np.ones_like)


def normal(f: Callable[[float], float], kinks: tuple[float, ...] = ()) -> float:
    """E f(z) by adaptive integration between kinks: scipy's, not ours."""
    cuts = sorted({-14.0, -4.0, -1.0, -0.1, 0.0, 0.1, 1.0, 4.0, 14.0, *(k for k in kinks if abs(k) < 14)})
    density = [lambda z: f(z) * math.exp(-z * z / 2) / math.sqrt(2 * PI)]
    return math.fsum(quad(density[0], a, b, epsabs=1e-14, epsrel=1e-13, limit=200)[0] for a, b in pairwise(cuts))


def normal_of(f: Callable[[float, float, float], float], phi: Any, s: float) -> float:
    """E f(x, phi(x), phi'(x)) over x = s z."""

    def one(z: float) -> float:
        x = np.array([s * z])
        return f(s * z, float(phi.value(x)[0]), float(phi.slope(x)[0]))

    return normal(one)


# -- moments --------------------------------------------------------------------------------------------------------------


def law_moments_are_integrals(moments: Callable[[Any, float], Any]) -> None:
    """A, B, m and dA/dK to 1e-10 against adaptive integration, within the error that they claim."""
    for name in NAMES:
        phi = activation(name)
        for kernel in (0.3, 1.0, 17.0):
            s = math.sqrt(kernel)
            expected = (
                normal_of(lambda x, f, g: f * f, phi, s),
                normal_of(lambda x, f, g: g * g, phi, s),
                normal_of(lambda x, f, g: f, phi, s),
                normal_of(lambda x, f, g: f * g * x, phi, s) / kernel,
            )
            found = moments(phi, kernel)
            got = (found.mean_square, found.slope_square, found.mean, found.growth)
            worst = max(abs(a - b) for a, b in zip(got, expected, strict=False))
            assert worst < 1e-10, (name, kernel, got, expected)
            assert worst < found.error + 1e-13 * max(1, kernel)


def test_moments() -> None:
    law_moments_are_integrals(lambda phi, kernel: phi.moments(kernel))


@pytest.mark.parametrize("kernel", [1e-6, 0.2, 1.0, 30.0])
def test_kinks_are_split(kernel: float) -> None:
    """ReLU as a user's own function meets the closed form; the clip meets Gaussian integrals done by parts."""
    own, exact = RELU_BY_HAND.moments(kernel), activation("relu").moments(kernel)
    for name in ("mean_square", "slope_square", "mean", "growth"):
        assert abs(getattr(own, name) - getattr(exact, name)) < 1e-12 * max(1, kernel)
    x = 1 / math.sqrt(kernel)
    inside = math.erf(x / math.sqrt(2))
    density = math.exp(-x * x / 2) / math.sqrt(2 * PI)
    clip = HARD_TANH.moments(kernel)
    assert clip.slope_square == pytest.approx(inside, abs=1e-12)
    assert clip.mean_square == pytest.approx(kernel * (inside - 2 * x * density) + 1 - inside, abs=1e-12)
    assert clip.error < 1e-12


def test_an_undeclared_kink_is_admitted() -> None:
    """Without its kinks the clip is integrated worse, and the error says so."""
    value, slope = (lambda x: np.clip(x, -0.73, 0.73)), (lambda x: 1.0 * (abs(x) < 0.73))
    blunt, sharp = (
        activations.custom_activation("clip", value, slope, kinks).moments(2.0) for kinks in ((), (-0.73, 0.73))
    )
    off = abs(blunt.slope_square - sharp.slope_square)
    assert 1e-9 < off < 30 * blunt.error
    assert sharp.error < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_extreme_kernels(name: str) -> None:
    """At K = 0 the one-sided limits, and no overflow at K = 1e24."""
    phi = activation(name)
    slopes = phi.slope(np.array([-1e-9, 1e-9]))
    assert phi.moments(0.0).slope_square == pytest.approx(float((slopes**2).mean()), rel=1e-8)
    assert phi.moments(0.0).growth == pytest.approx(phi.moments(0.0).slope_square, rel=1e-12)  # phi(0) = 0 in all
    assert np.isfinite(phi.moments(1e24).slope_square)
    assert phi.moments(1e8).growth <= phi.moments(1e8).slope_square + 1e-3


def grid_pair(f: Callable[[Any], Any], k1: float, k2: float, c: float) -> float:
    """E f(u) f(v) by the plain rectangle rule in two dimensions, exact to rounding for analytic functions."""
    z = np.arange(-9, 9.0001, 0.04)
    w = np.exp(-(z**2) / 2) / math.sqrt(2 * PI) * 0.04
    inner = f(math.sqrt(k2) * (c * z[:, None] + math.sqrt(1 - c * c) * z)) @ w
    return float((f(math.sqrt(k1) * z) * inner) @ w)


@pytest.mark.parametrize("c", [-0.6, 0.0, 0.35, 0.95])
@pytest.mark.parametrize("name", ["erf", "linear", *NUMERIC])
def test_pairs(name: str, c: float) -> None:
    """Two Gaussians, closed forms and integration alike, against the rectangle rule."""
    phi = activation(name)
    for k1, k2 in ((1.0, 1.0), (0.5, 2.0)):
        assert phi.pair(k1, k2, c) == pytest.approx(grid_pair(phi.value, k1, k2, c), abs=1e-10)
        assert phi.slope_pair(k1, k2, c) == pytest.approx(grid_pair(phi.slope, k1, k2, c), abs=1e-10)


@pytest.mark.parametrize("c", [-1.0, -0.7, 0.0, 0.5, 0.999, 1 - 1e-9, 1.0])
def test_pairs_with_kinks(c: float) -> None:
    """A user's ReLU by moving panels meets the arc-cosine kernel, also where its inner panels are short."""
    exact = activation("relu")
    for k1, k2 in ((1.0, 1.0), (0.3, 5.0)):
        assert RELU_BY_HAND.pair(k1, k2, c) == pytest.approx(exact.pair(k1, k2, c), abs=1e-10)
        assert RELU_BY_HAND.slope_pair(k1, k2, c) == pytest.approx(exact.slope_pair(k1, k2, c), abs=1e-8)


def test_the_clip_of_two() -> None:
    """The inner average of a clipped Gaussian has a closed form; the outer one is scipy's."""

    def clipped(a: float, s: float) -> float:
        lo, hi = (-1 - a) / s, (1 - a) / s
        pdf = [math.exp(-t * t / 2) / math.sqrt(2 * PI) for t in (lo, hi)]
        return float(ndtr(-hi) - ndtr(lo) + a * (ndtr(hi) - ndtr(lo)) - s * (pdf[1] - pdf[0]))

    k, c = 2.5, 0.8
    r, s = math.sqrt(k), math.sqrt(k * (1 - c * c))
    expected = normal(lambda z: float(np.clip(r * z, -1, 1)) * clipped(c * r * z, s), (-1 / r, 1 / r))
    assert HARD_TANH.pair(k, k, c) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    "phi", [RELU_BY_HAND, activation("tanh"), activation("erf"), SHIFTED], ids=lambda phi: phi.name
)
def test_pairs_with_nothing(phi: activations.Activation) -> None:
    """An input of kernel 0 gives phi(0) to every neuron: the pair is phi(0) m, and finite."""
    origin = float(phi.value(np.zeros(1))[0])
    assert phi.pair(0.0, 2.0, 0.5) == pytest.approx(origin * phi.moments(2.0).mean, abs=1e-10)
    assert phi.pair(2.0, 0.0, 0.5) == pytest.approx(origin * phi.moments(2.0).mean, abs=1e-10)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(NAMES), st.floats(0.01, 20))
def test_pairs_join_the_moments(name: str, kernel: float) -> None:
    """At c = 1 the pair is A, at c = 0 it is m^2, and its slope at c = 1 is B."""
    phi, m = activation(name), activation(name).moments(kernel)
    assert phi.pair(kernel, kernel, 1.0) == pytest.approx(m.mean_square, rel=1e-10)
    assert phi.slope_pair(kernel, kernel, 1.0) == pytest.approx(m.slope_square, rel=1e-10)
    assert phi.pair(kernel, kernel, 0.0) == pytest.approx(m.mean**2, abs=1e-10 * max(1, kernel))


# -- recurrences ----------------------------------------------------------------------------------------------------------

GOOD = st.builds(
    Block,
    st.sampled_from(NAMES),
    st.floats(0.1, 3),
    st.floats(0, 1),
    st.sampled_from(NORMS),
    st.floats(0, 0.95),
)


def law_chi_is_the_slope(chi: Callable[[Block, float], float]) -> None:
    """chi_J is dC'/dC at c = 1, for every norm and activation; and chi(c) is dC'/dC by differences at c = 0.4."""
    for norm in NORMS:
        for name in NAMES:
            block, k = Block(name, 1.3, 0.2, norm, 0.6), 1.7
            assert correlation_map.chi_pair(block, k, k, k) == pytest.approx(chi(block, k), rel=1e-9), (norm, name)
            h = 1e-4 * k
            up, down = (correlation_map.covariance_step(block, k, 1.2 * k, 0.4 * k + d)[2] for d in (h, -h))
            assert correlation_map.chi_pair(block, k, 1.2 * k, 0.4 * k) == pytest.approx(
                (up - down) / (2 * h), rel=1e-6
            )


def test_chi_is_the_slope_of_the_covariance() -> None:
    law_chi_is_the_slope(criticality.chi_jacobian)


@settings(max_examples=60, deadline=None)
@given(GOOD)
def test_fixed_kernels_are_fixed(block: Block) -> None:
    """The limit maps to itself, a long trajectory agrees with it, and it attracts."""
    found = criticality.fixed_kernel(block, 0.7)
    if not 0 < found < np.inf:
        return
    assert criticality.kernel_step(block, found) == pytest.approx(found, rel=1e-9)
    assert criticality.chi_kernel(block, found) <= 1 + 1e-6
    if criticality.kernel_length(block, 0.7) < 40:
        assert criticality.kernel_trajectory(block, 0.7, 900)[-1] == pytest.approx(found, rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(GOOD)
def test_chi_kernel_is_the_derivative(block: Block) -> None:
    k, h = 1.1, 1e-4
    difference = (criticality.kernel_step(block, k + h) - criticality.kernel_step(block, k - h)) / (2 * h)
    assert criticality.chi_kernel(block, k) == pytest.approx(difference, rel=1e-6, abs=1e-9)


def law_residual(fixed_chi: Callable[[Block], float]) -> None:
    """With a norm on preactivations 1 - chi*(mu) = (1 - mu^2)(1 - chi*(0)), BatchNorm included."""
    for norm in ("layer pre", "rms pre", "batch"):
        for name in NAMES:
            for mu in (0.3, 0.9, 0.99):
                bare, block = Block(name, 1.4, 0.3, norm), Block(name, 1.4, 0.3, norm, mu)
                assert 1 - fixed_chi(block) == pytest.approx((1 - mu**2) * (1 - fixed_chi(bare)), abs=1e-9)


def test_residuals_lengthen() -> None:
    law_residual(criticality.fixed_chi)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(NAMES), st.floats(0.1, 10), st.floats(0, 2), st.floats(0.1, 10), st.floats(0, 0.9))
def test_scale_invariance(name: str, sw: float, sb: float, scale: float, mu: float) -> None:
    """Norms on preactivations see sb^2/sw^2 alone, BatchNorm not even that; ReLU without norm sees no kernel."""
    for norm in ("layer pre", "rms pre"):
        one, other = Block(name, sw, sb, norm, mu), Block(name, scale * sw, scale * sb, norm, mu)
        assert criticality.fixed_chi(one) == pytest.approx(criticality.fixed_chi(other), rel=1e-10)
    batch = criticality.fixed_chi(Block(name, sw, sb, "batch", mu))
    assert batch == pytest.approx(criticality.fixed_chi(Block(name, scale, 0.0, "batch", mu)), rel=1e-10)
    assert criticality.chi_jacobian(Block("relu", sw), scale) == pytest.approx(sw / 2, rel=1e-12)


def test_orthogonal_weights_share_the_recurrences() -> None:
    a, b = (Block("gelu", 1.7, 0.1, "none", 0.2, w) for w in ("gaussian", "orthogonal"))
    assert np.array_equal(criticality.apjn(a, 1.0, 10), criticality.apjn(b, 1.0, 10))


TRAJECTORIES = [  # facts 1.5: J^{0,l} at l = 5, 10, 20, 40 from K = 1, as printed
    (Block("relu", 2.0), "1 1 1 1"),
    (Block("relu", 1.8), ".590 .349 .122 .0148"),
    (Block("relu", 2.2), "1.61 2.59 6.73 45.3"),
    (Block("erf", PI / 4), ".135 .0713 .0365 .0184"),
    (Block("erf", 1.5), "1.01 1.62 4.29 30.3"),
    (Block("relu", 1.0, norm="layer pre"), ".5 .5 .5 .5"),
    (Block("erf", 2.0, norm="layer pre"), "2.57 7.11 54.4 3187"),
    (Block("relu", 2.0, 0.5, "layer pre"), ".1975 .0260 .0005"),
    (Block("relu", 2.0, 0.0, "layer post"), "13.6 92.3 4259 9.07e6"),
    (Block("relu", 2.0, 0.93388, "layer post"), "2.934 2.934 2.934 2.934"),
    (Block("erf", 0.14923, residual=0.9), ".602 .403 .224 .1096"),
    (Block("erf", 2.0, residual=1.0), "16.3 85.9 923 26526"),
]


def digits(text: str) -> float:
    """Half a unit in the last printed place."""
    mantissa, _, power = text.partition("e")
    return 0.501 * 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))


@pytest.mark.parametrize(("block", "printed"), TRAJECTORIES)
def test_printed_jacobians(block: Block, printed: str) -> None:
    jacobians = criticality.apjn(block, 1.0, 40)
    for depth, text in zip((5, 10, 20, 40), printed.split(), strict=False):
        assert abs(jacobians[depth] - float(text)) <= digits(text)


# -- critical points ------------------------------------------------------------------------------------------------------


def law_critical_weights(weights: Callable[..., tuple[float, float]]) -> None:
    """Weights on the critical line keep the kernel and give chi_J = 1."""
    for norm, name, kernel in (
        ("none", "erf", 0.7),
        ("none", "gelu", 2.0),
        ("layer pre", "erf", 1.0),
        ("layer post", "relu", 3.0),
        ("rms post", "tanh", 2.0),
    ):
        for mu in (0.0, 0.8):
            sw, sb = weights(name, kernel, norm, mu)
            block = Block(name, sw, sb, norm, mu)
            assert criticality.kernel_step(block, kernel) == pytest.approx(kernel, rel=1e-10)
            assert criticality.chi_jacobian(block, kernel) == pytest.approx(1, abs=1e-10)


def test_critical_weights() -> None:
    law_critical_weights(critical_weights)


LINES = [  # facts 1.3: kernel, sigma_w^2, sigma_b^2 as printed
    ("erf", 0.5, "1.36035", "0.04655"),
    ("erf", 1.0, "1.75620", "0.18414"),
    ("erf", 2.0, "2.35619", "0.60906"),
    ("gelu", 1.0, "2.1937", "0.06719"),
    ("gelu", 2.0, "2.04285", "0.11632"),
    ("gelu", 3.0, "1.99606", "0.15438"),
    ("erf", 0.0, "0.785398", "0.0"),
]


@pytest.mark.parametrize(("name", "kernel", "sw", "sb"), LINES)
def test_printed_lines(name: str, kernel: float, sw: str, sb: str) -> None:
    found = critical_weights(name, kernel)
    assert abs(found[0] - float(sw)) <= digits(sw)
    assert abs(found[1] - float(sb)) <= digits(sb)


BIASES = [  # facts 1.3: sigma_b^2 at sigma_w^2, as printed
    ("relu", 1.7, "layer pre", "0.0"),
    ("erf", 1.0, "layer pre", "0.104851"),
    ("gelu", 1.0, "layer pre", "0.030629"),
    ("tanh", 1.0, "layer pre", "0.070108"),  # this and the next derived here, as docs/theory/criticality.md prints them
    ("silu", 1.0, "layer pre", "0.023707"),
    ("relu", 1.0, "layer post", "0.466942"),
    ("erf", 1.0, "layer post", "0.29217"),
    ("erf", 2.0, "layer post", "1.34362"),
    ("gelu", 2.0, "layer post", "0.80713"),
    ("relu", 2.0, "none", "0.0"),
    ("erf", PI / 4, "none", "0.0"),
    ("erf", 1.7562036827601817, "none", "0.18414"),
]


@pytest.mark.parametrize(("name", "sw", "norm", "printed"), BIASES)
def test_printed_biases(name: str, sw: float, norm: Any, printed: str) -> None:
    found = critical_bias(name, sw, norm)
    assert abs(found - float(printed)) <= digits(printed)
    assert criticality.fixed_chi(Block(name, sw, found, norm)) == pytest.approx(1, abs=1e-6)
    if norm == "layer pre":
        assert critical_bias(name, sw, norm, 0.9) == pytest.approx(found, abs=1e-12)


def test_gelu_is_half_stable() -> None:
    """sigma_w^2 = 1.98305826, sigma_b^2 = 0.17292239, K* = (3 + sqrt 17)/2 (facts 1.3); kernels below it leave."""
    at_zero, point = critical_points("gelu")
    assert f"{point.weight_variance:.8f} {point.bias_variance:.8f}" == "1.98305826 0.17292239"
    assert point.kernel == pytest.approx((3 + math.sqrt(17)) / 2, rel=1e-9)
    assert (at_zero.kernel, at_zero.weight_variance, at_zero.kind) == (0.0, pytest.approx(4, rel=1e-12), "repelling")
    assert point.kind == "attracts from above"
    block = Block("gelu", point.weight_variance, point.bias_variance)
    assert criticality.chi_kernel(block, point.kernel) == pytest.approx(1, abs=1e-9)
    below, above = (criticality.kernel_step(block, f * point.kernel) / (f * point.kernel) for f in (0.9, 1.1))
    assert below < 1 and above < 1


def test_close_pairs_of_fixed_kernels() -> None:
    """Beside the half-stable point kernels are fixed in pairs; a start above meets the upper one, a start between too."""
    point = critical_points("gelu")[-1]
    touching = Block("gelu", point.weight_variance, point.bias_variance)
    assert criticality.fixed_kernel(touching, 10.0) == pytest.approx(point.kernel, rel=1e-6)
    pair = Block("gelu", point.weight_variance, point.bias_variance + 4e-6)
    upper = criticality.fixed_kernel(pair, 10.0)
    assert point.kernel < upper < 1.19 * point.kernel
    assert criticality.fixed_kernel(pair, point.kernel) == pytest.approx(upper, rel=1e-9)
    assert criticality.chi_kernel(pair, upper) < 1
    lower = criticality.fixed_kernel(pair, 0.8 * point.kernel)
    assert criticality.kernel_step(pair, lower) == pytest.approx(lower, rel=1e-12)
    assert criticality.chi_kernel(pair, lower) < 1 and lower < 0.9 * point.kernel  # a third one, stable


def test_silu_is_half_stable() -> None:
    """Derived here, as docs/theory/criticality.md prints it; beyond the kernel of GELU, and of the other kind."""
    point = critical_points("silu")[-1]
    numbers = (point.weight_variance, point.bias_variance, point.kernel)
    assert " ".join(f"{x:.8f}" for x in numbers) == "1.98800468 0.55514317 14.32017362"
    block = Block("silu", *numbers[:2])
    assert criticality.kernel_step(block, point.kernel) == pytest.approx(point.kernel, rel=1e-12)
    assert criticality.chi_jacobian(block, point.kernel) == pytest.approx(1, abs=1e-12)
    assert criticality.chi_kernel(block, point.kernel) == pytest.approx(1, abs=1e-9)
    assert point.kind == "attracts from below"
    assert criticality.kernel_step(block, 0.999 * point.kernel) > 0.999 * point.kernel


@pytest.mark.parametrize(
    ("name", "mu", "sw", "kind"),
    [
        ("relu", 0.0, 2.0, "every kernel"),
        ("relu", 0.7, 2 * 0.51, "every kernel"),
        ("linear", 0.0, 1.0, "every kernel"),
        ("erf", 0.0, PI / 4, "attracting"),
        ("erf", 0.9, PI / 4 * 0.19, "attracting"),
        ("tanh", 0.0, 1.0, "attracting"),
    ],
)
def test_critical_points(name: str, mu: float, sw: float, kind: str) -> None:
    (point,) = critical_points(name, mu)
    assert point.kind == kind
    assert point.weight_variance == pytest.approx(sw, rel=1e-10)
    assert point.bias_variance == 0


def test_batchnorm_is_never_critical() -> None:
    """Facts 1.3: ReLU pi/(pi - 1) = 1.466942, erf 1.2257, linear 1; with mu < 1 mu^2 + (1 - mu^2) B/V."""
    for sw, sb in ((2.0, 0.0), (0.5, 1.0)):
        assert criticality.fixed_chi(Block("relu", sw, sb, "batch")) == pytest.approx(PI / (PI - 1), rel=1e-12)
        assert f"{criticality.fixed_chi(Block('erf', sw, sb, 'batch')):.4f}" == "1.2257"
        assert criticality.fixed_chi(Block("linear", sw, sb, "batch")) == pytest.approx(1, rel=1e-12)
    assert criticality.fixed_chi(Block("relu", 1.0, norm="batch", residual=0.5)) == pytest.approx(
        0.25 + 0.75 * PI / (PI - 1), rel=1e-12
    )
    with pytest.raises(BadInput, match="no weights make it critical"):
        critical_weights("relu", 1.0, "batch")


def test_phases() -> None:
    """At mu = 1 with a norm on preactivations every network is critical; ReLU without norm only at mu < 1."""
    for sw, sb in ((0.2, 0.0), (5.0, 2.0)):
        assert criticality.phase(Block("erf", sw, sb, "layer pre", 1.0)) == "critical"
    assert criticality.fixed_chi(Block("relu", 0.4, residual=1.0)) == pytest.approx(1.2, rel=1e-12)
    found = [criticality.phase(Block("relu", sw)) for sw in (1.9, 2.0, 2.1)]
    assert found == ["ordered", "critical", "chaotic"]


def test_printed_correlation_lengths() -> None:
    """Facts 1.3: sigma_w^2 = 2, norm on preactivations against norm on activations, at sigma_b^2 = 0 and 0.1."""
    printed = {
        (0.0, "layer pre"): "inf 4.91 14.4",
        (0.0, "layer post"): "2.61 2.75 3.11",
        (0.1, "layer pre"): "10.5 9.9 24.0",
        (0.1, "layer post"): "3.0 3.05 3.6",
    }
    for (sb, norm), text in printed.items():
        for name, number in zip(("relu", "erf", "gelu"), text.split(), strict=False):
            found = criticality.correlation_length(Block(name, 2.0, sb, norm))
            assert np.isinf(found) if number == "inf" else abs(found - float(number)) <= digits(number)


@pytest.mark.parametrize(("name", "share"), [("relu", 0.21), ("erf", 0.42), ("gelu", 0.22)])
def test_preactivations_do_not_always_win(name: str, share: float) -> None:
    """Facts 1.3: over sigma_w^2 0.2 to 5, sigma_b^2 0 to 2 the norm on preactivations is longer on this share only."""
    longer = [
        criticality.correlation_length(Block(name, sw, sb, "layer pre"))
        > criticality.correlation_length(Block(name, sw, sb, "layer post"))
        for sw in np.arange(0.2, 5.01, 0.2)
        for sb in np.arange(0, 2.01, 0.2)
    ]
    assert np.mean(longer) == pytest.approx(share, abs=0.01)


# -- exponents ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "exponent"),
    [
        (Block("relu", 2.0), "0.0"),
        (Block("erf", PI / 4), "1.0000000"),
        (Block("tanh", 1.0), "1.0000000"),
        (Block("tanh", 0.19, residual=0.9), "1.0000000"),
        (Block("erf", *critical_weights("erf", 1.0)), "0.0"),
        (Block("relu", 2.0, 0.0, "layer pre", 1.0), "-1.0000"),
        (Block("erf", 2.0, 0.0, "layer pre", 1.0), "-1.2257"),
        (Block("gelu", 2.0, 0.0, "layer pre", 1.0), "-1.0720"),
        (Block("relu", 1.0, 1.0, "layer pre", 1.0), "-0.33333"),
        (Block("relu", 1.0, 3.0, "batch", 1.0), "-1.467"),
        (Block("relu", 1.0, 0.5, "layer post", 1.0), "-0.97796"),  # derived: pi/(pi - 1)/(1 + sb2/sw2)
        (Block("relu", 1.0, 0.5, "rms post", 1.0), "-0.66667"),  # derived: 1/(1 + sb2/sw2)
    ],
)
def test_printed_exponents(block: Block, exponent: str) -> None:
    assert abs(critical_exponent(block) - float(exponent)) <= digits(exponent)


@pytest.mark.parametrize(
    ("block", "slope"),
    [
        (Block("erf", PI / 4), "-.993"),
        (Block("relu", 2.0, 0.0, "layer pre", 1.0), ".978"),
        (Block("erf", 2.0, 0.0, "layer pre", 1.0), "1.194"),
        (Block("gelu", 2.0, 0.0, "layer pre", 1.0), "1.044"),
        (Block("relu", 1.0, 1.0, "layer pre", 1.0), ".331"),
    ],
)
def test_printed_slopes(block: Block, slope: str) -> None:
    """Facts 1.5: log J against log l, least squares on l = 20 to 100."""
    depths = np.arange(20, 101)
    assert abs(
        np.polyfit(np.log(depths), criticality.log_apjn(block, 1.0, 100)[depths], 1)[0] - float(slope)
    ) <= digits(slope)


def test_exponents_are_reached() -> None:
    """Local slopes of long recursions tend to minus zeta, as 1/l; also past a half-stable kernel."""
    for block in (
        Block("erf", PI / 4),
        Block("erf", 1.0, 0.5, "layer pre", 1.0),
        Block("relu", 1.0, 0.5, "rms post", 1.0),
    ):
        logs = criticality.log_apjn(block, 1.0, 4000)
        slope = (logs[4000] - logs[2000]) / math.log(2)
        assert slope == pytest.approx(-critical_exponent(block), abs=2e-3)
    point = critical_points("gelu")[-1]
    block = Block("gelu", point.weight_variance, point.bias_variance)
    # from above K* the kernel sinks as 1 / (b l), so l (chi_J - 1) tends to -zeta, here beyond l = 1/(b K*) = 2000
    zeta = critical_exponent(block, point.kernel)
    assert f"{zeta:.2f}" == "-64.98"
    near = point.kernel * 1.002
    drop = near - criticality.kernel_step(block, near)
    rate = (criticality.chi_jacobian(block, near) - 1) * (near - point.kernel) / drop
    assert rate == pytest.approx(-zeta, rel=0.02)


@pytest.mark.parametrize("mu", [0.0, 0.6])
def test_the_kernel_of_critical_erf(mu: float) -> None:
    """Facts 1.3: K ~ 1 / (2 l (1 - mu^2)) and chi_J ~ 1 - 1/l."""
    block, depth = Block("erf", PI / 4 * (1 - mu**2), residual=mu), 20_000
    kernel = criticality.kernel_trajectory(block, 1.0, depth)[-1]
    assert 2 * depth * (1 - mu**2) * kernel == pytest.approx(1, abs=2e-3)
    assert depth * (1 - criticality.chi_jacobian(block, kernel)) == pytest.approx(1, abs=2e-3)


def test_stretched_exponential() -> None:
    """Facts 1.3: erf, mu = 1: 1/sqrt(lambda) = 4 sw2 / (pi sqrt(sw2 + sb2)); slope on 100..400 at sw2 = 2 is 1.8043."""
    for sw, sb in ((2.0, 0.0), (0.7, 1.0)):
        root = 4 * sw / (PI * math.sqrt(sw + sb))
        assert stretched_length(Block("erf", sw, sb, residual=1.0)) == pytest.approx(root**-2, rel=1e-9)
    depths = np.arange(100, 401)
    logs = criticality.log_apjn(Block("erf", 2.0, residual=1.0), 1.0, 400)
    assert f"{np.polyfit(np.sqrt(depths), logs[depths], 1)[0]:.4f}" == "1.8043"
    tanh = Block("tanh", 2.0, residual=1.0)
    logs = criticality.log_apjn(tanh, 1.0, 900)
    assert (logs[900] - logs[400]) / 10 == pytest.approx(stretched_length(tanh) ** -0.5, rel=0.02)


# -- two inputs -----------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(GOOD, st.floats(-0.95, 1.0))
def test_correlations_stay_correlations(block: Block, c: float) -> None:
    """|c'| <= 1, equal inputs stay equal, and the order of the inputs does not matter."""
    kernel, after = correlation_map.correlation_step(block, 1.3, c)
    assert abs(after) <= 1 + 1e-12
    assert kernel == pytest.approx(criticality.kernel_step(block, 1.3), rel=1e-12)
    assert correlation_map.correlation_step(block, 1.3, 1.0)[1] == pytest.approx(1, abs=1e-10)
    one, two = (correlation_map.covariance_step(block, *pair, 0.5 * c) for pair in ((1.3, 0.6), (0.6, 1.3)))
    assert one[2] == pytest.approx(two[2], abs=1e-10)


@pytest.mark.parametrize(
    "block",
    [
        Block("erf", 3.0, 0.4),
        Block("tanh", 3.0, 0.1),
        Block("relu", 2.0, 0.3, "layer post"),
        Block("erf", 2.0, 0.05, "layer pre"),
        Block("erf", 3.0),
        Block("relu", 2.0, 0.0, "batch"),
        Block("gelu", 1.5, 0.2),
    ],
)
def test_fixed_correlation(block: Block) -> None:
    """It is fixed, attracts, and is below 1 exactly in the chaotic phase."""
    kernel, c = criticality.fixed_kernel(block), correlation_map.fixed_correlation(block)
    assert correlation_map.correlation_step(block, kernel, c)[1] == pytest.approx(c, abs=1e-10)
    assert (c < 1) == (criticality.phase(block) == "chaotic")
    assert correlation_map.chi_pair(block, kernel, kernel, c * kernel) < 1
    assert correlation_map.correlation_trajectory(block, kernel, 0.3, 60)[1][-1] == pytest.approx(c, abs=5e-3)
    if c == 1:
        assert correlation_map.angle_length(block) == pytest.approx(criticality.correlation_length(block), rel=1e-9)


def test_tangent_kernel_sums_jacobians() -> None:
    """Theta = sum_l K^l J^{l,L} for one input; 24 for critical ReLU at L = 12 (facts 1.1)."""
    assert correlation_map.ntk(Block("relu", 2.0), 2.0, 1.0, 12)[-1] == pytest.approx(24, rel=1e-12)
    for block in (Block("erf", 1.3, 0.2), Block("gelu", 1.6, 0.1, "layer post"), Block("tanh", 1.1, 0.3, "layer pre")):
        kernels = criticality.kernel_trajectory(block, 0.8, 9)
        logs = criticality.log_apjn(block, 0.8, 9)
        total = sum(k * math.exp(logs[-1] - j) for k, j in zip(kernels, logs, strict=False))
        assert correlation_map.ntk(block, 0.8, 1.0, 10)[-1] == pytest.approx(total, rel=1e-10)
        assert abs(correlation_map.ntk(block, 0.8, 0.2, 10)[-1]) <= total


def test_linear_tangent_kernel() -> None:
    """A linear network with sigma_w = 1 has Theta^L = L x.x'; a residual one, by its own recursion of matrices."""
    assert correlation_map.ntk(Block("linear", 1.0), 1.5, 0.4, 7)[-1] == pytest.approx(7 * 0.6, rel=1e-12)
    sw, mu, k = 0.5, 0.8, 1.5
    step = sw + mu * mu
    # each of the L - 1 residual blocks adds sw k step^(l-1) and every term is multiplied by step after it
    expected = k * step**6 + 6 * sw * k * step**5
    assert correlation_map.ntk(Block("linear", sw, residual=mu), k, 1.0, 7)[-1] == pytest.approx(expected, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 10), st.floats(-0.2, 1), st.integers(1, 6), st.integers(1, 4))
def test_largest_learning_rate(same: float, ratio: float, samples: int, outputs: int) -> None:
    """2 / lambda_max of the Hessian 2 Theta / (N K), by numpy's eigenvalues."""
    other = same * max(ratio, -0.9 / max(samples - 1, 1))
    theta = np.full((samples, samples), other) + (same - other) * np.eye(samples)
    largest = np.linalg.eigvalsh(theta)[-1] * 2 / (samples * outputs)
    assert correlation_map.maximal_learning_rate(same, other, samples, outputs) == pytest.approx(2 / largest, rel=1e-9)


# -- finite width ---------------------------------------------------------------------------------------------------------


def test_kernel_variance_of_relu() -> None:
    """Var(K)/K^2 = (2 + 5 (l - 1))/N with Gaussian weights (facts 1.5: 5 l/N), 3 (l - 1)/N with orthogonal ones."""
    relu = kernel_variance(Block("relu", 2.0), 1.0, 5)
    assert relu == pytest.approx([2, 7, 12, 17, 22, 27], rel=1e-10)
    turned = kernel_variance(Block("relu", 2.0, weights="orthogonal"), 1.0, 5)
    assert turned == pytest.approx([0, 3, 6, 9, 12, 15], rel=1e-10)
    linear = kernel_variance(Block("linear", 1.0, weights="orthogonal"), 1.0, 5)
    assert linear == pytest.approx(np.zeros(6), abs=1e-12)


def test_singular_value_spread() -> None:
    """Linear: L with Gaussian weights (Fuss-Catalan), 0 with orthogonal ones; ReLU: 2 L and L."""
    found = {
        (name, kind): singular_value_spread(Block(name, sw, weights=kind), 1.0, 4)[-1]
        for name, sw in (("linear", 1.0), ("relu", 2.0))
        for kind in ("gaussian", "orthogonal")
    }
    expected = {
        ("linear", "gaussian"): 4,
        ("linear", "orthogonal"): 0,
        ("relu", "gaussian"): 8,
        ("relu", "orthogonal"): 4,
    }
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=1e-10)


# -- AutoInit -------------------------------------------------------------------------------------------------------------


def law_one_step(one_step_rate: Callable[[float, float], float]) -> None:
    """The rate lands on J = 1 to 1e-12 in one step of the log loss, with and without residual."""
    for sw in (0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 50.0):
        for mu in (0.0, 0.6):
            gain = relu_gain(sw)
            scale = autoinit_step(1.0, one_step_rate(gain, mu), gain, residual=mu)
            assert abs(scale**2 * gain + mu**2 - 1) < 1e-12


def test_one_step_rate() -> None:
    law_one_step(autoinit.one_step_rate)
    for sw, printed in ((0.5, "0.3607"), (1.0, "0.2988"), (4.0, "0.2113"), (8.0, "0.1803")):
        assert f"{autoinit.one_step_rate(relu_gain(sw)):.4f}" == printed
    at, beside = (autoinit.one_step_rate(g) for g in (1.0, 1.0 + 1e-6))
    assert at == pytest.approx(beside, rel=1e-5)


def law_step_is_the_gradient(step: Callable[..., float]) -> None:
    """a' = a - eta dL/da, the derivative by central differences."""
    for loss in ("log", "square"):
        for gain, mu, scale in ((0.25, 0.0, 1.0), (4.0, 0.5, 0.8), (1.0, 0.9, 1.3)):

            def value(a: float, gain: float = gain, mu: float = mu, loss: str = loss) -> float:
                jacobian = a * a * gain + mu * mu
                return 0.5 * (math.log(jacobian) if loss == "log" else jacobian - 1) ** 2

            gradient = (value(scale + 1e-6) - value(scale - 1e-6)) / 2e-6
            assert step(scale, 0.1, gain, loss, mu) == pytest.approx(scale - 0.1 * gradient, abs=1e-8)


def test_autoinit_step() -> None:
    law_step_is_the_gradient(autoinit_step)


def test_contraction() -> None:
    """The derivative of both maps at the target, by differences; 1 - 2 eta sw2 for ReLU."""
    for gain, mu in ((0.25, 0.0), (4.0, 0.5)):
        target, rate, h = target_scale(gain, mu), 0.3 * largest_rate(gain, mu), 1e-5
        for loss in ("log", "square"):
            up, down = (autoinit_step(target + d, rate, gain, loss, mu) for d in (h, -h))  # type: ignore[arg-type]
            assert (up - down) / (2 * h) == pytest.approx(contraction(rate, gain, mu), abs=1e-6)
    assert contraction(0.3, relu_gain(1.7)) == pytest.approx(1 - 2 * 0.3 * 1.7, rel=1e-12)


STEPS = [  # facts 2.2: sigma_w^2, then steps at eta sw2 = 0.1, 0.25, 0.5, 0.75, 0.95, 1.05 with the log loss
    (0.5, (56, 20, 7, 21, 115, math.inf)),
    (8.0, (73, 25, 6, 19, 112, math.inf)),
    (50.0, (116, 42, 15, 23, 116, math.inf)),
]


@pytest.mark.parametrize(("sw", "steps"), STEPS)
def test_printed_iterations(sw: float, steps: tuple[float, ...]) -> None:
    for e, expected in zip((0.1, 0.25, 0.5, 0.75, 0.95, 1.05), steps, strict=False):
        assert iterations(e / sw, relu_gain(sw)) == expected


def test_printed_iterations_of_the_square_loss() -> None:
    """Facts 2.2: at sw2 = 8 it takes 58 and 24 steps, then leaves a > 0; at 50 it fails at all."""
    found = [iterations(e / 8, relu_gain(8), "square") for e in (0.1, 0.25, 0.5, 0.75)]
    assert found == [58, 24, math.inf, math.inf]
    assert all(np.isinf(iterations(e / 50, relu_gain(50), "square")) for e in (0.1, 0.25, 0.5))


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 50), st.floats(0.02, 0.97))
def test_the_log_loss_converges_below_the_largest_rate(sw: float, share: float) -> None:
    """Claim 1 of facts 2.3."""
    assert np.isfinite(iterations(share / sw, relu_gain(sw)))


def test_with_a_residual_the_largest_rate_is_local() -> None:
    """At mu = 0.875, three quarters of it overshoot past a = 0 from a = 1, but converge from near the target."""
    gain, mu = 1.0, 0.875
    rate, scale = 0.75 * largest_rate(gain, mu), 1.05 * target_scale(gain, mu)
    assert np.isinf(iterations(rate, gain, residual=mu))
    for _ in range(60):
        scale = autoinit_step(scale, rate, gain, residual=mu)
    assert scale == pytest.approx(target_scale(gain, mu), rel=1e-9)


@pytest.mark.parametrize("sw", [0.05, 0.5, 8.0, 50.0])
def test_above_the_largest_rate_nothing_converges(sw: float) -> None:
    gain = relu_gain(sw)
    assert largest_rate(gain) == pytest.approx(1 / sw, rel=1e-12)
    assert np.isinf(iterations(1.05 / sw, gain, most=2000))
    bound = largest_square_rate(gain)
    assert bound == pytest.approx(min(1 / sw, 1 / (sw * (sw / 2 - 1)) if sw > 2 else np.inf), rel=1e-12)
    assert np.isfinite(iterations(0.9 * bound, gain, "square"))
    assert sw <= 2 or autoinit_step(1.0, 1.01 * bound, gain, "square") < 0 or bound == 1 / sw


def test_batchnorm_fixes_ratios() -> None:
    """Facts 2.2: 0.8257 for ReLU, printed; 0.82565 here. The product with the gain is 1."""
    ratio = batchnorm_scale_ratio()
    assert ratio == pytest.approx(math.sqrt((PI - 1) / PI), rel=1e-12)
    assert criticality.fixed_chi(Block("relu", 1.0, norm="batch")) * ratio**2 == pytest.approx(1, rel=1e-12)


# -- domains --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Block("relu", -1.0), "weight_variance is -1.0: give a finite number >= 0."),
        (lambda: Block("rely", 1.0), "there is no activation 'rely'; did you mean 'relu'?"),
        (lambda: Block("relu", 1.0, norm="layer"), "there is no 'layer'; did you mean"),  # type: ignore[arg-type]
        (lambda: Block("relu", 1.0, residual=math.inf), "residual is inf"),
        (lambda: activation("erf").moments(-0.1), "kernel is -0.1: give a finite number >= 0."),
        (lambda: activation("erf").pair(1.0, 1.0, 1.1), "correlation is 1.1: give a finite number >= -1 and <= 1."),
        (lambda: criticality.chi_jacobian(Block("erf", 1.0, norm="layer pre"), 0.0), "nothing to normalize"),
        (lambda: criticality.chi_jacobian(Block("linear", 1.0, norm="layer post"), 0.0), "activations must vary there"),
        (lambda: criticality.kernel_trajectory(Block("erf", 1.0), 1.0, -1), "depth is -1"),
        (lambda: critical_weights("erf", 1.0, residual=1.0), "needs 0 <= mu < 1"),
        (lambda: critical_weights("linear", 1.0, "rms post", 0.0) and critical_bias("relu", 1.9), "no sigma_b^2"),
        (lambda: critical_weights(SHIFTED, 1.0), "critical for no sigma_b^2 >= 0"),
        (lambda: critical_bias("relu", 0.0), "weight_variance is 0.0"),
        (lambda: critical_bias("relu", 1.0, "pre"), "there is no 'pre'"),  # type: ignore[arg-type]
        (lambda: criticality.fixed_kernel(Block("erf", 1.0), 0.0), "start is 0.0"),
        (lambda: critical_exponent(Block("erf", 1.0)), "an exponent needs a critical block"),
        (lambda: critical_exponent(Block("relu", 1.0, residual=1.0)), "J is a power of depth only at mu = 1"),
        (lambda: critical_exponent(Block("erf", 1.0, norm="layer post", residual=1.0)), "see stretched_length"),
        (lambda: stretched_length(Block("gelu", 1.0, residual=1.0)), "gelu is not bounded"),
        (lambda: stretched_length(Block("erf", 1.0)), "the stretched law needs"),
        (lambda: criticality.kernel_length(Block("relu", 3.0)), "the kernel grows without bound"),
        (lambda: correlation_map.fixed_correlation(Block("erf", 0.5)), "a fixed correlation needs a fixed kernel"),
        (lambda: correlation_map.covariance_step(Block("erf", 1.0), 1.0, 1.0, 2.0), "covariance is 2.0"),
        (lambda: correlation_map.ntk(Block("erf", 1.0, norm="batch"), 1.0, 1.0, 3), "norms of one sample"),
        (lambda: correlation_map.maximal_learning_rate(1.0, -2.0, 3), "positive semidefinite"),
        (lambda: kernel_variance(Block("relu", 2.0, norm="rms pre"), 1.0, 3), "known for norm 'none'"),
        (lambda: kernel_variance(Block("erf", 1.0, 0.1, weights="orthogonal"), 1.0, 3), "bias_variance is 0.1"),
        (lambda: activations.custom_activation("x", np.sin, np.sin), "is not the derivative of its value"),
        (lambda: gaussian_mean(np.abs, 0.0), "scale is 0.0"),
        (lambda: gaussian_mean(lambda x: np.exp(x**2)), "grows slower than exp(x^2 / 2)"),
        (lambda: gaussian_pair_mean(np.sin, np.sin, (1.0, 1.0), 2.0), "correlation is 2.0: give a finite number >= -1 and <= 1."),
        (lambda: autoinit_step(0.0, 0.1, 1.0), "scale is 0.0"),
        (lambda: autoinit_step(1.0, 0.1, 1.0, "cube"), "there is no loss 'cube'"),  # type: ignore[arg-type]
        (lambda: target_scale(1.0, 1.0), "residual is 1.0: give a finite number >= 0 and below 1."),
        (lambda: relu_gain(-1.0), "weight_variance is -1.0"),
    ],
)  # fmt: skip
def test_outside_their_domain_they_refuse(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(BadInput) as error:
        call()
    assert sentence in str(error.value)
