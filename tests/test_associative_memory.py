"""The study ``associative-memory``: its worlds, its claims, and what must not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from phasescope import lab
from phasescope.ensemble import streams
from phasescope.lab import study_named
from phasescope.learners import ContextEnergy
from phasescope.studies.associative_memory import context, worlds
from phasescope.studies.associative_memory.settings import SCALES
from phasescope.testing import check_results
from phasescope.theory import associative_memory, memory_creation
from phasescope.vocabulary import BadInput, Member

STUDY = study_named("associative-memory")
TINY: dict[str, Any] = {
    "points": 40, "learning_steps": 3, "learning_seeds": 2, "draws": 20, "customers": 30, "wide": [6, 8], "narrow": [6, 8],
    "widest": [6, 8], "probes": 16, "trials": 5, "patterns": 16, "length": 6, "updates": 2, "context_batch": 2,
    "context_width": 8, "context_layers": 1, "tests": 20,
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lab.run("associative-memory", out=tmp_path_factory.mktemp("memory") / "run", seeds=2, settings=TINY)


# -- the worlds ----------------------------------------------------------------------------------------------


def test_the_fast_mean_shift_is_the_theorys() -> None:
    """``stays`` drops states that have settled or left; the literal loop of ``mean_shift`` keeps them all."""
    for spread in (0.0, 0.3):
        draw = streams(3)("patterns")
        x = worlds.sphere(draw, 60, 8) * np.exp(spread * draw.standard_normal((60, 1)))
        v = x[:40]
        for _ in range(worlds.LIMIT):
            v = associative_memory.mean_shift(v, x, 1.0)
        slow = np.linalg.norm(v - x[:40], axis=1) <= 0.3 * np.linalg.norm(x[:40], axis=1)
        assert worlds.stays(x, 40, 1.0).tolist() == slow.tolist()
        assert 0 < slow.mean() < 1


def test_half_is_where_the_fraction_crosses() -> None:
    powers = np.array([1.0, 2, 3, 4])
    assert worlds.half(powers, np.array([1.0, 0.75, 0.25, 0])) == pytest.approx(2**2.5)
    assert np.isnan(worlds.half(powers, np.ones(4))) and np.isnan(worlds.half(powers, np.zeros(4)))


def test_the_dynamics_are_followed_until_they_end() -> None:
    """At seed 1 a state lingers where two memories merge: after 2,000 steps it still moves."""
    draw = streams(1)("memories")
    memories, starts = draw.standard_normal((8, 2)), 2 * draw.standard_normal((64, 2))
    slow = associative_memory.retrieve(starts, memories, 2.0, steps=2000)[-1]
    assert np.abs(associative_memory.memory_drift(slow, memories, 2.0)).max() > 1e-5
    ended = worlds.settle(starts, memories, 2.0)
    assert np.abs(associative_memory.memory_drift(ended, memories, 2.0)).max() <= worlds.SETTLED


def test_the_capacity_is_read_off_finer_sizes() -> None:
    """It lies within the coarse sizes about one half, and is not their midpoint where all is lost between two."""
    found = worlds.capacity(Member({"dimension": 12, "square_bandwidth": 1.0, "probes": 32}, 0), streams(0))
    above = int(np.flatnonzero(found["kept"] < 0.5)[0])
    assert found["stored"][above - 1] <= found["half"] <= found["stored"][above]


def test_learnt_memories_beat_moves_that_are_as_long() -> None:
    numbers = {"blobs": 3, "points": 60, "learning_steps": 60}
    found = worlds.clustering(Member(numbers, 3), streams(3))
    assert found["gain"] > 0 and found["beaten"] > found["beaten_by_mean"] >= 0


def test_tables_follow_the_restaurant_process() -> None:
    """Mean over 4,000 parties within five standard errors, at several sizes of the party."""
    numbers = {"alpha": 2.0, "discount": 0.0, "draws": 4000, "points": 60}
    path = worlds.seats(Member(numbers, 0), streams(0))["tables"]
    for n in (1, 2, 10, 60):
        error = np.sqrt(memory_creation.memories_variance(2.0, n) / 4000)
        assert abs(path[n - 1] - memory_creation.expected_memories(2.0, n)) <= 5 * error + 1e-12


def test_blobs_are_apart() -> None:
    points, labels = worlds.blobs(streams(1)("data"), 6, 4000)
    centres = np.stack([points[labels == k].mean(0) for k in range(6)])
    gaps = np.linalg.norm(centres[:, None] - centres, axis=-1) + 99 * np.eye(6)
    assert gaps.min() > 0.95 * worlds.APART


def test_memories_are_the_running_means_of_their_points() -> None:
    numbers = {"blobs": 3, "points": 80, "alpha": 1.0, "gaussians": "normalized"}
    found = worlds.creation(Member(numbers, 2), streams(2))
    assert (np.diff(found["made"]) >= 0).all() and found["made"][0] == 1
    assert found["memories"] == found["made"][-1]


def test_the_score_is_torchs_own_mixture() -> None:
    v, mu = streams(0)("a").standard_normal((5, 3)), streams(0)("b").standard_normal((4, 3))
    np.testing.assert_allclose(worlds.score(v, mu, 0.25), 4 * associative_memory.memory_drift(v, mu, 2.0), atol=1e-12)


def test_learning_leaves_its_start_alone() -> None:
    points, _ = worlds.blobs(streams(1)("data"), 3, 60)
    first = points[:3].copy()
    start = first.copy()
    learnt = worlds.learn(points, first, 1.0, 5)
    np.testing.assert_array_equal(first, start)
    assert np.abs(learnt - first).max() > 0.01


# -- energies in context ---------------------------------------------------------------------------------------


def network(**sizes: int) -> ContextEnergy:
    found = ContextEnergy(2, **{"width": 16, "layers": 2, **sizes})
    found.initialize(streams(0)("init"))
    return found


def test_the_true_next_point_has_its_own_candidates_energy() -> None:
    """One set of weights serves both: reading the context's states is asking for candidates equal to it."""
    energy, x = network(), torch.from_numpy(context.mixtures(streams(0)("x"), 3, 7)).float()
    past = energy.past(x)
    torch.testing.assert_close(energy.read(past[-1]), energy(x, x))


