"""Geometry of point clouds: dimensions, isotropy, likeness of two descriptions; against truths and second ways.

With scikit-dimension 0.5.0 on its 24 manifolds (1,000 points each, run by hand), ``two_nn`` agreed within 0.16 and
``likelihood_dimension`` with its harmonic mean within 0.01. Here the same formulas are written a second time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from phasescope.instruments import neighbours as blocks
from phasescope.instruments.intrinsic_dimension import (
    IntrinsicDimension,
    Neighbourhood,
    distinct,
    gride,
    likelihood_dimension,
    two_nn,
)
from phasescope.instruments.isotropy import effective_rank, isoscore, outlier_dimensions, participation_ratio
from phasescope.instruments.similarity import linear_cka, neighbour_overlap
from phasescope.vocabulary import BadInput

G = np.random.default_rng(11)
Dimension = Callable[[Tensor], IntrinsicDimension]
DIMENSIONS: list[Dimension] = [two_nn, likelihood_dimension]


@pytest.fixture(autouse=True)
def same_numbers_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(__name__ + ".G", np.random.default_rng(12))


def white(*shape: int) -> Tensor:
    return torch.from_numpy(G.standard_normal(shape))


def sphere(n: int, d: int, width: int) -> Tensor:
    """Uniform on the d-sphere, which has no edge, turned into ``width`` dimensions."""
    x = white(n, d + 1)
    return torch.nn.functional.pad(x / x.norm(dim=1, keepdim=True), (0, width - d - 1)) @ turn(width)


def turn(width: int) -> Tensor:
    return torch.linalg.qr(white(width, width))[0]


def moved(x: Tensor) -> Tensor:
    """The same cloud turned, shifted, scaled and in another order."""
    return (3.7 * x @ turn(x.shape[1]) + white(x.shape[1]))[torch.from_numpy(G.permutation(len(x)))]


# -- intrinsic dimension


@pytest.mark.parametrize("estimate", DIMENSIONS)
@pytest.mark.parametrize("d", [1, 2, 4])
def test_dimension_of_spheres(estimate: Dimension, d: int) -> None:
    """A sphere has a known dimension and no edge, so that what is left is the sampling error and a little curvature."""
    found = estimate(sphere(1500, d, 12))
    assert abs(found.value - d) < 4 * found.error + 0.03 * d and found.duplicates == 0 and found.points == 1500


@pytest.mark.parametrize("estimate", DIMENSIONS)
def test_error_is_the_spread_over_draws(estimate: Dimension) -> None:
    """Neighbours are shared, so an error that takes points as independent would be too small for many neighbours."""
    found = [estimate(sphere(300, 3, 4)) for _ in range(120)]
    spread = np.std([f.value for f in found], ddof=1)
    assert np.mean([f.error for f in found]) == pytest.approx(spread, rel=0.25)  # itself known to 7 %


def test_error_of_independent_points_would_be_too_small() -> None:
    """The saboteur d / sqrt(N (k - 1)), which counts every distance as news, is well below the spread."""
    values = [likelihood_dimension(sphere(300, 5, 6), k=20).value for _ in range(60)]
    assert np.std(values, ddof=1) > 1.15 * 5 / (300 * 19) ** 0.5


def test_high_dimensions_are_underestimated() -> None:
    """The faces of an 18-cube, of dimension 17: 13.8 and 13.4 for scikit-dimension 0.5.0 (M10b_Cubic, 1,000 points)."""
    cube = torch.from_numpy(G.random((1000, 18)))
    cube[torch.arange(1000), torch.from_numpy(G.integers(18, size=1000))] = torch.from_numpy(
        G.integers(2, size=1000)
    ).double()
    assert two_nn(cube).value == pytest.approx(13.8, abs=1.5)
    assert likelihood_dimension(cube).value == pytest.approx(13.4, abs=0.6)


def ratios(x: Tensor, k: int) -> np.ndarray:
    distance, _ = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(x.numpy()).kneighbors(x.numpy())
    return distance[:, 1:]


def facco(x: Tensor) -> float:
    """The paper's own fit: a line through the origin of -log(1 - F) against log mu, without the last tenth."""
    r = ratios(x, 2)
    mu = np.sort(np.log(r[:, 1] / r[:, 0]))
    kept = int(0.9 * len(mu))
    y = -np.log(1 - np.arange(len(mu)) / len(mu))
    return float((mu[:kept] @ y[:kept]) / (mu[:kept] @ mu[:kept]))


