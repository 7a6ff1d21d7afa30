"""The study ``transfer-distances``: its distances by other routes, its networks, its digits, and the laws of all studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from phasescope import lab
from phasescope.ensemble import streams
from phasescope.lab import measures
from phasescope.studies.transfer_distances import STUDY, gaussian, images
from phasescope.studies.transfer_distances.settings import DISTANCES, SOURCES
from phasescope.testing import check_results, check_study
from phasescope.vocabulary import BadInput, Member

TINY: dict[str, Any] = {
    "seeds": 2, "dimension": 4, "pairs": 8, "depths": [2], "samples": 2, "steps": 20, "draws": 20, "digit_steps": 3,
    "width": 8, "labels": 10, "source_labels": 20,
}  # fmt: skip
MEMBER = Member(
    {"dimension": 5, "pairs": 8, "depth": 3, "samples": 3, "noise": 0.3, "scale": 0.3, "rate": 0.02, "steps": 1200,
     "draws": 40}, seed=0,
)  # fmt: skip


@pytest.mark.slow  # 20 s
def test_the_study_keeps_the_laws(tmp_path: Path) -> None:
    check_study(STUDY, tmp_path, settings=TINY)


def test_the_study_runs_and_draws(tmp_path: Path) -> None:
    results = lab.run(STUDY, out=tmp_path / "run", settings=TINY)
    check_results(results)
    assert list(results["deep"].measure.values) == list(DISTANCES)
    assert [figure.id for figure in results.figures()] == ["pairs-2", "sources"]
    assert list(results["digits"].source.values) == list(SOURCES)


@pytest.fixture(scope="module")
def tasks() -> tuple[gaussian.Tasks, gaussian.Tasks]:
    return gaussian.pairs(MEMBER, streams(3))


def test_divergences_are_means_over_samples(tasks: tuple[gaussian.Tasks, gaussian.Tasks]) -> None:
    """KL and total variation against sums over many samples with scipy's densities; both are 0 to oneself."""
    source, target = tasks
    for i in range(4):
        z = gaussian.drawn(source, i, streams(4)("z", i), 20_000)
        p, q = (stats.multivariate_normal(*task.joint(i)).logpdf(z) for task in (source, target))
        np.testing.assert_allclose(gaussian.density(z, *source.joint(i)), p)
        spread = (p - q).std() / np.sqrt(len(z))
        assert abs(gaussian.kl(source, target, i) - (p - q).mean()) < 4 * spread
        back = gaussian.drawn(target, i, streams(4)("back", i), 20_000)  # the other way round it is the same
        assert gaussian.total_variation(source, target, i, z) == pytest.approx(
            gaussian.total_variation(target, source, i, back), abs=0.02
        )
        assert gaussian.kl(source, source, i) == pytest.approx(0, abs=1e-12)
        assert gaussian.total_variation(source, source, i, z) == 0


def test_the_discrepancy_is_the_sum_over_pairs_and_near_nothing_of_one_task() -> None:
    draw = streams(5)("x")
    x, y = draw.standard_normal((12, 3)), draw.standard_normal((9, 3)) + 1
    width = 2 * np.median([np.linalg.norm(a - b) for i, a in enumerate(y) for b in y[:i]]) ** 2
    k = [[np.exp(-((a - b) ** 2).sum() / width) for a in one for b in other] for one, other in ((x, x), (y, y), (x, y))]
    own = [(sum(terms) - n) / (n * (n - 1)) for terms, n in zip(k, (12, 9), strict=False)]
    assert gaussian.mmd(x, y) == pytest.approx(sum(own) - 2 * np.mean(k[2]))
    same = [gaussian.mmd(draw.standard_normal((50, 3)), draw.standard_normal((50, 3))) for _ in range(200)]
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(200)  # unbiased
    ones, twos = np.zeros(12, int), np.ones(9, int)
    alike = gaussian.mmd(x, y, (ones, twos * 0))
    assert gaussian.mmd(x, y, (ones, twos)) > alike == pytest.approx(gaussian.mmd(x, y))


def test_networks_learn_what_least_squares_would() -> None:
    """From a source that is the target nothing is missed along the data; a probe's one weight is the best along it."""
    found = gaussian.deep(MEMBER, streams(6))
    assert found["missed"] < 0.01
    source, target = gaussian.pairs(MEMBER, streams(6))
    cosine = (source.slope * target.slope).sum(1) / np.linalg.norm(source.slope, axis=1)
    np.testing.assert_allclose(found["overlap"], np.abs(cosine), atol=0.01)
    floor = 1 - np.asarray(found["overlap"]) ** 2  # what no weight on one feature can reach
    assert (found["probe"] >= floor - 1e-9).all() and (found["probe"] < floor + 1).all()
    layers = [np.eye(5)[None] * 0.9, np.ones((1, 1, 5)) * 0.3]
    import torch

    w = gaussian.descended([torch.from_numpy(a) for a in layers], np.eye(5)[None], np.arange(5.0)[None] / 5,
                           np.array([0.05]), 4000)  # fmt: skip
    np.testing.assert_allclose(gaussian.product(w)[0, 0], np.arange(5.0) / 5, atol=1e-6)


def test_a_correlation_given_others_is_that_of_residuals() -> None:
    draw = streams(7)("x")
    a, c = draw.standard_normal((2, 200))
    b = a + 0.3 * draw.standard_normal(200)
    assert measures.rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    r = stats.spearmanr(np.stack([a, b, c], 1)).statistic
    partial = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert measures.rank_correlation(a, b, [c]) == pytest.approx(partial)
    assert np.isnan(measures.rank_correlation(a, np.ones(200))) and np.isnan(measures.rank_correlation(a, b, [b]))


def test_sources_are_what_they_are_called() -> None:
    x, y = streams(8)("x").uniform(size=(50, 64)).astype(np.float32), np.arange(50) % 5
    found = images.sources(x, y, (x[:7], y[:7]), streams(8)("sources"))
    assert tuple(found) == SOURCES
    renamed, moved, inverted = (found[name] for name in ("classes renamed", "pixels moved", "inverted"))
    assert (renamed[1] != y).all() and len(set(zip(renamed[1], y, strict=True))) == 5
    np.testing.assert_array_equal(np.sort(moved[0], 1), np.sort(x, 1))
    assert (moved[0] != x).any() and np.allclose(inverted[0], 1 - x)


@pytest.mark.parametrize("given", [{"samples": 16}, {"labels": 300, "source_labels": 400}])
def test_settings_that_measure_nothing_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="fewer samples than dimensions"):
        type(STUDY.scales["pocket"])(**given)
