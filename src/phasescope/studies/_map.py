"""Phase maps: which phase reigns where over two knobs, with networks trained only where phases meet."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from phasescope.ensemble import Progress, device_named, last, train
from phasescope.ensemble.refine import Place, Refinement, certainty
from phasescope.ensemble.span import Span
from phasescope.ensemble.train import planned
from phasescope.store import Store
from phasescope.studies._lab import Stage, changed_settings, provenance, settings_of
from phasescope.studies._map_results import MapResults
from phasescope.studies._registry import study_named, study_points
from phasescope.studies._study import Experiment, OrderParameter, Study
from phasescope.vocabulary import Array, BadInput, Fate, Member, Scatter, Settings, nearest

TOLERANCE, FINEST = 1 / 32, 1 / 512
FATE = OrderParameter(
    "fate",
    lambda data: [[str(fate) for fate in Fate].index(str(found)) for found in data.fate.values],
    phases=tuple(str(fate) for fate in Fate),
)


@dataclass(frozen=True)
class _Plan:
    """What a map is to be: the experiment with the knobs that it keeps, two axes, order parameter, and lattice."""

    experiment: Experiment
    x: Span
    y: Span
    order: OrderParameter
    tolerance: float
    study: Study | None = None
    scale: str = ""
    settings: Settings | None = None

    @property
    def points(self) -> int:
        """How many places an axis has at most: neighbours are ``tolerance`` of its length apart, or less."""
        return int(np.ceil(1 / self.tolerance - 1e-9)) + 1

    @property
    def values(self) -> tuple[Array, Array]:
        """The places along y and along x."""
        return self.y.values(self.points), self.x.values(self.points)

    @property
    def phases(self) -> tuple[str, ...]:
        """The names of all outcomes that a network can have."""
        o = self.order
        words = o.name.replace("_", " ")
        unit = f" {o.unit}" if o.unit else ""
        return tuple(o.phases) or (f"{words} < {o.level:g}{unit}", f"{words} ≥ {o.level:g}{unit}", "no value")

    def member(self, place: Place, seed: int) -> Member:
        """Return the network at a place of the lattice."""
        fixed = {name: values[0] for name, values in self.experiment.grid.axes.items()}
        ys, xs = self.values
        return Member({**fixed, self.y.name: ys[place[0]].item(), self.x.name: xs[place[1]].item()}, seed)


def phase_map(
    what: str | Study | Experiment,
    *,
    x: str | Span,
    y: str | Span,
    by: str | OrderParameter | None = None,
    scale: str = "pocket",
    settings: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE,
    cells: int | None = None,
    seeds: int = 7,
    confidence: float = 0.9,
    device: str = "auto",
    out: str | Path | None = None,
    workers: int | None = None,
    on_progress: Callable[[Stage], None] | None = None,
    **overrides: Any,
) -> MapResults:
    """Find which phase reigns where over the knobs ``x`` and ``y``, training networks only where phases meet.

    ``what`` is a study that names an order parameter, or an ``Experiment`` of your own (its grid holds the knobs that
    stay, one value each). ``x`` and ``y`` are spans, also written ``"weight_decay=0:20"``, ``"lr=1e-4:1:log"`` or
    ``"batch=8:64:int"``. ``by``: an order parameter of the study (its first by default), ``"fate"``, the name of a
    reading that is watched (0.5 then parts the two phases), or an ``OrderParameter``. The boundary is followed to
    ``tolerance`` of each axis (1/32: a lattice of 33 x 33), with at most ``cells`` places trained. A place has three
    networks, or more, up to ``seeds``, until its phase is known with ``confidence``. A study's map is kept in ``out``
    (default ``runs/map-...``) and resumes when the same call is made again; that of an experiment, if ``out`` is given.

    Raises ``BadInput`` for knobs, ranges and order parameters that do not fit; ``Interrupted``.
    """
    changes = {**(settings or {}), **overrides}
    plan = _plan(what, x, y, by, scale, changes, tolerance)
    ys, xs = plan.values
    search = Refinement(
        (len(ys), len(xs)),
        len(plan.phases),
        seeds=seeds,
        first=min(3, seeds),
        confidence=confidence,
        cells=cells,
    )
    _refuse_early(plan, device, workers)
    where = device_named(device)
    directory = Path(out) if out is not None else _default_directory(plan, cells, seeds, confidence)
    asked = {"tolerance": tolerance, "cells": cells, "seeds": seeds, "confidence": confidence}
    with Store(directory) if directory is not None else nullcontext() as store:
        run = _Run(plan, search, store, device, workers, on_progress or (lambda stage: None))
        run.to_the_end()
        data = _dataset(plan, search, run.networks)
        facts = _facts(plan, where, asked, time.monotonic() - run.started)
        if store is not None:
            store.save_results(data, [], facts)
    return MapResults(data, facts, None if directory is None else directory.resolve())


# -- what is asked for -------------------------------------------------------------------------------------------------


def _plan(
    what: str | Study | Experiment,
    x: str | Span,
    y: str | Span,
    by: str | OrderParameter | None,
    scale: str,
    changes: Mapping[str, Any],
    tolerance: float,
) -> _Plan:
    if not FINEST <= tolerance <= 0.5:
        raise BadInput(f"tolerance is {tolerance:g} of an axis: it must lie between {FINEST:g} and 0.5.")
    across, up = (Span.parse(axis) if isinstance(axis, str) else axis for axis in (x, y))
    if across.name == up.name:
        raise BadInput(f"x and y are both {across.name!r}: a map needs two different knobs.")
    if isinstance(what, Experiment):
        if changes:
            raise BadInput(f"settings {', '.join(changes)} belong to studies: change the experiment itself.")
        return _Plan(_single(what), across, up, _order(by, what, ()), tolerance)
    study = study_named(what) if isinstance(what, str) else what
    if study.mapped is None:
        able = [name for name in study_points() if study_named(name).mapped is not None]
        raise BadInput(f"the study {study.name!r} names no order parameter to map by; these do: {', '.join(able)}.")
    numbers = settings_of(study, scale, changes)
    experiment = _single(study.mapped(numbers))
    return _Plan(experiment, across, up, _order(by, experiment, study.orders), tolerance, study, scale, numbers)


def _single(experiment: Experiment) -> Experiment:
    wide = [name for name, values in experiment.grid.axes.items() if len(values) > 1]
    if wide or experiment.recipe is None:
        raise BadInput(
            f"the experiment {experiment.title!r} can not be mapped: give it a recipe, and one value for each knob of "
            f"its grid{f' (not so: {wide[0]})' if wide else ''}."
        )
    return experiment


def _order(by: str | OrderParameter | None, e: Experiment, orders: Sequence[OrderParameter]) -> OrderParameter:
    if isinstance(by, OrderParameter):
        return by
    readings = [_reading(instrument.name) for instrument in e.watch if not instrument.dims]
    known = {order.name: order for order in (*readings, FATE, *orders)}
    name = by or (orders[0].name if orders else "fate")
    if name not in known:
        raise BadInput(f"there is no order parameter {name!r}{nearest(name, known)}")
    return known[name]


def _reading(name: str) -> OrderParameter:
    return OrderParameter(name, lambda data: last(data[name]).values)


def _refuse_early(plan: _Plan, device: str, workers: int | None) -> None:
    """Make the jobs and the data of the four corners: what can be refused is refused before anything is written."""
    ys, xs = plan.values
    corners = Scatter([plan.member((i, j), 0) for i in (0, len(ys) - 1) for j in (0, len(xs) - 1)])
    e = plan.experiment
    assert e.recipe is not None
    chosen = planned(e.learner, e.task, corners, e.recipe, e.watch, at_end=e.at_end, device=device, workers=workers)
    for job in chosen:
        job.draw()


def _default_directory(plan: _Plan, cells: int | None, seeds: int, confidence: float) -> Path | None:
    if plan.study is None or plan.settings is None:
        return None
    parts = ["map", plan.study.name, plan.scale, *(f"{s.name}={s.low:g}-{s.high:g}" for s in (plan.x, plan.y))]
    parts += [plan.order.name, f"{plan.points}"]
    parts += [
        f"{name}={value}" for name, value in (("cells", cells), ("seeds", seeds if seeds != 7 else None)) if value
    ]
    parts += [f"confidence={confidence:g}"] if confidence != 0.9 else []
    changed = changed_settings(plan.study, plan.scale, plan.settings)
    return Path("runs") / "-".join([*parts, *(f"{k}={v}" for k, v in changed.items())]).replace("/", "_").replace(
        " ", ""
    )


# -- training round by round -------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """A map on its way: rounds of networks, what each was asked for, and what came of it."""

    plan: _Plan
    search: Refinement
    store: Store | None
    device: str
    workers: int | None
    tell: Callable[[Stage], None]
    networks: list[dict[str, Any]] = field(default_factory=list)
    rounds: int = 0
    steps: int = 0
    started: float = field(default_factory=time.monotonic)

    def to_the_end(self) -> None:
        """Train what the search asks for until it asks for nothing."""
        while asked := self.search.ask():
            self.rounds += 1
            self._round(asked)

    def _round(self, asked: Sequence[tuple[Place, int]]) -> None:
        e, before = self.plan.experiment, self.steps
        assert e.recipe is not None
        members = Scatter([self.plan.member(place, replica) for place, replica in asked])
        cells, left = int(self.search.sampled.sum()), self.search.left
        budget = e.recipe.steps * len(members)
        # what is still to come is guessed from the cost of a cell so far
        expected = (before + budget) / max(cells, 1) * (cells + left)

        def on_progress(progress: Progress) -> None:
            self.steps = before + progress.steps_done
            title = f"cells, round {self.rounds}"
            self.tell(Stage(title, cells, cells + left, before, budget, int(expected), progress))

        data = train(
            e.learner, e.task, members, e.recipe, e.watch, at_end=e.at_end, device=self.device, keeper=self.store,
            workers=self.workers, on_progress=on_progress,
        )  # fmt: skip
        for (place, replica), outcome, value, steps, seconds in zip(
            asked, *self._outcomes(data), data.last_step.values, data.seconds.values, strict=True
        ):
            self.search.tell(place, outcome)
            self.networks.append(
                {"row": place[0], "column": place[1], "seed": replica, "outcome": outcome, "value": value,
                 "steps": int(steps), "seconds": float(seconds)}
            )  # fmt: skip

    def _outcomes(self, data: xr.Dataset) -> tuple[list[int], list[float]]:
        """Return each network's phase, and its number where the order parameter is one."""
        order = self.plan.order
        try:
            found = np.asarray(order.read(data), dtype=np.float64)
        except (KeyError, AttributeError) as error:
            raise BadInput(
                f"the order parameter {order.name!r} looks for something that is not read ({error}); "
                f"there are {', '.join(map(str, data.data_vars))}."
            ) from error
        if found.shape != (data.sizes["member"],):
            raise BadInput(
                f"the order parameter {order.name!r} gives shape {found.shape} for {data.sizes['member']} networks."
            )
        if order.phases:
            return [int(index) for index in found], [float("nan")] * len(found)
        return [2 if np.isnan(v) else int(v >= order.level) for v in found], found.tolist()


