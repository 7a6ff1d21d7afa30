"""The networks that a page trains again while it is read: two-layer networks in full batches, with their first weights.

A page can not train what any recipe says. These are the recipes that ``report/live.js`` knows: sgd with momentum, adam
and adamw at a constant rate, on mean squared error or cross-entropy, of networks of powers or relu without dropout and
normalization. All else stays a recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from phasescope.ensemble.jobs import Job, jobs
from phasescope.ensemble.streams import initialized
from phasescope.figures import Live
from phasescope.instruments.logits import LEARNING
from phasescope.lab.study import Experiment
from phasescope.learners import PowerMLP
from phasescope.learners.power import ACTIVATIONS
from phasescope.vocabulary import Draw, Member, Recipe, Scatter

CELLS = 60  # of an experiment
HEAVIEST = 3e7  # products of two numbers in one step: about a tenth of a second in a browser
USUAL = Recipe()
PLAIN = (
    "decayed", "sam", "average", "schedule", "warmup", "clip_norm", "clip_value", "label_smoothing",
    "batch", "stop",
)  # fmt: skip


def live(e: Experiment, data: xr.Dataset) -> Sequence[Live]:
    """Return the first seed's network of each cell of ``e`` that a page can train; none where it can not."""
    if e.recipe is None or not any(one.name in data for one in LEARNING) or int(np.prod(e.grid.shape[:-1])) > CELLS:
        return ()
    names, values = list(e.grid.axes), list(e.grid.axes.values())
    places = list(product(*map(range, e.grid.shape[:-1])))
    seed = e.grid.seed_values[0]
    members = [
        Member({name: values[i][at] for i, (name, at) in enumerate(zip(names, place, strict=True))}, seed)
        for place in places
    ]
    return list(_found(places, jobs(e.learner, e.task, Scatter(members), e.recipe)))


def _found(places: Sequence[tuple[int, ...]], all_jobs: Sequence[Job]) -> Iterator[Live]:
    for place, job in zip(places, all_jobs, strict=True):
        if not _known(job):
            continue
        draw = job.draw()
        net: Any = initialized(job.module, job.member.seed) if job.make is None else job.make(job.member)
        if _plain(draw) and len(draw.train) * net.width * (3 * net.outputs + net.arity) < HEAVIEST:
            code, degree, _ = ACTIVATIONS[net.activation]
            assert code < 2, "gelu is not known"
            recipe = job.recipe
            numbers = {
                name: getattr(recipe, name)
                for name in ("lr", "weight_decay", "momentum", "beta1", "beta2", "eps", "steps")
            }
            yield Live(
                (*place, 0), net.embed.detach().numpy(), net.readout.detach().numpy(), degree, net.scale,
                draw.inputs, draw.labels, draw.train, draw.test, str(recipe.optimizer), str(recipe.loss), numbers,
            )  # fmt: skip


def _known(job: Job) -> bool:
    net, recipe = job.module, job.recipe
    return (
        isinstance(net, PowerMLP)
        and net._as_built()
        and net.norm is None
        and float(net.drop.rate) == 0
        and ACTIVATIONS[net.activation][0] < 2
        and recipe.optimizer in ("sgd", "adam", "adamw")
        and recipe.loss in ("mse", "cross_entropy")
        and all(getattr(recipe, name, None) == getattr(USUAL, name, None) for name in PLAIN)
    )


def _plain(draw: Draw) -> bool:
    integers = draw.inputs.dtype.kind == "i" and draw.labels.dtype.kind == "i" and draw.labels.ndim == 1
    return bool(integers and len(draw.train) and (draw.weights == 1).all())
