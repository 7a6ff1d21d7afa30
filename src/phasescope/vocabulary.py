"""The nouns that every room shares, and nothing that acts on them.

Axis letters used in shapes everywhere: M members, N samples, S inputs per sample, K outputs, H hidden units,
T recorded times, P modulus ``p``, B any leading batch of networks (members, or members x times).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from phasescope.errors import BadInput as BadInput
from phasescope.errors import Interrupted as Interrupted
from phasescope.errors import shown

if TYPE_CHECKING:
    from torch import Tensor

Knob = float | int | str | bool
Array = np.ndarray[Any, np.dtype[Any]]
Positive = Annotated[FiniteFloat, Field(gt=0)]
Fraction = Annotated[FiniteFloat, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class Member:
    """One network of a grid: its knobs by name and its seed.

    >>> Member({"weight_decay": 0.1}, seed=3)["weight_decay"]
    0.1
    """

    knobs: Mapping[str, Knob]
    seed: int

    def __getitem__(self, name: str) -> Knob:
        return self.knobs[name]

    def get(self, name: str, default: Any) -> Any:
        """Return the knob ``name``, or ``default`` where the grid does not set it."""
        return self.knobs.get(name, default)


@dataclass(frozen=True)
class Grid:
    """Named axes x seeds: the members of a phase diagram, last axis fastest and seeds innermost.

    ``seeds`` is a number of seeds (0, 1, ...) or the seeds themselves. Raises ``BadInput`` for an empty axis.

    >>> len(Grid({"weight_decay": [0, 1], "train_fraction": [0.3, 0.5, 0.7]}, seeds=4))
    24
    """

    axes: Mapping[str, Sequence[Knob]] = field(default_factory=dict)
    seeds: int | Sequence[int] = 1

    def __post_init__(self) -> None:
        for name, values in self.axes.items():
            if len(values) == 0 or len(set(values)) != len(values):
                raise BadInput(f"grid axis {name!r} is {list(values)}: give at least one value, each one once.")
        if not self.seed_values or min(self.seed_values) < 0 or len(set(self.seed_values)) != len(self.seed_values):
            raise BadInput(f"seeds is {self.seeds}: give a number >= 1, or distinct integers >= 0.")

    @property
    def seed_values(self) -> tuple[int, ...]:
        """The seeds of each cell."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else tuple(self.seeds)

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes, then the number of seeds."""
        return (*(len(values) for values in self.axes.values()), len(self.seed_values))

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the axes, then ``seed``."""
        return (*self.axes, "seed")

    @property
    def coords(self) -> dict[str, Any]:
        """The values along each of ``dims``, as xarray takes them."""
        return {**{name: list(values) for name, values in self.axes.items()}, "seed": list(self.seed_values)}

    def __iter__(self) -> Iterator[Member]:
        names = tuple(self.axes)
        for *knobs, seed in product(*self.axes.values(), self.seed_values):
            yield Member(dict(zip(names, knobs, strict=True)), int(seed))

    def __len__(self) -> int:
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Scatter:
    """Any members, in any order, where a ``Grid`` has every combination: what a refined phase map trains next.

    All have knobs of the same names. The one dimension is ``member``; knobs and seed are coordinates along it. Raises
    ``BadInput`` when there are none, or their knobs differ in name.

    >>> Scatter([Member({"lr": 0.1}, 0), Member({"lr": 0.3}, 5)]).shape
    (2,)
    """

    members: Sequence[Member]

    def __post_init__(self) -> None:
        if not self.members or any(member.knobs.keys() != self.members[0].knobs.keys() for member in self.members):
            raise BadInput(f"{len(self.members)} members: give at least one, all with knobs of the same names.")

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of members."""
        return (len(self.members),)

    @property
    def dims(self) -> tuple[str, ...]:
        """The one dimension, ``member``."""
        return ("member",)

    @property
    def coords(self) -> dict[str, Any]:
        """Each knob and the seed along ``member``, as xarray takes them."""
        names = tuple(self.members[0].knobs)
        knobs = {name: ("member", [member[name] for member in self.members]) for name in names}
        return {**knobs, "seed": ("member", [member.seed for member in self.members])}

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)


class Settings(BaseModel):
    """Frozen, validated numbers; anything out of range raises ``BadInput`` with one sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise BadInput(_sentence(error.errors()[0], list(type(self).model_fields))) from None


