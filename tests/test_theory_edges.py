"""Theory at the edges of its domains, where the formula as written is a difference of nearly equal numbers.

Truth is the formula as written with 50 digits and more, or the limit it tends to.
"""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from phasescope.theory import (
    activations,
    asymmetric_margin,
    autoinit,
    critical_initialization,
    criticality,
    finite_width,
    label_corruption,
    linear_transfer,
    manifold_capacity,
    memory_limits,
    model_collapse,
    rich_lazy,
    rich_lazy_wide,
    stochastic_collapse,
    transformer_signal,
)
from phasescope.theory.activations import activation
from phasescope.vocabulary import BadInput

DIGITS = 60
ONE = np.array([0.3, 0.4])


def near(found: Any, expected: Any, rel: float = 1e-12) -> None:
    assert expected != 0 and abs(mp.mpf(float(found)) / expected - 1) < rel, (float(found), mp.nstr(expected, 17))


def root(delta: float, size: float) -> Any:
    return mp.sqrt(mp.mpf(delta) ** 2 + 4 * mp.mpf(size) ** 2)


@pytest.fixture(autouse=True)
def many_digits() -> Any:
    with mp.workdps(DIGITS):
        yield


@pytest.mark.parametrize("delta", [-1e12, -1e8, -3.0, 0.5, 1e8, 1e12])
def test_a_neuron_far_from_balance(delta: float) -> None:
    size = math.hypot(*ONE)
    s = root(delta, size)
    near(rich_lazy.bias_tilt(ONE, delta), mp.sqrt(s - delta))
    near(rich_lazy.bias_potential(ONE, delta), (s - 2 * mp.mpf(delta)) * mp.sqrt(s + delta) / 3)
    a, w = rich_lazy.split_function(ONE, delta)
    near(a, mp.sqrt((s + delta) / 2))
    near(w[1], 0.4 / mp.sqrt((s + delta) / 2))
    near(rich_lazy.basin_edge(1.5, -abs(delta), ONE), -1.5 * (root(delta, size) - abs(delta)) / 2)
    along = rich_lazy.function_flow([0.5, 0.0], delta, np.eye(2), [0.0, 1.0])[1]  # across beta: a^2 alone
    near(along, (root(delta, 0.5) + delta) / 2)
    for null, cosine in (([1.0, 0.0], mp.mpf(0.3) / size), ([0.6, 0.8], mp.mpf(1))):
        k = mp.sqrt((s - delta) / 2) * cosine
        half = (k**2 + delta) / 2
        near(
            rich_lazy.null_coordinate(ONE, delta, null, 0.5), k * mp.sqrt(half + mp.sqrt(half**2 + mp.mpf(0.25))), 2e-12
        )


def test_tiny_functions_have_a_direction() -> None:
    a, w = rich_lazy.split_function([3e-200, 4e-200], -1.0)
    near(a, mp.mpf(5e-200))
    assert w == pytest.approx([0.6, 0.8])
    assert rich_lazy.function_flow([3e-200, 4e-200], -1.0, np.eye(2), [0.6, 0.8]) == pytest.approx([0.6, 0.8])


def test_the_flow_keeps_what_it_conserves() -> None:
    """At time 0 the start itself; later a^2 - |w|^2; and the start's part across the target only shrinks."""
    for a0, w0 in ((1.0, [0.3, 0.4]), (1e-3, [300.0, -400.0]), (-500.0, [1e-3, 2e-3])):
        start, target = np.array(w0), np.array([0.5, -1.0])
        delta = rich_lazy.conserved_delta(a0, start)
        a, w = rich_lazy.whitened_flow(np.linspace(0, min(1.0, 200 / abs(delta)), 5), a0, start, target)
        assert a[0] == a0 and w[0] == pytest.approx(start, rel=1e-15)
        assert a**2 - (w**2).sum(1) == pytest.approx(delta, rel=1e-11)
        across = w @ [1.0, 0.5] / (start @ [1.0, 0.5])
        assert (np.diff(across) <= 0).all()


def test_a_lazy_network_has_a_small_entropy_and_the_shortest_solution() -> None:
    for s, delta in ((0.3, 1.0), (0.3, 1e7), (0.3, -1e12), (3.0, 1e-300), (1e9, 1e-300), (1e-200, 1e-200)):
        q = (2 * mp.mpf(s) * mp.asinh(2 * mp.mpf(s) / abs(mp.mpf(delta))) - root(delta, s) + abs(delta)) / 4
        with mp.workdps(400):
            near(rich_lazy_wide.hyperbolic_entropy([s], delta), q if delta > 1e-9 else _entropy(s, delta))
    m = np.random.default_rng(0).normal(size=(2, 3, 3))
    shortest = np.linalg.pinv(m.reshape(2, -1)) @ [1.0, -0.5]
    for size, delta in ((1.0, 1e8), (1.0, 1e14), (1e-13, 1.0), (1e-30, 1.0), (1e9, 1e17)):
        found = rich_lazy_wide.least_entropy(m, np.array([1.0, -0.5]) * size, delta)
        assert found.ravel() / size == pytest.approx(shortest, abs=1e-9)


