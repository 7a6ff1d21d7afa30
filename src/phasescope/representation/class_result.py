"""What the planes found: the dimension at which they meet each class beside that of the null, as table and figure."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from phasescope.errors import aligned, sentence
from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.representation.class_curves import Found, logistic
from phasescope.representation.class_planes import Planes, Target
from phasescope.verdict.numbers import pack
from phasescope.vocabulary import Array

if TYPE_CHECKING:
    import xarray as xr

ALL = "all"
NOT_REACHED, APART, ALIKE, BEYOND, ALONE = "not reached", "below null", "like null", "above null", "-"
SURE = 0.025
"""How often a resample may be on the other side of the null."""


@dataclass(frozen=True)
class ClassDimension:
    """What ``ps.class_dimension`` returns; prints as a table, and ``data`` has all of it.

    ``data``: "probability" and "moved" (target, d, repeat), best probability in each plane (d = 0 is the start) and the
    way to it over the distance between two inputs, with "null_probability" of the null. Of each ``row``, a target or
    "all" (the mean over targets): "dimension" d*, "dimension_error", "dimension_low" and "dimension_high", between
    which 95 % of resamples of the planes lie (inf where they reach the level nowhere), "fitted", "effective" = D - d*,
    "null_dimension" with the same three, and "verdict": "below null" where planes meet the class at fewer dimensions
    than they meet the null's, in all but 2.5 % of resamples of the planes, "above null", "like null", or "not reached".
    Attributes: size D, level, steps, rate, seed, scale, and "null_gain", by which the null's logits were multiplied.
    """

    data: xr.Dataset

    @property
    def dimension(self) -> float:
        """The dimension d* at which the mean over all targets passes the level; NaN where it never does."""
        return float(self.data.dimension.sel(row=ALL))

    def summary(self) -> str:
        """Return in one sentence at which dimension random planes meet the classes."""
        whole, one = self.data.attrs, self.data.sel(row=ALL)
        if math.isnan(self.dimension):
            top = int(self.data.d.values[-1])
            return f"{whole['model']}: no plane of up to {top:,} dimensions reaches {whole['level']:g} on average"
        at = f"{_pm(one, 'dimension')} of {whole['size']:,} dimensions"
        said = f"{whole['model']}: random planes of {at} meet a class"
        if "null_dimension" not in self.data:
            return said
        null = float(one.null_dimension)
        at = "not at all" if math.isnan(null) else f"at {_pm(one, 'null_dimension')}"
        return f"{said}, those of the null {at}"

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Return header and rows: one row for each target, and one for all."""
        null = "null_dimension" in self.data
        header = ["target", "d* ± error", "95 %", "logistic", "D - d*", "moved", *(["null", "verdict"] if null else [])]
        rows = []
        for row in self.data.row.values:
            one = self.data.sel(row=row)
            numbers = [_number(float(one[name])) for name in ("fitted", "effective", "way")]
            cells = [str(row), _pm(one, "dimension"), _between(one, "dimension"), *numbers]
            rows.append(cells + ([_pm(one, "null_dimension"), str(one.verdict.values)] if null else []))
        return header, rows

    def __str__(self) -> str:
        whole = self.data.attrs
        count = self.data.sizes["target"] * self.data.sizes["repeat"] * (self.data.sizes["d"] - 1)
        words = [
            f"{count:,} planes in {whole['size']:,} dimensions, {whole['steps']} steps each, seed {whole['seed']}.",
            f"d*: the dimension of random planes at which the best probability is {whole['level']:g} on average; "
            "logistic: by a fit.",
            "moved: the way to the best point at the plane nearest d*, in distances between two inputs.",
        ]
        if "null_dimension" in self.data:
            words.append(f"null: its logits are taken {whole['null_gain']:.3g} times.")
        return "\n".join([*words, "", *aligned(*self.table()), "", f"{sentence(self.summary())}."])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """Return everything but the single planes as plain data for JSON: None where there is no reading."""
        mean = self.data.probability.mean("repeat")
        rows = []
        for row in self.data.row.values:
            one = self.data.sel(row=row)
            numbers = {str(n): pack(float(one[n])) for n in one.data_vars if one[n].ndim == 0 and n != "verdict"}
            rows.append({"target": str(row), **numbers, "verdict": str(one.verdict.values)})
        whole = {key: pack(x) if isinstance(x, float) else x for key, x in self.data.attrs.items()}
        curves = {str(t): [pack(float(x)) for x in mean.sel(target=t).values] for t in self.data.target.values}
        return {**whole, "summary": self.summary(), "rows": rows, "dims": self.data.d.values.tolist(), "curves": curves}

    def figure(self) -> Figure:
        """Return the picture: the best probability over the dimension of planes, and d* of each target."""
        d = self.data.d.values[1:].astype(float)
        lines = [_curve("module", d, self.data.probability.values[:, 1:], "measured")]
        if "null_probability" in self.data:
            lines.append(_curve("null", d, self.data.null_probability.values[:, 1:], "control"))
        a, b, c, k = self.data.logistic.sel(row=ALL).values
        if math.isfinite(a):
            fine = np.geomspace(d[0], d[-1], 120)
            lines.append(Line("logistic in ln d", fine, logistic(np.log(fine), a, b, math.log(c), k), role="theory"))
        across = Axis("dimension of the plane", "log" if len(d) > 1 else "linear")
        marks = [] if math.isnan(self.dimension) else [(self.dimension, "d*")]
        panels = [Curves("All targets", across, Axis("best probability", limits=(-0.02, 1.02)), lines, marks)]
        own = self.data.isel(row=slice(0, -1))
        there = np.isfinite(own.dimension.values)
        if there.sum() > 1:
            x, y = np.arange(len(there), dtype=float)[there], own.dimension.values[there]
            low, high = own.dimension_low.values[there], own.dimension_high.values[there]
            points = Line("module", x, y, low, np.minimum(high, self.data.attrs["size"]), joined=False)
            panels.append(Curves("Each target", Axis("target, in the order of the table"), Axis("d*"), [points]))
        caption = f"{sentence(self.summary())}. Bands are two standard errors over planes; of d*, 95 %."
        return Figure("class-dimension", f"Where random planes meet the classes of {self.data.attrs['model']}", caption,
                      panels)  # fmt: skip


