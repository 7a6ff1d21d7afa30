"""The networks that a page trains again while it is read: two-layer networks in full batches, with their first weights.

A page can not train what any recipe says. These are the recipes that ``report/live.js`` knows: sgd with momentum, adam
and adamw at a constant rate, on mean squared error or cross-entropy, of networks of powers or relu without dropout and
normalization. All else stays a recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, cast

import numpy as np
import xarray as xr

from phasescope.ensemble.jobs import Job
from phasescope.ensemble.streams import initialized
from phasescope.figures import Live
from phasescope.instruments.logits import LEARNING
from phasescope.lab.neurons import jobs_at
from phasescope.lab.study import Experiment
from phasescope.learners import PowerMLP
from phasescope.learners.power import ACTIVATIONS
from phasescope.vocabulary import Draw, Recipe

CELLS = 60  # of an experiment
HEAVIEST = 3e7  # products of two numbers in one step: about a tenth of a second in a browser
NUMBERS = ("lr", "weight_decay", "momentum", "beta1", "beta2", "eps", "steps")
USUAL = Recipe()
PLAIN = (
    "decayed", "sam", "average", "schedule", "warmup", "clip_norm", "clip_value", "label_smoothing",
    "batch", "stop",
)  # fmt: skip


def live(e: Experiment, data: xr.Dataset) -> Sequence[Live]:
    """Return the first seed's network of each cell of ``e`` that a page can train; none where it can not."""
    if e.recipe is None or not any(one.name in data for one in LEARNING) or int(np.prod(e.grid.shape[:-1])) > CELLS:
        return ()
    places = [(*cell, 0) for cell in product(*map(range, e.grid.shape[:-1]))]
    return list(_found(places, jobs_at(e, places)))


def _found(places: Sequence[tuple[int, ...]], all_jobs: Sequence[Job]) -> Iterator[Live]:
    for place, job in zip(places, all_jobs, strict=True):
        if not _known(job):
            continue
        draw, recipe, like = job.draw(), job.recipe, cast("PowerMLP", job.module)
        if not _plain(draw) or len(draw.train) * like.width * (3 * like.outputs + like.arity) >= HEAVIEST:
            continue
        net: Any = initialized(job.module, job.member.seed) if job.make is None else job.make(job.member)
        yield Live(
            place, net.embed.detach().numpy(), net.readout.detach().numpy(), ACTIVATIONS[net.activation][1], net.scale,
            draw.inputs, draw.labels, draw.train, draw.test, str(recipe.optimizer), str(recipe.loss),
            {name: getattr(recipe, name) for name in NUMBERS},
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
        and all(getattr(recipe, name) == getattr(USUAL, name) for name in PLAIN)
    )


def _plain(draw: Draw) -> bool:
    integers = draw.inputs.dtype.kind == "i" and draw.labels.dtype.kind == "i" and draw.labels.ndim == 1
    return bool(integers and len(draw.train) and (draw.weights == 1).all())
