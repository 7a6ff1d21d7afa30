"""The experiments of ``in-context-modular``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from phasescope.ensemble import Quantity, Simulation, last
from phasescope.instruments.logits import LEARNING
from phasescope.lab.readings import at_the_end
from phasescope.lab.study import Experiment, OrderParameter
from phasescope.learners import Decoder, ModularRegression, PoolBayes, RatioMatcher
from phasescope.studies.in_context_modular.attention import patterns
from phasescope.studies.in_context_modular.circles import circles
from phasescope.studies.in_context_modular.readings import beyond_ratio, copied, last_accuracy, shot_accuracy
from phasescope.studies.in_context_modular.sequences import answers, beside, quantities
from phasescope.studies.in_context_modular.settings import ModularContextSettings
from phasescope.tasks import InContextLinear
from phasescope.tasks.in_context import SETS
from phasescope.vocabulary import Array, Generators, Grid, Instrument, Member, Recipe

COMPETITORS = ("ratio", "regression", "all tasks", "pool")
LEVEL = 0.7  # of accuracy: what counts as answered
PHASES = (
    "neither", "i.d. memorization", "i.d. generalization", "o.o.d. memorization", "o.o.d. generalization",
    "nothing held out",
)  # fmt: skip


def task_of(s: ModularContextSettings, **changes: Any) -> InContextLinear:
    """Return the study's task, with these changes."""
    numbers = {"n_tasks": s.few, "shots": s.shots, "asked": s.asked, "tokens": s.tokens, "readout": s.readout}
    return InContextLinear(s.p, **{**numbers, "rule": s.rule, **changes})


def learner(s: ModularContextSettings, layers: int) -> Decoder:
    """Return the network: without positions on bound tokens, and as the authors' on three."""
    if s.tokens == "three":
        return Decoder(
            s.p, width=s.width, layers=layers, heads=s.heads, activation="relu", positions="rope", mask="causal",
            read="all", bias=False, tied=True,
        )  # fmt: skip
    return Decoder(
        3 * s.p + 1, s.p, vectors=True, width=s.width, layers=layers, heads=s.heads, activation="relu",
        positions="none", mask="examples", read="questions", init="torch",
    )  # fmt: skip


