"""Phase maps: which phase reigns where over two knobs, with networks trained only where phases meet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from phasescope.checks import flag, function, optional, readable, whole
from phasescope.ensemble import Progress, Refinement, Span, device_named, train
from phasescope.ensemble.errands import Elsewhere
from phasescope.ensemble.executors import executor_named
from phasescope.ensemble.refine import Place, certainty
from phasescope.ensemble.train import on_processors
from phasescope.errors import resumable
from phasescope.lab.bench import provenance
from phasescope.lab.kept import refuse_own
from phasescope.lab.maps.plan import TOLERANCE, Plan, command_of, default_directory, plan_of, refuse_early
from phasescope.lab.maps.results import MapResults
from phasescope.lab.settings import MOST_SEEDS, changes_of, folder_of
from phasescope.lab.staged import Stage, staged
from phasescope.lab.study import Experiment, OrderParameter, Study
from phasescope.store import Store
from phasescope.vocabulary import Array, BadInput, Fate, Scatter


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
    executor: Any = None,
    progress: bool = True,
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
    ``executor`` trains elsewhere, as ``run`` has it; ``progress`` and ``on_progress`` are as ``ps.train`` has them.

    Raises ``BadInput`` for knobs, ranges and order parameters that do not fit; ``Interrupted``.
    """
    changes = changes_of(settings, overrides)
    plan = plan_of(what, x, y, by, scale, changes, tolerance)
    seeds, cells = whole(1, MOST_SEEDS)("seeds", seeds), optional(whole())("cells", cells)
    wanted, _ = flag("progress", progress), optional(function)("on_progress", on_progress)
    named = None if out is None else folder_of("out", out)
    ys, xs = plan.values
    search = Refinement(
        (len(ys), len(xs)),
        len(plan.phases),
        seeds=seeds,
        first=min(3, seeds),
        confidence=confidence,
        cells=cells,
    )
    elsewhere = executor_named(executor, workers) if executor is not None else None
    device = device if elsewhere is None else on_processors(device)
    refuse_early(plan, device, workers)
    where = device_named(device)
    directory = named or default_directory(plan, cells, seeds, confidence)
    asked = {"tolerance": plan.tolerance, "cells": cells, "seeds": seeds, "confidence": float(confidence)}
    kept = Store(directory) if directory is not None else nullcontext()
    with resumable(), kept as store, staged(wanted, on_progress) as tell:
        if store is not None:
            refuse_own(store)
        run = _Run(plan, search, store, device, workers, elsewhere, tell)
        run.to_the_end()
        data = _dataset(plan, search, run.networks)
        facts = _facts(plan, where, asked, time.monotonic() - run.started)
        if store is not None:
            store.save_results(data, [], facts)
    return MapResults(data, facts, None if directory is None else directory.resolve(), plan.study)


# -- training round by round -------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """A map on its way: rounds of networks, what each was asked for, and what came of it."""

    plan: Plan
    search: Refinement
    store: Store | None
    device: str
    workers: int | None
    elsewhere: Elsewhere | None
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
            workers=self.workers, on_progress=on_progress, executor=self.elsewhere,
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
        order, count = self.plan.order, data.sizes["member"]
        try:
            read = order.read(data)
        except (KeyError, AttributeError) as error:
            raise BadInput(
                f"the order parameter {order.name!r} looks for something that is not read ({error}); "
                f"there are {', '.join(map(str, data.data_vars))}."
            ) from error
        try:
            found = np.asarray(readable(f"what the order parameter {order.name!r} gives", read))
        except ValueError:
            raise BadInput(
                f"the order parameter {order.name!r} gives a ragged list: give one number for each."
            ) from None
        if found.shape != (count,) or found.dtype.kind not in "biuf":
            raise BadInput(
                f"the order parameter {order.name!r} gives {found.dtype} values of shape {found.shape} for {count} "
                "networks: give one number for each."
            )
        found = found.astype(np.float64)
        if order.phases:
            wrong = found[~np.isin(found, np.arange(len(order.phases)))]
            if len(wrong):
                raise BadInput(
                    f"the order parameter {order.name!r} gives {wrong[0]:g}: give the index of one of its phases, "
                    f"a whole number from 0 to {len(order.phases) - 1}."
                )
            return found.astype(int).tolist(), [float("nan")] * count
        if not order.diverged:  # what was read last is from before the divergence
            found[data.fate.values == str(Fate.DIVERGED)] = np.nan
        return [2 if np.isnan(v) else int(v >= order.level) for v in found], found.tolist()


# -- what was found ---------------------------------------------------------------------------------------------------


def _dataset(plan: Plan, search: Refinement, networks: Sequence[Mapping[str, Any]]) -> xr.Dataset:
    ys, xs = plan.values
    over = (plan.y.name, plan.x.name)
    table = {name: np.array([network[name] for network in networks]) for name in networks[0]}
    phase = search.phase
    columns = {name: ("network", values) for name, values in table.items()}
    values = np.full(search.shape, np.nan)
    for place in np.argwhere(search.told > 0):
        mine = (table["row"] == place[0]) & (table["column"] == place[1])
        valued = table["value"][mine & ~np.isnan(table["value"])]
        values[tuple(place)] = np.median(valued) if len(valued) else np.nan
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


def _facts(plan: Plan, where: torch.device, asked: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    study, settings = plan.study, plan.settings
    facts = provenance(study, plan.scale, settings, where, seconds)
    axes = {
        name: {"name": s.name, "low": s.low, "high": s.high, "scale": s.scale}
        for name, s in (("x", plan.x), ("y", plan.y))
    }
    title = study.title if study else plan.experiment.title
    described = {
        "title": title, "experiment": plan.experiment.title, "order": plan.order.name, **axes, **asked,
        "held": dict(sorted(plan.fixed.items())),
        "command": command_of(plan, asked),
    }  # fmt: skip
    return {**facts, "map": described}
