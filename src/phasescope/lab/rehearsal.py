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

from phasescope.ensemble import Simulation, streams
from phasescope.ensemble.jobs import Job
from phasescope.ensemble.results import only_at_end
from phasescope.ensemble.schedule import record_steps
from phasescope.errors import BadInput, shortened, shown
from phasescope.lab.study import Experiment
from phasescope.verdict import Claim
from phasescope.vocabulary import Array, Fate, Instrument, Settings

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
    experiments: Mapping[str, Experiment | Simulation],
    planned: Mapping[str, Sequence[Job]],
    settings: Settings,
    base: Settings,
) -> None:
    """Judge ``claims``, and draw ``figures``, of made-up data of ``experiments``, whose jobs are ``planned``.

    Raises ``BadInput`` where a claim, its control, or a figure looks for what there will not be. The figures of a
    scale's own settings are known to be there.
    """
    data = {LENGTHS[0]: _data(experiments, planned, LENGTHS[0])}
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
            data[LENGTHS[1]] = _data(experiments, planned, LENGTHS[1])
        if repr(error) == repr(_error(look, data[LENGTHS[1]])):  # one that speaks of a made-up length says nothing
            raise _contradiction(f"{what} looks for what they do not make", error, settings, base) from error


def _error(look: Effect, data: Data) -> Exception | None:
    """Return what shows that ``look`` looks for something that is not there."""
    with warnings.catch_warnings(record=True), np.errstate(all="ignore"):  # recorded: xarray sets filters of its own
        try:
            look(data)
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


def _data(
    experiments: Mapping[str, Experiment | Simulation], planned: Mapping[str, Sequence[Job]], length: int
) -> Data:
    parts = {}
    for name, e in experiments.items():
        maker = _Maker(e.grid.dims, e.grid.shape, e.grid.coords, length)
        if isinstance(e, Simulation):
            for q in e.quantities:
                maker.add(q.name, q.dims, q.coords)
        elif e.recipe is None:
            for instrument in e.at_end:
                maker.read(instrument)
        else:
            _trained(maker, e, planned[name])
        parts[name] = xr.Dataset(maker.values, maker.coords)
    return parts


def _trained(maker: _Maker, e: Experiment, jobs: Sequence[Job]) -> None:
    steps = max((record_steps(job.recipe) for job in jobs), key=len)
    maker.coords["step"] = steps
    for instrument in e.watch:
        maker.read(instrument, dims=("step",))
        maker.read(instrument, dims=("step",), name=f"{instrument.name}_error")
    for instrument in only_at_end(e.watch, e.at_end):
        maker.read(instrument)
    for name in ("fate_step", "seconds"):
        maker.add(name)
    maker.coords["fate"] = (maker.dims, np.full(maker.shape, str(Fate.OUT_OF_STEPS)))
    maker.coords["last_step"] = (maker.dims, np.full(maker.shape, steps[-1]))
    shapes: dict[str, set[tuple[int, ...]]] = {}
    for module in {id(job.module): job.module for job in jobs}.values():
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            shapes.setdefault(name, set()).add(tuple(value.shape))
    for name, found in shapes.items():
        if len(found) == 1:
            (shape,) = found
            dims = [f"{name}_{i}" for i in range(len(shape))]
            maker.add(f"final.{name}", dims, sizes=dict(zip(dims, shape, strict=True)))


class _Maker:
    """One experiment's made-up dataset on its way; axes of unknown length get ``length`` places."""

    def __init__(self, dims: Sequence[str], shape: Sequence[int], coords: Mapping[str, Any], length: int) -> None:
        self.dims, self.shape, self.length = tuple(dims), tuple(shape), length
        self.coords, self.values = dict(coords), dict[str, Any]()
        self.sizes: dict[str, int] = {}
        self.draw = streams(0)("rehearsal")

    def read(self, instrument: Instrument, *, dims: Sequence[str] = (), name: str = "") -> None:
        """Add what an instrument reads, along ``dims`` too."""
        self.add(name or instrument.name, (*dims, *instrument.dims), instrument.coords)

    def add(
        self,
        name: str,
        dims: Sequence[str] = (),
        coords: Mapping[str, Sequence[Any]] | None = None,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        """Add a variable over the members and ``dims``."""
        self.coords |= {dim: list(places) for dim, places in (coords or {}).items()}
        known = {dim: len(self.coords[dim]) for dim in dims if dim in self.coords} | self.sizes | dict(sizes or {})
        unknown = [dim for dim in dims if dim not in known]
        room = max(MOST // max(int(np.prod([*self.shape, *(known.get(dim, 1) for dim in dims)])), 1), 1)
        length = max(min(self.length, int(room ** (1 / max(len(unknown), 1)))), min(self.length, 5))
        shape = (*self.shape, *(known.get(dim, length) for dim in dims))
        self.sizes |= zip(dims, shape[len(self.shape) :], strict=True)
        self.values[name] = ((*self.dims, *dims), self._numbers(shape))

    def _numbers(self, shape: Sequence[int]) -> Array:
        if int(np.prod(shape)) <= MOST:
            return self.draw.uniform(0.1, 0.9, shape)
        return np.broadcast_to(np.float64(0.5), shape)
