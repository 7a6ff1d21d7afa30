"""The claims of the study ``many-sided-evaluation``: what pruning costs besides accuracy, and what pairs need.

Accuracies, worst cases and calibration are means over the kinds of questions in which the whole decoder is above chance
by its interval; the others do not count, for any of the models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, at, at_least, at_most, by_seed, rank_correlation, value
from phasescope.studies.many_sided_evaluation.settings import EvaluationSettings
from phasescope.studies.many_sided_evaluation.told import HEALED, LONGER, NEAREST, WHOLE, block, blocks_of
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

HELM = "Liang et al. 2022, arXiv:2211.09110"
PRUNING = "Gromov et al. 2024, arXiv:2403.17887"
MATTERS = "the smallest difference that matters"
SPEAKERS, PAIRS = at("speakers"), at("pairs")
SIGNED, UNIT, RATIO = (-1.0, 1.0), (0.0, 1.0), (0.0, math.inf)


def claims(s: EvaluationSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_pruning(s), *_metrics(s), *_pairs(s))


def mean_of(one: xr.Dataset, name: str, models: str | Sequence[str]) -> Array:
    """Return a reading of one or more models, the mean over the kinds of questions that count; NaN if none does."""
    counts = one.counts.values > 0.5
    values = np.asarray(one[name].sel(model=models).values)[..., counts]
    found: Array = values.mean(-1) if counts.any() else np.full(values.shape[:-1], np.nan)
    return found


def compared(name: str, first: str, second: str, *, share: bool = False) -> Measure:
    """Return a reading of one model less that of another, or over it."""

    @partial(by_seed, words=f"{name}, {first} {'over' if share else 'less'} {second}")
    def read(one: xr.Dataset) -> float:
        a, b = (float(mean_of(one, name, model)) for model in (first, second))
        return (a / b if b else float("nan")) if share else a - b

    return read


def regained(before: str, after: str) -> Measure:
    """Return by how much bits per byte fall from one model to another, over what pruning adds to the whole's."""

    @partial(by_seed, words=f"bits per byte, {before} less {after}, over nearest less whole")
    def read(one: xr.Dataset) -> float:
        a, b, without, whole = (float(one.bits.sel(model=m)) for m in (before, after, NEAREST, WHOLE))
        return (a - b) / (without - whole) if without != whole else float("nan")

    return read


def _pruning(s: EvaluationSettings) -> Sequence[Claim]:
    n, first = s.gone, block(0, s.gone)
    flat = f"{PRUNING}, Sec. 4.1, Fig. 2: question answering is flat up to a fifth of the layers or more"
    rival = f"without the first {n} layers, as many"
    stays = "the paper asks for accuracy alone"
    return (
        Claim("answers-stay",
            f"Without the nearest {n} of {s.depth} layers at least 9 of 10 right answers stay",
            Source(paper=flat, ours="9 of 10", tolerance="one answer in ten"),
            compared("accuracy", NEAREST, WHOLE, share=True)(SPEAKERS), at_least(0.9),
            Control(rival, compared("accuracy", first, WHOLE, share=True)), range=RATIO),
        Claim("worst-cases-stay",
            f"Without the nearest {n} layers at least 9 of 10 answers stay that are right in the worst case, too",
            Source(ours=stays, tolerance="one answer in ten"),
            compared("robustness", NEAREST, WHOLE, share=True)(SPEAKERS), at_least(0.9),
            Control(rival, compared("robustness", first, WHOLE, share=True)), range=RATIO),
        Claim("calibration-stays",
            f"Without the nearest {n} layers the calibration error is at most 0.05 above that of the whole decoder",
            Source(ours=stays, tolerance=MATTERS), compared("ece", NEAREST, WHOLE)(SPEAKERS),
            at_most(0.05), Control(rival, compared("ece", first, WHOLE)), range=SIGNED),
        Claim("healing-bits",
            f"{s.heal_steps} steps of healing bring back half of the bits per byte that the nearest {n} layers cost",
            Source(paper=f"{PRUNING}, Sec. 4.2, Fig. 3", ours="a half", tolerance="more is back than is gone"),
            regained(NEAREST, HEALED)(SPEAKERS), at_least(0.5),
            Control("what the whole decoder gains by the same steps", regained(WHOLE, LONGER))),
        Claim("healing-answers",
            f"{s.heal_steps} steps of healing bring right answers back (by 0.02 or more)",
            Source(paper=f"{PRUNING}, Sec. 4.1: healing gains modestly in question answering", ours="0.02",
                tolerance=MATTERS),
            compared("accuracy", HEALED, NEAREST)(SPEAKERS), at_least(0.02),
            Control("what the whole decoder gains by the same steps", compared("accuracy", LONGER, WHOLE)),
            range=SIGNED),
    )  # fmt: skip


def along(first: str, second: str, s: EvaluationSettings) -> Measure:
    """Return the rank correlation of two readings over decoders without a block and kinds that count.

    Of the calibration error less is better.
    """
    names = blocks_of(s.depth, s.gone)

    @partial(by_seed, words=f"rank correlation of {first} and {second}")
    def read(one: xr.Dataset) -> float:
        counts = one.counts.values > 0.5
        a, b = (np.asarray(one[name].sel(model=names).values)[:, counts].ravel() for name in (first, second))
        b = -b if second == "ece" else b
        return rank_correlation(a, b)

    return read


def _metrics(s: EvaluationSettings) -> Sequence[Claim]:
    many = len(blocks_of(s.depth, s.gone))
    return (
        Claim("robust-as-accurate",
            f"Over {many} decoders without a block, and kinds of questions, worst cases are ordered as accuracies are "
            "(rank correlation)",
            Source(paper=f"{HELM}, Sec. 1.2: accuracy and robustness go together", ours="0.8",
                tolerance="two thirds of the variance of ranks"),
            along("accuracy", "robustness", s)(SPEAKERS), at_least(0.8),
            Control("calibration in place of robustness", along("accuracy", "ece", s)), range=SIGNED),
    )  # fmt: skip


def _pairs(s: EvaluationSettings) -> Sequence[Claim]:
    return (
        Claim("intervals-hold",
            "With few disagreements the interval of the difference holds the true one in 95 % of comparisons or more",
            Source(derived="evaluation.paired", tolerance="none: it is what an interval of 95 % promises"),
            value("covered")(PAIRS), at_least(0.95),
            Control("the difference and 1.96 standard errors", value("covered_wald")), range=UNIT),
        Claim("items-suffice",
            f"As many items as are said to be needed show a difference of {s.difference:g} with a power of 0.8, nearly",
            Source(derived="evaluation.power_of", tolerance="0.06: three standard errors of 400 comparisons"),
            value("seen")(PAIRS), at_least(0.74),
            Control("the same items, two accuracies compared without their pairs", value("seen_apart")), range=UNIT),
    )  # fmt: skip
