"""The pictures of ``phasescope layers``, as blocks that ``report`` draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.layers.angular import Distances, Kind, deepest
from phasescope.layers.perplexity import Losses
from phasescope.layers.removal import CHOICES, Choice, Curve
from phasescope.vocabulary import Array

Row = tuple[float, float, float]
LABELS: dict[Choice, str] = {
    "nearest": "block with the nearest ends, 95 %",
    "deepest": "deepest block, the last layer kept, 95 %",
    "random": "random blocks: mean and range",
}
TITLES: dict[Kind, str] = {"last": "at the last token", "mean": "mean over tokens"}


def distance_figure(found: Distances, model: str) -> Figure:
    """Return the distances of all blocks as two heat maps, with the nearest block of each size on them."""
    caption = (
        f"{model}, {found.samples} samples. Angular distance between the input of layer l and that of layer l + n. The "
        "line is the nearest block of each size, the dashed one the deepest block that keeps the last layer. The mean "
        f"leaves out the first {found.skipped} tokens."
    )
    panels = [_map(found, kind) for kind in TITLES]
    return Figure("distances", "How far apart the layers' inputs are", caption, panels)


def _map(found: Distances, kind: Kind) -> HeatMap:
    depth = found.depth
    counts = np.arange(1, depth)
    values, _ = found.table(range(1, depth), kind)
    best = np.array([found.best(int(n), kind) for n in counts])
    last = np.array([deepest(depth, int(n)) for n in counts])
    return HeatMap(
        f"Distances, {TITLES[kind]}",
        Axis("first layer l of the block"),
        Axis("layers in the block, n"),
        np.arange(depth, dtype=float),
        counts.astype(float),
        values,
        "distance / pi",
        missing="no such block",
        lines=[
            Line("nearest block", best.astype(float), counts.astype(float)),
            Line("deepest block", last.astype(float), counts.astype(float), role="control"),
        ],
    )


def curve_figure(curve: Curve, model: str) -> Figure:
    """Return the losses against the number of layers left out, and their rise over the whole model."""
    samples, tokens = len(curve.whole.values), curve.whole.tokens + 1
    caption = (
        f"{model} on {samples} samples of {tokens} tokens, {curve.depth} layers. Perplexity is the exponential of the "
        "loss. The rise is that of the loss over the whole model on the same samples, so its intervals are paired."
    )
    counts = np.array([0, *curve.counts], dtype=float)
    loss, rise = [], []
    for choice in CHOICES:
        whole = (curve.whole.mean, *curve.whole.interval)
        lost = [whole, *_rows(curve, choice, lambda losses: losses)]
        risen = _rows(curve, choice, lambda losses: losses.above(curve.whole))
        loss.append(Line(LABELS[choice], counts, *_columns(lost), role=_role(choice)))
        rise.append(Line(LABELS[choice], counts[1:], *_columns(risen), role=_role(choice)))
    axis = Axis("layers left out, n")
    panels = [
        Curves("Loss", axis, Axis("nats per token"), loss),
        Curves("Rise of the loss", axis, Axis("nats per token", scale="log"), rise),
    ]
    return Figure("losses", "What is lost without some layers", caption, panels)


def _role(choice: Choice) -> Literal["control", "measured"]:
    return "control" if choice == "random" else "measured"


def _rows(curve: Curve, choice: Choice, seen: Callable[[Losses], Losses]) -> list[Row]:
    """Return value, low and high of what is ``seen`` of the losses, for each number of layers left out."""
    rows: list[Row] = []
    for n in curve.counts:
        found = [seen(removal.losses) for removal in curve.of(choice, n)]
        means = [x.mean for x in found]
        rows.append((means[0], *found[0].interval) if choice != "random" else _range(means))
    return rows


def _range(means: list[float]) -> Row:
    return float(np.mean(means)), min(means), max(means)


def _columns(rows: list[Row]) -> tuple[Array, Array, Array]:
    value, low, high = np.array(rows).T
    return value, low, high
