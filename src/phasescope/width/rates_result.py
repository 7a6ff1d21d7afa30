"""What ``transfer`` found: the best rate of each size with an interval, their spread, and a verdict."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from phasescope.errors import aligned
from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.vocabulary import Array
from phasescope.width.slopes import student

if TYPE_CHECKING:
    import xarray as xr

HEADER = ("best rate", "interval", "octaves from the first", "loss", "at the first's rate")
TRANSFERS, DOES_NOT, UNDECIDED = "transfers", "does not", "undecided"


class Best(NamedTuple):
    """The best rate of one seed: log2 of it, whether it is the first (-1) or the last (1), and what the grid leaves."""

    octave: float
    edge: int
    doubt: float


def best_of(losses: Array, octaves: Array) -> Best:
    """Return where ``losses`` (R,), some infinite, are lowest over ``octaves`` (R,), equally far apart.

    By the parabola through three of them over the rate, which is exact for gradient descent on a quadratic; the doubt
    is half the distance to that over log2 of the rate, or half a distance of the grid where there is no parabola.

    >>> best_of(np.array([16.0, 1.0, 0.0, 4.0]), np.array([0.0, 1.0, 2.0, 3.0])).octave
    2.0
    """
    values = np.where(np.isfinite(losses), losses, np.inf)
    k, step = int(np.argmin(values)), float(octaves[1] - octaves[0])
    if k in (0, len(values) - 1):
        return Best(float(octaves[k]), -1 if k == 0 else 1, step / 2)
    three = values[k - 1 : k + 2]
    if not np.isfinite(three).all() or max(three) == min(three):
        return Best(float(octaves[k]), 0, step / 2)
    over_log = _vertex(octaves[k - 1 : k + 2], three)
    over_rate = octaves[k] + math.log2(_vertex(2.0 ** (octaves[k - 1 : k + 2] - octaves[k]), three))
    return Best(float(over_rate), 0, abs(over_rate - over_log) / 2)


def _vertex(x: Array, y: Array) -> float:
    """Return where the parabola through three points, the middle one the lowest, is lowest: between the others."""
    right, left = (x[1] - x[0]) * (y[2] - y[1]), (x[2] - x[1]) * (y[0] - y[1])
    return float((left * (x[1] + x[2]) + right * (x[0] + x[1])) / (2 * (left + right)))


class Spread(NamedTuple):
    """The largest difference between the best rates of two sizes, in octaves, with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RateTransfer:
    """What ``ps.transfer`` returns; prints as a table.

    ``data``: ``loss`` (size, rate, seed), infinite where a network diverged; ``best`` (size, seed), log2 of the rate;
    ``edge`` says where that is the first (-1) or the last (1) of the grid, ``doubt`` what the grid leaves open, in
    octaves.
    """

    data: xr.Dataset

    @property
    def along(self) -> str:
        """ "width" or "depth"."""
        return str(self.data.attrs["along"])

    @property
    def step(self) -> float:
        """The distance of the grid, in octaves."""
        return float(np.log2(self.data.rate.values[1] / self.data.rate.values[0]))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The widths or depths."""
        return tuple(int(size) for size in self.data[self.along].values)

    def _doubt(self, i: int) -> float:
        return float(self.data.doubt.values[i].mean())

    def best(self, i: int, tail: float | None = None) -> tuple[float, float, float]:
        """Return the best rate of size number ``i``, with its interval; in log2 units: as in ``data.best``.

        At an end of the grid nothing bounds it on that side: the end is infinite.
        """
        tail = (1 - self.data.attrs["confidence"]) / 2 if tail is None else tail
        mean, low, high = student(self.data.best.values[i], tail)
        edges = self.data.edge.values[i]
        low = -math.inf if (edges < 0).any() else low - self._doubt(i)
        return mean, low, math.inf if (edges > 0).any() else high + self._doubt(i)

    @cached_property
    def spread(self) -> Spread:
        """The spread, with an interval that holds for all pairs of sizes together."""
        pairs = list(combinations(range(len(self.sizes)), 2))
        found = [self._apart(i, j, len(pairs)) for i, j in pairs]
        return Spread(max(one.value for one in found), max(one.low for one in found), max(one.high for one in found))

    def _apart(self, i: int, j: int, pairs: int) -> Spread:
        """Return how far apart two sizes' best rates are. What lies beyond an end of the grid is not bounded."""
        tail = (1 - self.data.attrs["confidence"]) / 2 / pairs
        values, edges = self.data.best.values, self.data.edge.values
        mean, low, high = student(values[j] - values[i], tail)
        doubt = self._doubt(i) + self._doubt(j)
        low, high = low - doubt, high + doubt
        if (edges[j] > 0).any() or (edges[i] < 0).any():
            high = math.inf
        if (edges[j] < 0).any() or (edges[i] > 0).any():
            low = -math.inf
        return Spread(abs(mean), max(0.0, low, -high), max(abs(low), abs(high)))

    @property
    def verdict(self) -> str:
        """ "transfers", "does not" or "undecided"."""
        if self.spread.low > self.data.attrs["tolerance"]:
            return DOES_NOT
        return TRANSFERS if self.spread.high <= self.data.attrs["tolerance"] and not self.coarse else UNDECIDED

    @property
    def coarse(self) -> bool:
        """Whether the grid is too coarse for the tolerance."""
        return bool(self.step > self.data.attrs["tolerance"] * (1 + 1e-9))

    @property
    def reason(self) -> str:
        """Why nothing is decided; empty where it is."""
        if self.verdict != UNDECIDED:
            return ""
        for edge, word in ((-1, "smaller"), (1, "larger")):
            at = [size for size, row in zip(self.sizes, self.data.edge.values, strict=True) if (row == edge).any()]
            if at:
                return f"the best rate at {self.along} {at[0]} is at the edge of the grid: give {word} rates"
        if self.coarse:
            return f"the grid is too coarse: {self.step:.2g} octaves apart, tolerance {self.data.attrs['tolerance']:g}"
        return "the interval holds the tolerance: give more seeds or a finer grid"

    def summary(self) -> str:
        """Return the verdict in one sentence."""
        a, s = self.data.attrs, self.spread
        high = f"{s.high:.2f}" if math.isfinite(s.high) else "no bound"
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"{self.verdict}{why}: {a['name']} ({a['parametrization']}, {a['optimizer']}, {a['steps']} steps): best "
            f"rates over {self.along}s {self.sizes[0]} to {self.sizes[-1]} spread by {s.value:.2f} octaves "
            f"[{s.low:.2f}, {high}]"
        )

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Return header and rows as text: of each size the best rate, how far it has moved, and what that is worth."""
        rows, first = [], self.best(0)[0]
        near = int(np.argmin(np.abs(np.log2(self.data.rate.values) - first)))
        for i, size in enumerate(self.sizes):
            mean, low, high = self.best(i)
            edge = self.data.edge.values[i]
            at = " (edge)" if edge.any() else ""
            losses = self.data.loss.values[i].mean(1)
            interval = f"[{_bound(2**low)}, {_bound(2**high)}]"
            rows.append([str(size), f"{2**mean:.3g}{at}", interval, f"{mean - first:+.2f}", f"{losses.min():.4g}"])
            rows[-1].append(f"{losses[near]:.4g}" if math.isfinite(losses[near]) else "diverges")
        return (self.along, *HEADER), rows

    def __str__(self) -> str:
        lines = aligned(*self.table(), left=False)
        return "\n".join([*lines, "", f"{self.summary()}."])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """Return everything but single losses as plain data for strict JSON: None where nothing bounds a number."""

        def plain(x: float) -> float | None:
            return float(x) if math.isfinite(x) else None

        rows = [
            {self.along: size, "best": 2.0 ** self.best(i)[0], "octaves": [plain(x) for x in self.best(i)],
             "edge": bool(self.data.edge.values[i].any())}
            for i, size in enumerate(self.sizes)
        ]  # fmt: skip
        spread = dict(zip(("value", "low", "high"), map(plain, self.spread), strict=True))
        rates = self.data.rate.values.tolist()
        return {**self.data.attrs, "rates": rates, "rows": rows, "spread": spread, "verdict": self.verdict,
                "reason": self.reason, "summary": self.summary()}  # fmt: skip

    def figure(self) -> Figure:
        """Return panels: the loss over the rate, one curve for each size, and the best rate over the size."""
        rates = self.data.rate.values.astype(float)
        lines = []
        for i, size in enumerate(self.sizes):
            values = self.data.loss.values[i]
            there = np.isfinite(values).all(1)
            mean, half = values[there].mean(1), values[there].std(1, ddof=1) / math.sqrt(values.shape[1])
            lines.append(Line(f"{self.along} {size}", rates[there], mean, mean - half, mean + half))
        ends = np.array([self.best(i) for i in range(len(self.sizes))])
        at, low, high = (2.0 ** np.where(np.isfinite(ends[:, k]), ends[:, k], np.nan) for k in (0, 1, 2))
        best = Line("best rate", np.array(self.sizes, float), at, low, high)
        a = self.data.attrs
        axis = Axis(f"{a['loss']} loss", "log" if (self.data.loss.values > 0).all() else "linear")
        panels = [
            Curves(f"{a['parametrization']}: {self.verdict}", Axis("learning rate", "log"), axis, lines),
            Curves("Best rate", Axis(self.along, "log"), Axis("learning rate", "log"), [best]),
        ]
        return Figure("transfer", f"Transfer of the rate: {self.verdict}", f"{self.summary()}.", panels)


def _bound(rate: float) -> str:
    return f"{rate:.3g}" if 0 < rate < math.inf else "no bound"
