"""The figures of the study ``layer-pruning``: measurements as points with bands, nulls and references as lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.lab.readings import band
from phasescope.lab.study import part
from phasescope.studies.layer_pruning.readings import OVERLAP
from phasescope.studies.layer_pruning.settings import LayerSettings
from phasescope.vocabulary import Array

PLACE = Axis("place between layers")
NATS = Axis("nats per token", "log")


def figures(data: xr.Dataset, s: LayerSettings) -> Sequence[Figure]:
    """Return the study's figures of these results."""
    found = []
    if s.depth:
        small = part(data, "small")
        found += [
            _small_losses(small, s),
            _small_scatter(small),
            _distances(small, "small"),
            _geometry(small, "small", s),
        ]
    if s.model:
        real = part(data, "real")
        found += [_real_losses(real, s), _distances(real, "real"), _geometry(real, "real", s)]
    return found


def flat(label: str, level: float, x: Array, role: str = "theory") -> Line:
    """Return a horizontal line."""
    return Line(label, x, np.full(len(x), level), role=role)  # type: ignore[arg-type]


def _distances(data: xr.Dataset, name: str) -> Figure:
    mean = data.distance.mean("seed")
    n, layer = (np.asarray(data[axis].values, dtype=float) for axis in ("n", "layer"))
    values = np.asarray(mean.transpose("n", "layer").values)
    nearest = [int(np.nanargmin(one)) for one in values]
    shown = [n_ for n_ in (1, 2, 4, 6, 10) if n_ in n]
    lines = []
    for count in shown:
        one = data.distance.sel(n=count)
        lines.append(band(f"n = {count}", one, layer))
    panels: list[HeatMap | Curves] = [
        HeatMap(
            "distance from l to l + n", Axis("first layer l"), Axis("layers n"), layer, n, values, "angle / pi",
            missing="past the last layer",
            lines=(Line("nearest", layer[nearest], n, role="control"),),
        ),
        Curves("the same, by block size", Axis("first layer l"), Axis("angle / pi", "log"), lines),
    ]  # fmt: skip
    return Figure(
        f"{name}-distances", f"How far each block of layers turns the state: {TITLES[name]}",
        "Angular distance between the inputs of layer l and of layer l + n at the last token; the line goes "
        "through the nearest block of each size. Bands from the least to the largest seed.", panels,
        (f"{name}-deep-alike", f"{name}-farther"),
    )  # fmt: skip


TITLES = {"small": "a small decoder", "real": "a real language model"}


