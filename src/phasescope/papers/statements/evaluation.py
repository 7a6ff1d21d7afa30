"""How language models are evaluated: calibration, worst cases, errors, and comparisons on the same items."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.evaluation import (
    calibration_error,
    calibration_floor,
    items_needed,
    mean_error,
    mild_mix,
    paired,
    worst_case,
)
from phasescope.papers.statement import Compared, at_most, exactly, near, statement
from phasescope.verdict import Source

ITEMS = 1000
CODE = "stanford-crfm/helm, src/helm/benchmark/metrics"


@statement(
    "002-07",
    "The expected calibration error over ten bins of equal mass sees who is too sure, and not who is right to doubt",
    Source(code=f"{CODE}/basic_metrics.py", tolerance="the scatter of 1,000 answers"),
)
def calibration() -> Iterator[Compared]:
    """1,000 answers: sure of all and right in seven of ten; and right as often as it says."""
    draw = streams(1)("calibration")
    sure = draw.random(ITEMS)
    yield near("always sure, right in 0.7", calibration_error(np.ones(ITEMS), draw.random(ITEMS) < 0.7), 0.3, 0.04)
    off = calibration_error(sure, draw.random(ITEMS) < sure)
    yield at_most("right as often as it says", off, 0.05)
    yield near("the same, less what so many answers scatter", off - calibration_floor(sure, draw), 0, 0.02)


@statement(
    "002-07",
    "Robustness is the worst case over an item and its perturbations, item by item, so it is the accuracy at most",
    Source(
        code="stanford-crfm/helm, src/helm/benchmark/metrics/metric.py, compute_worst_case_metrics",
        tolerance="the scatter of 20,000 items",
        checked=True,
    ),
)
def worst_cases() -> Iterator[Compared]:
    """Coins for an item and k perturbations are all right with probability 2^-(k+1)."""
    for k in (1, 3):
        coins = (streams(2)("coins", k).random((k + 1, 20 * ITEMS)) < 0.5).astype(float)
        worst = worst_case(coins)
        yield near(f"an item and {k} perturbations, all coins", worst.mean(), 2.0 ** -(k + 1), 0.015)
        yield exactly(f"items that the worst case of {k + 1} puts above themselves", (worst > coins[0]).sum(), 0)


@statement(
    "002-07",
    "The mild mix writes a question in lower case, with contractions, slips and spaces, and leaves its letters",
    Source(
        code="stanford-crfm/helm, src/helm/benchmark/augmentations/mild_mix_perturbation.py",
        tolerance="none: letters are counted",
        checked=True,
    ),
)
def mild_mixes() -> Iterator[Compared]:
    """A question without contractions has the same letters after it, in another order."""
    text = "Name every Country whose border touches the northern Ocean"
    mixed = {mild_mix(text, streams(3), item) for item in range(50)}
    same = [sorted(said.replace(" ", "")) == sorted(text.lower().replace(" ", "")) for said in mixed]
    yield exactly("of 50 mixes, other letters than the question's", len(same) - sum(same), 0)
    yield exactly(
        "the same stream writes another one", mild_mix(text, streams(3), 0) != mild_mix(text, streams(3), 0), 0
    )


@statement(
    "002-07",
    "Two models are told apart by fewer items where they answer the same ones",
    Source(
        ours="the paper reports accuracies one by one; the same items are compared here",
        tolerance="the errors are exact",
    ),
)
def same_items() -> Iterator[Compared]:
    """0.70 against 0.65 over 1,000 items, and the items needed where the two disagree on 0.15 of them."""
    better, worse = np.zeros(ITEMS), np.zeros(ITEMS)
    better[:700], worse[50:700] = 1, 1
    apart = math.hypot(mean_error(better), mean_error(worse))
    yield near("error of two accuracies, as if of different items", apart, math.sqrt((0.21 + 0.2275) / 999), 1e-9)
    yield at_most("error of the paired difference over that", mean_error(better - worse) / apart, 0.5)
    yield exactly("0.05 is told apart with 50 disagreements, all of one side", paired(better, worse).differs, 1)
    alone = (1.96 + 0.84) ** 2 * (0.21 + 0.2275) / 0.05**2
    yield at_most("items needed over those of different items", items_needed(0.05, 0.15) / alone, 0.5)
