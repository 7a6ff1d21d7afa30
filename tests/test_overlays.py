"""Lines over heat maps, and scatters: what is drawn, and what the legend says of it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from phasescope.figures import Axis, Curves, HeatMap, Line
from phasescope.report.curves import draw_curves
from phasescope.report.heat import draw_heat_map

X, Y = np.linspace(0, 4, 5), np.linspace(0, 2, 3)


def test_a_line_over_a_heat_map_is_in_its_legend_beside_missing_cells() -> None:
    values = np.add.outer(Y, X)
    values[0, 0] = np.nan
    line = Line("critical line of theory", np.full(3, 2.0), Y, role="theory")
    figure, axes = plt.subplots()
    draw_heat_map(axes, HeatMap("chi", Axis("x"), Axis("y"), X, Y, values, "chi", lines=(line,)))
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["critical line of theory", "no finite value"]
    assert any(np.array_equal(drawn.get_xdata(), line.x) for drawn in axes.lines)
    plt.close(figure)


def test_a_scatter_joins_nothing_and_draws_every_point_with_its_bar() -> None:
    places = np.linspace(0, 1, 40)
    figure, axes = plt.subplots()
    line = Line("runs", places, places, places - 0.1, places + 0.1, joined=False)
    draw_curves(axes, Curves("scatter", Axis("x"), Axis("y"), [line]))
    (drawn,) = axes.lines
    assert drawn.get_linestyle() == "None" and drawn.get_markevery() is None and len(drawn.get_xdata()) == 40
    (bars,) = axes.collections
    assert len(bars.get_paths()) == 40
    plt.close(figure)
