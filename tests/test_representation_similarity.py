"""The study of similarities: clouds whose shared part is known, networks of two seeds, recordings of a known layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from phasescope.ensemble import streams
from phasescope.instruments.similarity import linear_cka
from phasescope.lab import run
from phasescope.representation import canonical_correlations
from phasescope.studies.representation_similarity import STUDY
from phasescope.studies.representation_similarity.brain import (
    EXPLAINED,
    MODELS,
    NOISE,
    measure_brain,
    recording,
    reliability_of,
)
from phasescope.studies.representation_similarity.clouds import MEASURES, known, measure_planted, planted
from phasescope.studies.representation_similarity.networks import (
    CONDITIONS,
    READ,
    fit,
    hidden,
    likeness,
    matches,
    measure_seeds,
    network,
    split,
)
from phasescope.testing import check_results
from phasescope.vocabulary import BadInput, Member

TINY: dict[str, Any] = {
    "seeds": 2, "pairs": 2, "few": 24, "many": 64, "trained": 2, "layers": 3, "width": 8, "channels": 8, "steps": 5,
    "stimuli": 64, "shown": 100, "units": 10, "examples": 100, "repeats": 2,
}  # fmt: skip
SMALL: dict[str, Any] = {**TINY, "rate": 1e-3, "network": "MLP", "labels": "true"}


# -- planted clouds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "minor"), [(0.25, 1.0), (0.5, 1.0), (0.25, 0.3), (0.75, 0.5)])
def test_what_is_known_is_what_very_many_stimuli_read(share: float, minor: float) -> None:
    """A second route: the three measures from covariances, or by another function, of 20,000 points."""
    x, y = planted(share, minor, 16, 20_000, np.random.default_rng(3))
    true = known(share, minor)
    assert float(linear_cka(x, y)) == pytest.approx(true["cka"], abs=0.02)
    assert float(canonical_correlations(x, y).square().mean()) == pytest.approx(true["cca"], abs=0.01)
    x, y = x - x.mean(0), y - y.mean(0)
    cosine = np.linalg.svd(x.T @ y, compute_uv=False).sum() / np.linalg.norm(x) / np.linalg.norm(y)
    assert cosine == pytest.approx(true["procrustes"], abs=0.03)


def test_planted_clouds_share_no_axis_by_name() -> None:
    """What is shared is turned in each cloud by itself: no column of one is a column of the other."""
    x, y = planted(1.0, 1.0, 8, 500, np.random.default_rng(0))
    assert np.abs(np.corrcoef(x.T, y.T)[:8, 8:]).max() < 0.99
    assert np.linalg.lstsq(x, y, rcond=None)[1].max() < 1e-18
    x, y = planted(0.0, 1.0, 8, 500, np.random.default_rng(0))
    assert np.abs(np.corrcoef(x.T, y.T)[:8, 8:]).max() < 0.2


def test_measures_of_planted_clouds() -> None:
    sizes = {"dimensions": 8, "count": 64, "minor": 1.0, "pairs": 3}
    whole, none = (measure_planted(Member({**sizes, "share": share}, 0), streams(0)) for share in (1.0, 0.0))
    np.testing.assert_allclose(whole["value"], 1.0, atol=1e-9)
    assert (whole["false"] == 1).all() and np.abs(none["corrected"]).max() < 0.15
    assert none["null"][MEASURES.index("cca")] == pytest.approx(8 / 63)  # D / (N - 1)
    assert none["null"][MEASURES.index("cka")] == pytest.approx(0, abs=1e-12)


# -- two seeds -------------------------------------------------------------------------------------------------


def test_layers_are_matched_both_ways() -> None:
    assert matches(np.eye(4)) == 1 and matches(np.roll(np.eye(4), 1, 1)) == 0
    assert matches(np.array([[0.9, 0.8], [0.95, 0.97]])) == 0.75  # by rows both, by columns only the second


@pytest.mark.parametrize("kind", ["MLP", "CNN"])
def test_networks_are_drawn_read_and_trained(kind: str) -> None:
    x, labels, stimuli, answers = split(streams(4), 300, 200)
    assert len(np.unique(np.concatenate([x.numpy(), stimuli.numpy()]), axis=0)) == 500  # none is seen twice
    nets = [network(kind, 3, 8, streams(4)("init", copy)) for copy in (0, 0, 1)]
    first, same, other = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(first, same) and not torch.equal(first, other)
    net = nets[0]
    rows = hidden(net, stimuli, 3)
    assert [layer.shape for layer in rows] == [(200, 8)] * 3
    h = stimuli
    for name, part in net.named_children():  # the same by hand
        h = part(h)
        if name.startswith("layer"):
            plain = h.flatten(2).mean(2) if kind == "CNN" else h
            np.testing.assert_allclose(rows[int(name[-1]) - 1], plain.detach().numpy(), atol=1e-6)
    before = float((net(stimuli).argmax(1) == answers).double().mean())
    fit(net, x, labels, 150, 3e-3, streams(4)("order", 0))
    assert float((net(stimuli).argmax(1) == answers).double().mean()) > max(before + 0.2, 0.4)
    with pytest.raises(BadInput, match="network is 'RNN'"):
        network("RNN", 3, 8, streams(4)("init", 0))


def test_a_network_answers_to_itself_alone() -> None:
    """Every measure finds each layer of a network in the same network, turned; and none with the stimuli shuffled."""
    g = np.random.default_rng(1)
    layers = [g.standard_normal((64, 6)) for _ in range(3)]
    turned = [rows @ np.linalg.qr(g.standard_normal((6, 6)))[0] for rows in layers]
    table = likeness(layers, turned)
    assert [matches(each) for each in table] == [1.0] * len(READ)
    np.testing.assert_allclose(np.diagonal(table, axis1=1, axis2=2), 1, atol=1e-6)
    shuffled = likeness(layers, [rows[g.permutation(64)] for rows in turned])
    assert np.abs(shuffled).max() < 0.3


def test_two_seeds_are_measured() -> None:
    found = measure_seeds(Member(SMALL, 0), streams(0))
    assert found["identified"].shape == (len(CONDITIONS), len(READ)) and found["cka"].shape == (3, 3, 3)
    np.testing.assert_allclose(found["own"][:, 0], np.diagonal(found["cka"], axis1=1, axis2=2))
    untrained = measure_seeds(Member({**SMALL, "labels": "random", "steps": 1}, 0), streams(0))
    np.testing.assert_array_equal(found["cka"][1], untrained["cka"][1])  # before training labels are nothing


# -- recordings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("explained", "noise"), [(0.25, 1.0), (1.0, 2.0)])
def test_a_recording_is_as_planted(explained: float, noise: float) -> None:
    """By least squares on the layer, and by the variance between presentations: not by what encodes it."""
    g = np.random.default_rng(2)
    layer = g.standard_normal((4000, 6)) * np.arange(1, 7)
    found = recording(layer, 20, 5, explained, noise, g)
    assert found.shape == (5, 4000, 20)
    assert found.var(0, ddof=1).mean() == pytest.approx(noise**2, rel=0.02)
    mean = found.mean(0)
    assert mean.var(0).mean() == pytest.approx(1 + noise**2 / 5, rel=0.03)
    fitted = layer @ np.linalg.lstsq(layer - layer.mean(0), mean - mean.mean(0), rcond=None)[0]
    assert fitted.var(0).mean() == pytest.approx(explained, rel=0.06)
    assert 1 / mean.var(0).mean() == pytest.approx(reliability_of(noise, 5), rel=0.03)


def test_a_recording_is_encoded() -> None:
    found = measure_brain(Member({**SMALL, "shown": 200}, 0), streams(0))
    own = MODELS.index("own")
    assert found["normalized"].shape == (len(MODELS), len(EXPLAINED), len(NOISE))
    assert found["normalized"][own, -1, 0] > 0.95 and found["normalized"][own, 0, 0] < 0.7
    np.testing.assert_allclose(found["ceiling"][:, 1], reliability_of(NOISE[1], 2) ** 0.5, atol=0.08)
    assert found["best"].shape == (2, 2) and (np.diagonal(found["best"]) > 0.9).all()


@pytest.mark.slow
def test_the_study_obeys_the_laws(tmp_path: Path) -> None:
    results: Any = run(STUDY, out=tmp_path / "run", settings=TINY)
    check_results(results)
    assert len(results.verdicts) == 21
