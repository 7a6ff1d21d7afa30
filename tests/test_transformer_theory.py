"""Tokens and gradients in a transformer at initialization: the map, its exponents, and the edge of chaos."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq

from phasescope.theory import transformer_signal
from phasescope.theory.transformer_signal import (
    TransformerBlock,
    attention_step,
    collapsed_size,
    edge_of_chaos,
    gradient_exponent,
    mean_gradient_exponent,
    mlp_step,
    settled_correlation,
    token_trajectory,
    weak_edge_of_chaos,
)
from phasescope.vocabulary import BadInput

SKIPS = ("preserving", "reset", "growing")
RUNS = [(0.5, 0.5, 1.0), (0.5, 0.5, 2.0), (0.5, 0.5, 4.0), (0.3, 0.8, 3.0), (0.8, 0.3, 3.0)]


def normal(f: Callable[[float], float]) -> float:
    """E f(z) by scipy's adaptive integration."""
    cuts = (-12, -1, -0.2, 0, 0.2, 1, 12)
    return math.fsum(
        quad(lambda z: f(z) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), a, b, epsabs=1e-14, limit=200)[0]
        for a, b in pairwise(cuts)
    )


@pytest.mark.parametrize(("scale", "power", "gain"), [(1, ".394", ".464"), (2, ".635", "1.024"), (3, ".745", "1.568"), (4, ".805", "2.107")])  # fmt: skip
def test_tanh_constants(scale: float, power: str, gain: str) -> None:
    """F(1) and F'(1) by another integration. The facts print 1.569 and 2.126 for the last two gains: see below."""
    block = TransformerBlock(0.5, 0.5, scale)
    assert block.power == pytest.approx(normal(lambda z: math.tanh(scale * z) ** 2), abs=1e-11)
    assert block.gain == pytest.approx(scale**2 * normal(lambda z: math.cosh(scale * z) ** -4), abs=1e-10)
    assert f"{block.power:.3f}".lstrip("0") == power
    assert f"{block.gain:.3f}".lstrip("0") == gain


def few_nodes(scale: float) -> tuple[float, float]:
    """F(1) and F'(1) of tanh by Gauss-Hermite with 201 nodes: too few for steep slopes."""
    z, w = np.polynomial.hermite_e.hermegauss(201)
    w = w / w.sum()
    slope = 1 - np.tanh(scale * z) ** 2
    return float(w @ np.tanh(scale * z) ** 2), float(scale**2 * (w @ slope**2))


PRINTED = [  # alpha, then sigma_w at the edge as the facts print it, and with an exact F
    ("preserving", 0.25, "3.51", "3.517"),
    ("preserving", 0.5, "4.02", "4.065"),
    ("preserving", 0.75, "5.51", "5.955"),
    ("preserving", 0.9, "8.28", "11.660"),
    ("reset", 0.25, "3.47", "3.479"),
    ("reset", 0.5, "3.77", "3.790"),
    ("reset", 0.75, "4.25", "4.323"),
    ("reset", 0.9, "4.62", "4.755"),
]


@pytest.mark.parametrize(("skip", "alpha", "printed", "exact"), PRINTED)
def test_edges_of_chaos(skip: Any, alpha: float, printed: str, exact: str) -> None:
    """The facts' edges come back from the same formula with 201 nodes; with an exact F the edges lie higher."""
    found = edge_of_chaos(TransformerBlock(alpha, alpha, 1.0, skip=skip))
    assert f"{found:.3f}" == exact
    a, c = alpha**2, 1 - alpha**2

    def exponent(scale: float) -> float:
        power, gain = few_nodes(scale)
        if skip == "reset":
            return (1 + a * gain) / ((1 + a) * (1 + a * power)) - 1
        size = (c * a + a * power) / (1 - c * c)
        return c * (c + a * gain / (c * size + a)) - 1

    assert brentq(exponent, 1.0, 20.0) == pytest.approx(float(printed), abs=0.011)  # the facts cut, or round, the last


def test_weak_edge() -> None:
    """sigma_w = 3.377 for tanh as alpha -> 0 (the facts' 3.370 is 201 nodes again), whatever the skip."""
    found = weak_edge_of_chaos()
    assert f"{found:.4f}" == "3.3773"

    def excess(scale: float) -> float:
        power, gain = few_nodes(scale)
        return gain - 1 - power

    assert f"{brentq(excess, 2, 5):.3f}" == "3.370"
    for skip in ("preserving", "reset"):
        edge = edge_of_chaos(TransformerBlock(0.02, 0.02, 1.0, skip=skip))  # type: ignore[arg-type]
        assert edge == pytest.approx(found, abs=2e-3)
        for scale in (3.3, 3.45):
            block = TransformerBlock(0.1, 0.1, scale, skip=skip)  # type: ignore[arg-type]
            assert (transformer_signal.angle_exponent(block) > 0) == (scale > 3.4)


