"""Modular addition: learnt by plain gradient descent, and by weights that are written down."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams, train
from phasescope.instruments import LEARNING
from phasescope.learners import PowerMLP
from phasescope.papers.statement import Compared, at_least, near, statement
from phasescope.tasks import addition
from phasescope.theory.modular_addition import addition_weights, composed_addition_weights
from phasescope.verdict import Source
from phasescope.vocabulary import Array, Grid, Recipe

EXACT = Source(paper="Gromov 2023, Eqs. 6-7 and 12", value="100 %", tolerance="all but one pair in a thousand")


def answers(embed: Array, readout: Array) -> Array:
    """Return the class that the network with quadratic activation answers to each pair, (p, p)."""
    hidden = np.square(embed[0][:, None] + embed[1][None])
    found: Array = (hidden @ readout.T).argmax(-1)
    return found


def truth(p: int) -> Array:
    """Return the table (p, p) of n + m modulo p."""
    n = np.arange(p)
    return (n[:, None] + n[None]) % p


@statement("000-08", "Weights that are written down, not trained, answer every sum modulo 97 at width 500", EXACT)
def exact_addition() -> Iterator[Compared]:
    """The share of right answers in the whole table."""
    weights = addition_weights(97, 500, streams(1)("phases"))
    yield at_least("accuracy on all 97 x 97 pairs", (answers(*weights) == truth(97)).mean(), 0.999)


@statement("000-08", "They answer f(n) + g(m) when residues in the weights are replaced by f and g", EXACT)
def exact_squares() -> Iterator[Compared]:
    """n^2 + m^2 modulo 97, at width 500."""
    square = np.arange(97) ** 2 % 97
    weights = addition_weights(97, 500, streams(1)("phases"), f=lambda n: n**2, g=lambda m: m**2)
    right = answers(*weights) == truth(97)[square][:, square]
    yield at_least("accuracy of n^2 + m^2 on all pairs", right.mean(), 0.999)


@statement(
    "000-08",
    "Where F is two-to-one, reading F(n + m) off one preimage alone answers about half of the pairs",
    Source(
        paper="Gromov 2023, Sec. 3.2",
        value="about 51 %",
        derived="(p + 1) / (2 p), theory.modular_addition.one_branch_accuracy",
        tolerance="the share of pairs that noise answers by chance",
    ),
)
def one_preimage() -> Iterator[Compared]:
    """(n + m)^2 modulo 97, at width 500, read off one preimage, and off both."""
    target = truth(97) ** 2 % 97
    for branches, expected in (("one", 98 / 194), ("all", 1.0)):
        weights = composed_addition_weights(97, 500, streams(1)("phases"), outer=lambda s: s**2, branches=branches)
        words = "of one preimage" if branches == "one" else "of both preimages"
        yield near(f"accuracy {words}", (answers(*weights) == target).mean(), expected, 0.03)


@statement(
    "000-08",
    "Plain gradient descent without regularization fits the training sums first, and comes to know the others later",
    Source(
        paper="Gromov 2023, Fig. 1",
        ours="p = 23, width 200, four fifths of the table, one network: the study has more",
        tolerance="the smallest delay and the smallest rise of the test loss that we would call so",
    ),
)
def delayed_generalization() -> Iterator[Compared]:
    """1,100 steps on all training pairs at once, in the paper's parametrization."""
    net, task = PowerMLP(23, 200, parametrization="mean-field"), addition(23, train_fraction=0.8)
    recipe = Recipe(optimizer="sgd", lr=5.3e3, steps=1100, records=40)
    data = train(net, task, Grid(seeds=1), recipe, LEARNING, engine="looped").isel(seed=0)
    steps, known, fitted = data.step.values, data.test_accuracy.values, data.train_accuracy.values
    delay = steps[(known >= 0.9).argmax()] / steps[(fitted >= 0.99).argmax()]
    yield at_least("training accuracy at the end", fitted[-1], 0.99, trained=True)
    yield at_least("test accuracy at the end", known[-1], 0.95, trained=True)
    yield at_least("steps to test accuracy 0.9 over those to training accuracy 0.99", delay, 1.15, trained=True)
    peak = data.test_loss.values.max() / data.test_loss.values[0]
    yield at_least("highest test loss over the first: it rises before it falls", peak, 1.02, trained=True)
