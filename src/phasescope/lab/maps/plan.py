"""What a phase map is to be: experiment, axes, order parameter, lattice; what can be refused is refused here."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from phasescope.checks import number
from phasescope.ensemble import Span
from phasescope.ensemble.jobs import jobs
from phasescope.ensemble.refine import Place
from phasescope.ensemble.train import planned
from phasescope.errors import shown
from phasescope.lab.readings import at_the_end
from phasescope.lab.registry import study_named, study_of, study_points
from phasescope.lab.rehearsal import fitting
from phasescope.lab.settings import changed_settings, folder_name, settings_of
from phasescope.lab.study import Experiment, OrderParameter, Study
from phasescope.vocabulary import Array, BadInput, Fate, Knob, Member, Scatter, Settings, nearest

TOLERANCE, FINEST = 1 / 32, 1 / 512
SLACK = 1e-5  # 0.333333 is a third, and 0.00195312 is 1/512
# names that the map's own data use, and those of the networks' dimensions
TAKEN = (
    "phase", "sampled", "uncertain", "networks", "certainty", "count", "value", "of_phase", "network", "crossing",
    "member", "seed", "step",
)  # fmt: skip
FATE = OrderParameter(
    "fate",
    lambda data: [[str(fate) for fate in Fate].index(str(found)) for found in data.fate.values],
    phases=tuple(str(fate) for fate in Fate),
)


@dataclass(frozen=True)
class Plan:
    """What a map is to be: the experiment with the knobs that it keeps, two axes, order parameter, and lattice."""

    experiment: Experiment
    x: Span
    y: Span
    order: OrderParameter
    tolerance: float
    study: Study | None = None
    scale: str = ""
    settings: Settings | None = None
    named: bool = True  # whether the order parameter is found by its name

    @property
    def points(self) -> int:
        """How many places an axis has at most: neighbours are ``tolerance`` of its length apart, or less."""
        return int(np.ceil((1 - SLACK) / self.tolerance)) + 1

    @cached_property
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

    @cached_property
    def fixed(self) -> dict[str, Knob]:
        """The knobs of the experiment's grid that are no axis of the map."""
        axes = {name: values for name, values in self.experiment.grid.axes.items() if name not in self.names}
        return {name: _plain(values[0]) for name, values in axes.items()}

    @property
    def names(self) -> tuple[str, str]:
        """The knobs along y and along x."""
        return self.y.name, self.x.name

    def member(self, place: Place, seed: int) -> Member:
        """Return the network at a place of the lattice."""
        ys, xs = self.values
        return Member({**self.fixed, self.y.name: ys[place[0]].item(), self.x.name: xs[place[1]].item()}, seed)


def _plain(value: Any) -> Knob:
    # numpy's numbers are no JSON
    found: Knob = value.item() if isinstance(value, np.generic) else value
    return found


def plan_of(
    what: str | Study | Experiment,
    x: str | Span,
    y: str | Span,
    by: str | OrderParameter | None,
    scale: str,
    changes: Mapping[str, Any],
    tolerance: float,
) -> Plan:
    """Return the plan that the arguments of ``phase_map`` ask for. Raises ``BadInput`` for what does not fit."""
    tolerance = number()("tolerance", tolerance)
    if not FINEST * (1 - SLACK) <= tolerance <= 0.5:
        raise BadInput(f"tolerance is {tolerance:g} of an axis: it must lie between 1/512 and 0.5.")
    across, up = (axis if isinstance(axis, Span) else Span.parse(axis) for axis in (x, y))
    if across.name == up.name:
        raise BadInput(f"x and y are both {across.name!r}: a map needs two different knobs.")
    for name in (across.name, up.name):
        if name in TAKEN or name.startswith(("network_", "boundary_")):
            raise BadInput(f"an axis is called {name!r}, a name of the map's own data: give the knob another name.")
    axes = (across.name, up.name)
    if isinstance(what, Experiment):
        if changes:
            raise BadInput(f"settings {', '.join(changes)} belong to studies: change the experiment itself.")
        return Plan(_single(what, axes), across, up, _order(by, what, ()), tolerance)
    if not isinstance(what, str | Study):
        raise BadInput(f"what is mapped is {shown(what)}: give a study's name, such as 'grokking', or an Experiment.")
    study = study_of(what)
    if study.mapped is None:
        able = [name for name in study_points() if study_named(name).mapped is not None]
        raise BadInput(f"the study {study.name!r} names no order parameter to map by; these do: {', '.join(able)}.")
    numbers = settings_of(study, scale, changes)
    experiment = _single(fitting(study.mapped, "experiment", numbers, study.scales[scale]), axes)
    named = not isinstance(by, OrderParameter) or any(by is order for order in study.orders)
    order = _order(by, experiment, study.orders)
    return Plan(experiment, across, up, order, tolerance, study, scale, numbers, named)