def recipe(s: ModularContextSettings) -> Recipe:
    """Return how every network learns."""
    return Recipe(
        optimizer="adamw", lr=s.rate, weight_decay=s.decay, clip_norm=s.clip, warmup=min(s.warmup, s.steps // 2),
        schedule="cosine", lr_floor=0.1, steps=s.steps, batch=s.batch, loss="cross_entropy", records=s.records,
        first_record=max(1, s.steps // s.records), spacing="linear",
    )  # fmt: skip


def experiments(s: ModularContextSettings) -> dict[str, Experiment | Simulation]:
    """Return the study's experiments by name: trained networks, then the exact competitors."""
    linear, tables = task_of(s), task_of(s, functions="tables", rule="random")
    repeats, ends = task_of(s, distinct=False), (s.few, s.many)

    def trained(
        title: str, task: InContextLinear, axes: Mapping[str, Any], layers: int, *more: Instrument, seeds: int = s.seeds
    ) -> Experiment:
        watch = (*LEARNING, last_accuracy(task))
        at_end = (shot_accuracy(task), beyond_ratio(task), *more)
        return Experiment(title, learner(s, layers), task, Grid(axes, seeds=seeds), recipe(s), watch, at_end)

    looks = (*patterns(linear, partial(learner, s, s.layers)), circles(s.p, s.tokens))
    corners = "random" if s.rule == "rectangular" else "rectangular"
    named, beyond = {"n_tasks": (s.many,)}, {}
    if s.corners:
        other = task_of(s, rule=corners, n_tasks=s.corners[0])
        beyond["rectangles"] = trained(f"{corners} pools of tasks", other, {"n_tasks": s.corners}, s.layers)
    if s.deep:
        beyond["deep"] = trained(f"{s.deep} blocks", linear, {"n_tasks": (s.between, s.many)}, s.deep)
    return {
        "sizes": trained("linear functions, pools of several sizes", linear, {"n_tasks": s.sizes}, s.layers, *looks),
        "tables": trained("control: random tables", tables, named, s.layers, *looks[:2]),
        "repeats": trained("control: inputs may repeat", repeats, {"n_tasks": (s.between,)}, s.layers, copied(repeats)),
        "shallow": trained("one block", linear, {"n_tasks": ends}, 1),
        "held": trained("some inputs held out", linear, {"n_tasks": ends, "alpha": (s.alpha,)}, s.layers),
        **beyond,
        "shown": trained("one network, sequence by sequence", linear, named, s.layers, answers(linear), seeds=1),
        "beside": Simulation(
            "exact competitors on these sequences", beside, Grid(named, seeds=1), quantities(s.shots, s.readout),
            {"p": s.p, "shots": s.shots, "asked": s.asked, "readout": s.readout, "rule": s.rule},
        ),
        "competitors": Simulation(
            "exact competitors on the networks' sequences", compete, Grid({"n_tasks": s.sizes}, seeds=s.seeds),
            (_by("accuracy", "set", "competitor", "shot"), _by("last", "set", "competitor"),
             _by("hard", "set", "competitor")),
            {"p": s.p, "shots": s.shots, "asked": s.asked, "readout": s.readout, "rule": s.rule},
        ),
        "formulas": Simulation(
            "exact competitors on many sequences", compete, Grid({"n_tasks": (s.few,)}, seeds=s.seeds),
            (_by("accuracy", "set", "competitor", "shot"), _by("last", "set", "competitor"),
             _by("hard", "set", "competitor")),
            {"p": s.p, "shots": s.shots, "asked": s.asked, "readout": s.draws, "rule": s.rule},
        ),
    }  # fmt: skip


def _by(name: str, *dims: str) -> Quantity:
    return Quantity(name, "1", "theory.in_context_modular", dims, {"set": SETS[:2], "competitor": COMPETITORS})


def competitors(task: InContextLinear, member: Member, generators: Generators) -> dict[str, nn.Module]:
    """Return ratio matching, regression, and Bayes over all tasks and over the member's pool."""
    tables, p = task.tables(generators), task.p
    own, _ = task.pool(member, generators)
    return {
        "ratio": RatioMatcher(p),
        "regression": ModularRegression(p),
        "all tasks": PoolBayes(tables.reshape(-1, p, p)),
        "pool": PoolBayes(tables[own].reshape(-1, p, p)),
    }


def chances(logits: Tensor, labels: Tensor) -> Array:
    """Return how likely each answer (N, K) is right if one of the largest logits (N, K, p) is taken by chance."""
    top = logits >= logits.amax(-1, keepdim=True) - 1e-6
    hit = top.gather(-1, labels[..., None])[..., 0].double() / top.sum(-1)
    return np.asarray(hit.numpy())


def compete(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return the accuracy of each competitor on the member's sequences of its pool and of new tasks.

    ``accuracy`` (2, 4, K) at each shot, ``last`` (2, 4) over the last questions, ``hard`` (2, 4) over those of them
    that are a multiple of no example before them.
    """
    p, shots, asked, readout = (int(member[name]) for name in ("p", "shots", "asked", "readout"))
    task = InContextLinear(
        p, n_tasks=int(member["n_tasks"]), shots=shots, asked=asked, readout=readout, rule=str(member["rule"])
    )
    draw = task.draw(member, generators)
    tokens = torch.from_numpy(draw.inputs[: 2 * readout]).double()
    labels = torch.from_numpy(draw.labels[: 2 * readout]).long()
    found = [chances(one(tokens), labels) for one in competitors(task, member, generators).values()]
    right = np.stack(found, 1).reshape(2, readout, len(COMPETITORS), shots)
    hard = (RatioMatcher(p)(tokens) == 0).all(-1).numpy()  # all answers alike: it has none
    weights = hard.reshape(2, readout, 1, shots)[..., -asked:]
    return {
        "accuracy": right.mean(1),
        "last": right[..., -asked:].mean((1, 3)),
        "hard": (right[..., -asked:] * weights).sum((1, 3)) / weights.sum((1, 3)),
    }


def mapped(s: ModularContextSettings) -> Experiment:
    """Return what a phase map varies: the number of tasks and the fraction of inputs that is trained on."""
    task = task_of(s, alpha=s.alpha)
    watch = (*LEARNING, last_accuracy(task))
    return Experiment("networks that learn in context", learner(s, s.layers), task, Grid(), recipe(s), watch)


def phase(data: xr.Dataset) -> xr.DataArray:
    """Return where in ``PHASES`` each network is: which of the four sets it answers, to 0.7 of the last questions.

    The paper's four phases (He et al. 2024, Fig. 1; what it takes for an answer is ours).
    """
    accuracy = last(data["last_accuracy"])
    pool, new, held, both = (accuracy.sel(set=name, drop=True) for name in SETS)
    inside, outside = 1 + (held >= LEVEL).astype(float), 3 + (both >= LEVEL).astype(float)
    where = outside.where(new >= LEVEL, inside.where(pool >= LEVEL, 0.0))
    found: xr.DataArray = where.where(held.notnull() | pool.isnull(), 5.0).where(pool.notnull())
    return found


ORDERS = (
    OrderParameter("phase", phase, phases=PHASES),
    OrderParameter("new_accuracy", lambda data: last(data["last_accuracy"]).sel(set="new", drop=True), LEVEL),
    at_the_end("train_accuracy"),
)
