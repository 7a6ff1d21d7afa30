"""The study ``class-manifolds``: its networks are what their names say, and the study keeps the laws of all studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from phasescope.ensemble import streams
from phasescope.lab import run, study_named
from phasescope.studies.class_manifolds import networks
from phasescope.studies.class_manifolds.experiments import dims_of, experiments
from phasescope.studies.class_manifolds.networks import World, answer, networks_of, plan_of, spread, trained
from phasescope.studies.class_manifolds.settings import AS_LOUD, PAIRS, SHUFFLED, TRAINED, UNTRAINED
from phasescope.testing import check_results
from phasescope.theory.class_manifolds import meeting_dimension
from phasescope.vocabulary import BadInput, Member

STUDY = study_named("class-manifolds")
SMALL = {
    "seeds": 2,
    "samples": 300,
    "tests": 200,
    "steps": 150,
    "planes": 2,
    "climb": 15,
    "ball_planes": 4,
    "width": 16,
}


def member(name: str, seed: int = 3, **changed: object) -> Member:
    settings = STUDY.scales["pocket"].model_copy(update={**SMALL, **changed})
    return experiments(settings)["networks"].member(Member({"network": name}, seed))


def test_networks_learn_and_rivals_are_as_loud() -> None:
    m = member(TRAINED)
    w = World.of(m)
    _, _, x, y = networks.drawn(w)
    accuracy = {name: float((answer(networks_of(name, m), x).argmax(1) == y).float().mean()) for name in
                (TRAINED, UNTRAINED, AS_LOUD, SHUFFLED)}  # fmt: skip
    assert accuracy[TRAINED] > 0.6
    assert max(accuracy[name] for name in (UNTRAINED, SHUFFLED)) < 0.4
    assert accuracy[AS_LOUD] == accuracy[UNTRAINED]  # louder, and of the same decisions
    loud = spread(networks_of(TRAINED, m), x)
    for name in (AS_LOUD, SHUFFLED):
        assert spread(networks_of(name, m), x) == pytest.approx(loud, rel=1e-4)
    assert spread(networks_of(UNTRAINED, m), x) < loud / 5


def test_a_shuffled_network_has_the_same_weights_elsewhere() -> None:
    m = member(SHUFFLED)
    own, other = trained(plan_of(TRAINED, m), World.of(m))[0], networks_of(SHUFFLED, m)[0].network
    for a, b in zip(own.parameters(), other.parameters(), strict=True):
        assert torch.equal(a.flatten().sort().values, b.flatten().sort().values) and not torch.equal(a, b)


def test_what_two_networks_of_a_seed_share() -> None:
    """The same images, first weights and batches: they differ in what their name says alone."""
    one, other = (networks.drawn(World.of(member(name))) for name in (TRAINED, UNTRAINED))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    rows = {tuple(row.tolist()) for row in one[0]}
    assert not any(tuple(row.tolist()) in rows for row in one[2])
    apart = networks.drawn(World.of(member(TRAINED, seed=4)))
    assert not torch.equal(one[0], apart[0])


def test_training_is_adam_as_it_is_printed() -> None:
    m = member(TRAINED, steps=5)
    w, plan = World.of(m), plan_of(TRAINED, m)
    x, y, _, _ = networks.drawn(w)
    net, order = networks.mlp([64, 16, 16, 10], streams(w.seed)("init", 0)).double(), streams(w.seed)("order", 0)
    mass, square = ([torch.zeros_like(p) for p in net.parameters()] for _ in range(2))
    for step in range(1, 6):
        rows = torch.from_numpy(order.integers(0, len(x), w.batch))
        loss = -net(x[rows].double()).log_softmax(1)[torch.arange(len(rows)), y[rows]].mean()
        slopes = torch.autograd.grad(loss, list(net.parameters()))
        for i, (p, slope) in enumerate(zip(net.parameters(), slopes, strict=True)):
            mass[i] = 0.9 * mass[i] + 0.1 * slope
            square[i] = 0.999 * square[i] + 0.001 * slope**2
            with torch.no_grad():
                p -= w.rate * mass[i] / (1 - 0.9**step) / ((square[i] / (1 - 0.999**step)).sqrt() + 1e-8)
    for a, b in zip(net.parameters(), trained(plan, w)[0].parameters(), strict=True):
        np.testing.assert_allclose(a.detach(), b, rtol=1e-3, atol=1e-5)


def test_more_networks_where_there_is_fashion_mnist() -> None:
    pocket, middle = STUDY.scales["pocket"], STUDY.scales["middle"]
    assert set(pocket.networks) < set(middle.networks)
    assert {c.id for c in STUDY.claims(pocket)} < {c.id for c in STUDY.claims(middle)}
    for one, other in PAIRS.items():
        assert {one, other, f"{other} as {one}"} <= set(middle.networks)
    m = experiments(middle)["networks"].member(Member({"network": "random labels"}, 1))
    plan = plan_of("random labels", m)
    assert plan.random and plan == networks.replace(plan_of("true labels", m), random=True)
    labels = torch.arange(100) % 10
    mixed = networks.labels_of(plan, labels, 1)
    assert torch.equal(mixed.sort().values, labels.sort().values) and not torch.equal(mixed, labels)


def test_too_many_images_are_refused() -> None:
    with pytest.raises(BadInput, match="there are 1797 images"):
        networks.drawn(World.of(member(TRAINED, samples=1700)))


def test_the_planes_of_a_run_are_those_that_are_told() -> None:
    assert dims_of(64) == (0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64)
    assert dims_of(196)[-1] == 196


@pytest.mark.slow
def test_bodies_are_met_as_the_law_says() -> None:
    work = experiments(STUDY.scales["pocket"])
    for name, body in (("ball", (0.5, 0)), ("tube", (0.3, 24))):
        m = work[name].member(Member({"climb": 200}, 5))
        found = networks.measure_tube(m, streams(5))
        assert found["dimension"] == pytest.approx(meeting_dimension(64, *body), abs=0.9)
        assert np.isfinite(found["probability"]).all()


def test_the_study_keeps_the_laws(tmp_path: Path) -> None:
    check_results(run(STUDY, out=tmp_path, settings=SMALL))
