"""The nouns that every room shares, and nothing that acts on them.

Axis letters used in shapes everywhere: M members, N samples, S inputs per sample, K outputs, H hidden units,
T recorded times, P modulus ``p``, B any leading batch of networks (members, or members x times).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from phasescope.checks import BadInput as BadInput
from phasescope.checks import array, function, number, numbers, sequence, shown, text, whole, word
from phasescope.checks import nearest as nearest
from phasescope.errors import Interrupted as Interrupted
from phasescope.members import Grid as Grid
from phasescope.members import Knob as Knob
from phasescope.members import Member as Member
from phasescope.members import Scatter as Scatter
from phasescope.members import noting as noting
from phasescope.recipe import Fraction as Fraction
from phasescope.recipe import Positive as Positive
from phasescope.recipe import Recipe as Recipe
from phasescope.recipe import Settings as Settings

if TYPE_CHECKING:
    from torch import Tensor

Cost = Literal["weights", "forward", "backward"]
Kind = Literal["identity", "simulation", "trained", "foreign model"]
"""What a claim is about, and the members of an experiment are; what is about several is about the last of them."""
Array = np.ndarray[Any, np.dtype[Any]]


class Fate(StrEnum):
    """What became of a member. Divergence is data, not an exception."""

    GENERALIZED = "generalized"
    MEMORIZED = "memorized"
    DIVERGED = "diverged"
    OUT_OF_STEPS = "out of steps"
    STOPPED = "stopped"


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

    def __post_init__(self) -> None:
        text("the name of a law", self.name)
        object.__setattr__(self, "modulus", whole(2, 10**6)("modulus", self.modulus))
        object.__setattr__(self, "arity", whole(1, 64)("arity", self.arity))
        for name in ("train_fraction", "corruption"):
            object.__setattr__(self, name, number(0, 1)(name, getattr(self, name)))
        table = array(low=-1, high=self.modulus - 1, integer=True)("table", self.table)
        if table.shape != (self.modulus,) * self.arity:
            raise BadInput(
                f"the table of the law has shape {table.shape}: {self.arity} inputs modulo {self.modulus} need "
                f"{self.arity} axes of that length."
            )


@dataclass(frozen=True)
class Draw:
    """What one member learns from: inputs, labels, weights, and which rows train.

    ``inputs`` (N, S) int32, or float for tasks of real numbers; ``labels`` (N,) int32 as the learner sees them and
    ``truth`` (N,) int32 before corruption, or float (N, K) targets in both, or (N, T) int32 by position, -100 where one
    does not count; ``train`` and ``test`` row indices, sorted
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
    ``answers(parameters)`` are the logits that the same networks give with other parameters, such as pruned ones, and
    ``training_loss(parameters)`` (B,) is the loss over all training samples; both can be differentiated. Of sequences
    that are labelled by position, every position is a sample in all but the ``inputs``.
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
    training_loss: Callable[[Mapping[str, Tensor]], Tensor]


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

    ``measure`` returns a ``Reading``, or the value (B, ...) alone as a tensor or array. ``dims`` names the axes of a
    reading after the batch axis, ``coords`` the places along those that have them; ``null`` says what it reads where
    nothing is to be seen; ``invariances`` names declared symmetries, each tested by the instruments' law suite. Raises
    ``BadInput`` for parts of a wrong type. ``phasescope.instrument`` makes one of a plain function.
    """

    name: str
    measure: Callable[[Subject], Reading]
    unit: str
    source: str
    cost: Cost
    bounds: tuple[float, float]
    null: str
    dims: tuple[str, ...] = ()
    invariances: tuple[str, ...] = ()
    coords: Mapping[str, Sequence[Knob]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("name", "unit", "source", "null"):
            text(f"the {part} of an instrument", getattr(self, part))
        function(f"the measure of instrument {self.name!r}", self.measure)
        word(*get_args(Cost))(f"the cost of instrument {self.name!r}", self.cost)
        ends = sequence(f"the bounds of instrument {self.name!r}", self.bounds, 2)
        if len(ends) != 2 or not all(isinstance(end, int | float) for end in ends) or not ends[0] <= ends[1]:
            raise BadInput(f"the bounds of instrument {self.name!r} are {shown(self.bounds)}: give (lowest, highest).")
        for part in ("dims", "invariances"):
            words = getattr(self, part)
            if not isinstance(words, tuple | list) or not all(isinstance(name, str) for name in words):
                raise BadInput(f"{part} of instrument {self.name!r} is {shown(words)}: give a tuple of names.")
            object.__setattr__(self, part, tuple(words))
        if not isinstance(self.coords, Mapping) or any(name not in self.dims for name in self.coords):
            raise BadInput(f"coords of instrument {self.name!r} is {shown(self.coords)}: give places by dim.")

    def __call__(self, subject: Subject) -> Reading:
        """Read ``subject``."""
        found = self.measure(subject)
        given = found if isinstance(found, Reading) else Reading(found)
        return replace(given, value=_checked_value(self, given.value, len(subject.train)))


def _checked_value(instrument: Instrument, value: Any, batch: int) -> Tensor:
    """Return what a measure gave: B numbers, with the axes that were declared. Raises ``BadInput``."""
    import torch

    where = f"what instrument {instrument.name!r} gives"
    found = value if isinstance(value, torch.Tensor) else torch.as_tensor(numbers(where, value))
    if found.ndim != 1 + len(instrument.dims) or found.shape[0] != batch:
        wanted = ", ".join((f"B = {batch}", *instrument.dims))
        raise BadInput(
            f"{where} has shape {tuple(found.shape)}: give ({wanted}), one reading per network, and name further axes "
            "with dims=."
        )
    for dim, places in instrument.coords.items():
        if dim in instrument.dims and len(places) != found.shape[1 + list(instrument.dims).index(dim)]:
            raise BadInput(f"{where} has shape {tuple(found.shape)}, and {dim!r} has {len(places)} coordinates.")
    if found.is_complex():
        raise BadInput(f"{where} are complex numbers: give real and imaginary part.")
    return found if found.is_floating_point() else found.double()


def instrument(
    measure: Callable[[Subject], Any] | None = None,
    /,
    *,
    unit: str,
    source: str,
    name: str = "",
    cost: Cost = "backward",
    bounds: tuple[float, float] = (-float("inf"), float("inf")),
    null: str = "not stated",
    dims: Sequence[str] = (),
    coords: Mapping[str, Sequence[Knob]] | None = None,
) -> Any:
    """Make an ``Instrument`` of a plain function of a ``Subject``, as a decorator or called with the function.

    The function returns the value (B, ...) as a tensor or array, or a ``Reading``. ``unit`` ("1" where there is none)
    and ``source`` (a paper, or what is read, in words) are part of every number and have no defaults. The name is the
    function's own unless given; ``cost`` says what it looks at, and "backward" is never wrong, only careful with
    memory. Raises ``BadInput`` as ``Instrument`` does, and for a function without a name.

    >>> @instrument(unit="1", source="largest weight of the first layer")
    ... def largest(subject): return subject.parameters["embed"].abs().flatten(1).amax(1)
    >>> largest.name, largest.unit
    ('largest', '1')
    """

    def make(found: Any) -> Instrument:
        own = name or getattr(function("the measure of an instrument", found), "__name__", "")
        if not own.isidentifier():
            raise BadInput(f"an instrument needs a name, and the function's is {own!r}: give name=, such as 'largest'.")
        places = {} if coords is None else coords
        return Instrument(own, found, unit, source, cost, bounds, null, dims, (), places)  # type: ignore[arg-type]

    return make if measure is None else make(measure)


def as_instrument(thing: Any) -> Instrument:
    """Return ``thing`` if it is an ``Instrument``; raise ``BadInput`` with the mend for anything else.

    A plain function has no unit and no source, and none is made up for it.
    """
    if isinstance(thing, Instrument):
        return thing
    mend = "an instrument, such as phasescope.instruments.logits.test_accuracy"
    if callable(thing):
        mend = "phasescope.instrument(function, unit=..., source=...), so that its numbers have a unit and a source"
    raise BadInput(f"watched is {shown(thing)}: give {mend}.")


@dataclass(frozen=True)
class Trajectory:
    """What training one member left: recorded ``steps`` (T,), ``readings`` name -> (T, ...), ``final`` parameters.

    ``ends`` name -> (...): readings taken once, of the final parameters. ``fate`` with the step at which it was
    settled, and ``seconds`` of work spent. ``kept`` name -> (n, ...): parameters at the recorded steps ``kept_steps``.
    """

    member: Member
    steps: Array
    readings: Mapping[str, Array]
    ends: Mapping[str, Array]
    final: Mapping[str, Array]
    fate: Fate
    fate_step: int
    seconds: float
    kept_steps: Sequence[int] = ()
    kept: Mapping[str, Array] = field(default_factory=dict)


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


@runtime_checkable
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
