"""The claims of the study ``many-sided-evaluation``: what pruning costs besides accuracy, and what a pair of models needs.

Accuracies, worst cases and calibration are means over the kinds of questions in which the whole decoder is above chance
by its interval; the others do not count, for any of the models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr
from scipy import stats

from phasescope.lab.measures import Measure, at, at_least, at_most, by_seed, value
from phasescope.studies.many_sided_evaluation.settings import EvaluationSettings
from phasescope.studies.many_sided_evaluation.told import HEALED, LONGER, WHOLE, block, blocks_of
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

HELM = "Liang et al. 2022, arXiv:2211.09110"
PRUNING = "Gromov et al. 2024, arXiv:2403.17887"
MATTERS = "the smallest difference that matters"
SPEAKERS, PAIRS = at("speakers"), at("pairs")
SIGNED, UNIT = (-1.0, 1.0), (0.0, 1.0)
Model = Callable[[xr.Dataset], str]


def claims(s: EvaluationSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_pruning(s), *_metrics(s), *_pairs(s))


def mean_of(one: xr.Dataset, name: str, models: str | Sequence[str]) -> Array:
    """Return a reading of one or more models, the mean over the kinds of questions that count; NaN if none does."""
    counts = one.counts.values > 0.5
    values = np.asarray(one[name].sel(model=models).values)[..., counts]
    found: Array = values.mean(-1) if counts.any() else np.full(values.shape[:-1], np.nan)
    return found


def less(name: str, first: Model, second: Model, words: str) -> Measure:
    """Return a reading of one model less that of another, each found by what the seed measured."""

    @partial(by_seed, words=f"{name}, {words}")
    def read(one: xr.Dataset) -> float:
        return float(mean_of(one, name, first(one)) - mean_of(one, name, second(one)))

    return read


def _fixed(name: str) -> Model:
    return lambda one: name


def _pruning(s: EvaluationSettings) -> Sequence[Claim]:
    n = s.gone

    def nearest(one: xr.Dataset) -> str:
        return block(int(one.nearest), n)

    def drawn(one: xr.Dataset) -> str:
        return block(int(one.drawn), n)

    def deepest(one: xr.Dataset) -> str:
        return block(s.depth - 1 - n, n)

    whole, healed, longer = (_fixed(name) for name in (WHOLE, HEALED, LONGER))
    ours = Source(ours="asked here, of answers rather than losses", tolerance=MATTERS)
    return (
        Claim("nearest-answers",
            f"Without the nearest {n} layers more questions are answered rightly than without {n} of a random place (by "
            "0.05 or more)",
            Source(paper=f"{PRUNING}, Sec. 3.2: distance says which block to leave out", ours="0.05",
                tolerance=MATTERS),
            less("accuracy", nearest, drawn, "nearest block less a random one")(SPEAKERS), at_least(0.05),
            Control("the deepest block but the last layer, which takes no distances",
                less("accuracy", deepest, drawn, "deepest block less a random one")), range=SIGNED),
        Claim("healing-answers",
            f"{s.heal_steps} steps of healing bring right answers back (by 0.05 or more)",
            Source(paper=f"{PRUNING}, Sec. 4.1: healing moves the fall of question answering", ours="0.05",
                tolerance=MATTERS),
            less("accuracy", healed, nearest, "healed less pruned")(SPEAKERS), at_least(0.05),
            Control("the whole decoder, given the same steps", less("accuracy", longer, whole, "longer less whole")),
            range=SIGNED),
        Claim("calibration-stays",
            f"Without the nearest {n} layers the calibration error is 0.05 above that of the whole decoder at most",
            ours, less("ece", nearest, whole, "nearest less whole")(SPEAKERS), at_most(0.05),
            Control(f"without {n} of a random place", less("ece", drawn, whole, "random less whole")), range=SIGNED),
        Claim("robustness-falls",
            f"Without the nearest {n} layers the worst case over a question and its mild mix falls by 0.05 or more",
            ours, less("robustness", whole, nearest, "whole less nearest")(SPEAKERS), at_least(0.05),
            Control("healed", less("robustness", whole, healed, "whole less healed")), range=SIGNED),
    )  # fmt: skip


def along(first: str, second: str, s: EvaluationSettings) -> Measure:
    """Return the rank correlation over the models without a block of two readings; larger is better in both."""
    names = blocks_of(s.depth, s.gone)

    def read_one(one: xr.Dataset, name: str) -> Array:
        if name == "bits":
            return -np.asarray(one.bits.sel(model=names).values)
        if name == "distance":
            return -np.asarray(one.distance.values)
        found = mean_of(one, name, names)
        return -found if name == "ece" else found

    @partial(by_seed, words=f"rank correlation of {first} and {second}")
    def read(one: xr.Dataset) -> float:
        a, b = read_one(one, first), read_one(one, second)
        if np.isnan(a).any() or np.isnan(b).any() or np.ptp(a) == 0 or np.ptp(b) == 0:
            return float("nan")
        return float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])

    return read


def _metrics(s: EvaluationSettings) -> Sequence[Claim]:
    many = len(blocks_of(s.depth, s.gone))
    return (
        Claim("robust-as-accurate",
            f"Over the {many} decoders without a block, worst cases are ordered as accuracies are (rank correlation)",
            Source(paper=f"{HELM}, Sec. 1.2: accuracy and robustness go together", ours="0.8",
                tolerance="two thirds of the variance of ranks"),
            along("accuracy", "robustness", s)(SPEAKERS), at_least(0.8),
            Control("calibration in place of robustness", along("accuracy", "ece", s)), range=SIGNED),
        Claim("bits-tell-answers",
            f"Over the {many} decoders without a block, bits per byte order them as accuracies do (rank correlation)",
            Source(ours="whether the loss, which needs no questions, would do", tolerance="half of the variance of ranks"),
            along("accuracy", "bits", s)(SPEAKERS), at_least(0.7),
            Control("the block's distance, which needs no second pass", along("accuracy", "distance", s)),
            range=SIGNED),
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
