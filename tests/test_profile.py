"""``ps.profile``: dimensions and isotropy against closed forms, second routes, laws; places of a model, resumed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import nn

import phasescope as ps
from phasescope.instruments import intrinsic_dimension, isotropy, signal
from phasescope.representation import profile as room_profile
from phasescope.representation.dimension import ESTIMATORS, calibrated, components, unbiased_participation
from phasescope.vocabulary import BadInput

room = ps.representation


def noise(seed: int, n: int, d: int) -> Any:
    return np.random.default_rng(seed).standard_normal((n, d))


# -- dimension ---------------------------------------------------------------------------------------------------------


def test_gride_is_the_maximum_of_its_density() -> None:
    """By the density itself, maximized without derivatives; neighbours by all distances."""
    points = noise(0, 200, 3)
    distances = np.sort(np.linalg.norm(points[:, None] - points, axis=2), 1)[:, 1:]
    for n1 in (1, 2, 5):
        n2 = 2 * n1
        mu = distances[:, n2 - 1] / distances[:, n1 - 1]

        def loss(d: float, mu: Any = mu, n1: int = n1, n2: int = n2) -> float:
            return -float(np.sum(np.log(d) + (n2 - n1 - 1) * np.log(mu**d - 1) - (d * (n2 - 1) + 1) * np.log(mu)))

        best = optimize.minimize_scalar(loss, bounds=(0.5, 20), method="bounded", options={"xatol": 1e-9}).x
        assert intrinsic_dimension.gride(points, n1=n1).value == pytest.approx(best, rel=1e-6)


@pytest.mark.slow
def test_errors_are_the_spread_over_clouds() -> None:
    for name in ESTIMATORS:
        read = [room.dimension(noise(seed, 150, 3) * [1, 2, 3], name) for seed in range(30)]
        spread = np.std([one.value for one in read], ddof=1)
        if name != "pca90":  # a whole number
            assert 0.65 < np.mean([one.error for one in read]) / spread < 1.5, name


def test_white_noise_reads_its_dimension_once_calibrated() -> None:
    """Clouds and numbers of points that are not in the table; raw TwoNN falls short by a fifth."""
    for n, d in ((500, 5), (700, 20)):
        for name in ESTIMATORS[:4]:
            one = room.dimension(noise(90 + d, n, d), name)
            assert abs(one.calibrated - d) < 3 * one.calibrated_error + 0.03 * d, (name, d, one)
    assert room.dimension(noise(110, 700, 20), "twonn").value < 17
    ball = noise(5, 1000, 11)
    sphere = ball / np.linalg.norm(ball, axis=1, keepdims=True)
    one = room.dimension(sphere, "twonn")  # ten dimensions: the specification measured 9.44 at 2,000 points
    assert abs(one.value - 9.4) < 3 * one.error


def test_calibration_ends_with_its_table() -> None:
    assert math.isnan(calibrated("twonn", 60.0, 1000)[0]) and math.isnan(calibrated("mle", 3.0, 99)[0])
    assert calibrated("gride", 12.186, 1000)[0] == pytest.approx(16)
    assert calibrated("mle", 0.5, 1000)[0] == pytest.approx(0.5, rel=0.01)


def test_dimensions_by_variance_have_closed_forms() -> None:
    points = noise(1, 60, 4)
    read = room.dimension(points, "participation")
    assert read.value == pytest.approx(float(isotropy.participation_ratio(points)), rel=1e-10)
    assert room.dimension(noise(2, 40, 400), "participation").value < 45  # the bound N - 1
    wide = room.dimension(noise(2, 40, 400), "participation")
    assert abs(wide.calibrated - 400) < 0.25 * 400  # the sample's own correction, by unbiased moments
    assert components(np.array([8.0, 1.0, 1.0])) == pytest.approx(2.0)
    assert room.dimension(np.repeat(np.eye(10), 3, 0), "pca90").value == 9  # nine equal variances hold 8.1 of 9


# -- isotropy ----------------------------------------------------------------------------------------------------------


def test_isotropy_agrees_with_the_instruments() -> None:
    for n, d in ((80, 6), (30, 50)):
        points = noise(3, n, d) * np.linspace(1, 3, d) + 0.5
        read = room.isotropy(points)
        assert read["isoscore"].value == pytest.approx(float(isotropy.isoscore(points)), rel=1e-10)
        assert read["effective_rank"].value == pytest.approx(float(isotropy.effective_rank(points)), rel=1e-6)
        assert read["cosine"].value == pytest.approx(float(signal.mean_cosine(points)), rel=1e-9)
        values = np.linalg.svd(points - points.mean(0), compute_uv=False) ** 2
        assert read["top_share"].value == pytest.approx(values[0] / values.sum(), rel=1e-10)


def test_entropy_partition_and_uniformity_by_their_definitions() -> None:
    points = noise(4, 70, 5) + 0.7
    rows = points / np.linalg.norm(points, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(rows.T @ rows / len(rows))
    assert room.von_neumann_entropy(points) == pytest.approx(-np.sum(values * np.log(values)), rel=1e-9)
    covariance = np.cov(rows.T, bias=True)
    mean = rows.mean(0)
    w2 = mean @ mean + 1 + np.trace(covariance) - 2 / 5**0.5 * np.sqrt(np.linalg.eigvalsh(covariance)).sum()
    assert room.uniformity_w2(points) == pytest.approx(w2**0.5, rel=1e-9)
    scaled = points / np.sqrt(np.square(points).mean())
    axes = np.linalg.eigh(scaled.T @ scaled)[1]
    sums = np.exp(scaled @ np.hstack([axes, -axes])).sum(0)
    assert room.partition_score(points) == pytest.approx(sums.min() / sums.max(), rel=1e-9)


@pytest.mark.slow
def test_the_numbers_of_the_specification() -> None:
    """k of m = 256 directions at N = 4,000: entropy 5.51, 4.84, 4.15; W2 0.129, 0.769, 1.001."""
    for k, entropy, distance in ((256, 5.51, 0.129), (128, 4.84, 0.769), (64, 4.15, 1.001)):
        points = np.zeros((4000, 256))
        points[:, :k] = noise(k, 4000, k)
        assert room.von_neumann_entropy(points) == pytest.approx(entropy, abs=0.01)
        assert room.von_neumann_entropy(points) == pytest.approx(math.log(k) - k / 8000, abs=0.01)
        assert room.uniformity_w2(points) == pytest.approx(distance, abs=0.005)


@pytest.mark.slow
def test_isotropy_errors_by_leaving_rows_out_for_good() -> None:
    """The eigenvalues without a run of rows to first order, against all taken again."""
    points = noise(6, 400, 5) * [1, 1, 2, 2, 4]
    read = room.isotropy(points)
    parts = np.array_split(points, 20)
    again = [room.isotropy(np.concatenate([*parts[:i], *parts[i + 1 :]])) for i in range(20)]
    for name, one in read.items():
        if name != "outliers":
            whole = math.sqrt(19 * np.var([left[name].value for left in again]))
            assert one.error == pytest.approx(whole, rel=0.15), name


# -- laws --------------------------------------------------------------------------------------------------------------

CLOUD = noise(7, 200, 6) * [1, 1, 1, 2, 2, 3] + 1
TURN = np.linalg.qr(noise(8, 6, 6))[0]


def all_of(points: Any) -> dict[str, float]:
    read = {name: room.dimension(points, name).value for name in ESTIMATORS}
    return read | {name: one.value for name, one in room.isotropy(points).items()}


@pytest.mark.parametrize(
    ("change", "but"),
    [
        (lambda x: x @ TURN, {"outliers"}),
        (lambda x: 1e-3 * x, set()),
        (lambda x: x[::-1].copy(), set()),
        (lambda x: x + 5, {"entropy", "cosine", "partition", "uniformity"}),
        (lambda x: x.astype(np.float32), set()),
        (lambda x: np.concatenate([x, x]), {"isoscore", "participation"}),
    ],
    ids=["rotation", "scale", "order", "shift", "float32", "each row twice"],
)
def test_what_a_cloud_does_not_change(change: Any, but: set[str]) -> None:
    before, after = all_of(CLOUD), all_of(change(CLOUD))
    for name in before.keys() - but:
        assert after[name] == pytest.approx(before[name], rel=2e-3 if name in ("cosine",) else 2e-4, abs=6e-3), name


def test_bounds_and_constant_columns() -> None:
    for points in (noise(9, 30, 100), np.hstack([CLOUD, np.ones((200, 3))]), CLOUD.astype(np.float16)):
        read, (n, d) = all_of(points), points.shape
        assert all(math.isfinite(value) for value in read.values())
        assert 0 <= read["isoscore"] <= 1 and 0 < read["top_share"] <= 1 and 0 <= read["partition"] <= 1
        assert 0 <= read["entropy"] <= math.log(min(n, d)) + 1e-12 and 0 <= read["uniformity"] <= 2**0.5 + 1e-9
        assert 1 <= read["participation"] <= min(d, n - 1) and 1 <= read["pca90"] <= min(d, n - 1)


def test_refusals_name_the_mend() -> None:
    with pytest.raises(BadInput, match="18 different"):
        room.dimension(noise(0, 12, 3), "twonn")
    with pytest.raises(BadInput, match=r"at least 18, .* more points"):
        ps.profile(noise(0, 12, 3))
    with pytest.raises(BadInput, match=r"at least 18, .* by='token'"):
        ps.profile(network(), torch.ones(12, 8))
    with pytest.raises(BadInput, match="rows that differ"):
        room.isotropy(np.ones((30, 4)))
    with pytest.raises(BadInput, match="no batch"):
        ps.profile(nn.Linear(2, 2))
    with pytest.raises(BadInput, match="choose one of twonn, gride"):
        room.dimension(CLOUD, "three_nn")


# -- the profile -------------------------------------------------------------------------------------------------------


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(part for _ in range(3) for part in (nn.Linear(8, 8), nn.Tanh())))


def test_profile_of_a_model_is_kept_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = network(), torch.from_numpy(noise(1, 60, 8)).float()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen: list[str] = []
    found = ps.profile(model, batch, out=tmp_path / "run", on_progress=lambda what, done, total: seen.append(what))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert seen == ["running the model", *found.data.place.values]
    first = float(found.data.twonn.values[0])
    assert first == room.dimension(batch, "twonn").value
    assert all(found.data[key].attrs.keys() == {"units", "source"} for key in found.data.data_vars)
    monkeypatch.setattr(room_profile.__globals__["Spectrum"], "of", None)  # nothing is read again
    assert ps.profile(model, batch, out=tmp_path / "run").data.equals(found.data)


def test_float64_points_that_float32_does_not_tell_apart_are_not_each_others(tmp_path: Path) -> None:
    """What is kept of one cloud is not given for another, and a refusal leaves no folder."""
    first = torch.from_numpy(noise(0, 40, 4)) + 1e9
    second = torch.from_numpy(noise(1, 40, 4)) + 1e9
    assert torch.equal(first.float(), second.float()) or (first.float() == second.float()).float().mean() > 0.9
    kept = [ps.profile(cloud, out=tmp_path / "run").data for cloud in (first, second)]
    assert kept[1].equals(ps.profile(second).data) and not kept[0].equals(kept[1])
    with pytest.raises(BadInput, match="at least 18"):
        ps.profile({"many": noise(0, 40, 3), "few": noise(0, 12, 3)}, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_places_that_differ_by_rounding_alone_are_one_point() -> None:
    """A matrix product rounds equal rows each a little otherwise: no shape of such rows is told."""
    same = (np.full((40, 6), 0.1) * (1 + 1.2e-7 * (np.arange(40) % 3)[:, None])).astype(np.float32)
    assert len(np.unique(same)) > 1
    found = ps.profile({"same": same})
    assert "are the same" in found.notes[0] and math.isnan(found.data.participation.item())
    with pytest.raises(BadInput, match="are the same"):
        ps.compare(same, noise(0, 40, 3), draws=2)
    near = np.full((40, 6), 1e6) + noise(0, 40, 6)  # float64 holds these
    assert ps.profile(near).data.participation.item() == pytest.approx(ps.profile(noise(0, 40, 6)).data.participation)


def test_points_far_from_the_origin_have_one_direction_and_no_warning() -> None:
    found = ps.profile(noise(0, 60, 6) + 1e12).data
    assert found.uniformity.item() == pytest.approx(math.sqrt(2), abs=1e-5) and math.isnan(
        found.uniformity_error.item()
    )


def test_places_that_can_not_be_read_say_why() -> None:
    same = np.ones((40, 3))
    found = ps.profile({"cloud": CLOUD, "same": same, "few": np.repeat(CLOUD[:9], 5, 0)})
    assert math.isnan(found.data.twonn.values[1]) and math.isnan(found.data.twonn.values[2])
    assert found.data.isoscore.values[2] > 0
    assert "same: all 40 rows" in found.notes[0] and "few: 45 rows are 9 different points" in found.notes[1]
    assert str(found).count("\n") > 8 and json.dumps(found.to_json(), allow_nan=False)
    assert len(found.figure().panels) == 4


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phasescope.commands.profile import profiled

    np.save(tmp_path / "batch.npy", noise(1, 60, 8))
    (tmp_path / "my_profile_model.py").write_text(
        "import torch\nfrom torch import nn\n\ndef made():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(*(p for _ in range(3) for p in (nn.Linear(8, 8), nn.Tanh())))\n"
    )
    monkeypatch.chdir(tmp_path)
    told = profiled("my_profile_model:made", tmp_path / "batch.npy", None, "sample", 50, tmp_path / "run", print)
    assert told.document["places"][0]["points"] == 50 and "TwoNN dimension" in told.text
    assert told.page.tables[0].rows[0][0] == "input" and "--points 50" in told.page.command


def test_the_calibrated_participation_undoes_what_few_normal_points_add() -> None:
    """Where the sample's moments are the expected ones of white noise in D dimensions, it reads D."""
    d, n = 6, 11
    trace, squares = d**2 + 2 * d / n, (1 + 1 / n) * d + d**2 / n  # E (tr S)^2 and E tr(S^2)
    mean = np.sqrt(trace) / d
    spread = np.sqrt(squares / d - mean**2)
    variances = np.repeat([mean + spread, mean - spread], d // 2)
    assert unbiased_participation(variances, n) == pytest.approx(d, rel=1e-12)
