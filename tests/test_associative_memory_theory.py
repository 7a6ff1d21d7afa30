"""Theory of associative memories: closed forms, second routes, and wrong versions that the laws reject."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from phasescope.ensemble import streams
from phasescope.theory import associative_memory, memory_creation, memory_limits
from phasescope.theory.associative_memory import log_sphere_mean
from phasescope.vocabulary import BadInput

DRAW = streams(7)


def points(count: int, dimensions: int, purpose: str = "points") -> np.ndarray:
    return DRAW(purpose, count).standard_normal((count, dimensions))


# -- energies and likelihoods ----------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.3, 2.0, 50.0])
def test_the_mixture_is_scipys(beta: float) -> None:
    """A second route: scipy's own Gaussian densities with covariance I/(2 beta)."""
    v, mu = points(9, 3), points(5, 3, "memories")
    densities = [stats.multivariate_normal(m, np.eye(3) / (2 * beta)).logpdf(v) for m in mu]
    expected = special.logsumexp(densities, axis=0) - np.log(5)
    np.testing.assert_allclose(associative_memory.mixture_log_likelihood(v, mu, beta), expected, rtol=1e-12)


def test_the_drift_is_half_the_energys_slope() -> None:
    v, mu, h = points(6, 4), points(5, 4, "memories"), 1e-6
    for axis in np.eye(4):
        up, down = (associative_memory.memory_energy(v + sign * h * axis, mu, 1.5) for sign in (1, -1))
        np.testing.assert_allclose(
            -(up - down) / (4 * h), associative_memory.memory_drift(v, mu, 1.5) @ axis, atol=1e-8
        )


def test_far_away_and_sharp_energies_stay_finite() -> None:
    mu = points(3, 2)
    v = np.array([[1e6, -1e6]])
    assert associative_memory.memory_energy(v, mu, 1e4)[0] == pytest.approx(
        ((v[:, None] - mu) ** 2).sum(-1).min(), rel=1e-9
    )
    assert np.isfinite(associative_memory.mixture_log_likelihood(v, mu, 1e-3)).all()


@pytest.mark.parametrize("step", [0.05, 0.5, 1.0])
def test_energy_never_rises_and_the_end_is_a_posterior_mean(step: float) -> None:
    """EM's bound is a parabola with its bottom at the posterior mean: any share of the way there lowers the energy."""
    mu, start = points(7, 3, "memories"), 3 * points(20, 3)
    path = associative_memory.retrieve(start, mu, 2.0, step=step, steps=max(300, int(150 / step)))
    energy = np.array([associative_memory.memory_energy(v, mu, 2.0) for v in path[:300]])
    assert np.diff(energy, axis=0).max() <= 1e-12
    end = path[-1]
    np.testing.assert_allclose(associative_memory.memory_posterior(end, mu, 2.0) @ mu, end, atol=1e-5)


def test_one_memory_is_approached_exponentially() -> None:
    path = associative_memory.retrieve(np.array([[4.0, 0.0]]), np.zeros((1, 2)), 3.0, step=0.1, steps=50)
    np.testing.assert_allclose(path[:, 0, 0], 4 * 0.9 ** np.arange(51), rtol=1e-12)


# -- density estimators and Hopfield networks ----------------------------------------------------------------


def test_mean_shift_is_attention_on_equal_norms_only() -> None:
    x = points(30, 6)
    x *= 2 / np.linalg.norm(x, axis=1, keepdims=True)
    v = points(11, 6, "states")
    np.testing.assert_allclose(
        associative_memory.mean_shift(v, x, 0.7), associative_memory.hopfield_update(v, x, 1 / 0.7), atol=1e-12
    )
    x[0] *= 1.1
    assert (
        np.abs(associative_memory.mean_shift(v, x, 0.7) - associative_memory.hopfield_update(v, x, 1 / 0.7)).max()
        > 1e-2
    )


def test_mean_shift_climbs_the_density() -> None:
    """A step is h^2 times the slope of the log density, from scipy's own estimator by differences."""
    x, v, h = points(40, 2), points(5, 2, "states"), 1e-5

    def log_density(at: np.ndarray) -> np.ndarray:
        return special.logsumexp(-((at[:, None] - x) ** 2).sum(-1) / (2 * 0.3), axis=1)

    slope = np.stack([(log_density(v + h * e) - log_density(v - h * e)) / (2 * h) for e in np.eye(2)], 1)
    np.testing.assert_allclose(associative_memory.mean_shift(v, x, 0.3) - v, 0.3 * slope, atol=1e-8)


