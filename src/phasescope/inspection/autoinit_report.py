"""What AutoInit found and did: before and after of each block, as text, HTML, dataset and figure."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.inspection.autoinit_jacobians import Found, Goal
from phasescope.vocabulary import Array

HEADINGS = ("block", "J before", "J after", "kernel before", "kernel after", "scales", "")


@dataclass(frozen=True)
class AutoInit:
    """The report of ``autoinit``: n pairs of adjacent places, the first of which begins at the input.

    ``places`` (n+1,) names; ``before`` and ``after`` hold J (n,), its standard error, and the mean squares (n+1,) of
    the signal; ``scales`` parameter name -> the factor multiplied into it; ``goal`` what was asked of each pair;
    ``history`` (steps+1, n) J along the way, of which step ``best`` was kept; ``converged`` and ``reason``; ``frozen``
    the parameters that were not to be scaled.
    """

    places: tuple[str, ...]
    before: Found
    after: Found
    scales: Mapping[str, float]
    goal: Goal
    history: Array
    best: int
    converged: bool
    reason: str
    frozen: tuple[str, ...]

    @property
    def steps(self) -> int:
        """The steps that were taken to the scales that were kept."""
        return self.best

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the cells of the table, one row per pair."""
        for row, name in enumerate(self.places[1:]):
            own = [f"{a:.3g}" for key, a in self.scales.items() if key.startswith(name.split("#")[0] + ".")]
            note = "free" if self.goal.free[row] else "kept" if self.goal.kept[row] else ""
            note = "skip" if self.goal.bounded[row] else note
            note = note if self.goal.met(self.after.jacobians, 3 * self._error())[row] else "off"
            js = [f"{f.jacobians[row]:.3g} ± {f.error[row]:.1g}" for f in (self.before, self.after)]
            yield (name, *js, *(f"{f.kernels[row + 1]:.3g}" for f in (self.before, self.after)), " ".join(own), note)

    def _error(self) -> Array:
        return np.asarray(self.after.error / np.maximum(self.after.jacobians, 1e-300))

    @property
    def summary(self) -> str:
        """One sentence: whether it converged, in how many steps, why or why not."""
        with np.errstate(divide="ignore"):
            before, after = (float(np.log(f.jacobians).sum()) for f in (self.before, self.after))
        done = f"{'converged' if self.converged else 'did not converge'} in {self.steps} steps: {self.reason}."
        frozen = f" Left alone, being frozen: {', '.join(self.frozen)}." if self.frozen else ""
        sums = f"Sum of log J over {len(self.places) - 1} blocks: {before:.3g} before, {after:.3g} after."
        return f"AutoInit {done} {sums}{frozen}"

    def __str__(self) -> str:
        table = [HEADINGS, *self.rows()]
        widths = [max(len(row[i]) for row in table) for i in range(len(HEADINGS))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]
        return "\n".join([*lines, self.summary])

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            styled = (f"<{tag} style='text-align:left'>{html.escape(cell)}</{tag}>" for cell in cells)
            return f"<tr>{''.join(styled)}</tr>"

        body = "".join(line(row, "td") for row in self.rows())
        return f"<table>{line(HEADINGS, 'th')}{body}</table><p>{html.escape(self.summary)}</p>"

    def to_dataset(self) -> xr.Dataset:
        """Return J before, after and along the steps, kernels, targets and scales as one labelled dataset."""
        source = {"source": "He et al. 2022, arXiv:2206.13568", "units": "1"}
        ends = list(self.places[1:])
        data = xr.Dataset(coords={"block": ends, "place": list(self.places), "step": range(len(self.history))})
        for name, found in (("before", self.before), ("after", self.after)):
            data[f"jacobian_{name}"] = ("block", found.jacobians, source)
            data[f"jacobian_{name}_error"] = ("block", found.error, source)
            data[f"kernel_{name}"] = ("place", found.kernels, source)
        data["jacobian"] = (("step", "block"), self.history, source)
        data["target"] = ("block", np.exp(self.goal.target), source)
        data["scale"] = ("parameter", np.array(list(self.scales.values())), source)
        data.attrs = {"converged": int(self.converged), "reason": self.reason, "best_step": self.best}
        return data.assign_coords(parameter=list(self.scales))

    def figure(self) -> Figure:
        """Return a figure: J of each block before and after, and the largest |log J - target| along the steps."""
        x = np.arange(1, len(self.places), dtype=float)

        def line(label: str, found: Found, role: str) -> Line:
            j, e = found.jacobians, 2 * found.error
            return Line(label, x, j, np.maximum(j - e, j / 10), j + e, role)  # type: ignore[arg-type]

        wanted = Line("target", x, np.exp(self.goal.target), role="theory")
        profile = Curves(
            "per block", Axis("block"), Axis("Jacobian norm J of the block", "log"),
            [line("before", self.before, "control"), line("after", self.after, "measured"), wanted],
        )  # fmt: skip
        missed = np.array([np.abs(self.goal.distance(j)).max() for j in self.history])
        descent = Curves(
            "along the steps", Axis("step"), Axis("largest |log J - target|", "log"),
            [Line("AutoInit", np.arange(len(missed), dtype=float), missed)],
        )  # fmt: skip
        return Figure("autoinit", "Jacobians between adjacent blocks, tuned", self.summary, [profile, descent])
