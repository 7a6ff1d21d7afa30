"""The runs that storms strike: small, of every engine and kind, with what they leave as named arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from storm import arrays_of

import phasescope as ps
from phasescope import lab, report
from phasescope.instruments import LEARNING
from phasescope.instruments.fourier import mean_participation
from phasescope.lab.study import join
from phasescope.store import Store

#: Settings of ``grokking`` at which a run takes seconds; they need not support a claim.
TINY: dict[str, Any] = {
    "p": 5, "exact_p": 5, "width": 8, "narrow": 4, "exact_width": 8, "polynomial_width": 8,
    "steps": 40, "adam_steps": 20, "batch_steps": 20, "records": 10, "draws": 2, "seeds": 2,
}  # fmt: skip
#: The same, on the command line.
RUN = ["run", "grokking", *(f"--set={name}={value}" for name, value in TINY.items())]
#: What a clock measured is no number of the run.
TIMINGS = ("seconds", "network_seconds")


@dataclass(frozen=True)
class Victim:
    """A run into a folder: ``work`` does it, or what is left of it, and returns everything that must be the same."""

    kind: str
    engine: str
    work: Callable[[Path], dict[str, Any]]

    @property
    def name(self) -> str:
        """Kind and engine in one word."""
        return f"{self.kind}-{self.engine}" if self.engine else self.kind


class Small(torch.nn.Module):
    """A user's own module, for the stacked engine."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.embed, self.out = torch.nn.Embedding(5, width), torch.nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.embed(x).sum(1)))


def train_fused(folder: Path) -> dict[str, Any]:
    """Eight members with dropout and mini-batches, one per worker, a checkpoint every 20 ms."""
    grid = ps.Grid({"weight_decay": [0.0, 1.0], "momentum": [0.0, 0.9]}, seeds=2)
    recipe = ps.Recipe(optimizer="sgd", lr=0.5, steps=1500, records=30, batch=40, patience=20.0)
    task, learner = ps.tasks.addition(11, train_fraction=0.8), ps.learners.PowerMLP(11, 32, dropout=0.1)
    watch = (*LEARNING, mean_participation)
    with Store(folder) as store:
        data = ps.train(
            learner, task, grid, recipe, watch, keeper=store, device="cpu", engine="fused", workers=2,
            checkpoint_every=0.02,
        )  # fmt: skip
    return arrays_of(data, TIMINGS)


def train_stacked(folder: Path) -> dict[str, Any]:
    """Six members in tiles of three, members leaving early, a checkpoint every 10 ms."""
    grid = ps.Grid({"lr": [0.003, 0.03]}, seeds=3)
    recipe = ps.Recipe(optimizer="adamw", steps=120, records=40, batch=8, overtime=1.5)
    with Store(folder) as store:
        data = ps.train(
            Small(), ps.tasks.addition(5, train_fraction=0.7), grid, recipe, LEARNING, keeper=store, device="cpu",
            engine="stacked", tile=3, checkpoint_every=0.01,
        )  # fmt: skip
    return arrays_of(data, TIMINGS)


def walk(member: ps.Member, generators: Any) -> dict[str, Any]:
    """Where a random walk of so many steps goes."""
    path = generators("walk").standard_normal(int(member["length"])).cumsum()
    for _ in range(int(member["work"])):
        path = np.sort(path)[::-1]
    return {"path": path, "end": path[-1]}


def simulate(folder: Path) -> dict[str, Any]:
    """Forty members that nothing trains."""
    grid = ps.Grid({"length": [10, 1000, 20000, 50000]}, seeds=10)
    quantities = (ps.Quantity("end", "1", "here"), ps.Quantity("path", "1", "here", ("step",)))
    with Store(folder) as store:
        data = ps.simulate(ps.Simulation("walks", walk, grid, quantities, {"work": 40}), keeper=store, workers=2)
    return arrays_of(data)


def _mapped(learner: Any, folder: Path) -> dict[str, Any]:
    recipe = ps.Recipe(steps=40, lr=0.03, records=4)
    mine = ps.Experiment("mine", learner, ps.tasks.addition(5), ps.Grid(), recipe, LEARNING)
    found = ps.phase_map(
        mine, x="train_fraction=0.2:0.9", y="lr=0.0003:0.03:log", by="train_accuracy", tolerance=1 / 4, out=folder,
        device="cpu", workers=2,
    )  # fmt: skip
    kept = ps.load(folder).data
    if not kept.identical(found.data):
        raise AssertionError("the map in the folder is not the map that was returned")
    return arrays_of(found.data, TIMINGS)


def map_fused(folder: Path) -> dict[str, Any]:
    """A phase map of a learner with a fused step."""
    return _mapped(ps.learners.PowerMLP(5, 8), folder)


def map_stacked(folder: Path) -> dict[str, Any]:
    """A phase map of a user's own module."""
    return _mapped(Small(), folder)


def study(folder: Path) -> dict[str, Any]:
    """The whole of ``grokking`` at tiny settings: trained, measured, judged, drawn, the page written."""
    results = lab.run("grokking", out=folder, device="cpu", workers=2, **TINY)
    with Store(folder) as store:
        report.write_report(store, results.told())
    kept = ps.load(folder)
    found = arrays_of(join(kept.data), TIMINGS)
    found["verdicts"] = np.array(repr(kept.verdicts.to_json()))
    found["files"] = np.array(sorted(p.name for p in (folder / "figures").iterdir()))
    if "</html>" not in (folder / "report.html").read_text()[-200:]:
        raise AssertionError("the page has no end")
    return found


VICTIMS = (
    Victim("train", "fused", train_fused),
    Victim("train", "stacked", train_stacked),
    Victim("simulate", "", simulate),
    Victim("map", "fused", map_fused),
    Victim("map", "stacked", map_stacked),
    Victim("study", "", study),
)