def test_separated_patterns_have_a_fixed_point_near_them() -> None:
    """Ramsauer's sufficient condition: patterns that fulfil it stay, whatever the rest."""
    D, beta, count = 30, 1.0, 12
    x = points(count, D)
    x *= np.sqrt(D) / np.linalg.norm(x, axis=1, keepdims=True)
    gram = x @ x.T
    np.fill_diagonal(gram, -np.inf)
    separated = D - gram.max(1) >= associative_memory.separation_needed(beta, count, np.sqrt(D))
    assert separated.sum() >= 8
    v = x[separated]
    for _ in range(200):
        v = associative_memory.hopfield_update(v, x, beta)
    assert np.linalg.norm(v - x[separated], axis=1).max() <= 1 / (2 * count * beta * np.sqrt(D))


# -- capacity ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("h2", "known"), [(1.0, 0.623), (0.7, 0.765)])
def test_the_exponent_is_the_maximum_on_a_grid(h2: float, known: float) -> None:
    x = np.linspace(0, 0.99999, 200_001)
    grid = 1 / h2 - np.max(x / h2 + np.log(1 - x**2) / 2)
    assert memory_limits.capacity_exponent(h2) == pytest.approx(grid, abs=1e-8)
    assert memory_limits.capacity_exponent(h2) == pytest.approx(known, abs=5e-4)  # facts, section 6.4


@pytest.mark.parametrize("h2", [0.1, 1.0, 10.0, 1e4])
def test_patterns_with_the_critical_overlap_exist(h2: float) -> None:
    """Else the crosstalk's mean would come from patterns that are not there, and the exponent would be wrong."""
    x = (np.sqrt(h2**2 + 4) - h2) / 2
    assert memory_limits.capacity_exponent(h2) > -np.log(1 - x**2) / 2


def test_the_capacity_grows_as_its_exponent_says() -> None:
    """Between D and 2D the log of the bulk capacity grows by alpha D, less log 2 for the factor 1/D; 2 % at D = 200."""
    for h2 in (0.7, 1.0, 2.0):
        small, large = (np.log(memory_limits.bulk_capacity(D, h2)) for D in (200, 400))
        assert (large - small + np.log(2)) / 200 == pytest.approx(memory_limits.capacity_exponent(h2), rel=0.02)


def test_two_patterns_merge_at_two_bandwidths() -> None:
    """The law that sets pair_capacity: two equal Gaussians have one mode up to a distance of 2 h."""
    for distance, modes in ((1.9, 1), (2.1, 2)):
        x = np.array([[0.0, 0.0], [distance, 0.0]])
        v = x.copy()
        for _ in range(1000):
            v = associative_memory.mean_shift(v, x, 1.0)
        assert (np.ptp(v[:, 0]) > 0.1) == (modes == 2)


def test_pair_capacity_is_the_share_of_a_cap() -> None:
    """On the sphere in three dimensions a cap's share is (1 - x)/2 (Archimedes)."""
    assert memory_limits.pair_capacity(3, 0.6) == pytest.approx(1 + np.log(2) / 0.2)
    assert memory_limits.pair_capacity(3, 2.4) == pytest.approx(1 + np.log(2) / 0.8)


def test_both_limits_bound_their_combination() -> None:
    for D in (4, 8, 16):
        bulk, pair = memory_limits.bulk_capacity(D, 1.0), memory_limits.pair_capacity(D, 1.0)
        assert min(bulk, pair) / 2 <= memory_limits.memory_capacity(D, 1.0) < min(bulk, pair)


# -- the sphere ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [0.0, 0.3, 5.0, 80.0])
def test_the_sphere_normalizer_is_scipys(kappa: float) -> None:
    for D in (2, 3, 8):
        if kappa == 0:
            area = 2 * np.pi ** (D / 2) / special.gamma(D / 2)
            assert associative_memory.vmf_log_normalizer(0.0, D) == pytest.approx(-np.log(area))
            continue
        point = np.eye(D)[0]
        density = stats.vonmises_fisher(point, kappa).logpdf(point)
        assert associative_memory.vmf_log_normalizer(kappa, D) + kappa == pytest.approx(density, rel=1e-10)


@pytest.mark.parametrize(("kappa", "D"), [(1e-3, 6), (2.0, 300), (1e-8, 4000), (40.0, 3)])
def test_the_mean_on_the_sphere_is_an_integral(kappa: float, D: int) -> None:
    """Also where the Bessel function underflows: an adaptive integral over the first coordinate."""

    def weight(x: float) -> float:
        return float((1 - x * x) ** ((D - 3) / 2))

    width = min(1.0, 12 / np.sqrt(D))
    top = integrate.quad(lambda x: np.exp(kappa * x) * weight(x), -width, width, epsabs=0, epsrel=1e-11)[0]
    bottom = integrate.quad(weight, -width, width, epsabs=0, epsrel=1e-11)[0]
    assert log_sphere_mean(kappa, D) == pytest.approx(np.log(top / bottom), rel=1e-6, abs=1e-13)


