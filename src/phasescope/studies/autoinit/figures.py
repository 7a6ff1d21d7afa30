"""The figures of the study ``autoinit``: theory as lines, measurements as points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from phasescope import theory
from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.lab.drawing import BANDS, Data, law, level
from phasescope.lab.measures import at
from phasescope.lab.readings import band
from phasescope.studies.autoinit.settings import AutoInitSettings
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
    run = data["map"]
    chosen = run.iterations.sel(factor=run.factor < 1)
    fine = np.linspace(0.06, 0.98, 200)
    lines = [Line(f"theory, sigma_w^2 = {v:g}", fine, _iterations(fine, v), role="theory") for v in (0.05, 1.0, 50.0)]
    low, middle, high = (np.asarray(chosen.quantile(q, "seed").values) for q in (0, 0.5, 1))
    points = Line(f"{s.draws} draws of sigma_w^2", np.asarray(chosen.factor.values), middle, low, high)
    rate = Curves(
        "steps to J = 1", Axis("eta sigma_w^2"), Axis("steps until (log J)^2 / 2 < 1e-12", "log"), [points, *lines],
        marks=((1.0, "limit"),),
    )  # fmt: skip
    u = np.linspace(0.3, 3.0, 200)
    maps = [law(f"eta sigma_w^2 = {e:g}", partial(_step, e / 2), u) for e in (0.25, 0.5, 0.95)]
    step = Curves(
        "one step", Axis("a / a*"), Axis("a / a* after the step"), [*maps, Line("unchanged", u, u, role="control")]
    )
    return Figure(
        "map", "One ReLU layer: the descent on the log loss is a map of one number",
        "Left: steps needed against the rate; points are the median over draws, the band from the least to the most. "
        "Right: the map itself; it crosses the diagonal at the target, flat where the rate is best.",
        [rate, step], ("rate-limit", "best-rate", "one-step"),
    )  # fmt: skip


def _step(rate: float, scale: float) -> float:
    return theory.autoinit_step(float(scale), rate, 1.0)


def _iterations(factors: Array, variance: float) -> Array:
    gain = theory.relu_gain(variance)
    return np.array([theory.iterations(float(e) / variance, gain) for e in factors])


def _deep(data: Data, s: AutoInitSettings) -> Figure:
    run = at("deep").of(data)
    x = run.block.values + 1.0 if "block" in run.coords else np.arange(1.0, s.depth + 1)

    def panel(title: str, reading: str) -> Curves:
        lines = [
            band(
                f"sigma_w^2 = {start:g}",
                run[reading].sel(start=start),
                x,
                role="control" if reading == "before" else "measured",
            )
            for start in run.start.values
        ]
        levels = [level(f"sigma_w^2/2 = {v / 2:g}", v / 2, x) for v in run.start.values]
        return Curves(
            title, Axis("block"), Axis("Jacobian norm J of the block", "log"),
            [*lines, *(levels if reading == "before" else [level("critical", 1.0, x)])],
        )  # fmt: skip

    return Figure(
        "deep", f"{s.depth} ReLU layers, as drawn and after AutoInit",
        "Median over seeds, band from the least to the largest. After tuning J is read with probes that the tuning has "
        "not seen; the layers differ from J = 1 by the noise of the estimate.",
        [panel("as drawn", "before"), panel("after AutoInit", "after")],
        ("deep-steps", "deep-critical", "deep-log-steps", "deep-log-critical"),
    )  # fmt: skip


def _descent(data: Data, s: AutoInitSettings) -> Figure:
    run = at("square", rule="log").of(data)
    lines = []
    for start in run.start.values:
        path = run.path.sel(start=start)
        path = path.isel(step=slice(0, 9)) if path.sizes["step"] > 9 else path
        steps = np.arange(path.sizes["step"], dtype=float)
        lines.append(band(f"measured from {start:g}", path, steps))
        lines.append(Line(f"theory from {start:g}", steps, _theory_path(float(start), len(steps)), role="theory"))
    descent = Curves("mean J along the descent", Axis("step"), Axis("mean J over blocks", "log"), lines)
    erf = at("erf").of(data).scale
    x = np.arange(1.0, s.short + 1)
    scales = Curves(
        "where a sigma_w ends, from sigma_w = 2", Axis("block"), Axis("a sigma_w"),
        [
            band("erf", erf.sel(activation="erf"), x),
            band("ReLU", erf.sel(activation="relu"), x),
            level("limit of erf", np.sqrt(np.pi) / 2, x),
            level("theory of ReLU", np.sqrt(2), x),
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
        scale = theory.autoinit_step(scale, 0.5 / start, theory.relu_gain(start))
    return np.array(found)


def _curves(data: Data, s: AutoInitSettings) -> Figure:
    run = data["mlp"]

    def panel(title: str, reading: str, label: str) -> Curves:
        lines = [
            band(str(way), run[reading].sel(way=way), role="control" if str(way).startswith("untuned") else "measured")
            for way in run.way.values
        ]
        return Curves(title, STEP, Axis(label), lines)

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
        accuracy = data[name].test_accuracy
        lines = [band(label, accuracy.sel(way=way)) for way, label in WAYS.items()]
        # six bands over each other show nothing
        lines = [lines[0], *(replace(line, low=None, high=None) for line in lines[1:])]
        panels.append(Curves(title, STEP, Axis("test accuracy", limits=(0, 1.02)), lines))
    return Figure(
        "images", "The common initializations beside AutoInit",
        f"One learning rate ({s.image_rate:g}) for all. Median over seeds; the band, from the least to the largest, is "
        "that of AutoInit.", panels,
        ("vgg-trains", "vgg-like-kaiming", "vgg-beats-lsuv", "norm-blind", "resmlp-trains"),
    )  # fmt: skip


def _ways(data: Data, s: AutoInitSettings) -> Figure:
    run = data["ways"].jacobian
    panels = []
    for network in run.network.values:
        found = run.sel(network=network)
        lines = []
        for way, label in WAYS.items():
            total = np.log10(found.sel(way=way)).cumsum("block").where(np.isfinite(found.sel(way=way)))
            lines.append(band(label, 10**total, np.arange(1.0, total.sizes["block"] + 1)))
        panels.append(Curves(str(network), Axis("block"), Axis("product of J up to the block", "log"), lines))
    return Figure(
        "ways", "How gradients grow or vanish over depth",
        "The product of the Jacobian norms of the blocks, on noise that no initialization has seen.", panels,
        ("vgg-critical", "resmlp-growth"),
    )  # fmt: skip
