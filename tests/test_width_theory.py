"""Theory of width: exponents beside networks of many widths, exact fluctuations and limits beside draws and series."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from phasescope.theory import parametrizations as p
from phasescope.theory import width_limits as w
from phasescope.theory.activations import leaky_relu
from phasescope.theory.correlation_map import correlation_trajectory
from phasescope.theory.criticality import Block, kernel_trajectory
from phasescope.theory.finite_width import kernel_variance
from phasescope.vocabulary import BadInput

WIDTHS = (64, 128, 256, 512)


def first_step(law: p.Parametrization, width: int, seed: int) -> np.ndarray:
    """Root mean squares of the changes of preactivations by the first step of a linear network, on one other input."""
    rng, sizes = np.random.default_rng([seed, width]), [4, *[width] * law.hidden, 1]
    n = float(width)
    small = [rng.standard_normal((b, a)) * n ** -law.b[i] for i, (a, b) in enumerate(pairwise(sizes))]
    ways = [n**-a for a in law.a]
    x, other = np.array([1.0, -0.5, 0.3, 0.8]), np.array([0.7, 0.2, 0.9, 0.4])

    def passed(weights: list[np.ndarray], h: np.ndarray) -> list[np.ndarray]:
        found = [h]
        for way, weight in zip(ways, weights, strict=True):
            found.append(way * weight @ found[-1])
        return found

    h = passed(small, x)
    back, moved = np.ones(1), [*small]
    for i in reversed(range(len(small))):  # the loss has slope 1 in the output
        moved[i] = small[i] - n**-law.c * ways[i] * np.outer(back, h[i])
        back = ways[i] * small[i].T @ back
    before, after = passed(small, other), passed(moved, other)
    return np.array([np.sqrt(np.mean((a - b) ** 2)) for a, b in zip(after[1:], before[1:], strict=True)])


@pytest.mark.parametrize("hidden", [1, 2])
@pytest.mark.parametrize("name", ["standard", "ntk", "mup"])
def test_exponents_of_the_first_step_are_those_of_networks(name: str, hidden: int) -> None:
    law = p.named_parametrization(name, hidden)
    sizes = np.array([np.mean([np.log(first_step(law, n, seed)) for seed in range(40)], 0) for n in WIDTHS])
    slopes = np.polyfit(np.log(WIDTHS), sizes, 1)[0]
    assert slopes == pytest.approx(p.update_exponents(law), abs=0.12)


def test_the_issue_s_slopes() -> None:
    """-1/2 for the standard and the NTK parametrization at a constant rate, 0 for the maximal update."""
    found = [p.update_exponents(p.named_parametrization(name, 1))[0] for name in ("standard", "ntk", "mup")]
    assert found == [-0.5, -0.5, 0.0]


def test_regimes() -> None:
    name = p.named_parametrization
    assert p.regime(name("standard", 1, 1.0)) == p.regime(name("standard", 3, 1.0)) == "kernel"
    assert p.feature_exponent(name("standard", 3, 1.0)) == 0.5
    assert p.regime(name("ntk", 2)) == "kernel" and p.regime(name("ntk", 2, 0.5)) == "trivial"
    assert p.regime(name("mup", 2)) == "feature learning" and p.regime(name("mup", 2, -0.1)) == "unstable"
    mean_field = p.Parametrization((0.0, 1.0), (0.0, 0.0), -1.0)  # the same as mu-P for one hidden layer
    assert p.regime(mean_field) == "feature learning" and p.feature_exponent(mean_field) == 0
    assert p.update_exponents(mean_field).tolist() == p.update_exponents(name("mup", 1)).tolist()


def test_exponents_do_not_change_where_factors_move_between_multiplier_and_weights() -> None:
    """a + t, b - t, rates n^(2 t): the same networks and the same steps (Yang and Hu 2021, the symmetry of abc)."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, c, t = rng.uniform(-1, 1, 3), rng.uniform(-1, 1), rng.uniform(-1, 1)
        b = np.array([0.0, 0.5, rng.uniform(0, 1)]) - [a[0], a[1], 0.0]
        one, other = p.Parametrization(a, b, c), p.Parametrization(a + t, b - t, c - 2 * t)
        assert p.feature_exponent(one) == pytest.approx(p.feature_exponent(other))
        assert p.update_exponents(one) == pytest.approx(p.update_exponents(other))
        assert p.regime(one) == p.regime(other)


def test_weights_that_do_not_keep_the_signal_are_refused() -> None:
    with pytest.raises(BadInput, match="a \\+ b is not 0"):
        p.update_exponents(p.Parametrization((0.0, 0.0), (0.5, 0.5), 0.0))


def test_the_vertex_is_the_exact_product() -> None:
    """0.853 at layer 5 of width 30, where the first order says 0.667; and the mean over networks drawn."""
    found = w.four_point_vertex([30] * 4)
    assert found[-1] == pytest.approx((7 / 6) ** 4 - 1) and round(float(found[-1]), 3) == 0.853
    first = (kernel_variance(Block("relu", 2.0), 1.0, 4)[-1] - 2) / 30
    assert round(first, 3) == 0.667
    small = w.four_point_vertex([10**7] * 4, 0.3)[-1]
    leaky = Block(leaky_relu(0.3), 1.0)
    kernel = kernel_trajectory(leaky, 1.0, 4)[-1]
    assert small * 10**7 == pytest.approx(kernel_variance(leaky, 1.0, 4)[-1] / kernel**2 - 2, rel=1e-5)


