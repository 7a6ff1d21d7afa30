"""The studies of learning in context: their laws, their readings by a second route, their phases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import phasescope as ps
from phasescope.ensemble.streams import initialized, streams
from phasescope.lab import run, study_named
from phasescope.learners import DiscreteMMSE, RatioMatcher, Ridge
from phasescope.studies.in_context_modular import experiments as modular
from phasescope.studies.in_context_modular import readings
from phasescope.studies.in_context_modular.settings import ModularContextSettings
from phasescope.studies.in_context_regression import experiments as regression
from phasescope.studies.in_context_regression.claims import reaches
from phasescope.studies.in_context_regression.settings import RegressionContextSettings
from phasescope.testing import check_results
from phasescope.vocabulary import BadInput, Grid, Member

SMALL = {"seeds": 2, "steps": 4, "batch": 4, "records": 2, "readout": 8, "draws": 16, "width": 8, "heads": 2}
TINY: dict[str, dict[str, Any]] = {
    "in-context-modular": SMALL,
    "in-context-regression": {**SMALL, "rule_sizes": (2, 4), "rule_dimension": 2, "rule_shots": 3},
}


def read(net: Any, task: Any, grid: Grid, instruments: Any, loss: str = "cross_entropy") -> xr.Dataset:
    """Return what is read of networks whose one step moves nothing."""
    recipe = ps.Recipe(optimizer="sgd", lr=1e-30, steps=1, records=2, batch=2, loss=loss)
    return ps.train(net, task, grid, recipe, [], at_end=instruments, device="cpu", engine="stacked")


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_study_laws(name: str, tmp_path: Path) -> None:
    check_results(run(study_named(name), out=tmp_path / "run", settings=TINY[name]))


@pytest.mark.parametrize("tokens", ["bound", "three"])
def test_what_is_read_of_answers(tokens: str) -> None:
    """Accuracies of one untrained network, reckoned again by plain loops over its answers."""
    s = ModularContextSettings(**{**SMALL, "tokens": tokens})
    task, net = modular.task_of(s, alpha=0.72, n_tasks=6), modular.learner(s, 2)
    member = Member({}, 3)
    instruments = [readings.shot_accuracy(task), readings.last_accuracy(task), readings.beyond_ratio(task)]
    found = read(net, task, Grid(seeds=[3]), instruments).squeeze("seed")
    draw = task.draw(member, streams(3))
    answers = initialized(net, 3)(torch.from_numpy(draw.inputs)).argmax(-1).numpy()
    answers, labels = (a[:, 1::3] if tokens == "three" else a for a in (answers, draw.labels))
    right = (answers == labels).reshape(4, 8, 12)
    np.testing.assert_allclose(found.shot_accuracy, right.mean(1), atol=1e-6)
    np.testing.assert_allclose(found.last_accuracy, right[..., -4:].mean((1, 2)), atol=1e-6)
    bound = modular.task_of(ModularContextSettings(**SMALL), alpha=0.72, n_tasks=6).draw(member, streams(3))
    alike = (RatioMatcher(5)(torch.from_numpy(bound.inputs)) == 0).all(-1).numpy().reshape(4, 8, 12)[..., -4:]
    wanted = [(right[i][:, -4:] * alike[i]).sum() / alike[i].sum() for i in range(4)]
    np.testing.assert_allclose(found.beyond_ratio, wanted, atol=1e-6)


def test_without_held_out_inputs_nothing_is_read_of_them() -> None:
    s = ModularContextSettings(**SMALL)
    task = modular.task_of(s)
    found = read(modular.learner(s, 1), task, Grid(seeds=1), [readings.last_accuracy(task)]).last_accuracy.squeeze()
    assert found.isel(set=[0, 1]).notnull().all()
    assert found.isel(set=[2, 3]).isnull().all()


def test_what_was_shown_is_told_from_what_was_not() -> None:
    s = ModularContextSettings(**SMALL)
    task = modular.task_of(s, distinct=False)
    net = modular.learner(s, 1)
    found = read(net, task, Grid(seeds=[2]), [readings.copied(task)]).copied.squeeze("seed")
    draw = task.draw(Member({}, 2), streams(2))
    number = 5 * draw.inputs[:, ::2, :5].argmax(-1) + draw.inputs[:, ::2, 5:10].argmax(-1)
    right = initialized(net, 2)(torch.from_numpy(draw.inputs)).argmax(-1).numpy() == draw.labels
    sums = {(i, shown): [0, 0] for i in range(2) for shown in (True, False)}
    for i in range(16):
        for k in range(8, 12):
            cell = sums[i // 8, bool((number[i, :k] == number[i, k]).any())]
            cell[0] += right[i, k]
            cell[1] += 1
    for (i, shown), (hits, all_) in sums.items():
        assert found[i, 0 if shown else 1].item() == pytest.approx(hits / all_, abs=1e-6)


def test_phases_are_the_papers() -> None:
    """Pool, new, and both held out: which are answered says the phase; without held-out inputs there is none."""
    rows = {
        "neither": (0.2, 0.2, 0.2, 0.2), "i.d. memorization": (1, 0.3, 0.4, 0.2), "nothing held out": (1, 1, np.nan, np.nan),
        "i.d. generalization": (1, 0.3, 0.9, 0.2), "o.o.d. memorization": (1, 0.9, 0.9, 0.3),
        "o.o.d. generalization": (1, 0.9, 0.9, 0.8),
    }  # fmt: skip
    values = np.array(list(rows.values()))[:, None]
    data = xr.Dataset(
        {"last_accuracy": (("member", "step", "set"), values)},
        {
            "step": [1],
            "set": list(modular.SETS),
            "fate": ("member", ["out of steps"] * 6),
            "last_step": ("member", [1] * 6),
        },
    )
    assert [modular.PHASES[int(i)] for i in modular.phase(data)] == list(rows)


def test_where_a_network_stands_between_the_rules() -> None:
    """Errors, distances and the weight of an untrained network, reckoned again from its answers in float64."""
    s = RegressionContextSettings(**SMALL)
    task, net, member = regression.task_of(s), regression.learner(s), Member({"n_tasks": 3}, 1)
    found = read(net, task, Grid({"n_tasks": [3]}, seeds=[1]), regression.readings(task), "mse").squeeze()
    draw, pool = task.draw(member, streams(1)), task.pool(member, streams(1))
    assert pool is not None
    tokens = torch.from_numpy(draw.inputs)
    mine = initialized(net, 1)(tokens.float()).detach().double().numpy()
    one, other = Ridge(0.25)(tokens).numpy(), DiscreteMMSE(pool, 0.25)(tokens).numpy()
    for i in range(2):
        rows = slice(8 * i, 8 * i + 8)
        a, r, z, y = (part[rows] for part in (mine, one, other, draw.labels))
        wanted = {
            "error": ((a - y) ** 2).mean() / 4 - 0.0625, "ridge_distance": ((a - r) ** 2).mean() / 4,
            "dmmse_distance": ((a - z) ** 2).mean() / 4,
            "ridge_weight": np.linalg.lstsq((r - z).reshape(-1, 1), (a - z).ravel(), rcond=None)[0][0],
        }  # fmt: skip
        for name, value in wanted.items():
            assert found[name][i].item() == pytest.approx(value, abs=2e-5), name
        for k, rule in enumerate((r, z)):
            assert found.of_rules[i, k].item() == pytest.approx(((rule - y) ** 2).mean() / 4 - 0.0625, abs=2e-5)


def test_an_infinite_pool_has_no_rule() -> None:
    with pytest.raises(BadInput, match="needs a finite one"):
        regression.PooledRegression(3, n_tasks=float("inf")).draw(Member({}, 0), streams(0))


def test_a_threshold_lies_on_the_logarithm() -> None:
    data = xr.Dataset({"gap": (("n_tasks", "seed"), [[-1.0, -1], [-0.5, -1], [0.5, -1]])}, {"n_tasks": [2, 8, 32]})
    found = reaches(ps.Measure(lambda cell: cell["gap"]), "where").read(data)
    assert found.tolist() == [16.0, float("inf")]


def test_competitors_see_the_networks_sequences() -> None:
    """What the simulation reckons is the accuracy of the learner on the rows that networks of that seed are read on."""
    numbers = {"p": 5, "shots": 6, "asked": 2, "readout": 50, "rule": "random", "n_tasks": 7}
    found = modular.compete(Member(numbers, 4), streams(4))
    task = ps.tasks.InContextLinear(5, n_tasks=7, shots=6, asked=2, readout=50)
    draw = task.draw(Member({"n_tasks": 7}, 4), streams(4))
    share = RatioMatcher(5)(torch.from_numpy(draw.inputs)).double().softmax(-1)
    hit = share.gather(-1, torch.from_numpy(draw.labels).long()[..., None])[:100, :, 0].numpy().reshape(2, 50, 6)
    np.testing.assert_allclose(found["accuracy"][:, 0], hit.mean(1), atol=1e-9)
    np.testing.assert_allclose(found["hard"][:, 0], 0.2, atol=1e-9)  # where it has no answer it guesses
