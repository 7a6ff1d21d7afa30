"""Stochastic collapse: closed forms against quadrature, simulation and a second implementation."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp

from phasescope.theory import stochastic_collapse
from phasescope.vocabulary import BadInput


def law_rate_of_steps(rate: Callable[[float, float, float], float]) -> None:
    """The discrete rate is E log|1 + a + b N|: adaptive quadrature split at the logarithm's pole, and Monte Carlo."""
    for drift, noise, step in (
        (1.5, 2.0, 0.0025),
        (1.5, 2.0, 0.1),
        (-0.7, 1.0, 0.3),
        (0.2, 5.0, 0.2),
        (-10.0, 1.0, 0.1),
    ):
        a, b = 1 + drift * step, noise * math.sqrt(step)
        pole = -a / b
        cuts = sorted({-12.0, -4.0, 0.0, 4.0, 12.0, min(max(pole, -12.0), 12.0)})

        def density(z: float, a: float = a, b: float = b) -> float:
            return math.log(abs(a + b * z) or 1e-300) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

        expected = sum(quad(density, *ends, epsabs=1e-11, limit=400)[0] for ends in pairwise(cuts)) / step
        assert rate(drift, noise, step) == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_rate_of_steps() -> None:
    law_rate_of_steps(stochastic_collapse.collapse_rate)


def test_small_steps_are_the_sde() -> None:
    """Two formulas meet: the series where (a/b)^2 is moderate, the expansion where it is huge, the limit of step 0."""
    for noise in (0.5, 1.7, 3.0):
        limit = stochastic_collapse.collapse_rate(1.5, noise)
        errors = [abs(stochastic_collapse.collapse_rate(1.5, noise, step) - limit) for step in (1e-3, 1e-5, 1e-10)]
        assert errors[0] < 0.1 and errors[1] < 1e-3 and errors[2] < 1e-5
    below, at = (stochastic_collapse.collapse_rate(0.0, f / 300, 1.0) for f in (1 - 1e-9, 1 + 1e-9))
    assert below == pytest.approx(at, rel=1e-8)
    assert stochastic_collapse.collapse_rate(0.3, 0.0, 0.1) == pytest.approx(math.log(1.03) / 0.1)


def test_attractivity_is_minus_the_rate() -> None:
    """The quartic has L'' = -mu and D = zeta^2 x^2 / 2, so D'' = zeta^2."""
    assert stochastic_collapse.attractivity(-1.5, 2.0**2) == -stochastic_collapse.collapse_rate(1.5, 2.0)


def test_threshold() -> None:
    assert stochastic_collapse.collapse_threshold(1.5) == pytest.approx(math.sqrt(3))
    for step in (0.0025, 0.02, 0.1):
        found = stochastic_collapse.collapse_threshold(1.5, step)
        assert abs(stochastic_collapse.collapse_rate(1.5, found, step)) < 1e-8
        assert found < math.sqrt(3)  # steps collapse a little earlier
    with pytest.raises(BadInput, match="smaller step"):
        stochastic_collapse.collapse_threshold(1.5, 1.0)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.2, 4.0), st.floats(0.1, 0.95))
def test_stationary_law(mu: float, share: float) -> None:
    """The density is normalized, solves Fokker and Planck's equation, and its moments are the closed forms."""
    zeta = share * math.sqrt(2 * mu)
    scale = math.sqrt(mu)

    def mean(f: Callable[[float], float], upper: float = np.inf) -> float:
        # x = u^n takes off the pole of |x|^(2k - 1) at 0
        n = max(1.0, 2 / (2 * mu / zeta**2 - 1))
        top = upper ** (1 / n) if np.isfinite(upper) else (scale + 8 * zeta) ** (1 / n)
        inner = [(scale * c) ** (1 / n) for c in (0.3, 1.0, 1.5) if scale * c < top**n]

        def g(u: float) -> float:
            x = u**n
            return (
                2 * f(x) * float(stochastic_collapse.quartic_density(np.array(x), mu, zeta)) * n * u ** (n - 1)
                if u > 0
                else 0.0
            )

        return quad(g, 0, top, points=inner or None, limit=400)[0]

    assert mean(lambda x: 1.0) == pytest.approx(1, abs=1e-6)
    assert mean(lambda x: x) == pytest.approx(stochastic_collapse.quartic_mean_absolute(mu, zeta), rel=1e-6)
    assert mean(lambda x: x * x) == pytest.approx(stochastic_collapse.quartic_mean_square(mu, zeta), rel=1e-5, abs=1e-9)
    assert mean(lambda x: 1.0, 0.7 * scale) == pytest.approx(
        stochastic_collapse.quartic_share_below(0.7 * scale, mu, zeta), abs=1e-6
    )
    x, h = np.array([0.6, 1.1]) * scale, 1e-5
    diffusion = [zeta**2 * (x + d) ** 2 / 2 * stochastic_collapse.quartic_density(x + d, mu, zeta) for d in (-h, h)]
    flow = (mu * x - x**3) * stochastic_collapse.quartic_density(x, mu, zeta) - (diffusion[1] - diffusion[0]) / (2 * h)
    assert np.abs(flow).max() < 1e-6 * max(1.0, mu)


