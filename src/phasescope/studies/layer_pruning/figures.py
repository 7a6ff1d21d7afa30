"""The figures of the study ``layer-pruning``: measurements as points with bands, nulls and references as lines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.lab.drawing import Data, Read, level, lines, over, seen
from phasescope.lab.measures import Cell, Measure, at, value
from phasescope.lab.readings import band
from phasescope.studies.layer_pruning.readings import OVERLAP
from phasescope.studies.layer_pruning.settings import LayerSettings

PLACE = Axis("place between layers")
NATS = Axis("nats per token", "log")
LEFT_OUT = Axis("layers left out")
SMALL, REAL = at("small"), at("real")
TITLES = {"small": "a small decoder", "real": "a real language model"}
RISE = value("loss") - value("base")


def figures(data: Data, s: LayerSettings) -> Sequence[Figure]:
    """Return the study's figures of these results."""
    found = []
    if s.depth:
        found += [_small_losses(data, s), _small_scatter(data)]
        found += [_distances(data, "small"), _geometry(data, "small", s)]
    if s.model:
        found += [_real_losses(data, s), _distances(data, "real"), _geometry(data, "real", s)]
    return found


def point(label: str, data: Data, what: tuple[Read, Cell], x: int) -> Line:
    """Return a reading of one number as a line of a single place."""
    return band(label, seen(data, what).expand_dims("at", -1), np.array([float(x)]))


def _mean_loss(cell: xr.Dataset) -> xr.DataArray:
    """Return the mean over all blocks of a size; those that would begin too late are NaN."""
    found: xr.DataArray = cell.loss.mean("layer", skipna=True)
    return found


def _distances(data: Data, name: str) -> Figure:
    run = data[name]
    values = np.asarray(run.distance.mean("seed").transpose("n", "layer").values)
    n, layer = run.n.values.astype(float), run.layer.values.astype(float)
    nearest = Line("nearest", layer[np.nanargmin(values, axis=1)], n, role="control")
    first = Axis("first layer l")
    shown = {f"n = {k}": (value("distance", n=k), at(name)) for k in (1, 2, 4, 6, 10) if k in n}
    return Figure(
        f"{name}-distances", f"How far each block of layers turns the state: {TITLES[name]}",
        "Angular distance between the inputs of layer l and of layer l + n at the last token; the line goes "
        "through the nearest block of each size. Bands from the least to the largest seed.",
        [
            HeatMap("distance from l to l + n", first, Axis("layers n"), layer, n, values, "angle / pi",
                missing="past the last layer", lines=(nearest,)),
            over("the same, by block size", data, first, layer, Axis("angle / pi", "log"), shown),
        ],
        (f"{name}-deep-alike", f"{name}-farther"),
    )  # fmt: skip


def _nearest(cell: xr.Dataset) -> xr.DataArray:
    rise: xr.DataArray = RISE.read(cell)
    return rise.isel(layer=cell.distance.fillna(np.inf).argmin("layer"))


def _deepest(cell: xr.Dataset) -> xr.DataArray:
    """Return the rise of the loss, for each n, without the n layers before the last one."""
    rise: xr.DataArray = RISE.read(cell)
    return rise.sel(layer=cell.sizes["layer"] - 1 - cell.n)


