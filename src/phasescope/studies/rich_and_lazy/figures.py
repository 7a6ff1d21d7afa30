"""The figures of the study ``rich-and-lazy``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.lab.drawing import Data, law, over
from phasescope.lab.measures import at, steps_to, value
from phasescope.lab.readings import band
from phasescope.studies.rich_and_lazy.neurons import BETA0, MOMENT, X, fitting_time, foreseen
from phasescope.studies.rich_and_lazy.settings import SMALL, RichLazySettings
from phasescope.theory import rich_lazy
from phasescope.vocabulary import Array

DELTA = Axis("delta")
LOWEST = 1e-6  # of the losses that are drawn
SHOWN = (-4.0, -1.0, 0.0, 1.0, 4.0)


def figures(data: Data, s: RichLazySettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_paths(data, s), _neuron(data, s), _products(data), _diagram(data, s), _relu(data, s), _addition(data, s))


def _points(label: str, values: xr.DataArray, x: Array) -> Line:
    """Return measured points with bars from the least to the largest seed: the line between them is theory's."""
    return replace(band(label, values, x), joined=False)


def _paths(data: Data, s: RichLazySettings) -> Figure:
    times, fine = np.array(s.times[1:]), np.geomspace(0.05, s.horizon, 150)
    losses: list[Line] = []
    kernels: list[Line] = []
    for delta in SHOWN:
        here = at("neuron", delta=delta).of(data).isel(time=slice(1, None))
        loss, distance = foreseen(delta, fine)
        losses += [_points(f"delta {delta:g}", here.loss.where(here.loss > LOWEST), times)]
        losses += [Line(f"theory, {delta:g}", fine, np.where(loss > LOWEST, loss, np.nan), role="theory")]
        kernels += [_points(f"delta {delta:g}", here.kernel_distance, times)]
        kernels += [Line(f"theory, {delta:g}", fine, distance, role="theory")]
    time = Axis("time", "log")
    return Figure(
        "paths", "One neuron from beta = (-1, 0) to (0, 1): exact paths and trained networks",
        "Points: trained by gradient descent on whitened data, median over seeds. Lines: the closed form. Upstream "
        "(delta above 0) fits first and moves its kernel least; downstream fits along its first direction, then turns.",
        [
            Curves("loss", time, Axis("loss / first loss", "log", (LOWEST, 2.0)), losses),
            Curves("change of the tangent kernel", time, Axis("kernel distance from the start"), kernels),
        ],
        ("kernel-distance", "kernel-moves-less", "time-to-fit"),
    )  # fmt: skip


def _neuron(data: Data, s: RichLazySettings) -> Figure:
    found, ends = at("neuron").of(data), at("rank_one", problem="published").of(data).end
    deltas, fine = found.delta.values, np.linspace(-4, 4, 81)
    horizon = np.array([s.horizon])
    seen = X / np.linalg.norm(X)
    null, solution = np.array([-seen[1], seen[0]]), MOMENT / float(np.linalg.norm(X))
    return Figure(
        "neuron", "What one neuron does, over delta",
        "Points: trained neurons (right: integrated flows), median over seeds. Lines: closed forms. Right, data that "
        "do not see one direction leave open where the function ends along it; delta decides. At -4 the neuron needs "
        "more time than it has.",
        [
            Curves(
                f"kernel distance at time {s.horizon:g}", DELTA, Axis("kernel distance"),
                [_points("trained", found.kernel_distance.isel(time=-1), deltas),
                 law("theory", lambda delta: foreseen(delta, horizon)[1][0], fine)],
            ),
            Curves(
                "time to 0.1 % of the loss", DELTA, Axis("time", "log"),
                [_points("trained", found.fitted.isel(delta=slice(1, None)), deltas[1:]),
                 law("theory", fitting_time, fine[fine >= -2])],
            ),
            Curves(
                "rank-one data: the end's null coordinate", DELTA, Axis("null coordinate"),
                [_points("flow", ends, ends.delta.values),
                 law("theory", lambda delta: rich_lazy.null_coordinate(BETA0, delta, null, solution), fine)],
            ),
        ],
        ("kernel-distance", "time-to-fit", "published-ends", "null-coordinate"),
    )  # fmt: skip