@pytest.mark.parametrize("x", [sphere(1000, 3, 8), white(1000, 6), white(1000, 2) @ white(2, 9)])
def test_two_nn_is_the_papers_fit(x: Tensor) -> None:
    found = two_nn(x)
    assert found.value == pytest.approx(facco(x), abs=0.5 * found.error)


def test_likelihood_is_the_harmonic_mean_of_points() -> None:
    x = white(400, 5)
    r = ratios(x, 10)
    each = np.array([np.mean(np.log(row[-1] / row[:-1])) for row in r])
    assert likelihood_dimension(x).value == pytest.approx((1 - 1 / (400 * 9)) / each.mean(), rel=1e-10)


@pytest.mark.parametrize("estimate", DIMENSIONS)
def test_dimension_is_of_the_cloud(estimate: Dimension) -> None:
    """A dimension belongs to the cloud, not to its coordinates."""
    x = white(300, 4)
    assert estimate(moved(x)).value == pytest.approx(estimate(x).value, rel=1e-9)


@pytest.mark.parametrize("estimate", DIMENSIONS)
def test_repeated_and_rounded_rows_are_one_point(estimate: Dimension) -> None:
    """Rows that differ by rounding have neighbours at 1e-7, and would drag the dimension to zero."""
    x = white(300, 4).float()
    again = x[:90] * (1 + 3e-8)
    both = torch.cat([x, x[:50], torch.nextafter(again, torch.full_like(again, 9.0))])
    found, alone = estimate(both), estimate(x)
    assert (found.points, found.duplicates) == (300, 140) and found.value == alone.value
    blind = estimate(both.double())  # the saboteur: equal rows merged, rounded ones not
    assert blind.points > 300 and blind.value < 0.8 * alone.value


def test_distinct_keeps_the_first_of_each() -> None:
    x = torch.tensor([[1.0, 0], [0, 1], [1, 0], [1, 1e-9], [1, 0.1], [0, 1]])
    assert distinct(x).tolist() == [0, 1, 4]
    assert distinct(x, 0.2).tolist() == [0, 1]
    assert distinct(x.double()).tolist() == [0, 1, 3, 4]


def test_distinct_ends_on_many_near_rows() -> None:
    """Fifty rows within the resolution of each other, few of them each other's nearest: one is left."""
    x = 1 + 1e-9 * white(50, 3)
    assert len(distinct(x, 1e-6)) == 1


def test_neighbours_are_those_of_a_second_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also far from the origin, where inner products have lost the digits, and in blocks of a few rows."""
    x = 1e6 + white(200, 3)
    monkeypatch.setattr(blocks, "BLOCK", 7 * 200)
    distance, index = blocks.nearest(x, 5)
    expected, order = NearestNeighbors(n_neighbors=6, algorithm="kd_tree").fit(x.numpy()).kneighbors(x.numpy())
    assert np.array_equal(index.numpy(), order[:, 1:])
    assert np.allclose(distance.numpy(), expected[:, 1:], rtol=1e-9)


@pytest.mark.parametrize(("count", "k"), [(2, 1), (3, 2), (20, 19), (97, 2), (331, 1), (1000, 16)])
def test_neighbours_are_those_of_all_differences(count: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the sets in which they are searched (here of 1 to 9 rows), and in however small pieces."""
    x = white(count, 5)
    x[: count // 10] += 3
    exact = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    known = exact.topk(k, largest=False)
    for pieces in (blocks.PIECE, 1):
        monkeypatch.setattr(blocks, "PIECE", pieces)
        distance, index = blocks.nearest(x, k)
        assert torch.equal(index, known.indices)
        torch.testing.assert_close(distance, known.values, rtol=1e-12, atol=0)
    if k == 16:
        near = Neighbourhood(known.values, known.indices, 0)
        assert gride(x, n1=8).value == pytest.approx(gride(near, n1=8).value, rel=1e-12)
        assert gride(x, n1=8).error == pytest.approx(gride(near, n1=8).error, rel=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 5, 12])
def test_the_smallest_of_sets_are_the_smallest(groups: int) -> None:
    x = torch.from_numpy(G.integers(9, size=(30, 60)) / 8).float()  # many are equal
    values, columns = blocks._smallest(x, 5, groups)
    assert torch.equal(values, x.gather(1, columns))
    assert torch.equal(values.sort(1).values, x.topk(5, largest=False).values)
    assert all(len(set(row.tolist())) == 5 for row in columns)


# -- isotropy


