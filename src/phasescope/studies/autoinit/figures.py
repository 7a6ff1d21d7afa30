"""The figures of the study ``autoinit``: theory as lines, measurements as points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.lab.drawing import BANDS, Data, curves, law, level, lines
from phasescope.lab.measures import at
from phasescope.lab.readings import band
from phasescope.studies.autoinit.networks import CLOSE
from phasescope.studies.autoinit.settings import ENDS, STARTS, AutoInitSettings
from phasescope.theory import autoinit
from phasescope.vocabulary import Array

STEP = Axis("training step", "log")
WAYS = {
    "autoinit": "AutoInit", "torch": "torch's default", "kaiming": "Kaiming", "xavier": "Xavier",
    "orthogonal": "orthogonal", "lsuv": "LSUV",
}  # fmt: skip


def figures(data: Data, s: AutoInitSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_map(data, s), _deep(data, s), _descent(data, s), _curves(data, s), _ways(data, s), _images(data, s))


def _map(data: Data, s: AutoInitSettings) -> Figure:
    fine, u, shown = np.linspace(0.08, 0.98, 200), np.linspace(0.3, 3.0, 200), []
    for start in ENDS:
        steps = at("rates", start=start).of(data).steps
        below = steps.sel(factor=steps.factor < 1)
        shown.append(band(f"networks from {start:g}", below, below.factor.values))
        shown.append(law(f"theory from {start:g}", partial(_iterations, start), fine))
    rate = Curves(
        "steps to J = 1", Axis("eta sigma_w^2"), Axis(f"steps until |log J| < {CLOSE:g}", "log"), shown,
        marks=((1.0, "limit"),),
    )  # fmt: skip
    step = Curves(
        "one step", Axis("a / a*"), Axis("a / a* after the step"),
        [*(law(f"eta sigma_w^2 = {e:g}", partial(autoinit.autoinit_step, rate=e / 2, gain=1.0), u)
           for e in (0.25, 0.5, 0.95)),
         Line("unchanged", u, u, role="control")],
    )  # fmt: skip
    return Figure(
        "map", "The descent on the log loss, layer by layer, is a map of one number",
        f"Left: steps needed against the rate, by {s.short} ReLU layers of width {s.wide}, all of which must be there, "
        "and by one layer in theory; points are the median over seeds, the band from the least to the most. Right: the "
        "map itself; it crosses the diagonal at the target, flat where the rate is best.",
        [rate, step], ("rate-limit", "best-rate", "one-step"),
    )  # fmt: skip


def _iterations(variance: float, factor: float) -> float:
    return autoinit.iterations(factor / variance, autoinit.relu_gain(variance), tolerance=CLOSE**2 / 2)


def _deep(data: Data, s: AutoInitSettings) -> Figure:
    x, y, blocks = Axis("block"), Axis("Jacobian norm J of the block", "log"), np.arange(1.0, s.depth + 1)
    starts = {f"sigma_w^2 = {v:g}": at("deep", start=v) for v in STARTS}
    drawn = lines(data, {label: ("before", cell) for label, cell in starts.items()}, blocks, role="control")
    tuned = lines(data, {label: ("after", cell) for label, cell in starts.items()}, blocks)
    return Figure(
        "deep", f"{s.depth} ReLU layers, as drawn and after AutoInit",
        "Median over seeds, band from the least to the largest. After tuning J is read with probes that the tuning has "
        "not seen; the layers differ from J = 1 by the noise of the estimate.",
        [
            Curves("as drawn", x, y, [*drawn, *(level(f"sigma_w^2/2 = {v / 2:g}", v / 2, blocks) for v in STARTS)]),
            Curves("after AutoInit", x, y, [*tuned, level("critical", 1, blocks)]),
        ],
        ("deep-steps", "deep-critical", "deep-log-steps", "deep-log-critical"),
    )  # fmt: skip


def _descent(data: Data, s: AutoInitSettings) -> Figure:
    found = []
    for start in ENDS:
        path = at("rates", factor=0.5, start=start).of(data).path.isel(step=slice(0, 9))
        steps = np.arange(path.sizes["step"], dtype=float)
        found.append(band(f"measured from {start:g}", path, steps))
        found.append(Line(f"theory from {start:g}", steps, _theory_path(start, len(steps)), role="theory"))
    descent = Curves("mean J along the descent", Axis("step"), Axis("mean J over blocks", "log"), found)
    x = np.arange(1.0, s.short + 1)
    names = {"erf": "erf", "ReLU": "relu"}
    scales = Curves(
        "where a sigma_w ends, from sigma_w = 2", Axis("block"), Axis("a sigma_w"),
        [
            *lines(data, {label: ("scale", at("erf", activation=phi)) for label, phi in names.items()}, x),
            level("limit of erf", np.sqrt(np.pi) / 2, x), level("theory of ReLU", np.sqrt(2), x),
        ],
    )  # fmt: skip
    return Figure(
        "descent", f"Descent in networks of {s.short} layers of width {s.wide}",
        "Left: plain descent on the log loss at 0.5/sigma_w^2, beside the map of one layer at infinite width. "
        "Right: the scales at the end.",
        [descent, scales], ("network-steps", "network-scale", "square-loss-fails", "erf-falls", "erf-range"),
    )  # fmt: skip


def _theory_path(start: float, count: int) -> Array:
    scale, found = 1.0, []
    for _ in range(count):
        found.append(scale**2 * start / 2)
        scale = autoinit.autoinit_step(scale, 0.5 / start, autoinit.relu_gain(start))
    return np.array(found)


def _curves(data: Data, s: AutoInitSettings) -> Figure:
    def panel(title: str, reading: str, label: str) -> Curves:
        series = {way: (reading, at("mlp", way=way)) for way in ("He", "AutoInit")}
        return curves(title, data, Axis(label), series, x=STEP,
                      control={"untuned 1": (reading, at("mlp", way="untuned 1"))})  # fmt: skip

    return Figure(
        "curves", f"{s.depth} ReLU layers learn images",
        BANDS,
        [panel("training", "train_accuracy", "training accuracy"), panel("test", "test_accuracy", "test accuracy")],
        ("trains-like-he", "curve-like-he"),
    )  # fmt: skip


def _images(data: Data, s: AutoInitSettings) -> Figure:
    titles = {"vgg": "VGG", "vgg_norm": "VGG with batch normalization", "resmlp": "ResMLP"}
    panels = []
    for name, title in titles.items():
        first, *others = lines(data, {label: ("test_accuracy", at(name, way=way)) for way, label in WAYS.items()})
        # six bands over each other show nothing
        shown = [first, *(replace(line, low=None, high=None) for line in others)]
        panels.append(Curves(title, STEP, Axis("test accuracy", limits=(0, 1.02)), shown))
    return Figure(
        "images", "The common initializations beside AutoInit",
        f"One learning rate ({s.image_rate:g}) for all. Median over seeds; the band, from the least to the largest, is "
        "that of AutoInit.", panels,
        ("vgg-trains", "vgg-like-kaiming", "vgg-beats-lsuv", "norm-blind", "resmlp-trains"),
    )  # fmt: skip


def _product(cell: xr.Dataset) -> xr.DataArray:
    """Return the product of J up to each block; NaN after the last block of a network."""
    logs = xr.apply_ufunc(np.log10, cell.jacobian)
    total: xr.DataArray = logs.cumsum("block").where(np.isfinite(logs))
    return 10**total


def _ways(data: Data, s: AutoInitSettings) -> Figure:
    blocks = np.arange(1.0, data["ways"].sizes["block"] + 1)
    panels = []
    for network in ("VGG", "ResMLP"):
        series = {label: (_product, at("ways", network=network, way=way)) for way, label in WAYS.items()}
        shown = lines(data, series, blocks)
        panels.append(Curves(network, Axis("block"), Axis("product of J up to the block", "log"), shown))
    return Figure(
        "ways", "How gradients grow or vanish over depth",
        "The product of the Jacobian norms of the blocks, on noise that no initialization has seen.", panels,
        ("vgg-critical", "resmlp-growth"),
    )  # fmt: skip
