"""Theory: the closed forms against brute force and simulation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad

from phasescope.ensemble import streams
from phasescope.tasks import GaussianMixture, addition, division, function
from phasescope.theory import chance, cluster_recovery, modular_addition
from phasescope.vocabulary import BadInput, Member

NOBODY = Member({}, 0)


def test_squared_error_and_deviation() -> None:
    """4 / N and its root, from the amplitudes: eight of nine cosines are noise, of mean square 2 in all."""
    amplitudes = [1.0, *[0.25] * 4, *[0.5] * 3]  # each with a random phase: mean square a^2 / 2
    for width in (10, 50, 500):
        noise = (2 / width) ** 2 * width * sum(a * a / 2 for a in amplitudes)
        assert modular_addition.expected_squared_error(width) == pytest.approx(noise, rel=1e-12)
        assert modular_addition.wrong_logit_deviation(width) == pytest.approx(2 / math.sqrt(width), rel=1e-12)


def test_the_nine_cosines() -> None:
    """The expansion that theory rests on, by a numerical transform of W (U + V)^2 over its three phases."""
    t = 2 * np.pi * np.arange(8) / 8
    a, b, c = np.meshgrid(t, t, t, indexing="ij")
    power = np.abs(np.fft.fftn(np.cos(c) * (np.cos(a) + np.cos(b)) ** 2) / t.size**3) ** 2
    # a real cosine of amplitude A is two lines of power (A/2)^2 each
    amplitudes = sorted(np.round(2 * np.sqrt(power[power > 1e-12]), 9).tolist())
    assert amplitudes == sorted([0.25] * 8 + [0.5] * 8 + [1.0] * 2)


@pytest.mark.parametrize("d", [0.0, 0.3, math.pi / 4, math.pi / 2, 3 * math.pi / 4, math.pi])
def test_phase_error_factor(d: float) -> None:
    """The mean of cos(e) over e uniform in (-d, d), by a Riemann sum; values of [M] in facts 1.2: .901 at pi/4."""
    errors = (np.arange(200_000) + 0.5) / 200_000 * 2 * d - d
    assert modular_addition.correct_logit_factor(d) == pytest.approx(float(np.cos(errors).mean()), abs=1e-9)


def test_unit_logit_scale() -> None:
    """A^3 times N neurons times the surviving amplitude 1/2 is 1; the misprinted exponent -1/3 gives 7e7 / N^2."""
    for width in (1, 7, 500):
        assert modular_addition.unit_logit_scale(width) ** 3 * width / 2 == pytest.approx(1, rel=1e-12)


def law_width_inverts_accuracy(width_needed: Callable[..., int]) -> None:
    """The least width: it reaches the accuracy, one less does not."""
    for p in (11, 31, 97):
        for accuracy in (0.5, 0.9, 0.99, 0.9999):
            width = width_needed(p, accuracy)
            assert modular_addition.expected_accuracy(p, width) >= accuracy
            assert width == 1 or modular_addition.expected_accuracy(p, width - 1) < accuracy


def test_width_needed() -> None:
    law_width_inverts_accuracy(modular_addition.width_needed)


def test_accuracy_is_monotone() -> None:
    """Wider is better, a larger modulus is harder, and it goes from chance to 1."""
    for p in (5, 23, 97):
        values = [modular_addition.expected_accuracy(p, width) for width in (1, 10, 25, 50, 100, 200, 500)]
        assert (np.diff(values) > 0).all() or values[-1] == pytest.approx(1, abs=1e-9)
        assert 1 / p < values[0] < values[-1] <= 1 + 1e-9
    widths = [modular_addition.width_needed(p) for p in (5, 11, 23, 59, 97, 197)]
    assert (np.diff(widths) > 0).all()


@pytest.mark.parametrize(("p", "width"), [(5, 12), (23, 40), (97, 60)])
def test_expected_accuracy_is_the_simulation(p: int, width: int) -> None:
    """P(1 + s x_0 > s max of p - 1), drawn: within 4 standard errors."""
    g, s, n = np.random.default_rng(0), 2 / math.sqrt(width), 40_000
    right = 1 + s * g.standard_normal(n) > s * g.standard_normal((p - 1, n)).max(0)
    assert abs(modular_addition.expected_accuracy(p, width) - right.mean()) < 4 * math.sqrt(
        right.mean() * (1 - right.mean()) / n
    )


@pytest.mark.parametrize("p", [3, 5, 11, 97])
def test_one_branch_share(p: int) -> None:
    """Count the inputs whose sum is the smallest root of its own square."""
    roots: dict[int, int] = {}
    for r in range(p):
        roots.setdefault(r * r % p, r)
    answered = sum(roots[(n + m) ** 2 % p] == (n + m) % p for n in range(p) for m in range(p))
    assert modular_addition.one_branch_accuracy(p) == pytest.approx(answered / p**2, rel=1e-12)


@pytest.mark.parametrize("p", [2, 5, 6, 23])
def test_majority_share(p: int) -> None:
    """The most frequent label, counted by hand; where labels are even it is chance."""
    table = function(p, lambda n, m: n**2 + m**2 + n * m)
    counts = [0] * p
    for n in range(p):
        for m in range(p):
            counts[(n * n + m * m + n * m) % p] += 1
    assert chance.majority_share(table.law(NOBODY)) == max(counts) / p**2
    assert chance.majority_share(addition(p).law(NOBODY)) == chance.chance_level(addition(p).law(NOBODY)) == 1 / p


def test_majority_leaves_out_what_has_no_answer() -> None:
    assert chance.majority_share(division(5).law(NOBODY)) == 4 / 20


@pytest.mark.parametrize("p", [3, 4, 5, 10, 11, 23, 30, 59, 97])
def test_random_participation(p: int) -> None:
    """Simulated by numpy's rfft, and the integral over t that the closed form was made of, by scipy."""
    power = np.abs(np.fft.rfft(np.random.default_rng(p).standard_normal((20_000, p)))) ** 2
    simulated = (power**2).sum(1) / power.sum(1) ** 2
    error = simulated.std() / np.sqrt(len(simulated))
    assert abs(chance.random_participation(p) - simulated.mean()) < 4 * error
    z = 2 - p % 2
    n = (p - z) // 2

    def mean(t: float) -> float:
        of_complex = 2 * n * (1 + t) ** (-n - 2) * (1 + 2 * t) ** (-z / 2)
        return t * (of_complex + 3 * z * (1 + 2 * t) ** (-2 - z / 2) * (1 + t) ** -n)

    assert chance.random_participation(p) == pytest.approx(quad(mean, 0, np.inf, epsrel=1e-11)[0], rel=1e-9)
    assert chance.pure_participation() == 1