def _entropy(s: float, delta: float) -> Any:
    x = 2 * mp.mpf(s) / abs(mp.mpf(delta))
    return abs(mp.mpf(delta)) / 4 * (x * mp.asinh(x) - mp.sqrt(1 + x * x) + 1)


def test_tiny_ends_of_deep_networks() -> None:
    near(
        rich_lazy_wide.deep_null_coordinate([3e-6, 4e-6], 30, [0.6, 0.8], 0.0), mp.mpf(5e-6)
    )  # alone, it ends at its start
    near(rich_lazy_wide.deep_null_coordinate([3e-15, 4e-15], 2, [0.6, 0.8], 0.0), mp.mpf(5e-15))


def rate(drift: float, noise: float, step: float) -> Any:
    """(E log|a + b N|) / step by a hypergeometric series, with as many digits as it cancels."""
    a, b = 1 + mp.mpf(drift) * step, mp.mpf(noise) * mp.sqrt(step)
    x = (a / b) ** 2 / 2
    with mp.workdps(int(80 + x)):
        mean = mp.log(b) - (mp.euler + mp.log(2)) / 2 + x * mp.hyp2f2(1, 1, mp.mpf(3) / 2, 2, -x)
    return mean / step


def test_collapse_in_small_steps() -> None:
    for walk in ((0.0, 1 / 13, 1.0), (0.0, 0.04, 1.0), (1.0, 0.5, 0.01), (1.0, 0.05, 1.0), (-2.9, 0.1, 1.0)):
        near(stochastic_collapse.collapse_rate(*walk), rate(*walk), 1e-13)
    assert stochastic_collapse.collapse_rate(1.0, 0.5, 1e-16) == pytest.approx(0.875, rel=1e-15)
    assert stochastic_collapse.collapse_rate(-1e-5, 1e-5, 1e-12) == pytest.approx(-1e-5 - 5e-11, rel=1e-14)
    assert stochastic_collapse.collapse_rate(1e-75, 0.0, 1e-300) == 1e-75
    assert stochastic_collapse.collapse_rate(-3.0, 0.0, 1.0) == pytest.approx(math.log(2), rel=1e-15)
    assert stochastic_collapse.collapse_threshold(1.5, 1e-14) == pytest.approx(math.sqrt(3), rel=1e-12)
    assert stochastic_collapse.collapse_threshold(1e-30, 1.0) == pytest.approx(math.sqrt(2e-30), rel=1e-12)


@pytest.mark.parametrize("zeta", [1.2, 0.3, 0.22, 0.1, 1e-4, 1e-6, 1e-8, 1e-12])
def test_stationary_law_at_weak_noise(zeta: float) -> None:
    k = 1 / mp.mpf(zeta) ** 2 - mp.mpf(0.5)
    near(stochastic_collapse.quartic_mean_absolute(1.0, zeta), zeta * mp.exp(mp.loggamma(k + 0.5) - mp.loggamma(k)))
    width = max(zeta, 0.01)  # places that floats hold exactly enough
    for x in (1.0, 1 + width / 2, 1 - width / 2):
        log = (2 * k - 1) * mp.log(x / mp.mpf(zeta)) - (x / mp.mpf(zeta)) ** 2 - mp.loggamma(k)
        found = float(stochastic_collapse.quartic_density(np.array(x), 1.0, zeta))
        if log > -600:
            near(found, mp.exp(log) / zeta, 1e-11)
        else:
            assert found < 1e-200
    assert not np.isnan(stochastic_collapse.quartic_density(np.zeros(1), 1.0, zeta)).any()
    assert np.isfinite(stochastic_collapse.quartic_mean_absolute(1.0, math.sqrt(2) * (1 - 2e-16)))


def test_paths_from_far() -> None:
    end = stochastic_collapse.quartic_path(np.array([1e70]), np.zeros((1, 1)), 290.0, 0.0, 1.0)
    assert end[-1, 0] == pytest.approx(1.0, rel=1e-12)  # growth over sqrt(2 areas), by one trapezoid


@pytest.mark.parametrize("t", [1e-15, 1e-12, 1e-8, 0.3, 2.0, 100.0])
def test_uniformity(t: float) -> None:
    for dimension in (2, 10, 10**6):
        near(
            manifold_capacity.uniform_potential(dimension, t),
            mp.log(mp.hyp0f1(mp.mpf(dimension) / 2, mp.mpf(t) ** 2)) - 2 * mp.mpf(t),
        )