def _small_losses(data: Data, s: LayerSettings) -> Figure:
    run = data["small"]
    n, base = run.n.values.astype(float), float(run.base.median())
    steps = (np.arange(run.sizes["twentieth"]) + 0.5) * s.steps / run.sizes["twentieth"]
    good = lines(data, {"nearest block": (_nearest, SMALL), "deepest but the last layer": (_deepest, SMALL)}, n)
    whole = value("base")
    others = {
        "mean over all blocks": (Measure(_mean_loss) - whole, SMALL),
        "first block": (value("loss", layer=0) - whole, SMALL),
    }
    healed = value("healed", healing="nearest") - whole
    end = [point(f"nearest, healed {s.heal_steps} steps", data, (healed, SMALL), s.depth // 2), level("whole", 0.0, n)]
    held_out = level("held-out text, at the end", base, steps)
    training = [*lines(data, {"training text": ("training", SMALL)}, steps), held_out]
    rise = Axis("rise of the loss (nats)")
    return Figure(
        "small-losses", "What is lost without n of the layers: a small decoder",
        f"{s.depth} layers of {s.width} units on characters. Left: the training. Middle: the rise of the loss on "
        "held-out text without a block, by how it was chosen; right: the good choices alone. Bands from the "
        "least to the largest seed.",
        [
            Curves("training", Axis("step"), Axis("nats per character"), training),
            Curves("all choices", LEFT_OUT, rise, [*good, *lines(data, others, n, role="control"), *end]),
            Curves("the good ones", LEFT_OUT, rise, [*good, *end]),
        ],
        ("small-nearest", "small-first-layer", "small-heals", "small-heuristic"),
    )  # fmt: skip


def _small_scatter(data: Data) -> Figure:
    run, panels = data["small"], []
    for n in (1, 2, 4):
        if n not in run.n.values:
            continue
        rise, far = (values.sel(n=n).values.ravel() for values in (run.loss - run.base, run.distance))
        kept = np.isfinite(rise) & (rise > 1e-5)
        line = Line("block", far[kept], rise[kept], joined=False)
        label = f"{n} layer" + "s" * (n > 1)
        panels.append(Curves(label, Axis("angle / pi", "log"), Axis("rise of the loss (nats)", "log"), [line]))
    return Figure(
        "small-scatter", "Distance against loss, for every block of a small decoder",
        "Each point is a block of one seed: how far it turns the state, and how the held-out loss rises without it. "
        "Blocks without which the loss falls are not shown.", panels, ("small-distance-predicts",),
    )  # fmt: skip


def _with_the_one_before(cell: xr.Dataset, reading: str) -> xr.DataArray:
    """Return the likeness of each place, from the second on, with the place before."""
    before = xr.DataArray(np.arange(cell.sizes["place"] - 1), dims="later")
    likeness: xr.DataArray = cell[reading].isel(place=before, other=before + 1)
    return likeness


def _geometry(data: Data, name: str, s: LayerSettings) -> Figure:
    cell, places = at(name), data[name].place.values.astype(float)
    later, points = places[1:], s.points if name == "small" else s.real_samples * len(range(8, s.real_length, 4))

    def dimension(reading: str) -> tuple[Read, Cell]:
        return value(reading, place=slice(1, None)), cell

    def alike(reading: str) -> tuple[Read, Cell]:
        return partial(_with_the_one_before, reading=reading), cell

    like = [
        *lines(data, {"neighbours shared": alike("overlap"), "linear CKA, unbiased": alike("cka")}, later),
        *lines(data, {"neighbours, shuffled": alike("overlap_shuffled")}, later, role="control"),
        level("chance k / (N - 1)", OVERLAP / (points - 1), later),
    ]
    return Figure(
        f"{name}-geometry", f"The cloud of states between the layers: {TITLES[name]}",
        f"{points} states of tokens at each place, 0 being the embeddings. Left: intrinsic dimension, without place 0, "
        "where most points are repetitions. Middle: directions that are used. Right: likeness of a place with the one "
        "before. Bands from the least to the largest seed.",
        [
            over("intrinsic dimension", data, PLACE, later, Axis("dimension"),
                {"TwoNN": dimension("dimension"), "likelihood, k = 10": dimension("likelihood")}),
            over("linear dimension", data, PLACE, places, Axis("dimension", "log"),
                {"effective rank": ("effective_rank", cell), "participation ratio": ("participation", cell)}),
            Curves("likeness with the place before", PLACE, Axis("fraction", limits=(0, 1.05)), like),
        ],
        (f"{name}-neighbours",),
    )  # fmt: skip


def _real_losses(data: Data, s: LayerSettings) -> Figure:
    run = data["real"]
    counts, removed = run["count"].values.astype(float), run.removed.values.astype(float)
    start, base = np.arange(run.sizes["block"], dtype=float), float(run.base.median())
    healed = value("healed", healing="text"), REAL
    good = {"nearest block": "nearest", "deepest but the last layer": "deepest"}
    losses = [
        *lines(data, {label: (value("loss", choice=choice), REAL) for label, choice in good.items()}, counts),
        *lines(data, {"random blocks": (value("loss", choice="random"), REAL)}, counts, role="control"),
        point(f"nearest, healed {s.real_heal_steps} steps", data, healed, s.heal_layers),
        level("whole", base, counts),
    ]
    every = [*lines(data, {"loss": ("each", REAL)}, start), level("whole", base, start)]
    capitals = [*lines(data, {"nearest block": ("accuracy", REAL)}, removed), level("chance", 0.25, removed)]
    return Figure(
        "real-losses", f"What is lost without n of the layers: {s.model}",
        "Left: loss on State of the Union speeches without a block, by how it was chosen. Middle: without each block "
        f"of {s.counts[1]} layers. Right: capitals answered rightly, four choices, without the nearest block. Bands "
        "from the least to the largest draw of text.",
        [
            Curves("loss", LEFT_OUT, NATS, losses),
            Curves(f"every block of {s.counts[1]}", Axis("first layer"), NATS, every),
            Curves("capitals", LEFT_OUT, Axis("fraction right", limits=(0, 1)), capitals),
        ],
        ("real-nearest", "real-heals", "real-answers-stay", "real-answers-fall", "real-distance-predicts"),
    )  # fmt: skip
