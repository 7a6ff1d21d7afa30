"""Every invariance, bound and null that ``ps.profile``, ``dimension`` and ``isotropy`` declare, and second routes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import phasescope as ps
from phasescope.representation.dimension import ESTIMATORS

room = ps.representation
G = np.random.default_rng(12)
CLOUD = G.standard_normal((120, 5)) * [1, 1, 2, 2, 3] + 1
CENTRED = {"isoscore", "effective_rank", "top_share", "outliers"}
"""Readings of isotropy that do not see a shift."""
DIRECTED = {"entropy", "cosine", "uniformity"}
"""Those that do not see how long each row is."""


def readings(points: Any) -> dict[str, float]:
    found = {name: room.dimension(points, name).value for name in ESTIMATORS}
    return found | {name: one.value for name, one in room.isotropy(points).items()}


def turn(d: int) -> Any:
    return np.linalg.qr(G.standard_normal((d, d)))[0]


BEFORE = readings(CLOUD)
DIMENSIONS = set(ESTIMATORS)
EVERY = set(BEFORE)


def same(after: dict[str, float], names: set[str], within: float = 1e-8) -> None:
    for name in names:
        assert after[name] == pytest.approx(BEFORE[name], rel=within, abs=within), name


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda x: 1e8 * x, EVERY),
        (lambda x: 1e-8 * x, EVERY),
        (lambda x: x[G.permutation(len(x))], EVERY),
        (lambda x: x @ turn(5), EVERY - {"outliers"}),
        (lambda x: -x, EVERY),
        (lambda x: x[:, ::-1].copy(), EVERY),
        (lambda x: x + 1e3, DIMENSIONS | CENTRED),
        (lambda x: x * G.uniform(0.1, 9, (len(x), 1)), DIRECTED),
        (lambda x: x @ turn(200)[:5], (EVERY - {"isoscore", "uniformity", "outliers", "partition"})),
        (lambda x: np.hstack([x, np.full((len(x), 3), 4.0)]), DIMENSIONS | {"effective_rank", "top_share"}),
        (lambda x: np.hstack([x, np.zeros((len(x), 3))]), DIMENSIONS | {"effective_rank", "top_share", "entropy", "cosine"}),
        (lambda x: np.concatenate([x, x]), {"twonn", "gride", "mle", "pca90", "effective_rank", "entropy", "partition"}),
    ],
    ids=[
        "larger", "smaller", "order", "rotation", "reflection", "order of axes", "shift", "sizes of rows",
        "in more dimensions than points", "constant columns", "columns of zeros", "each row twice",
    ],
)  # fmt: skip
def test_declared_invariances(change: Callable[[Any], Any], kept: set[str]) -> None:
    same(readings(change(CLOUD)), kept, 1e-6)


def test_what_is_not_declared_is_not_so() -> None:
    """The same comparison must be able to fail."""
    shifted, sized = readings(CLOUD + 1e3), readings(CLOUD * G.uniform(0.1, 9, (120, 1)))
    for name in ("entropy", "cosine", "partition", "uniformity"):
        assert abs(shifted[name] - BEFORE[name]) > 0.01, name
    for name in ("twonn", "participation", "effective_rank"):
        assert abs(sized[name] - BEFORE[name]) > 0.01, name
    wide = readings(np.hstack([CLOUD, np.full((120, 3), 4.0)]))
    assert wide["isoscore"] == pytest.approx((BEFORE["participation"] - 1) / 7)  # of eight columns


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_short_floats_are_read_as_the_numbers_they_are(kind: torch.dtype) -> None:
    short = torch.from_numpy(CLOUD).to(kind)
    mine, exact = readings(short), readings(short.double())
    assert mine == pytest.approx(exact, rel=1e-9)
    same(mine, EVERY - {"twonn"}, {torch.float32: 1e-4, torch.float16: 0.03, torch.bfloat16: 0.2}[kind])
    assert readings(short.numpy() if kind != torch.bfloat16 else short.float().numpy()) == pytest.approx(mine, rel=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_rows_that_rounding_parts_are_one_point(kind: Any) -> None:
    points = (G.standard_normal((80, 6)) + 2).astype(kind)
    near = np.nextafter(points[:30], kind(100))
    for name in ("twonn", "gride", "mle"):
        one, other = room.dimension(points, name), room.dimension(np.concatenate([points, near]), name)
        assert other.duplicates == 30 and other.points == 80
        assert other.value == pytest.approx(one.value, rel=1e-6)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**30), st.integers(20, 60), st.integers(2, 90),
    st.sampled_from(["normal", "heavy", "clusters", "lattice", "line"]),
)  # fmt: skip
def test_bounds(seed: int, n: int, d: int, law: str) -> None:
    g = np.random.default_rng(seed)
    points = {
        "normal": lambda: g.standard_normal((n, d)),
        "heavy": lambda: g.standard_cauchy((n, d)),
        "clusters": lambda: g.standard_normal((n, d)) * 1e-3 + 50 * g.integers(0, 2, (n, 1)),
        "lattice": lambda: np.round(3 * g.standard_normal((n, d))),
        "line": lambda: np.outer(g.standard_normal(n), g.standard_normal(d)),
    }[law]()
    found = {name: one.value for name, one in room.isotropy(points).items()}
    assert all(math.isfinite(value) for value in found.values())
    assert -1e-12 <= found["isoscore"] <= 1 + 1e-12 and 0 < found["top_share"] <= 1 + 1e-12
    assert 1 - 1e-9 <= found["effective_rank"] <= min(d, n - 1) + 1e-9
    assert -1e-12 <= found["entropy"] <= math.log(min(n, d)) + 1e-9
    assert -1 - 1e-9 <= found["cosine"] <= 1 + 1e-9 and 0 <= found["partition"] <= 1
    assert 0 <= found["uniformity"] <= 2**0.5 + 1e-9 and 0 <= found["outliers"] <= d / 5
    for name in ("participation", "pca90"):
        assert 1 - 1e-9 <= room.dimension(points, name).value <= min(d, n - 1) + 1e-9
    if law in ("normal", "heavy", "clusters"):
        for name in ("twonn", "gride", "mle"):
            assert 0 < room.dimension(points, name).value < math.inf
    if law == "line":
        assert found["effective_rank"] == pytest.approx(1, abs=1e-5) and found["isoscore"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(60, 6), (40, 60), (120, 20)])
def test_nulls_are_those_of_white_noise(n: int, d: int) -> None:
    drawn = [room.isotropy(G.standard_normal((n, d))) for _ in range(25)]
    for name in ("isoscore", "entropy", "cosine", "outliers"):
        null = drawn[0][name].null
        if math.isnan(null):
            assert name == "entropy" and n < 4 * d
            continue
        values = np.array([one[name].value for one in drawn])
        room_for = {"entropy": 0.01, "isoscore": 0.002}.get(name, 0)  # to the next order in d / n
        assert abs(values.mean() - null) <= 4 * values.std() / 5 + room_for, (name, values.mean(), null)


def test_second_routes() -> None:
    """Each number by its formula, written out with all distances and all singular values."""
    distances = np.sort(np.linalg.norm(CLOUD[:, None] - CLOUD, axis=2), 1)[:, 1:]
    logs = np.log(distances[:, 9:10] / distances[:, :9])
    assert BEFORE["mle"] == pytest.approx((120 * 9 - 1) / logs.sum(), rel=1e-9)
    ratios = np.sort(np.log(distances[:, 1] / distances[:, 0]))
    assert BEFORE["twonn"] == pytest.approx(107 / (ratios[:108].sum() + 12 * ratios[107]), rel=1e-9)
    variances = np.linalg.svd(CLOUD - CLOUD.mean(0), compute_uv=False) ** 2
    shares = np.cumsum(variances) / variances.sum()
    assert BEFORE["pca90"] == 1 + int((shares < 0.9).sum())
    assert BEFORE["participation"] == pytest.approx(variances.sum() ** 2 / (variances**2).sum())
    sizes = np.sqrt(variances) / np.sqrt(variances).sum()
    assert BEFORE["effective_rank"] == pytest.approx(math.exp(-(sizes * np.log(sizes)).sum()))
    assert BEFORE["outliers"] == (CLOUD.var(0) >= 5 * CLOUD.var(0).mean()).sum()
    rows = CLOUD / np.linalg.norm(CLOUD, axis=1, keepdims=True)
    products = rows @ rows.T
    values = np.linalg.eigvalsh(rows.T @ rows / 120)
    assert BEFORE["entropy"] == pytest.approx(-(values * np.log(values)).sum(), rel=1e-9)
    assert BEFORE["partition"] == pytest.approx(room.partition_score(CLOUD), rel=1e-12)
    assert BEFORE["uniformity"] == pytest.approx(room.uniformity_w2(CLOUD), rel=1e-12)
    assert BEFORE["cosine"] == pytest.approx((products.sum() - 120) / (120 * 119))


def test_a_profile_is_its_parts() -> None:
    data = ps.profile({"cloud": CLOUD}).data
    for name, value in BEFORE.items():
        assert float(data[name][0]) == value, name
    for name in ESTIMATORS:
        one = room.dimension(CLOUD, name)
        assert float(data[f"{name}_error"][0]) == one.error
        known = float(data[f"{name}_calibrated"][0])
        assert known == one.calibrated or (math.isnan(known) and math.isnan(one.calibrated))