# -- what was found ---------------------------------------------------------------------------------------------------


def _dataset(plan: _Plan, search: Refinement, networks: Sequence[Mapping[str, Any]]) -> xr.Dataset:
    ys, xs = plan.values
    over = (plan.y.name, plan.x.name)
    table = {name: np.array([network[name] for network in networks]) for name in networks[0]}
    phase = search.phase
    columns = {name: ("network", values) for name, values in table.items()}
    values = np.full(search.shape, np.nan)
    for place in np.argwhere(search.told > 0):
        mine = (table["row"] == place[0]) & (table["column"] == place[1])
        values[tuple(place)] = np.median(table["value"][mine])
    edges = search.boundary()
    along_x = edges[:, 4] == 1
    ends = {
        name: np.where(along_x, plan.x.at(edges[:, k], plan.points), plan.y.at(edges[:, k], plan.points))
        for name, k in (("low", 2), ("high", 3))
    }
    data = xr.Dataset(
        {
            "phase": (over, phase),
            "sampled": (over, search.sampled),
            "uncertain": (over, search.uncertain),
            "networks": (over, search.told),
            "certainty": (over, np.where(search.told > 0, certainty(search.counts), np.nan)),
            "count": ((*over, "of_phase"), search.counts),
            "value": (over, values, {"units": plan.order.unit or "1"}),
            **{f"network_{name}": column for name, column in columns.items()},
            "boundary_x": ("crossing", plan.x.at(edges[:, 1], plan.points)),
            "boundary_y": ("crossing", plan.y.at(edges[:, 0], plan.points)),
            "boundary_low": ("crossing", ends["low"]),
            "boundary_high": ("crossing", ends["high"]),
            "boundary_along": ("crossing", np.where(along_x, 0, 1)),
        },
        coords={plan.y.name: ys, plan.x.name: xs, "of_phase": list(plan.phases)},
    )
    data.attrs = {"x": plan.x.name, "y": plan.y.name, "order": plan.order.name, **_cost(search, table, phase)}
    return data