def test_random_participation_at_its_ends() -> None:
    """For large p the limit 4 / (p + 1), approached as 1 - 1 / p, without a digit lost."""
    for p in (10**4, 10**6 + 1, 10**15):
        assert chance.random_participation(p) * (p + 1) / 4 == pytest.approx(1 - 1 / p, abs=25 / p**2 + 1e-14)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: chance.random_participation(2), "p is 2: give a whole number from 3"),
        (lambda: modular_addition.width_needed(97, 1.0), "accuracy is 1.0: give a finite number above 0 and below 1."),
        (lambda: modular_addition.width_needed(10, 0.1), "accuracy is 0.1: it must lie between chance"),
        (
            lambda: modular_addition.addition_weights(1, 5, np.random.default_rng(0)),
            "p is 1: give a whole number from 2",
        ),
        (
            lambda: modular_addition.addition_weights(5, 0, np.random.default_rng(0)),
            "width is 0: give a whole number from 1",
        ),
        (
            lambda: modular_addition.composed_addition_weights(
                5, 4, np.random.default_rng(0), outer=lambda n: n, branches="both"
            ),
            "branches is 'both': choose one of one, all.",
        ),
    ],
)
def test_outside_their_domain_they_refuse(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(BadInput) as error:
        call()
    assert sentence in str(error.value)


# -- clusters found without labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dimension", "rows", "accuracy"), [(16, 1600, 0.8), (200, 800, 0.8), (300, 600, 0.95)])
def test_the_first_component_sorts_as_theory_says(dimension: int, rows: int, accuracy: float) -> None:
    """Twelve draws, four standard errors, which tell the formula from that of 0.6 dimensions per row more."""
    found = []
    for seed in range(12):
        drawn = GaussianMixture(dimension, rows, accuracy).draw(NOBODY, streams(seed))
        x, y = drawn.inputs[drawn.train], drawn.labels[drawn.train]
        right = np.mean((np.linalg.svd(x, full_matrices=False)[0][:, 0] > 0) == y)
        found.append(max(right, 1 - right))
    error = np.std(found, ddof=1) / math.sqrt(12)
    theory = cluster_recovery.principal_accuracy(accuracy, dimension / rows)
    assert abs(np.mean(found) - theory) < 4 * error
    assert theory - cluster_recovery.principal_accuracy(accuracy, dimension / rows + 0.6) > 4 * error


def test_recovery_at_its_ends() -> None:
    """Without dimensions it is Bayes' rule, from the highest ratio on a guess, in between it falls."""
    for accuracy in (0.6, 0.8, 0.99):
        edge = cluster_recovery.highest_ratio(accuracy)
        assert cluster_recovery.principal_accuracy(accuracy, 0) == pytest.approx(accuracy, rel=1e-12)
        falls = [cluster_recovery.principal_accuracy(accuracy, share * edge) for share in (0, 0.3, 0.6, 0.9, 1, 2)]
        assert falls[:5] == sorted(falls[:5], reverse=True) and falls[4:] == [0.5, 0.5]
    with pytest.raises(BadInput, match=r"bayes_accuracy is 0\.5"):
        cluster_recovery.principal_accuracy(0.5, 1)
