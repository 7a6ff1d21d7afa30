"""The figures of the study ``modular-polynomials``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from phasescope import theory
from phasescope.ensemble import last, streams
from phasescope.figures import Axis, Curves, Figure, HeatMap, Histogram, Line
from phasescope.lab.polynomial_networks import experts_network, table_of
from phasescope.lab.readings import band
from phasescope.lab.study import part
from phasescope.studies.modular_polynomials.settings import LEARNABLE, PERTURBED, TWINS, PolynomialSettings
from phasescope.tasks import multiplication, parse
from phasescope.vocabulary import Array, Member

STEP = Axis("step", "log")
ACCURACY = Axis("accuracy", limits=(-0.02, 1.02))
TEST = Axis("test accuracy", limits=(-0.02, 1.02))
COMPOSED = "2*n1^4*n2 + n1^2*n2^2 + 3*n1*n2^3"


def figures(data: xr.Dataset, s: PolynomialSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (
        _tables(s),
        _learnability(data, s),
        _twins(data, s),
        _products(data, s),
        _sums(data, s),
        _widths(data, s),
        _logits(s),
    )


def _picture(title: str, table: Array, order: Sequence[int]) -> HeatMap:
    across = np.asarray(order)
    x, y = Axis("n1"), Axis("n2")
    if list(order) != sorted(order):
        x, y, across = Axis("log n1"), Axis("log n2"), np.arange(len(order))
    return HeatMap(title, x, y, across, across, table[np.ix_(order, order)].T.astype(float), "label")


def _tables(s: PolynomialSettings) -> Figure:
    product = multiplication(s.p).law(Member({}, 0)).table
    numbers = range(s.p)
    return Figure(
        "tables", f"Four tables modulo {s.p}, and what makes them learnable",
        "The learnable polynomial is the same for n2 and -n2, and each of its columns holds the same values in another "
        "order; the added term n1 n2 breaks both. A product is a sum once its rows and columns stand in the order of "
        "their discrete logarithms.",
        [_picture(LEARNABLE[0], table_of(s.p, parse(LEARNABLE[0])), numbers),
         _picture(PERTURBED[0], table_of(s.p, parse(PERTURBED[0])), numbers),
         _picture("n1*n2", product, numbers), _picture("n1*n2, in log order", product, theory.power_order(s.p))],
        ("certificate",),
    )  # fmt: skip


def _learnability(data: xr.Dataset, s: PolynomialSettings) -> Figure:
    run = part(data, "polynomials").isel(train_fraction=0)
    steps = run.step.values.astype(float)
    panels = []
    for title, group in (("h(g1 + g2)", LEARNABLE), ("the same with one term added", PERTURBED)):
        lines = [band(text, run.test_accuracy.sel(polynomial=text)) for text in group]
        lines.append(band(f"training, {group[0]}", run.train_accuracy.sel(polynomial=group[0])))
        copied = max(theory.copying_accuracy(table_of(s.p, parse(text)), 0.5) for text in group)
        lines.append(Line("copying twins at best", steps, np.full(len(steps), copied), role="theory"))
        panels.append(Curves(title, STEP, TEST, lines))
    return Figure(
        "learnability", f"Learnable polynomials and the same with one term more, modulo {s.p}",
        f"Median over {s.seeds} seeds, band from the least to the largest; half of the table trains. All learn their "
        "training cells; only functions of one sum generalize, beyond what equal rows and columns give away "
        "(black: the best of the three, by copying).",
        panels, ("learnable", "perturbed", "certificate"),
    )  # fmt: skip


def _twins(data: xr.Dataset, s: PolynomialSettings) -> Figure:
    fine = np.linspace(0.05, 0.95, 60)
    fractions = np.array(s.twin_fractions)
    lines = []
    for p, name, role in ((s.twin_p, "twins", "measured"), (s.twinless_p, "twinless", "control")):
        table = table_of(p, parse(TWINS))
        lines.append(band(f"trained, p = {p}", last(part(data, name).test_accuracy), fractions, role=role))
        share = np.array([theory.twin_fraction(table, a) for a in fine])
        lines.append(Line(f"share with a twin, p = {p}", fine, share, role="theory"))
    law = Curves(f"{TWINS}", Axis("fraction of the table that trains"), TEST, lines)
    run = part(data, "twins")
    share, reached = run["twin_share"].values.ravel(), last(run.test_accuracy).values.ravel()
    order = np.argsort(share)
    each = Curves(
        "network by network", Axis("share of its test cells with a twin in training"), TEST,
        [Line(f"trained, p = {s.twin_p}", share[order], reached[order]),
         Line("equal", np.array([0.0, 1.0]), np.array([0.0, 1.0]), role="theory")],
    )  # fmt: skip
    return Figure(
        "twins", "An unlearnable polynomial with high test accuracy: its inputs have twins",
        f"Modulo {s.twin_p} (1 modulo 3) the cube is three-to-one, so each cell has two twins with the same label. "
        f"Modulo {s.twinless_p} (2 modulo 3) it is one-to-one, and nothing is learnt.", [law, each],
        ("twins", "no-twins"),
    )  # fmt: skip


def _products(data: xr.Dataset, s: PolynomialSettings) -> Figure:
    run = part(data, "product").isel(train_fraction=0)
    noise = part(data, "product_noise").isel(train_fraction=0, corruption=0)
    steps = run.step.values.astype(float)
    level = np.full(len(steps), theory.random_participation(s.product_p))
    curves = Curves(
        f"n1 n2 mod {s.product_p}", STEP, Axis("participation ratio; accuracy", limits=(0, 1.05)),
        [
            band("participation, log order", run.participation_log.mean("neuron")),
            band("participation, plain order", run.participation.mean("neuron")),
            band("test accuracy", run.test_accuracy),
            band("log order, random labels", noise.participation_log.mean("neuron"), role="control"),
            Line("noise", steps, level, role="theory"),
        ],
    )  # fmt: skip
    samples = [
        ("log order", last(run.participation_log).values.ravel()),
        ("plain order", last(run.participation).values.ravel()),
        ("log order, random labels", last(noise.participation_log).values.ravel()),
    ]
    histogram = Histogram("neurons at the end", Axis("participation ratio", limits=(0, 1)), samples)
    return Figure(
        "products", "A product is learnt as a sum of discrete logarithms",
        "Rows and columns taken as powers of a primitive root, 0 left out: there each neuron becomes one wave. In the "
        "order of the numbers themselves the same neurons look like noise.", [curves, histogram],
        ("product-time", "product-log-waves", "product-raw-noise"),
    )  # fmt: skip


def _sums(data: xr.Dataset, s: PolynomialSettings) -> Figure:
    run, noise = part(data, "sum"), part(data, "sum_noise").isel(corruption=0)
    curves = Curves(
        f"{s.sum_terms} terms modulo {s.sum_p}", Axis("step"), Axis("participation ratio; accuracy", limits=(0, 1.05)),
        [band("training", run.train_accuracy), band("test", run.test_accuracy),
         band("participation", run.mean_participation),
         band("test, random labels", noise.test_accuracy, role="control"),
         band("participation, random labels", noise.mean_participation, role="control")],
    )  # fmt: skip
    return Figure(
        "sums", f"A sum of {s.sum_terms} terms, activation x^{s.sum_terms}, width {s.sum_width}",
        f"Median over {s.seeds} seeds, band from the least to the largest; half of the table trains.", [curves],
        ("sum-learnt", "sum-participation"),
    )  # fmt: skip


def _widths(data: xr.Dataset, s: PolynomialSettings) -> Figure:
    accuracies, errors = [], []
    for place, widths in enumerate(s.widths):
        terms = place + 2
        run, n = part(data, f"sums_{terms}"), np.array(widths)
        accuracies.append(band(f"{terms} terms", run.table_accuracy, n))
        errors.append(band(f"{terms} terms", run.table_loss, n))
        kappa = theory.sum_error_constant(terms)
        errors.append(Line(f"{kappa:.1f} / N", n, kappa / n, role="theory"))
    broken = part(data, f"broken_{len(s.widths) + 1}")
    accuracies.append(
        band(f"{len(s.widths) + 1} terms, free phases", broken.table_accuracy, broken.width.values, role="control")
    )
    return Figure(
        "widths", f"How wide written-down sums must be, modulo {s.width_p}",
        f"No training. Median over {s.draws} draws of the phases, band from the least to the largest. One term more "
        "takes a network about 6.5 times as wide.",
        [Curves("accuracy", Axis("width N", "log"), ACCURACY, accuracies),
         Curves("error", Axis("width N", "log"), Axis("mean squared error", "log"), errors)],
        ("sum-width", "sum-growth", "sum-error-2", "sum-error-3", "sum-error-4"),
    )  # fmt: skip


def _logits(s: PolynomialSettings) -> Figure:
    p = s.composed_moduli[0]
    network = experts_network(p, COMPOSED, s.expert_width, s.adder_width)
    network.initialize(streams(0)("init"))
    labels = table_of(p, parse(COMPOSED)).ravel()
    inputs = torch.from_numpy(np.indices((p, p)).reshape(2, -1).T.copy())
    with torch.no_grad():
        logits = network.eval()(inputs).double().numpy()
    order = np.argsort(labels, kind="stable")
    outputs = np.arange(p)
    heat = HeatMap(
        f"{COMPOSED} mod {p}", Axis("output q"), Axis("input, sorted by its answer"), outputs,
        np.arange(len(order)), logits[order], "logit", limits=(-0.25, 1.25),
    )  # fmt: skip
    right = logits[np.arange(len(labels)), labels]
    wrong = logits[np.arange(p)[None] != labels[:, None]]
    histogram = Histogram("all logits", Axis("logit"), [("of the answer", right), ("of other outputs", wrong)])
    return Figure(
        "logits", "A polynomial composed of experts",
        "One product network per monomial, a softmax, one adder; nothing is trained. The answer's logit is 1 on "
        "average, the others scatter about 0 with variance kappa_3 / N.", [heat, histogram],
        ("experts-exact", "experts-error"),
    )  # fmt: skip
