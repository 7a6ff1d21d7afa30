"""What ``ps.evaluate`` found: a table of models, scenarios and metrics, win rates, and pairs on the same items."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from phasescope.ensemble import streams
from phasescope.errors import aligned, one_line
from phasescope.evaluation.pairs import Paired, paired, paired_passages
from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.vocabulary import Array, BadInput, nearest

if TYPE_CHECKING:
    import xarray as xr

METRICS = {
    "accuracy": "1", "acc_norm": "1", "ece": "1", "confident": "1", "selective": "1", "robustness": "1",
    "bits_per_byte": "bits/byte", "seconds_per_token": "s", "flops_per_token": "operations", "memory": "bytes",
}  # fmt: skip
"""The metrics by name, with their units."""
CHOICES = ("accuracy", "acc_norm", "ece", "confident", "selective", "robustness")
ITEMWISE = {"accuracy": "correct", "acc_norm": "correct_norm", "robustness": "worst", "bits_per_byte": "bits"}
COLUMNS = {
    "accuracy": "accuracy", "acc_norm": "norm", "ece": "ECE", "confident": "top 10%", "selective": "select.",
    "robustness": "robust", "bits_per_byte": "bits/byte", "seconds_per_token": "ms/token",
}  # fmt: skip
SHORT = 14  # letters of a model's name in the table
RESAMPLES, CHUNK = 1000, 500_000  # of the bootstrap; items at a time


@dataclass(frozen=True)
class Compared:
    """One model less another on the same items: ``rows`` scenario -> ``Paired``, ``at_chance`` those that do not count.

    ``pooled`` is over the items of all scenarios that count, None where there is none.
    """

    first: str
    second: str
    metric: str
    rows: dict[str, Paired]
    at_chance: tuple[str, ...]
    pooled: Paired | None

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows: difference with interval, disagreements, and items that 0.05 needs."""
        header = ["scenario", f"{self.metric}, first less second", "n", "disagree", "p", "items for 0.05"]
        rows = [[name, *_cells(found, counts=name not in self.at_chance)] for name, found in self.rows.items()]
        if self.pooled is not None and len(self.rows) - len(self.at_chance) > 1:
            rows.append(["all that count", *_cells(self.pooled, counts=True)])
        return header, rows

    def words(self, found: Paired) -> str:
        """Say what was found for one of the comparisons: fewer bits per byte are better, so that is said of them."""
        more = "needs more bits per byte than" if self.metric == "bits_per_byte" else "is above"
        return found.words(self.first, self.second, more=more)

    def __str__(self) -> str:
        said = [f"{one_line(self.first)} less {one_line(self.second)}, on the same items; each interval by itself 95 %"]
        said += aligned(*self.table())
        if self.pooled is not None:
            said.append(f"{self.words(self.pooled)}.")
        return "\n".join(said)