def test_depth_and_strength() -> None:
    """alpha = 1/sqrt(L) keeps L lambda_a constant, within 5 % for L = 16 to 256 (claim 7)."""
    values = [L * transformer_signal.angle_exponent(TransformerBlock(L**-0.5, L**-0.5, 2.0)) for L in (16, 64, 256)]
    assert values == pytest.approx(np.full(3, np.mean(values)), rel=0.05)


def test_printed_exponents() -> None:
    """Facts 3: lambda_a, and the gradient's mean and total for n = 32, L = 16; where sigma_w = 4, the exact F differs."""
    blocks = [TransformerBlock(*run, tokens=32) for run in RUNS]
    angles = [transformer_signal.angle_exponent(block) for block in blocks]
    assert [f"{x:.4f}" for x in angles] == ["-0.3855", "-0.2357", "-0.0066", "0.4051", "-0.9701"]
    means = [mean_gradient_exponent(block) for block in blocks[:4]]
    assert means == pytest.approx([0.027, 0.116, 0.316, 0.528], abs=0.005)
    totals = [gradient_exponent(block, 16) for block in blocks[:4]]
    assert totals == pytest.approx([-0.188, -0.094, 0.110, 0.417], abs=0.005)


def test_printed_trajectory() -> None:
    """Facts 3: alpha = .7, sigma_A = 1, sigma_w = 3, n = 64, rho0 = .2, to the printed digits."""
    states = token_trajectory(TransformerBlock(0.7, 0.7, 3.0, 1.0, 64), 1.0, 0.2, 8)
    assert np.round(states[:, 1] / states[:, 0], 3) == pytest.approx([0.2, 0.297, 0.452, 0.619, 0.753, 0.842, 0.898, 0.933, 0.956], abs=1e-9)  # fmt: skip


# -- laws -----------------------------------------------------------------------------------------------------------------


def law_exponent_is_the_map(angle_exponent: Callable[..., float]) -> None:
    """lambda_a is the log of (1 - rho') / (1 - rho) of the map itself, near collapse and for many tokens."""
    for skip in SKIPS:
        for alphas in ((0.5, 0.5, 2.0), (0.3, 0.8, 3.0)):
            block = TransformerBlock(*alphas, skip=skip, tokens=1e9, readout_variance=0.7)  # type: ignore[arg-type]
            size = 1.7 if skip == "growing" else collapsed_size(block)
            gap = 1e-5
            q, p = mlp_step(block, *attention_step(block, size, size * (1 - gap)))
            assert angle_exponent(block, size) == pytest.approx(math.log((1 - p / q) / gap), abs=2e-4), (skip, alphas)


def test_exponents_are_those_of_the_map() -> None:
    law_exponent_is_the_map(transformer_signal.angle_exponent)


GOOD = st.builds(
    TransformerBlock,
    st.floats(0.05, 0.95),
    st.floats(0.05, 0.95),
    st.floats(0.1, 5),
    st.floats(0, 1),
    st.just(64),
    st.floats(0.1, 2),
    st.sampled_from(["tanh", "erf", "relu"]),
    st.sampled_from(SKIPS),
)


@settings(max_examples=30, deadline=None)
@given(GOOD, st.floats(0.2, 5), st.floats(0, 1))
def test_states_stay_states(block: TransformerBlock, size: float, rho: float) -> None:
    """0 < q and |p| <= q after each sub-block; collapsed tokens stay collapsed, at the stationary size."""
    after = attention_step(block, size, rho * size)
    assert after[0] > 0 and abs(after[1]) <= after[0] * (1 + 1e-12)
    q, p = mlp_step(block, *after)
    assert q > 0 and abs(p) <= q * (1 + 1e-12)
    one, other = mlp_step(block, *attention_step(block, size, size))
    assert one == pytest.approx(other, rel=1e-9)
    if block.skip == "preserving":
        fixed = collapsed_size(block)
        assert mlp_step(block, *attention_step(block, fixed, fixed))[0] == pytest.approx(fixed, rel=1e-10)