def _sentence(error: Any, known: list[str]) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"there is no setting {name!r}{nearest(name, known)}"
    return f"{name} is {shown(error['input'])}: {error['msg'][0].lower()}{error['msg'][1:]}."


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the nearest known word and all of them.

    >>> nearest("grokk", ["grokking", "memory"])
    "; did you mean 'grokking'? Known: grokking, memory."
    """
    words = sorted(known)
    close = get_close_matches(name[:100], words, n=1)
    return (f"; did you mean {close[0]!r}?" if close else ".") + f" Known: {', '.join(words)}."


class Recipe(Settings):
    """How a network learns. Every number may differ per member: name it as an axis of the grid.

    Weight decay is decoupled (``theta *= 1 - lr * weight_decay``) except for ``adam``, where it is torch's L2 term in
    the gradient. ``batch=None`` is full batch. MSE is the mean over samples and outputs of one-hot targets. Training
    accuracy ``level`` is *memorized*, test accuracy ``level`` is *generalized*. A generalized member leaves the batch
    at ``overtime`` times the steps it needed, a memorized one at ``patience`` times. ``records`` log-spaced steps are
    recorded from ``first_record`` to ``steps``, and step 0.
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Positive = 0.01
    weight_decay: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    momentum: Fraction = 0.0
    beta1: Fraction = 0.9
    beta2: Fraction = 0.98
    eps: Positive = 1e-8
    steps: Annotated[int, Field(ge=1, le=10**12)] = 1000
    batch: Annotated[int, Field(ge=1)] | None = None
    loss: Literal["mse", "cross_entropy"] = "mse"
    records: Annotated[int, Field(ge=2, le=10_000)] = 60
    first_record: Annotated[int, Field(ge=1)] = 1
    level: Annotated[FiniteFloat, Field(gt=0, le=1)] = 0.99
    overtime: Annotated[float, Field(ge=1)] = float("inf")
    patience: Annotated[float, Field(ge=1)] = float("inf")
    dtype: Literal["float32", "float64"] = "float32"


class Fate(StrEnum):
    """What became of a member. Divergence is data, not an exception."""

    GENERALIZED = "generalized"
    MEMORIZED = "memorized"
    DIVERGED = "diverged"
    OUT_OF_STEPS = "out of steps"


@dataclass(frozen=True)
class Law:
    """The frozen description of a task that theory may see.

    ``table`` (p, ..., p) int: the clean label of every input. ``arity`` inputs modulo ``modulus``.
    """

    name: str
    modulus: int
    arity: int
    train_fraction: float
    corruption: float
    table: Array


@dataclass(frozen=True)
class Draw:
    """What one member learns from: inputs, labels, weights, and which rows train.

    ``inputs`` (N, S) int32, or float for tasks of real numbers; ``labels`` (N,) int32 as the learner sees them and
    ``truth`` (N,) int32 before corruption, or float (N, K) targets in both; ``train`` and ``test`` row indices, sorted
    int32; ``weights`` (N,) float64 per-sample weights of the loss. ``corrupted`` are the training rows whose label was
    drawn again, sorted int32, also where the new label is right by accident.
    """

    inputs: Array
    labels: Array
    truth: Array
    train: Array
    test: Array
    weights: Array
    corrupted: Array = field(default_factory=lambda: np.zeros(0, np.int32))


class Generators(Protocol):
    """Stateless random streams: ``generators(purpose, index)`` is a numpy generator fixed by its arguments."""

    def __call__(self, purpose: str, index: int = 0) -> np.random.Generator:
        """Return the generator of this member for ``purpose``."""
        ...


@runtime_checkable
class Task(Protocol):
    """What is learnt. ``draw`` depends on the member and its streams alone, so anything can be drawn again.

    These five are all that the ensemble asks of a task. Splits may have any size, another one for each member.
    """

    @property
    def name(self) -> str:
        """The task's name, for sentences."""
        ...

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """The knobs a grid may set, with their defaults."""
        ...

    @property
    def classes(self) -> int:
        """The number of outputs K."""
        ...

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return what ``member`` learns from."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Return what changes the task's numbers and can not be read off its code and attributes, as plain data."""
        ...


@runtime_checkable
class Sampler(Task, Protocol):
    """A task that makes fresh data for every step: ``draw`` returns the fixed samples on which a member is read."""

    def batch(self, member: Member, generators: Generators, step: int, size: int) -> tuple[Array, Array]:
        """Return inputs (size, ...) and labels (size,) or targets (size, K) of ``step`` (1, 2, ...)."""
        ...


@runtime_checkable
class Tunable(Protocol):
    """A learner with numbers of its own that a grid may set per member; ``with_knobs`` sets them in place."""

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """The knobs a grid may set, with their values."""
        ...

    def with_knobs(self, own: Mapping[str, Knob]) -> None:
        """Set the member's own numbers."""
        ...


