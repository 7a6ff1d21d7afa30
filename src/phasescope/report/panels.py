"""What all panels share: title, labels, legend, marks, and the words of an empty panel."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation

from phasescope.figures import Axis, Curves, HeatMap, Histogram, PhaseMap
from phasescope.vocabulary import Array

from .palette import MUTED
from .phases import places, shares, terrain
from .scales import Scale, names_height

PANEL_WIDTH = 4.2  # inch, as drawn with its labels
LETTER = 0.057  # inch, an average letter of the legend
ROW = 0.175  # inch, one row of the legend

Panel = Curves | HeatMap | PhaseMap | Histogram
Sign = Artist | tuple[Artist, ...]  # what a legend shows beside a word; several lie on each other


def wrap(text: str, width: int) -> str:
    """Return ``text`` in lines of at most ``width`` letters."""
    return "\n".join(textwrap.wrap(text, width)) or text


def write(text: Text, words: str, width: int) -> Text:
    """Set ``words`` literally (no mathematics in them is parsed), wrapped at ``width`` letters."""
    text.set_parse_math(False)
    text.set_text(wrap(words, width))
    return text


def furnish(axes: Axes, title: str, x: Axis, y: Axis) -> None:
    """Write the title and the labels of both axes."""
    write(axes.set_title("", loc="left"), title, 44)
    write(axes.xaxis.label, x.label, 50)
    write(axes.yaxis.label, y.label, 38)


def say_empty(axes: Axes, words: str = "no finite values to show") -> None:
    """Say in the middle of the panel that there is nothing to see."""
    middle = {"ha": "center", "va": "center", "color": MUTED, "style": "italic"}
    axes.text(0.5, 0.5, words, transform=axes.transAxes, **middle)  # type: ignore[arg-type]


Path = tuple[Array, Array]  # a line, as fractions of the panel's width and height


def draw_marks(axes: Axes, marks: Sequence[tuple[float, str]], scale: Scale, paths: Sequence[Path] = ()) -> None:
    """Draw labelled vertical lines; a label goes to the left of its line where the next one is near."""
    placed = [(float(scale.place(np.array(x))), label) for x, label in marks]
    placed = sorted((x, label) for x, label in placed if scale.low <= x <= scale.high)
    shares = [float(scale.share(np.array(x))) for x, _ in placed] + [np.inf]
    for (x, label), (here, following) in zip(placed, pairwise(shares), strict=True):
        left = following - here < 0.06 or here > 0.95
        axes.axvline(x, color=MUTED, linestyle=":", linewidth=1.1, zorder=2)
        top = _free(paths, here - 0.05 if left else here, min(1.0, LETTER * 0.9 * len(label) / 2.6))
        text = axes.text(
            x, top, "", transform=axes.get_xaxis_transform(), rotation=90, va="top",
            ha="right" if left else "left", fontsize=7.5, color="#333333", clip_on=True, zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
        )  # fmt: skip
        write(text, textwrap.shorten(label, 68, placeholder=" …"), 34)


def _free(paths: Sequence[Path], left: float, height: float) -> float:
    """Return the top of a label of ``height`` from ``left`` on (shares) where it covers the fewest lines."""
    window = np.linspace(left, left + 0.05, 7)
    lines = [np.interp(window, u, v, left=np.nan, right=np.nan) for u, v in paths]
    heights = np.concatenate([np.empty(0), *lines])
    tops = np.linspace(0.98, min(0.98, height + 0.03), 12)
    covered = [int(((heights < top + 0.02) & (heights > top - height - 0.02)).sum()) for top in tops]
    return float(tops[int(np.argmin(covered))])


def legend_columns(labels: Sequence[str]) -> int:
    """Return how many columns of the legend fit beneath a panel."""
    longest = max(len(part) for label in labels for part in wrap(label, 48).split("\n"))
    return max(1, min(len(labels), int((PANEL_WIDTH - 0.3) / (0.6 + LETTER * longest))))


def legend_height(labels: Sequence[str]) -> float:
    """Return the height in inch that the legend of ``labels`` takes beneath a panel."""
    if not labels:
        return 0.0
    lines = max(wrap(label, 48).count("\n") + 1 for label in labels)
    return 0.08 + ROW * lines * -(-len(labels) // legend_columns(labels))


def legend(axes: Axes, panel: Panel, handles: Sequence[Sign]) -> None:
    """Draw the legend of ``panel`` beneath it, outside the data, and beneath the names along its axis."""
    labels = legend_labels(panel)
    if not labels:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    below = 0.2 + names_height(panel.x) + 0.165 * (axes.xaxis.label.get_text().count("\n") + 1)
    drawn = axes.legend(
        handles, ["x"] * len(labels), loc="upper center", ncols=legend_columns(labels), frameon=False,
        bbox_to_anchor=(0.5, 0.0), handlelength=2.6, columnspacing=1.4, borderaxespad=0.2, fontsize=8,
        bbox_transform=axes.transAxes + ScaledTranslation(0, -below, figure.dpi_scale_trans),
    )  # fmt: skip
    for text, label in zip(drawn.get_texts(), labels, strict=True):
        write(text, label, 48)


def legend_labels(panel: Panel) -> list[str]:
    """Return what the legend of ``panel`` will say."""
    if isinstance(panel, PhaseMap):
        ground = terrain(panel)
        return [*shares(panel, ground), *places(panel, ground)]
    if isinstance(panel, HeatMap):
        complete = np.isfinite(np.asarray(panel.values, dtype=float)).all()
        return [*(line.label for line in panel.lines), *([] if complete else [panel.missing])]
    if isinstance(panel, Curves):
        return [line.label for line in panel.lines]
    limits, log = panel.x.limits, panel.x.scale == "log"
    return [_counted(name, sample, within(sample, limits, log)) for name, sample in panel.samples]


def within(sample: Array, limits: tuple[float, float] | None, log: bool) -> Array:
    """Return the finite values of ``sample`` inside ``limits``, only positive ones on a logarithmic axis."""
    values = np.ravel(np.asarray(sample, dtype=float))
    low, high = limits or (-np.inf, np.inf)
    seen = np.isfinite(values) & (values >= low) & (values <= high) & ((values > 0) | (not log))
    kept: Array = values[seen]
    return kept


def _counted(name: str, sample: Array, kept: Array) -> str:
    size = np.size(sample)
    return f"{name} (n = {len(kept):,})" if len(kept) == size else f"{name} ({len(kept):,} of {size:,} shown)"
