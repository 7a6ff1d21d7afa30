"""The networks that scores are made of: on all rows, without a group of them, on a group alone, on shuffled labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.ensemble import streams
from phasescope.instruments.logits import right
from phasescope.tasks import Table
from phasescope.vocabulary import Array, Draw, Generators, Instrument, Knob, Member, Subject, instrument

WHOLE, SHUFFLED = 0, -1
GROUPS = 3
WITHOUT = tuple(range(1, GROUPS + 1))
ALONE = tuple(range(GROUPS + 1, 2 * GROUPS + 1))


def groups_of(seed: Generators, rows: int) -> Array:
    """Return which of three groups of equal size, one more or less, each row is in for a seed: (N,) integers 0 to 2."""
    return np.argsort(seed("groups").permutation(rows)) % GROUPS


@dataclass(frozen=True)
class Parts:
    """A table of which a member trains on a ``part``: 0 all rows, 1 to 3 those without a group, 4 to 6 a group alone.

    Part -1 trains on all rows with the labels in another order. The groups that are left out are the seed's own; those
    that stand alone are those of the seed ``split`` for all: networks of one seed begin alike, so that two which share
    no row and no beginning have two seeds.
    """

    table: Table
    split: int

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """What a grid may set: which part trains."""
        return {"part": WHOLE}

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.table.classes

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return rows, labels and what trains; every row is read."""
        part, labels = int(member.get("part", WHOLE)), self.table.labels
        n = len(labels)
        group = groups_of(streams(self.split) if part in ALONE else generators, n)
        inside = np.ones(n, bool)
        if part in WITHOUT:
            inside = group != WITHOUT.index(part)
        elif part in ALONE:
            inside = group == ALONE.index(part)
        elif part == SHUFFLED:
            labels = labels[generators("shuffled").permutation(n)]
        train, test = (np.flatnonzero(rows).astype(np.int32) for rows in (inside, ~inside))
        test = test if len(test) else train  # where all rows train, nothing is read as a test
        return Draw(self.table.inputs, labels, labels, train, test, np.ones(n))

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the task's numbers."""
        return {**self.table.describe(), "scores": 1, "split": self.split}


def _right(s: Subject) -> Tensor:
    return right(s, s.labels)


def _distance(s: Subject) -> Tensor:
    p = s.logits().double().softmax(-1)
    labels = s.labels.long()[..., None]
    found: Tensor = torch.linalg.vector_norm(p.scatter_add(-1, labels, -p.new_ones(labels.shape)), dim=-1)
    return found


def _margin(s: Subject) -> Tensor:
    outputs, labels = s.logits().double(), s.labels.long()[..., None]
    others = outputs.scatter(-1, labels, -float("inf"))
    return (outputs.gather(-1, labels) - others.amax(-1, keepdim=True))[..., 0]


def _loss(s: Subject) -> Tensor:
    found: Tensor = s.sample_losses()
    return found


def _reading(name: str, measure: Callable[[Subject], Tensor], unit: str, source: str) -> Instrument:
    made: Instrument = instrument(measure, name=name, unit=unit, source=source, cost="forward", dims=("row",))
    return made


ROW_RIGHT = _reading("row_right", _right, "1", "1 where the largest output is that of the label")
ROW_DISTANCE = _reading("row_distance", _distance, "1", "|p - y|, Paul et al. 2021, arXiv:2107.07075")
ROW_MARGIN = _reading("row_margin", _margin, "1", "output of the label less the largest other")
ROW_LOSS = _reading("row_loss", _loss, "nats", "the loss of each row")
READ = (ROW_RIGHT, ROW_DISTANCE, ROW_MARGIN, ROW_LOSS)
