"""The study ``dimensions``: its parts are what their names say, and the study keeps the laws of all studies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from phasescope.ensemble import streams
from phasescope.lab import run
from phasescope.studies.dimensions import STUDY, measured, networks, readings
from phasescope.studies.dimensions.settings import CELL, DIMENSIONS, GIVEN, OUTCOMES, SIZE
from phasescope.testing import check_results
from phasescope.vocabulary import BadInput, Member

SMALL = {
    "seeds": 2, "widths": (4, 6), "rows": (60, 120), "corruptions": (0.0, 0.2), "decays": (0.0, 0.3), "steps": 12,
    "points": 40, "dims": (4, 16), "subspace_steps": 4, "second_steps": 3, "planes": 1, "grid": 8, "folds": 2,
    "permutations": 5,
}  # fmt: skip
POCKET = STUDY.scales["pocket"]
FIXED = POCKET.model_copy(update=SMALL).model_dump()


@pytest.fixture(scope="module")
def trained() -> list[networks.Network]:
    return list(networks.networks(Member(FIXED, 3)))


@pytest.mark.slow
def test_the_study_keeps_the_laws(tmp_path: Path) -> None:
    check_results(run(STUDY, out=tmp_path / "run", settings=SMALL))


def test_networks_are_those_of_their_cells(trained: list[networks.Network]) -> None:
    assert len(trained) == 16
    for (width, rows, noise, _), network in zip(networks.cells(Member(FIXED, 3)), trained, strict=True):
        assert (network.net.width, len(network.draw.train), len(network.draw.corrupted)) == (
            width,
            rows,
            int(noise * rows),
        )
        x, y = network.rows()
        loss = functional.cross_entropy(network.net(x), y).item()
        assert loss == pytest.approx(network.loss, rel=1e-4)
        assert networks.accuracy(network.net, x, y) == pytest.approx(network.train_accuracy)
        assert networks.accuracy(network.net, *network.rows(test=True)) == pytest.approx(
            network.test_accuracy, abs=1e-6
        )
        assert not set(network.draw.train) & set(network.draw.test)
    firsts = {network.start.first.weight[0, 0].item() for network in trained}
    assert len(firsts) == 16 and not any(torch.equal(n.start.last.weight, n.net.last.weight) for n in trained)


def test_pixels_are_means_of_four_and_scaled() -> None:
    from phasescope.tasks.images import digits

    pictures = np.asarray(digits().inputs).reshape(-1, 8, 8)
    mean = pictures[:, :2, 2:4].mean((1, 2))
    found = networks.table().inputs[:, 1]
    np.testing.assert_allclose(found, (mean - mean.mean()) / mean.std(), atol=1e-5)


def test_directions_are_read_between_two_numbers_of_them() -> None:
    scores = np.array([0.2, 0.6, 1.0])
    assert readings.where([4, 8, 16], scores, 0.8, 99) == pytest.approx(np.sqrt(8 * 16))
    assert readings.where([4, 8, 16], scores, 0.1, 99) == 4
    assert readings.where([4, 8, 16], scores, 1.1, 99) == 99
    assert readings.where([4, 8, 16], np.array([0.9, 0.5, 1.0]), 0.75, 99) == pytest.approx(np.sqrt(8 * 16))


def test_a_collapsed_cloud_has_no_dimension() -> None:
    assert readings.near(torch.zeros(30, 4)) == 0 == readings.wide(torch.ones(30, 4))
    generator = torch.Generator().manual_seed(0)
    assert 1.5 < readings.near(torch.randn(400, 2, generator=generator)) < 2.5


def test_what_is_continued_learns_and_leaves_the_first_as_it_is(trained: list[networks.Network]) -> None:
    network = trained[-1]
    x, y = network.rows()
    before = {name: p.clone() for name, p in network.net.state_dict().items()}
    after = networks.continued(network.net, x.flip(1), y, 30, 0.01)
    assert functional.cross_entropy(after(x.flip(1)), y) < functional.cross_entropy(network.net(x.flip(1)), y)
    assert all(torch.equal(before[name], p) for name, p in network.net.state_dict().items())


def test_forgetting_is_what_the_second_task_takes(trained: list[networks.Network]) -> None:
    network, member = trained[3], Member(FIXED, 3)
    same = readings.outcomes_of(network, Member({**FIXED, "second_steps": 0}, 3), np.arange(16))
    assert same[0] == pytest.approx(network.test_accuracy, abs=1e-6) and same[2] == 0
    learnt = replace(network, net=networks.continued(network.net, *network.rows(), 200, 0.02))
    turned = readings.outcomes_of(learnt, Member({**FIXED, "second_steps": 200}, 3), np.arange(16)[::-1].copy())
    assert turned[0] > 0.3 and turned[2] > 0.1
    assert len(readings.dimensions_of(network, member, streams(3), 0)) == len(DIMENSIONS)


def test_what_is_planted_is_found_beyond_size_and_loss() -> None:
    member, draw = Member({**POCKET.model_dump(), "permutations": 29}, 5), np.random.default_rng(0)
    n, cells = 36, np.array(networks.cells(Member(POCKET.model_dump(), 5)), dtype=float)
    sizes, losses, cause = cells[:, 0] ** 2, draw.random(n), draw.normal(size=n)
    dimensions = draw.normal(size=(n, len(DIMENSIONS)))
    dimensions[:, 0] = sizes + 0.01 * draw.normal(size=n)  # repeats the size
    dimensions[:, 3] = cause
    outcomes = np.column_stack([sizes + 30 * cause, losses + 0.001 * cause, draw.normal(size=n)])
    found = measured.correlations(member, streams(5), dimensions, outcomes, losses, sizes)
    partial = found["partial"][GIVEN.index(SIZE), 0]
    assert partial[3] > 0.8 and abs(partial[0]) < 0.5
    assert found["strongest"].shape == (2, 3) and found["strongest"][0, 0] == pytest.approx(np.abs(partial).max())
    assert found["chance"][0, 0] == 1 / 30 and found["chance"][0, 2] > 0.02
    assert np.abs(found["permuted"][0, 0, 3]) < 0.5
    assert found["partial"][GIVEN.index(CELL), 0, 3] > 0.7
    assert found["partial"].shape == (len(GIVEN), len(OUTCOMES), len(DIMENSIONS))


def test_settings_out_of_range_are_refused() -> None:
    for wrong in (
        {"rows": (10, 20)},
        {"rows": (100, 1700)},
        {"widths": (4,)},
        {"within": 0.0},
        {"corruptions": (0.0, 1.0)},
    ):
        with pytest.raises(BadInput):
            type(POCKET)(**wrong)  # type: ignore[arg-type]
