"""Finite tables of samples with a train split and corrupted labels, and endless samplers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phasescope.checks import number, plain, takes, whole
from phasescope.errors import shown
from phasescope.identity import fingerprint
from phasescope.samples import IGNORED, class_count, inputs_of, rows_of, targets_of
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
    trains (0.5 unless given), the rest tests; the split of a larger fraction contains that of a smaller one with the
    same seed. A test set that is the same for all members is given as ``test=(inputs, labels)``, or as ``test_rows``,
    row numbers or booleans (N,); with ``folds`` = k the test rows are one of k parts of a member's own order, and the
    grid may set ``fold`` from 0 to k - 1. Then all other rows train, or ``train_fraction`` of them. A fraction
    ``corruption`` of the training labels, rounded down, is replaced by labels uniform over all classes, so 1/K of them
    stay right by accident (Doshi et al. 2023, arXiv:2310.13061, Sec. 1.1). Both numbers may differ per member.

    Raises ``BadInput``, with row and value, for labels outside 0 to K - 1 and numbers that are not finite; for
    fractions outside (0, 1) and [0, 1] and for wrong shapes.
    """

    name: str
    inputs: Array
    labels: Array
    classes: int
    train_fraction: float | None = None
    corruption: float = 0.0
    test: tuple[Any, Any] | None = field(default=None, kw_only=True, repr=False)
    test_rows: Any = field(default=None, kw_only=True, repr=False)
    folds: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", class_count(self.classes, self.name))
        object.__setattr__(self, "folds", whole(0, 10**6)(f"folds of {self.name!r}", self.folds))
        if sum((self.test is not None, self.test_rows is not None, self.folds != 0)) > 1 or self.folds == 1:
            raise BadInput(
                f"the test set of {self.name!r} is given twice, or as one fold: give one of test, test_rows and folds "
                "(2 or more)."
            )
        object.__setattr__(self, "inputs", inputs_of(self.inputs, self.name))
        object.__setattr__(self, "labels", targets_of(self.labels, self.classes, self.name))
        if len(self.inputs) != len(self.labels) or len(self.inputs) < 2:
            raise BadInput(
                f"the table {self.name!r} has {len(self.inputs)} inputs and {len(self.labels)} labels: "
                "give one label per input, and at least two."
            )
        if self.test is not None:
            self._append(self.test)
        if self.test_rows is not None:
            rows = rows_of(self.test_rows, len(self.inputs), "test", self.name)
            if not 0 < len(rows) < len(self.inputs):
                raise BadInput(
                    f"{len(rows)} of the {len(self.inputs)} rows of {self.name!r} test: leave some for training."
                )
            object.__setattr__(self, "test_rows", np.sort(rows))
        if self.train_fraction is None:
            object.__setattr__(self, "train_fraction", 1.0 if self._fixed else 0.5)
        self._fractions(Member({}, 0))
        self._may_train(Member({}, 0), np.arange(len(self.inputs)))

    def _append(self, test: Any) -> None:
        """Lay a test set that was given apart behind the rows that train."""
        if not isinstance(test, tuple | list) or len(test) != 2:
            raise BadInput(f"test of {self.name!r} is {shown(test)}: give a pair, (inputs, labels).")
        own = f"{self.name} test"
        inputs, labels = inputs_of(test[0], own), targets_of(test[1], self.classes, own)
        if len(inputs) != len(labels):
            raise BadInput(
                f"test of {self.name!r} has {len(inputs)} inputs and {len(labels)} labels: give one per input."
            )
        rows, parts = len(self.inputs), {"inputs": (self.inputs, inputs), "labels": (self.labels, labels)}
        for name, (mine, others) in parts.items():
            if mine.shape[1:] != others.shape[1:] or mine.dtype.kind != others.dtype.kind:
                raise BadInput(
                    f"the {name} of {self.name!r} are {mine.dtype} {mine.shape}, those of its test set {others.dtype} "
                    f"{others.shape}: give rows of one shape and kind."
                )
            object.__setattr__(self, name, np.concatenate([mine, others]))
        object.__setattr__(self, "test_rows", np.arange(rows, rows + len(inputs)))
        object.__setattr__(self, "test", None)  # a copy with other numbers has it in its rows

    @property
    def _fixed(self) -> bool:
        return self.test_rows is not None or bool(self.folds)

    def _may_train(self, member: Member, order: Array) -> tuple[Array, Array | None]:
        """Return the rows that may train, in their ``order`` (N,), and those that test, None for all that do not."""
        if not self._fixed:
            return order, None
        if not self.folds:
            return order[~np.isin(order, self.test_rows)], self.test_rows.astype(np.int32)
        fold = whole(0, self.folds - 1)("fold", member.get("fold", 0))
        if self.folds > len(order):
            raise BadInput(f"folds of {self.name!r} is {self.folds}, and it has {len(order)} rows: give fewer.")
        test = np.arange(len(order)) % self.folds == fold
        return order[~test], order[test]

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """The numbers a grid may set per member."""
        known: dict[str, Knob] = {"train_fraction": float(self.train_fraction or 0), "corruption": self.corruption}
        return known | ({"fold": 0} if self.folds else {})

    def _fractions(self, member: Member) -> tuple[float, float]:
        fraction, corruption = (member.get(name, getattr(self, name)) for name in ("train_fraction", "corruption"))
        if self._fixed:  # all may train
            fraction = number(0, 1, open_low=True)("train_fraction", fraction)
        else:
            fraction = check_fraction("train_fraction", fraction, 0, 1, closed=False)
        return fraction, check_fraction("corruption", corruption, 0, 1, closed=True)

    def train_count(self, member: Member) -> int:
        """Return how many rows train, at least one and not all: the nearest integer to the fraction."""
        rows = len(self._may_train(member, np.arange(len(self.inputs)))[0])
        return min(max(round(self._fractions(member)[0] * rows), 1), rows if self._fixed else rows - 1)

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return the member's split and labels, a function of its seed and knobs alone."""
        order = generators("data").permutation(len(self.inputs)).astype(np.int32)
        count = self.train_count(member)
        order, apart = self._may_train(member, order)
        train, test = np.sort(order[:count]), np.sort(order[count:] if apart is None else apart)
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
        told = {"task": self.name, "classes": self.classes, "table": digest(self.inputs, self.labels)}
        if self.folds:
            told |= {"folds": self.folds}
        return told if self.test_rows is None else told | {"test": digest(self.test_rows)}


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
