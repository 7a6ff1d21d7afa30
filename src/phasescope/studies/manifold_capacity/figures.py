"""The figures of the study ``manifold-capacity``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.lab.readings import band
from phasescope.lab.study import part
from phasescope.studies.manifold_capacity.settings import ManifoldSettings

DIMENSION = Axis("dimension D", "log")
ERROR = Axis("percent error (share of the bound)")


def figures(data: xr.Dataset, s: ManifoldSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    found = (_uniform, _trained, _limits, _flow, _scaling, _images, *((_pairs,) if s.pairs else ()))
    return tuple(draw(data, s) for draw in found)


def _uniform(data: xr.Dataset, s: ManifoldSettings) -> Figure:
    seen = part(data, "uniform").error.isel(data=0)
    fine = np.geomspace(s.uniform_dimensions[0], s.uniform_dimensions[-1], 200)
    one = Curves(
        "128 data", DIMENSION, ERROR,
        [
            band("uniform embeddings", seen, seen.dimension.values),
            Line("1 - 2F1(1/2, -1/2; 2; c)", fine, np.array([theory.uniform_percent_error(128, n) for n in fine]),
                 role="theory"),
            Line("c / 8", fine, np.minimum(fine, 128) / np.maximum(fine, 128) / 8, role="control"),
        ],
        marks=((128.0, "P = D"),),
    )  # fmt: skip
    many = part(data, "large").error
    lines = []
    for count in s.large[1::2]:
        lines.append(band(f"{count} data", many.sel(data=count), many.dimension.values))
    places = np.geomspace(s.large[0], s.large[-1], 200)
    middle = s.large[len(s.large) // 2]
    law = np.array([theory.uniform_percent_error(middle, n) for n in places])
    lines.append(Line(f"theory, {middle} data", places, law, role="theory"))
    return Figure(
        "uniform", "Uniform embeddings miss most of the bound where P = D",
        "No training. Median over seeds, band from the least to the largest. c is the smaller of D / P and P / D.",
        [one, Curves("many numbers of data", DIMENSION, ERROR, lines)],
        ("uniform-peak", "uniform-wide", "uniform-curve", "uniform-double-descent"),
    )  # fmt: skip


def _trained(data: xr.Dataset, s: ManifoldSettings) -> Figure:
    seen = part(data, "dimensions")
    fine = np.geomspace(s.dimensions[0], s.dimensions[-1], 200)
    over = Curves(
        f"{s.data} data, two views", DIMENSION, ERROR,
        [
            band(f"Adam, {s.steps} steps", seen.error, seen.dimension.values),
            Line("uniform, views agree", fine, np.array([theory.uniform_percent_error(s.data, n) for n in fine]),
                 role="theory"),
        ],
        marks=((float(s.data), "P = D"),),
    )  # fmt: skip
    batches = part(data, "batches").error
    lines = [band(f"{views} views", batches.sel(views=views), batches["data"].values) for views in s.views]
    counts = np.geomspace(s.batches[0], s.batches[-1], 200)
    law = np.array([theory.uniform_percent_error(n, s.data) for n in counts])
    lines.append(Line("uniform, views agree", counts, law, role="theory"))
    batch = Curves(
        f"{s.data} dimensions", Axis("data per batch P", "log"), ERROR, lines, marks=((float(s.data), "P = D"),)
    )
    return Figure(
        "trained", "Double descent of trained encoders, in the dimension and in the batch",
        f"Mean of the last {s.last} batches, median over {s.seeds} seeds, band from the least to the largest. The line "
        "is what uniform embeddings miss; encoders miss more, because noisy views do not quite agree.",
        [over, batch], ("trained-peak", *(f"batch-peak-{views}" for views in s.views)),
    )  # fmt: skip


def _limits(data: xr.Dataset, s: ManifoldSettings) -> Figure:
    seen = part(data, "dimensions")
    x = seen.dimension.values
    fine = np.geomspace(s.dimensions[0], s.dimensions[-1], 200)
    law = np.array([1 - theory.uniform_percent_error(s.data, n) for n in fine])
    share = Curves(
        "two factors", DIMENSION, Axis("factor of the bound"),
        [
            band("flatness of the spectrum", seen.flatness, x),
            Line("uniform embeddings", fine, law, role="theory"),
            band("length of the centroids", seen.length, x, role="control"),
        ],
    )  # fmt: skip
    many = part(data, "views")
    views = Curves(
        f"over views, P = {2 * s.data}, D = {s.data}", Axis("views K", "log"), Axis("factor of the bound"),
        [
            band("flatness of the spectrum", many.flatness, many.views.values),
            Line("uniform embeddings", many.views.values.astype(float),
                 np.full(len(s.more_views), 1 - theory.uniform_percent_error(2 * s.data, s.data)), role="theory"),
            band("length of the centroids", many.length, many.views.values, role="control"),
        ],
    )  # fmt: skip
    return Figure(
        "limits", "What trained encoders miss, in two factors",
        "1 - percent error = length x flatness, exactly. The length says how far views of a datum agree. The flatness, "
        "on batches never seen, is near that of uniform embeddings: an encoder places each datum without the others.",
        [share, views], ("trained-is-uniform",),
    )  # fmt: skip


def _flow(data: xr.Dataset, s: ManifoldSettings) -> Figure:
    seen = part(data, "free").error
    lines = []
    times = np.linspace(0, float(seen.time[-1]), 100)
    for dimension in seen.dimension.values:
        run = seen.sel(dimension=dimension)
        lines.append(band(f"D = {dimension}", run, run.time.values))
        start = float(run.isel(time=0).median())
        law = theory.free_percent_error(start, times, s.data, int(dimension))
        lines.append(Line(f"tanh law, D = {dimension}", times, law, role="theory"))
    panel = Curves(
        f"{s.data} free embeddings", Axis("time of the gradient flow"), Axis("percent error (share)", "log"), lines
    )
    return Figure(
        "flow", "Free embeddings approach the bound everywhere, also at P = D",
        "Unit rows that follow the gradient. The law is exact where only the sum of squared norms is kept.", [panel],
        ("free-flow", "free-has-no-peak"),
    )  # fmt: skip


def _scaling(data: xr.Dataset, s: ManifoldSettings) -> Figure:
    seen = part(data, "dimensions").curve
    chosen = [n for n in s.dimensions if n <= s.data // 2 or n == s.data or n >= 2 * s.data]
    lines = [band(f"D = {n}", seen.sel(dimension=n)) for n in chosen]
    batches = part(data, "batches").curve.isel(views=0)
    work = []
    for count in s.batches[::2]:
        run = batches.sel(data=count)
        work.append(band(f"P = {count}", run, run.step.values * count * s.views[0]))
    error = Axis("percent error (share)", "log")
    return Figure(
        "scaling", "Errors over steps and over compute",
        "Mean error since the point before. Straight lines are power laws; at P = D the line lies high.",
        [
            Curves(f"{s.data} data", Axis("step", "log"), error, lines),
            Curves(f"{s.data} dimensions", Axis("embeddings computed, P K steps", "log"), error, work),
        ],
        ("error-falls", "power-law"),
    )  # fmt: skip


def _images(data: xr.Dataset, s: ManifoldSettings) -> Figure:
    seen, untrained = part(data, "images"), part(data, "untrained")
    over = part(data, "image_dimensions").error
    fine = np.geomspace(s.image_dimensions[0], s.image_dimensions[-1], 100)
    peak = Curves(
        f"{s.images}, P = {s.data}, two views", DIMENSION, ERROR,
        [
            band("encoder", over, over.dimension.values),
            Line("uniform, views agree", fine, np.array([theory.uniform_percent_error(s.data, n) for n in fine]),
                 role="theory"),
        ],
        marks=((float(s.data), "P = D"),),
    )  # fmt: skip
    plane = Curves(
        "test embeddings", Axis("alignment: squared distance of views"), Axis("uniformity (nat)"),
        [
            Line("trained", seen.alignment.sel(views_of="same").values, seen.uniformity.sel(views_of="same").values,
                 joined=False),
            Line("views of different images", seen.alignment.sel(views_of="other").values,
                 seen.uniformity.sel(views_of="other").values, joined=False),
            Line("untrained", untrained.alignment.values, untrained.uniformity.values, joined=False),
            Line("least possible", np.array([0.0, 2.0]), np.full(2, theory.uniform_potential(s.data)), role="theory"),
        ],
    )  # fmt: skip
    pixels = untrained.pixels.values
    least = float(min(pixels.min(), untrained.probe.values.min()))
    probes = Curves(
        f"linear probe with {s.labelled} labels", Axis("test accuracy on pixels"), Axis("test accuracy on the encoder"),
        [
            Line("trained", pixels, seen.probe.sel(views_of="same").values, joined=False),
            Line("views of different images", pixels, seen.probe.sel(views_of="other").values, joined=False),
            Line("untrained", pixels, untrained.probe.values, joined=False),
            Line("no gain", np.array([least, pixels.max()]), np.array([least, pixels.max()]), role="theory"),
        ],
    )  # fmt: skip
    return Figure(
        "images", f"Encoders of real images: {s.images}",
        "Left: the peak. Middle and right: each point is one seed. Middle: down and left is better.",
        [peak, plane, probes],
        ("image-peak", "images-uniform", "images-aligned", "probe", "probe-needs-views"),
    )  # fmt: skip


def _pairs(data: xr.Dataset, s: ManifoldSettings) -> Figure:
    recall, chance = part(data, "pairs").recall, float(part(data, "pairs").chance.mean())
    clip = recall.sel(objective="contrastive").values
    ends = np.array([chance, max(clip.max(), recall.max())])
    points = Curves(
        f"{s.pairs} and their names, batches of {s.data}", Axis("held-out recall at 10, CLIP's loss"),
        Axis("held-out recall at 10"),
        [
            Line("MMCR", clip, recall.sel(objective="mmcr").values, joined=False),
            Line("names of other pictures", clip, part(data, "mismatched").recall.values, joined=False),
            Line("equal", ends, ends, role="theory"),
            Line("chance", ends, np.full(2, chance), role="control"),
        ],
    )  # fmt: skip
    return Figure(
        "pairs", "Pictures and texts", "Each point is one seed. Above the line MMCR finds more than CLIP's loss.",
        [points], ("pairs-found", "pairs-like-clip"),
    )  # fmt: skip
