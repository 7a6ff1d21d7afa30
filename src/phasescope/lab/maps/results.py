"""A phase map that was drawn: its data, its cost, and how it is told."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Diagram, Figure, HeatMap, Page, PhaseMap, Recorded
from phasescope.lab.paged import paged
from phasescope.lab.study import Study
from phasescope.verdict import Verdicts
from phasescope.vocabulary import Array

UNTRAINED = "not trained"


@dataclass(frozen=True)
class MapResults:
    """A phase map: ``data`` (one dataset over the lattice), ``provenance``, and the ``directory`` that keeps it.

    ``study`` is the study that was mapped, None for an experiment of a user's own.

    In ``data``, over (y, x): ``phase`` (index into the coordinate ``of_phase``, -1 unknown), ``sampled``,
    ``uncertain``, ``networks`` trained, ``certainty`` of the phase, ``count`` of each phase, and the median ``value``
    of the order parameter where it is a number. Along ``network``, one entry for each network trained: ``network_row``
    and ``network_column``, its place in the lattice, ``network_seed``, ``network_outcome`` (index into ``of_phase``),
    ``network_value``, ``network_steps`` and ``network_seconds``.
    Along ``crossing``: where the phase changes between neighbours (``boundary_x``, ``boundary_y``), held between
    ``boundary_low`` and ``boundary_high`` on the line along x (``boundary_along`` 0) or y (1).
    """

    data: xr.Dataset
    provenance: Mapping[str, Any]
    directory: Path | None = None
    study: Study | None = None

    @property
    def map(self) -> Mapping[str, Any]:
        """What was asked for: axes, order parameter, tolerance, cells, seeds, confidence, and the knobs held."""
        found: Mapping[str, Any] = self.provenance["map"]
        return found

    @property
    def title(self) -> str:
        """What was mapped, by which order parameter, over which knobs."""
        x, y = (words(self.map[axis]["name"]) for axis in ("x", "y"))
        return f"{self.map['title']}: {words(self.map['order'])} over {x} and {y}"

    def told(self) -> Page:
        """Return what a page tells of this map."""
        notes = (
            "Networks were trained only where phases meet: a box of the lattice whose known places disagree is cut in "
            "four, and places beside the boundary are looked at too. A place has as many networks as it takes to know "
            f"its most frequent phase with {100 * self.map['confidence']:g} % confidence, or {self.map['seeds']}. An "
            "island of a phase smaller than the first lattice's meshes can be missed."
        )
        return Page(
            self.provenance["study"] or "", self.title, "Which phase reigns where, and where do phases meet?",
            self.figures(), paper=self.study.paper if self.study else None, diagrams=self.diagrams(), notes=notes,
            settings=self.settings, provenance=self.provenance, command=self.command,
        )  # fmt: skip

    def page(self, path: str | Path) -> Path:
        """Write the page of this map, one self-contained HTML file, as ``path``. Raises ``BadInput``."""
        return paged(self.told(), path)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The study's settings, the knobs that were held, and what was asked of the map."""
        asked = {name: self.map[name] for name in ("tolerance", "cells", "seeds", "confidence")}
        return {**(self.provenance["settings"] or {}), **self.map["held"], **asked}

    @property
    def command(self) -> str:
        """The command line that draws this map again; empty for a user's own experiment."""
        return str(self.map["command"])

    @property
    def verdicts(self) -> Verdicts:
        """The verdicts of a map: none, for it claims nothing."""
        return Verdicts(())

    def shares(self) -> dict[str, float]:
        """Return the fraction of the lattice's places in each phase that occurs."""
        phase, names = self.data.phase.values, self.data.of_phase.values.tolist()
        found = {str(name): float((phase == index).mean()) for index, name in enumerate(names)}
        return {name: share for name, share in found.items() if share > 0}

    def width(self) -> float:
        """Return the median distance between the places that hold the boundary, in fractions of their axis."""
        d = self.data
        if d.sizes["crossing"] == 0:
            return float("nan")
        spans = [self._length(self.map[axis], d.boundary_low.values, d.boundary_high.values) for axis in ("x", "y")]
        return float(np.median(np.where(d.boundary_along.values == 0, *spans)))

    @staticmethod
    def _length(axis: Mapping[str, Any], low: Array, high: Array) -> Array:
        ends = np.array([axis["low"], axis["high"]], dtype=float)
        if axis["scale"] != "log":
            return np.asarray((high - low) / (ends[1] - ends[0]))
        # a crossing of the other axis may hold numbers that have no logarithm; its length is not used
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((np.log(high) - np.log(low)) / np.diff(np.log(ends)))

    def cost(self) -> str:
        """Return in a sentence what was trained, and what the full grid would have cost."""
        a = self.data.attrs
        each = f"{self.map['seeds']} network{'s' if self.map['seeds'] > 1 else ''} each"
        steps = np.format_float_positional(
            100 * a["steps_trained"] / max(a["steps_full"], 1.0), precision=2, fractional=False, trim="-"
        )
        return (
            f"{a['cells']:,} of {a['cells_full']:,} places, {a['networks_trained']:,} networks; all places with "
            f"{each} would be {a['networks_full']:,}, so {steps} % of their steps"
        )

    def boundary(self) -> str:
        """Return in a few words how well the boundary is known."""
        if self.data.sizes["crossing"]:
            return f"held between places {self.width():.2g} of an axis apart (median)"
        return "none found" if len(self.shares()) < 2 else "not followed down to neighbouring places: give more cells"

    def certain(self) -> str:
        """Return in a sentence how many trained places have a phase that is known, and what more networks could do."""
        d, confidence, seeds = self.data, self.map["confidence"], self.map["seeds"]
        known = int((d.sampled & (d.certainty >= confidence)).sum())
        text = f"{known:,} of {int(d.sampled.sum()):,} trained places with {100 * confidence:g} % confidence"
        best = 1 - 0.5 ** (seeds + 1)  # what certainty is where all networks agree
        agreeing = f"{seeds} networks that agree are" if seeds > 1 else "1 network is"
        return text if best >= confidence else f"{text}: {agreeing} worth {100 * best:.4g} %, so give more seeds"

    def figures(self) -> Sequence[Figure]:
        """Return the map, and how many networks each place took, as building blocks."""
        d, (x, y) = self.data, (axis_of(self.map[axis]) for axis in ("x", "y"))
        xs, ys = d[self.map["x"]["name"]].values, d[self.map["y"]["name"]].values
        seen = [str(name) for name in d.of_phase.values]
        kept = len(seen) - (seen[-1] == "no value" and not (d.phase == len(seen) - 1).any().item())
        edges = ["boundary_x", "boundary_y", "boundary_low", "boundary_high"]
        phases = PhaseMap(
            words(self.map["order"]), x, y, xs, ys, d.phase.values, seen[:kept], d.sampled.values, d.uncertain.values,
            np.stack([d[name].values for name in edges], axis=1), d.boundary_along.values,
        )  # fmt: skip
        panels: list[PhaseMap | HeatMap] = [phases]
        measured = np.isfinite(d.value.values)
        if measured.any():
            missing = UNTRAINED if (measured | ~d.sampled.values).all() else f"{UNTRAINED}, or no finite value"
            panels.append(
                HeatMap("measured", x, y, xs, ys, d.value.values, f"median {words(self.map['order'])}", missing=missing)
            )
        spent = np.where(d.networks.values > 0, d.networks.values, np.nan).astype(float)
        panels.append(
            HeatMap("where networks were trained", x, y, xs, ys, spent, "networks per place", missing=UNTRAINED)
        )
        held = ", ".join(
            f"{words(name)} {value if isinstance(value, str | bool) else f'{value:g}'}"
            for name, value in self.map["held"].items()
        )
        caption = f"{self.cost()}. Known: {self.certain()}. Boundary: {self.boundary()}."
        return (Figure("map", self.title, caption + (f" Held: {held}." if held else ""), panels),)

    def diagrams(self) -> Sequence[Diagram]:
        """Return what a page lets readers explore: phases, the median of the order parameter, networks trained."""
        d, (x, y) = self.data, (str(self.map[axis]["name"]) for axis in ("x", "y"))
        axes = {name: d[name].values.tolist() for name in (y, x)}
        values = d.value.transpose(y, x).values[..., None]
        networks = np.where(d.networks.transpose(y, x).values > 0, d.networks.transpose(y, x).values, np.nan)[..., None]
        phases = d.phase.transpose(y, x).values.astype(float)[..., None]
        names = [str(name) for name in d.of_phase.values]
        recorded = [
            Recorded("phase", "", phases, words=names),
            Recorded(str(self.map["order"]), "", values),
            Recorded("networks per place", "", networks),
        ]
        return [Diagram(self.title, axes, [0], [q for q in recorded if np.isfinite(q.values).any()])]

    @property
    def data_path(self) -> Path | None:
        """The file that holds ``data``, if the map is kept."""
        return self.directory / "results.safetensors" if self.directory else None

    def summary(self, *, details: bool = False) -> str:
        """Return phases, boundary and cost as the terminal shows them."""
        shares = ", ".join(f"{name} {100 * share:.3g} %" for name, share in self.shares().items())
        return f"phases   {shares}\nknown    {self.certain()}\nboundary {self.boundary()}\ncost     {self.cost()}"

    def findings(self) -> dict[str, Any]:
        """Return the map as ``--json`` has it: what was asked for, the phases' fractions, the boundary, the cost."""
        names = ("x", "y", "low", "high", "along")
        edges = [self.data[f"boundary_{name}"].values.tolist() for name in names]
        crossings = [dict(zip(names, values, strict=True)) for values in zip(*edges, strict=True)]
        cost = {name: value for name, value in self.data.attrs.items() if name not in ("x", "y", "order")}
        return {"map": dict(self.map), "phases": self.shares(), "boundary": crossings, "cost": cost}

    def __str__(self) -> str:
        kept = f"\nkept in {self.directory}" if self.directory else ""
        return f"{self.title}\n{self.summary()}{kept}"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def words(name: str) -> str:
    """Return a knob's or a reading's name as words."""
    return name.replace("_", " ")


def axis_of(span: Mapping[str, Any]) -> Axis:
    """Return the figure's axis of a span."""
    return Axis(words(span["name"]), "log" if span["scale"] == "log" else "linear")