def test_errors_of_embeddings_that_are_nearly_none() -> None:
    for c in (1.0, 0.3, 0.2, 1e-10, 1e-30):
        near(manifold_capacity.uniform_percent_error(c, 1.0), 1 - mp.hyp2f1(0.5, -0.5, 2, mp.mpf(c)))
    for start, time in ((0.3, 0.5), (1e-12, 0.0), (0.3, 30.0), (1.0, 300.0)):
        expected = 2 / (1 + (2 - mp.mpf(start)) / mp.mpf(start) * mp.exp(2 * mp.mpf(time)))
        near(manifold_capacity.free_percent_error(start, time, 3, 4), expected)


def test_transfer_at_small_angles() -> None:
    for angle in (1.0, 1e-9, 3e-60):
        near(linear_transfer.task_divergence(angle, 0.5), 8 * mp.sin(mp.mpf(angle) / 2) ** 2)
        near(linear_transfer.ridge_probe_risk(angle, 0.0), mp.sin(mp.mpf(angle)) ** 2)
    near(linear_transfer.task_divergence(1e-200, 1e-200), mp.mpf(0.5))
    near(linear_transfer.ridge_probe_risk(0.0, 1e-10), mp.mpf(1e-10) ** 2 / (1 + mp.mpf(1e-10)) ** 2)
    near(linear_transfer.scratch_risk(10**15 - 3, 10**15), mp.mpf(3e-15))
    assert linear_transfer.negative_transfer(1e-9, 0.5) == ((pytest.approx(1 + 0.25e18), math.inf),)
    low, high = linear_transfer.negative_transfer(math.pi / 2 - 1e-9, 0.0)[0]
    near(low, mp.cos(mp.mpf(math.pi / 2 - 1e-9)) ** 2)
    assert high == 1.0
    (low, high), _ = linear_transfer.negative_transfer(1e-3, 4e-7)
    square, noise = mp.cos(mp.mpf(1e-3)) ** 2, mp.mpf(4e-7)
    b = 1 + square - noise**2
    near(high - low, mp.sqrt(b**2 - 4 * square), 1e-9)
    ratio = mp.mpf(math.sqrt(0.5 - 1e-12) ** 2) / mp.mpf(0.5)
    near(linear_transfer.finite_source_break_even(0.5, math.sqrt(0.5 - 1e-12)), mp.acos((1 + ratio) / 2))
    near(linear_transfer.kept_share(1e-20, 1e-30), mp.sqrt((1e-20 + mp.sqrt(1e-40 + 4 * mp.mpf(1e-30))) / 2), 1e-11)


def test_shares_and_memories() -> None:
    assert label_corruption.full_inversion_accuracy(1.0, 10**15) == 1e-15
    samples = 10**13
    k = mp.mpf(samples - 1) / 2
    near(
        mp.log(mp.mpf(model_collapse.typical_variances(100_000, samples)[-1])),
        1e5 * (mp.digamma(k) - mp.log(k + 0.5)),
        1e-7,
    )
    for h2 in (1e-6, 0.1, 1e6):
        x = 2 / (mp.sqrt(mp.mpf(h2) ** 2 + 4) + h2)
        near(memory_limits.capacity_exponent(h2), (1 - x) / h2 - mp.log(1 - x * x) / 2)
    apart = 2 * mp.mpf(1e-6) / 5
    near(
        memory_limits.pair_capacity(5, 1e-6),
        1 + 2 * mp.log(2) / mp.betainc(2, 0.5, 0, apart * (2 - apart), regularized=True),
    )
    assert (
        memory_limits.bulk_capacity(5, 1e-6)
        > memory_limits.bulk_capacity(5, 1e-4)
        > 1e3 * memory_limits.bulk_capacity(5, 1e-2)
    )


def test_balls_that_nearly_touch() -> None:
    assert asymmetric_margin.homogeneous_ball(1.0, 1e-9, 1.0)[2] == pytest.approx(5e-19, rel=1e-12)
    along = mp.sqrt(1 - mp.mpf(1e-6) ** 2)
    near(asymmetric_margin.quasi_homogeneous_ball(1.0, 1e-6, 1.0)[2], along * (1 - along))
    near(asymmetric_margin.quasi_homogeneous_ball(1.0, 1 - 1e-12, 1.0)[0], mp.sqrt(1 - mp.mpf(1 - 1e-12) ** 2))
    with pytest.raises(BadInput, match="do not touch"):
        asymmetric_margin.homogeneous_ball(3.0, 4.0, 5.0)