def gathered(planes: Planes, found: Found, level: float, gain: float, name: str) -> ClassDimension:
    """Return the result of these planes."""
    import xarray as xr

    targets = [words(target) for target in planes.targets]
    three = ("target", "d", "repeat")
    read = found.read
    columns: dict[str, Any] = {
        "probability": (three, found.climb.probability, {"unit": "1", "source": "arXiv:2210.05546"}),
        "moved": (three, found.climb.moved, {"unit": "distance between two inputs"}),
        "dimension": ("row", read.dimension, {"unit": "dimensions", "source": "arXiv:2210.05546, d* at the level"}),
        "dimension_error": ("row", read.error, {"unit": "dimensions"}),
        "dimension_low": ("row", read.low, {"unit": "dimensions"}),
        "dimension_high": ("row", read.high, {"unit": "dimensions"}),
        "fitted": ("row", read.fitted, {"unit": "dimensions", "source": "the authors' notebook, logistic in ln d"}),
        "effective": ("row", planes.size - read.dimension, {"unit": "dimensions"}),
        "way": ("row", _ways(found, [0, *planes.dims]), {"unit": "distance between two inputs"}),
        "logistic": (("row", "parameter"), read.logistic),
    }
    if found.null is not None and found.null_read is not None:
        columns["null_probability"] = (three, found.null.probability, {"unit": "1"})
        null = found.null_read
        parts = {"": null.dimension, "_error": null.error, "_low": null.low, "_high": null.high}
        columns |= {f"null_dimension{part}": ("row", values, {"unit": "dimensions"}) for part, values in parts.items()}
    columns["verdict"] = ("row", _verdicts(found))
    attrs = {
        "model": name, "size": planes.size, "level": level, "steps": planes.steps, "rate": planes.rate,
        "scale": planes.scale, "classes": planes.classes, "seed": planes.seed, "null_gain": gain,
    }  # fmt: skip
    coords = {"target": targets, "d": [0, *planes.dims], "repeat": np.arange(planes.repeats), "row": [*targets, ALL],
              "parameter": list("abck")}  # fmt: skip
    return ClassDimension(xr.Dataset(columns, coords, attrs))


def words(target: Target) -> str:
    """Return the name of a target: its class, or its classes with a slash between."""
    return "/".join(map(str, target))


def _ways(found: Found, dims: Sequence[int]) -> Array:
    """Return the median way to the best point, at the plane whose dimension is nearest d*, of each row."""
    ways = []
    every = np.concatenate(list(found.climb.moved), axis=1)
    for own, at in zip([*found.climb.moved, every], found.read.dimension, strict=True):
        near = int(np.argmin(abs(np.log1p(dims) - math.log1p(at)))) if math.isfinite(at) else -1
        ways.append(float(np.median(own[near])) if near >= 0 else math.nan)
    return np.array(ways)


def _verdicts(found: Found) -> list[str]:
    said = []
    for i, at in enumerate(found.read.dimension):
        if math.isnan(at):
            said.append(NOT_REACHED)
        elif found.null_read is None:
            said.append(ALONE)
        else:
            own, null = found.read.drawn[:, i], found.null_read.drawn[:, i]
            # planes that neither reaches say nothing
            below, above = np.mean(~(own < null)), np.mean(~(own > null))
            said.append(APART if below <= SURE else BEYOND if above <= SURE else ALIKE)
    return said


def _curve(label: str, d: Array, probability: Array, role: Any) -> Line:
    """Return the mean over targets and planes, with two standard errors over the planes of each target."""
    mean = probability.mean((0, 2))
    error = 2 * np.sqrt((probability.var(2, ddof=1) / probability.shape[2]).mean(0) / len(probability))
    return Line(label, d, mean, np.clip(mean - error, 0, 1), np.clip(mean + error, 0, 1), role=role)


def _pm(one: xr.Dataset, name: str) -> str:
    value, error = float(one[name]), float(one[f"{name}_error"])
    if math.isnan(value):
        return "-"
    return f"{_number(value)} ± {_number(error)}" if math.isfinite(error) else f"{_number(value)} ± ?"


def _between(one: xr.Dataset, name: str) -> str:
    low, high = float(one[f"{name}_low"]), float(one[f"{name}_high"])
    if math.isinf(low):
        return "-"
    return f"from {_number(low)}" if math.isinf(high) else f"{_number(low)} to {_number(high)}"


def _number(x: float) -> str:
    return "-" if math.isnan(x) else f"{x:.2f}" if abs(x) < 10 else f"{x:.1f}"
