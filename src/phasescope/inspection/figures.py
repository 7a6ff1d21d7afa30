"""The picture of an inspection, as blocks that ``report`` draws."""

from __future__ import annotations

import numpy as np
import xarray as xr

from phasescope.errors import sentence
from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.vocabulary import Array


def figure_of(data: xr.Dataset, model: str, batch: str, summary: str) -> Figure:
    """Return four panels over the blocks: chi_J, J to the end, the kernel, and cosines with dead units.

    ``data`` is an inspection's dataset; the rest are its words about the model, the batch and what was found.
    """
    n = np.arange(len(data.block))
    judged = data.verdict.values != "-"

    def line(name: str, label: str, keep: Array | None = None) -> Line:
        there = np.isfinite(data[name].values) & (keep if keep is not None else True)
        low, high = (
            data[f"{name}{end}"].values[there] if f"{name}{end}" in data else None for end in ("_low", "_high")
        )
        return Line(label, n[there], data[name].values[there], low, high)

    blocks = Axis("block (0: the input)" if data.block.values[0] == "input" else "block")
    one = Line("critical: 1", n[[0, -1]], np.ones(2), role="theory")
    words = (("cosine", "cosine of samples"), ("tokens", "cosine of tokens"), ("dead", "dead units"))
    shares = [line(name, label) for name, label in words if np.isfinite(data[name].values).any()]
    panels = [
        Curves("One block", blocks, Axis("chi_J", scale="log"), [line("chi", "measured, 95 % interval", judged), one]),
        Curves(
            "From here to the end",
            blocks,
            Axis("J to the last block", scale="log"),
            [line("to_end", "measured, 95 % interval"), one],
        ),
        Curves("Signal", blocks, Axis("kernel K = mean of h^2", scale="log"), [line("kernel", "measured")]),
        Curves("Likeness and dead units", blocks, Axis("share"), shares),
    ]
    caption = (
        f"{model}, {batch}. {sentence(summary)}. "
        "chi_J is J across one block: above 1 gradients grow on their way back, below 1 they shrink."
    )
    return Figure("inspection", "Signal and gradients through the model", caption, panels)
