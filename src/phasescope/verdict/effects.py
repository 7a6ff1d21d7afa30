"""Effects as data: what is measured, and in which cell of which experiment.

A *cell* is a place in an experiment's grid, ``at("gd", train_fraction=0.8)``. A *measure* turns the networks of any
cell into one number per seed, and measures are divided, subtracted and scaled like the numbers that they give. A
measure at a cell is an *effect*, which a claim can take; a control is then another cell, or another measure there.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from phasescope.checks import BadInput, function, kind, numbers, plain, shown, text
from phasescope.errors import shortened
from phasescope.vocabulary import Array, Knob, nearest

if TYPE_CHECKING:
    import xarray as xr

    Data = xr.Dataset | Mapping[str, xr.Dataset]
Number = int | float


@dataclass(frozen=True)
class Cell:
    """A cell of an experiment's grid: its networks, one for each seed. An axis of one value need not be named.

    An axis of more values that is not named, or named with several of them, stays a dimension of what is read there.
    ``experiment`` is empty for results that are one dataset, such as ``ps.train`` returns.
    """

    experiment: str
    knobs: Mapping[str, Knob | Sequence[Knob]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.experiment, str):
            raise BadInput(f"the experiment of a cell is {shown(self.experiment)}: give its name.")
        if not isinstance(self.knobs, Mapping):
            raise BadInput(f"the knobs of a cell are {shown(self.knobs)}: give a mapping of axes to values.")
        given = {name: _values(name, value) for name, value in self.knobs.items()}
        object.__setattr__(self, "knobs", given)

    def of(self, data: Data) -> xr.Dataset:
        """Return the networks of this cell. Raises ``KeyError`` for an axis or a value that the grid does not have.

        Raises ``BadInput`` where ``data`` has experiments and none is named, or the other way round.
        """
        found = self._experiment(data)
        chosen = found.sel({name: self._placed(found, name, value) for name, value in self.knobs.items()})
        axes = [axis for axis in axes_of(found) if axis in chosen.dims]
        return chosen.squeeze([axis for axis in axes if axis not in self.knobs and chosen.sizes[axis] == 1])

    def _placed(self, data: xr.Dataset, name: str, value: Any) -> Any:
        """Return a value of an axis, or several, as the axis has them: floats equal but for rounding are equal."""
        where = f"in {self.experiment!r}" if self.experiment else "in the data"
        if name not in data.dims or name not in data.coords:
            raise KeyError(
                f"no axis {name!r} {where}{nearest(name, [str(dim) for dim in data.dims if dim in data.coords])}"
            )
        known = data[name].values.tolist()
        if isinstance(value, tuple):
            return [_among(one, known, f"no {name} = {_shown(one)} {where}: it has") for one in value]
        return _among(value, known, f"no {name} = {_shown(value)} {where}: it has")

    def _experiment(self, data: Data) -> xr.Dataset:
        if hasattr(data, "children"):  # a DataTree
            data = {str(name): child.to_dataset() for name, child in data.children.items()}
        if hasattr(data, "data_vars"):  # one dataset, which is a mapping too, of variables
            if self.experiment:
                raise BadInput(
                    f"a claim looks at the experiment {self.experiment!r}, and the data are one dataset: leave its "
                    "name out of ps.at(), or give a mapping of names to datasets."
                )
            return cast("xr.Dataset", data)
        if not isinstance(data, Mapping) or not all(hasattr(one, "data_vars") for one in data.values()):
            raise BadInput(f"the data are {shown(data)}: give an xarray Dataset, or a mapping of names to some.")
        experiments: dict[str, xr.Dataset] = dict(data)  # type: ignore[arg-type]
        if self.experiment in experiments:
            return experiments[self.experiment]
        if not self.experiment and len(experiments) == 1:
            return next(iter(experiments.values()))
        raise KeyError(f"no experiment {self.experiment!r}{nearest(self.experiment, experiments)}")

    def __str__(self) -> str:
        knobs = [f"{name} {_shown(value)}" for name, value in self.knobs.items()]
        return ", ".join([*([self.experiment] if self.experiment else []), *knobs]) or "all networks"


def at(experiment: str = "", /, **knobs: Knob | Sequence[Knob]) -> Cell:
    """Return the cell of ``experiment`` at these values of its axes.

    >>> print(at("gd", train_fraction=0.8))
    gd, train_fraction 0.8
    """
    return Cell(experiment, knobs)


def _values(name: Any, value: Any) -> Any:
    """Return a knob of a cell, or a tuple of several, as plain values. Raises ``BadInput`` for anything else."""
    found = plain(value.tolist() if isinstance(value, np.ndarray) else value)
    several = tuple(map(plain, found)) if isinstance(found, Sequence) and not isinstance(found, str) else None
    if (
        not isinstance(name, str)
        or several == ()
        or not all(isinstance(one, int | float | str | bool) for one in ([found] if several is None else several))
    ):
        raise BadInput(f"a cell is at {name} = {shown(value)}: give a number or a word of the axis, or a list of some.")
    return found if several is None else several


def _among(value: Any, known: Sequence[Any], told: str) -> Any:
    """Return the value of an axis that equals this one. Raises ``KeyError`` where there is none."""
    for one in known:
        numbers = isinstance(one, int | float) and isinstance(value, int | float)
        if (numbers and math.isclose(one, value, rel_tol=1e-9, abs_tol=1e-300)) or (one == value and not numbers):
            return one
    raise KeyError(f"{told} {', '.join(map(_shown, known[:12]))}{' and more' if len(known) > 12 else ''}")


def _shown(value: Any) -> str:
    """Return a value of an axis, or several, in words."""
    if isinstance(value, str):
        return f"'{value}'" if "," in value or " and " in value else value
    if isinstance(value, Sequence | np.ndarray):
        return " and ".join(map(_shown, value)) if len(value) < 4 else f"{len(value)} values"
    return f"{value:g}" if isinstance(value, float) else str(value)


def axes_of(data: xr.Dataset) -> list[str]:
    """Return the axes of the grid that a dataset was made over: the dimensions that stand before the seeds."""
    for values in data.data_vars.values():
        if "seed" in values.dims:
            return [str(dim) for dim in values.dims[: values.dims.index("seed")]]
    return []


class NotPerSeed(BadInput):
    """An effect that is not one number for each seed, whatever the numbers are: it is told before anything is run."""


class _Composed:
    """What measures and effects share: they are divided, subtracted, multiplied and added."""

    def _with(self, act: Callable[..., Any], sign: str, other: Any, *, turned: bool = False) -> Self:
        raise NotImplementedError

    def __add__(self, other: Any) -> Self:
        return self._with(operator.add, "+", other)

    def __sub__(self, other: Any) -> Self:
        return self._with(operator.sub, "-", other)

    def __mul__(self, other: Any) -> Self:
        return self._with(operator.mul, "*", other)

    def __truediv__(self, other: Any) -> Self:
        return self._with(operator.truediv, "/", other)

    def __radd__(self, other: Any) -> Self:
        return self._with(operator.add, "+", other, turned=True)

    def __rsub__(self, other: Any) -> Self:
        return self._with(operator.sub, "-", other, turned=True)

    def __rmul__(self, other: Any) -> Self:
        return self._with(operator.mul, "*", other, turned=True)

    def __rtruediv__(self, other: Any) -> Self:
        return self._with(operator.truediv, "/", other, turned=True)

    def __neg__(self) -> Self:
        return self._with(operator.mul, "*", -1)

    def __abs__(self) -> Self:
        return self.map(abs, "|{}|")

    def map(self, act: Callable[[Any], Any], words: str = "{}") -> Self:
        """Return ``act`` of what this gives; ``words`` says it, with {} for what it is taken of."""
        raise NotImplementedError


@dataclass(frozen=True)
class Measure(_Composed):
    """What is read off the networks of a cell: ``read`` takes a cell's dataset to one value per seed (n,).

    As a decorator it makes a measure of a function. ``words`` is how readers are told of it, the function's name unless
    given. ``measure(cell)`` is the effect that a claim takes.

    >>> final_loss = Measure(lambda cell: cell["loss"].isel(step=-1), "final loss")
    >>> print((1 - final_loss / 2)(at("gd", width=64)))
    1 - final loss / 2 at gd, width 64
    """

    read: Callable[..., Any]
    words: str = ""

    def __post_init__(self) -> None:
        function("what a measure reads with", self.read)
        if not self.words:
            name = getattr(self.read, "__name__", "").strip("_").replace("_", " ")
            object.__setattr__(self, "words", "a function" if "<" in name or not name else name)

    def __call__(self, *cells: Cell) -> Measured:
        """Return the effect that this measure is at a cell; ``read`` may also take the datasets of several cells."""
        if not cells:
            raise BadInput(f"{self.words} is measured at no cell: give one, ps.at(experiment, axis=value).")
        for cell in cells:
            kind(Cell, say="ps.at(experiment, axis=value)")("the cell of a measure", cell)
        return Measured(cells, self.read, f"{self.words} at {_places(cells)}", self if len(cells) == 1 else None)

    def _with(self, act: Callable[..., Any], sign: str, other: Any, *, turned: bool = False) -> Self:
        if not isinstance(other, Measure | Number | np.number):
            return NotImplemented  # type: ignore[no-any-return]
        theirs = other.read if isinstance(other, Measure) else lambda *cells: other

        def read(*cells: xr.Dataset) -> Any:
            a, b = self.read(*cells), theirs(*cells)
            with np.errstate(invalid="ignore", divide="ignore"):  # inf / inf is no value
                return act(b, a) if turned else act(a, b)

        return type(self)(read, _joined(self.words, sign, _words(other), turned=turned))

    def map(self, act: Callable[[Any], Any], words: str = "{}") -> Self:
        """Return ``act`` of this measure; ``words`` says it, with {} for the measure."""
        function("what a measure is mapped by", act)
        return type(self)(lambda *cells: act(self.read(*cells)), words.replace("{}", self.words))

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class Measured(_Composed):
    """A measure at a cell, or what is made of several: an effect, (n,) one value per seed, as a claim takes it.

    ``read`` takes one dataset for each of ``cells``. ``measure`` is what a control in another cell is measured by, None
    where that is not clear; ``extreme`` says how it is put together over several cells.
    """

    cells: tuple[Cell, ...]
    read: Callable[..., Any]
    words: str
    measure: Measure | None = None
    extreme: Callable[[Measure, Sequence[Cell]], Measured] | None = None

    def __call__(self, data: Data) -> Array:
        """Return the effect (n,) in float64. Raises what ``Cell.of`` and the measures raise."""
        return self._numbers(*(cell.of(data) for cell in self.cells))

    def _numbers(self, *cells: xr.Dataset) -> Array:
        """Return what is read of the cells' datasets, checked: one number per seed, of the same seeds in each cell."""
        # what theory says stands in cells of one seed, beside networks of many
        all_seeds = [np.atleast_1d(cell["seed"].values) for cell in cells if "seed" in cell.coords]
        seeds = [one for one in all_seeds if len(one) > 1] or all_seeds[:1]
        if any(not np.array_equal(one, seeds[0]) for one in seeds[1:]):
            raise NotPerSeed(
                f"{shortened(self.words, 160)}: its cells have other seeds, {shown(seeds[0].tolist())} and "
                f"{shown(next(o for o in seeds if not np.array_equal(o, seeds[0])).tolist())}; give them the same."
            )
        found = self.read(*cells)
        if hasattr(found, "dims") and hasattr(found, "values"):
            axes = [str(dim) for dim in found.dims if dim != "seed"]
            if len(found.dims) > 1 and "seed" in found.dims:
                raise NotPerSeed(
                    f"{shortened(self.words, 160)} has several numbers per seed, along {', '.join(axes)}: name a value "
                    "of each axis in ps.at(), and say what is done along a reading's own dimensions."
                )
            if len(found.dims) == 1 and "seed" not in found.dims and seeds:
                raise NotPerSeed(
                    f"{shortened(self.words, 160)} is one number per {found.dims[0]}: give one per seed; name a value "
                    "of each axis, and say what is done along a reading's own dimensions."
                )
            found = found.values
        if isinstance(found, np.ndarray) and found.dtype.kind == "b":
            found = found.astype(float)  # whether each seed does
        values = numbers(f"what {shortened(self.words, 160)} is", found).astype(float)
        if values.ndim == 1 and seeds and len(values) != len(seeds[0]):
            raise NotPerSeed(f"{shortened(self.words, 160)} gives {len(values)} numbers for {len(seeds[0])} seeds.")
        return values

    def of(self, measure: Measure) -> Measured:
        """Return another measure at the same cells."""
        return self.extreme(measure, self.cells) if self.extreme else measure(*self.cells)

    def _with(self, act: Callable[..., Any], sign: str, other: Any, *, turned: bool = False) -> Self:
        if isinstance(other, Measure) or not isinstance(other, Measured | Number | np.number):
            return NotImplemented  # type: ignore[no-any-return]
        n, more = len(self.cells), other.cells if isinstance(other, Measured) else ()

        def read(*cells: xr.Dataset) -> Any:
            a = self._numbers(*cells[:n])
            b = other._numbers(*cells[n:]) if isinstance(other, Measured) else other
            if np.shape(a) != np.shape(b) and isinstance(other, Measured):
                raise NotPerSeed(
                    f"{shortened(self.words, 120)} has {np.size(a)} seeds and {shortened(other.words, 120)} has "
                    f"{np.size(b)}: give both the same seeds."
                )
            with np.errstate(invalid="ignore", divide="ignore"):
                return act(b, a) if turned else act(a, b)

        return type(self)((*self.cells, *more), read, _joined(self.words, sign, _words(other), turned=turned))

    def map(self, act: Callable[[Any], Any], words: str = "{}") -> Self:
        """Return ``act`` of this effect; ``words`` says it, with {} for the effect."""
        function("what an effect is mapped by", act)
        return type(self)(self.cells, lambda *cells: act(self.read(*cells)), words.replace("{}", self.words))

    def __str__(self) -> str:
        return self.words