def test_candidates_see_the_points_before_them_and_no_others() -> None:
    energy, x = network(), torch.from_numpy(context.mixtures(streams(0)("x"), 2, 6)).float()
    candidates = torch.from_numpy(context.mixtures(streams(0)("y"), 2, 6)).float()
    base = energy(x, candidates)
    later = x.clone()
    later[:, 3:] += 5
    changed = energy(later, candidates)
    torch.testing.assert_close(changed[:, :4], base[:, :4])
    assert (changed[:, 4:] - base[:, 4:]).abs().min() > 1e-6
    moved = candidates.clone()
    moved[:, 2] += 1
    difference = (energy(x, moved) - base).abs().amax(0)
    assert difference[2] > 1e-4 and difference[[0, 1, 3, 4, 5]].max() == 0


def test_the_order_of_the_context_carries_nothing_to_one_layer() -> None:
    """A set: with one layer the states before a candidate are summed over; deeper ones see the causal order."""
    energy, x = network(layers=1), torch.from_numpy(context.mixtures(streams(0)("x"), 2, 6)).float()
    torch.testing.assert_close(energy(x[:, [2, 0, 1, 3, 4, 5]], x)[:, 3:], energy(x, x)[:, 3:])


def test_langevin_samples_have_less_energy_and_leave_no_gradient() -> None:
    energy, x = network(), torch.from_numpy(context.mixtures(streams(0)("x"), 8, 6)).float()
    past = [h.detach() for h in energy.past(x)]
    noise = streams(0)("langevin")
    start = torch.from_numpy(streams(0)("langevin").uniform(-3, 3, (8, 6, 2))).float()
    fake = context.langevin(energy, past, noise)
    assert energy.energies(past, fake).mean() < energy.energies(past, start).mean()
    assert all(p.grad is None for p in energy.parameters())


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput, match="width is 10 with 4 heads"):
        ContextEnergy(2, width=10)


# -- the study -------------------------------------------------------------------------------------------------


def test_its_results_obey_the_laws(results: Any) -> None:
    check_results(results)


def test_exact_claims_hold_at_any_size(results: Any) -> None:
    """Identities need no statistics: their effects are within the margin in every seed, their controls in none."""
    exact = {"energy-falls", "energy-is-likelihood", "shift-is-attention", "sphere-identity", "sphere-mixture"}
    for claim in STUDY.claims(results.settings):
        if claim.id in exact:
            assert (claim.effect(results.data) <= claim.expected.high).all(), claim.id
            assert (claim.control.effect(results.data) > claim.expected.high).all(), claim.id


def test_what_another_scale_costs_is_told_without_running_it() -> None:
    """One member at the paper's scale may take an hour: each simulation that grows with the scale names its work."""
    pocket, paper = (STUDY.experiments(SCALES[scale]) for scale in ("pocket", "paper"))
    grown = [name for name, e in paper.items() if e.fixed != pocket[name].fixed]
    assert grown and all(paper[name].work >= pocket[name].work > 0 for name in grown)
