"""Figures on paper: the blocks of a study drawn by matplotlib, whose global state stays as it is."""

from __future__ import annotations

import io
import warnings
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from phasescope.figures import Curves, Figure, Histogram, PhaseMap

from .curves import draw_curves
from .heat import draw_heat_map
from .histogram import draw_histogram
from .panels import PANEL_WIDTH, Panel, legend_height, legend_labels, say_empty
from .phase_map import draw_phase_map
from .scales import names_height

PANEL_HEIGHT = 3.2  # inch, without the legend
DPI = 200
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.labelcolor": "#222222",
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "mathtext.fontset": "dejavusans",
    "text.usetex": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "phasescope",
}


def columns(figure: Figure) -> int:
    """Return how many panels stand in a row: three, but four panels make a square."""
    count = len(figure.panels)
    return 2 if count == 4 else max(1, min(3, count))


def draw(figure: Figure) -> Drawing:
    """Return ``figure`` drawn, its panels side by side; save it with ``.savefig``.

    Values that are infinite or NaN are left out, as are negative ones on a logarithmic axis; a zero there
    stands at the edge under its own tick. The title and the caption are for the page around it.
    """
    wide = columns(figure)
    rows = [figure.panels[i : i + wide] for i in range(0, len(figure.panels), wide)] or [()]
    heights = [PANEL_HEIGHT + max([0.0, *map(_beneath, row)]) for row in rows]
    with mpl.rc_context(STYLE):
        drawing = Drawing(figsize=(PANEL_WIDTH * wide, sum(heights)), layout="constrained", facecolor="white")
        drawing.get_layout_engine().set(w_pad=0.06, h_pad=0.05, wspace=0.03, hspace=0.03)  # type: ignore[union-attr, call-arg]
        grid = drawing.add_gridspec(len(rows), wide, height_ratios=heights)
        for r, row in enumerate(rows):
            for c, panel in enumerate(row):
                _draw_panel(drawing.add_subplot(grid[r, c]), panel)
        if not figure.panels:
            axes = drawing.add_subplot(grid[0, 0])
            axes.set_axis_off()
            say_empty(axes, "this figure has no panels")
    return drawing


def render(figure: Figure) -> dict[str, bytes]:
    """Return the bytes of ``figure`` as ``"png"`` (200 dpi) and ``"svg"``; same figure, same bytes."""
    drawing = draw(figure)
    return {"png": _saved(drawing, figure, "png", DPI), "svg": _saved(drawing, figure, "svg", DPI)}


def png(figure: Figure, resolution: int = DPI) -> bytes:
    """Return ``figure`` as a PNG of ``resolution`` dots per inch; same figure, same bytes."""
    return _saved(draw(figure), figure, "png", resolution)


def _saved(drawing: Drawing, figure: Figure, kind: str, resolution: int) -> bytes:
    about: dict[str, str | None] = {"Title": figure.title, "Description": figure.caption}
    about |= {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    file = io.BytesIO()
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        drawing.savefig(file, format=kind, dpi=resolution, metadata=about)
    return file.getvalue()


def _beneath(panel: Panel) -> float:
    """Return how many inch the names of the axis and the legend take beneath a panel."""
    return names_height(panel.x) + legend_height(legend_labels(panel))


def _draw_panel(axes: Axes, panel: Panel) -> None:
    if isinstance(panel, Curves):
        draw_curves(axes, panel)
    elif isinstance(panel, Histogram):
        draw_histogram(axes, panel)
    elif isinstance(panel, PhaseMap):
        draw_phase_map(axes, panel)
    else:
        draw_heat_map(axes, panel)
