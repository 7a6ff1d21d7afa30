"""The networks of ``dimensions``: digits in 4 x 4 pixels, perceptrons with two hidden layers, one in each cell."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.ensemble import final, streams, train
from phasescope.instruments.logits import test_accuracy, train_accuracy, train_loss
from phasescope.tasks.images import digits
from phasescope.tasks.table import Table
from phasescope.vocabulary import BadInput, Draw, Member, Recipe, Scatter

CLASSES, SIDE = 10, 4
INPUTS = SIDE * SIDE
MOST = 1 << 16  # networks that one seed of the study may have


class Perceptron(nn.Module):
    """Two hidden layers of ReLU: (N, 16) -> logits (N, 10); weights and biases uniform within 1 / sqrt(inputs)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.first, self.second = nn.Linear(INPUTS, width), nn.Linear(width, width)
        self.last = nn.Linear(width, CLASSES)

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw fresh weights in place, as torch's Linear does, from this generator alone."""
        with torch.no_grad():
            for layer in (self.first, self.second, self.last):
                for parameter in (layer.weight, layer.bias):
                    drawn = generator.uniform(-1, 1, tuple(parameter.shape)) / math.sqrt(layer.in_features)
                    parameter.copy_(torch.from_numpy(drawn))

    def layers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the two hidden layers make of inputs (N, 16): (N, H) each."""
        one = torch.relu(self.first(x))
        return one, torch.relu(self.second(one))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, 10)."""
        logits: Tensor = self.last(self.layers(x)[1])
        return logits

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        return {"learner": "perceptron with two hidden layers", "width": self.width}


@dataclass(frozen=True)
class Network:
    """A trained network: before and after, what it learnt from, its training loss and accuracy, and test accuracy."""

    start: Perceptron
    net: Perceptron
    draw: Draw
    loss: float
    train_accuracy: float
    test_accuracy: float

    def rows(self, test: bool = False, most: int | None = None) -> tuple[Tensor, Tensor]:
        """Return inputs (N, 16) and labels (N,): those that trained, or those held out, which are true.

        With ``most``, so many of them at equal distances: the table goes from writer to writer.
        """
        chosen = self.draw.test if test else self.draw.train
        if most is not None and most < len(chosen):
            chosen = chosen[np.linspace(0, len(chosen) - 1, most).round().astype(int)]
        labels = self.draw.truth if test else self.draw.labels
        return torch.from_numpy(self.draw.inputs[chosen]).float(), torch.from_numpy(labels[chosen]).long()


@lru_cache(maxsize=1)
def table() -> Table:
    """Return scikit-learn's digits in 4 x 4 pixels, each the mean of four, each pixel with mean 0 and variance 1."""
    pictures = digits()
    x = np.asarray(pictures.inputs, dtype=float).reshape(-1, SIDE, 8 // SIDE, SIDE, 8 // SIDE).mean((2, 4))
    x = x.reshape(len(x), INPUTS)
    spread = x.std(0)
    return Table("digits, 4 x 4", ((x - x.mean(0)) / np.where(spread > 0, spread, 1)).astype(np.float32),
                 np.asarray(pictures.labels), CLASSES)  # fmt: skip


def several(member: Member, name: str) -> list[Any]:
    """Return the numbers that a member has under one name."""
    found: Any = member[name]
    return list(found)


def cells(member: Member) -> list[tuple[Any, ...]]:
    """Return the place of every network: width, rows, corruption, decay, the last running fastest."""
    return list(product(*(several(member, name) for name in ("widths", "rows", "corruptions", "decays"))))


def networks(member: Member) -> Iterator[Network]:
    """Yield the networks of one seed in the order of ``cells``: no two have a seed in common, nor do two seeds."""
    places = cells(member)
    if len(places) > MOST:
        raise BadInput(f"a seed has {len(places):,} networks: give {MOST:,} or fewer.")
    first = 0
    for width in several(member, "widths"):
        own = [place for place in places if place[0] == width]
        yield from _of_width(member, int(width), own, member.seed * MOST + first)
        first += len(own)


def _of_width(member: Member, width: int, places: list[tuple[Any, ...]], first: int) -> Iterator[Network]:
    task, steps = table(), int(member["steps"])
    knobs = [{"train_fraction": rows / len(task.labels), "corruption": noise, "weight_decay": decay}
             for _, rows, noise, decay in places]  # fmt: skip
    grid = Scatter([Member(own, first + i) for i, own in enumerate(knobs)])
    recipe = Recipe(lr=float(member["rate"]), steps=steps, loss="cross_entropy", records=2)
    watch = [train_loss, train_accuracy, test_accuracy]
    # one engine for all, not the one that is faster today: the numbers are those of a seed
    data = train(Perceptron(width), task, grid, recipe, watch, keep=[0], workers=1, device="cpu", engine="stacked",
                 tile=4)  # fmt: skip
    for i, cell in enumerate(grid):
        one = data.isel(member=[i])
        nets = []
        for found in (final(one, step=0), final(one)):
            net = Perceptron(width)
            net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in found.items()})
            nets.append(net.eval())
        ends = [float(one[w.name].isel(step=-1).values[0]) for w in watch]
        yield Network(nets[0], nets[1], task.draw(cell, streams(cell.seed)), *ends)


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the share of rows that are answered right."""
    with torch.no_grad():
        return float((net(x).argmax(-1) == y).double().mean())


def continued(net: Perceptron, x: Tensor, y: Tensor, steps: int, rate: float) -> Perceptron:
    """Return the network after ``steps`` more full steps of Adam on other rows; the one given stays as it is."""
    found = copy.deepcopy(net)
    optimizer = torch.optim.Adam(found.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(found(x), y))
        optimizer.step()
    return found.eval()
