"""Finite tables of samples with a train split and corrupted labels, and endless samplers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phasescope.vocabulary import Array, BadInput, Draw, Generators, Knob, Member


def check_fraction(name: str, value: Any, low: float, high: float, *, closed: bool) -> float:
    """Return ``value`` as a float, or raise ``BadInput`` when it is outside the range."""
    inside = low <= value <= high if closed else low < value < high
    if not inside:
        kind = f"[{low:g}, {high:g}]" if closed else f"({low:g}, {high:g})"
        raise BadInput(f"{name} is {value}: it must lie in {kind}.")
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

    A random ``train_fraction`` of the rows trains, the rest tests; the split of a larger fraction contains that of a
    smaller one with the same seed. A fraction ``corruption`` of the training labels is replaced by labels uniform over
    all classes, so 1/K of them stay right by accident (Doshi et al. 2023, arXiv:2310.13061, Sec. 1.1). Both numbers
    may differ per member. Raises ``BadInput`` for fractions outside (0, 1) and [0, 1] and for wrong shapes.
    """

    name: str
    inputs: Array
    labels: Array
    classes: int
    train_fraction: float = 0.5
    corruption: float = 0.0

    def __post_init__(self) -> None:
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
        redrawn = order[: int(np.floor(self._fractions(member)[1] * count))]
        labels = self._corrupt(redrawn, generators)
        return Draw(self.inputs, labels, self.labels, train, test, np.ones(len(self.inputs)), np.sort(redrawn))

    def _corrupt(self, redrawn: Array, generators: Generators) -> Array:
        if len(redrawn) == 0:
            return self.labels
        if self.labels.ndim > 1:
            raise BadInput(f"{self.name!r} has real targets: only class labels can be corrupted; set corruption to 0.")
        labels = self.labels.copy()
        labels[redrawn] = generators("corruption").integers(0, self.classes, len(redrawn))
        return labels

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the task's numbers."""
        return {"task": self.name, "classes": self.classes, "table": digest(self.inputs, self.labels)}


@dataclass(frozen=True)
class Sampler:
    """Endless data: ``sample(generator, n)`` returns fresh inputs (n, ...) and labels (n,) or targets (n, K).

    Each training step of each member has a stream of its own; readings use one fixed sample of ``readout_size`` rows
    for *train* and one for *test*. Recipes for samplers need a ``batch``.
    """

    name: str
    sample: Callable[[np.random.Generator, int], tuple[Array, Array]]
    classes: int
    readout_size: int = 512
    knobs: Mapping[str, Knob] = field(default_factory=dict)

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return the two fixed samples on which this member is read."""
        parts = [self.sample(generators(purpose), self.readout_size) for purpose in ("train readout", "test readout")]
        inputs, labels = (np.concatenate(both) for both in zip(*parts, strict=True))
        rows = np.arange(2 * self.readout_size, dtype=np.int32)
        half = self.readout_size
        return Draw(inputs, labels, labels, rows[:half], rows[half:], np.ones(2 * half))

    def batch(self, generators: Generators, step: int, size: int) -> tuple[Array, Array]:
        """Return the fresh batch of ``step`` (1, 2, ...)."""
        return self.sample(generators("batch", step), size)

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the task's numbers, as far as a function can say it."""
        code = getattr(self.sample, "__code__", None)
        text = (code.co_code, code.co_consts) if code else repr(self.sample)
        return {
            "task": self.name,
            "classes": self.classes,
            "readout_size": self.readout_size,
            "sample": hashlib.sha256(repr(text).encode()).hexdigest()[:16],
        }
