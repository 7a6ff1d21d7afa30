"""Positions and contexts, concepts, circles, ranks, axioms: planted truths, second routes, nulls, invariances, edges."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import phasescope as ps
from phasescope.representation.anova import random_cosine
from phasescope.vocabulary import BadInput

room = ps.representation
G = np.random.default_rng(5)


def turn(d: int, seed: int = 1) -> Any:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


# -- position and context ----------------------------------------------------------------------------------------------


def planted(contexts: int = 12, positions: int = 9, width: int = 6) -> dict[str, Any]:
    mean = G.standard_normal(width)
    position, context = G.standard_normal((positions, width)), G.standard_normal((contexts, width))
    rest = G.standard_normal((contexts, positions, width))
    rest = rest - rest.mean(0)
    return {
        "mean": mean, "position": position - position.mean(0), "context": context - context.mean(0),
        "residual": rest - rest.mean(1, keepdims=True),
    }  # fmt: skip


def together(parts: dict[str, Any]) -> Any:
    return parts["mean"] + parts["position"] + parts["context"][:, None] + parts["residual"]


def test_a_planted_decomposition_is_found_again() -> None:
    parts = planted()
    found = ps.anova(together(parts))
    for name, part in parts.items():
        np.testing.assert_allclose(getattr(found, name), part, atol=1e-12)
    squares = {
        "position": 12 * np.square(parts["position"]).sum(),
        "context": 9 * np.square(parts["context"]).sum(),
        "residual": np.square(parts["residual"]).sum(),
    }
    for name, value in squares.items():
        assert found.shares[name].value == pytest.approx(value / sum(squares.values()), rel=1e-12)
    values = np.linalg.svd(parts["position"], compute_uv=False) ** 2
    assert found.position_rank.value == pytest.approx(values.sum() / values[0])
    assert "incoherence" in str(found)


def test_nulls_of_shares_are_those_of_all_orders() -> None:
    states = G.standard_normal((4, 3, 2)) ** 3 + np.arange(3)[:, None]
    rows = states.reshape(12, 2)
    read = [ps.anova(rows[G.permutation(12)].reshape(4, 3, 2)).shares for _ in range(400)]
    for name, one in ps.anova(states).shares.items():
        drawn = np.array([shares[name].value for shares in read])
        assert abs(drawn.mean() - one.null) < 4 * drawn.std() / 20, name
    assert sum(one.null for one in ps.anova(states).shares.values()) == pytest.approx(1)
    a, b = G.standard_normal((2, 4000, 7))
    drawn = np.abs((a * b).sum(1)) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert random_cosine(7) == pytest.approx(drawn.mean(), abs=4 * drawn.std() / 4000**0.5)


def test_errors_of_shares_are_those_of_contexts_left_out() -> None:
    states = together(planted()) + 3
    left = [ps.anova(np.delete(states, i, 0)).shares["position"].value for i in range(12)]
    expected = math.sqrt(11 * float(np.var(left)))
    assert ps.anova(states).shares["position"].error == pytest.approx(expected, rel=1e-9)


STATES = together(planted()) + 2


@pytest.mark.parametrize(
    ("change", "within"),
    [
        (lambda x: x @ turn(6), 1e-9),
        (lambda x: 1e-5 * x, 1e-9),
        (lambda x: x + 7, 1e-9),
        (lambda x: x[::-1, ::-1].copy(), 1e-9),
        (lambda x: np.concatenate([x, np.ones((*x.shape[:2], 2))], 2), 1e-9),
        (lambda x: x.astype(np.float32), 1e-4),
        (lambda x: x.astype(np.float16), 1e-2),
        (lambda x: torch.from_numpy(x).bfloat16(), 5e-2),
    ],
    ids=["rotation", "scale", "shift", "order", "constant features", "float32", "float16", "bfloat16"],
)
def test_shares_do_not_change(change: Callable[[Any], Any], within: float) -> None:
    before, after = ps.anova(STATES).readings, ps.anova(change(STATES)).readings
    for name, one in before.items():
        assert after[name].value == pytest.approx(one.value, rel=within), name


# -- concepts ----------------------------------------------------------------------------------------------------------


def words(count: int = 600, width: int = 12, concepts: int = 6) -> tuple[Any, Any, Any]:
    """Return unembeddings, directions of concepts that vary apart, and an invertible map that bends them."""
    space = np.linalg.qr(G.standard_normal((width, width)))[0]
    bend = np.diag(np.geomspace(1, 40, width)) @ turn(width, 4)
    return G.standard_normal((count, width)) @ bend, (space[:concepts]) @ bend, bend


def test_concepts_that_vary_apart_are_orthogonal_in_the_causal_product_alone() -> None:
    unembedding, directions, _ = words(4000)
    off = ~np.eye(6, dtype=bool)
    causal = room.causal_cosine(directions, directions, unembedding).numpy()
    plain = directions @ directions.T / np.outer(*(np.linalg.norm(directions, axis=1),) * 2)
    assert np.abs(causal[off]).max() < 0.1 < 0.3 < np.abs(plain[off]).max()
    inverse = np.linalg.inv(np.cov(unembedding.T))
    products = directions @ inverse @ directions.T
    sizes = np.sqrt(np.diag(products))
    np.testing.assert_allclose(causal, products / np.outer(sizes, sizes), atol=1e-9)
    more = G.standard_normal((12, 12))
    again = room.causal_cosine(directions @ more, 5 * directions @ more, unembedding @ more + 3).numpy()
    np.testing.assert_allclose(again, causal, atol=1e-7)


def test_a_concept_is_found_and_pairs_without_one_are_not() -> None:
    unembedding, directions, bend = words()
    base = unembedding[:40]
    target = base + directions[0] + 0.3 * G.standard_normal(base.shape) @ bend / 12**0.5
    found = ps.linear_concept(base, target, unembedding)
    assert found.causal.value > 0.8 and found.z > 3 and found.causal.null == 0
    along = room.causal_cosine(found.direction[None], directions, unembedding).numpy()[0]
    assert along[0] > 0.95 and np.abs(along[1:]).max() < 0.3
    assert found.direction @ found.steering == pytest.approx(1)  # a step along it moves the concept's logit by one
    inverse = np.linalg.inv(np.cov(unembedding.T))
    np.testing.assert_allclose(found.steering, inverse @ found.direction, rtol=1e-8)
    stranger = ps.linear_concept(unembedding[:40], unembedding[40:80], unembedding)
    assert abs(stranger.z) < 4 and stranger.causal.value < 0.3
    differences = (target - base) @ np.linalg.cholesky(inverse)
    one = [differences[i] @ np.delete(differences, i, 0).mean(0) for i in range(40)]
    sizes = [
        np.linalg.norm(d) * np.linalg.norm(np.delete(differences, i, 0).mean(0)) for i, d in enumerate(differences)
    ]
    assert found.causal.value == pytest.approx(np.mean(np.array(one) / sizes), rel=1e-9)
    more = G.standard_normal((12, 12))
    moved = ps.linear_concept(base @ more, target @ more, unembedding @ more)
    assert moved.causal.value == pytest.approx(found.causal.value, rel=1e-6)
    assert moved.null_sd == pytest.approx(found.null_sd, rel=1e-6)
    short = ps.linear_concept(base.astype(np.float32), target.astype(np.float32), unembedding.astype(np.float32))
    assert short.causal.value == pytest.approx(found.causal.value, abs=1e-4)


def test_errors_of_concepts_are_their_spread() -> None:
    _, directions, bend = words()
    unembedding, found = G.standard_normal((600, 12)) @ bend, []
    for _ in range(30):
        noise = 0.7 * G.standard_normal((40, 12)) @ bend / 12**0.5
        found.append(
            ps.linear_concept(unembedding[:40], unembedding[:40] + directions[0] + noise, unembedding, draws=2)
        )
    spread = np.std([one.causal.value for one in found])
    assert 0.6 < np.median([one.causal.error for one in found]) / spread < 1.6


# -- circles -----------------------------------------------------------------------------------------------------------

PHASES = G.uniform(0, 2 * math.pi, 800)
RING = np.stack([np.cos(PHASES), np.sin(PHASES)], 1)
BLOB = G.standard_normal((800, 2))


def test_a_planted_circle_is_read_and_is_one_feature() -> None:
    points = RING @ G.standard_normal((2, 20)) + 0.05 * G.standard_normal((800, 20))
    found = ps.circular(points, PHASES)
    assert found.r2.value > 0.99 and abs(found.r2.null) < 0.05
    assert found.irreducible.separability.value > 5 * found.irreducible.separability.null
    assert "mixture" in str(found)
    for changed in (3 * points @ turn(20) - 5, points.astype(np.float32), np.hstack([points, np.ones((800, 2))])):
        assert ps.circular(changed, PHASES + 1).r2.value == pytest.approx(found.r2.value, abs=2e-3)
    noise = ps.circular(G.standard_normal((200, 90)), PHASES[:200])
    assert abs(noise.r2.value - noise.r2.null) < 4 * noise.null_sd
    assert ps.circular(G.standard_normal((60, 90)), PHASES[:60]).r2.value < 0.3  # fewer points than dimensions


def test_days_of_a_week() -> None:
    days = np.arange(210) % 7
    points = np.linalg.qr(G.standard_normal((30, 7)))[0].T[days] + 0.1 * G.standard_normal((210, 30))
    ring = np.stack([np.cos(2 * np.pi * days / 7), np.sin(2 * np.pi * days / 7)], 1)
    assert ps.circular(ring @ G.standard_normal((2, 30)) + 0 * points, 2 * np.pi * days / 7).r2.value > 0.999
    assert ps.circular(points, 2 * np.pi * days / 7).r2.value > 0.9  # seven corners of a simplex hold a circle too


def test_what_falls_apart_and_what_does_not() -> None:
    ring, blob = room.irreducible(RING), room.irreducible(BLOB)
    square = room.irreducible(G.uniform(-1, 1, (800, 2)) @ turn(2, 3))
    for apart in (blob, square):
        assert apart.separability.value < 1.3 * apart.separability.null
    assert ring.separability.value > 8 * blob.separability.value
    lines = np.where(G.random((800, 1)) < 0.5, BLOB, np.outer(G.standard_normal(800), [1.0, 0.4]))
    mixed = room.irreducible(lines)
    assert mixed.mixture.value > 0.45 > 0.3 > ring.mixture.value > blob.mixture.value
    assert blob.mixture.value == pytest.approx(blob.mixture.null, rel=0.15)
    wide = room.irreducible(G.standard_normal((8000, 2)), draws=2)
    assert math.erf(0.1 / 2**0.5) < wide.mixture.null < 1.2 * math.erf(0.1 / 2**0.5)  # the most of many lines
    # of the even circle: the most of cos within 0.1 root mean squares of a line
    at = np.linspace(0, 1, 2001)
    half = 0.1 * np.sqrt(0.5 + at**2)
    exact = (np.arccos(np.clip(at - half, -1, 1)) - np.arccos(np.clip(at + half, -1, 1))).max() / math.pi
    even = 2 * math.pi * np.arange(3600) / 3600
    assert room.irreducible(np.stack([np.cos(even), np.sin(even)], 1)).mixture.value == pytest.approx(exact, abs=0.003)
    turned = room.irreducible(40 * RING @ turn(2, 9), draws=2)
    assert turned.separability.value == pytest.approx(ring.separability.value, rel=0.1)
    assert turned.mixture.value == pytest.approx(ring.mixture.value, rel=0.1)


# -- ranks -------------------------------------------------------------------------------------------------------------


def test_local_rank_behind_a_bottleneck() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 5), nn.Linear(5, 12), nn.Linear(12, 3)).double()
    batch = torch.from_numpy(G.standard_normal((9, 12)))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = ps.local_rank(net, batch, samples=4)
    assert found["rank"].values.tolist() == [12, 5, 5] and found.null.values.tolist() == [12, 5, 12]
    assert found.attrs["samples"] == 4 and not any(part._forward_hooks for part in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    bent = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3)).double()
    read = ps.local_rank(bent, batch, places=["0", "2"], tolerance=1e-9)
    ranks = [
        np.linalg.matrix_rank(torch.autograd.functional.jacobian(bent[:3], x[None])[0, :, 0].numpy(), tol=1e-9)
        for x in batch
    ]
    assert read["rank"].values.tolist() == [12, pytest.approx(np.mean(ranks))]
    assert read.error.values[1] == pytest.approx(np.std(ranks, ddof=1) / 3)
    with torch.no_grad():
        for part in (bent[0], bent[2]):
            part.weight *= 100
            part.bias *= 100
    assert ps.local_rank(bent, batch / 100, places=["0"], tolerance=1e-9)["rank"].values.tolist() == [12]


def test_eight_of_64_directions_are_an_eighth_of_a_layer() -> None:
    inputs = G.standard_normal((300, 8)) @ turn(64)[:8]
    weights = G.standard_normal((64, 64))
    found = ps.utilized_rank(weights, inputs)
    assert (found.utilization.value, found.rank.value, found.weight_rank) == (0.125, 8, 64)
    assert found.change < 1e-12 and np.linalg.matrix_rank(found.weights, tol=1e-9) == 8
    np.testing.assert_allclose(inputs @ found.weights.T, inputs @ weights.T, atol=1e-10)
    assert found.utilization.null > 0.8 and "64" in str(found)
    changes = [
        (3 * turn(64, 3) @ weights, inputs), (weights @ turn(64, 4).T, inputs @ turn(64, 4).T),
        (weights, 1e-4 * inputs[::-1].copy()), (weights.astype(np.float32), inputs.astype(np.float32)),
        (weights, np.concatenate([inputs, inputs])), (weights, inputs[:20]),
    ]  # fmt: skip
    for w, x in changes:
        assert ps.utilized_rank(w, x).rank.value == 8
    low = G.standard_normal((64, 3)) @ G.standard_normal((3, 64))
    assert ps.utilized_rank(low, G.standard_normal((300, 64))).rank.value == 3


def test_a_share_that_is_left_out_changes_outputs_by_so_much() -> None:
    inputs = G.standard_normal((400, 20)) * np.geomspace(1, 0.01, 20)
    for share in (0.9, 0.99, 0.9999):
        found = ps.utilized_rank(np.eye(20), inputs, share=share)
        squares = np.sort(np.linalg.svd(inputs, compute_uv=False) ** 2)[::-1].cumsum()
        kept = int(np.searchsorted(squares / squares[-1], share)) + 1
        assert found.rank.value == kept
        assert found.change == pytest.approx(math.sqrt(1 - squares[kept - 1] / squares[-1]), rel=1e-9)


def test_the_narrower_side_of_a_layer_counts() -> None:
    inputs, fading = G.standard_normal((400, 20)), np.diag(np.geomspace(1, 1e-3, 20))
    squares = np.sort(np.linalg.svd(inputs @ fading, compute_uv=False) ** 2)[::-1].cumsum()
    outputs = int(np.searchsorted(squares / squares[-1], 0.99)) + 1
    assert outputs < 10
    assert ps.utilized_rank(fading, inputs, share=0.99).rank.value == outputs
    assert ps.utilized_rank(np.linalg.inv(fading), inputs @ fading, share=0.99).rank.value == outputs


# -- sharpness ---------------------------------------------------------------------------------------------------------


def test_sharpness_is_the_largest_slope_and_doubles_with_the_frequency() -> None:
    points = G.uniform(-1, 1, (300, 3))
    along = points @ [2.0, 1.0, 0.0]
    found = room.label_sharpness(points, np.sin(along))
    slopes = [
        abs(math.sin(along[i]) - math.sin(along[j])) / np.linalg.norm(points[i] - points[j])
        for i in range(300)
        for j in range(i)
    ]
    assert found.largest.value == pytest.approx(max(slopes), rel=1e-12)
    assert found.quantile.value == pytest.approx(np.quantile(slopes, 0.99), rel=1e-9)
    assert 0.95 * 5**0.5 < found.largest.value < 5**0.5 < found.largest.null
    assert room.label_sharpness(points, np.sin(2 * along)).largest.value / found.largest.value == pytest.approx(2, 0.05)
    for changed in (points @ turn(3) + 4, np.hstack([points, np.ones((300, 1))])):
        assert room.label_sharpness(changed, np.sin(along)).largest.value == pytest.approx(found.largest.value)
    assert room.label_sharpness(2 * points, np.sin(along)).largest.value == pytest.approx(found.largest.value / 2)


def test_sharpness_of_classes_and_of_pairs_at_one_place() -> None:
    points = np.repeat(G.standard_normal((20, 2)), 2, 0)
    labels = np.arange(40) % 3
    found = room.label_sharpness(points, labels, classes=True)
    nearest = min(
        np.linalg.norm(points[i] - points[j])
        for i in range(40) for j in range(i) if labels[i] != labels[j] and i // 2 != j // 2
    )  # fmt: skip
    assert found.largest.value == pytest.approx(1 / nearest)
    assert found.conflicts == 20 and "at one place" in str(found)


# -- axioms ------------------------------------------------------------------------------------------------------------


def test_the_scorecard_of_isotropy() -> None:
    card = ps.isotropy_axioms()
    assert all(card.obeys("isoscore", axiom) for axiom in card.axioms)
    shifted = {name for name in card.measures if not card.obeys(name, "shift")}
    assert shifted == {"entropy", "cosine", "partition", "uniformity"}
    assert all(card.obeys(name, axiom) for name in card.measures for axiom in ("scale", "duplicates"))
    assert not any(card.obeys(name, axiom) for name in ("cosine", "outliers") for axiom in ("variance", "dimensions"))
    assert {name for name in card.measures if card.obeys(name, "linear")} == {"isoscore", "effective_rank"}
    again = ps.isotropy_axioms(seed=1, points=2000)
    assert (again.holds == card.holds).all()
    assert str(card).splitlines()[1].startswith("isoscore")


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ps.anova(np.ones((3, 4))), "give 3 axes"),
        (lambda: ps.anova(np.ones((3, 4, 2))), "all 12 states are the same"),
        (lambda: ps.anova(G.standard_normal((1, 4, 2))), "at least 2 contexts"),
        (lambda: ps.anova(STATES * np.nan), "give finite numbers"),
        (lambda: ps.linear_concept(BLOB[:3], BLOB[3:6], BLOB), "give 4 or more pairs"),
        (lambda: ps.linear_concept(BLOB[:9], BLOB[:9], BLOB), "the same in row 0"),
        (lambda: ps.linear_concept(RING[:9, :1], RING[9:18, :1], RING), "those of one space"),
        (lambda: room.causal_cosine(BLOB[:2], BLOB[:2], np.ones((9, 2)) * np.arange(9)[:, None]), "rank 1, and no inverse"),
        (lambda: ps.circular(BLOB, PHASES[:9]), "800 points and 9 phases"),
        (lambda: ps.circular(BLOB, np.ones(800)), "all phases are the same"),
        (lambda: room.irreducible(np.outer(PHASES, [1, 2])), "lie on a line"),
        (lambda: room.irreducible(G.standard_normal((800, 3))), "give two columns"),
        (lambda: ps.utilized_rank(np.ones((3, 4)), BLOB), "weights have 4 columns and inputs 2"),
        (lambda: ps.utilized_rank(np.zeros((3, 2)), BLOB), "all outputs are zero"),
        (lambda: ps.local_rank(nn.Sequential(nn.Linear(2, 5000), nn.Linear(5000, 2)), BLOB, places=["0", "1"]), "5,000 entries"),
        (lambda: room.label_sharpness(BLOB, np.ones(800)), "all labels are the same"),
        (lambda: room.label_sharpness(BLOB, np.ones(8)), "800 points and 8 labels"),
    ],
)  # fmt: skip
def test_refusals(call: Callable[[], object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        call()
