"""Single sequences of one network: what it answers at each shot, and what the two Bayes rules do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from phasescope.ensemble import Quantity
from phasescope.figures import Choice
from phasescope.learners import DiscreteMMSE, Ridge
from phasescope.studies.in_context_regression.readings import SETS
from phasescope.studies.in_context_regression.settings import RegressionContextSettings
from phasescope.tasks import InContextRegression
from phasescope.vocabulary import Generators, Instrument, Knob, Member, Reading, Subject

MOST = 100  # sequences of the pool's tasks that are kept, and as many of new ones
KEPT = ("y", "without_noise", "ridge", "dmmse")


def kept(readout: int) -> int:
    """Return how many sequences of a set are kept."""
    return min(MOST, readout)


def answers(task: InContextRegression) -> Instrument:
    """Return what a network answers to the first sequences of the pool's tasks and of new ones: (B, 2, n, K)."""
    count = kept(task.readout)

    def read(s: Subject) -> Reading:
        found: Tensor = s.logits()
        return Reading(found.view(len(found), 2, task.readout, -1)[:, :, :count].double())

    return Instrument(
        "answers", read, "1", "the answers", "forward", (-float("inf"), float("inf")), "none",
        ("of", "sequence", "shot"), (), {"of": SETS, "sequence": range(count), "shot": range(task.shots)},
    )  # fmt: skip


def quantities(shots: int, readout: int) -> tuple[Quantity, ...]:
    """Return what ``beside`` leaves."""
    places: dict[str, Sequence[Knob]] = {"of": SETS, "sequence": range(kept(readout)), "shot": range(shots)}
    return tuple(Quantity(name, "1", "learners.Ridge, learners.DiscreteMMSE", tuple(places), places) for name in KEPT)


def beside(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return the sequences that ``answers`` keeps the network's answers to, and what the Bayes rules answer: (2, n, K).

    ``y``, ``without_noise`` (w . x), ``ridge``, and ``dmmse`` of the member's own pool.
    """
    dimension, shots, readout = (int(member[name]) for name in ("dimension", "shots", "readout"))
    noise = float(member["noise"])
    task = InContextRegression(
        dimension, n_tasks=int(member["n_tasks"]), shots=shots, noise=noise, prior=str(member["prior"]), readout=readout
    )
    draw, pool = task.draw(member, generators), task.pool(member, generators)
    assert pool is not None
    rows = np.concatenate([np.arange(kept(readout)), readout + np.arange(kept(readout))])
    tokens = torch.from_numpy(draw.inputs[rows])
    found = {
        "y": draw.labels[rows], "without_noise": draw.truth[rows], "ridge": Ridge(noise)(tokens).numpy(),
        "dmmse": DiscreteMMSE(pool, noise)(tokens).numpy(),
    }  # fmt: skip
    return {name: np.asarray(values).reshape(2, -1, shots) for name, values in found.items()}


def choices(data: Mapping[str, xr.Dataset], s: RegressionContextSettings) -> Sequence[Choice]:
    """Return the sequences of the study's named network, to choose from; none where they are not kept."""
    network, rules = data.get("shown"), data.get("beside")
    if network is None or rules is None or "answers" not in network or not set(KEPT) <= set(rules):
        return ()
    one, other = (part.squeeze([d for d in ("n_tasks", "seed") if d in part.dims]) for part in (network, rules))
    caption = (
        f"One network of {s.middle} tasks, seed {int(network['seed'].values[0])}. A row is a question x, in "
        f"{s.dimension} dimensions; the rows above it are the examples that it follows. y has the noise that examples "
        "show, w . x has none. Last: which of the two Bayes rules the network is nearer to."
    )
    groups = {
        "task of the pool" if of == SETS[0] else "new task": [
            (str(int(i) + 1), _rows(one["answers"].sel(of=of, sequence=i), other.sel(of=of, sequence=i)))
            for i in one.sequence.values
        ]
        for of in SETS
    }
    return (Choice("Sequences", caption, ("shot", "y", "w . x", "network", "ridge", "dMMSE", "nearer"), groups),)


def _rows(network: xr.DataArray, rules: xr.Dataset) -> list[list[str]]:
    parts = [rules["y"], rules["without_noise"], network, rules["ridge"], rules["dmmse"]]
    columns = np.stack([part.values for part in parts], 1)
    return [
        [
            str(k),
            *(f"{value:.2f}" for value in row),
            "ridge" if abs(row[2] - row[3]) < abs(row[2] - row[4]) else "dMMSE",
        ]
        for k, row in enumerate(columns)
    ]