def _small_losses(data: xr.Dataset, s: LayerSettings) -> Figure:
    n = np.asarray(data.n.values, dtype=float)
    loss, distance = data.loss - data.base, data.distance
    nearest = loss.isel(layer=distance.fillna(np.inf).argmin("layer"))
    first = loss.isel(layer=0)
    deepest = _stacked([loss.sel(n=k).isel(layer=s.depth - 1 - int(k)) for k in n])
    half = np.array([float(s.depth // 2)])
    lines = [
        band("nearest block", nearest, n),
        band("deepest but the last layer", deepest, n),
        band("mean over all blocks", loss.mean("layer"), n, role="control"),
        band("first block", first, n, role="control"),
        band(
            f"nearest, healed {s.heal_steps} steps",
            (data.healed - data.base).sel(healing="nearest").expand_dims("at", -1),
            half,
        ),
    ]
    base, loss_axis = float(data.base.median()), Axis("rise of the loss (nats)")
    close = [lines[0], lines[1], lines[4], flat("whole", 0.0, n)]
    steps = (np.arange(data.sizes["twentieth"]) + 0.5) * s.steps / data.sizes["twentieth"]
    training = [band("training text", data.training, steps), flat("held-out text, at the end", base, steps)]
    return Figure(
        "small-losses", "What is lost without n of the layers: a small decoder",
        f"{s.depth} layers of {s.width} units on characters. Left: the training. Middle: the rise of the loss on "
        "held-out text without a block, by how it was chosen; right: the good choices alone. Bands from the "
        "least to the largest seed.",
        [
            Curves("training", Axis("step"), Axis("nats per character"), training),
            Curves("all choices", Axis("layers left out"), loss_axis, [*lines, flat("whole", 0.0, n)]),
            Curves("the good ones", Axis("layers left out"), loss_axis, close),
        ],
        ("small-nearest", "small-first-layer", "small-heals", "small-heuristic"),
    )  # fmt: skip


def _small_scatter(data: xr.Dataset) -> Figure:
    panels = []
    for n in (1, 2, 4):
        if n not in data.n.values:
            continue
        rise = (data.loss - data.base).sel(n=n).values.ravel()
        far = data.distance.sel(n=n).values.ravel()
        kept = np.isfinite(rise) & (rise > 1e-5)
        line = Line("block", far[kept], rise[kept], joined=False)
        label = f"{n} layer" + "s" * (n > 1)
        panels.append(Curves(label, Axis("angle / pi", "log"), Axis("rise of the loss (nats)", "log"), [line]))
    return Figure(
        "small-scatter", "Distance against loss, for every block of a small decoder",
        "Each point is a block of one seed: how far it turns the state, and how the held-out loss rises without it. "
        "Blocks without which the loss falls are not shown.", panels, ("small-distance-predicts",),
    )  # fmt: skip


def _stacked(parts: Sequence[xr.DataArray]) -> xr.DataArray:
    """Return one number per seed of each part, side by side."""
    return xr.DataArray(np.stack([one.values for one in parts], 1), dims=("seed", "along"))


def _geometry(data: xr.Dataset, name: str, s: LayerSettings) -> Figure:
    places = np.asarray(data.place.values, dtype=float)
    later = places[1:]
    points = s.points if name == "small" else s.real_samples * len(range(8, s.real_length, 4))
    overlap, cka, shuffled = (
        _stacked([data[name].isel(place=i, other=i + 1) for i in range(len(later))])
        for name in ("overlap", "cka", "overlap_shuffled")
    )
    dimension = [
        band("TwoNN", data.dimension.isel(place=slice(1, None)), later),
        band("likelihood, k = 10", data.likelihood.isel(place=slice(1, None)), later),
    ]
    spread = [
        band("effective rank", data.effective_rank, places),
        band("participation ratio", data.participation, places),
    ]
    like = [
        band("neighbours shared", overlap, later),
        band("linear CKA, unbiased", cka, later),
        band("neighbours, shuffled", shuffled, later, role="control"),
        flat("chance k / (N - 1)", OVERLAP / (points - 1), later),
    ]
    return Figure(
        f"{name}-geometry", f"The cloud of states between the layers: {TITLES[name]}",
        f"{points} states of tokens at each place, 0 being the embeddings. Left: intrinsic dimension, without place 0, "
        "where most points are repetitions. Middle: directions that are used. Right: likeness of a place with the one "
        "before. Bands from the least to the largest seed.",
        [
            Curves("intrinsic dimension", PLACE, Axis("dimension"), dimension),
            Curves("linear dimension", PLACE, Axis("dimension", "log"), spread),
            Curves("likeness with the place before", PLACE, Axis("share", limits=(0, 1.05)), like),
        ],
        (f"{name}-neighbours",),
    )  # fmt: skip


def _real_losses(data: xr.Dataset, s: LayerSettings) -> Figure:
    counts = np.asarray(data["count"].values, dtype=float)
    base = float(data.base.median())
    words = {"nearest": "nearest block", "deepest": "deepest but the last layer", "random": "random blocks"}
    lines = [
        band(label, data.loss.sel(choice=choice), counts, role="control" if choice == "random" else "measured")
        for choice, label in words.items()
    ]
    at = np.array([float(s.heal_layers)])
    healed = data.healed.sel(healing="text").expand_dims("at", -1)
    lines.append(band(f"nearest, healed {s.real_heal_steps} steps", healed, at))
    removed = np.asarray(data.removed.values, dtype=float)
    start = np.arange(data.sizes["block"], dtype=float)
    return Figure(
        "real-losses", f"What is lost without n of the layers: {s.model}",
        "Left: loss on State of the Union speeches without a block, by how it was chosen. Middle: without each block "
        f"of {s.counts[1]} layers. Right: capitals answered rightly, four choices, without the nearest block. Bands "
        "from the least to the largest draw of text.",
        [
            Curves("loss", Axis("layers left out"), NATS, [*lines, flat("whole", base, counts)]),
            Curves(
                f"every block of {s.counts[1]}", Axis("first layer"), NATS,
                [band("loss", data.each, start), flat("whole", base, start)],
            ),
            Curves(
                "capitals", Axis("layers left out"), Axis("share right", limits=(0, 1)),
                [band("nearest block", data.accuracy, removed), flat("chance", 0.25, removed)],
            ),
        ],
        ("real-nearest", "real-heals", "real-answers-stay", "real-answers-fall", "real-distance-predicts"),
    )  # fmt: skip
