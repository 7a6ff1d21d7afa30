"""Panels of distributions: the fraction of each sample in common bins."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from phasescope.figures import Axis, Histogram
from phasescope.vocabulary import Array

from .palette import COLOURS, DASHES
from .panels import draw_marks, furnish, legend, say_empty, within
from .scales import apply, fit


def draw_histogram(axes: Axes, panel: Histogram) -> None:
    """Draw the fractions of each sample in common bins as step outlines."""
    furnish(axes, panel.title, panel.x, Axis("fraction of values"))
    log = panel.x.scale == "log"
    kept = [within(sample, panel.x.limits, log) for _, sample in panel.samples]
    x = fit(panel.x, [*kept, np.array([m for m, _ in panel.marks])], margin=0.02)
    first, last = (float(np.log(v)) if log else v for v in (x.low, x.high))
    u = np.linspace(first, last, max(1, panel.bins) + 1)
    bins = np.exp(u) if log else u
    bins[[0, -1]] = x.low, x.high
    shares = [np.histogram(values, bins)[0] / max(1, len(values)) for values in kept]
    apply(axes, "x", x)
    apply(axes, "y", fit(Axis("", limits=(0.0, np.inf)), [*shares, np.zeros(1)], margin=0.06))
    handles = [_steps(axes, bins, share, n) for n, share in enumerate(shares)]
    if not any(len(values) for values in kept):
        say_empty(axes)
    draw_marks(axes, panel.marks, x)
    legend(axes, panel, handles)


def _steps(axes: Axes, bins: Array, share: Array, number: int) -> Line2D:
    colour, dashes = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    axes.stairs(share, bins, fill=True, color=colour, alpha=0.14)
    axes.stairs(share, bins, color=colour, linestyle=dashes, linewidth=1.6)
    return Line2D([], [], color=colour, linestyle=dashes, linewidth=1.6)