def published_isoscore(points: np.ndarray) -> float:
    """The seven steps of Rudman et al. 2022, Algorithm 1, one by one; ``points`` (n dimensions, m samples)."""
    n = len(points)
    centred = points - points.mean(1, keepdims=True)
    variances = np.linalg.eigvalsh(np.cov(centred))
    scaled = np.sqrt(n) * variances / np.linalg.norm(variances)
    defect = np.linalg.norm(scaled - 1) / np.sqrt(2 * (n - np.sqrt(n)))
    share = (n - defect**2 * (n - np.sqrt(n))) ** 2 / n**2
    return float((n * share - 1) / (n - 1))


@pytest.mark.parametrize("n", [5, 40, 500])
def test_isoscore_is_the_published_algorithm(n: int) -> None:
    x = white(n, 12) * torch.arange(1, 13)
    assert float(isoscore(x)) == pytest.approx(published_isoscore(x.numpy().T), abs=1e-10)


def axes(variances: list[float]) -> Tensor:
    """A cloud with exactly these variances: plus and minus along each axis, off the origin."""
    return torch.cat([torch.diag(torch.tensor(variances).double().sqrt() * s) for s in (1, -1)]) + 5


def test_isotropy_closed_forms() -> None:
    even, one, two = axes([2.0] * 6), axes([1.0] + [0.0] * 5), axes([3.0, 3.0] + [0.0] * 4)
    for read, values in ((participation_ratio, (6, 1, 2)), (effective_rank, (6, 1, 2)), (isoscore, (1, 0, 0.2))):
        assert [float(read(x)) for x in (even, one, two)] == pytest.approx(values, abs=1e-6)
    assert float(participation_ratio(axes([4.0, 1.0]))) == pytest.approx(25 / 17)
    shares = np.array([2.0, 1.0]) / 3  # singular values, not variances
    assert float(effective_rank(axes([4.0, 1.0]))) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize("read", [participation_ratio, isoscore, effective_rank])
def test_isotropy_is_of_the_cloud(read: Callable[[Tensor], Tensor]) -> None:
    x = white(60, 7) * torch.arange(1, 8)
    assert float(read(moved(x))) == pytest.approx(float(read(x)), rel=1e-9)


def test_participation_of_noise_is_its_null() -> None:
    """(n D + 2)/(n + D + 1): the ratio of E tr(S)^2 and E tr(S^2) of a Wishart matrix of n = N - 1 degrees."""
    n, d = 79, 40
    found = np.mean([float(participation_ratio(white(n + 1, d))) for _ in range(40)])
    assert found == pytest.approx((n * d + 2) / (n + d + 1), rel=0.01)


def test_outlier_dimensions() -> None:
    x = white(400, 30)
    assert outlier_dimensions(x).tolist() == []
    x[:, 7] *= 4
    x[:, 20] *= 9
    assert outlier_dimensions(x).tolist() == [20]  # the mean variance has grown with it
    assert outlier_dimensions(x, 2.0).tolist() == [20, 7]
    assert outlier_dimensions(100 * x + 1e4).tolist() == [20]


# -- likeness


def kernel_cka(a: Tensor, b: Tensor) -> float:
    """Through N x N kernels and the centring matrix, as Kornblith et al. write it."""
    n = len(a)
    h = torch.eye(n).double() - 1 / n
    k, m = h @ a @ a.T @ h, h @ b @ b.T @ h
    return float((k * m).sum() / (k.norm() * m.norm()))


def kernel_unbiased(a: Tensor, b: Tensor) -> float:
    """Song et al.'s estimator, through N x N kernels with empty diagonals."""
    one = torch.ones(len(a)).double()

    def hsic(x: Tensor, y: Tensor) -> Tensor:
        n, k, m = len(x), x @ x.T, y @ y.T
        k, m = k - torch.diag(k.diag()), m - torch.diag(m.diag())
        return (
            (k @ m).trace() + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ k @ m @ one
        )

    return float(hsic(a, b) / (hsic(a, a) * hsic(b, b)).sqrt())


def test_cka_is_that_of_kernels() -> None:
    a = white(30, 6) + 2
    b = a[:, :3] ** 2 + white(30, 3)
    assert float(linear_cka(a, b, unbiased=False)) == pytest.approx(kernel_cka(a, b), rel=1e-10)
    assert float(linear_cka(a, b)) == pytest.approx(kernel_unbiased(a, b), rel=1e-9)


