"""The study ``hard-examples``: its parts are what their names say, and the study keeps the laws of all studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from phasescope.ensemble import streams
from phasescope.lab import study_named
from phasescope.studies.hard_examples import measures, rows
from phasescope.studies.hard_examples.settings import EASY, FLIPPED, HARD, KINDS, RANDOM, SHUFFLED, TRUE
from phasescope.vocabulary import BadInput, Member

STUDY = study_named("hard-examples")
SMALL = {
    "seeds": 2, "samples": 120, "tests": 80, "networks": 4, "pair": 3, "fresh": 1, "width": 8, "steps": 20,
    "order_steps": 20, "pruned_steps": 20, "records": 5, "coherent": 40, "coherent_networks": 1, "wide": 8,
    "descent": 20, "descent_records": 5, "equal": (5, 20), "levels": (2.0, 1.5),
}  # fmt: skip
FIXED = STUDY.scales["pocket"].model_copy(update=SMALL).model_dump()


def drawn(labels: str, seed: int = 3) -> rows.Rows:
    return rows.drawn(Member(FIXED, seed), labels, streams(seed))


def test_labels_are_as_their_names_say() -> None:
    true, flipped, shuffled = (drawn(labels) for labels in (TRUE, FLIPPED, SHUFFLED))
    np.testing.assert_array_equal(true.labels, true.truth)
    np.testing.assert_array_equal(flipped.labels != flipped.truth, flipped.wrong)  # each changed one is wrong
    assert flipped.wrong.sum() == 12
    np.testing.assert_array_equal(np.sort(shuffled.labels), np.sort(true.truth))
    assert (shuffled.labels != true.truth).mean() > 0.7
    np.testing.assert_array_equal(true.x, flipped.x)
    seen = {row.tobytes() for row in true.x}
    assert not any(row.tobytes() in seen for row in true.test_x)


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(BadInput, match="there are 1797 images"):
        rows.drawn(Member({**FIXED, "samples": 1790}, 0), TRUE, streams(0))


def test_networks_of_two_seeds_have_no_seed_in_common() -> None:
    assert not set(rows.inner(3, 0, 40)) & set(rows.inner(4, 0, 40))
    assert set(rows.inner(3, 0, 8)).isdisjoint(rows.inner(3, 8, 8))
    with pytest.raises(BadInput, match="65536 or fewer"):
        rows.inner(0, 0, 70_000)


def test_selections_are_of_one_size_and_drop_what_they_say() -> None:
    found = drawn(FLIPPED)
    score = np.arange(120.0)[::-1]  # row 0 is the hardest
    kept = measures.selections(found, score, 0.25, streams(3))
    assert list(kept) == list(KINDS) and {len(np.unique(rows_)) for rows_ in kept.values()} == {90}
    assert set(kept[HARD]) == set(range(30, 120)) and set(kept[EASY]) == set(range(90))
    again = measures.selections(found, score, 0.25, streams(3))
    np.testing.assert_array_equal(kept[RANDOM], again[RANDOM])
    assert set(kept[RANDOM]) != set(kept["random again"])


def test_class_distances_by_hand() -> None:
    x = np.array([[0.0, 0], [2, 0], [10, 0], [10, 4]])
    own, other = measures.class_distances(x, np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(own, [1, 1, 2, 2])
    np.testing.assert_allclose(other, [np.hypot(10, 2), np.hypot(8, 2), 9, np.hypot(9, 4)])


def test_what_disjoint_networks_are_compared_on() -> None:
    """The third that neither saw, and the other seed unless ``shift`` is 0."""
    group = np.arange(30) % 3
    alone = np.random.default_rng(0).random((3, 4, 30))
    for g in range(3):  # networks of g + 1 and, one seed earlier, of g + 2 agree on the rows of g
        alone[(g + 2) % 3][:, group == g] = np.roll(alone[(g + 1) % 3][:, group == g], -1, 0)
    assert measures.apart(alone, group, 1) == pytest.approx(1)
    assert abs(measures.apart(alone, group, 0)) < 0.5
    assert measures.same_rows(np.tile(np.arange(5.0), (3, 1))) == pytest.approx(1)


def test_networks_leave_the_global_generator_alone() -> None:
    """Members are measured side by side in threads, which share it."""
    before, m = torch.get_rng_state(), Member({**FIXED, "labels": TRUE}, 3)
    one, two = (measures.measure_orders(m, streams(3))["agreement"] for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(one, two)


def test_first_weights_are_those_of_linear_layers() -> None:
    net = rows.Perceptron(64, 400)
    net.initialize(streams(1)("init"))
    for parameter, inputs in zip(net.parameters(), (64, 64, 400, 400), strict=True):
        values = parameter.detach().numpy() * np.sqrt(inputs)
        assert np.abs(values).max() <= 1 and values.std() > 0.4
    assert net.inward.std().item() == pytest.approx(1 / np.sqrt(3 * 64), rel=0.02)


def test_where_a_loss_falls_to_a_level() -> None:
    values, loss = np.array([0.0, 1, 2, 3]), np.array([2.0, 1, 0.5, 0.7])
    assert measures.where(values, loss, 0.75) == pytest.approx(1.5)
    assert np.isnan(measures.where(values, loss, 0.1)) and np.isnan(measures.where(values, loss, 2.5))


@pytest.mark.slow
def test_the_study_keeps_the_laws(tmp_path: Path) -> None:
    from phasescope.lab import run
    from phasescope.testing import check_results

    check_results(run(STUDY, out=tmp_path, settings=SMALL))
