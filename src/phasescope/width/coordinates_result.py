"""What a coordinate check found: a table of slopes with words, one verdict, and a picture."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from phasescope.errors import aligned
from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.vocabulary import Array
from phasescope.width.slopes import Slope, Word

if TYPE_CHECKING:
    import xarray as xr

HEADER = ("layer", "size at the start", "change", "wider half", "verdict")
WORDS = (
    "Slopes d log / d log width over seeds: of a layer's root mean square at the start, and of what training added.",
    "0: the same at every width. Only the output may vanish at the start.",
)
REGIMES = {
    "flat": "every layer changes alike at every width: the network learns features however wide it is",
    "grows": "something grows with width: at this learning rate a network that is wide enough diverges",
    "vanishes": "nothing grows, and changes vanish with width: wide networks do not learn features there",
    "undecided": "the intervals do not tell; give more seeds or wider networks",
}


@dataclass(frozen=True)
class Row:
    """One layer: slopes of its size at the start and of its change; ``still``: it never changed."""

    layer: str
    start: Slope
    change: Slope
    still: bool = False
    output: bool = False

    @property
    def verdict(self) -> Word:
        """What the two slopes say together; "-" for a layer that nothing changes."""
        if self.still:
            return "-"
        words = (self.start.word, self.change.word)
        if "grows" in words:
            return "grows"
        start_vanishes = self.start.word == "vanishes" and not self.output
        if start_vanishes or self.change.word == "vanishes":
            return "vanishes"
        fits = self.start.word in ("flat", "-") or self.output
        return "flat" if fits and self.change.word == "flat" else "undecided"


@dataclass(frozen=True)
class CoordinateCheck:
    """What ``ps.coordinate_check`` returns; prints as a table.

    ``rows``: a slope of each layer's size at the start and of its change after ``step`` steps, the last after which all
    networks are finite; ``lost`` of them are not to the end. ``data``: ``size`` and ``change`` (width, seed, step,
    layer). ``control``: the check of what ought to fail, or None.
    """

    rows: tuple[Row, ...]
    data: xr.Dataset
    step: int
    lost: int
    control: CoordinateCheck | None = None

    def beside(self, control: CoordinateCheck) -> CoordinateCheck:
        """Return this check with a control."""
        return replace(self, control=control)

    @property
    def own(self) -> Word:
        """The verdict by the slopes alone, without a look at the control."""
        words = [row.verdict for row in self.rows if row.verdict != "-"]
        if not words or self.step < 1:
            return "undecided"
        for word in ("grows", "vanishes", "undecided"):
            if word in words:
                return word
        return "flat"

    @property
    def verdict(self) -> Word:
        """ "flat" if every layer is, else what is worst; "undecided" where the control is flat too."""
        passes = self.own == "flat" and self.control is not None and self.control.own == "flat"
        return "undecided" if passes else self.own

    @property
    def regime(self) -> str:
        """ "feature learning", "kernel", "trivial", "unstable" or "undecided", as Yang and Hu 2021 part them.

        By the slopes at the last step: all layers change alike; only the output does; nothing does; something grows.
        """
        if self.own == "flat":
            return "feature learning"
        if self.own in ("grows", "undecided"):
            return "unstable" if self.own == "grows" else "undecided"
        changed = [row for row in self.rows if not row.still]
        inner, last = [row.change.word for row in changed if not row.output], self.rows[-1].change.word
        if inner and all(word == "vanishes" for word in inner):
            return {"flat": "kernel", "vanishes": "trivial"}.get(last, "undecided")
        return "feature learning" if inner and inner[-1] == last == "flat" else "undecided"

    def slope(self, layer: str) -> Slope:
        """Return the slope of the change of a layer by name. Raises ``KeyError`` for a name that is not there."""
        return {row.layer: row.change for row in self.rows}[layer]

    def summary(self) -> str:
        """Return the verdict in one sentence."""
        a = self.data.attrs
        widths = self.data.width.values
        lost = f"; {self.lost} networks were not finite at the end, and slopes are those after step {self.step}"
        if self.step < 0:
            lost = f"; {self.lost} networks were not finite before the first step, so there is nothing to compare"
        said = REGIMES[self.own]
        if self.control is not None:
            rival = self.control
            passes = self.own == "flat" and rival.own == "flat"
            told = "so this check tells nothing" if passes else f"regime: {rival.regime}"
            said += f"; the control, {rival.data.attrs['name']} as {rival.data.attrs['parametrization']}: {rival.own}"
            said += f" ({told})"
        return (
            f"{self.verdict}: {a['name']} ({a['parametrization']}, {a['optimizer']}) over widths {widths[0]} to "
            f"{widths[-1]}: {said}{lost if self.lost else ''}"
        )

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Return header and rows as text."""
        return HEADER, [
            [
                row.layer, str(row.start), "none" if row.still else str(row.change),
                "-" if not np.isfinite(row.change.wide) else f"{row.change.wide:+.2f}", row.verdict,
            ]
            for row in self.rows
        ]  # fmt: skip

    def _lines(self) -> list[str]:
        return aligned(*self.table())

    def __str__(self) -> str:
        control = ["", f"Control: {self.control.data.attrs['name']}", *self.control._lines()] if self.control else []
        return "\n".join([*WORDS, "", *self._lines(), *control, "", f"{self.summary()}."])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """Return verdicts and slopes as plain data for strict JSON: None where there is no number."""
        rows = [
            {
                "layer": row.layer, "start": row.start.to_json(), "change": row.change.to_json(), "still": row.still,
                "verdict": row.verdict,
            }
            for row in self.rows
        ]  # fmt: skip
        control = None if self.control is None else self.control.to_json()
        return {
            **{name: self.data.attrs[name] for name in self.data.attrs}, "widths": self.data.width.values.tolist(),
            "verdict": self.verdict, "regime": self.regime, "step": self.step, "lost": self.lost, "rows": rows,
            "summary": self.summary(), "control": control,
        }  # fmt: skip

    def figure(self) -> Figure:
        """Return panels: change of each layer over width, of the check and of its control, with 95 % bands."""
        checks = [self] if self.control is None else [self, self.control]
        panels = [check._panel("change", check.step) for check in checks] + [self._panel("size", 0)]
        return Figure("width", f"Change with width: {self.own}", f"{self.summary()}.", panels)

    def _panel(self, name: str, step: int) -> Curves:
        from scipy import special

        a, widths = self.data.attrs, self.data.width.values.astype(float)
        lines = []
        for i, layer in enumerate(self.data.layer.values):
            values = self.data[name].values[:, :, max(step, 0), i]
            if not (np.isfinite(values).all() and (values > 0).all()):
                continue
            logs: Array = np.log(values)
            half = special.stdtrit(values.shape[1] - 1, 0.975) * logs.std(1, ddof=1) / np.sqrt(values.shape[1])
            mean = logs.mean(1)
            lines.append(Line(str(layer), widths, np.exp(mean), np.exp(mean - half), np.exp(mean + half)))
        what = f"change after {step} steps" if name == "change" else "size at the start"
        title = f"{a['parametrization']}: {self.own}" if name == "change" else "At the start"
        return Curves(title, Axis("width", "log"), Axis(what, "log"), lines)