def least(measure: Measure, cells: Sequence[Cell]) -> Measured:
    """Return the smallest of what is measured at some cells, seed by seed."""
    return _extreme("the smallest", np.minimum.reduce, least, measure, cells)


def most(measure: Measure, cells: Sequence[Cell]) -> Measured:
    """Return the largest of what is measured at some cells, seed by seed."""
    return _extreme("the largest", np.maximum.reduce, most, measure, cells)


def _extreme(
    words: str,
    fold: Callable[[Any], Any],
    again: Callable[[Measure, Sequence[Cell]], Measured],
    measure: Measure,
    cells: Sequence[Cell],
) -> Measured:
    kind(Measure, say="a measure, such as ps.measures.end('test_accuracy')")(f"what {words} is taken of", measure)
    if isinstance(cells, Cell) or not isinstance(cells, Sequence) or not all(isinstance(c, Cell) for c in cells):
        raise BadInput(f"the cells of {words} of {measure} are {shown(cells)}: give a list of ps.at(...).")
    if not cells:
        raise BadInput(f"{words} of {measure} is asked for at no cell: give one or more.")

    def read(*found: xr.Dataset) -> Any:
        values = [measure(cell)._numbers(one) for cell, one in zip(cells, found, strict=True)]
        if len({np.shape(one) for one in values}) > 1:
            raise NotPerSeed(f"the cells of {words} of {measure} have {', '.join(str(len(v)) for v in values)} seeds.")
        return fold(values)

    return Measured(tuple(cells), read, f"{words} of {measure.words} at {_places(cells)}", measure, again)


