"""Panels of curves: measured series with bands, theory, controls."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from phasescope.figures import Curves, Line
from phasescope.vocabulary import Array

from .palette import Style, styles
from .panels import Path, draw_marks, furnish, legend, say_empty
from .scales import Scale, apply, fit

POINTS = 12  # markers on a line that has many more points


def draw_curves(axes: Axes, panel: Curves) -> None:
    """Draw lines with bands over common axes, and the marks."""
    furnish(axes, panel.title, panel.x, panel.y)
    marks = [np.array([x for x, _ in panel.marks])]
    x = fit(panel.x, [line.x for line in panel.lines] + marks, zeros=True, margin=0.02)
    y = fit(panel.y, [v for line in panel.lines for v in (line.y, line.low, line.high) if v is not None])
    apply(axes, "x", x)
    apply(axes, "y", y)
    looks = styles([line.role for line in panel.lines])
    pairs = list(zip(panel.lines, looks, strict=True))
    shown = [_line(axes, line, look, n, x, y) for n, (line, look) in enumerate(pairs)]
    if not any(shown):
        say_empty(axes)
    draw_marks(axes, panel.marks, x, _paths(panel, x, y))
    legend(axes, panel, [_handle(line, look) for line, look in pairs])


def _line(axes: Axes, line: Line, look: Style, number: int, x: Scale, y: Scale) -> bool:
    """Draw one series and return whether anything of it can be seen."""
    places, heights = x.place(line.x), y.place(line.y)
    if not line.joined:
        return _points(axes, line, look, places, heights, y)
    if line.low is not None and line.high is not None:
        low, high = y.clip(line.low), y.clip(line.high)
        reachable = (line.low < np.inf) & (line.high > -np.inf)
        seen = ~np.isnan(places) & reachable
        axes.fill_between(places, low, high, where=seen.tolist(), color=look.colour, alpha=0.18, linewidth=0)
    seen = np.isfinite(places) & np.isfinite(heights)
    (drawn,) = axes.plot(
        places, heights, color=look.colour, linestyle=look.dashes, linewidth=look.width,
        marker=look.marker, markersize=4.5, markerfacecolor="white" if look.hollow else look.colour,
        zorder=4 if look.marker else 3,
    )  # fmt: skip
    if look.marker:
        drawn.set_markevery(_marked(seen, number))
    elif seen.sum() == 1:
        drawn.set_marker("_")
    return bool(seen.any())


def _points(axes: Axes, line: Line, look: Style, places: Array, heights: Array, y: Scale) -> bool:
    """Draw a series as single points with bars, and return whether any can be seen."""
    seen = np.isfinite(places) & np.isfinite(heights)
    if line.low is not None and line.high is not None:
        axes.vlines(places[seen], y.clip(line.low)[seen], y.clip(line.high)[seen], color=look.colour, linewidth=0.9)
    axes.plot(
        places[seen], heights[seen], linestyle="", color=look.colour, marker=look.marker or "o", markersize=4.5,
        markerfacecolor="white" if look.hollow else look.colour, zorder=4,
    )  # fmt: skip
    return bool(seen.any())


def _marked(seen: Array, number: int) -> list[int]:
    """Choose which points get a marker: some evenly spread ones, and each without a neighbour."""
    places = np.flatnonzero(seen)
    if len(places) <= POINTS + 3:
        return [int(i) for i in places]
    stride = -(-len(places) // POINTS)
    regular = places[(number * 2) % stride :: stride]
    before, after = np.append(False, seen[:-1]), np.append(seen[1:], False)
    return sorted({int(i) for i in (*regular, *np.flatnonzero(seen & ~before & ~after))})


def _handle(line: Line, look: Style) -> Line2D:
    return Line2D(
        [], [], color=look.colour, linestyle=look.dashes if line.joined else "", linewidth=look.width,
        marker=look.marker if line.joined else look.marker or "o",
        markersize=4.5, markerfacecolor="white" if look.hollow else look.colour,
    )  # fmt: skip


def _paths(panel: Curves, x: Scale, y: Scale) -> list[Path]:
    """Return the lines as shares (n,), (n,) of the panel, to keep labels off them."""
    places = [(x.share(x.place(line.x)), y.share(y.place(line.y))) for line in panel.lines]
    seen = [np.isfinite(u) & np.isfinite(v) for u, v in places]
    kept = [(u[s], v[s]) for (u, v), s in zip(places, seen, strict=True) if s.any()]
    return [(u[np.argsort(u)], v[np.argsort(u)]) for u, v in kept]
