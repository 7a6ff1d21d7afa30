"""The rehearsal of a run: every claim is judged on made-up data of the planned shape, before anything is trained.

A claim that looks for a cell which the settings do not make is found in a fraction of a second instead of at the end.
The numbers are random and mean nothing; what counts is which experiments, readings, axes and places there are.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from pandas.errors import InvalidIndexError

from phasescope.ensemble import Quantity, streams
from phasescope.errors import BadInput, shortened, shown
from phasescope.lab.study import Work
from phasescope.verdict import Claim, NotPerSeed
from phasescope.vocabulary import Array, Fate, Settings

Data = Mapping[str, xr.Dataset]
Effect = Callable[[Data], Any]
Made = TypeVar("Made")
LENGTHS = (4096, 3)
"""How long an axis is taken to be of which nobody knows beforehand, first and when a claim fails."""
MOST = 30_000  # made-up numbers of one reading; what needs more is one number many times


def fitting(make: Callable[[Any], Made], what: str, settings: Settings, base: Settings) -> Made:
    """Return ``make(settings)``; where changed settings make that impossible, raise ``BadInput`` with their names.

    The settings of a scale fit each other: what they raise is raised as it is.
    """
    try:
        return make(settings)
    except BadInput:
        raise
    except (LookupError, ValueError, ArithmeticError, MemoryError) as error:
        if settings == base:
            raise
        raise _contradiction(f"no {what} can be made of them", error, settings, base) from error


def rehearse(
    claims: Sequence[Claim],
    figures: Callable[[Data, Any], object],
    experiments: Mapping[str, Work],
    planned: Mapping[str, Any],
    settings: Settings,
    base: Settings,
) -> None:
    """Judge ``claims``, and draw ``figures``, of made-up data of ``experiments``; ``planned`` is what each planned.

    Raises ``BadInput`` where a claim, its control, or a figure looks for what there will not be. The figures of a
    scale's own settings are known to be there.
    """
    data = {LENGTHS[0]: made_up(experiments, planned, LENGTHS[0])}
    parts: list[tuple[str, Any]] = [
        (f"the claim {claim.id!r}", effect) for claim in claims for effect in (claim.effect, claim.control.effect)
    ]
    if settings != base:
        parts.append(("a figure", lambda data: figures(data, settings)))
    for what, look in parts:
        error = _error(look, data[LENGTHS[0]])
        if error is None:
            continue
        if LENGTHS[1] not in data:
            data[LENGTHS[1]] = made_up(experiments, planned, LENGTHS[1])
        if repr(error) == repr(_error(look, data[LENGTHS[1]])):  # one that speaks of a made-up length says nothing
            raise _contradiction(f"{what} looks for what they do not make", error, settings, base) from error


def _error(look: Effect, data: Data) -> Exception | None:
    """Return what shows that ``look`` looks for something that is not there."""
    with warnings.catch_warnings(record=True), np.errstate(all="ignore"):  # recorded: xarray sets filters of its own
        try:
            look(data)
        except NotPerSeed:
            raise  # its sentence stands for itself
        except (LookupError, AttributeError, ZeroDivisionError, InvalidIndexError) as error:
            return error
        except (ValueError, ArithmeticError, TypeError):
            return None  # what made-up numbers can not answer, true ones may
    return None


def _contradiction(what: str, error: Exception, settings: Settings, base: Settings) -> BadInput:
    usual, own = base.model_dump(), settings.model_dump()
    changed = ", ".join(f"{name} = {shortened(shown(own[name]), 60)}" for name in own if own[name] != usual[name])
    reason = str(error) or "there is too little memory"
    axis = re.search(r"not all values found in index '([^']*)'", reason)
    reason = f"a place along {axis[1]}" if axis else shortened(" ".join(reason.strip("\"'").split()), 120)
    mend = f"changed are {changed}: choose values that go together" if changed else "mend the study"
    return BadInput(f"the settings contradict each other, for {what} ({reason}); {mend}.")


def made_up(
    experiments: Mapping[str, Work], planned: Mapping[str, Any], length: int, seed: int = 0, *, scaled: bool = False
) -> Data:
    """Return made-up data of the shape that experiments will leave: random numbers, from 0.1 to 0.9 unless ``scaled``.

    ``planned`` is what each experiment planned, ``length`` that of an axis of which nobody knows it. ``scaled`` numbers
    are powers of uniform ones, less 0.3 for half of the readings, times a size of each one's own from 1/100 to 100, so
    that they come to lie anywhere.
    """
    parts = {}
    for i, (name, e) in enumerate(experiments.items()):
        maker = _Maker(e.grid.dims, e.grid.shape, e.grid.coords, length, streams(seed)("rehearsal", i), scaled)
        for q in e.leaves(planned[name]):
            maker.add(q)
        parts[name] = xr.Dataset(maker.values, maker.coords)
    return parts


class _Maker:
    """One experiment's made-up dataset on its way; axes of unknown length get ``length`` places."""

    def __init__(
        self,
        dims: Sequence[str],
        shape: Sequence[int],
        coords: Mapping[str, Any],
        length: int,
        draw: np.random.Generator,
        scaled: bool,
    ) -> None:
        self.dims, self.shape, self.length = tuple(dims), tuple(shape), length
        self.draw, self.scaled = draw, scaled
        self.coords, self.values = dict(coords), dict[str, Any]()
        self.sizes: dict[str, int] = {}

    def add(self, q: Quantity) -> None:
        """Add a variable over the members and its own dimensions; what says how training ended is a coordinate."""
        if q.name in ("fate", "last_step"):
            ended = (
                str(Fate.OUT_OF_STEPS) if q.name == "fate" else self.coords["step"][-1] if "step" in self.coords else 0
            )
            self.coords[q.name] = (self.dims, np.full(self.shape, ended))
            return
        self.coords |= {dim: list(places) for dim, places in q.coords.items()}
        known = {dim: len(self.coords[dim]) for dim in q.dims if dim in self.coords} | self.sizes
        unknown = [dim for dim in q.dims if dim not in known]
        room = max(MOST // max(int(np.prod([*self.shape, *(known.get(dim, 1) for dim in q.dims)])), 1), 1)
        length = max(min(self.length, int(room ** (1 / max(len(unknown), 1)))), min(self.length, 5))
        shape = (*self.shape, *(known.get(dim, length) for dim in q.dims))
        self.sizes |= zip(q.dims, shape[len(self.shape) :], strict=True)
        self.values[q.name] = ((*self.dims, *q.dims), self._numbers(shape))

    def _numbers(self, shape: Sequence[int]) -> Array:
        if int(np.prod(shape)) <= MOST:
            if not self.scaled:
                return self.draw.uniform(0.1, 0.9, shape)
            power, size = self.draw.uniform(0.2, 5), 10 ** self.draw.uniform(-2, 2)
            found: Array = size * (self.draw.uniform(size=shape) ** power - self.draw.choice([0, 0.3]))
            return found
        return np.broadcast_to(np.float64(0.5), shape)
