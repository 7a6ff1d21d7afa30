"""Bayes' rule with a Laplace prior, by three routes, and what is kept of single sequences of regression."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import integrate, stats

import phasescope as ps
from phasescope.ensemble.streams import initialized, streams
from phasescope.learners import DiscreteMMSE, Ridge
from phasescope.studies.in_context_regression import experiments, sequences
from phasescope.studies.in_context_regression.laplace import PriorRegression, laplace_answers, variances
from phasescope.studies.in_context_regression.readings import readings
from phasescope.studies.in_context_regression.settings import RegressionContextSettings
from phasescope.vocabulary import Grid, Member

SMALL = {"seeds": 1, "steps": 4, "batch": 4, "records": 2, "readout": 8, "draws": 16, "width": 8, "heads": 2}
NOISE = 0.25


def shown(dimension: int, shots: int, count: int = 8) -> torch.Tensor:
    task = PriorRegression(dimension, n_tasks=float("inf"), shots=shots, noise=NOISE, readout=count)
    return torch.from_numpy(ps.tasks.InContextRegression.draw(task, Member({}, 0), streams(0)).inputs)


def test_in_one_dimension_it_is_the_integral_over_the_prior() -> None:
    tokens = shown(1, 4)
    found = laplace_answers(tokens, NOISE, nodes=1000)
    for row, told in zip(tokens.numpy()[:6], found.numpy()[:6], strict=True):
        x, y = row[0::2, 0], row[1::2, 1]

        def posterior(w: float, k: int, x: np.ndarray = x, y: np.ndarray = y) -> float:
            density = stats.laplace.pdf(w, scale=np.sqrt(0.5))
            return float(density * np.exp(-((y[:k] - w * x[:k]) ** 2).sum() / (2 * NOISE)))

        for k in range(4):
            mass = [
                sum(
                    integrate.quad(lambda w, p=p, k=k: w**p * posterior(w, k), *ends)[0] for ends in ((-12, 0), (0, 12))
                )
                for p in (0, 1)
            ]
            assert told[k] == pytest.approx(x[k] * mass[1] / mass[0], abs=2e-4)


def test_in_two_dimensions_draws_from_the_prior_agree() -> None:
    """Self-normalized importance sampling: the rule of a pool drawn from the prior; its error from ten halves."""
    tokens = shown(2, 4, 16)
    found = laplace_answers(tokens, NOISE, nodes=60)
    pools = [streams(i)("prior").laplace(0, np.sqrt(0.5), (20_000, 2)) for i in range(10)]
    routes = torch.stack([DiscreteMMSE(pool, NOISE)(tokens) for pool in pools])
    error = routes.std(0) / np.sqrt(10)
    gap = (routes.mean(0) - found).abs()
    assert (gap <= 5 * error + 1e-3).all()
    ridge = (routes.mean(0) - Ridge(NOISE)(tokens)).abs()
    assert (ridge > 10 * error + 1e-2).float().mean() > 0.3  # and ridge does not


def test_four_dimensions_are_exact_to_what_is_said() -> None:
    tokens = shown(4, 8, 8)
    found, finer = laplace_answers(tokens, NOISE), laplace_answers(tokens, NOISE, nodes=8**8)  # the second draws
    gap = (found - finer).square().mean() / 4
    assert gap < 5e-4
    assert (found - Ridge(NOISE)(tokens)).square().mean() / 4 > 20 * gap


def test_nodes_are_a_law_of_the_exponential() -> None:
    place, weight = variances(2, 40)
    mass = np.exp(weight)
    assert mass.sum() == pytest.approx(1)
    assert (mass[:, None] * place).sum(0) == pytest.approx(1, abs=5e-3)
    drawn, alike = variances(8)
    assert drawn.shape == (8192, 8)
    assert np.exp(alike).sum() == pytest.approx(1)


def test_priors_are_learnt_and_read_where_they_should_be() -> None:
    """Two priors learn other batches and are read on the same sequences, whose truth is the Laplace rule's answer."""
    s = RegressionContextSettings(**SMALL, priors=4)
    one, other = (experiments.prior_task(s, learnt) for learnt in ("laplace", "gaussian"))
    member = Member({}, 1)
    plain = ps.tasks.InContextRegression(4, n_tasks=float("inf"), prior="gaussian", readout=4)
    np.testing.assert_array_equal(other.batch(member, streams(1), 1, 4)[0], plain.batch(member, streams(1), 1, 4)[0])
    assert (one.batch(member, streams(1), 1, 4)[1] != other.batch(member, streams(1), 1, 4)[1]).all()
    first, second = one.draw(member, streams(1)), other.draw(member, streams(1))
    np.testing.assert_array_equal(first.inputs, second.inputs)
    np.testing.assert_allclose(first.truth, laplace_answers(torch.from_numpy(first.inputs), NOISE).numpy())


def test_the_nearest_mix_is_that_of_least_squares() -> None:
    s = RegressionContextSettings(**SMALL)
    task, net = experiments.task_of(s), experiments.learner(s)
    recipe = ps.Recipe(optimizer="sgd", lr=1e-30, steps=1, records=2, batch=2, loss="mse")
    at_end = (*readings(task), sequences.answers(task))
    data = ps.train(
        net, task, Grid({"n_tasks": [3]}, seeds=[1]), recipe, [], at_end=at_end, device="cpu", engine="stacked"
    )
    found, member = data.squeeze(), Member({"n_tasks": 3}, 1)
    draw, pool = task.draw(member, streams(1)), task.pool(member, streams(1))
    assert pool is not None
    tokens = torch.from_numpy(draw.inputs)
    mine = initialized(net, 1)(tokens.float()).detach().double().numpy().reshape(2, 8, 8)
    r, z = (rule(tokens).numpy().reshape(2, 8, 8) for rule in (Ridge(NOISE), DiscreteMMSE(pool, NOISE)))
    for i in range(2):
        _, left, *_ = np.linalg.lstsq((r[i] - z[i]).reshape(-1, 1), (mine[i] - z[i]).ravel(), rcond=None)
        assert found.mix_distance[i].item() == pytest.approx(left[0] / 64 / 4, abs=2e-5)
    np.testing.assert_allclose(found.answers, mine, atol=1e-5)
    numbers = {"dimension": 4, "shots": 8, "readout": 8, "noise": NOISE, "prior": "gaussian", "n_tasks": 3}
    rules = sequences.beside(Member(numbers, 1), streams(1))
    np.testing.assert_allclose(rules["ridge"], r)
    np.testing.assert_allclose(rules["dmmse"], z)
    places = {"of": list(sequences.SETS), "sequence": range(8), "shot": range(8)}
    beside = xr.Dataset({name: (("of", "sequence", "shot"), value) for name, value in rules.items()}, places)
    (choice,) = sequences.choices({"shown": data, "beside": beside.expand_dims(seed=[1])}, s)
    name, rows = choice.groups["new task"][2]
    assert name == "3"
    near = "ridge" if abs(mine[1, 2, 5] - r[1, 2, 5]) < abs(mine[1, 2, 5] - z[1, 2, 5]) else "dMMSE"
    assert rows[5][1:] == [*(f"{v[1, 2, 5]:.2f}" for v in (rules["y"], rules["without_noise"], mine, r, z)), near]
