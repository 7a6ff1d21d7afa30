"""The members of a run: networks by their knobs and seed, as a grid or scattered. Checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from phasescope.checks import BadInput, nearest, plain, sequence, shown, whole
from phasescope.notebooks import facts

Knob = float | int | str | bool
MOST_MEMBERS = 1_000_000  # of one run: what it leaves is held in memory, one network at least per member
RESERVED = ("seed", "step", "member")  # dimensions of every dataset
_seed = whole(0, 2**63 - 1)


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or name in RESERVED:
        raise BadInput(
            f"there is a knob called {shown(name)}: give a name such as 'lr', and none of {', '.join(RESERVED)}; seeds "
            "are given as seeds=."
        )
    return name


def _knob(name: str, value: Any) -> Knob:
    found = plain(value)
    if type(found) in (float, int, str, bool):  # and no subclass: a knob is written down and read again
        if found == found and not (type(found) is int and not -(2**63) <= found < 2**63):
            return found  # type: ignore[no-any-return]
    elif isinstance(found, str):
        return str.__str__(found)
    raise BadInput(f"knob {name!r} is {shown(value)}: give a number that is not NaN, of at most 64 bits, or a text.")


def _number(name: str, value: Any) -> Any:
    # what a simulation holds fixed may also be a list of numbers, or nothing
    if type(value) in (tuple, list):
        return type(value)([_number(name, part) for part in value])
    return None if value is None else _knob(name, value)


@dataclass(frozen=True)
class Member:
    """One network of a grid: its knobs by name and its seed.

    Numbers of numpy's or torch's become Python's. Raises ``BadInput`` for knobs that are no number, text or truth
    value (nor a list of such, nor None), and a seed that is no integer from 0 to 2^63 - 1.

    >>> Member({"weight_decay": 0.1}, seed=3)["weight_decay"]
    0.1
    """

    knobs: Mapping[str, Knob]
    seed: int

    def __post_init__(self) -> None:
        if not isinstance(self.knobs, Mapping):
            raise BadInput(f"the knobs of a member are {shown(self.knobs)}: give a mapping, such as {{'lr': 0.1}}.")
        knobs = {_name(name): _number(name, value) for name, value in self.knobs.items()}
        object.__setattr__(self, "knobs", knobs)
        object.__setattr__(self, "seed", _seed("seed", self.seed))

    def __getitem__(self, name: str) -> Knob:
        if name not in self.knobs:
            raise BadInput(f"the member has no knob {name!r}{nearest(name, self.knobs)} Make it an axis of the grid.")
        return self.knobs[name]

    def get(self, name: str, default: Any) -> Any:
        """Return the knob ``name``, or ``default`` where the grid does not set it."""
        return self.knobs.get(name, default)


class _Noting(dict[str, Knob]):
    """Knobs that note which of them are asked for."""

    def __init__(self, knobs: Mapping[str, Knob]) -> None:
        super().__init__(knobs)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Knob:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:
        self.read.update(super().keys())
        return super().__iter__()

    def keys(self) -> Any:
        self.read.update(super().keys())
        return super().keys()

    def values(self) -> Any:
        self.read.update(super().keys())
        return super().values()

    def items(self) -> Any:
        self.read.update(super().keys())
        return super().items()


def noting(member: Member) -> tuple[Member, set[str]]:
    """Return the same member, and the set of the names of its knobs that have been asked for since."""
    knobs, found = _Noting(member.knobs), Member({}, member.seed)
    object.__setattr__(found, "knobs", knobs)
    return found, knobs.read


@dataclass(frozen=True)
class Grid:
    """Named axes x seeds: the members of a phase diagram, last axis fastest and seeds innermost.

    An axis is a list, tuple, range, or array of one axis (numpy, torch) of different numbers, texts or truth values;
    ``seeds`` is a number of seeds (0, 1, ...) or the seeds themselves. Both are kept as plain Python values. Raises
    ``BadInput`` for anything else: an empty axis, a value twice or NaN, an axis called seed, step or member, seeds that
    are no integers from 0 to 2^63 - 1, and more than a million members.

    >>> len(Grid({"weight_decay": [0, 1], "train_fraction": [0.3, 0.5, 0.7]}, seeds=4))
    24
    """

    axes: Mapping[str, Sequence[Knob]] = field(default_factory=dict)
    seeds: int | Sequence[int] = 1

    def __post_init__(self) -> None:
        if not isinstance(self.axes, Mapping):
            raise BadInput(
                f"the axes of the grid are {shown(self.axes)}: give a mapping, such as {{'lr': [0.1, 0.3]}}."
            )
        axes = {_name(name): _axis(name, values) for name, values in self.axes.items()}
        seeds = _seeds(self.seeds)
        sizes = [len(values) for values in axes.values()] + [seeds if isinstance(seeds, int) else len(seeds)]
        if math.prod(sizes) > MOST_MEMBERS:
            raise BadInput(
                f"the grid has {' x '.join(f'{size:,}' for size in sizes)} members: give at most {MOST_MEMBERS:,}."
            )
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "seeds", seeds)

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

    def _repr_html_(self) -> str:
        rows = [(name, ", ".join(map(str, values))) for name, values in self.axes.items()]
        return facts(f"Grid of {len(self):,} members", [*rows, ("seed", _span(self.seed_values))])

    def __iter__(self) -> Iterator[Member]:
        names = tuple(self.axes)
        for *knobs, seed in product(*self.axes.values(), self.seed_values):
            yield Member(dict(zip(names, knobs, strict=True)), int(seed))

    def __len__(self) -> int:
        return math.prod(self.shape)


def _span(seeds: Sequence[int]) -> str:
    """Return seeds in a few words: the first and the last where there are many."""
    return ", ".join(map(str, seeds)) if len(seeds) <= 8 else f"{len(seeds)} seeds, {seeds[0]} to {seeds[-1]}"


def _axis(name: str, values: Any) -> tuple[Knob, ...]:
    found = tuple(_knob(name, value) for value in sequence(f"grid axis {name!r}", values, MOST_MEMBERS))
    if len(set(found)) != len(found):
        raise BadInput(f"grid axis {name!r} is {shown(found)}: give each value once.")
    return found


def _seeds(seeds: Any) -> int | tuple[int, ...]:
    count = plain(seeds)
    if isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= MOST_MEMBERS:
        return count
    if not isinstance(count, list | tuple | range) and not hasattr(count, "tolist"):
        raise BadInput(
            f"seeds is {shown(seeds)}: give how many, a whole number from 1 to {MOST_MEMBERS:,}, or a list of the "
            "seeds themselves, different whole numbers >= 0."
        )
    values = sequence("seeds", seeds, MOST_MEMBERS)
    if any(isinstance(value, float) for value in values):
        raise BadInput(f"seeds is {shown(values)}: seeds are whole numbers; write 1 and not 1.0.")
    found = tuple(_seed("a seed", value) for value in values)
    if len(set(found)) != len(found):
        raise BadInput(f"seeds is {shown(found)}: give each seed once.")
    return found


@dataclass(frozen=True)
class Scatter:
    """Any members, in any order, where a ``Grid`` has every combination: what a refined phase map trains next.

    All have knobs of the same names. The one dimension is ``member``; knobs and seed are coordinates along it. Raises
    ``BadInput`` when there are none or more than a million, or their knobs differ in name.

    >>> Scatter([Member({"lr": 0.1}, 0), Member({"lr": 0.3}, 5)]).shape
    (2,)
    """

    members: Sequence[Member]

    def __post_init__(self) -> None:
        members = sequence("members", self.members, MOST_MEMBERS)
        for member in members:
            if not isinstance(member, Member):
                raise BadInput(f"a member is {shown(member)}: give Member({{'lr': 0.1}}, seed=0) and the like.")
            if member.knobs.keys() != members[0].knobs.keys():
                raise BadInput(
                    f"members have the knobs {shown(list(members[0].knobs))} and {shown(list(member.knobs))}: "
                    "give all knobs of the same names."
                )
        object.__setattr__(self, "members", tuple(members))

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