def _single(experiment: Experiment, axes: Sequence[str]) -> Experiment:
    wide = [name for name, values in experiment.grid.axes.items() if len(values) > 1 and name not in axes]
    if wide or experiment.recipe is None:
        raise BadInput(
            f"the experiment {experiment.title!r} can not be mapped: give it a recipe, and one value for each knob of "
            f"its grid that is no axis of the map{f' (not so: {wide[0]})' if wide else ''}."
        )
    return experiment


def _order(by: str | OrderParameter | None, e: Experiment, orders: Sequence[OrderParameter]) -> OrderParameter:
    if isinstance(by, OrderParameter):
        return _checked(by)
    readings = [at_the_end(instrument.name) for instrument in e.watch if not instrument.dims]
    known = {order.name: order for order in (*readings, FATE, *orders)}
    name = by if by is not None else orders[0].name if orders else "fate"
    if not isinstance(name, str) or name not in known:
        raise BadInput(f"there is no order parameter {shown(name)}{nearest(str(name), known)}")
    return _checked(known[name])


def _checked(order: OrderParameter) -> OrderParameter:
    names = list(order.phases)
    if names and (len(names) < 2 or len(set(names)) < len(names)):
        raise BadInput(f"the order parameter {order.name!r} has the phases {names}: give two or more, each name once.")
    return order


def refuse_early(plan: Plan, device: str, workers: int | None) -> None:
    """Make the jobs along the axes and the data of the corners: what can be refused is, before anything is written."""
    ys, xs = plan.values
    e = plan.experiment
    assert e.recipe is not None
    corners = Scatter([plan.member((i, j), 0) for i in (0, len(ys) - 1) for j in (0, len(xs) - 1)])
    chosen = planned(e.learner, e.task, corners, e.recipe, e.watch, at_end=e.at_end, device=device, workers=workers)
    for job in chosen:
        job.draw()
    lines = ((plan.x, [(0, j) for j in range(len(xs))]), (plan.y, [(i, 0) for i in range(len(ys))]))
    for span, places in lines:
        try:
            jobs(e.learner, e.task, Scatter([plan.member(place, 0) for place in places]), e.recipe, e.watch, e.at_end)
        except BadInput as error:
            if span.scale == "integer" or "integer" not in str(error):
                raise
            ends = f"{span.name}={np.ceil(span.low):g}:{np.floor(span.high):g}:int"
            raise BadInput(f"{str(error).rstrip('.')}; for an axis of whole numbers write {ends}.") from None


def default_directory(plan: Plan, cells: int | None, seeds: int, confidence: float) -> Path | None:
    """Return ``runs/map-...``, named by all that was asked for; None for a user's own experiment."""
    if plan.study is None or plan.settings is None:
        return None
    parts = ["map", plan.study.name, plan.scale, *(_folded(span) for span in (plan.x, plan.y))]
    parts += [plan.order.name, f"{plan.points}"]
    parts += [
        f"{name}={value}" for name, value in (("cells", cells), ("seeds", seeds if seeds != 7 else None)) if value
    ]
    parts += [f"confidence={short(confidence)}"] if confidence != 0.9 else []
    changed = changed_settings(plan.study, plan.scale, plan.settings)
    return Path("runs") / folder_name("-".join([*parts, *(f"{k}={v}" for k, v in changed.items())]))


def _folded(span: Span) -> str:
    scale = {"linear": "", "log": "-log", "integer": "-int"}[span.scale]
    return f"{span.name}={short(span.low)}-{short(span.high)}{scale}"


def short(value: float) -> str:
    """Return the shortest text that reads as ``value``.

    >>> short(20.0), short(1e-05), short(0.123456789)
    ('20', '1e-05', '0.123456789')
    """
    text = f"{value:g}"
    return text if float(text) == value else repr(float(value))


def command_of(plan: Plan, asked: Mapping[str, Any]) -> str:
    """Return the command line that draws the map again; empty where there is none, as for one's own experiment."""
    if plan.study is None or plan.settings is None:
        return ""
    if not plan.named:
        return ""  # only the Python call knows its order parameter

    def axis(span: Span) -> str:
        end = {"linear": "", "log": ":log", "integer": ":int"}[span.scale]
        return f"{span.name}={short(span.low)}:{short(span.high)}{end}"

    parts = [f"phasescope map {plan.study.name} --x {axis(plan.x)} --y {axis(plan.y)}"]
    parts += [f"--by {shlex.quote(plan.order.name)}"]
    parts += [f"--scale {plan.scale} --tolerance {short(asked['tolerance'])} --seeds {asked['seeds']}"]
    parts += [f"--cells {asked['cells']}"] if asked["cells"] else []
    parts += [f"--confidence {short(asked['confidence'])}"] if asked["confidence"] != 0.9 else []
    changed = changed_settings(plan.study, plan.scale, plan.settings)
    return " ".join([*parts, *(f"--set {k}={shlex.quote(v)}" for k, v in changed.items())])
