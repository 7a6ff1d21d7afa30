"""The claims of ``corrupted-labels`` about neurons: who is a wave, who memorizes, and what pruning takes away."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.measures import Measure, at, at_least, at_most, end, near, value
from phasescope.lab.readings import crossing
from phasescope.studies.corrupted_labels.rows import (
    DIFFERENCE,
    UNIT,
    neurons_at_end,
    paper,
    phases,
    truth_level,
)
from phasescope.studies.corrupted_labels.settings import CorruptedLabelsSettings
from phasescope.theory.label_corruption import HIGH_ACCURACY, SLACK
from phasescope.verdict import Claim, Control
from phasescope.vocabulary import Array

LOW, HIGH = 0.2, 0.5
RISE = 0.07
STEPS = "0.32, 0.48 and 0.70 at weight decay 0, 5 and 12, p = 59; 0.28, 0.41 and 0.62 at 0, 5 and 15, p = 97"
HALF_STEP = "the smallest of these steps, 0.13, less twice their scatter, 0.03"
PARTICIPATION = end("mean_participation")


def neurons(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    """Return the claims about neurons for these settings."""
    return tuple(claim for group in (_participation, _pruning, _norm, _dropout) for claim in group(s))


def memorizing(participation: xr.DataArray) -> xr.DataArray:
    """Return the fraction of neurons whose inverse participation ratio is below 0.2."""
    return (participation < LOW).mean("neuron")


def waves(participation: xr.DataArray) -> xr.DataArray:
    """Return the fraction of neurons whose inverse participation ratio is above 0.5."""
    return (participation > HIGH).mean("neuron")


def between(participation: xr.DataArray) -> xr.DataArray:
    """Return the fraction of the other neurons."""
    return 1 - memorizing(participation) - waves(participation)


@partial(Measure, words="participation at the record next to test_accuracy 0.5")
def _halfway(cell: xr.Dataset) -> xr.DataArray:
    steps = crossing(cell.test_accuracy, 0.5)
    steps = steps.where(np.isfinite(steps), cell.step.values[-1])
    return cell["participation"].sel(step=steps, method="nearest").drop_vars("step")


@partial(Measure, words="smallest rise of mean_participation from one to the next")
def _rise(*cells: xr.Dataset) -> Array:
    each = [last(cell.mean_participation).values for cell in cells]
    return np.asarray(np.diff(each, axis=0).min(0))


def _participation(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    source = paper("Sec. 2.1, Fig. 4a (two kinds)",
        pilot="0.70 below 0.2 and 0.28 above 0.5 at p = 97, 0.65 and 0.31 at p = 59, one to three networks",
        tolerance="what both sizes leave, rounded")  # fmt: skip
    coexistence, some, full = (phases(s)[name] for name in ("coexistence", "partial", "full"))
    low = neurons_at_end.map(memorizing, "fraction of neurons with {} below 0.2")
    high, high_words = neurons_at_end.map(waves, "fraction of neurons with {} above 0.5"), "fraction with {} above 0.5"
    words, halfway = (
        "fraction of neurons with {} from 0.2 to 0.5",
        "the same networks when test accuracy passes one half",
    )
    noises = [at("random", weight_decay=decay) for decay in (0.0, s.partial, s.full)]
    return (
        Claim("two-kinds-memorizing", "Without weight decay 60 % of the neurons or more are no waves (inverse "
            "participation ratio below 0.2)", source, low(coexistence), at_least(0.6),
            Control("no wrong labels, no weight decay", at("clean")), range=UNIT),
        Claim("two-kinds-waves", "25 % or more are nearly single waves (above 0.5)", source, high(coexistence),
            at_least(0.25), Control(halfway, _halfway.map(waves, high_words)), range=UNIT),
        Claim("two-kinds-nothing-between", "and less than 6 % lie between", source,
            neurons_at_end.map(between, words)(coexistence), at_most(0.06),
            Control(halfway, _halfway.map(between, words)), range=UNIT),
        Claim("decay-makes-waves",
            f"Weight decay turns memorizing neurons into waves: the mean inverse participation ratio rises from 0 to "
            f"{s.partial:g} and from there to {s.full:g} (the smaller rise)",
            paper("Sec. 2.1, Fig. 4a (that it rises)", pilot=STEPS, tolerance=HALF_STEP),
            _rise(coexistence, some, full), at_least(RISE),
            Control("random labels, the same weight decays", _rise(*noises)), range=DIFFERENCE),
    )  # fmt: skip


def pruned(order: str, fraction: float, accuracy: str = "test") -> Measure:
    """Return an accuracy after taking out ``fraction`` of the neurons, "lowest" or "highest" first or "random"."""
    name = "pruned_random" if order == "random" else f"pruned_{order}_participation"
    first = "at random" if order == "random" else f"{order} inverse participation ratio first"

    def read(cell: xr.Dataset) -> xr.DataArray:
        return cell[name].sel(accuracy=accuracy).sel(pruned=fraction, method="nearest")

    return Measure(read, f"{accuracy} accuracy without {fraction:.0%} of the neurons, {first}")


def _pruning(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    left, right, coexistence = "Sec. 2.1, Fig. 6 left", "Sec. 2.1, Fig. 6 right", phases(s)["coexistence"]
    chance = "as many neurons, in random order"

    def gain(order: str) -> Measure:
        return pruned(order, 0.6) - pruned(order, 0.0)

    def truth(order: str) -> Measure:
        return pruned(order, 0.6, "train") - truth_level(s)

    def back(order: str) -> Measure:
        return pruned(order, 0.2, "corrupted") - pruned(order, 0.0, "corrupted")

    return (
        Claim("prune-lowest-test",
            "Without the 60 % of neurons of lowest inverse participation ratio test accuracy is better (the gain)",
            paper(f"abstract, {left}", ours="by half a percentage point",
                tolerance="the smallest gain that would be seen over a thousand test samples"),
            gain("lowest")(coexistence), at_least(0.005), Control(chance, gain("random")), range=DIFFERENCE),
        Claim("prune-lowest-corrupted", "Without them accuracy on corrupted samples is gone",
            paper(left, pilot="0.02 at p = 97, 0.04 at p = 59, one network each", tolerance="the larger, rounded up"),
            pruned("lowest", 0.6, "corrupted")(coexistence), at_most(0.05),
            Control(chance, pruned("random", 0.6, "corrupted")), range=UNIT),
        Claim("prune-lowest-train", "and training accuracy is that of the truth, 1 - xi (1 - 1/p) (distance from it)",
            paper(left, derived="theory.label_corruption.full_inversion_accuracy",
                tolerance="a percentage point, beyond the number of labels that are right by accident"),
            truth("lowest")(coexistence), near(0.0, 0.01), Control(chance, truth("random")), range=DIFFERENCE),
        Claim("prune-highest-corrupted",
            "Without the 10 % of highest inverse participation ratio the corrupted samples are still answered as they "
            "were given", paper(right, pilot="0.99 at p = 97 and p = 59, one network each",
                tolerance="two in a hundred below it"),
            pruned("highest", 0.1, "corrupted")(coexistence), at_least(0.97),
            Control(chance, pruned("random", 0.1, "corrupted")), range=UNIT),
        Claim("prune-highest-test", "while without the 20 % of highest test accuracy is below one half",
            paper(right, ours="one half", tolerance="more of the rule lost than kept"),
            pruned("highest", 0.2)(coexistence), at_most(0.5), Control(chance, pruned("random", 0.2)), range=UNIT),
        Claim("prune-partial",
            f"With weight decay {s.partial:g} memories come back when waves are taken out: accuracy on corrupted "
            "samples without the 20 % of highest inverse participation ratio, less that of the whole network",
            paper("App. I, Fig. 17b", pilot="0.43 to 0.94 at p = 97, one network", tolerance="half of that rise"),
            back("highest")(phases(s)["partial"]), at_least(0.25), Control(chance, back("random")), range=DIFFERENCE),
    )  # fmt: skip


def _norm(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    cells = phases(s)
    by_norm = PARTICIPATION(at("batch_norm")) - PARTICIPATION(at("batches"))
    by_decay = PARTICIPATION(cells["partial"]) - PARTICIPATION(cells["coexistence"])
    by_dropout = PARTICIPATION(at("dropout", dropout=s.dropout)) - PARTICIPATION(cells["coexistence"])
    on_noise = PARTICIPATION(at("noise_dropout")) - PARTICIPATION(at("random", weight_decay=0.0))
    return (
        Claim("norm-weights",
            "Batch normalization gives larger weights to waves: correlation of |gamma_k| with the inverse "
            "participation ratio", paper("Sec. 2.1, Fig. 5", pilot="0.81 at p = 97, 0.88 at p = 31, one network each",
                tolerance="a tenth below the smaller"),
            value("norm_correlation")(at("batch_norm")), at_least(0.7), Control("random labels", at("noise_norm")),
            range=DIFFERENCE),
        Claim("norm-keeps-neurons",
            "and leaves the neurons as they are: the mean inverse participation ratio with it, less that without it",
            paper("Sec. 2.1, Fig. 5", ours="within 0.05", tolerance="the smallest difference that matters"), by_norm,
            near(0.0, 0.05), Control(f"weight decay {s.partial:g}, less no weight decay", by_decay), range=DIFFERENCE),
        Claim("norm-ignores",
            "Batch normalization makes the network ignore wrong labels: training accuracy is that of the truth or near",
            paper("abstract, Table 2 (full inversion)", value="below 105 % - xi", tolerance="the bounds of Table 2"),
            end("train_accuracy")(at("batch_norm")), at_most(1 + SLACK - s.norm_corruption),
            Control("the same mini-batches without it", at("batches")), range=UNIT),
        Claim("dropout-makes-waves",
            f"Dropout {s.dropout:g} turns memorizing neurons into waves: the rise of the mean inverse participation "
            "ratio", paper("Sec. 2.1, Fig. 4b", ours="the rise that is expected of weight decay", tolerance=HALF_STEP),
            by_dropout, at_least(RISE), Control("random labels, the same dropout", on_noise), range=DIFFERENCE),
    )  # fmt: skip


@partial(Measure, words="the higher of the highest test_accuracy and train_accuracy at the end")
def _best(cell: xr.Dataset) -> Array:
    return np.asarray(np.maximum(cell.test_accuracy.max("step").values, last(cell.train_accuracy).values))


def _dropout(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    strongest, some = max(s.dropouts), at("dropout", dropout=s.dropout)
    return (
        Claim("dropout-corrects",
            f"With dropout {s.dropout:g} more than half of the corrupted samples are answered with their true label",
            paper("Sec. 3.2, Fig. 3b", ours="half", tolerance="more corrected than not"),
            end("corrected_accuracy")(some), at_least(0.5), Control("no dropout", phases(s)["coexistence"]),
            range=UNIT),
        Claim("dropout-confuses",
            f"With dropout {strongest:g} training accuracy at the end and test accuracy at its best stay below 90 %",
            paper("Sec. 2, Confusion, Table 2", value="below 90 %", tolerance="the bounds of Table 2"),
            _best(at("dropout", dropout=strongest)), at_most(HIGH_ACCURACY),
            Control(f"dropout {s.dropout:g}", some), range=UNIT),
    )  # fmt: skip