def _cost(search: Refinement, table: Mapping[str, Array], phase: Array) -> dict[str, Any]:
    """Return what the map cost, and what the full grid would: each place as much as its phase's networks did."""
    steps, full = table["steps"].astype(float), 0.0
    for index in np.unique(phase):
        mine = table["outcome"] == index
        full += float((phase == index).sum()) * search.seeds * float(steps[mine if mine.any() else slice(None)].mean())
    return {
        "cells": int(search.sampled.sum()),
        "cells_full": int(phase.size),
        "networks_trained": len(steps),
        "networks_full": int(phase.size) * search.seeds,
        "steps_trained": float(steps.sum()),
        "steps_full": full,
    }


def _facts(plan: _Plan, where: torch.device, asked: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    study, settings = plan.study, plan.settings
    facts = provenance(study.name if study else "", plan.scale, settings, where, seconds)
    axes = {
        name: {"name": s.name, "low": s.low, "high": s.high, "scale": s.scale}
        for name, s in (("x", plan.x), ("y", plan.y))
    }
    title = study.title if study else plan.experiment.title
    fixed = {name: values[0] for name, values in plan.experiment.grid.axes.items()}
    described = {
        "title": title, "experiment": plan.experiment.title, "order": plan.order.name, **axes, **asked,
        "held": {name: value for name, value in fixed.items() if name not in (plan.x.name, plan.y.name)},
        "command": _command(plan, asked),
    }  # fmt: skip
    return {**facts, "map": described}


def _command(plan: _Plan, asked: Mapping[str, Any]) -> str:
    if plan.study is None or plan.settings is None:
        return ""

    def axis(span: Span) -> str:
        end = {"linear": "", "log": ":log", "integer": ":int"}[span.scale]
        return f"{span.name}={span.low:g}:{span.high:g}{end}"

    parts = [f"phasescope map {plan.study.name} --x {axis(plan.x)} --y {axis(plan.y)} --by {plan.order.name}"]
    parts += [f"--scale {plan.scale} --tolerance {asked['tolerance']:g} --seeds {asked['seeds']}"]
    parts += [f"--cells {asked['cells']}"] if asked["cells"] else []
    parts += [f"--confidence {asked['confidence']:g}"] if asked["confidence"] != 0.9 else []
    changed = changed_settings(plan.study, plan.scale, plan.settings)
    return " ".join([*parts, *(f"--set {k}={shlex.quote(v)}" for k, v in changed.items())])
