"""The figures of the study ``grokking``: which reading is shown, of which cells, beside which law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope.ensemble import last, streams
from phasescope.figures import Axis, Figure, HeatMap, Histogram
from phasescope.lab.drawing import ACCURACY, BANDS, Data, curves, histogram, over
from phasescope.lab.measures import Measure, at, end, start, value
from phasescope.lab.readings import crossing
from phasescope.studies.grokking.settings import GrokkingSettings
from phasescope.theory import chance, modular_addition
from phasescope.vocabulary import Array

FRACTION = Axis("fraction of the table that trains")
DESCENT = {"gradient descent": "gd", "momentum 0.9": "momentum", "weight decay": "decay", "dropout 0.2": "dropout"}


def figures(data: Data, s: GrokkingSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return tuple(draw(data, s) for draw in (_learning, _times, _participation, _phases, _neurons, _widths, _diagram))


def _learning(data: Data, s: GrokkingSettings) -> Figure:
    gd = at("gd", train_fraction=s.high)

    def relative(norm: str) -> Measure:
        return value(norm) / start(norm)

    return Figure(
        "learning",
        f"Plain gradient descent on n + m mod {s.p}, training on {s.high:g} of the table",
        f"Median over {s.seeds} seeds, band from the least to the largest.",
        [
            curves("first the table, then the law", data, ACCURACY,
                {"training": ("train_accuracy", gd), "test": ("test_accuracy", gd)},
                control={"test, random labels": ("test_accuracy", at("shuffled"))}),
            curves("the test loss rises before it falls", data, Axis("mean squared error", "log"),
                {"training": ("train_loss", gd), "test": ("test_loss", gd)}),
            curves("weights grow as the law is found", data, Axis("norm / its value at the start", "log"),
                {"weights": (relative("weight_norm"), gd), "gradient": (relative("gradient_norm"), gd)}),
        ],
        ("gd-generalizes", "delay", "test-loss-peak", "test-loss-falls"),
    )  # fmt: skip


def _time(cell: xr.Dataset) -> xr.DataArray:
    steps = crossing(cell.test_accuracy, 0.9)
    return steps.where(np.isfinite(steps.median("seed")))


def _times(data: Data, s: GrokkingSettings) -> Figure:
    groups = {
        "gradient descent": {label: at(name) for label, name in DESCENT.items()},
        "AdamW": {
            **{f"AdamW, weight decay {decay:g}": at("adamw", weight_decay=decay) for decay in s.decays},
            "mini-batch AdamW, batch norm": at("batchnorm"),
        },
    }
    shown = (
        ("time", Axis("steps to 90 % test accuracy", "log"), _time),
        ("outcome", Axis("test accuracy at the end", limits=(-0.02, 1.02)), end("test_accuracy")),
    )
    return Figure(
        "times",
        "Time to generalize, and whether it comes, against the training fraction",
        "Median over seeds where it is finite, band from the least to the largest seed. Steps of different optimizers "
        "are not comparable with each other.",
        [
            over(f"{title}: {words}", data, FRACTION, s.fractions, y, {k: (read, cell) for k, cell in group.items()})
            for title, group in groups.items()
            for words, y, read in shown
        ],
        ("other-optimizers", "less-data", "below-critical", "less-data-takes-longer"),
    )


def _participation(data: Data, s: GrokkingSettings) -> Figure:
    adamw = at("adamw", train_fraction=s.high, weight_decay=s.decays[-1])
    name = f"AdamW, weight decay {s.decays[-1]:g}"
    return Figure(
        "participation",
        "Neurons become single waves",
        "Inverse participation ratio of each neuron in Fourier space: 1 for one cosine, about 4/(p+1) for noise.",
        [
            curves(name, data, Axis("participation ratio; accuracy", limits=(0, 1.05)),
                {"participation ratio": ("mean_participation", adamw), "test accuracy": ("test_accuracy", adamw)},
                control={"participation, random labels": ("mean_participation", at("shuffled_adamw"))},
                levels={"exact weights": chance.pure_participation(),
                    "random weights": chance.random_participation(s.p)}),
            _trained("neurons at the end", "participation", Axis("participation ratio", limits=(0, 1)), data, s),
        ],
        ("participation-rises", "participation-keeps-rising"),
    )  # fmt: skip


def _trained(title: str, reading: str, axis: Axis, data: Data, s: GrokkingSettings) -> Histogram:
    """Return the distribution of a reading of neurons, untrained and after two optimizers."""
    cells = {
        "untrained": at("untrained"),
        "gradient descent": at("gd", train_fraction=s.high),
        f"AdamW, weight decay {s.decays[-1]:g}": at("adamw", train_fraction=s.high, weight_decay=s.decays[-1]),
    }
    return histogram(title, data, axis, {label: (reading, cell) for label, cell in cells.items()})


def _phases(data: Data, s: GrokkingSettings) -> Figure:
    errors = at("phase_errors")
    return Figure(
        "phases",
        "The phases of each neuron obey one constraint",
        "Left: all neurons of all seeds. Right: errors uniform in (-d, d) lower the correct logit.",
        [
            _trained("phase alignment", "phase_alignment", Axis("cos(phi1 + phi2 - phi3) per neuron", limits=(-1, 1)),
                data, s),
            over("what misalignment costs", data, Axis("phase error d (rad)"), errors.of(data).error.values,
                Axis("correct logit"), {f"exact weights, width {s.exact_width}": ("correct_logit", errors)},
                laws={"sin(d)/d": modular_addition.correct_logit_factor}, fine=np.linspace(0, np.pi, 100)),
        ],
        ("phases-gd", "phases-adamw", "phases-adamw-rule", "phase-error-law"),
    )  # fmt: skip


def _spectrum(plane: Array) -> Array:
    size = np.abs(np.fft.fft2(plane - plane.mean()))
    return np.asarray(np.fft.fftshift(size) / size.max())


def _neurons(data: Data, s: GrokkingSettings) -> Figure:
    run = at("gd", train_fraction=s.high).of(data).isel(seed=0)
    learnt = run["final.embed"].values.astype(float), run["final.readout"].values.astype(float)
    exact = modular_addition.addition_weights(s.p, s.width, streams(0)("init"))
    best, q = int(np.argmax(run["participation"].values)), min(6, s.p - 1)
    frequency = np.arange(s.p) - s.p // 2

    def sums(embed: Array) -> Array:
        return np.asarray(embed[0][:, None] + embed[1][None])

    planes = {
        f"learnt neuron {best}": sums(learnt[0])[..., best],
        "exact neuron 1": sums(exact[0])[..., 0],
        f"learnt output q = {q}": sums(learnt[0]) ** 2 @ learnt[1][q],
        f"exact output q = {q}": sums(exact[0]) ** 2 @ exact[1][q],
    }
    x, y = Axis("frequency in n"), Axis("frequency in m")
    return Figure(
        "neurons",
        "Preactivations in Fourier space, learnt and written down",
        "A hidden neuron is one wave in n plus one in m: peaks on the axes. An output is a function of n + m: "
        "peaks on the diagonal. The exact network has weaker peaks too, of n - m and of n and m alone.",
        [
            HeatMap(title, x, y, frequency, frequency, _spectrum(plane).T, "magnitude / largest", limits=(0, 1))
            for title, plane in planes.items()
        ],
        ("phases-gd", "all-frequencies", "exact-accuracy"),
    )


def _widths(data: Data, s: GrokkingSettings) -> Figure:
    exact, broken = at("widths"), at("broken_widths")
    n = exact.of(data).width.values
    fine = np.arange(n.min(), n.max() + 1)
    return Figure(
        "widths",
        f"How wide the written-down network must be, modulo {s.exact_p}",
        f"No training. {BANDS.replace('seeds', 'draws of the phases')}",
        [
            over("width needed", data, Axis("width N"), n, ACCURACY, {"exact weights": ("table_accuracy", exact)},
                laws={"theory (independent logits)": lambda k: modular_addition.expected_accuracy(s.exact_p, int(k))},
                control={"phase errors up to pi/2": ("table_accuracy", broken)}, fine=fine,
                marks=((float(modular_addition.width_needed(s.exact_p)), "99 % in theory"),)),
            over("error falls as 4/N", data, Axis("width N", "log"), n, Axis("mean squared error", "log"),
                {"exact weights": ("table_loss", exact)},
                laws={"4/N": lambda k: modular_addition.expected_squared_error(int(k))}, fine=fine),
        ],
        ("exact-width", "exact-error", "exact-deviation"),
    )  # fmt: skip


def _diagram(data: Data, s: GrokkingSettings) -> Figure:
    accuracy = last(at("adamw").of(data).test_accuracy).median("seed").transpose("weight_decay", "train_fraction")
    heat = HeatMap(f"AdamW after {s.adam_steps} steps", FRACTION, Axis("weight decay", "log"), np.array(s.fractions),
               np.array(s.decays), np.asarray(accuracy.values), "median test accuracy", 0.5, (0, 1))  # fmt: skip
    return Figure(
        "diagram", "A phase diagram of generalization", "The white line is the level one half.", [heat], ("less-data",)
    )
