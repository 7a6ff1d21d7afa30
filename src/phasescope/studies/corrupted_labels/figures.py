"""The figures of the study ``corrupted-labels``: which reading is shown, of which cells, beside which law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.figures import Axis, Curves, Figure, HeatMap, Histogram, Line, PhaseMap
from phasescope.lab.drawing import ACCURACY, BANDS, STEP, Data, Series, curves, histogram, lines
from phasescope.lab.measures import Cell, at, value
from phasescope.lab.readings import band
from phasescope.studies.corrupted_labels.rows import deeper, neurons_at_end, phases, truth_level
from phasescope.studies.corrupted_labels.settings import CorruptedLabelsSettings
from phasescope.theory import chance
from phasescope.theory.label_corruption import PHASES, corruption_phase, zero_function_loss
from phasescope.vocabulary import Array

RATIO = Axis("inverse participation ratio", limits=(0, 1))
NAMES = {"coexistence": "coexistence", "partial": "partial inversion", "full": "full inversion"}
ACCURACIES = {
    "training": "train_accuracy",
    "test": "test_accuracy",
    "corrupted, as given": "corrupted_accuracy",
    "corrupted, as true": "corrected_accuracy",
}


def figures(data: Data, s: CorruptedLabelsSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    shown = (_learning, _forgetting, _neurons, _pruning, _logits, _dropout, _norm, *([_deeper] if deeper(s) else []))
    return (*(draw(data, s) for draw in shown), *(_diagram(data, kind) for kind in s.diagrams))


def _titled(s: CorruptedLabelsSettings) -> dict[str, Cell]:
    """Return the cells of Fig. 1 by the titles of their panels."""
    cells = {words: phases(s)[phase] for phase, words in NAMES.items()}
    return {f"{words}: weight decay {cell.knobs['weight_decay']:g}": cell for words, cell in cells.items()}


def _accuracies(cell: Cell) -> Series:
    return {label: (reading, cell) for label, reading in ACCURACIES.items()}


def _learning(data: Data, s: CorruptedLabelsSettings) -> Figure:
    truth = {"1 - ξ(1 - 1/p)": truth_level(s)}
    few = _accuracies(at("memorizing"))
    return Figure(
        "learning", f"n + m mod {s.p} with {s.corruption:.0%} of the training labels drawn at random",
        f"Training on {s.train_fraction:g} of the table. Corrupted samples are answered as given (memory) or as true "
        f"(understanding). {BANDS}",
        [*(curves(title, data, ACCURACY, _accuracies(cell), levels=truth) for title, cell in _titled(s).items()),
         curves(f"memorization: {s.low:g} of the table", data, ACCURACY, few)],
        ("coexistence", "coexistence-memorizes", "partial-inversion", "full-inversion", "full-inversion-train",
         "memorization", "two-stages-first", "two-stages-then"),
    )  # fmt: skip


def _forgetting(data: Data, s: CorruptedLabelsSettings) -> Figure:
    square, relu = (at(name, weight_decay=s.forget) for name in ("forgetting", "relu"))
    known: Series = {
        "quadratic": ("test_accuracy", square),
        "ReLU": ("test_accuracy", relu),
        **{
            f"cross-entropy, weight decay {decay:g}": ("test_accuracy", at("cross_entropy", weight_decay=decay))
            for decay in (s.partial, s.forget)
        },
    }
    return Figure(
        "forgetting", f"Forgetting: weight decay {s.forget:g}",
        f"Strong decay lets a quadratic network find the rule and then takes its weights away. {BANDS}",
        [
            curves("what is known", data, Axis("test accuracy", limits=(-0.02, 1.02)), known),
            curves("what it costs", data, Axis("mean squared error"),
                {"quadratic": ("train_loss", square), "ReLU": ("train_loss", relu)},
                levels={"the function 0, 1/p": zero_function_loss(s.p)}),
            curves("what is left", data, Axis("norm of the weights", "log"), {"quadratic": ("weight_norm", square)}),
        ],
        ("forgetting-knew", "forgetting", "relu-remembers", "cross-entropy-narrow"),
    )  # fmt: skip


def _neurons(data: Data, s: CorruptedLabelsSettings) -> Figure:
    cells = {words: phases(s)[phase] for phase, words in NAMES.items()}
    cells["random labels"] = at("random", weight_decay=0.0)
    participation: Series = {label: (neurons_at_end, cell) for label, cell in cells.items()}
    noise = ((chance.random_participation(s.p), "noise"),)
    ends = histogram("all neurons at the end", data, RATIO, participation, marks=noise)
    return Figure(
        "neurons", "Neurons become waves, or memorize",
        "Inverse participation ratio of each neuron in Fourier space: 1 for a single wave. Over training: the fraction "
        "of neurons in each bin, all seeds.",
        [ends, *(_history(cell.of(data), title) for title, cell in _titled(s).items())],
        ("two-kinds-memorizing", "two-kinds-waves", "two-kinds-nothing-between", "decay-makes-waves"),
    )  # fmt: skip


def _history(found: xr.Dataset, title: str, bins: int = 25) -> HeatMap:
    ratio = found.participation.transpose("step", "seed", "neuron").values[1:]
    edges = np.linspace(0, 1, bins + 1)
    counts = np.array([np.histogram(values[~np.isnan(values)], edges)[0] for values in ratio], dtype=np.float64)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    steps = found.step.values[1:].astype(np.float64)
    return HeatMap(title, STEP, RATIO, steps, (edges[1:] + edges[:-1]) / 2, shares.T, "fraction", limits=(0, 0.3))


def _pruning(data: Data, s: CorruptedLabelsSettings) -> Figure:
    orders = {
        "lowest first": ("pruned_lowest_participation", "measured"),
        "highest first": ("pruned_highest_participation", "measured"),
        "random order": ("pruned_random", "control"),
    }
    labels = {"train": "training", "test": "test", "corrupted": "corrupted, as given", "uncorrupted": "uncorrupted"}
    x = Axis("fraction of neurons taken out", limits=(0, 1))
    panels = []
    for phase in ("coexistence", "partial"):
        cell = phases(s)[phase]
        shares = cell.of(data).pruned.values
        for words, (name, role) in orders.items():
            left: Series = {label: (value(name, accuracy=kind), cell) for kind, label in labels.items()}
            panels.append(Curves(f"{NAMES[phase]}: {words}", x, ACCURACY, lines(data, left, shares, role=role)))
    return Figure(
        "pruning", "Memory and rule live in different neurons",
        "Neurons are taken out in the order of their inverse participation ratio. Lowest first, memory goes and the "
        f"rule stays; highest first, the rule goes and memory stays; in random order both go. {BANDS}", panels,
        ("prune-lowest-test", "prune-lowest-corrupted", "prune-lowest-train", "prune-highest-corrupted",
         "prune-highest-test", "prune-partial"),
    )  # fmt: skip


def _logits(data: Data, s: CorruptedLabelsSettings) -> Figure:
    logits = {"of the label given": "given_logit", "of the true label": "true_logit"}
    return Figure(
        "logits", "What the network says to a wrong label",
        f"Training samples whose label is wrong; the target of the label given is 1, of the true one 0. {BANDS}",
        [curves(title, data, Axis("mean logit"), {label: (name, cell) for label, name in logits.items()})
         for title, cell in _titled(s).items()],
        ("logits-memorized", "logits-corrected"),
    )  # fmt: skip


def _dropout(data: Data, s: CorruptedLabelsSettings) -> Figure:
    rates = np.array([0.0, *s.dropouts])
    cells = {"no dropout": phases(s)["coexistence"]}
    cells |= {f"dropout {rate:g}": at("dropout", dropout=rate) for rate in s.dropouts}

    def against_rate(label: str, reading: str) -> Line:
        ends = [last(cell.of(data)[reading]).drop_vars("dropout", errors="ignore") for cell in cells.values()]
        return band(label, xr.concat(ends, "rate"), rates)

    return Figure(
        "dropout", "Dropout corrects, and too much of it confuses",
        f"At the end of training. {BANDS}",
        [Curves("accuracies", Axis("dropout"), ACCURACY, [against_rate(*what) for what in ACCURACIES.items()]),
         histogram("neurons", data, RATIO, {label: (neurons_at_end, cell) for label, cell in cells.items()})],
        ("dropout-corrects", "dropout-makes-waves", "dropout-confuses"),
    )  # fmt: skip


def _norm(data: Data, s: CorruptedLabelsSettings) -> Figure:
    normed, noise = data["batch_norm"], data["noise_norm"]
    return Figure(
        "norm", f"Batch normalization turns memorizing neurons down, p = {s.norm_p}",
        f"Mini-batches of {s.batch}. Right: median over neurons of like inverse participation ratio, band from "
        "quartile to quartile, all seeds.",
        [histogram("neurons at the end", data, RATIO,
            {"with batch normalization": ("participation", at("batch_norm")),
             "without": ("participation", at("batches"))}),
         Curves("weights of batch normalization", RATIO, Axis("|γ| of the neuron"),
            [_scales("wrong labels", normed), _scales("random labels", noise, role="control")])],
        ("norm-weights", "norm-keeps-neurons", "norm-ignores"),
    )  # fmt: skip


def _scales(label: str, found: xr.Dataset, *, bins: int = 12, least: int = 5, **kind: str) -> Line:
    ratio, scale = (np.asarray(found[name].values).ravel() for name in ("participation", "norm_scale"))
    edges = np.linspace(0, 1, bins + 1)
    places = np.digitize(ratio, edges[1:-1])
    seen = [b for b in range(bins) if (places == b).sum() >= least]
    low, middle, high = (np.array([np.quantile(scale[places == b], q) for b in seen]) for q in (0.25, 0.5, 0.75))
    x = np.array([np.median(ratio[places == b]) for b in seen])
    return Line(label, x, middle, low, high, **kind)  # type: ignore[arg-type]


def _deeper(data: Data, s: CorruptedLabelsSettings) -> Figure:
    panels: list[Curves | Histogram] = []
    for name, (words, _, p, decay) in deeper(s).items():
        learning: list[Line] = []
        weights = {}
        for strength, role in ((0.0, "control"), (decay, "measured")):
            cell, label = at(name, weight_decay=strength), f"weight decay {strength:g}"
            accuracies = {"training": "train_accuracy", "test": "test_accuracy"}
            shown: Series = {f"{kind}, {label}": (reading, cell) for kind, reading in accuracies.items()}
            learning += lines(data, shown, role=role)
            weights[label] = "embed_participation", cell
        noise = ((chance.random_participation(p), "noise"),)
        panels.append(Curves(words, STEP, ACCURACY, learning))
        panels.append(histogram(f"{words}: input weights", data, RATIO, weights, marks=noise))
    return Figure(
        "deeper", "Deeper networks do the same",
        f"Training on {s.deep_fraction:g} of the table, {s.deep_corruption:.0%} of the labels drawn at random. {BANDS}",
        panels, tuple(f"{name}-{what}" for name in deeper(s) for what in ("understands", "waves")),
    )  # fmt: skip


def _diagram(data: Data, kind: str) -> Figure:
    found = data[f"diagram_{kind}"]
    axis = "dropout" if "dropout" in found.dims else "weight_decay"
    panels = [
        PhaseMap(
            f"{axis.replace('_', ' ')} {value:g}", Axis("fraction of the table that trains"), Axis("corruption ξ"),
            found.train_fraction.values, found.corruption.values, _phases(found.sel({axis: value})), PHASES,
        )
        for value in found[axis].values
    ]  # fmt: skip
    title = {"decay": "quadratic", "dropout": "quadratic", "relu": "ReLU", "cross_entropy": "quadratic, cross-entropy"}
    return Figure(
        f"diagram-{kind}", f"Phases of a two-layer network ({title[kind]})",
        "Phases by Table 2 of the paper, from the median accuracies over seeds.", panels, ("decay-needs-less-data",),
    )  # fmt: skip


def _phases(found: xr.Dataset) -> Array:
    """Return the phase index (corruption, train_fraction) of the median accuracies over seeds."""
    test = found.test_accuracy.median("seed")
    train, final = last(found.train_accuracy).median("seed"), last(found.test_accuracy).median("seed")
    dims = ("corruption", "train_fraction")
    parts = xr.broadcast(train, final, found.corruption, test.max("step"))
    return corruption_phase(*(values.transpose(*dims).values for values in parts))
