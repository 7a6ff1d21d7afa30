"""The rows of ``hard-examples``, who trains on which, and the ensembles of networks that learn them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional

from phasescope.ensemble import train
from phasescope.ensemble.schedule import record_steps
from phasescope.store.data import data_folder
from phasescope.studies.hard_examples.settings import FLIPPED, SHUFFLED
from phasescope.tasks.images import digits, fashion_mnist
from phasescope.tasks.table import digest
from phasescope.vocabulary import Array, BadInput, Draw, Generators, Grid, Instrument, Knob, Member, Recipe

CLASSES = 10
MOST = 1 << 16  # networks that one seed of the study may have


@dataclass(frozen=True)
class Rows:
    """Images (N, D) float32 of one seed: their true labels (N,), those that are given, and which were made wrong."""

    x: Array
    truth: Array
    labels: Array
    wrong: Array
    test_x: Array
    test_y: Array


@lru_cache(maxsize=2)
def pictures(images: str, side: int) -> tuple[Array, Array]:
    """Return all images (N, D), each with mean 0 and mean square 1, and their labels (N,)."""
    folder = data_folder(images) if images == "fashion-mnist" else images
    table = fashion_mnist(folder, size=side) if images else digits()
    return np.asarray(table.inputs), np.asarray(table.labels)


def drawn(member: Member, labels: str, generators: Generators) -> Rows:
    """Return the rows of a seed. ``labels``: true, "some wrong" (each changed to another class), or "shuffled"."""
    x, y = pictures(str(member["images"]), int(member["side"]))
    n, tests = int(member["samples"]), int(member["tests"])
    if n + tests > len(x):
        raise BadInput(f"samples and tests are {n} and {tests}: there are {len(x)} images; give fewer.")
    order = generators("data").permutation(len(x))
    train_rows, test = order[:n], order[n : n + tests]
    truth = y[train_rows]
    chance = generators("flips")
    wrong = np.zeros(n, bool)
    wrong[chance.choice(n, round(float(member["flips"]) * n), replace=False)] = True
    given = truth.copy()
    if labels == FLIPPED:
        given[wrong] = (truth[wrong] + chance.integers(1, CLASSES, int(wrong.sum()))) % CLASSES
    elif labels == SHUFFLED:
        given = truth[chance.permutation(n)]
    return Rows(x[train_rows], truth, given, wrong, x[test], y[test])


@dataclass(frozen=True)
class Sets:
    """Rows of which a member trains on those of its ``set``; all rows that it does not train on are its test."""

    inputs: Array
    labels: Array
    sets: tuple[Array, ...]
    test: Array | None = None
    name: str = "rows"
    classes: int = CLASSES

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """What a grid may set: the number of the set."""
        return {"set": 0}

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return rows, labels and what trains; every row is read."""
        n, own = len(self.labels), np.sort(self.sets[int(member.get("set", 0))]).astype(np.int32)
        rest = np.setdiff1d(np.arange(n), own) if self.test is None else self.test
        rest = own if not len(rest) else rest.astype(np.int32)  # where all train, nothing is read as a test
        return Draw(self.inputs, self.labels, self.labels, own, np.sort(rest).astype(np.int32), np.ones(n))

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the task's numbers."""
        test = () if self.test is None else (self.test,)
        return {"task": "sets of rows", "rows": digest(self.inputs, self.labels, *self.sets, *test)}


def several(member: Member, name: str) -> list[float]:
    """Return the numbers that a member has under one name."""
    found: Any = member[name]
    return list(found)


class Perceptron(nn.Module):
    """One hidden layer of ReLU: (N, D) -> logits (N, 10); weights and biases uniform within 1 / sqrt(inputs).

    It draws from a generator that is given alone: networks of several seeds are made side by side, and torch's global
    generator is one for all.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.inputs, self.width = inputs, width
        self.inward, self.inward_bias = nn.Parameter(torch.zeros(width, inputs)), nn.Parameter(torch.zeros(width))
        self.outward, self.outward_bias = nn.Parameter(torch.zeros(CLASSES, width)), nn.Parameter(torch.zeros(CLASSES))

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw fresh weights in place, as torch's Linear does."""
        with torch.no_grad():
            for parameter, inputs in zip(self.parameters(), (self.inputs, self.inputs, self.width, self.width),
                                         strict=True):  # fmt: skip
                drawn = generator.uniform(-1, 1, tuple(parameter.shape)) / math.sqrt(inputs)
                parameter.copy_(torch.from_numpy(drawn))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, 10)."""
        hidden = torch.relu(functional.linear(x, self.inward, self.inward_bias))
        return functional.linear(hidden, self.outward, self.outward_bias)


def inner(seed: int, first: int, count: int) -> list[int]:
    """Return the seeds of ``count`` networks of one seed of the study, from number ``first`` on: no two seeds share."""
    if first + count > MOST:
        raise BadInput(f"a seed has {first + count} networks: give {MOST} or fewer.")
    return [seed * MOST + first + i for i in range(count)]


def learnt(
    member: Member, task: Sets, seeds: Sequence[int], steps: int, watch: Sequence[Instrument], *, early: bool = False
) -> xr.Dataset:
    """Return what is read of networks that learn each set of ``task`` with each of ``seeds``: AdamW, mini-batches.

    With ``early``, the weights after the share ``early`` of the steps are kept.
    """
    recipe = recipe_of(member, steps)
    keep = [early_step(member, recipe)] if early else ()
    grid = Grid({"set": range(len(task.sets))}, seeds=seeds)
    net = Perceptron(task.inputs.shape[1], int(member["width"]))
    return train(net, task, grid, recipe, list(watch), keep=keep, workers=1, device="cpu")


def recipe_of(member: Member, steps: int) -> Recipe:
    """Return how networks learn in so many steps."""
    records = min(int(member["records"]), steps)
    return Recipe(
        lr=float(member["rate"]), steps=steps, batch=int(member["batch"]), loss="cross_entropy", records=records
    )


def early_step(member: Member, recipe: Recipe) -> int:
    """Return the recorded step that is nearest the share ``early`` of all."""
    steps = np.asarray(record_steps(recipe))[1:]
    return int(steps[np.abs(steps - float(member["early"]) * recipe.steps).argmin()])
