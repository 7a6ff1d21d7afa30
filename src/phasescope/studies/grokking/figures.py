"""The figures of the study ``grokking``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.ensemble import last, streams
from phasescope.figures import Axis, Curves, Figure, HeatMap, Histogram, Line
from phasescope.lab.readings import band, crossing
from phasescope.lab.study import part
from phasescope.studies.grokking.settings import GrokkingSettings
from phasescope.vocabulary import Array

STEP = Axis("step", "log")
ACCURACY = Axis("accuracy", limits=(-0.02, 1.02))
NAMES = {
    "gd": "gradient descent",
    "momentum": "momentum 0.9",
    "decay": "weight decay",
    "dropout": "dropout 0.2",
}


def figures(data: xr.Dataset, s: GrokkingSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (
        _learning(data, s),
        _times(data, s),
        _participation(data, s),
        _phases(data, s),
        _neurons(data, s),
        _widths(data, s),
        _diagram(data, s),
    )


def _learning(data: xr.Dataset, s: GrokkingSettings) -> Figure:
    gd = part(data, "gd").sel(train_fraction=s.high)
    noise = part(data, "shuffled").isel(train_fraction=0, corruption=0)
    accuracy = Curves(
        "first the table, then the law", STEP, ACCURACY,
        [
            band("training", gd.train_accuracy), band("test", gd.test_accuracy),
            band("test, random labels", noise.test_accuracy, role="control"),
        ],
    )  # fmt: skip
    loss = Curves(
        "the test loss rises before it falls", STEP, Axis("mean squared error", "log"),
        [band("training", gd.train_loss), band("test", gd.test_loss)],
    )  # fmt: skip
    norms = Curves(
        "weights grow as the law is found", STEP, Axis("norm / its value at the start", "log"),
        [
            band("weights", gd.weight_norm / gd.weight_norm.isel(step=0)),
            band("gradient", gd.gradient_norm / gd.gradient_norm.isel(step=0)),
        ],
    )  # fmt: skip
    return Figure(
        "learning", f"Plain gradient descent on n + m mod {s.p}, training on {s.high:g} of the table",
        f"Median over {s.seeds} seeds, band from the least to the largest.", [accuracy, loss, norms],
        ("gd-generalizes", "delay", "test-loss-rises", "test-loss-peak", "test-loss-falls"),
    )  # fmt: skip


def _time(values: xr.DataArray) -> xr.DataArray:
    steps = crossing(values, 0.9)
    middle = steps.median("seed")
    return steps.where(np.isfinite(middle))


def _times(data: xr.Dataset, s: GrokkingSettings) -> Figure:
    fractions = np.array(s.fractions)
    descent = {label: part(data, name)["test_accuracy"] for name, label in NAMES.items()}
    over = part(data, "adamw")["test_accuracy"]
    adamw = {f"AdamW, weight decay {decay:g}": over.sel(weight_decay=decay) for decay in s.decays}
    adamw["mini-batch AdamW, batch norm"] = part(data, "batchnorm")["test_accuracy"]
    x = Axis("fraction of the table that trains")
    panels = []
    for title, group in (("gradient descent", descent), ("AdamW", adamw)):
        times = [band(label, _time(test), fractions) for label, test in group.items()]
        reached = [band(label, last(test), fractions) for label, test in group.items()]
        panels.append(Curves(f"{title}: time", x, Axis("steps to 90 % test accuracy", "log"), times))
        panels.append(Curves(f"{title}: outcome", x, Axis("test accuracy at the end", limits=(-0.02, 1.02)), reached))
    return Figure(
        "times", "Time to generalize, and whether it comes, against the training fraction",
        "Median over seeds where it is finite, band from the least to the largest seed. Steps of different optimizers "
        "are not comparable with each other.", panels,
        ("other-optimizers", "less-data", "below-critical", "less-data-takes-longer"),
    )  # fmt: skip


def _participation(data: xr.Dataset, s: GrokkingSettings) -> Figure:
    run = part(data, "adamw").sel(train_fraction=s.high).isel(weight_decay=-1)
    noise = part(data, "shuffled_adamw").isel(train_fraction=0, corruption=0)
    steps = run.step.values.astype(float)

    def level(label: str, value: float) -> Line:
        return Line(label, steps, np.full(len(steps), value), role="theory")

    curves = Curves(
        f"AdamW, weight decay {s.decays[-1]:g}", STEP, Axis("participation ratio; accuracy", limits=(0, 1.05)),
        [
            band("participation ratio", run.mean_participation),
            band("test accuracy", run.test_accuracy),
            band("participation, random labels", noise.mean_participation, role="control"),
            level("exact weights", theory.pure_participation()),
            level("random weights", theory.random_participation(s.p)),
        ],
    )  # fmt: skip
    samples = [("untrained", part(data, "untrained")["participation"].values.ravel())]
    samples.append(
        ("gradient descent", part(data, "gd")["end.participation"].sel(train_fraction=s.high).values.ravel())
    )
    samples.append((f"AdamW, weight decay {s.decays[-1]:g}", run["end.participation"].values.ravel()))
    histogram = Histogram("neurons at the end", Axis("participation ratio", limits=(0, 1)), samples)
    return Figure(
        "participation", "Neurons become single waves",
        "Inverse participation ratio of each neuron in Fourier space: 1 for one cosine, about 4/(p+1) for noise.",
        [curves, histogram], ("participation-rises", "participation-keeps-rising"),
    )  # fmt: skip


def _phases(data: xr.Dataset, s: GrokkingSettings) -> Figure:
    adamw = part(data, "adamw")["end.phase_alignment"].sel(train_fraction=s.high).isel(weight_decay=-1)
    samples = [
        ("untrained", part(data, "untrained")["phase_alignment"].values.ravel()),
        ("gradient descent", part(data, "gd")["end.phase_alignment"].sel(train_fraction=s.high).values.ravel()),
        (f"AdamW, weight decay {s.decays[-1]:g}", adamw.values.ravel()),
    ]
    histogram = Histogram("phase alignment", Axis("cos(phi1 + phi2 - phi3) per neuron", limits=(-1, 1)), samples)
    logit = part(data, "phase_errors")["correct_logit"]
    errors = logit.error.values
    fine = np.linspace(0, np.pi, 100)
    law = Curves(
        "what misalignment costs", Axis("phase error d (rad)"), Axis("correct logit"),
        [
            band(f"exact weights, width {s.exact_width}", logit.transpose("seed", "error"), errors),
            Line("sin(d)/d", fine, np.array([theory.correct_logit_factor(d) for d in fine]), role="theory"),
        ],
    )  # fmt: skip
    return Figure(
        "phases", "The phases of each neuron obey one constraint",
        "Left: all neurons of all seeds. Right: errors uniform in (-d, d) lower the correct logit.",
        [histogram, law], ("phases-gd", "phases-adamw", "phase-error-law"),
    )  # fmt: skip


def _plane(embed: Array, neuron: int) -> Array:
    z: Array = embed[0][:, None, neuron] + embed[1][None, :, neuron]
    spectrum = np.abs(np.fft.fft2(z - z.mean()))
    return np.asarray(np.fft.fftshift(spectrum) / spectrum.max())


def _output(embed: Array, readout: Array, q: int) -> Array:
    hidden = (embed[0][:, None] + embed[1][None]) ** 2 @ readout[q]
    spectrum = np.abs(np.fft.fft2(hidden - hidden.mean()))
    return np.asarray(np.fft.fftshift(spectrum) / spectrum.max())


def _neurons(data: xr.Dataset, s: GrokkingSettings) -> Figure:
    run = part(data, "gd").sel(train_fraction=s.high).isel(seed=0)
    embed, readout = run["final.embed"].values.astype(float), run["final.readout"].values.astype(float)
    exact = theory.addition_weights(s.p, s.width, streams(0)("init"))
    best = int(np.argmax(run["end.participation"].values))
    q = min(6, s.p - 1)
    frequency = np.arange(s.p) - s.p // 2
    x, y = Axis("frequency in n"), Axis("frequency in m")

    def panel(title: str, values: Array) -> HeatMap:
        return HeatMap(title, x, y, frequency, frequency, values.T, "magnitude / largest", limits=(0, 1))

    return Figure(
        "neurons", "Preactivations in Fourier space, learnt and written down",
        "A hidden neuron is one wave in n plus one in m: peaks on the axes. An output is a function of n + m: "
        "peaks on the diagonal. The exact network has weaker peaks too, of n - m and of n and m alone.",
        [panel(f"learnt neuron {best}", _plane(embed, best)), panel("exact neuron 1", _plane(exact[0], 0)),
         panel(f"learnt output q = {q}", _output(embed, readout, q)),
         panel(f"exact output q = {q}", _output(*exact, q))],
        ("phases-gd", "all-frequencies", "exact-accuracy"),
    )  # fmt: skip


def _widths(data: xr.Dataset, s: GrokkingSettings) -> Figure:
    widths, broken = part(data, "widths"), part(data, "broken_widths")
    x = Axis("width N")
    n = widths.width.values
    fine = np.arange(n.min(), n.max() + 1)
    predicted = np.array([theory.expected_accuracy(s.exact_p, int(k)) for k in fine])
    accuracy = Curves(
        "width needed", x, ACCURACY,
        [
            band("exact weights", widths.table_accuracy, n),
            Line("theory (independent logits)", fine, predicted, role="theory"),
            band("phase errors up to pi/2", broken.table_accuracy, n, role="control"),
        ],
        marks=((float(theory.width_needed(s.exact_p)), "99 % in theory"),),
    )  # fmt: skip
    error = Curves(
        "error falls as 4/N", Axis("width N", "log"), Axis("mean squared error", "log"),
        [band("exact weights", widths.table_loss, n),
         Line("4/N", fine, np.array([theory.expected_squared_error(int(k)) for k in fine]), role="theory")],
    )  # fmt: skip
    return Figure(
        "widths", f"How wide the written-down network must be, modulo {s.exact_p}",
        "No training. Median over draws of the phases, band from the least to the largest.", [accuracy, error],
        ("exact-width", "exact-error", "exact-deviation"),
    )  # fmt: skip


def _diagram(data: xr.Dataset, s: GrokkingSettings) -> Figure:
    accuracy = last(part(data, "adamw")["test_accuracy"]).median("seed")
    heat = HeatMap(
        f"AdamW after {s.adam_steps} steps", Axis("fraction of the table that trains"), Axis("weight decay", "log"),
        np.array(s.fractions), np.array(s.decays),
        np.asarray(accuracy.transpose("weight_decay", "train_fraction").values), "median test accuracy", 0.5, (0, 1),
    )  # fmt: skip
    return Figure(
        "diagram", "A phase diagram of generalization", "The white line is the level one half.", [heat], ("less-data",)
    )  # fmt: skip
