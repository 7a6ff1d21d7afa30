"""The claims of ``corrupted-labels`` about neurons: who is a wave, who memorizes, and what pruning takes away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.readings import crossing
from phasescope.lab.study import part
from phasescope.studies.corrupted_labels.rows import (
    DOSHI,
    end,
    known_row,
    near,
    only,
    row,
    rows,
    truth_level,
    values_of,
)
from phasescope.studies.corrupted_labels.settings import CorruptedLabelsSettings
from phasescope.verdict import Claim, Control, Expectation
from phasescope.vocabulary import Array

LOW, HIGH = 0.2, 0.5
RISE = 0.07  # the smallest step between reproduced mean participation ratios, 0.13, less twice their tolerance, 0.03


def shares(participation: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return the shares of neurons whose participation ratio is below 0.2, between, and above 0.5."""
    low, high = (participation < LOW).mean("neuron"), (participation > HIGH).mean("neuron")
    return low, 1 - low - high, high


def _halfway(data: xr.Dataset, s: CorruptedLabelsSettings) -> xr.DataArray:
    """Return the neurons' participation ratios at the record next to the step of 50 % test accuracy."""
    found = row(data, s, "coexistence")
    steps = crossing(found.test_accuracy, 0.5)
    steps = steps.where(np.isfinite(steps), found.step.values[-1])
    near_by: xr.DataArray = found.participation.sel(step=steps, method="nearest").drop_vars("step")
    return near_by


