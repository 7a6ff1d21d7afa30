"""What ``phasescope polynomial`` finds: the facts of a polynomial's table, networks written down, networks trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import nn

from phasescope.checks import whole
from phasescope.ensemble import last, measure, train
from phasescope.errors import BadInput
from phasescope.instruments.logits import LEARNING, table_accuracy, table_loss
from phasescope.instruments.twins import twin_share
from phasescope.lab.polynomial_networks import POWERS, experts_network, form_network, sampled
from phasescope.learners import PowerMLP
from phasescope.tasks import ModularTable, Polynomial, parse, polynomial_table
from phasescope.theory import polynomial_forms, polynomial_weights, residues
from phasescope.vocabulary import Grid, Member, Recipe

Facts = dict[str, Any]
LARGEST = 50_000_000  # rows x width that one reading may hold
MOST_TRAINED, MOST_SEEDS = 20_000, 10_000
WIDTH, EXPERT_WIDTH, STEPS = 500, 500, 400


def examined(
    text: str, p: int, *, train_too: bool = False, seeds: int = 5, train_fraction: float = 0.5
) -> Facts:  # fmt: skip
    """Return everything that is known of the polynomial ``text`` modulo the prime ``p``, as plain data.

    ``seeds`` draws of each written-down network and, with ``train_too``, as many trained ones. Raises ``BadInput`` for
    text that is no polynomial, composite p, and tables too large.
    """
    polynomial = parse(text)
    residues.require_prime(p, "the algebra of polynomials (factors, discrete logarithms)")
    seeds = whole(1, MOST_SEEDS)("seeds", seeds)
    task = polynomial_table(p, polynomial, train_fraction=train_fraction)
    table = task.law(Member({}, 0)).table
    known = polynomial_forms.learnability(p, polynomial.padded(task.arity), table)
    labels = np.bincount(table.ravel(), minlength=p)
    return {
        "polynomial": str(polynomial),
        "reduced": str(polynomial.reduced(p)),
        "p": p,
        "variables": task.arity,
        "rows": int(table.size),
        "distinct": [_distinct(table, place) for place in range(table.ndim)],
        "chance": 1 / p,
        "majority": {"label": int(labels.argmax()), "share": float(labels.max() / table.size)},
        "train_fraction": train_fraction,
        "twin_share": polynomial_forms.twin_fraction(table, train_fraction),
        "copying_accuracy": polynomial_forms.copying_accuracy(table, train_fraction),
        "answer": known.answer,
        "reason": known.reason,
        "certificate": known.certificate,
        "form": _form(known.form),
        "networks": [_measured(*network, task, seeds) for network in _networks(p, polynomial, known.form)],
        "trained": _trained(task, seeds) if train_too else None,
    }


def _distinct(table: Any, place: int) -> int:
    lines = np.moveaxis(table, place, 0).reshape(table.shape[place], -1)
    return len(np.unique(lines, axis=0))


def _form(form: polynomial_forms.Form | None) -> Facts | None:
    if form is None:
        return None
    return {"kind": form.kind, "inner": [list(g) for g in form.inner], "outer": list(form.outer)}


def _networks(
    p: int, polynomial: Polynomial, form: polynomial_forms.Form | None
) -> Sequence[tuple[str, int, nn.Module]]:
    """Return (construction, largest width, network) of all that can be written down."""
    found: list[tuple[str, int, nn.Module]] = []
    if form and len(form.inner) <= max(POWERS):
        name = "h(g1 + g2 + ...)" if form.kind == "additive" else "h(g1 g2 ...), by discrete logarithms"
        width = _width(len(form.inner))
        found.append((f"exact weights, {name}", width, form_network(p, width, form)))
    monomials = sum(1 for exponents, c in polynomial.terms if exponents and c % p)
    if polynomial.arity <= 2 and 2 <= monomials <= max(POWERS):
        width = _width(monomials)
        network = experts_network(p, polynomial, EXPERT_WIDTH, width)
        found.append((f"{monomials} experts and an adder", width, network))
    return found


def _width(terms: int) -> int:
    """Return a width at which a sum of ``terms`` is answered to 99.9 % and more at p = 23."""
    return max(WIDTH, round(50 * polynomial_weights.sum_error_constant(terms)))


def _measured(name: str, width: int, network: nn.Module, task: ModularTable, seeds: int) -> Facts:
    rows = sampled(task, max(LARGEST // width, 1000))
    found = measure(network, rows, Grid(seeds=seeds), (table_accuracy, table_loss))
    return {
        "construction": name,
        "width": width,
        "rows": len(rows.inputs),
        "accuracy": found["table_accuracy"].values.tolist(),
        "error": found["table_loss"].values.tolist(),
    }


def _trained(task: ModularTable, seeds: int) -> Facts:
    if len(task.inputs) > MOST_TRAINED or task.arity > max(POWERS):
        raise BadInput(
            f"--train: the table has {len(task.inputs):,} rows of {task.arity} variables, and at most {MOST_TRAINED:,} "
            f"rows of {max(POWERS)} variables are trained here: choose a smaller p, or train with ps.train."
        )
    learner = PowerMLP(task.modulus, WIDTH, arity=task.arity, activation=POWERS[task.arity])
    recipe = Recipe(lr=0.005, weight_decay=5.0, steps=STEPS, records=12)
    data = train(learner, task, Grid(seeds=seeds), recipe, LEARNING, at_end=(twin_share,))
    return {
        "construction": f"trained: activation x^{task.arity}, AdamW, {STEPS} steps",
        "width": WIDTH,
        "accuracy": last(data["test_accuracy"]).values.tolist(),
        "train_accuracy": last(data["train_accuracy"]).values.tolist(),
        "error": last(data["test_loss"]).values.tolist(),
        "twin_share": data["twin_share"].values.tolist(),
    }


def document(facts: Any) -> Any:
    """Return ``facts`` as JSON can hold them: numbers that are not finite become None."""
    if isinstance(facts, dict):
        return {name: document(value) for name, value in facts.items()}
    if isinstance(facts, list):
        return [document(value) for value in facts]
    return None if isinstance(facts, float) and not np.isfinite(facts) else facts


def shown(facts: Mapping[str, Any]) -> RenderableType:
    """Return the facts of ``examined`` as two tables and a sentence."""
    table = Table(box=None, show_header=False)
    majority, share = facts["majority"], facts["train_fraction"]
    lines = " x ".join(map(str, facts["distinct"]))
    for name, value in (
        ("polynomial", facts["polynomial"]),
        (f"as a function mod {facts['p']}", facts["reduced"]),
        ("table", f"{facts['rows']:,} cells, {facts['variables']} variables; distinct values of each: {lines}"),
        (
            "chance, majority class",
            f"{_percent(facts['chance'])}, {_percent(majority['share'])} (label {majority['label']})",
        ),
        ("twins", f"{_percent(facts['twin_share'])} of the test cells have one, training on {share:g} of the table"),
        ("answer", facts["answer"]),
    ):
        table.add_row(Text(name, style="bold"), Text(value))
    answer = {"exact weights": "learnable by the hypothesis", "excluded": "unlearnable by the hypothesis"}
    reason = Text(f"{answer.get(facts['answer'], 'undecided')}: {facts['reason']}.")
    return Group(table, reason, Text(), _side_by_side(facts))


def _side_by_side(facts: Mapping[str, Any]) -> Table:
    table = Table("network", "width", "accuracy, all cells", "mean squared error", box=None)
    for network in facts["networks"]:
        rows = "" if network["rows"] == facts["rows"] else f" ({network['rows']:,} cells)"
        accuracy = _range(network["accuracy"], _percent) + rows
        table.add_row(
            network["construction"], str(network["width"]), accuracy, _range(network["error"], "{:.4f}".format)
        )
    if not facts["networks"]:
        table.add_row("none written down", "", "", "")
    trained = facts["trained"]
    if trained:
        accuracy = (
            f"test {_range(trained['accuracy'], _percent)}, training {_range(trained['train_accuracy'], _percent)}"
        )
        error = f"test {_range(trained['error'], '{:.4f}'.format)}"
        table.add_row(trained["construction"], str(trained["width"]), accuracy, error)
        table.add_row("copying twins, else the majority class", "", f"test {_percent(facts['copying_accuracy'])}", "")
    return table


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _range(values: Sequence[float], text: Any) -> str:
    middle, low, high = text(float(np.median(values))), text(min(values)), text(max(values))
    return middle if low == high else f"{middle} [{low} to {high}]"
