"""Phase maps: flat colours that differ in grey too, names in the regions, what was measured, and the boundary."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from phasescope.figures import PhaseMap
from phasescope.vocabulary import Array

from .cells import apply_cells
from .labels import HEIGHT, WIDTH, label_regions
from .palette import INK, MISSING, ink, phase_colours
from .panels import Sign, furnish, legend, say_empty, write
from .phases import UNKNOWN, Terrain, has_boundary, places, present, terrain
from .scales import Scale, edges

RASTERIZED = 2500  # cells from which an SVG holds the map as an image
SEAM = "#ffffff"
HATCH = "#9a9a9a"
PLAIN = "#efefef"
POINT = 72.0  # points per inch


def draw_phase_map(axes: Axes, panel: PhaseMap) -> None:
    """Draw the cells, the names of large regions, the places measured or uncertain, and the boundary."""
    furnish(axes, panel.title, panel.x, panel.y)
    ground = terrain(panel)
    if ground.x_scale is None or ground.y_scale is None:
        axes.set(xticks=[], yticks=[])
        say_empty(axes, "no places to show")
        return
    apply_cells(axes, "x", ground.x_scale, ground.x)
    apply_cells(axes, "y", ground.y_scale, ground.y)
    axes.grid(False)
    _cells(axes, panel, ground)
    size = _dot_size(ground)
    if ground.inferred.any():
        _dots(axes, panel, ground, size)
    _rings(axes, panel, ground, size)
    if has_boundary(panel):
        _boundary(axes, panel, ground, ground.x_scale, ground.y_scale, size)
    if not ground.known:
        say_empty(axes, "no phase is known")
        axes.texts[-1].set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 3.0})
    _names(axes, panel, ground, ground.x_scale, ground.y_scale)
    legend(axes, panel, _handles(panel, ground, size))


def _cells(axes: Axes, panel: PhaseMap, ground: Terrain) -> None:
    """Draw each cell in its phase's colour, hatching where it is unknown, and seams where no boundary is given."""
    colours = phase_colours(len(panel.phases))
    x, y = edges(ground.x, panel.x.scale == "log"), edges(ground.y, panel.y.scale == "log")
    axes.pcolormesh(
        x, y, np.ma.masked_equal(ground.phase, UNKNOWN), cmap=ListedColormap(list(colours)), vmin=-0.5,
        vmax=len(colours) - 0.5, rasterized=ground.phase.size > RASTERIZED, edgecolors="face", linewidth=0.3,
    )  # fmt: skip
    axes.patch.set(facecolor=MISSING, hatch="////", edgecolor=HATCH, linewidth=0)
    if not has_boundary(panel):
        _seams(axes, ground, x, y)


def _seams(axes: Axes, ground: Terrain, x: Array, y: Array) -> None:
    """Draw the sides, between the edges ``x`` and ``y``, of cells next to another phase."""
    upright = [[(x[j + 1], y[i]), (x[j + 1], y[i + 1])] for i, j in np.argwhere(np.diff(ground.phase, axis=1) != 0)]
    level = [[(x[j], y[i + 1]), (x[j + 1], y[i + 1])] for i, j in np.argwhere(np.diff(ground.phase, axis=0) != 0)]
    width = float(np.clip(0.12 * _cell_size(ground), 0.4, 1.2))
    axes.add_collection(LineCollection([*upright, *level], colors=SEAM, linewidths=width, zorder=2), autolim=False)


def _cell_size(ground: Terrain) -> float:
    """Return the least side of an average cell in points."""
    rows, columns = ground.phase.shape
    return float(POINT * min(WIDTH / columns, HEIGHT / rows))


def _dot_size(ground: Terrain) -> float:
    """Return the diameter in points of the dot of a measured place: small beside its cell, but to be seen."""
    return float(np.clip(0.3 * _cell_size(ground), 1.0, 3.2))


def _inks(panel: PhaseMap, phase: Array) -> list[str]:
    """Return a colour for marks on each of ``phase`` (k,)."""
    colours = phase_colours(len(panel.phases))
    return [ink(MISSING if k == UNKNOWN else colours[k]) for k in phase]


def _dots(axes: Axes, panel: PhaseMap, ground: Terrain, size: float) -> None:
    """Put a dot at each measured place whose phase is certain."""
    i, j = np.nonzero(ground.measured & ~ground.uncertain)
    colours = _inks(panel, ground.phase[i, j])
    axes.scatter(ground.x[j], ground.y[i], s=size**2, c=colours, linewidths=0, alpha=0.75, zorder=3)


def _rings(axes: Axes, panel: PhaseMap, ground: Terrain, size: float) -> None:
    """Put a ring at each uncertain place, thin where it was not measured."""
    for there, width in ((ground.measured, 0.9), (~ground.measured, 0.5)):
        i, j = np.nonzero(ground.uncertain & there)
        colours = _inks(panel, ground.phase[i, j])
        axes.scatter(
            ground.x[j], ground.y[i], s=(1.5 * size) ** 2, facecolors="none", edgecolors=colours,
            linewidths=min(width, 0.3 * size), zorder=3,
        )  # fmt: skip