def _participation(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    source = f"{DOSHI}, Sec. 2.1, Fig. 4a; bound of a reproduction; claim 2.5"

    def share(data: xr.Dataset, which: int) -> Array:
        return values_of(shares(last(row(data, s, "coexistence")["participation"]))[which])

    def noise(data: xr.Dataset, which: int) -> Array:
        return values_of(shares(part(data, "random")["participation"].sel(weight_decay=0.0))[which])

    def step(data: xr.Dataset, names: Sequence[tuple[str, float]]) -> Array:
        each = [only(data, name, "mean_participation", weight_decay=decay) for name, decay in names]
        return np.asarray(np.diff(each, axis=0).min(0))

    phases = [rows(s)[phase] for phase in ("coexistence", "partial", "full")]
    full = Control(f"weight decay {s.full:g}", lambda d: values_of(shares(last(row(d, s, "full")["participation"]))[0]))
    random = Control("random labels", lambda d: noise(d, 2))
    halfway = Control(
        "the same networks when test accuracy passes one half", lambda d: values_of(shares(_halfway(d, s))[1])
    )
    noises = [("random", decay) for _, decay in phases]
    found = (
        Claim(
            "two-kinds-memorizing", "Without weight decay 60 % of the neurons or more are no waves (participation "
            "below 0.2)", source, lambda d: share(d, 0), Expectation.at_least(0.6), full,
        ),
        Claim(
            "two-kinds-waves", "25 % or more are nearly single waves (above 0.5)", source, lambda d: share(d, 2),
            Expectation.at_least(0.25), random,
        ),
        Claim(
            "two-kinds-nothing-between", "and less than 6 % lie between", source, lambda d: share(d, 1),
            Expectation.at_most(0.06), halfway,
        ),
        Claim(
            "decay-makes-waves",
            f"Weight decay turns memorizing neurons into waves: the mean participation ratio rises from 0 to "
            f"{s.partial:g} and from there to {s.full:g} (the smaller rise)",
            f"{DOSHI}, Sec. 2.1, Fig. 4a; margin from a reproduction's numbers; claim 2.6",
            lambda d: step(d, phases), Expectation.at_least(RISE),
            Control("random labels, the same weight decays", lambda d: step(d, noises)),
        ),
    )  # fmt: skip
    return (*found, *_participation_numbers(s))


def _participation_numbers(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    known = known_row(s)
    if known is None:
        return ()
    names = ("coexistence", "partial", "full")
    others = {"coexistence": "full", "partial": "full", "full": "coexistence"}
    return tuple(
        Claim(
            f"participation-{name}",
            f"Mean participation ratio with weight decay {rows(s)[name][1]:g}",
            f"{DOSHI}, Fig. 4a; number of a reproduction at this size; claim 2.6",
            lambda d, name=name: end(d, s, name, "mean_participation"),  # type: ignore[misc]
            near(value, 0.03),
            Control(
                f"weight decay {rows(s)[others[name]][1]:g}",
                lambda d, name=name: end(d, s, others[name], "mean_participation"),  # type: ignore[misc]
            ),
        )
        for name, value in zip(names, known.participation, strict=True)
    )


def pruned(
    data: xr.Dataset, s: CorruptedLabelsSettings, phase: str, order: str, share: float, accuracy: str = "test"
) -> Array:
    """Return an accuracy after taking out ``share`` of the neurons in ``order``, one value per seed."""
    name = "pruned_random" if order == "random" else f"pruned_{order}_participation"
    return values_of(row(data, s, phase)[name].sel(accuracy=accuracy).sel(pruned=share, method="nearest"))


def _pruning(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    source = f"{DOSHI}, Sec. 2.1, Fig. 6"

    def left(order: str, share: float, accuracy: str = "test") -> Control:
        return Control(
            f"the same share in {order} order" if order == "random" else f"the same share, {order} first",
            lambda d: pruned(d, s, "coexistence", order, share, accuracy),
        )

    def without(order: str, share: float, accuracy: str) -> Claim:
        words = {"test": "test accuracy stays", "corrupted": "accuracy on corrupted samples is gone"}
        expected = {"test": Expectation.at_least(0.985), "corrupted": Expectation.at_most(0.05)}[accuracy]
        return Claim(
            f"prune-{order}-{accuracy}", f"Without the {share:.0%} of lowest participation {words[accuracy]}",
            f"{source} left; tolerance of a reproduction; claim 2.7",
            lambda d: pruned(d, s, "coexistence", order, share, accuracy), expected, left("random", share, accuracy),
        )  # fmt: skip

    return (
        without("lowest", 0.6, "test"),
        without("lowest", 0.6, "corrupted"),
        Claim(
            "prune-lowest-train", "and training accuracy is that of the truth, 1 - xi (1 - 1/p) (distance from it)",
            f"{source} left; tolerance of a reproduction; claim 2.7",
            lambda d: pruned(d, s, "coexistence", "lowest", 0.6, "train") - truth_level(s), near(0.0, 0.01),
            Control(
                "the same share, highest first",
                lambda d: pruned(d, s, "coexistence", "highest", 0.6, "train") - truth_level(s),
            ),
        ),
        Claim(
            "prune-highest-corrupted",
            "Without the 10 % of highest participation the corrupted samples are still answered as they were given",
            f"{source} right; tolerance of a reproduction; claim 2.8",
            lambda d: pruned(d, s, "coexistence", "highest", 0.1, "corrupted"), Expectation.at_least(0.97),
            left("lowest", 0.1, "corrupted"),
        ),
        Claim(
            "prune-highest-test", "while without the 20 % of highest participation test accuracy is below one half",
            f"{source} right; the bound is ours, weaker than a reproduction's 0.18; claim 2.8",
            lambda d: pruned(d, s, "coexistence", "highest", 0.2), Expectation.at_most(0.5), left("lowest", 0.2),
        ),
        Claim(
            "prune-random", "Random pruning of 40 % hurts memory and rule alike: the accuracies on test and corrupted "
            "samples differ by 0.15 at most",
            "control of claims 2.7 and 2.8, not in the paper; numbers of a reproduction; claim 2.9",
            lambda d: _apart(d, s, "random"), near(0.0, 0.15),
            Control("lowest participation first", lambda d: _apart(d, s, "lowest")),
        ),
        Claim(
            "prune-partial",
            f"With weight decay {s.partial:g} memories come back when waves are taken out: accuracy on corrupted "
            "samples without the 20 % of highest participation, less that of the whole network",
            f"{DOSHI}, App. I, Fig. 17b; margin half of a reproduction's rise of 0.5; claim 2.8",
            lambda d: _back(d, s, "partial", "highest"), Expectation.at_least(0.25),
            Control("lowest participation first", lambda d: _back(d, s, "partial", "lowest")),
        ),
        *_pruning_numbers(s),
    )  # fmt: skip


def _apart(data: xr.Dataset, s: CorruptedLabelsSettings, order: str) -> Array:
    test, corrupted = (pruned(data, s, "coexistence", order, 0.4, kind) for kind in ("test", "corrupted"))
    return test - corrupted


def _back(data: xr.Dataset, s: CorruptedLabelsSettings, phase: str, order: str) -> Array:
    after, before = (pruned(data, s, phase, order, share, "corrupted") for share in (0.2, 0.0))
    return after - before


def _pruning_numbers(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    known = known_row(s)
    if known is None:
        return ()
    return tuple(
        Claim(
            f"prune-highest-{share:.0%}".replace("%", "-percent"),
            f"Test accuracy without the {share:.0%} of highest participation",
            f"{DOSHI}, Fig. 6 right; number of a reproduction at this size; claim 2.8",
            lambda d, share=share: pruned(d, s, "coexistence", "highest", share),  # type: ignore[misc]
            expected,
            Control(
                "lowest participation first",
                lambda d, share=share: pruned(d, s, "coexistence", "lowest", share),  # type: ignore[misc]
            ),
        )
        for share, expected in ((0.1, known.tenth), (0.2, known.fifth))
    )


def _norm(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    def correlation(data: xr.Dataset, experiment: str) -> Array:
        return values_of(part(data, experiment)["norm_correlation"])

    def shift(data: xr.Dataset) -> Array:
        return only(data, "batch_norm", "mean_participation") - only(data, "batches", "mean_participation")

    def by_decay(data: xr.Dataset) -> Array:
        return end(data, s, "full", "mean_participation") - end(data, s, "coexistence", "mean_participation")

    def by_dropout(data: xr.Dataset) -> Array:
        dropped = only(data, "dropout", "mean_participation", dropout=_middle(s))
        return dropped - end(data, s, "coexistence", "mean_participation")

    return (
        Claim(
            "norm-weights",
            "Batch normalization gives larger weights to waves: correlation of |gamma_k| with the participation ratio",
            f"{DOSHI}, Sec. 2.1, Fig. 5; bound of a reproduction; claim 2.10",
            lambda d: correlation(d, "batch_norm"),
            Expectation.at_least(0.7),
            Control("random labels", lambda d: correlation(d, "noise_norm")),
        ),
        Claim(
            "norm-keeps-neurons",
            "and leaves the neurons as they are: the mean participation ratio with it, less that without it",
            f"{DOSHI}, Sec. 2.1, Fig. 5; a reproduction has 0.41 and 0.40; the margin is ours; claim 2.10",
            shift,
            near(0.0, 0.05),
            Control(f"weight decay {s.full:g}, less no weight decay", by_decay),
        ),
        Claim(
            "dropout-makes-waves",
            f"Dropout {_middle(s):g} turns memorizing neurons into waves: the rise of the mean participation ratio",
            f"{DOSHI}, Sec. 2.1, Fig. 4b; the margin is that of weight decay",
            by_dropout,
            Expectation.at_least(RISE),
            Control("the rise by batch normalization", shift),
        ),
    )


def _middle(s: CorruptedLabelsSettings) -> float:
    return sorted(s.dropouts)[len(s.dropouts) // 2]


def _dropout(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    most = max(s.dropouts)

    def best(data: xr.Dataset, dropout: float) -> Array:
        test = part(data, "dropout")["test_accuracy"].sel(dropout=dropout).max("step")
        train = only(data, "dropout", "train_accuracy", dropout=dropout)
        return np.asarray(np.maximum(values_of(test), train))

    return (
        Claim(
            "dropout-corrects",
            f"With dropout {_middle(s):g} more than half of the corrupted samples are answered with their true label",
            f"{DOSHI}, Sec. 3.2, Fig. 3b; the bound is ours",
            lambda d: only(d, "dropout", "corrected_accuracy", dropout=_middle(s)),
            Expectation.at_least(0.5),
            Control("no dropout", lambda d: end(d, s, "coexistence", "corrected_accuracy")),
        ),
        Claim(
            "dropout-confuses",
            f"With dropout {most:g} training accuracy at the end and test accuracy at its best stay below 90 %",
            f"{DOSHI}, Sec. 2, Confusion; bound of Table 2",
            lambda d: best(d, most),
            Expectation.at_most(0.9),
            Control(f"dropout {_middle(s):g}", lambda d: best(d, _middle(s))),
        ),
    )


def neurons(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    """Return the claims about neurons for these settings."""
    return tuple(claim for group in (_participation, _pruning, _norm, _dropout) for claim in group(s))
