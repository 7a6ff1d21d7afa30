"""The picture of a comparison, as panels that ``report`` draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasescope.errors import sentence
from phasescope.figures import Axis, Curves, Figure, HeatMap, Line

if TYPE_CHECKING:
    import xarray as xr


LEFT_OUT = ("cka_biased", "svcca", "retrieval")
"""Measures that are near another one, or near 0, and are in the table alone: six lines can be told apart."""


def figure_of(data: xr.Dataset, summary: str) -> Figure:
    """Return CKA of all pairs of layers as a map, and each measure over the layers of a; ``data`` is a comparison's."""
    a, b = str(data.attrs["a"]), str(data.attrs["b"])
    rows, columns = data.sizes["layer_a"], data.sizes["layer_b"]
    index = {str(name): i for i, name in enumerate(data.layer_a.values)}
    panels: list[HeatMap | Curves] = []
    across, along = Axis(f"layer of {b}"), Axis(f"layer of {a}")
    if rows * columns > 1:
        where = {str(name): i for i, name in enumerate(data.layer_b.values)}
        best = Line("best match", np.array([where[str(x)] for x in data.best.values]), np.arange(rows), joined=False)
        panels.append(
            HeatMap(
                "Every pair of layers", across, along, np.arange(columns), np.arange(rows), data.cka.values,
                "CKA, unbiased", limits=(min(0.0, float(data.cka.min())), 1.0), lines=[best],
            )
        )  # fmt: skip
    for kind, title in (("same depth", "At the same depth"), ("best match", "At the best match")):
        at = [i for i, said in enumerate(data.pair_kind.values) if kind in str(said)]
        if len(at) < 2:
            continue
        depth = np.array([index[str(data.pair_a.values[i])] for i in at], float)
        lines = []
        for name in [name for name in data.measure.values if name not in LEFT_OUT]:
            one = data.isel(pair=at).sel(measure=name)
            room = 1 - one.null_mean.values
            value, error = one.corrected.values, one.error.values / np.where(room > 0, room, np.nan)
            there = np.isfinite(value)
            if there.any():
                low, high = (np.where(np.isfinite(error), value + s * 2 * error, value)[there] for s in (-1, 1))
                lines.append(Line(str(name), depth[there], value[there], low, high))
        none = Line("unrelated: 0", depth[[0, -1]], np.zeros(2), role="theory")
        panels.append(Curves(title, along, Axis("similarity, corrected for its null"), [*lines, none]))
    caption = (
        f"{sentence(summary)}. {data.attrs['samples']:,} stimuli. Points on the map: the most similar layer of {b}. "
        "Curves: 0 is what unrelated stimuli read, 1 the same cloud; bands are two standard errors."
    )
    return Figure("comparison", f"{a} beside {b}", caption, panels)