def _places(cells: Sequence[Cell]) -> str:
    """Return cells in words, those of one experiment together: "gd, width 8 and 64"."""
    told = []
    for experiment in dict.fromkeys(cell.experiment for cell in cells):
        mine = [cell.knobs for cell in cells if cell.experiment == experiment]
        names = dict.fromkeys(name for knobs in mine for name in knobs)
        values = {name: list(dict.fromkeys(_shown(knobs[name]) for knobs in mine if name in knobs)) for name in names}
        told.append(str(Cell(experiment, {k: v[0] if len(v) == 1 else v for k, v in values.items()})))
    return "; ".join(told)


def control_of(claim: str, effect: Any, control: Any) -> Any:
    """Return a control's effect: that of a claim in another cell, or another measure at the claim's own cells.

    Anything else is returned as it is. Raises ``BadInput`` where the claim's effect is no one measure at cells.
    """
    if not isinstance(control, Cell | Measure):
        return control
    text("the id of a claim", claim)
    if not isinstance(effect, Measured) or (isinstance(control, Cell) and effect.measure is None):
        raise BadInput(
            f"the control of claim {claim!r} is {control}, and its effect is not one measure at a cell: give the "
            "control a measure at a cell, measure(cell), or a function of the data."
        )
    if isinstance(control, Measure):
        return effect.of(control)
    assert effect.measure is not None
    return effect.measure(control)


def _words(thing: Any) -> str:
    if isinstance(thing, Measure | Measured):
        return thing.words
    return f"{thing:g}" if thing >= 0 else f"({thing:g})"


def _joined(left: str, sign: str, right: str, *, turned: bool) -> str:
    left, right = (right, left) if turned else (left, right)
    if sign in "*/":
        left, right = (f"({w})" if any(f" {s} " in w for s in "+-") else w for w in (left, right))
    elif sign == "-" and any(f" {s} " in right for s in "+-"):
        right = f"({right})"
    return f"{left} {sign} {f'({right})' if sign == '/' and (' / ' in right or ' * ' in right) else right}"