def _boundary(axes: Axes, panel: PhaseMap, ground: Terrain, x: Scale, y: Scale, size: float) -> None:
    """Draw the places of the boundary, what connects neighbours, and a bar from low to high along each one's line."""
    points = np.asarray(panel.boundary, dtype=float)
    u, v = x.place(points[:, 0]), y.place(points[:, 1])
    along = np.full(len(points), -1) if panel.boundary_along is None else np.asarray(panel.boundary_along, dtype=int)
    bars = []
    for k in np.flatnonzero(np.isfinite(u) & np.isfinite(v) & (along >= 0)):
        low, high = (y if along[k] else x).clip(points[k, 2:])
        bars.append([(u[k], low), (u[k], high)] if along[k] else [(low, v[k]), (high, v[k])])
    links = []
    for group in neighbours(x.share(ground.x), y.share(ground.y), ground.phase, x.share(u), y.share(v), along):
        ends = [(u[k], v[k]) for k in group]
        middle = (_middle(u[list(group)], x.log), _middle(v[list(group)], y.log))
        links += [ends] if len(ends) == 2 else [[end, middle] for end in ends]
    cell = _cell_size(ground)
    width = float(np.clip(0.25 * cell, 0.9, 1.3))
    halo = [withStroke(linewidth=width + 0.9, foreground="white")]
    drawn = LineCollection(links, colors=INK, linewidths=width, zorder=4, path_effects=halo, capstyle="round")
    axes.add_collection(drawn, autolim=False)
    thin = float(np.clip(0.12 * cell, 0.4, 0.8))
    axes.add_collection(LineCollection(bars, colors=INK, linewidths=thin, zorder=3.5), autolim=False)
    axes.plot(u, v, "o", color=INK, markersize=0.9 * size, markeredgewidth=0, zorder=4)


def _middle(values: Array, log: bool) -> float:
    return float(np.exp(np.log(values).mean()) if log else values.mean())


def neighbours(x: Array, y: Array, phase: Array, u: Array, v: Array, along: Array) -> list[tuple[int, ...]]:
    """Return which of the boundary's places (u, v) (k,) lie on the sides of one square: two, or more where phases meet.

    The squares have the centres ``x`` (n,), ``y`` (m,) of four cells of ``phase`` (m, n) as corners. A place belongs to
    the side, on its line, that is nearest to it among those with two phases at their ends; ``along`` (k,) is 0 where
    that line runs along x, 1 where along y, else the place has no neighbours.
    """
    squares: dict[tuple[int, int], list[int]] = {}
    for k in np.flatnonzero(np.isfinite(u) & np.isfinite(v) & (along >= 0)):
        column, row = _index(x, u[k]), _index(y, v[k])
        upright = along[k] == 1
        line, at = (round(column), row) if upright else (round(row), column)
        crossed = np.flatnonzero(np.diff(phase[:, line] if upright else phase[line]) != 0)
        if len(crossed):
            side = int(crossed[np.argmin(np.abs(crossed + 0.5 - at))])
            for across in (line - 1, line):
                squares.setdefault((side, across) if upright else (across, side), []).append(int(k))
    return sorted({tuple(sorted(group)) for group in squares.values() if 2 <= len(group) <= 4})


def _index(places: Array, value: float) -> float:
    """Return how many cells along the axis ``value`` lies, with its fraction."""
    return float(np.interp(value, places, np.arange(len(places))))


def _names(axes: Axes, panel: PhaseMap, ground: Terrain, x: Scale, y: Scale) -> None:
    """Write the names of the phases into their large regions."""
    columns = x.share(edges(ground.x, x.log))
    rows = y.share(edges(ground.y, y.log))
    marked = (ground.measured & ground.inferred.any()) | ground.uncertain
    i, j = np.nonzero(marked)
    dots = np.column_stack([x.share(ground.x[j]), y.share(ground.y[i])])
    colours = phase_colours(len(panel.phases))
    for k, name in enumerate(panel.phases):
        for label in label_regions(np.where(ground.phase == k, 0, UNKNOWN), columns, rows, [name], dots):
            text = axes.text(
                label.x, label.y, "", transform=axes.transAxes, ha="center", va="center", fontsize=label.size, zorder=5,
                color=ink(colours[k]), path_effects=[withStroke(linewidth=1.6, foreground=colours[k])],
            )  # fmt: skip
            write(text, "", 48)
            text.set_text(label.text)


def _handles(panel: PhaseMap, ground: Terrain, size: float) -> list[Sign]:
    """Return the signs of the legend, in the order of its labels."""
    colours = phase_colours(len(panel.phases))
    found: list[Sign] = [_swatch(colours[k]) for k in present(ground, len(colours))]
    if (ground.phase == UNKNOWN).any():
        found.append(Patch(facecolor=MISSING, hatch="////", edgecolor=HATCH, linewidth=0))
    dot = max(size, 2.4)
    cell = _swatch(PLAIN)
    signs: dict[str, Sign] = {
        "measured": (cell, Line2D([], [], color=INK, linestyle="", marker="o", markersize=dot, markeredgewidth=0)),
        "inferred": cell,
        "uncertain": (
            cell,
            Line2D([], [], color=INK, linestyle="", marker="o", markersize=1.5 * dot, markerfacecolor="none"),
        ),
        "boundary": Line2D([], [], color=INK, linewidth=1.2, marker="o", markersize=dot, markeredgewidth=0),
    }
    return found + [signs[name] for name in places(panel, ground)]


def _swatch(colour: str) -> Patch:
    return Patch(facecolor=colour, edgecolor=HATCH, linewidth=0.5)