@pytest.mark.parametrize("unbiased", [False, True])
def test_cka_of_the_same_cloud_is_one(unbiased: bool) -> None:
    a = white(40, 6)
    assert float(linear_cka(a, 5 * a @ turn(6) + white(6), unbiased=unbiased)) == pytest.approx(1, abs=1e-9)


def test_cka_nulls() -> None:
    """Biased: near sqrt(D E/((n + D + 1)(n + E + 1))); unbiased: 0, also for fewer samples than dimensions."""
    n, d, e = 49, 60, 100
    pairs = [(white(n + 1, d), white(n + 1, e)) for _ in range(40)]
    biased = np.mean([float(linear_cka(a, b, unbiased=False)) for a, b in pairs])
    assert biased == pytest.approx((d * e / ((n + d + 1) * (n + e + 1))) ** 0.5, rel=0.02)
    unbiased = [float(linear_cka(a, b)) for a, b in pairs]
    assert abs(np.mean(unbiased)) < 4 * np.std(unbiased) / 40**0.5


def test_overlap() -> None:
    a = white(300, 5)
    assert float(neighbour_overlap(a, 2 * a @ turn(5) + 1).min()) == 1
    unrelated = neighbour_overlap(a, white(300, 9), 10)
    assert unrelated.shape == (300,) and float(unrelated.mean()) == pytest.approx(10 / 299, abs=0.012)
    order = torch.from_numpy(G.permutation(300))
    b = a + 0.3 * white(300, 5)
    assert float(neighbour_overlap(a[order], b[order]).mean()) == pytest.approx(float(neighbour_overlap(a, b).mean()))


def test_overlap_by_sets() -> None:
    a, b = white(50, 3), white(50, 4)
    orders = [ratios_index(x, 4) for x in (a, b)]
    expected = [len(set(i) & set(j)) / 4 for i, j in zip(*orders, strict=True)]
    assert neighbour_overlap(a, b, 4).tolist() == pytest.approx(expected)


def ratios_index(x: Tensor, k: int) -> np.ndarray:
    return np.asarray(NearestNeighbors(n_neighbors=k + 1).fit(x.numpy()).kneighbors(x.numpy())[1][:, 1:])


# -- what can not be read

FLAT = torch.ones(20, 3)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: two_nn(white(20)), "give 2 axes"),
        (lambda: two_nn(FLAT), "1 different points: give at least 10"),
        (lambda: two_nn(white(20, 2), discard=1.0), "discard is 1.0"),
        (lambda: two_nn(white(20, 2) * torch.nan), "nan in row 0"),
        (lambda: distinct(white(20, 2), -1), "resolution is -1"),
        (lambda: likelihood_dimension(white(20, 2), k=2), "k is 2: give a whole number from 3"),
        (lambda: likelihood_dimension(white(9, 2)), "give at least 12 different"),
        (lambda: two_nn(torch.cartesian_prod(*[torch.arange(5.0)] * 2)), "lie on a lattice"),
        (lambda: likelihood_dimension(torch.eye(30)), "equally near"),
        (lambda: participation_ratio(FLAT), "rows of points are the same"),
        (lambda: participation_ratio(0.1 * FLAT), "rows of points are the same"),
        (lambda: isoscore(white(20, 1)), "one dimension"),
        (lambda: outlier_dimensions(white(20, 2), 1.0), "factor is 1.0"),
        (lambda: linear_cka(white(20, 2), white(21, 2)), "20 and 21 rows"),
        (lambda: linear_cka(FLAT, white(20, 2)), "differ too little"),
        (lambda: linear_cka(white(3, 2), white(3, 2)), "at least 4 rows"),
        (lambda: neighbour_overlap(white(20, 2), white(20, 2), 20), "k of 20 points is 20: .* from 1 to 19"),
    ],
)
def test_refusals(read: Callable[[], object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read()


def test_neighbours_inside_clusters_that_are_far_apart() -> None:
    """Inner products can not tell them apart there, in float32 nor in float64; differences can."""
    from phasescope.instruments.neighbours import nearest

    g = np.random.default_rng(3)
    for width, apart in ((1.0, 1.0), (1e-3, 1.0), (1e-6, 100.0), (1e-9, 1e3)):
        inner = width * g.standard_normal((120, 4))
        rows = torch.from_numpy(np.concatenate([inner, inner[:60] + apart * np.array([1.0, 2, 0, 1])]))
        distances, indices = nearest(rows, 7)
        exact = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
        assert float((distances / exact.topk(7, largest=False).values - 1).abs().max()) < 1e-9, width
        assert float((exact.gather(1, indices) / distances - 1).abs().max()) < 1e-9, width
