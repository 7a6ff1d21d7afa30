"""The study ``attention-clusters``: its dynamics, its networks, and what must not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from phasescope import lab
from phasescope.ensemble import streams
from phasescope.learners import ContextEnergy
from phasescope.studies.attention_clusters import STUDY, context, flow
from phasescope.studies.attention_clusters.settings import DYNAMICS
from phasescope.testing import check_results
from phasescope.theory import associative_memory

TINY: dict[str, Any] = {
    "tokens": 8, "draws": 2, "betas": [1.0, 4.0, 16.0], "layers": 16, "dimension": 3, "length": 5, "updates": 2,
    "batch": 2, "width": 8, "blocks": 1, "tests": 12,
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lab.run(STUDY, out=tmp_path_factory.mktemp("clusters") / "run", seeds=2, settings=TINY)


def sphere(seed: int, n: int = 12, d: int = 3) -> Any:
    return flow.unit(streams(seed)("x").standard_normal((n, d)))


def test_a_layer_is_a_step_of_the_modern_hopfield_network_put_back_onto_the_sphere() -> None:
    """A second route to the dynamics: token by token, by the update that theory has."""
    x = sphere(0)
    moved = flow.layer(x, 2.0, 0.1, "attention", streams(0)("none"))
    for token, found in zip(x, moved, strict=True):
        one = token + 0.1 * associative_memory.hopfield_update(token[None], x, 2.0)[0]
        np.testing.assert_allclose(found, one / np.linalg.norm(one), atol=1e-12)
    free = flow.layer(x, 2.0, 0.1, "unnormalized", streams(0)("none"))
    np.testing.assert_allclose(flow.unit(free), moved, atol=1e-12)
    assert np.linalg.norm(free, axis=1).min() > 1.0


def test_a_random_way_is_as_long_and_stays_on_the_sphere() -> None:
    """Otherwise the rival of clusters would be tokens that hardly move."""
    x, draw = sphere(1), streams(1)("moves")
    moved, walked = (flow.layer(x, 2.0, 0.1, dynamics, draw) for dynamics in ("attention", "walk"))
    np.testing.assert_allclose(np.linalg.norm(walked, axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(walked - x, axis=1), np.linalg.norm(moved - x, axis=1), atol=1e-12)


def test_attention_raises_the_interaction_energy() -> None:
    """The flow climbs sum exp(beta x.y), which is largest where all tokens are one; shuffled values need not."""
    x, energies = sphere(2), []
    for _ in range(50):
        energies.append(np.exp(3.0 * x @ x.T).sum())
        x = flow.layer(x, 3.0, 0.05, "attention", streams(2)("none"))
    assert (np.diff(energies) > 0).all()


def test_clusters_are_linked_by_direction() -> None:
    near = np.array([[1, 0, 0], [1, 0.1, 0], [1, 0.2, 0], [0, 0, 0.1], [0, 0, 5], [-1, 0, 0]], dtype=float)
    assert flow.clusters(near) == 3  # a chain of three, one direction twice, and the opposite of the first
    assert flow.clusters(np.eye(4)) == 4 and flow.clusters(np.ones((4, 2))) == 1


def test_a_context_is_stored_as_theory_stores_it() -> None:
    """The literal loop over contexts and points."""
    points, _ = context.mixtures(streams(0)("test"), 3, 12, 4)
    held, stored = points[:, 6:], points[:, :6]
    found = context.remembered(stored, held, 5)
    assert (found[:, 0] == 0).all()
    for test, given in np.ndindex(3, 5):
        one = associative_memory.memory_energy(held[test, [given + 1]], stored[test, : given + 1], context.BETA)
        assert found[test, given + 1] == pytest.approx(one[0], abs=1e-12)


def test_attention_that_tells_nothing_apart_has_no_excess_and_one_that_tells_all_has() -> None:
    network = ContextEnergy(2, width=8, layers=1)
    network.initialize(streams(0)("init"))
    tokens = torch.tensor([[[5.0, 0.0], [0.0, 5.0]] * 6])
    of = torch.tensor([[0, 1] * 6])
    with torch.no_grad():
        network.blocks[0].to_qkv.weight.zero_()  # type: ignore[union-attr, operator]
    assert context.own(network, tokens, of) == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        h = network.embed(tokens)
        normed = torch.nn.functional.layer_norm(h, (8,))[0, :2]
        way = (normed[0] - normed[1]) / (normed[0] - normed[1]).norm()
        for part in (0, 8):  # the first unit of queries and keys of the first head
            network.blocks[0].to_qkv.weight[part] = 10 * way  # type: ignore[index, union-attr]
    assert context.own(network, tokens, of) > 0.3


def test_without_normalization_there_is_none() -> None:
    member = {**TINY, "norm": "none", "seed": 0}
    there = context.learnt({**member, "norm": "pre"}, streams(0))  # type: ignore[arg-type]
    none = context.learnt(member, streams(0))  # type: ignore[arg-type]
    assert there["own_untrained"] != none["own_untrained"]
    assert np.array_equal(there["memory"], none["memory"])  # a memory of the same contexts


def test_the_study_runs_and_keeps_the_laws_of_results(results: Any) -> None:
    check_results(results)
    assert set(results["flow"].dynamics.values) == set(DYNAMICS)
    assert results["learnt"].adapted.sizes["given"] == TINY["length"] + 1
    assert [figure.id for figure in results.figures()] == ["flow", "learnt"]