def test_attention_is_a_mixture_on_the_sphere() -> None:
    keys, shift, unit = points(12, 5), points(1, 5, "shift")[0], points(40, 5, "queries")
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    attention = special.softmax((2.3 * unit + shift) @ keys.T, axis=1)
    mixture = associative_memory.sphere_mixture(keys, 2.3, shift)
    np.testing.assert_allclose(mixture.responsibilities(unit), attention, atol=1e-12)
    assert np.exp(mixture.log_mixing).sum() == pytest.approx(1)
    densities = np.stack([stats.vonmises_fisher(m, k).logpdf(unit) for m, k in
                          zip(mixture.directions, mixture.concentrations, strict=True)], 1)  # fmt: skip
    np.testing.assert_allclose(special.softmax(densities + mixture.log_mixing, axis=1), attention, atol=1e-10)


def test_a_keys_length_ties_concentration_and_weight() -> None:
    keys, shift = points(4, 5), points(1, 5, "shift")[0]
    one, three = (associative_memory.sphere_mixture(c * keys, 1.7, shift) for c in (1, 3))
    np.testing.assert_allclose(three.concentrations, 3 * one.concentrations, rtol=1e-12)
    np.testing.assert_allclose(three.log_weights, 3 * one.log_weights, rtol=1e-12)
    assert np.abs(three.log_weights - one.log_weights).min() > 0


# -- creation ------------------------------------------------------------------------------------------------


def test_expected_memories_known_values() -> None:
    assert memory_creation.expected_memories(1.0, 1000) == pytest.approx(special.digamma(1001) - special.digamma(1))
    assert memory_creation.expected_memories(5.0, 1000) == pytest.approx(27.03, abs=0.005)  # facts, section 6.3
    assert memory_creation.expected_memories(3.0, 1) == 1.0


@pytest.mark.parametrize(("alpha", "discount"), [(1.0, 0.3), (5.0, 0.9), (-0.2, 0.5), (0.0, 0.4)])
def test_expected_memories_with_a_discount(alpha: float, discount: float) -> None:
    """The closed form of Pitman (2006) in gamma functions; its limit at alpha = 0."""
    n, a, d = 400, alpha, discount
    if alpha == 0:
        known = np.exp(special.gammaln(n + d) - special.gammaln(n) - special.gammaln(1 + d))
    else:
        ratio = special.gamma(a + 1) / special.gamma(a + d)
        known = ratio / d * np.exp(special.gammaln(a + n + d) - special.gammaln(a + n)) - a / d
    assert memory_creation.expected_memories(alpha, n, discount) == pytest.approx(known, rel=1e-9)


def test_memories_follow_the_exact_distribution() -> None:
    """Mean and variance from the exact law of the number of memories (a product of Bernoulli laws), n = 30."""
    alpha, n, law = 1.7, 30, np.ones(1)
    for i in range(n):
        p = alpha / (alpha + i)
        law = np.append(law * (1 - p), 0) + np.append(0, law * p)
    count = np.arange(n + 1)
    assert memory_creation.expected_memories(alpha, n) == pytest.approx(law @ count)
    assert memory_creation.memories_variance(alpha, n) == pytest.approx(law @ count**2 - (law @ count) ** 2)


def test_seating_does_not_depend_on_the_order() -> None:
    """Exchangeability: a partition's probability is the same in whatever order its points come."""

    def probability(labels: list[int]) -> float:
        counts: list[float] = []
        names: list[int] = []
        total = 1.0
        for label in labels:
            shares = memory_creation.seating(np.array(counts), 1.3, 0.25)
            if label in names:
                total *= shares[names.index(label)]
                counts[names.index(label)] += 1
            else:
                total *= shares[-1]
                names.append(label)
                counts.append(1.0)
        return total

    assert probability([0, 0, 1, 2, 1, 0]) == pytest.approx(probability([1, 2, 0, 1, 0, 0]))


def test_creation_weights_are_joint_densities() -> None:
    """log p(join k) + log N(v; mu_k, I/(2 beta)), and for a new memory the marginal over its place, by sampling-free
    convolution: the variances 1/(2 beta) and 1/(2 rho) add."""
    v, mu, counts, beta, rho = points(5, 3), points(4, 3, "m"), np.array([3.0, 1, 7, 2]), 2.0, 0.1
    found = memory_creation.creation_logits(v, mu, counts, beta=beta, prior_precision=rho, alpha=0.8, discount=0.2)
    shares = memory_creation.seating(counts, 0.8, 0.2)
    for k in range(4):
        known = stats.multivariate_normal(mu[k], np.eye(3) / (2 * beta)).logpdf(v) + np.log(shares[k])
        np.testing.assert_allclose(found[:, k], known, rtol=1e-10)
    wide = np.eye(3) * (1 / (2 * beta) + 1 / (2 * rho))
    np.testing.assert_allclose(found[:, 4], stats.multivariate_normal(np.zeros(3), wide).logpdf(v) + np.log(shares[4]))
    energy = memory_creation.creation_energy(v, mu, counts, beta=beta, prior_precision=rho, alpha=0.8, discount=0.2)
    np.testing.assert_allclose(energy, -special.logsumexp(found, axis=1) / beta)


