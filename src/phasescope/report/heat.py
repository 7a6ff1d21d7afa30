"""Heat maps: cells where they belong on both axes, hatched where there is no value, a boundary at a level."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import MaxNLocator

from phasescope.figures import HeatMap, Line
from phasescope.vocabulary import Array, BadInput

from .cells import apply_cells, cell_scale, centres
from .palette import MAP, MISSING
from .panels import Sign, furnish, legend, say_empty, write
from .scales import Scale, edges

RASTERIZED = 2500  # cells from which an SVG holds the map as an image


def draw_heat_map(axes: Axes, panel: HeatMap) -> None:
    """Draw the cells, the colour bar, and the boundary where the values cross it."""
    furnish(axes, panel.title, panel.x, panel.y)
    values = np.asarray(panel.values, dtype=float)
    wanted = (np.size(panel.y_values), np.size(panel.x_values))
    if values.shape != wanted:
        raise BadInput(f"heat map {panel.title!r}: values have shape {values.shape}; its axes make {wanted}.")
    x, columns = centres(panel.x, panel.x_values)
    y, rows = centres(panel.y, panel.y_values)
    values = np.where(np.isfinite(values), values, math.nan)[rows][:, columns]
    if not np.isfinite(values).any():
        axes.set(xticks=[], yticks=[])
        say_empty(axes)
        return
    across = cell_scale(panel.x, x, np.asarray(panel.x_values)[columns])
    upwards = cell_scale(panel.y, y, np.asarray(panel.y_values)[rows])
    apply_cells(axes, "x", across, x)
    apply_cells(axes, "y", upwards, y)
    mesh = _cells(axes, panel, x, y, values)
    bar = _bar(axes, mesh, panel, values)
    if panel.boundary is not None:
        _boundary(axes, bar, panel.boundary, x, y, values)
    signs: list[Sign] = [_over(axes, line, n, across, upwards) for n, line in enumerate(panel.lines)]
    if np.isnan(values).any():
        signs.append(Patch(facecolor=MISSING, hatch="////", edgecolor="#9a9a9a", linewidth=0))
    legend(axes, panel, signs)


def _over(axes: Axes, line: Line, number: int, x: Scale, y: Scale) -> Line2D:
    """Draw a line over the cells, with an outline that shows on light and dark ones, and return its sign."""
    dashes = ("-", "--", "-.", ":")[number % 4]
    outline: list[AbstractPathEffect] = [withStroke(linewidth=3.4, foreground="white")]
    (drawn,) = axes.plot(
        x.place(line.x), y.place(line.y), color="#c2185b", linestyle=dashes, linewidth=1.7, path_effects=outline,
    )  # fmt: skip
    return drawn


def _cells(axes: Axes, panel: HeatMap, x: Array, y: Array, values: Array) -> QuadMesh:
    low, high = _colour_limits(panel, values)
    mesh = axes.pcolormesh(
        edges(x, panel.x.scale == "log"), edges(y, panel.y.scale == "log"), np.ma.masked_invalid(values),
        cmap=MAP, vmin=low, vmax=high, rasterized=values.size > RASTERIZED, edgecolors="face", linewidth=0.3,
    )  # fmt: skip
    axes.grid(False)
    if np.isnan(values).any():
        axes.patch.set(facecolor=MISSING, hatch="////", edgecolor="#9a9a9a", linewidth=0)
    return mesh


def _colour_limits(panel: HeatMap, values: Array) -> tuple[float, float]:
    low, high = panel.limits or (float(np.nanmin(values)), float(np.nanmax(values)))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        low = float(np.nanmin(values))
        high = max(float(np.nanmax(values)), low + (0.1 * abs(low) or 1.0))
    return low, high


def _bar(axes: Axes, mesh: QuadMesh, panel: HeatMap, values: Array) -> Colorbar:
    low, high = _colour_limits(panel, values)
    below, above = bool(np.nanmin(values) < low), bool(np.nanmax(values) > high)
    extend = "both" if below and above else "min" if below else "max" if above else "neither"
    figure = axes.figure
    bar = figure.colorbar(mesh, ax=axes, extend=extend, pad=0.02, aspect=18)
    finite = values[np.isfinite(values)]
    if (finite == np.rint(finite)).all() and np.ptp(finite) > 1:  # counts and labels have no halves
        bar.ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    write(bar.ax.yaxis.label, panel.label, 38)
    bar.outline.set_visible(False)
    return bar


def _boundary(axes: Axes, bar: Colorbar, level: float, x: Array, y: Array, values: Array) -> None:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if min(values.shape) < 2 or not low < level < high:
        return
    outline: list[AbstractPathEffect] = [withStroke(linewidth=3.2, foreground="black")]
    drawn = axes.contour(x, y, np.ma.masked_invalid(values), levels=[level], colors="white", linewidths=1.6)
    drawn.set_path_effects(outline)
    shown_low, shown_high = bar.mappable.get_clim()
    if shown_low is not None and shown_high is not None and shown_low < level < shown_high:
        bar.ax.axhline(level, color="white", linewidth=1.6, path_effects=outline)