def test_the_number_of_the_facts() -> None:
    assert stochastic_collapse.quartic_mean_absolute(1.5, 1.0) == pytest.approx(
        0.8862, abs=5e-5
    )  # sqrt(pi) / 2; measured .8852
    rates = [stochastic_collapse.critical_singular_value(3 / 1024, sigma) for sigma in (5, 10, 15, 20)]
    assert rates == pytest.approx([0.0366, 0.1465, 0.330, 0.586], abs=5e-4)  # facts, section 5


def law_exact_path(path: Callable[..., np.ndarray]) -> None:
    """Euler's walk nears the exact solution along the same noise as steps shrink, with an error of order sqrt(dt)."""
    g = np.random.default_rng(0)
    fine, end = 2**14, 2.0
    noise = math.sqrt(end / fine) * g.standard_normal((fine, 64))
    start = 2 * g.standard_normal(64)
    exact = path(start, noise, 1.5, 1.2, end / fine)
    assert exact.shape == (fine + 1, 64) and np.array_equal(exact[0], start)
    errors = []
    for steps in (2**8, 2**10, 2**12):
        coarse = noise.reshape(steps, -1, 64).sum(1)
        x = start.copy()
        for dB in coarse:
            x = x + (1.5 * x - x**3) * end / steps + 1.2 * x * dB
        errors.append(float(np.sqrt(np.mean((x - exact[-1]) ** 2))))
    assert errors[2] < 0.05 and errors[0] / errors[1] > 1.5 and errors[1] / errors[2] > 1.5


def test_exact_path() -> None:
    law_exact_path(stochastic_collapse.quartic_path)
    still = stochastic_collapse.quartic_path(np.array([0.3]), np.zeros((1000, 1)), 1.5, 0.0, 0.01)[:, 0]
    times = np.arange(1001) * 0.01
    assert still**2 == pytest.approx(
        stochastic_collapse.mode_strength(times, 1.5, 0.09), rel=1e-4
    )  # no noise: x^2 is logistic


@pytest.mark.parametrize(("s", "critical"), [(1.2, 0.0), (0.5, 0.5), (0.2, 0.586), (1.0, 0.3)])
def test_mode_strength_solves_its_equation(s: float, critical: float) -> None:
    """d y / dt = 2 y (s_eff - y) by an integrator that knows no formula."""
    times = np.linspace(0, 10, 21)
    found = solve_ivp(lambda t, y: 2 * y * (s - critical - y), (0, 10), [0.8], t_eval=times, rtol=1e-10, atol=1e-14)
    assert stochastic_collapse.mode_strength(times, s, 0.8, critical) == pytest.approx(found.y[0], rel=1e-7)


def test_mode_strength_is_lost_without_overflow() -> None:
    assert stochastic_collapse.mode_strength(np.array([0.0, 1e6]), 0.1, 1.0, 0.5).tolist() == [1.0, 0.0]