@pytest.mark.parametrize("alpha", [0.3, 0.7])
def test_attention_alone_collapses(alpha: float) -> None:
    """Without perceptron rho rises to 1, at the rate log(1 - alpha^2), or -log(1 + alpha^2) with resets (claim 2)."""
    for skip, rate in (("preserving", math.log(1 - alpha**2)), ("reset", -math.log(1 + alpha**2))):
        block = TransformerBlock(alpha, 0.0, 1.0, tokens=256, skip=skip)  # type: ignore[arg-type]
        states = token_trajectory(block, 1.0, 0.2, 200)
        gaps = 1 - states[:, 1] / states[:, 0]
        near = np.flatnonzero((gaps < 0.01) & (gaps > 1e-6))
        assert (np.diff(gaps[gaps > 1e-12]) < 0).all()
        assert np.diff(np.log(gaps[near])).mean() == pytest.approx(rate, abs=0.02)
        assert transformer_signal.angle_exponent(block) == pytest.approx(rate, rel=1e-12)
        with pytest.raises(BadInput, match="no edge of chaos"):
            edge_of_chaos(block)


@pytest.mark.parametrize(("scale", "expected"), [(3.0, "1.0000"), (4.0, "1.0000"), (6.0, "0.9188"), (10.0, "0.8431")])
def test_settled_correlation(scale: float, expected: str) -> None:
    """alpha = .5, n = 64: 1 to sigma_w = 4, below 1 in chaos. The facts' .9255 and .877 are 201 nodes again."""
    block = TransformerBlock(0.5, 0.5, scale, tokens=64)
    found = settled_correlation(block)
    assert f"{found:.4f}" == expected
    assert (found < 1) == (transformer_signal.angle_exponent(block) > 0)
    if found == 1:
        return
    # claim 5: the map itself closes in on it, from below and from above, once its size has settled
    for start in (0.5, 0.999):
        size = collapsed_size(block)
        states = token_trajectory(block, size, start * size, 8)
        gaps = (states[:, 1] / states[:, 0] - found) * np.sign(start - found)
        assert (gaps > 0).all() and (np.diff(gaps[2:]) < 0).all()


def test_no_sign_change_of_the_mean_mode() -> None:
    """Facts 3: preserving skip, unit readout: lambda_mean stays positive on sigma_w in [.05, 12]."""
    for alpha in (0.25, 0.5, 0.75, 0.9):
        block = TransformerBlock(alpha, alpha, 1.0)
        found = [mean_gradient_exponent(replace(block, weight_scale=s)) for s in (0.05, 0.5, 1, 2, 4, 8, 12)]
        assert min(found) > 0
    small = TransformerBlock(0.5, 0.5, 1.0, readout_variance=0.3)
    assert edge_of_chaos(small) > edge_of_chaos(TransformerBlock(0.5, 0.5, 1.0))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), st.floats(12, 1e6))
def test_the_total_gradient_lies_between_its_modes(depth: int, tokens: float) -> None:
    block = TransformerBlock(0.5, 0.5, 2.0, tokens=tokens)
    low, high = transformer_signal.angle_exponent(block), mean_gradient_exponent(block)
    total = gradient_exponent(block, depth)
    assert low - 1e-12 <= total <= high + 1e-12
    assert total >= high - math.log(tokens) / depth - 1e-12  # the mean mode wins at large depth
    assert gradient_exponent(replace(block, tokens=math.inf), depth) == pytest.approx(low, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: TransformerBlock(1.2, 0.5, 1.0), "attention is 1.2: give a finite number >= 0 and <= 1."),
        (lambda: TransformerBlock(0.5, 0.5, -1.0), "weight_scale is -1.0"),
        (lambda: TransformerBlock(0.5, 0.5, 1.0, 2.0, 64), "at least 4 e^(score_scale^2) = 218."),
        (lambda: TransformerBlock(0.5, 0.5, 1.0, 0.0, 1), "tokens is 1"),
        (lambda: TransformerBlock(0.5, 0.5, 1.0, skip="rest"), "there is no skip 'rest'; did you mean 'reset'?"),  # type: ignore[arg-type]
        (lambda: attention_step(TransformerBlock(0.5, 0.5, 1.0), 1.0, 1.5), "(q, p) is (1.0, 1.5)"),
        (lambda: token_trajectory(TransformerBlock(0.5, 0.5, 1.0), 1.0, 0.5, -1), "depth is -1"),
        (lambda: transformer_signal.angle_exponent(TransformerBlock(0.5, 0.5, 1.0, skip="growing")), "the size has no fixed point"),
        (lambda: collapsed_size(TransformerBlock(0.0, 0.5, 0.0)), "the size shrinks to 0"),
        (lambda: gradient_exponent(TransformerBlock(0.5, 0.5, 1.0), 0), "depth is 0"),
        (lambda: weak_edge_of_chaos("relu"), "no edge of chaos"),
    ],
)  # fmt: skip
def test_outside_their_domain_they_refuse(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(BadInput) as error:
        call()
    assert sentence in str(error.value)
