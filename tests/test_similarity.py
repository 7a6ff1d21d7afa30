"""Similarities of representations: nulls by enumeration, errors by brute force, declared invariances and bounds, edges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance, procrustes
from torch import Tensor

from phasescope.instruments.similarity import linear_cka, neighbour_overlap
from phasescope.representation.similarity import canonical_correlations, relative_codes, shape_distance, stitch
from phasescope.representation.similarity_clouds import Cloud, groups_of, jackknife_error
from phasescope.representation.similarity_kernels import all_pairs, ceiling
from phasescope.representation.similarity_measures import MEASURES, Reading
from phasescope.representation.similarity_nulls import (
    PairSums,
    kernel_moments,
    pair_moments,
    pairing_moments,
    unbiased_spread,
)
from phasescope.vocabulary import BadInput

G = torch.Generator().manual_seed(3)
ORDERS = {n: [list(p) for p in itertools.permutations(range(n))] for n in (5, 6)}


def white(*shape: int, generator: torch.Generator = G) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def turn(n: int, generator: torch.Generator = G) -> Tensor:
    return torch.linalg.qr(white(n, n, generator=generator))[0]


def read(name: str, x: Any, y: Any, draws: int = 2) -> Reading:
    a, b = Cloud.of(x), Cloud.of(y)
    if name.startswith("cka"):
        table = all_pairs([a, b])[name == "cka_biased"]
        return Reading(*(float(t[0, 1]) for t in (table.values, table.errors, table.mean, table.spread)), ceiling(a, b))
    return MEASURES[name](a, b, draws, np.random.default_rng(0))


EVERY = ["cka", "cka_biased", *MEASURES]
LINKED = white(48, 5)
OTHER = LINKED[:, :2] @ white(2, 7) + white(48, 7) + 3

# -- nulls: over every order there is


def moments(of: Callable[[list[int]], Tensor], count: int = 6) -> tuple[float, float]:
    values = torch.stack([of(order) for order in ORDERS[count]])
    return float(values.mean()), float(values.std(correction=0))


def centred(x: Tensor) -> Tensor:
    return (x - x.mean(0)) @ (x - x.mean(0)).T


def test_null_of_pairs() -> None:
    a, b, off = white(6, 6), white(6, 6), 1 - torch.eye(6)
    expected = moments(lambda p: (a * off * b[p][:, p]).sum())
    assert pair_moments(PairSums.of(a), PairSums.of(b)) == pytest.approx(expected, rel=1e-10)


def test_null_of_kernels() -> None:
    k, m = centred(white(6, 3)), centred(white(6, 2))
    expected = moments(lambda p: (k * m[p][:, p]).sum() / (k.norm() * m.norm()))
    sums = [tuple(float(v) for v in (x.trace(), x.square().sum(), x.diag().square().sum())) for x in (k, m)]
    assert kernel_moments(6, *sums) == pytest.approx(expected, rel=1e-10)  # type: ignore[arg-type]


def test_null_of_the_unbiased_cka() -> None:
    a, b = white(5, 3) ** 3, white(5, 9)
    mean, spread = moments(lambda p: linear_cka(a, b[p]), 5)
    assert (mean, spread) == (pytest.approx(0, abs=1e-12), pytest.approx(unbiased_spread(5)))
    assert unbiased_spread(6) == pytest.approx(1 / 3)


def test_null_of_pairings() -> None:
    a, b = white(6, 3) + 1, white(6, 3) + 2
    assert pairing_moments(a, b) == pytest.approx(moments(lambda p: (a * b[p]).sum(1).mean()), rel=1e-10)


@pytest.mark.parametrize("name", ["cca", "svcca", "procrustes", "rsa", "neighbours"])
def test_nulls_are_those_of_shuffled_stimuli(name: str) -> None:
    """Through the whole measure. Relative codes keep their anchors, so shuffling all is not their null."""
    found, order = read(name, LINKED, OTHER, 40), np.random.default_rng(1)
    drawn = [read(name, LINKED, OTHER[order.permutation(48)]).value for _ in range(40)]
    assert np.mean(drawn) == pytest.approx(found.null_mean, abs=6 * found.null_sd / 40**0.5)
    assert np.std(drawn) == pytest.approx(found.null_sd, rel=0.5)
    assert found.z > 5


# -- what unrelated clouds read: closed forms


def test_validated_nulls() -> None:
    a, b = white(1000, 50), white(1000, 100)
    squares = canonical_correlations(a, b).square()
    c, e = 0.05, 0.1
    edge = c + e - 2 * c * e + 2 * math.sqrt(c * e * (1 - c) * (1 - e))
    assert float(squares.mean()) == pytest.approx(0.1, abs=0.003)  # max(D, E)/N; measured elsewhere 0.1003
    assert edge == pytest.approx(0.271, abs=5e-4)  # Wachter's edge, approached from below: 0.258 there
    assert edge - 0.03 < float(squares[0]) < edge
    x, y = white(500, 50), white(500, 50)
    cosine = read("procrustes", x, y, 2).value
    assert cosine == pytest.approx(8 / (3 * math.pi) * math.sqrt(50 / 500), rel=0.04)  # 0.268; measured elsewhere 0.261
    assert math.cos(shape_distance(x, y)) == pytest.approx(cosine, rel=1e-9)
    assert read("cka_biased", x, y).null_mean == pytest.approx(0.1 / 1.1, rel=0.03)  # (N/M)/(1 + N/M)
    assert read("neighbours", x, y).null_mean == pytest.approx(10 / 499, rel=1e-9)
    for name in ("cka", "cka_biased", "cca", "rsa", "neighbours", "retrieval"):
        assert abs(read(name, x, y).z) < 4


@pytest.mark.parametrize("count", [32, 400])
def test_the_correction_leaves_nothing_of_unrelated_clouds(count: int) -> None:
    x, y = white(count, 10), white(count, 10)
    found = read("procrustes", x, y, 40)
    assert abs(found.corrected) < 0.12 * math.sqrt(32 / count) and found.value > 2 * abs(found.corrected)


# -- errors: leaving out groups by brute force


@pytest.mark.parametrize("name", ["cka", "cka_biased", "cca", "rsa", "neighbours", "procrustes"])
def test_errors_are_those_of_stimuli_left_out(name: str) -> None:
    left = []
    for group in groups_of(48):
        kept = torch.ones(48, dtype=torch.bool)
        kept[group] = False
        left.append(read(name, LINKED[kept], OTHER[kept]).value)
    expected = float(jackknife_error(torch.tensor(left, dtype=torch.float64)))
    # Procrustes to first order
    assert read(name, LINKED, OTHER).error == pytest.approx(expected, rel=0.2 if name == "procrustes" else 1e-8)


def test_errors_are_the_spread_over_draws_of_stimuli() -> None:
    mix, found = white(2, 7), []
    for _ in range(40):
        x = white(60, 5)
        found.append(read("cka", x, x[:, :2] @ mix + white(60, 7)))
    assert np.median([one.error for one in found]) == pytest.approx(np.std([one.value for one in found]), rel=0.3)


# -- laws


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**30), st.integers(1, 6), st.integers(1, 6), st.integers(10, 40), st.floats(-6, 6))
def test_laws(seed: int, d: int, e: int, count: int, power: float) -> None:
    """Invariant to rotations, shifts and scale; symmetric; in bounds; 1 for the same cloud."""
    g = torch.Generator().manual_seed(seed)
    x = white(count, d, generator=g)
    y = x[:, :1] @ white(1, e, generator=g) + white(count, e, generator=g)
    moved = 10**power * (x @ turn(d, generator=g) + white(d, generator=g))
    for name in EVERY:
        found, again = read(name, x, y), read(name, moved, y)
        assert again.value == pytest.approx(found.value, abs=1e-6), name
        assert again.null_mean == pytest.approx(found.null_mean, abs=1e-5 if name != "procrustes" else 1), name
        assert -1 - 1e-9 <= found.value <= 1 + 1e-9, name
        if name != "cka":
            assert found.value <= found.ceiling + 1e-9, name
        if name != "retrieval":
            assert read(name, y, x).value == pytest.approx(found.value, abs=1e-9), name
        same = read(name, x, moved).value
        assert same == pytest.approx(1, abs=1e-6) or (name == "retrieval" and d == 1) or math.isnan(same), name
    assert 0 <= shape_distance(x, y) <= math.pi / 2 + 1e-9
    assert shape_distance(x, moved) < 1e-7


@pytest.mark.parametrize("name", ["cka_biased", "procrustes"])
def test_ceilings_are_reached_by_common_axes_and_by_no_others(name: str) -> None:
    axes = torch.linalg.qr(white(40, 4) - white(40, 4).mean(0))[0]
    axes = torch.linalg.qr(axes - axes.mean(0))[0]
    x, y = axes * torch.tensor([4.0, 2, 1, 1]), axes * torch.tensor([3.0, 3, 2, 1])
    found = read(name, x, y)
    assert found.value == pytest.approx(found.ceiling, rel=1e-9) and found.ceiling < 0.99
    swapped = read(name, x, y[:, [3, 2, 1, 0]] @ turn(4))
    assert swapped.value == pytest.approx(found.value) and swapped.ceiling == pytest.approx(found.ceiling)
    wrong = read(name, x, axes * torch.tensor([1.0, 2, 3, 3]))
    assert wrong.value < 0.9 * wrong.ceiling and wrong.ceiling == pytest.approx(found.ceiling)


def test_cca_is_invariant_to_linear_maps_and_cka_is_not() -> None:
    bent = LINKED @ (turn(5) * torch.tensor([1.0, 2, 4, 8, 16]))
    assert read("cca", bent, OTHER).value == pytest.approx(read("cca", LINKED, OTHER).value, rel=1e-9)
    assert abs(read("cka", bent, OTHER).value - read("cka", LINKED, OTHER).value) > 0.01


def test_shapes_obey_the_triangle() -> None:
    for _ in range(30):
        x, y, z = white(20, 3), white(20, 4), white(20, 2)
        assert shape_distance(x, z) <= shape_distance(x, y) + shape_distance(y, z) + 1e-9
    assert shape_distance(x, y) == pytest.approx(shape_distance(y, x), rel=1e-9)


def test_values_are_those_of_others() -> None:
    """Second routes: scipy's Spearman and Procrustes, canonical correlations by eigenvalues, the house's neighbours."""
    x, y = LINKED.numpy(), OTHER.numpy()
    assert read("rsa", x, y).value == pytest.approx(stats.spearmanr(distance.pdist(x), distance.pdist(y))[0], rel=1e-9)
    wide = np.pad(x, ((0, 0), (0, 2)))
    assert read("procrustes", x, y).value ** 2 == pytest.approx(1 - procrustes(wide, y)[2], rel=1e-9)
    a, b = x - x.mean(0), y - y.mean(0)
    square = np.linalg.solve(a.T @ a, a.T @ b) @ np.linalg.solve(b.T @ b, b.T @ a)
    np.testing.assert_allclose(canonical_correlations(x, y).square(), np.sort(np.linalg.eigvals(square).real)[::-1])
    assert read("cca", x, y).value == pytest.approx(np.trace(square) / 5, rel=1e-9)
    assert read("neighbours", x, y).value == pytest.approx(float(neighbour_overlap(x, y, 10).mean()))


def test_rank_correlations_with_and_without_ties_agree() -> None:
    from phasescope.representation.similarity_measures import _with_ties, _without_ties

    rows, columns = torch.triu_indices(20, 20, 1)
    sides = [white(len(rows)) for _ in range(2)]
    fast = _without_ties([side.numpy().argsort() for side in sides], rows.numpy(), columns.numpy())
    slow = _with_ties(sides, rows, columns)
    for kept in (torch.ones(20, dtype=torch.bool), torch.arange(20) % 3 > 0):
        pairs = kept[rows] & kept[columns]
        expected = stats.spearmanr(*(side[pairs].numpy() for side in sides))[0]
        assert float(fast(kept)) == pytest.approx(expected, rel=1e-12) == pytest.approx(float(slow(kept)), rel=1e-12)


# -- relative codes


def test_relative_codes_stitch_what_is_turned() -> None:
    x = white(240, 40)
    y, labels = 3 * x @ turn(40) + 1, (x[:, 0] + x[:, 1] > 0).long()
    codes = [relative_codes(side, side[:40]) for side in (x, y)]
    assert float((codes[0] - codes[1]).abs().max()) < 1e-13
    assert read("retrieval", x, y).value == 1
    found = stitch(x, y, labels, anchors=60)
    assert found.stitched == found.own > 0.75 > 0.65 > found.absolute
    shuffled = stitch(x, y[torch.randperm(240, generator=G)], labels, anchors=60)
    assert shuffled.stitched < 0.65
    assert "stitched" in str(found)


def test_codes_by_distances_are_the_distances_and_have_their_invariances() -> None:
    x = white(30, 6)
    for name, metric in (("euclidean", "euclidean"), ("l1", "cityblock"), ("linf", "chebyshev")):
        codes = relative_codes(x, x[:8], name)
        unit = distance.pdist(x[:8].numpy(), metric).mean()
        np.testing.assert_allclose(codes, distance.cdist(x.numpy(), x[:8].numpy(), metric) / unit, atol=1e-12)
        signs = torch.tensor([1.0, -1, 1, -1, -1, 1])
        for moved in (5 * x + 3, x[:, [3, 1, 0, 5, 4, 2]] * signs):
            assert float((relative_codes(moved, moved[:8], name) - codes).abs().max()) < 1e-12
        apart = float((relative_codes(x @ turn(6), x[:8] @ turn(6), name) - codes).abs().max())
        assert apart > 0.01  # two different rotations
    same = turn(6)
    assert (
        float((relative_codes(x @ same, x[:8] @ same, "euclidean") - relative_codes(x, x[:8], "euclidean")).max())
        < 1e-12
    )
    assert float((relative_codes(x @ same, x[:8] @ same, "l1") - relative_codes(x, x[:8], "l1")).abs().max()) > 0.01


def test_nulls_and_bounds_of_codes_shapes_and_stitching() -> None:
    """What the single functions declare: white noise, unrelated stimuli, labels that mean nothing."""
    codes = relative_codes(white(900, 25), white(200, 25))
    assert float(codes.abs().max()) <= 1 + 1e-12
    assert abs(float(codes.mean())) < 4 / 5 / 200**0.5 and float(codes.var()) == pytest.approx(1 / 25, rel=0.1)
    apart = relative_codes(white(900, 25), white(200, 25), "euclidean")
    assert float(apart.mean()) == pytest.approx(1, rel=0.05) and float(apart.min()) >= 0
    x, y = white(300, 20), white(300, 30)
    squares = [float(canonical_correlations(x, y[torch.randperm(300, generator=G)]).square().mean()) for _ in range(20)]
    assert np.mean(squares) == pytest.approx(30 / 299, abs=4 * np.std(squares) / 20**0.5)
    assert canonical_correlations(x, y).shape == (20,) and 0 <= float(canonical_correlations(x, x).max()) <= 1
    distances = [shape_distance(white(400, 20), white(400, 20)) for _ in range(8)]
    assert np.mean(distances) == pytest.approx(math.acos(8 / (3 * math.pi) * math.sqrt(20 / 400)), rel=0.01)
    labels = torch.randint(0, 3, (300,), generator=G)
    nothing = stitch(x, y, labels, anchors=60)
    assert abs(nothing.stitched - nothing.chance) < 4 * max(nothing.error, 0.03)
    same = stitch(x, 7 * x @ turn(20) - 3, (x[:, 0] > 0).long(), anchors=60)
    assert same.stitched == same.own


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_single_functions_read_short_floats_as_the_numbers_they_are(kind: torch.dtype) -> None:
    x, y = LINKED.to(kind), OTHER.to(kind)
    assert shape_distance(x, y) == pytest.approx(shape_distance(x.double(), y.double()), rel=1e-6)
    for of in (canonical_correlations, lambda a, b: relative_codes(a, a[:9])):
        assert float((of(x, y) - of(x.double(), y.double())).abs().max()) < 1e-6
    padded = torch.cat([x, torch.ones(48, 2, dtype=kind)], 1)
    assert shape_distance(padded, y) == pytest.approx(shape_distance(x, y), rel=1e-6)
    assert float((canonical_correlations(padded, y) - canonical_correlations(x, y)).abs().max()) < 1e-6
    twice = torch.cat([x, x]), torch.cat([y, y])
    assert shape_distance(*twice) == pytest.approx(shape_distance(x, y), rel=1e-6)
    assert shape_distance(white(20, 60), white(20, 50)) < math.pi / 2  # fewer stimuli than dimensions


# -- edges


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", EVERY)
def test_short_floats_are_read_as_the_numbers_they_are(name: str, kind: torch.dtype) -> None:
    x, y = LINKED.to(kind), OTHER.to(kind)
    assert read(name, x, y).value == pytest.approx(read(name, x.double(), y.double()).value, abs=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_duplicates_constants_and_more_dimensions_than_stimuli(name: str) -> None:
    padded = torch.cat([LINKED, torch.full((48, 2), 7.0).double(), LINKED[:, :1]], 1)
    lesser = read(name, padded, OTHER)
    assert math.isfinite(lesser.value)
    twice = torch.cat([LINKED, LINKED]), torch.cat([LINKED, LINKED])
    # of two equal codes either may be the nearest
    assert read(name, *twice).value == pytest.approx(0.5 if name == "retrieval" else 1)
    wide = read(name, white(30, 90), white(30, 80))
    if name == "cca":
        assert math.isnan(wide.z) and wide.null_mean == 1  # it can tell nothing
    else:
        assert abs(wide.z) < 5
    constant = read(name, torch.cat([LINKED, torch.full((48, 2), 7.0).double()], 1), OTHER).value
    assert constant == pytest.approx(read(name, LINKED, OTHER).value, rel=1e-9)


def test_distances_that_are_all_the_same_are_no_reading() -> None:
    assert math.isnan(read("rsa", torch.eye(12), white(12, 3)).value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: shape_distance(white(7, 2), white(7, 2)), "at least 8 rows"),
        (lambda: shape_distance(white(9, 2), white(8, 2)), "9 and 8 rows"),
        (lambda: shape_distance(torch.ones(9, 2), white(9, 2)), "rows of first are the same"),
        (lambda: shape_distance(white(9, 2) * math.nan, white(9, 2)), "nan in row 0"),
        (lambda: canonical_correlations(white(20, 30), white(20, 2)), "give more stimuli"),
        (lambda: relative_codes(white(20, 3), white(5, 2)), "those of one space"),
        (lambda: relative_codes(white(20, 3), torch.ones(5, 3), "l1"), "all 5 anchors are the same"),
        (lambda: relative_codes(white(20, 3), white(5, 3), "l3"), "choose one of cosine, euclidean"),
        (lambda: stitch(white(30, 3), white(30, 3), torch.zeros(30).long(), anchors=20), "from 2 to 10"),
        (lambda: stitch(white(30, 3), white(31, 3), torch.zeros(30).long(), anchors=5), "30 and 31 rows"),
    ],
)
def test_refusals(call: Callable[[], object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        call()
