"""The figures of the study ``manifold-capacity``: which reading is shown, of which cells, beside which law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.lab.drawing import Data, curves, law, level, lines, over
from phasescope.lab.measures import Cell, at
from phasescope.studies.manifold_capacity.settings import ManifoldSettings
from phasescope.theory import manifold_capacity
from phasescope.vocabulary import Array

DIMENSION = Axis("dimension D", "log")
ERROR = Axis("percent error (fraction of the bound)")
FACTOR = Axis("factor of the bound")
LOG_ERROR = Axis("percent error (fraction)", "log")


def figures(data: Data, s: ManifoldSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    found = (_uniform, _trained, _limits, _flow, _scaling, _images, *((_pairs,) if s.pairs else ()))
    return tuple(draw(data, s) for draw in found)


def _fine(sizes: Sequence[int], count: int = 200) -> Array:
    return np.geomspace(sizes[0], sizes[-1], count)


def _uniform(data: Data, s: ManifoldSettings) -> Figure:
    fine = _fine(s.uniform_dimensions)
    one = Curves(
        "128 data", DIMENSION, ERROR,
        [*lines(data, {"uniform embeddings": ("error", at("uniform"))}, np.array(s.uniform_dimensions)),
         law("1 - 2F1(1/2, -1/2; 2; c)", partial(manifold_capacity.uniform_percent_error, 128), fine),
         Line("c / 8", fine, np.minimum(fine, 128) / np.maximum(fine, 128) / 8, role="control")],
        marks=((128.0, "P = D"),),
    )  # fmt: skip
    middle = s.large[len(s.large) // 2]
    many = over("many numbers of data", data, DIMENSION, s.large, ERROR,
        {f"{count} data": ("error", at("large", data=count)) for count in s.large[1::2]},
        laws={f"theory, {middle} data": partial(manifold_capacity.uniform_percent_error, middle)}, fine=_fine(s.large),
    )  # fmt: skip
    return Figure(
        "uniform", "Uniform embeddings miss most of the bound where P = D",
        "No training. Median over seeds, band from the least to the largest. c is the smaller of D / P and P / D.",
        [one, many],
        ("uniform-peak", "uniform-wide", "uniform-curve", "uniform-double-descent"),
    )  # fmt: skip


def _trained(data: Data, s: ManifoldSettings) -> Figure:
    peak = ((float(s.data), "P = D"),)
    uniform = {
        "uniform, views agree": partial(manifold_capacity.uniform_percent_error, s.data)
    }  # the same if P and D change roles
    dimension = over(f"{s.data} data, two views", data, DIMENSION, s.dimensions, ERROR,
        {f"Adam, {s.steps} steps": ("error", at("dimensions"))}, laws=uniform, fine=_fine(s.dimensions), marks=peak,
    )  # fmt: skip
    batch = over(f"{s.data} dimensions", data, Axis("data per batch P", "log"), s.batches, ERROR,
        {f"{views} views": ("error", at("batches", views=views)) for views in s.views},
        laws=uniform, fine=_fine(s.batches), marks=peak,
    )  # fmt: skip
    return Figure(
        "trained", "Double descent of trained encoders, in the dimension and in the batch",
        f"Mean of the last {s.last} batches, median over {s.seeds} seeds, band from the least to the largest. The line "
        "is what uniform embeddings miss; encoders miss more, because noisy views do not quite agree.",
        [dimension, batch], ("trained-peak", *(f"batch-peak-{views}" for views in s.views)),
    )  # fmt: skip


def _limits(data: Data, s: ManifoldSettings) -> Figure:
    def flatness(n: float) -> float:
        return 1 - manifold_capacity.uniform_percent_error(s.data, n)

    dimensions, views = at("dimensions"), at("views")
    share = over("two factors", data, DIMENSION, s.dimensions, FACTOR,
        {"flatness of the spectrum": ("flatness", dimensions)}, laws={"uniform embeddings": flatness},
        fine=_fine(s.dimensions), control={"length of the centroids": ("length", dimensions)},
    )  # fmt: skip
    many = Curves(
        f"over views, P = {2 * s.data}, D = {s.data}", Axis("views K", "log"), FACTOR,
        [*lines(data, {"flatness of the spectrum": ("flatness", views)}, np.array(s.more_views)),
         level("uniform embeddings", flatness(2 * s.data), np.array(s.more_views)),
         *lines(data, {"length of the centroids": ("length", views)}, np.array(s.more_views), role="control")],
    )  # fmt: skip
    return Figure(
        "limits", "What trained encoders miss, in two factors",
        "1 - percent error = length x flatness, exactly. The length says how far views of a datum agree. The flatness, "
        "on batches never seen, is near that of uniform embeddings: an encoder places each datum without the others.",
        [share, many], ("trained-is-uniform",),
    )  # fmt: skip


def _flow(data: Data, s: ManifoldSettings) -> Figure:
    found = []
    for dimension in s.free_dimensions:
        cell = at("free", dimension=dimension)
        error = cell.of(data).error
        times = np.linspace(0, float(error.time[-1]), 100)
        start = float(error.isel(time=0).median())
        known = manifold_capacity.free_percent_error(start, times, s.data, dimension)
        found += lines(data, {f"D = {dimension}": ("error", cell)}, error.time.values)
        found.append(Line(f"tanh law, D = {dimension}", times, known, role="theory"))
    panel = Curves(f"{s.data} free embeddings", Axis("time of the gradient flow"), LOG_ERROR, found)
    return Figure(
        "flow", "Free embeddings approach the bound everywhere, also at P = D",
        "Unit rows that follow the gradient. The law is exact where only the sum of squared norms is kept.", [panel],
        ("free-flow", "free-has-no-peak"),
    )  # fmt: skip


def _scaling(data: Data, s: ManifoldSettings) -> Figure:
    chosen = [n for n in s.dimensions if n <= s.data // 2 or n == s.data or n >= 2 * s.data]
    work = []
    for count in s.batches[::2]:
        cell = at("batches", views=s.views[0], data=count)
        seen = cell.of(data).step.values * count * s.views[0]
        work += lines(data, {f"P = {count}": ("curve", cell)}, seen)
    return Figure(
        "scaling", "Errors over steps and over compute",
        "Mean error since the point before. Straight lines are power laws; at P = D the line lies high.",
        [
            curves(f"{s.data} data", data, LOG_ERROR,
                {f"D = {n}": ("curve", at("dimensions", dimension=n)) for n in chosen}),
            Curves(f"{s.data} dimensions", Axis("embeddings computed, P K steps", "log"), LOG_ERROR, work),
        ],
        ("error-falls", "power-law"),
    )  # fmt: skip


def _points(data: Data, x: str, y: str, cells: Mapping[str, Cell]) -> list[Line]:
    """Return one point per seed for each cell, at two of its readings."""
    found = {label: cell.of(data) for label, cell in cells.items()}
    return [Line(label, seen[x].values, seen[y].values, joined=False) for label, seen in found.items()]


def _images(data: Data, s: ManifoldSettings) -> Figure:
    cells = {
        "trained": at("images", views_of="same"),
        "views of different images": at("images", views_of="other"),
        "untrained": at("untrained"),
    }
    peak = over(f"{s.images}, P = {s.data}, two views", data, DIMENSION, s.image_dimensions, ERROR,
        {"encoder": ("error", at("image_dimensions"))},
        laws={"uniform, views agree": partial(manifold_capacity.uniform_percent_error, s.data)},
        fine=_fine(s.image_dimensions, 100), marks=((float(s.data), "P = D"),),
    )  # fmt: skip
    plane = Curves(
        "test embeddings", Axis("alignment: squared distance of views"), Axis("uniformity (nat)"),
        [*_points(data, "alignment", "uniformity", cells),
         level("least possible", manifold_capacity.uniform_potential(s.data), np.array([0.0, 2.0]))],
    )  # fmt: skip
    untrained = data["untrained"]
    pixels = untrained.pixels.values
    ends = np.array([min(pixels.min(), untrained.probe.values.min()), pixels.max()])
    probes = Curves(
        f"linear probe with {s.labelled} labels", Axis("test accuracy on pixels"), Axis("test accuracy on the encoder"),
        [*_points(data, "pixels", "probe", cells), Line("no gain", ends, ends, role="theory")],
    )  # fmt: skip
    return Figure(
        "images", f"Encoders of real images: {s.images}",
        "Left: the peak. Middle and right: each point is one seed. Middle: down and left is better.",
        [peak, plane, probes],
        ("image-peak", "images-uniform", "images-aligned", "probe", "probe-needs-views"),
    )  # fmt: skip


def _pairs(data: Data, s: ManifoldSettings) -> Figure:
    mmcr, clip = (at("pairs", objective=name).of(data) for name in ("mmcr", "contrastive"))
    x, chance = clip.recall.values, float(data["pairs"].chance.mean())
    ends = np.array([chance, max(x.max(), mmcr.recall.values.max())])
    points = Curves(
        f"{s.pairs} and their names, batches of {s.data}", Axis("held-out recall at 10, CLIP's loss"),
        Axis("held-out recall at 10"),
        [
            Line("MMCR", x, mmcr.recall.values, joined=False),
            Line("names of other pictures", x, data["mismatched"].recall.values, joined=False),
            Line("equal", ends, ends, role="theory"),
            Line("chance", ends, np.full(2, chance), role="control"),
        ],
    )  # fmt: skip
    return Figure(
        "pairs", "Pictures and texts", "Each point is one seed. Above the line MMCR finds more than CLIP's loss.",
        [points], ("pairs-found", "pairs-like-clip"),
    )  # fmt: skip