def test_the_papers_curve_lies_between_two_means() -> None:
    """Along exact paths exp E[log u v] <= the curve with s_c; the averages over time of curve and E[u v] are ordered so."""
    g = np.random.default_rng(1)
    dt, steps = 0.01, 600
    noise = math.sqrt(dt) * g.standard_normal((steps, 8_000))
    zeta = math.sqrt(2 * 0.4)
    square = stochastic_collapse.quartic_path(np.ones(8_000), noise, 0.9, zeta, dt)[::50] ** 2
    curve = stochastic_collapse.mode_strength(np.arange(0, steps + 1, 50) * dt, 0.9, 1.0, 0.4)
    error = 4 * square.std(1) / math.sqrt(8_000) + 1e-12
    typical = np.exp(np.log(square).mean(1))
    assert (typical <= curve * (1 + 4 * np.log(square).std(1) / math.sqrt(8_000)) + 1e-12).all()
    assert (np.cumsum(square.mean(1) - curve) >= -error.cumsum()).all()
    assert typical[-1] < 0.7 * curve[-1] < 0.7 * square[-1].mean()


def law_neuron_rates(rates: Callable[..., tuple[float, float]]) -> None:
    """The linearized walk of (w1, w2) at the origin, ten thousand walkers: log |w1 + w2| and log |w1 - w2| drift so."""
    g = np.random.default_rng(2)
    x = g.standard_normal(16)
    y = 0.8 * x + 0.1 * g.standard_normal(16)
    dt, noise, slope, steps = 0.002, 0.9, 0.7, 400
    expected = rates(x, y, noise, slope)
    w = np.ones((2, 10_000)) * np.array([[1.0], [0.3]])
    start = np.log(np.abs([w[0] + w[1], w[0] - w[1]])).mean(1)
    pull = slope * (x * y).mean()
    for _ in range(steps):
        kick = slope * (x @ g.standard_normal((16, 10_000))) / 4 * math.sqrt(noise * dt)
        w = w + w[::-1] * (pull * dt + kick)
    measured = (np.log(np.abs([w[0] + w[1], w[0] - w[1]])).mean(1) - start) / (steps * dt)
    assert measured == pytest.approx(expected, abs=0.04)


def test_neuron_rates() -> None:
    law_neuron_rates(stochastic_collapse.neuron_rates)
    x, y = np.array([1.0, -2.0, 0.5]), np.array([0.9, -2.2, 0.4])
    at = 2 * stochastic_collapse.neuron_threshold(x, y)
    assert stochastic_collapse.neuron_rates(x, y, at)[0] == pytest.approx(0, abs=1e-12)
    coarse = stochastic_collapse.neuron_rates(x, y, 3.0, 1.0, 0.01)
    pull, size = (x * y).mean(), (x * x).mean()
    assert coarse == tuple(stochastic_collapse.collapse_rate(sign * pull, np.sqrt(3 * size), 0.01) for sign in (1, -1))
    assert (
        stochastic_collapse.neuron_rates(x, y, 1.01 * at)[0] < 0 < stochastic_collapse.neuron_rates(x, y, 0.99 * at)[0]
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stochastic_collapse.collapse_rate(1.0, -1.0), "noise is -1.0: .* >= 0"),
        (lambda: stochastic_collapse.collapse_rate(math.nan, 1.0), "finite"),
        (lambda: stochastic_collapse.collapse_threshold(0.0), "drift is 0.0: .* above 0"),
        (lambda: stochastic_collapse.quartic_density(np.ones(2), 1.5, 1.8), "zeta\\^2 < 2 mu"),
        (lambda: stochastic_collapse.quartic_mean_absolute(1.5, 0.0), "0 < zeta\\^2"),
        (lambda: stochastic_collapse.quartic_mean_square(1.5, -1.0), ">= 0"),
        (lambda: stochastic_collapse.quartic_path(np.ones(1), np.ones((2, 1)), 1.0, 1.0, 0.0), "dt is 0"),
        (lambda: stochastic_collapse.critical_singular_value(0.0, 1.0), "rate is 0.0: .* above 0"),
        (lambda: stochastic_collapse.mode_strength(np.ones(1), 1.0, 0.0), "start is 0.0: .* above 0"),
        (lambda: stochastic_collapse.neuron_threshold(np.zeros(3), np.ones(3)), "all inputs are 0"),
        (lambda: stochastic_collapse.neuron_rates(np.ones(3), np.ones(3), -1.0), ">= 0"),
    ],
)
def test_outside_the_domain(call: Callable[[], object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        call()


def test_collapsed_share_beyond_the_threshold_is_one() -> None:
    assert stochastic_collapse.quartic_share_below(1e-9, 1.5, 2.0) == 1.0
