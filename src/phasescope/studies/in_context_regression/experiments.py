"""The experiments of ``in-context-regression``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from phasescope.ensemble import Quantity, Simulation, last
from phasescope.instruments.logits import test_loss, train_loss
from phasescope.lab.study import Experiment, OrderParameter
from phasescope.learners import Decoder, DiscreteMMSE, Ridge
from phasescope.studies.in_context_regression.laplace import PriorRegression
from phasescope.studies.in_context_regression.readings import RULES, SETS, readings
from phasescope.studies.in_context_regression.sequences import answers, beside, quantities
from phasescope.studies.in_context_regression.settings import RegressionContextSettings
from phasescope.tasks import InContextRegression
from phasescope.vocabulary import Array, BadInput, Draw, Generators, Grid, Instrument, Member, Recipe

HALF = 0.5  # the weight of ridge at which a network changes sides


class Answering(Decoder):
    """A decoder of vectors whose one output at each question is its answer: (N, T, D) -> (N, K)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the answers (N, K)."""
        return super().forward(inputs)[..., 0]


@dataclass(frozen=True)
class PooledRegression(InContextRegression):
    """Regression whose ``truth`` is what the discrete MMSE estimator of the member's own pool answers."""

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return the sequences on which the member is read, with the answers of its pool's Bayes rule."""
        found, pool = super().draw(member, generators), self.pool(member, generators)
        if pool is None:
            raise BadInput("n_tasks is inf: the Bayes rule of a pool needs a finite one; give a whole number.")
        return replace(found, truth=DiscreteMMSE(pool, self.noise)(torch.from_numpy(found.inputs)).numpy())


def task_of(s: RegressionContextSettings) -> PooledRegression:
    """Return the study's task."""
    return PooledRegression(
        s.dimension, n_tasks=s.few, shots=s.shots, noise=s.noise, prior=s.prior, tokens=s.tokens, readout=s.readout
    )


def prior_task(s: RegressionContextSettings, learnt: str) -> PriorRegression:
    """Return the task of networks that learn from one prior and are read on tasks of the Laplace prior."""
    return PriorRegression(
        s.dimension,
        n_tasks=float("inf"),
        shots=s.shots,
        noise=s.noise,
        tokens=s.tokens,
        readout=s.priors,
        learnt=learnt,
    )


def learner(s: RegressionContextSettings) -> Answering:
    """Return the network: without positions on bound tokens, and GPT-2's as the authors' on two."""
    three = s.tokens == "three"
    return Answering(
        s.dimension + 2, 1, vectors=True, width=s.width, layers=s.layers, heads=s.heads, activation="gelu",
        positions="learned" if three else "none", length=2 * s.shots - 1 if three else None,
        mask="causal" if three else "examples", read="questions", init="gpt2" if three else "torch",
    )  # fmt: skip


def recipe(s: RegressionContextSettings, steps: int) -> Recipe:
    """Return how a network learns in so many steps."""
    return Recipe(
        optimizer="adam", lr=s.rate, beta2=0.999, clip_norm=s.clip, warmup=steps // 10, schedule="cosine", steps=steps,
        batch=s.batch, loss="mse", records=s.records, first_record=max(1, steps // s.records), spacing="linear",
    )  # fmt: skip


def experiments(s: RegressionContextSettings) -> dict[str, Experiment | Simulation]:
    """Return the study's experiments by name: trained networks, then the two rules alone."""
    task, watch = task_of(s), (train_loss, test_loss, *readings(task_of(s)))

    def trained(
        title: str, sizes: tuple[int, ...], steps: int, *at_end: Instrument, seeds: int = s.seeds
    ) -> Experiment:
        grid = Grid({"n_tasks": sizes}, seeds=seeds)
        return Experiment(title, learner(s), task, grid, recipe(s, steps), watch, at_end)

    def of_prior(title: str, learnt: str) -> Experiment:
        prior = prior_task(s, learnt)
        reads = (train_loss, *readings(prior, "Laplace"))
        return Experiment(title, learner(s), prior, Grid(seeds=s.seeds), recipe(s, s.steps), reads)

    priors = (
        {
            "laplace": of_prior("ever new tasks of a Laplace prior", "laplace"),
            "gaussian": of_prior("control: ever new Gaussian tasks, read on Laplace ones", "gaussian"),
        }
        if s.priors
        else {}
    )

    return {
        "sizes": trained("networks of pools of several sizes", s.sizes, s.steps),
        "longer": trained("control: twice the steps", (s.middle,), 2 * s.steps),
        **priors,
        "shown": trained("one network, sequence by sequence", (s.middle,), s.steps, answers(task), seeds=1),
        "beside": Simulation(
            "the Bayes rules on these sequences", beside, Grid({"n_tasks": (s.middle,)}, seeds=1),
            quantities(s.shots, s.readout),
            {"dimension": s.dimension, "shots": s.shots, "noise": s.noise, "prior": s.prior, "readout": s.readout},
        ),
        "rules": Simulation(
            "the two Bayes rules alone", rules, Grid({"n_tasks": s.rule_sizes}, seeds=s.seeds),
            (Quantity("error", "squared error / D", "theory.in_context_regression", ("set", "rule"),
                      {"set": SETS, "rule": (*RULES, "dMMSE of another pool")}),),
            {"dimension": s.rule_dimension, "shots": s.rule_shots, "noise": s.noise, "draws": s.draws},
        ),
    }  # fmt: skip


def rules(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return ``error`` (2, 3): ridge, dMMSE of the member's pool and of another, on its tasks and on new ones.

    Mean squared distance to w . x over D and all shots.
    """
    dimension, shots, draws = (int(member[name]) for name in ("dimension", "shots", "draws"))
    noise, n = float(member["noise"]), int(member["n_tasks"])
    task = InContextRegression(dimension, n_tasks=n, shots=shots, noise=noise, readout=draws)
    draw, pool = task.draw(member, generators), task.pool(member, generators)
    assert pool is not None
    tokens, other = torch.from_numpy(draw.inputs), generators("other pool").standard_normal((n, dimension))
    found = [rule(tokens).numpy() for rule in (Ridge(noise), DiscreteMMSE(pool, noise), DiscreteMMSE(other, noise))]
    gaps: Array = np.stack([(answers - draw.truth) ** 2 / dimension for answers in found], 1)
    return {"error": gaps.reshape(2, draws, 3, shots).mean((1, 3))}


def mapped(s: RegressionContextSettings) -> Experiment:
    """Return what a phase map varies: the number of tasks (give ``n_tasks=2:512:log``), the rate, the clipping."""
    task = task_of(s)
    watch = (train_loss, test_loss, *readings(task))
    return Experiment("networks that regress in context", learner(s), task, Grid(), recipe(s, s.steps), watch)


def ridge_weight(data: xr.Dataset) -> xr.DataArray:
    """Return the weight of ridge in each network's answers to new tasks at the end of training."""
    return last(data["ridge_weight"]).sel(set="new", drop=True)


def against_pool(data: xr.Dataset) -> xr.DataArray:
    """Return by how much each network errs less on new tasks than its pool's Bayes rule."""
    gap = data["of_rules"].sel(rule="dMMSE", set="new", drop=True) - data["error"].sel(set="new", drop=True)
    return last(gap)


ORDERS = (OrderParameter("ridge_weight", ridge_weight, HALF), OrderParameter("against_pool", against_pool, 0.05))