def test_the_printed_energy_favours_new_memories() -> None:
    """The saboteur: without normalizers a new memory gains (beta/gamma)^(D/2) against every old one."""
    v, mu = points(5, 2), points(1, 2, "m")
    right, printed = (
        memory_creation.creation_logits(
            v, mu, np.ones(1), beta=50.0, prior_precision=0.03, alpha=1.0, gaussians=kind
        )
        for kind in ("normalized", "printed")
    )  # fmt: skip
    gamma = 1 / (1 / 50 + 1 / 0.03)
    np.testing.assert_allclose(np.diff(printed)[:, 0] - np.diff(right)[:, 0], np.log(50 / gamma))


def test_the_bound_is_the_evidence_at_the_posterior_alone() -> None:
    f = points(6, 5)
    posterior, evidence = special.softmax(f, axis=1), special.logsumexp(f, axis=1)
    np.testing.assert_allclose(memory_creation.evidence_bound(posterior, f), evidence, rtol=1e-12)
    other = special.softmax(points(6, 5, "other"), axis=1)
    gap = special.rel_entr(other, posterior).sum(1)
    np.testing.assert_allclose(evidence - memory_creation.evidence_bound(other, f), gap, rtol=1e-9)


def test_the_flow_climbs_to_the_posterior() -> None:
    f = points(6, 4)
    path = memory_creation.assignment_flow(f, steps=1500)
    bounds = np.array([memory_creation.evidence_bound(q, f) for q in path])
    assert np.diff(bounds, axis=0).min() >= -1e-12
    np.testing.assert_allclose(path[-1], special.softmax(f, axis=1), atol=1e-6)
    greedy = memory_creation.assignment_flow(f, steps=3000, entropy=False)[-1]
    assert (greedy.max(1) > 0.9).all() and (greedy.argmax(1) == f.argmax(1)).all()


# -- refusals ------------------------------------------------------------------------------------------------

ROWS = np.ones((2, 3))
REFUSED = {
    "beta is 0": lambda: associative_memory.memory_energy(ROWS, ROWS, 0),
    "beta is nan": lambda: associative_memory.memory_posterior(ROWS, ROWS, float("nan")),
    r"memories has shape \(3,\)": lambda: associative_memory.memory_energy(ROWS, np.ones(3), 1.0),
    r"states have shape \(2, 3\): give rows of shape \(n, 2\)": lambda: associative_memory.memory_energy(
        ROWS, np.ones((4, 2)), 1.0
    ),
    "the entry inf: give finite numbers": lambda: associative_memory.memory_energy(
        ROWS, np.array([[1.0, np.inf, 0]]), 1.0
    ),
    "step is 1.5": lambda: associative_memory.retrieve(ROWS, ROWS, 1.0, step=1.5),
    "square_bandwidth is -1": lambda: associative_memory.mean_shift(ROWS, ROWS, -1),
    "patterns is 1": lambda: associative_memory.separation_needed(1.0, 1, 1.0),
    "dimension is 2": lambda: memory_limits.bulk_capacity(2, 1.0),
    "reach is 1": lambda: memory_limits.bulk_capacity(8, 1.0, 1.0),
    "less than D = 3": lambda: memory_limits.pair_capacity(3, 3.0),
    "dimension is 1": lambda: associative_memory.vmf_log_normalizer(1.0, 1),
    "concentration is -1": lambda: associative_memory.vmf_log_normalizer(-1.0, 3),
    "key 0 is 0": lambda: associative_memory.sphere_mixture(np.zeros((1, 3)), 1.0, np.zeros(3)),
    "alpha is -0.5: .* above -discount = -0.2": lambda: memory_creation.expected_memories(-0.5, 10, 0.2),
    "discount is 1": lambda: memory_creation.seating(np.ones(2), 1.0, 1.0),
    "counts has the entry 0": lambda: memory_creation.seating(np.zeros(2), 1.0),
    "points is 0": lambda: memory_creation.expected_memories(1.0, 0),
    "assignments must be shares": lambda: memory_creation.evidence_bound(np.ones((1, 2)), np.ones((1, 2))),
}


@pytest.mark.parametrize("words", REFUSED)
def test_outside_the_domain_is_refused_by_name(words: str) -> None:
    with pytest.raises(BadInput, match=words):
        REFUSED[words]()