def _products(data: Data) -> Figure:
    found, deep = data["wide"], data["deep"]
    above = found.sel(delta=found.delta > 0)
    x, size = above.delta.values, Axis("delta", "log")
    floor = 1e-10
    kinds = {"shared": "shared singular vectors", "any": "any data"}
    gaps = [_points(f"potential, {words}", above.entropy.sel(measurements=kind).clip(floor), x)
            for kind, words in kinds.items()]  # fmt: skip
    gaps.append(_points("flow of the function, any data", above.function.sel(measurements="any").clip(floor), x))
    nuclear = [_points(words, above.nuclear.sel(measurements=kind), x) for kind, words in kinds.items()]
    reach = float(np.abs(deep.foreseen).max()) * 1.1
    ends = [
        Line(f"{int(layers)} layers", deep.foreseen.sel(layers=layers).values, deep.end.sel(layers=layers).values,
             joined=False)
        for layers in deep.layers.values
    ]  # fmt: skip
    same = np.array([-reach, reach])
    return Figure(
        "products", "Wide and deep linear networks: where they end",
        "Left, distance of the end from what is foreseen: the hyperbolic entropy is exact for data that share singular "
        "vectors and off for others, where the flow of the function stays exact. Median over seeds, bars from the "
        "least to the largest. Right, one point per network.",
        [
            Curves("wide: gap at the end", size, Axis("relative distance", "log"), gaps),
            Curves("wide: small delta means low rank", size, Axis("nuclear norm / that of least squares"), nuclear),
            Curves(
                "deep: the end's null coordinate", Axis("foreseen by the potential"), Axis("end of the flow"),
                [*ends, Line("equal", same, same, role="theory")],
            ),
        ],
        ("wide-function", "wide-entropy", "wide-entropy-is-off", "lazy-is-least-squares", "rich-is-low-rank",
         "deep-potential"),
    )  # fmt: skip


def _diagram(data: Data, s: RichLazySettings) -> Figure:
    found = data["relu"]
    readings = (
        ("test loss", "log10 of the test loss", np.log10(found.test_loss)),
        ("change of the tangent kernel", "kernel distance", found.kernel_distance),
        ("change of activation patterns", f"neurons (of {s.width})", found.flips),
    )
    tau, delta = Axis("scale tau", "log"), Axis("balance delta")
    panels = []
    for title, label, reading in readings:
        values = reading.isel(step=-1).median("seed").transpose("balance", "scale").values
        panels.append(HeatMap(title, tau, delta, found.scale.values, found.balance.values, values, label))
    return Figure(
        "diagram", "Two-layer ReLU students over scale and balance",
        f"After {s.checkpoints[-1]} steps, median over seeds: n = {s.samples}, d = {s.dimension}, {s.width} neurons, a "
        "teacher of 3. Small upstream starts (upper left) generalize best and change their patterns most; the kernel "
        "moves most a little downstream; large starts are lazy whatever their balance.",
        panels,
        ("upstream-generalizes", "upstream-changes-patterns", "large-is-lazy"),
    )  # fmt: skip


def _relu(data: Data, s: RichLazySettings) -> Figure:
    first, last, largest = s.checkpoints[0], s.checkpoints[-1], s.all_scales[-1]

    def panel(title: str, y: Axis, reading: str, step: int) -> Curves:
        measure = value(reading, step=step)
        return over(
            f"{title} after {step} steps", data, Axis("balance delta"), s.all_balances, y,
            {f"tau {SMALL:g}": (measure, at("relu", scale=SMALL))},
            control={f"tau {largest:g}": (measure, at("relu", scale=largest))},
        )  # fmt: skip

    return Figure(
        "relu", "An upstream start learns features fast, with small steps",
        "Median over seeds, band from the least to the largest. An upstream student changes its activation patterns "
        "most, though its parameters move least.",
        [
            panel("training loss", Axis("loss", "log"), "train_loss", first),
            panel("flipped patterns", Axis("neurons"), "flips", last),
            panel("moved parameters", Axis("distance"), "moved", last),
        ],
        ("upstream-learns-fast", "downstream-learns-slowly", "upstream-changes-patterns", "upstream-moves-little"),
    )  # fmt: skip


def _addition(data: Data, s: RichLazySettings) -> Figure:
    names = {
        "same_function": "readout times f, embedding over sqrt f",
        "embedding": "embedding times f",
        "readout": "readout times f squared",
    }
    groks = steps_to("test_accuracy", 0.9)
    return Figure(
        "addition", "Modular addition: small first weights grok sooner, upstream ones do not",
        f"Step at which test accuracy reaches 90 %, p = {s.p}, {s.train_fraction:.0%} of the table, AdamW; median over "
        "seeds, band from the least to the largest. The first changes the balance alone; the other two share a first "
        "function at each factor.",
        [over("", data, Axis("factor f of the first weights", "log"), s.all_factors, Axis("step", "log"),
              {words: (groks, at(name)) for name, words in names.items()})],
        ("grokking-upstream", "grokking-embedding", "grokking-at-small-scale"),
    )  # fmt: skip