@pytest.mark.parametrize("a", [0.0, 0.5, 1.0])
def test_the_vertex_of_networks_drawn(a: float) -> None:
    rng, widths = np.random.default_rng(1), [40, 60, 30]
    z = rng.standard_normal((20_000, widths[0]))
    for n in widths[1:]:
        h = np.where(z > 0, z, a * z)
        k = (h**2).mean(1)  # given it, the next preactivations are independent
        z = np.sqrt(k)[:, None] * rng.standard_normal((len(z), n))
    k = (np.where(z > 0, z, a * z) ** 2).mean(1)
    assert (k**2).mean() / k.mean() ** 2 - 1 == pytest.approx(w.four_point_vertex(widths, a)[-1], rel=0.06)


def test_guessing_bias_by_a_second_route() -> None:
    """The numbers of depths 1, 2, 5, 10, and P(both outputs of one sign) by the bivariate normal distribution."""
    block = Block("relu", 2.0)
    assert [round(w.guessing_bias(block, d), 3) for d in (1, 2, 5, 10)] == [0.227, 0.287, 0.363, 0.410]
    for depth in (1, 4):
        c = float(correlation_trajectory(block, 1.0, 0.2, depth)[1][-1])
        both = stats.multivariate_normal([0, 0], [[1, c], [c, 1]]).cdf([0, 0])
        assert w.guessing_bias(block, depth, correlation=0.2) ** 2 == pytest.approx(both - 0.25, abs=1e-6)
    assert w.guessing_bias(Block("tanh", 1.0), 5) == pytest.approx(0, abs=1e-6)
    assert w.guessing_bias(Block("tanh", 1.0), 5, samples=100) == pytest.approx(0.05)  # the floor of 100 inputs


@pytest.mark.parametrize("phi", ["relu", "erf"])
def test_the_limit_of_depth_is_what_deep_networks_approach(phi: str) -> None:
    """By Richardson's extrapolation of finite depths, whose error falls as 1 / depth."""
    kernel, correlation = w.residual_limit(phi, 1.5, 0.7, 0.2)
    deep = [correlation_trajectory(Block(phi, 1.5 / d, residual=1.0), 0.7, 0.2, d) for d in (200, 400)]
    ends = np.array([[k[-1], c[-1]] for k, c in deep])
    assert [kernel, correlation] == pytest.approx(2 * ends[1] - ends[0], abs=2e-5)
    assert w.residual_limit("relu", 1.0)[0] == pytest.approx(math.exp(0.5), rel=1e-9)


def test_the_kernel_of_a_block_is_the_covariance_of_networks() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, 5))
    theory = w.nngp(Block("relu", 2.0, 0.1), x, 2)
    total, draws, n = np.zeros((3, 3)), 60, 300
    for _ in range(draws):
        h = rng.standard_normal((n, 5)) @ x.T / math.sqrt(5)
        for _ in range(2):
            h = rng.standard_normal((n, n)) @ np.maximum(h, 0) * math.sqrt(2 / n)
            h += math.sqrt(0.1) * rng.standard_normal((n, 1))
        total += h.T @ h / n
    assert total / draws == pytest.approx(theory, rel=0.06)
    assert np.linalg.eigvalsh(theory).min() > 0 and np.array_equal(theory, theory.T)
    with pytest.raises(BadInput, match="row 1"):
        w.nngp(Block("relu", 2.0), [[1.0, 2.0], [0.0, 0.0]], 1)


def test_a_drawn_variance_gives_student_s_distribution() -> None:
    rng = np.random.default_rng(3)
    freedom, square = w.student_limit(3.0, 2.0)
    draws = np.sqrt(2.0 / rng.gamma(3.0, size=20_000)) * rng.standard_normal(20_000)
    assert stats.kstest(draws, stats.t(freedom, scale=math.sqrt(square)).cdf).pvalue > 0.01
    assert stats.kstest(draws, stats.t(freedom / 2, scale=math.sqrt(square)).cdf).pvalue < 0.01


@pytest.mark.parametrize("a", [0.5, 0.7])
def test_orders_of_a_singular_kernel_by_the_recursion(a: float) -> None:
    """Of f = a x + (1 - a) x^3: theta_L / f'(0)^L = L A + B at two depths, and slopes of A and B over the distance."""
    slope = (a, a + 3 * (1 - a))
    gaps = np.geomspace(1e-9, 1e-7, 9)  # 1 - c at the start

    def theta(depth: int) -> np.ndarray:
        gap, c = gaps.copy(), 1 - gaps
        ratio, total = c, c  # c and theta, each over f'(0)^layer
        for _ in range(depth):
            total = total * (a + 3 * (1 - a) * c**2) / a
            grown = c * (a + (1 - a) * c**2)
            ratio = ratio * (a + (1 - a) * c**2) / a
            gap = gap * (a + (1 - a) * (3 - 3 * gap + gap**2))  # keeps its digits near c = 1
            c = np.where(gap < 0.5, 1 - gap, grown)
            total = total + ratio
        return total

    one, other = theta(150), theta(160)
    leading = (other - one) / 10
    distance = np.log(np.sqrt(2 * gaps))
    found = [-np.polyfit(distance, np.log(part), 1)[0] for part in (leading, one - 150 * leading)]
    assert found == pytest.approx(w.singular_orders(*slope), abs=0.05)
