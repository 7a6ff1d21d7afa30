"""The figures of the study ``corrupted-labels``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.ensemble import last
from phasescope.figures import Axis, Curves, Figure, HeatMap, Histogram, Line, PhaseMap
from phasescope.lab.readings import band
from phasescope.lab.study import part
from phasescope.studies.corrupted_labels.rows import deeper, row, rows, truth_level
from phasescope.studies.corrupted_labels.settings import CorruptedLabelsSettings
from phasescope.vocabulary import Array

STEP = Axis("step", "log")
ACCURACY = Axis("accuracy", limits=(-0.02, 1.02))
RATIO = Axis("participation ratio", limits=(0, 1))
NAMES = {"coexistence": "coexistence", "partial": "partial inversion", "full": "full inversion"}
SEEDS = "Median over seeds, band from the least to the largest."


def figures(data: xr.Dataset, s: CorruptedLabelsSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    found = [
        _learning(data, s), _forgetting(data, s), _neurons(data, s), _pruning(data, s), _logits(data, s),
        _dropout(data, s), _norm(data, s),
    ]  # fmt: skip
    if deeper(s):
        found.append(_deeper(data, s))
    return (*found, *(_diagram(data, kind) for kind in s.diagrams))


def _titled(s: CorruptedLabelsSettings, phase: str) -> str:
    return f"{NAMES[phase]}: weight decay {rows(s)[phase][1]:g}"


def _learning(data: xr.Dataset, s: CorruptedLabelsSettings) -> Figure:
    panels = []
    for phase in NAMES:
        found = row(data, s, phase)
        lines = [
            band("training", found.train_accuracy), band("test", found.test_accuracy),
            band("corrupted, as given", found.corrupted_accuracy),
            band("corrupted, as true", found.corrected_accuracy),
        ]  # fmt: skip
        panels.append(
            Curves(_titled(s, phase), STEP, ACCURACY, [*lines, _level(found, truth_level(s), "1 - ξ(1 - 1/p)")])
        )
    few = part(data, "memorizing").isel(weight_decay=0)
    lines = [
        band("training", few.train_accuracy), band("test", few.test_accuracy),
        band("corrupted, as given", few.corrupted_accuracy), band("corrupted, as true", few.corrected_accuracy),
    ]  # fmt: skip
    panels.append(Curves(f"memorization: {s.low:g} of the table", STEP, ACCURACY, lines))
    return Figure(
        "learning", f"n + m mod {s.p} with {s.corruption:.0%} of the training labels drawn at random",
        f"Training on {s.train_fraction:g} of the table. Corrupted samples are answered as given (memory) or as true "
        f"(understanding). {SEEDS}", panels,
        ("coexistence", "coexistence-memorizes", "partial-inversion", "full-inversion", "full-inversion-train",
         "memorization", "two-stages-first", "two-stages-then"),
    )  # fmt: skip


def _level(found: xr.Dataset, value: float, label: str) -> Line:
    steps = found.step.values.astype(float)
    return Line(label, steps, np.full(len(steps), value), role="theory")


def _forgetting(data: xr.Dataset, s: CorruptedLabelsSettings) -> Figure:
    square, relu = (part(data, name).sel(weight_decay=s.forget) for name in ("forgetting", "relu"))
    entropy = part(data, "cross_entropy")
    accuracy = Curves(
        "what is known", STEP, Axis("test accuracy", limits=(-0.02, 1.02)),
        [
            band("quadratic", square.test_accuracy), band("ReLU", relu.test_accuracy),
            *(
                band(f"cross-entropy, weight decay {decay:g}", entropy.test_accuracy.sel(weight_decay=decay))
                for decay in (s.partial, s.forget)
            ),
        ],
    )  # fmt: skip
    loss = Curves(
        "what it costs", STEP, Axis("mean squared error"),
        [band("quadratic", square.train_loss), band("ReLU", relu.train_loss),
         _level(square, theory.zero_function_loss(s.p), "the function 0, 1/p")],
    )  # fmt: skip
    norm = Curves("what is left", STEP, Axis("norm of the weights", "log"), [band("quadratic", square.weight_norm)])
    return Figure(
        "forgetting", f"Forgetting: weight decay {s.forget:g}",
        f"Strong decay lets a quadratic network find the rule and then takes its weights away. {SEEDS}",
        [accuracy, loss, norm], ("forgetting-knew", "forgetting", "relu-remembers", "cross-entropy-remembers"),
    )  # fmt: skip


def _neurons(data: xr.Dataset, s: CorruptedLabelsSettings) -> Figure:
    random = part(data, "random")["participation"].sel(weight_decay=0.0)
    samples = [(NAMES[phase], last(row(data, s, phase)["participation"]).values.ravel()) for phase in NAMES]
    marks = ((theory.random_participation(s.p), "noise"),)
    ends = Histogram("all neurons at the end", RATIO, [*samples, ("random labels", random.values.ravel())], marks=marks)
    panels = [_history(row(data, s, phase), _titled(s, phase)) for phase in NAMES]
    return Figure(
        "neurons", "Neurons become waves, or memorize",
        "Participation ratio of each neuron in Fourier space: 1 for a single wave. Over training: the share of neurons "
        "in each bin, all seeds.", [ends, *panels],
        ("two-kinds-memorizing", "two-kinds-waves", "two-kinds-nothing-between", "decay-makes-waves"),
    )  # fmt: skip


def _history(found: xr.Dataset, title: str, bins: int = 25) -> HeatMap:
    ratio = found.participation.transpose("step", "seed", "neuron").values[1:]
    edges = np.linspace(0, 1, bins + 1)
    counts = np.array([np.histogram(values[~np.isnan(values)], edges)[0] for values in ratio], dtype=np.float64)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    steps = found.step.values[1:].astype(np.float64)
    return HeatMap(title, STEP, RATIO, steps, (edges[1:] + edges[:-1]) / 2, shares.T, "share", limits=(0, 0.3))


def _pruning(data: xr.Dataset, s: CorruptedLabelsSettings) -> Figure:
    orders = {
        "lowest first": "pruned_lowest_participation",
        "highest first": "pruned_highest_participation",
        "random order": "pruned_random",
    }
    labels = {"train": "training", "test": "test", "corrupted": "corrupted, as given", "uncorrupted": "uncorrupted"}
    x = Axis("share of neurons taken out", limits=(0, 1))
    panels = []
    for phase in ("coexistence", "partial"):
        for words, name in orders.items():
            curve = row(data, s, phase)[name]
            lines = [
                band(label, curve.sel(accuracy=kind), curve.pruned.values, role=_role(words))
                for kind, label in labels.items()
            ]
            panels.append(Curves(f"{NAMES[phase]}: {words}", x, ACCURACY, lines))
    return Figure(
        "pruning", "Memory and rule live in different neurons",
        "Neurons are taken out in the order of their participation ratio. Lowest first, memory goes and the rule "
        f"stays; highest first, the rule goes and memory stays; in random order both go. {SEEDS}", panels,
        ("prune-lowest-test", "prune-lowest-corrupted", "prune-lowest-train", "prune-highest-corrupted",
         "prune-highest-test", "prune-random", "prune-partial"),
    )  # fmt: skip


def _role(words: str) -> str:
    return "control" if words.startswith("random") else "measured"


def _logits(data: xr.Dataset, s: CorruptedLabelsSettings) -> Figure:
    panels = []
    for phase in NAMES:
        found = row(data, s, phase)
        lines = [band("of the label given", found.given_logit), band("of the true label", found.true_logit)]
        panels.append(Curves(_titled(s, phase), STEP, Axis("mean logit"), lines))
    return Figure(
        "logits", "What the network says to a wrong label",
        f"Training samples whose label is wrong; the target of the label given is 1, of the true one 0. {SEEDS}",
        panels, ("logits-memorized", "logits-corrected"),
    )  # fmt: skip


def _dropout(data: xr.Dataset, s: CorruptedLabelsSettings) -> Figure:
    found, plain = part(data, "dropout"), row(data, s, "coexistence")
    rates = np.array([0.0, *s.dropouts])

    def over(label: str, reading: str) -> Line:
        ends = [last(plain[reading]), *(last(found[reading].sel(dropout=rate)) for rate in s.dropouts)]
        return band(label, xr.concat([e.drop_vars("dropout", errors="ignore") for e in ends], "rate"), rates)

    lines = [
        over("training", "train_accuracy"), over("test", "test_accuracy"),
        over("corrupted, as given", "corrupted_accuracy"), over("corrupted, as true", "corrected_accuracy"),
    ]  # fmt: skip
    samples = [("no dropout", last(plain["participation"]).values.ravel())]
    samples += [(f"dropout {rate:g}", found["participation"].sel(dropout=rate).values.ravel()) for rate in s.dropouts]
    return Figure(
        "dropout", "Dropout corrects, and too much of it confuses",
        f"At the end of training. {SEEDS}",
        [Curves("accuracies", Axis("dropout"), ACCURACY, lines), Histogram("neurons", RATIO, samples)],
        ("dropout-corrects", "dropout-makes-waves", "dropout-confuses"),
    )  # fmt: skip


def _norm(data: xr.Dataset, s: CorruptedLabelsSettings) -> Figure:
    normed, plain, noise = (part(data, name) for name in ("batch_norm", "batches", "noise_norm"))
    samples = [
        ("with batch normalization", normed["participation"].values.ravel()),
        ("without", plain["participation"].values.ravel()),
    ]
    lines = [_scales("wrong labels", normed), _scales("random labels", noise, role="control")]
    return Figure(
        "norm", f"Batch normalization turns memorizing neurons down, p = {s.norm_p}",
        f"Mini-batches of {s.batch}. Right: median over neurons of like participation ratio, band from quartile to "
        "quartile, all seeds.",
        [Histogram("neurons at the end", RATIO, samples),
         Curves("weights of batch normalization", RATIO, Axis("|γ| of the neuron"), lines)],
        ("norm-weights", "norm-keeps-neurons"),
    )  # fmt: skip


def _scales(label: str, found: xr.Dataset, *, bins: int = 12, least: int = 5, **kind: str) -> Line:
    ratio, scale = (np.asarray(found[name].values).ravel() for name in ("participation", "norm_scale"))
    edges = np.linspace(0, 1, bins + 1)
    places = np.digitize(ratio, edges[1:-1])
    seen = [b for b in range(bins) if (places == b).sum() >= least]
    low, middle, high = (np.array([np.quantile(scale[places == b], q) for b in seen]) for q in (0.25, 0.5, 0.75))
    x = np.array([np.median(ratio[places == b]) for b in seen])
    return Line(label, x, middle, low, high, **kind)  # type: ignore[arg-type]


def _deeper(data: xr.Dataset, s: CorruptedLabelsSettings) -> Figure:
    panels: list[Curves | Histogram] = []
    for name, (words, _, p, decay) in deeper(s).items():
        found = part(data, name)
        lines, samples = [], []
        for value in (0.0, decay):
            run = found.sel(weight_decay=value)
            for kind in ("training", "test"):
                reading = run["train_accuracy" if kind == "training" else "test_accuracy"]
                lines.append(band(f"{kind}, weight decay {value:g}", reading, role="measured" if value else "control"))
            samples.append((f"weight decay {value:g}", run["embed_participation"].values.ravel()))
        panels.append(Curves(words, STEP, ACCURACY, lines))
        marks = ((theory.random_participation(p), "noise"),)
        panels.append(Histogram(f"{words}: input weights", RATIO, samples, marks=marks))
    return Figure(
        "deeper", "Deeper networks do the same",
        f"Training on {s.deep_fraction:g} of the table, {s.deep_corruption:.0%} of the labels drawn at random. {SEEDS}",
        panels, tuple(f"{name}-{what}" for name in deeper(s) for what in ("understands", "waves")),
    )  # fmt: skip


def _diagram(data: xr.Dataset, kind: str) -> Figure:
    found = part(data, f"diagram_{kind}")
    axis = "dropout" if "dropout" in found.dims else "weight_decay"
    panels = [
        PhaseMap(
            f"{axis.replace('_', ' ')} {value:g}", Axis("fraction of the table that trains"), Axis("corruption ξ"),
            found.train_fraction.values, found.corruption.values, _phases(found.sel({axis: value})), theory.PHASES,
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
    return theory.corruption_phase(*(values.transpose(*dims).values for values in parts))
