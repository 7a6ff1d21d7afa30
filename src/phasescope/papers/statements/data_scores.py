"""What examples are to networks: hard or easy, learnt early or late, agreed upon or not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from phasescope.data import row_gradients, scores
from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, at_most, near, statement
from phasescope.verdict import Source
from phasescope.vocabulary import Recipe

RECIPE = Recipe(lr=0.01, steps=200, batch=64, loss="cross_entropy", records=20)


@statement(
    "004-018",
    "The size of the error early in training (EL2N), and of the gradient (GraNd), single out wrong labels",
    Source(
        paper="Paul, Ganguli and Dziugaite 2021, arXiv:2107.07075, Definitions 2.1 and 2.2",
        derived="0.5 for a guess",
        tolerance="the scatter of 300 rows, of which 30 are flipped",
    ),
)
def wrong_labels() -> Iterator[Compared]:
    """300 digits, of which a tenth has a wrong label, 5 seeds: areas under the curve."""
    digits, chance = load_digits(), streams(1)("labels")
    rows = chance.permutation(len(digits.data))[:300]
    labels, flipped = digits.target[rows].copy(), np.arange(30)
    labels[flipped] = (labels[flipped] + chance.integers(1, 10, 30)) % 10
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    judged = scores(net, digits.data[rows] / 16, labels, seeds=5, recipe=RECIPE).judged(flipped)
    for name, what in (("el2n", "EL2N"), ("grand", "GraNd")):
        yield at_least(f"AUC of {what}", judged[name][0], 0.95, trained=True)


@statement(
    "003-176",
    "Networks learn the examples of structured data in one order; without structure only what they share is ordered",
    Source(
        paper="Hacohen, Choshen and Weinshall 2020, arXiv:1905.10854, abstract",
        derived="0 for networks on disjoint rows and labels without structure",
        tolerance="three times 1 / sqrt(240), the scatter of a rank correlation without order",
    ),
)
def orders() -> Iterator[Compared]:
    """Spearman correlation of accessibility, 240 rows, 6 seeds: digits, and balanced labels of white noise."""
    digits, chance = load_digits(), streams(2)("order")
    rows = chance.permutation(len(digits.data))[:240]
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    real = scores(net, digits.data[rows] / 16, digits.target[rows], seeds=6, recipe=RECIPE).order()
    net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4))
    noise, labels = chance.standard_normal((240, 20)), chance.permutation(np.arange(240) % 4)
    null = scores(net, noise, labels, seeds=6, recipe=RECIPE).order()
    yield at_least("digits, disjoint rows", real[2], 0.25, trained=True)
    yield at_most("no structure, disjoint rows", abs(null[2]), 0.2, trained=True)
    yield at_least("no structure, the same rows: the null must be disjoint", null[0], 0.3, trained=True)


@statement(
    "004-001",
    "m-coherence is 1 for orthogonal gradients and the number of examples for equal ones",
    Source(
        paper="Chatterjee and Zielinski 2022, arXiv:2203.10036",
        derived="m |mean g|^2 / mean |g|^2",
        tolerance="rounding",
    ),
)
def coherence() -> Iterator[Compared]:
    """A linear network of two outputs at zero: examples in orthogonal directions, then one example many times."""
    net = nn.Linear(12, 2, bias=False).double()
    zero, labels = {"weight": np.zeros((2, 12))}, torch.zeros(12, dtype=torch.int64)
    apart = row_gradients(net, zero, torch.eye(12, dtype=torch.float64), labels)
    same = row_gradients(net, zero, torch.ones(12, 12, dtype=torch.float64), labels)
    yield near("12 orthogonal gradients", apart[1], 1, 1e-9)
    yield near("12 equal gradients", same[1], 12, 1e-9)