def _cells(found: Paired, *, counts: bool) -> list[str]:
    if not counts:
        return ["at chance", str(found.n), "", "", ""]
    split = found.only_first + found.only_second
    needed, p = found.needed(0.05), found.p_value
    said = "-" if math.isnan(needed) else f"{needed:,.0f}"
    return [
        f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]", str(found.n),
        "-" if math.isnan(split) else f"{split:.0f}", "-" if math.isnan(p) else f"{p:.2g}", said,
    ]  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """What ``ps.evaluate`` returns; prints as a table, and ``data`` has all of it.

    ``data`` (model, scenario, metric, draw): ``value`` with ``error``, the standard error over items; ``chance``,
    ``null`` (accuracy with shuffled answers), ``above_chance``, ``items``, ``ece_floor``, and ``why`` a cell is empty.
    ``scores``: scenario -> the scores of single items (model, draw, item).
    """

    data: xr.Dataset
    scores: dict[str, xr.Dataset]

    @property
    def models(self) -> list[str]:
        """The names of the models; the first is the reference."""
        return [str(name) for name in self.data.model.values]

    def counted(self, metric: str = "accuracy") -> list[str]:
        """Return the scenarios that count: where ``metric`` is defined and the reference is above chance."""
        texts = metric == "bits_per_byte"
        names = [str(name) for name in self.data.scenario.values]
        return [n for n in names if ("bits" in self.scores[n]) == texts and (texts or self._above(n))]

    def _above(self, scenario: str) -> bool:
        return bool(self.data.above_chance.sel(scenario=scenario, model=self.models[0]))

    def compare(self, first: str, second: str, scenario: str | None = None, metric: str = "accuracy") -> Compared:
        """Return ``first`` less ``second`` in ``metric`` on the same items, scenario by scenario and pooled.

        ``metric``: accuracy, acc_norm, robustness or bits_per_byte. A scenario in which the reference model is not
        above chance by its interval is at chance and does not count. Raises ``BadInput`` for names that are not there.
        """
        for name in (first, second):
            if name not in self.models:
                raise BadInput(f"there is no model {name!r}{nearest(str(name), self.models)}")
        names = self._defined(metric) if scenario is None else [scenario]
        known = self._defined(metric)
        if not set(names) <= set(known):
            raise BadInput(f"there is no scenario {scenario!r} with {metric}{nearest(str(scenario), known)}")
        rows = {name: self._paired(first, second, [name], metric) for name in names}
        counted = [name for name in names if name in self.counted(metric)]
        pooled = self._paired(first, second, counted, metric) if counted else None
        return Compared(first, second, metric, rows, tuple(n for n in names if n not in counted), pooled)

    def _defined(self, metric: str) -> list[str]:
        if metric not in ITEMWISE:
            raise BadInput(f"{metric!r} has no score of single items{nearest(str(metric), ITEMWISE)}")
        texts = metric == "bits_per_byte"
        found = [str(n) for n in self.data.scenario.values if ("bits" in self.scores[str(n)]) == texts]
        if metric == "robustness" and any(np.isnan(self.scores[n].worst).all() for n in found):
            raise BadInput("robustness was not measured: name it among the metrics of ps.evaluate.")
        if not found:
            raise BadInput(f"no scenario has {metric}: evaluate one {'that is a text' if texts else 'with choices'}.")
        return found

    def _paired(self, first: str, second: str, names: Sequence[str], metric: str) -> Paired:
        def column(model: str, field: str) -> Array:
            parts = [self.scores[n][field].sel(model=model).mean("draw").values for n in names]
            return np.concatenate(parts)

        if metric == "bits_per_byte":
            return paired_passages(*(column(m, f) for m in (first, second) for f in ("bits", "sizes")))
        return paired(*(column(model, ITEMWISE[metric]) for model in (first, second)))

    def win_rates(self, metric: str = "accuracy") -> dict[str, tuple[float, float, float]]:
        """Return of each model its mean win rate with a 95 % bootstrap interval over items; NaN with nothing to count.

        The share of the other models that a model is better than in a scenario (half where equal), averaged over the
        scenarios that count (Liang et al. 2022, arXiv:2211.09110, place not checked). ``metric`` as in ``compare``.
        """
        self._defined(metric)
        names, count = self.counted(metric), len(self.models)
        if count < 2 or not names:
            return dict.fromkeys(self.models, (math.nan, math.nan, math.nan))
        rates, drawn = [], []
        for name in names:
            scores = self.scores[name].mean("draw")
            some = streams(int(self.data.attrs["seed"]))(f"bootstrap of wins in {name}")
            n = self.scores[name].sizes["item"]
            means = _means(scores, metric, np.arange(n)[None])
            step = max(1, CHUNK // n)
            for begin in range(0, RESAMPLES, step):
                rows = some.integers(n, size=(min(step, RESAMPLES - begin), n))
                means = np.concatenate([means, _means(scores, metric, rows)], 1)
            wins = [sum((a > b) + 0.5 * (a == b) for k, b in enumerate(means) if k != i) for i, a in enumerate(means)]
            rates.append(np.array(wins)[:, 0] / (count - 1))
            drawn.append(np.array(wins)[:, 1:] / (count - 1))
        value, (low, high) = np.mean(rates, 0), np.quantile(np.mean(drawn, 0), [0.025, 0.975], axis=1)
        return {m: (float(value[i]), float(low[i]), float(high[i])) for i, m in enumerate(self.models)}

    def cell(self, model: str, scenario: str, metric: str) -> tuple[float, float]:
        """Return a value and its standard error over items, both means over draws."""
        one = self.data.sel(model=model, scenario=scenario, metric=metric)
        return float(one.value.mean()), float(one.error.mean())

    def blocks(self) -> list[tuple[str, list[str], list[list[str]], list[str]]]:
        """Return of each scenario a title, header and rows (one for each model), and why cells are empty."""
        shown = [metric for metric in COLUMNS if metric in self.data.metric.values]
        found = []
        for name in map(str, self.data.scenario.values):
            one = self.data.sel(scenario=name)
            rows = [[_short(m), *(self._cell(m, name, metric) for metric in shown)] for m in self.models]
            reasons: dict[str, list[str]] = {}
            for metric in shown:
                if str(one.why.sel(metric=metric).values):
                    reasons.setdefault(str(one.why.sel(metric=metric).values), []).append(COLUMNS[metric])
            why = [f"- {reason} ({', '.join(columns)})" for reason, columns in reasons.items()]
            if "bits" not in self.scores[name] and not self._above(name):
                why.append(f"at chance: {_short(self.models[0])} is not above it by its interval; it does not count")
            found.append((self._title(name), ["model", *(COLUMNS[m] for m in shown)], rows, why))
        return found

    def _title(self, name: str) -> str:
        one = self.data.sel(scenario=name, model=self.models[0])
        said = f"{one_line(name)}: {int(one['items'])} items"
        if "bits" in self.scores[name]:
            return said.replace("items", "passages")
        floor = "" if math.isnan(float(one.ece_floor)) else f", ECE if calibrated {float(one.ece_floor):.3f}"
        return f"{said}, chance {float(one.chance):.3f}, shuffled answers {float(one.null):.3f}{floor}"

    def _cell(self, model: str, scenario: str, metric: str) -> str:
        value, error = self.cell(model, scenario, metric)
        if math.isnan(value):
            return "-"
        if metric == "seconds_per_token":
            return f"{1000 * value:.3g}"
        return f"{value:.3f}±{error:.3f}" if metric in ("accuracy", "bits_per_byte") else f"{value:.3f}"

    def models_table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows, one for each model: its costs and its mean win rate."""
        kept = self.data.isel(scenario=0, draw=0)
        header, rows = ["model"], [[_short(m)] for m in self.models]
        for metric, title, unit in (("flops_per_token", "MFLOP/token", 1e6), ("memory", "MiB of weights", 2**20)):
            if metric in kept.metric.values:
                header.append(title)
                for row, m in zip(rows, self.models, strict=True):
                    row.append(f"{float(kept.value.sel(model=m, metric=metric)) / unit:.4g}")
        if "accuracy" in kept.metric.values and any("correct" in one for one in self.scores.values()):
            header.append("mean win rate [95 %]")
            for row, (value, low, high) in zip(rows, self.win_rates().values(), strict=True):
                row.append("-" if math.isnan(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]")
        return header, rows

    def __str__(self) -> str:
        a = self.data.attrs
        lines = [f"shots {a['shots']}, draws {a['draws']}, seed {a['seed']}; ± one standard error over items", ""]
        for title, header, rows, why in self.blocks():
            lines += [title, *aligned(header, rows), *why, ""]
        header, rows = self.models_table()
        lines += aligned(header, rows) if len(header) > 1 else []
        if header[-1].startswith("mean win"):
            many = len(self.counted())
            lines.append(
                f"win rates: accuracy, over {many} scenario{'s' * (many != 1)} that count, bootstrap over items"
            )
        return "\n".join(lines).rstrip()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """Return everything but the scores of single items as plain data for JSON: None where there is no number."""
        cells = []
        for m in self.models:
            for name in map(str, self.data.scenario.values):
                one = self.data.sel(model=m, scenario=name)
                facts = {key: _plain(float(one[key])) for key in ("chance", "null", "ece_floor", "lowest")}
                facts |= {"items": int(one["items"]), "above_chance": bool(one.above_chance)}
                read = {str(k): [_plain(float(x)) for x in self.cell(m, name, str(k))] for k in one.metric.values}
                cells.append({"model": m, "scenario": name, **facts, "metrics": read})
        has = any("correct" in one for one in self.scores.values())
        wins = {m: [_plain(x) for x in row] for m, row in self.win_rates().items()} if has else {}
        return {**self.data.attrs, "cells": cells, "win_rates": wins}

    def figure(self) -> Figure:
        """Return a panel for each metric over scenarios, one series for each model; bars are two standard errors."""
        names = [str(n) for n in self.data.scenario.values]
        along = Axis("scenario", limits=(-0.5, len(names) - 0.5), names=names)
        panels = []
        for metric in COLUMNS:
            if metric not in self.data.metric.values:
                continue
            lines = []
            for i, m in enumerate(self.models):
                cells = np.array([self.cell(m, n, metric) for n in names])
                there = np.isfinite(cells[:, 0])
                x = (np.arange(len(names)) + 0.04 * (i - (len(self.models) - 1) / 2))[there]
                y, off = cells[there, 0], 2 * np.nan_to_num(cells[there, 1])
                if there.any():
                    lines.append(Line(m, x, y, y - off, y + off, joined=False))
            if lines:
                panels.append(Curves(COLUMNS[metric], along, Axis(f"{metric} ({METRICS[metric]})"), lines))
        return Figure("evaluation", "Models, scenarios, metrics", "Bars are two standard errors over items.", panels)


def _means(scores: xr.Dataset, metric: str, rows: Array) -> Array:
    """Return the metric (models, resamples), larger is better, over the items ``rows`` (resamples, n)."""
    found: Array = scores[ITEMWISE[metric]].values[:, rows]
    if metric == "bits_per_byte":
        return np.asarray(-found.sum(-1) / scores["sizes"].values[:, rows].sum(-1))
    return np.asarray(found.mean(-1))


def _short(name: str) -> str:
    said = one_line(name)
    return said if len(said) <= SHORT else said[: SHORT - 3] + "..."


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
