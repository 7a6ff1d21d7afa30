"""Effects as data: what is measured, and in which cell of which experiment.

A *cell* is a place in an experiment's grid, ``at("gd", train_fraction=0.8)``. A *measure* turns the networks of any
cell into one number per seed, and measures are divided, subtracted and scaled like the numbers that they give. A
measure at a cell is an *effect*, which a claim can take; a control is then another cell, or another measure there.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from phasescope.checks import BadInput, function, kind, shown, text
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

    def of(self, data: Data) -> xr.Dataset:
        """Return the networks of this cell. Raises ``KeyError`` for a value that the grid does not have.

        Raises ``BadInput`` where ``data`` has experiments and none is named, or the other way round.
        """
        found = self._experiment(data)
        axes = axes_of(found)
        chosen = found.sel(
            {k: list(v) if isinstance(v, Sequence) and not isinstance(v, str) else v for k, v in self.knobs.items()}
        )
        alone = [axis for axis in axes if axis in chosen.dims and axis not in self.knobs and chosen.sizes[axis] == 1]
        return chosen.squeeze(alone)

    def _experiment(self, data: Data) -> xr.Dataset:
        if hasattr(data, "data_vars"):  # one dataset, which is a mapping too, of variables
            if self.experiment:
                raise BadInput(
                    f"a claim looks at the experiment {self.experiment!r}, and the data are one dataset: leave its "
                    "name out of ps.at(), or give a mapping of names to datasets."
                )
            return data  # type: ignore[return-value]
        if self.experiment in data:
            return data[self.experiment]
        if not self.experiment and len(data) == 1:
            return next(iter(data.values()))
        raise KeyError(f"no experiment {self.experiment!r}{nearest(self.experiment, data)}")

    def __str__(self) -> str:
        knobs = [f"{name} {_shown(value)}" for name, value in self.knobs.items()]
        return ", ".join([*([self.experiment] if self.experiment else []), *knobs]) or "all networks"


def at(experiment: str = "", /, **knobs: Knob | Sequence[Knob]) -> Cell:
    """Return the cell of ``experiment`` at these values of its axes.

    >>> print(at("gd", train_fraction=0.8))
    gd, train_fraction 0.8
    """
    return Cell(experiment, knobs)


def _shown(value: Any) -> str:
    """Return a value of an axis, or several, in words."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence | np.ndarray):
        return " and ".join(map(_shown, value)) if len(value) < 4 else f"{len(value)} values"
    return f"{value:g}" if isinstance(value, float) else str(value)


def axes_of(data: xr.Dataset) -> list[str]:
    """Return the axes of the grid that a dataset was made over: the dimensions that stand before the seeds."""
    for values in data.data_vars.values():
        if "seed" in values.dims:
            return [str(dim) for dim in values.dims[: values.dims.index("seed")]]
    return []


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
        return type(self)(lambda *cells: act(self.read(*cells)), words.format(self.words))

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
        return np.asarray(self.read(*(cell.of(data) for cell in self.cells)), dtype=float)

    def of(self, measure: Measure) -> Measured:
        """Return another measure at the same cells."""
        return self.extreme(measure, self.cells) if self.extreme else measure(*self.cells)

    def _with(self, act: Callable[..., Any], sign: str, other: Any, *, turned: bool = False) -> Self:
        if isinstance(other, Measure) or not isinstance(other, Measured | Number | np.number):
            return NotImplemented  # type: ignore[no-any-return]
        n, more = len(self.cells), other.cells if isinstance(other, Measured) else ()

        def read(*cells: xr.Dataset) -> Any:
            # as numbers: networks of two cells have the same seeds, or their count differs and that is told
            a = np.asarray(self.read(*cells[:n]), dtype=float)
            b = np.asarray(other.read(*cells[n:]), dtype=float) if isinstance(other, Measured) else other
            with np.errstate(invalid="ignore", divide="ignore"):
                return act(b, a) if turned else act(a, b)

        return type(self)((*self.cells, *more), read, _joined(self.words, sign, _words(other), turned=turned))

    def map(self, act: Callable[[Any], Any], words: str = "{}") -> Self:
        """Return ``act`` of this effect; ``words`` says it, with {} for the effect."""
        return type(self)(self.cells, lambda *cells: act(self.read(*cells)), words.format(self.words))

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
    if not cells:
        raise BadInput(f"{words} of {measure} is asked for at no cell: give one or more.")

    def read(*found: xr.Dataset) -> Any:
        return fold([np.asarray(measure.read(one), dtype=float) for one in found])

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
    return thing.words if isinstance(thing, Measure | Measured) else f"{thing:g}"


def _joined(left: str, sign: str, right: str, *, turned: bool) -> str:
    left, right = (right, left) if turned else (left, right)
    if sign in "*/":
        left, right = (f"({w})" if any(f" {s} " in w for s in "+-") else w for w in (left, right))
    elif sign == "-" and any(f" {s} " in right for s in "+-"):
        right = f"({right})"
    return f"{left} {sign} {f'({right})' if sign == '/' and (' / ' in right or ' * ' in right) else right}"
