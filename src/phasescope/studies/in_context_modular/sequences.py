"""Single sequences of one network: what it answers at each shot, and what the exact competitors do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from phasescope.ensemble import Quantity
from phasescope.figures import Choice
from phasescope.learners import PoolBayes, RatioMatcher
from phasescope.learners.in_context import shown_pairs
from phasescope.studies.in_context_modular.readings import by_set
from phasescope.studies.in_context_modular.settings import ModularContextSettings
from phasescope.tasks import InContextLinear
from phasescope.tasks.in_context import SETS
from phasescope.vocabulary import Array, Generators, Instrument, Knob, Member, Reading, Subject

MOST = 100  # sequences of the pool's tasks that are kept, and as many of new ones
OWN = SETS[:2]
SHOWN = ("x", "y", "z")
RIVALS = {"ratio": "ratio", "every": "Bayes, all", "pool": "Bayes, pool"}


def kept(readout: int) -> int:
    """Return how many sequences of a set are kept."""
    return min(MOST, readout)


def answers(task: InContextLinear) -> Instrument:
    """Return what a network answers to the first sequences of the pool's tasks and of new ones: (B, 2, n, K)."""
    count = kept(task.readout)

    def read(s: Subject) -> Reading:
        return Reading(by_set(task, s.logits().argmax(-1))[:, :2, :count].double())

    return Instrument(
        "answers", read, "1", "the answer of the largest logit", "forward", (0.0, task.p - 1.0), "none",
        ("of", "sequence", "shot"), (), {"of": OWN, "sequence": range(count), "shot": range(task.shots)},
    )  # fmt: skip


def quantities(shots: int, readout: int) -> tuple[Quantity, ...]:
    """Return what ``beside`` leaves."""
    places: dict[str, Sequence[Knob]] = {"of": OWN, "sequence": range(kept(readout)), "shot": range(shots)}
    source = "learners.RatioMatcher, learners.PoolBayes"
    rules = [Quantity(name, "1", source, ("of", "sequence", "shot"), places) for name in (*SHOWN, *RIVALS)]
    task = Quantity("task", "1", "a p + b", ("of", "sequence"), {name: places[name] for name in ("of", "sequence")})
    return (*rules, task)


def beside(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return the sequences that ``answers`` keeps the network's answers to, and what exact competitors answer.

    ``x``, ``y``, ``z`` and the rules ``ratio``, ``every`` (Bayes over all tasks) and ``pool`` (over the member's own)
    are (2, n, K), NaN where several answers are equally likely; ``task`` (2, n) is a p + b.
    """
    p, shots, asked, readout = (int(member[name]) for name in ("p", "shots", "asked", "readout"))
    n_tasks = int(member["n_tasks"])
    task = InContextLinear(p, n_tasks=n_tasks, shots=shots, asked=asked, readout=readout, rule=str(member["rule"]))
    draw, tables = task.draw(member, generators), task.tables(generators)
    rows = np.concatenate([np.arange(kept(readout)), readout + np.arange(kept(readout))])
    tokens, z = torch.from_numpy(draw.inputs[rows]).double(), draw.labels[rows]
    x, y, _ = (part.numpy() for part in shown_pairs(tokens, p))
    own, _ = task.pool(member, generators)
    rules = {
        "ratio": RatioMatcher(p), "every": PoolBayes(tables.reshape(-1, p, p)),
        "pool": PoolBayes(tables[own].reshape(-1, p, p)),
    }  # fmt: skip
    found = {"x": x, "y": y, "z": z, **{name: alone(rule(tokens)) for name, rule in rules.items()}}
    which = (tables[:, p * x + y] == z).all(-1).argmax(0) + 1
    return {
        **{name: np.asarray(values, dtype=float).reshape(2, -1, shots) for name, values in found.items()},
        "task": which.reshape(2, -1),
    }


def alone(logits: Tensor) -> Array:
    """Return the answer (N, K) of the largest of the logits (N, K, p), NaN where several are as large."""
    top = logits >= logits.amax(-1, keepdim=True) - 1e-6
    found = logits.argmax(-1).double()
    return np.asarray(torch.where(top.sum(-1) == 1, found, torch.nan).numpy())


def choices(data: Mapping[str, xr.Dataset], s: ModularContextSettings) -> Sequence[Choice]:
    """Return the sequences of the study's named network, to choose from; none where they are not kept."""
    network, rules = data.get("shown"), data.get("beside")
    if network is None or rules is None or "answers" not in network or not {*SHOWN, *RIVALS, "task"} <= set(rules):
        return ()
    one, other = (part.squeeze([d for d in ("n_tasks", "seed") if d in part.dims]) for part in (network, rules))
    caption = (
        f"One network of {s.many} tasks, seed {int(network['seed'].values[0])}. A row is a question; the rows above it "
        "are the examples that it follows. Beside the network: ratio matching, and Bayes' rule over all tasks and over "
        "the pool. ✗ marks a wrong answer; – stands where several are equally likely."
    )
    groups = {
        "task of the pool" if of == OWN[0] else "new task": [
            _sequence(one["answers"].sel(of=of, sequence=i), other.sel(of=of, sequence=i), s.p)
            for i in one.sequence.values
        ]
        for of in OWN
    }
    return (Choice("Sequences", caption, ("shot", "x, y", "z", "network", *RIVALS.values()), groups),)


def _sequence(network: xr.DataArray, rules: xr.Dataset, p: int) -> tuple[str, list[list[str]]]:
    a, b = divmod(int(rules["task"]), p)
    x, y, z = (rules[name].values.astype(int) for name in SHOWN)
    said = [network.values, *(rules[name].values for name in RIVALS)]
    rows = [[str(k), f"{x[k]}, {y[k]}", str(z[k]), *(_told(answer[k], z[k]) for answer in said)] for k in range(len(z))]
    return f"{int(network['sequence']) + 1}, z = {a}x + {b}y mod {p}", rows


def _told(answer: float, right: int) -> str:
    return "–" if np.isnan(answer) else f"{int(answer)}{'' if answer == right else ' ✗'}"