def test_scales_near_their_target() -> None:
    for gain, residual in ((1 + 2e-8, 0.0), (1 + 1e-9, 0.0), (0.75 + 1e-7, 0.5), (1e-12, 0.3), (3.0, 0.9)):
        g, square = mp.mpf(gain), mp.mpf(residual) ** 2
        expected = (1 - mp.sqrt((1 - square) / g)) * (g + square) / (2 * g * mp.log(g + square))
        near(autoinit.one_step_rate(gain, residual), expected)
    almost = 1 - 3e-15
    near(autoinit.largest_rate(1.0, almost), 1 / (2 * (1 - mp.mpf(almost) ** 2)))
    near(critical_initialization.critical_weights("relu", 1.0, residual=almost)[0], 2 * (1 - mp.mpf(almost) ** 2))
    block = criticality.Block("relu", 1e-20, 1e-20, norm="layer pre", residual=0.5)
    near(criticality.fixed_kernel(block), mp.mpf(1e-20) * mp.mpf(1.5) / mp.mpf(0.75))


def test_nearly_opposite_inputs() -> None:
    for slope in (0.0, 0.3):
        phi = activations.leaky_relu(slope)
        for c in (-1 + 1e-14, -1 + 1e-10, -0.9, -0.5, 0.2):
            even, odd, at = ((1 - mp.mpf(slope)) / 2) ** 2, ((1 + mp.mpf(slope)) / 2) ** 2, mp.mpf(c)
            arc = mp.sqrt(1 - at * at) + at * mp.asin(at)
            near(phi.pair(1.0, 1.0, c), odd * at + even * 2 / mp.pi * arc)
            near(phi.slope_pair(1.0, 1.0, c), odd + even * 2 / mp.pi * mp.asin(at))
    assert activation("relu").pair(2.0, 2.0, -1.0) == 0


def test_spreads_of_nearly_linear_layers() -> None:
    """erf(x) = (2 / sqrt pi)(x - x^3 / 3 ...): phi'^2 / B - 1 = -2 (x^2 - K), so the spread is 8 K^2 per layer."""
    block = criticality.Block("erf", math.pi / 4, weights="orthogonal")
    assert finite_width.singular_value_spread(block, 1e-9, 1)[1] == pytest.approx(8e-18, rel=1e-7)
    # phi^2 = (4 / pi)(x^2 - 2 x^4 / 3): the fourth Hermite polynomial has E He4^2 = 24
    assert finite_width.kernel_variance(block, 1e-4, 1)[1] == pytest.approx(24 * (2e-8 / 3) ** 2, rel=3e-3)
    assert (finite_width.kernel_variance(criticality.Block("linear", 1.0, weights="orthogonal"), 0.9, 3) >= 0).all()


BLOCKS: list[tuple[str, float, float]] = [("preserving", 1e-9, 3.0), ("reset", 1e-9, 3.0), ("growing", 1e-9, 3.0)]


@pytest.mark.parametrize(("skip", "strength", "size"), BLOCKS)
def test_weak_blocks(skip: Any, strength: float, size: float) -> None:
    """As strengths fall, exponents over their squares tend to numbers that the block at full strength has as well."""
    block = transformer_signal.TransformerBlock(strength, strength, size, tokens=100.0, activation="erf", skip=skip)
    given: dict[str, float] = {} if skip != "growing" else {"size": 1.0}
    first, gain = block.power, block.gain
    weak = strength**2
    q = transformer_signal.collapsed_size(block) if skip != "growing" else 1.0
    angle, mean = (
        transformer_signal.angle_exponent(block, **given),
        transformer_signal.mean_gradient_exponent(block, **given),
    )
    if skip == "preserving":
        assert q == pytest.approx((1 + first) / 2, rel=1e-12)
        expected = gain / q - 2, (1 + gain) / q - 2
    elif skip == "reset":
        expected = gain - 1 - first, gain - first
    else:
        expected = gain - 1 - first, 1 + gain
    assert (angle / weak, mean / weak) == pytest.approx(expected, rel=1e-12)
    if skip != "growing":
        whole = transformer_signal.gradient_exponent(block, 7)
        assert whole / weak == pytest.approx(0.99 * expected[0] + 0.01 * expected[1], rel=1e-12)


@pytest.mark.parametrize("skip", ["preserving", "reset"])
def test_where_weak_blocks_settle(skip: Any) -> None:

    def settled(strength: float) -> float:
        block = transformer_signal.TransformerBlock(strength, strength, 10.0, tokens=100.0, activation="erf", skip=skip)
        return transformer_signal.settled_correlation(block)

    strong, weak, weaker = (settled(strength) for strength in (1e-2, 1e-5, 1e-9))
    assert (
        0.01 < weaker < 0.99 and weak == pytest.approx(weaker, rel=1e-8) and strong == pytest.approx(weaker, rel=1e-2)
    )
