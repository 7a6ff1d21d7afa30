"""Finite tables of samples with a train split and corrupted labels, and endless samplers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phasescope.checks import plain, takes
from phasescope.errors import shown
from phasescope.identity import fingerprint
from phasescope.samples import IGNORED, class_count, inputs_of, targets_of
from phasescope.vocabulary import Array, BadInput, Draw, Generators, Knob, Member


def check_fraction(name: str, value: Any, low: float, high: float, *, closed: bool) -> float:
    """Return ``value`` as a float, or raise ``BadInput`` when it is outside the range."""
    value = plain(value)
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not (low <= value <= high if closed else low < value < high):
        kind = f"[{low:g}, {high:g}]" if closed else f"({low:g}, {high:g})"
        raise BadInput(f"{name} is {shown(value)}: it must lie in {kind}.")
    return float(value)


def digest(*arrays: Array) -> str:
    """Return a short hash of the arrays' bytes, for descriptions."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(str((array.dtype.str, array.shape)).encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


@dataclass(frozen=True)
class Table:
    """A finite data set: ``inputs`` (N, ...) and ``labels`` (N,) integers below ``classes`` or float (N, K) targets.

    Labels (N, T) are those of the positions of sequences, for networks that answer (N, T, K); a position whose label is
    -100 does not count: ``np.where(mask, labels, -100)``.

    Arrays, tensors and lists are taken; floats (N,) are real targets (N, 1). A random ``train_fraction`` of the rows
    trains, the rest tests; the split of a larger fraction contains that of a smaller one with the same seed. A fraction
    ``corruption`` of the training labels, rounded down, is replaced by labels uniform over all classes, so 1/K of them
    stay right by accident (Doshi et al. 2023, arXiv:2310.13061, Sec. 1.1). Both numbers may differ per member.

    Raises ``BadInput``, with row and value, for labels outside 0 to K - 1 and numbers that are not finite; for
    fractions outside (0, 1) and [0, 1] and for wrong shapes.
    """

    name: str
    inputs: Array
    labels: Array
    classes: int
    train_fraction: float = 0.5
    corruption: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", class_count(self.classes, self.name))
        object.__setattr__(self, "inputs", inputs_of(self.inputs, self.name))
        object.__setattr__(self, "labels", targets_of(self.labels, self.classes, self.name))
        if len(self.inputs) != len(self.labels) or len(self.inputs) < 2:
            raise BadInput(
                f"the table {self.name!r} has {len(self.inputs)} inputs and {len(self.labels)} labels: "
                "give one label per input, and at least two."
            )
        self._fractions(Member({}, 0))

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """The numbers a grid may set per member."""
        return {"train_fraction": self.train_fraction, "corruption": self.corruption}

    def _fractions(self, member: Member) -> tuple[float, float]:
        fraction, corruption = (member.get(name, default) for name, default in self.knobs.items())
        return (
            check_fraction("train_fraction", fraction, 0, 1, closed=False),
            check_fraction("corruption", corruption, 0, 1, closed=True),
        )

    def train_count(self, member: Member) -> int:
        """Return how many rows train, at least one and not all: the nearest integer to the fraction."""
        rows = len(self.inputs)
        return min(max(round(self._fractions(member)[0] * rows), 1), rows - 1)

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return the member's split and labels, a function of its seed and knobs alone."""
        order = generators("data").permutation(len(self.inputs)).astype(np.int32)
        count = self.train_count(member)
        train, test = np.sort(order[:count]), np.sort(order[count:])
        # rounded first: 0.29 * 100 is 28.999999999999996
        redrawn = order[: int(np.floor(round(self._fractions(member)[1] * count, 6)))]
        labels = self._corrupt(redrawn, generators)
        return Draw(self.inputs, labels, self.labels, train, test, np.ones(len(self.inputs)), np.sort(redrawn))

    def _corrupt(self, redrawn: Array, generators: Generators) -> Array:
        if len(redrawn) == 0:
            return self.labels
        if self.labels.dtype.kind == "f":
            raise BadInput(f"{self.name!r} has real targets: only class labels can be corrupted; set corruption to 0.")
        labels = self.labels.copy()
        drawn = generators("corruption").integers(0, self.classes, labels[redrawn].shape)
        labels[redrawn] = np.where(labels[redrawn] == IGNORED, IGNORED, drawn)
        return labels

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the task's numbers."""
        return {"task": self.name, "classes": self.classes, "table": digest(self.inputs, self.labels)}


@dataclass(frozen=True)
class Sampler:
    """Endless data: ``sample(generator, n)`` returns fresh inputs (n, ...) and labels (n,) or targets (n, K).

    With ``knobs``, numbers that a grid may set, it is called with them by name: ``sample(generator, n, noise=0.1)``.
    Each training step of each member has a stream of its own; readings use one fixed sample of ``readout_size`` rows
    for *train* and one for *test*. Recipes for samplers need a ``batch``. Raises ``BadInput`` for sizes below 1.
    """

    name: str
    sample: Callable[..., tuple[Array, Array]]
    classes: int
    readout_size: int = 512
    knobs: Mapping[str, Knob] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", class_count(self.classes, self.name))
        takes(f"sample of {self.name!r}", self.sample, "generator", "n", **self.knobs)
        whole = isinstance(self.readout_size, int | np.integer) and not isinstance(self.readout_size, bool)
        if not whole or not 1 <= self.readout_size <= 10**7:
            raise BadInput(f"readout_size is {self.readout_size!r}: it must be a whole number from 1 to 10,000,000.")

    def _sampled(self, member: Member, generator: np.random.Generator, size: int) -> tuple[Array, Array]:
        made = self.sample(generator, size, **{name: member.get(name, v) for name, v in self.knobs.items()})
        if not isinstance(made, tuple | list) or len(made) != 2:
            raise BadInput(f"sample of {self.name!r} gives {shown(made)}: it must give a pair, inputs and labels.")
        inputs, labels = inputs_of(made[0], self.name), targets_of(made[1], self.classes, self.name)
        if not len(inputs) == len(labels) == size:
            raise BadInput(
                f"{self.name!r} was asked for {size} rows and gave {len(inputs)} inputs and {len(labels)} labels."
            )
        return inputs, labels

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return the two fixed samples on which this member is read."""
        half = self.readout_size
        parts = [
            tuple(
                map(np.array, self._sampled(member, generators(purpose), half))
            )  # copies: it may fill its arrays anew
            for purpose in ("train readout", "test readout")
        ]
        inputs, labels = (np.concatenate(both) for both in zip(*parts, strict=True))
        rows = np.arange(2 * half, dtype=np.int32)
        return Draw(inputs, labels, labels, rows[:half], rows[half:], np.ones(2 * half))

    def batch(self, member: Member, generators: Generators, step: int, size: int) -> tuple[Array, Array]:
        """Return the fresh batch of ``step`` (1, 2, ...)."""
        return self._sampled(member, generators("batch", step), size)

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the task's numbers."""
        return {
            "task": self.name,
            "classes": self.classes,
            "readout_size": self.readout_size,
            "sample": fingerprint(self.sample),
        }