@runtime_checkable
class Drawn(Protocol):
    """A learner that draws its own first weights; of any other, each submodule's ``reset_parameters`` is called."""

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw fresh weights in place."""
        ...


@runtime_checkable
class KeyedRest(Protocol):
    """A layer, such as ``KeyedDropout``, that may rest; of a tile it rests only where its ``rate`` is 0 for each."""

    rate: Tensor
    always_off: bool


@runtime_checkable
class Compiled(Protocol):
    """A learner that may have a compiled step for the CPU."""

    def fused(self) -> Fused | None:
        """Return the compiled step, or None where it would not compute what ``forward`` does."""
        ...


@dataclass(frozen=True)
class Subject:
    """What an instrument may look at: a batch of B networks of one shape, with the samples they are read on.

    ``parameters`` name -> (B, ...); ``inputs`` (B, N, S); ``labels``, ``truth`` (B, N) integers, or (B, N, K) targets;
    ``train``, ``test``, ``corrupted`` (B, N) booleans; ``weights`` (B, N). Computed when first asked for: ``logits``
    (B, N, K), ``sample_losses`` (B, N) before weighting, and ``gradients`` name -> (B, ...) of the training ``loss``.
    ``answers(parameters)`` are the logits that the same networks give with other parameters, such as pruned ones.
    """

    parameters: Mapping[str, Tensor]
    inputs: Tensor
    labels: Tensor
    truth: Tensor
    train: Tensor
    test: Tensor
    corrupted: Tensor
    weights: Tensor
    loss: str
    answers: Callable[[Mapping[str, Tensor]], Tensor]
    logits: Callable[[], Tensor]
    sample_losses: Callable[[], Tensor]
    gradients: Callable[[], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Reading:
    """A measurement: ``value`` (B, ...), its standard ``error`` where there is one, and where it is ``valid`` (B, ...).

    An instrument that can not answer says so in ``valid``; such values are stored as NaN and counted.
    """

    value: Tensor
    error: Tensor | None = None
    valid: Tensor | None = None


@dataclass(frozen=True)
class Instrument:
    """A pure measurement of a ``Subject``: what it reads, in which unit, between which bounds, at what cost.

    ``dims`` names the axes of a reading after the batch axis, ``coords`` the places along those that have them;
    ``null`` says what it reads where nothing is to be seen; ``invariances`` names declared symmetries, each tested by
    the instruments' law suite.
    """

    name: str
    measure: Callable[[Subject], Reading]
    unit: str
    source: str
    cost: Literal["weights", "forward", "backward"]
    bounds: tuple[float, float]
    null: str
    dims: tuple[str, ...] = ()
    invariances: tuple[str, ...] = ()
    coords: Mapping[str, Sequence[Knob]] = field(default_factory=dict)

    def __call__(self, subject: Subject) -> Reading:
        """Read ``subject``."""
        return self.measure(subject)


@dataclass(frozen=True)
class Trajectory:
    """What training one member left: recorded ``steps`` (T,), ``readings`` name -> (T, ...), ``final`` parameters.

    ``ends`` name -> (...): readings taken once, of the final parameters. ``fate`` with the step at which it was
    settled, and ``seconds`` of work spent.
    """

    member: Member
    steps: Array
    readings: Mapping[str, Array]
    ends: Mapping[str, Array]
    final: Mapping[str, Array]
    fate: Fate
    fate_step: int
    seconds: float


@dataclass(frozen=True)
class Fused:
    """A learner's compiled loss-and-gradient for the CPU, and what it must be called with.

    ``gradient(theta, state, grad, x, y, w, rows, shape, knobs, key, scratch) -> loss`` works on flat parameters in the
    order of ``named_parameters``; the last entry of ``shape`` (int64) is the loss, 0 MSE and 1 cross-entropy.
    """

    gradient: Callable[..., float]
    shape: Array
    knobs: Array
    scratch_size: Callable[[Array, int], int]


class Keeper(Protocol):
    """Where finished members and checkpoints are kept; the ensemble writes to no disk itself."""

    def load(self, identity: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Any]] | None:
        """Return the arrays and facts of a finished record, or None."""
        ...

    def save(self, identity: Mapping[str, Any], arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
        """Keep a finished record: whole or not at all."""
        ...

    def load_checkpoint(self, identity: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Any]] | None:
        """Return an unfinished member's state, or None."""
        ...

    def save_checkpoint(
        self, identity: Mapping[str, Any], arrays: Mapping[str, Array], facts: Mapping[str, Any]
    ) -> None:
        """Replace the unfinished state of this identity."""
        ...

    def drop_checkpoint(self, identity: Mapping[str, Any]) -> None:
        """Forget the unfinished state of this identity."""
        ...
