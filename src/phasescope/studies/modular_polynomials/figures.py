"""The figures of the study ``modular-polynomials``: which reading is shown, of which cells, beside which law."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from phasescope.ensemble import last, streams
from phasescope.figures import Axis, Curves, Figure, HeatMap, Histogram, Line
from phasescope.lab.drawing import ACCURACY, Data, Series, curves, histogram, law, lines
from phasescope.lab.measures import at, end, mean
from phasescope.lab.polynomial_networks import experts_network, table_of
from phasescope.studies.modular_polynomials.settings import COMPOSED, LEARNABLE, PERTURBED, TWINS, PolynomialSettings
from phasescope.tasks import multiplication, parse
from phasescope.theory import chance, polynomial_forms, polynomial_weights, residues
from phasescope.vocabulary import Array, Member

TEST = Axis("test accuracy", limits=(-0.02, 1.02))
RATIO_OR_ACCURACY = Axis("inverse participation ratio; accuracy", limits=(0, 1.05))


def figures(data: Data, s: PolynomialSettings) -> Sequence[Figure]:
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
         _picture("n1*n2", product, numbers), _picture("n1*n2, in log order", product, residues.power_order(s.p))],
        ("certificate",),
    )  # fmt: skip


def _learnability(data: Data, s: PolynomialSettings) -> Figure:
    panels = []
    for title, group in (("h(g1 + g2)", LEARNABLE), ("the same with one term added", PERTURBED)):
        series: Series = {text: ("test_accuracy", at("polynomials", polynomial=text)) for text in group}
        training: Series = {f"training, {group[0]}": ("train_accuracy", at("polynomials", polynomial=group[0]))}
        copied = max(polynomial_forms.copying_accuracy(table_of(s.p, parse(text)), 0.5) for text in group)
        panels.append(curves(title, data, TEST, {**series, **training}, levels={"copying twins at best": copied}))
    return Figure(
        "learnability", f"Learnable polynomials and the same with one term more, modulo {s.p}",
        f"Median over {s.seeds} seeds, band from the least to the largest; half of the table trains. All learn their "
        "training cells; only functions of one sum generalize, beyond what equal rows and columns give away "
        "(black: the best of the three, by copying).",
        panels, ("learnable", "perturbed", "certificate"),
    )  # fmt: skip


def _twins(data: Data, s: PolynomialSettings) -> Figure:
    fine = np.linspace(0.05, 0.95, 60)
    found: list[Line] = []
    for p, name, role in ((s.twin_p, "twins", "measured"), (s.twinless_p, "twinless", "control")):
        cell = at(name, train_fraction=s.twin_fractions)
        trained: Series = {f"trained, p = {p}": (end("test_accuracy"), cell)}
        found += lines(data, trained, np.array(s.twin_fractions), role=role)
        found.append(
            law(f"with a twin, p = {p}", partial(polynomial_forms.twin_fraction, table_of(p, parse(TWINS))), fine)
        )
    fractions = Curves(f"{TWINS}", Axis("fraction of the table that trains"), TEST, found)
    run = data["twins"]
    share, reached = run["twin_share"].values.ravel(), last(run.test_accuracy).values.ravel()
    order = np.argsort(share)
    each = Curves(
        "network by network", Axis("fraction of its test cells with a twin in training"), TEST,
        [Line(f"trained, p = {s.twin_p}", share[order], reached[order]),
         Line("equal", np.array([0.0, 1.0]), np.array([0.0, 1.0]), role="theory")],
    )  # fmt: skip
    return Figure(
        "twins", "An unlearnable polynomial with high test accuracy: its inputs have twins",
        f"Modulo {s.twin_p} (1 modulo 3) the cube is three-to-one, so each cell has two twins with the same label. "
        f"Modulo {s.twinless_p} (2 modulo 3) it is one-to-one, and nothing is learnt.", [fractions, each],
        ("twins", "no-twins"),
    )  # fmt: skip


def _products(data: Data, s: PolynomialSettings) -> Figure:
    product, memorized = at("product"), at("product_memorized")
    logs, plain = mean("participation_log", "neuron"), mean("participation", "neuron")
    waves = curves(
        f"n1 n2 mod {s.product_p}", data, RATIO_OR_ACCURACY,
        {"participation, log order": (logs, product), "participation, plain order": (plain, product),
         "test accuracy": ("test_accuracy", product)},
        control={"log order, memorized": (logs, memorized)},
        levels={"noise": chance.random_participation(s.product_p)},
    )  # fmt: skip
    neurons = histogram(
        "neurons at the end", data, Axis("inverse participation ratio", limits=(0, 1)),
        {"log order": (end("participation_log"), product), "plain order": (end("participation"), product),
         "log order, memorized": (end("participation_log"), memorized)},
    )  # fmt: skip
    return Figure(
        "products", "A product is learnt as a sum of discrete logarithms",
        "Rows and columns taken as powers of a primitive root, 0 left out: there each neuron becomes one wave. In the "
        "order of the numbers themselves the same neurons look like noise. "
        f"Control: {s.product_memorized:g} of the table, memorized.", [waves, neurons],
        ("product-time", "product-log-waves", "product-raw-noise"),
    )  # fmt: skip


def _sums(data: Data, s: PolynomialSettings) -> Figure:
    total, memorized = at("sum"), at("sum_memorized")
    return Figure(
        "sums", f"A sum of {s.sum_terms} terms, activation x^{s.sum_terms}, width {s.sum_width}",
        f"Median over {s.seeds} seeds, band from the least to the largest; half of the table trains, or "
        f"{s.sum_memorized:g} of it, which is memorized.",
        [curves(f"{s.sum_terms} terms modulo {s.sum_p}", data, RATIO_OR_ACCURACY,
            {"training": ("train_accuracy", total), "test": ("test_accuracy", total),
             "participation": ("mean_participation", total)},
            control={"test, memorized": ("test_accuracy", memorized),
                "participation, memorized": ("mean_participation", memorized)}, x=Axis("step"))],
        ("sum-learnt", "sum-participation"),
    )  # fmt: skip


def _widths(data: Data, s: PolynomialSettings) -> Figure:
    accuracies: list[Line] = []
    errors: list[Line] = []
    for terms, widths in enumerate(s.widths, 2):
        cell, n = at(f"sums_{terms}", width=widths), np.array(widths)
        kappa = polynomial_weights.sum_error_constant(terms)
        accuracies += lines(data, {f"{terms} terms": ("table_accuracy", cell)}, n)
        errors += lines(data, {f"{terms} terms": ("table_loss", cell)}, n)
        errors.append(Line(f"{kappa:.1f} / N", n, kappa / n, role="theory"))
    wide: Series = {f"2 terms modulo {s.large_p}": ("table_accuracy", at("sums_large", width=s.large_widths))}
    accuracies += lines(data, wide, np.array(s.large_widths), role="control")
    return Figure(
        "widths", f"How wide written-down sums must be, modulo {s.width_p}",
        f"No training. Median over {s.draws} draws of the phases, band from the least to the largest. One term more "
        "takes a network about 6.5 times as wide.",
        [Curves("accuracy", Axis("width N", "log"), ACCURACY, accuracies),
         Curves("error", Axis("width N", "log"), Axis("mean squared error", "log"), errors)],
        ("sum-width", "sum-growth", "sum-error-2", "sum-error-3", "sum-error-4"),
    )  # fmt: skip


def _logits(s: PolynomialSettings) -> Figure:
    p, text = s.composed_moduli[0], COMPOSED[0]
    network = experts_network(p, text, s.expert_width, s.adder_width)
    network.initialize(streams(0)("init"))
    labels = table_of(p, parse(text)).ravel()
    inputs = torch.from_numpy(np.indices((p, p)).reshape(2, -1).T.copy())
    with torch.no_grad():
        logits = network.eval()(inputs).double().numpy()
    order = np.argsort(labels, kind="stable")
    outputs = np.arange(p)
    heat = HeatMap(
        f"{text} mod {p}", Axis("output q"), Axis("input, sorted by its answer"), outputs,
        np.arange(len(order)), logits[order], "logit", limits=(-0.25, 1.25),
    )  # fmt: skip
    right = logits[np.arange(len(labels)), labels]
    wrong = logits[np.arange(p)[None] != labels[:, None]]
    every = Histogram("all logits", Axis("logit"), [("of the answer", right), ("of other outputs", wrong)])
    return Figure(
        "logits", "A polynomial composed of experts",
        "One product network per monomial, a softmax, one adder; nothing is trained. The answer's logit is 1 on "
        "average, the others scatter about 0 with variance kappa_3 / N.", [heat, every],
        ("experts-exact", "experts-error"),
    )  # fmt: skip
