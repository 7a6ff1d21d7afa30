"""The claims of ``corrupted-labels`` about neurons: who is a wave, who memorizes, and what pruning takes away."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.measures import Measure, at, at_least, at_most, end, near, value
from phasescope.lab.readings import crossing
from phasescope.studies.corrupted_labels.rows import DOSHI, known_row, neurons_at_end, phases, truth_level
from phasescope.studies.corrupted_labels.settings import CorruptedLabelsSettings
from phasescope.verdict import Claim, Control
from phasescope.vocabulary import Array

LOW, HIGH = 0.2, 0.5
RISE = 0.07  # the smallest step between reproduced mean participation ratios, 0.13, less twice their tolerance, 0.03
PARTICIPATION = end("mean_participation")


def neurons(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    """Return the claims about neurons for these settings."""
    return tuple(claim for group in (_participation, _pruning, _norm, _dropout) for claim in group(s))


def memorizing(participation: xr.DataArray) -> xr.DataArray:
    """Return the share of neurons whose participation ratio is below 0.2."""
    return (participation < LOW).mean("neuron")


def waves(participation: xr.DataArray) -> xr.DataArray:
    """Return the share of neurons whose participation ratio is above 0.5."""
    return (participation > HIGH).mean("neuron")


def between(participation: xr.DataArray) -> xr.DataArray:
    """Return the share of the other neurons."""
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
    source = f"{DOSHI}, Sec. 2.1, Fig. 4a; bound of a reproduction; claim 2.5"
    coexistence, some, full = (phases(s)[name] for name in ("coexistence", "partial", "full"))
    low = neurons_at_end.map(memorizing, "share of neurons with {} below 0.2")
    high = neurons_at_end.map(waves, "share of neurons with {} above 0.5")
    words = "share of neurons with {} from 0.2 to 0.5"
    noises = [at("random", weight_decay=decay) for decay in (0.0, s.partial, s.full)]
    return (
        Claim("two-kinds-memorizing", "Without weight decay 60 % of the neurons or more are no waves (participation "
            "below 0.2)", source, low(coexistence), at_least(0.6), Control(f"weight decay {s.full:g}", full)),
        Claim("two-kinds-waves", "25 % or more are nearly single waves (above 0.5)", source, high(coexistence),
            at_least(0.25), Control("random labels", at("random", weight_decay=0.0))),
        Claim("two-kinds-nothing-between", "and less than 6 % lie between", source,
            neurons_at_end.map(between, words)(coexistence), at_most(0.06),
            Control("the same networks when test accuracy passes one half", _halfway.map(between, words))),
        Claim("decay-makes-waves",
            f"Weight decay turns memorizing neurons into waves: the mean participation ratio rises from 0 to "
            f"{s.partial:g} and from there to {s.full:g} (the smaller rise)",
            f"{DOSHI}, Sec. 2.1, Fig. 4a; margin from a reproduction's numbers; claim 2.6",
            _rise(coexistence, some, full), at_least(RISE),
            Control("random labels, the same weight decays", _rise(*noises))),
        *_participation_numbers(s),
    )  # fmt: skip


def _participation_numbers(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    cells, known = phases(s), known_row(s)
    if known is None:
        return ()
    others = {"coexistence": "full", "partial": "full", "full": "coexistence"}
    return tuple(
        Claim(f"participation-{name}",
            f"Mean participation ratio with weight decay {cells[name].knobs['weight_decay']:g}",
            f"{DOSHI}, Fig. 4a; number of a reproduction at this size; claim 2.6", PARTICIPATION(cells[name]),
            near(ratio, 0.03), Control(f"weight decay {cells[other].knobs['weight_decay']:g}", cells[other]))
        for (name, other), ratio in zip(others.items(), known.participation, strict=True)
    )  # fmt: skip


def pruned(order: str, share: float, accuracy: str = "test") -> Measure:
    """Return an accuracy after taking out ``share`` of the neurons, "lowest" or "highest" first or "random"."""
    name = "pruned_random" if order == "random" else f"pruned_{order}_participation"
    first = "at random" if order == "random" else f"{order} participation first"

    def read(cell: xr.Dataset) -> xr.DataArray:
        return cell[name].sel(accuracy=accuracy).sel(pruned=share, method="nearest")

    return Measure(read, f"{accuracy} accuracy without {share:.0%} of the neurons, {first}")


def _pruning(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    source, coexistence = f"{DOSHI}, Sec. 2.1, Fig. 6", phases(s)["coexistence"]
    lowest_first = "lowest participation first"

    def truth(order: str) -> Measure:
        return pruned(order, 0.6, "train") - truth_level(s)

    def apart(order: str) -> Measure:
        return pruned(order, 0.4, "test") - pruned(order, 0.4, "corrupted")

    def back(order: str) -> Measure:
        return pruned(order, 0.2, "corrupted") - pruned(order, 0.0, "corrupted")

    return (
        Claim("prune-lowest-test", "Without the 60% of lowest participation test accuracy stays",
            f"{source} left; tolerance of a reproduction; claim 2.7", pruned("lowest", 0.6)(coexistence),
            at_least(0.985), Control("the same share in random order", pruned("random", 0.6))),
        Claim("prune-lowest-corrupted",
            "Without the 60% of lowest participation accuracy on corrupted samples is gone",
            f"{source} left; tolerance of a reproduction; claim 2.7", pruned("lowest", 0.6, "corrupted")(coexistence),
            at_most(0.05), Control("the same share in random order", pruned("random", 0.6, "corrupted"))),
        Claim("prune-lowest-train", "and training accuracy is that of the truth, 1 - xi (1 - 1/p) (distance from it)",
            f"{source} left; tolerance of a reproduction; claim 2.7", truth("lowest")(coexistence), near(0.0, 0.01),
            Control("the same share, highest first", truth("highest"))),
        Claim("prune-highest-corrupted",
            "Without the 10 % of highest participation the corrupted samples are still answered as they were given",
            f"{source} right; tolerance of a reproduction; claim 2.8",
            pruned("highest", 0.1, "corrupted")(coexistence), at_least(0.97),
            Control("the same share, lowest first", pruned("lowest", 0.1, "corrupted"))),
        Claim("prune-highest-test", "while without the 20 % of highest participation test accuracy is below one half",
            f"{source} right; the bound is ours, weaker than a reproduction's 0.18; claim 2.8",
            pruned("highest", 0.2)(coexistence), at_most(0.5),
            Control("the same share, lowest first", pruned("lowest", 0.2))),
        Claim("prune-random",
            "Random pruning of 40 % hurts memory and rule alike: the accuracies on test and corrupted "
            "samples differ by 0.15 at most",
            "control of claims 2.7 and 2.8, not in the paper; numbers of a reproduction; claim 2.9",
            apart("random")(coexistence), near(0.0, 0.15), Control(lowest_first, apart("lowest"))),
        Claim("prune-partial",
            f"With weight decay {s.partial:g} memories come back when waves are taken out: accuracy on corrupted "
            "samples without the 20 % of highest participation, less that of the whole network",
            f"{DOSHI}, App. I, Fig. 17b; margin half of a reproduction's rise of 0.5; claim 2.8",
            back("highest")(phases(s)["partial"]), at_least(0.25), Control(lowest_first, back("lowest"))),
        *_pruning_numbers(s),
    )  # fmt: skip


def _pruning_numbers(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    known = known_row(s)
    if known is None:
        return ()
    return tuple(
        Claim(f"prune-highest-{share:.0%}".replace("%", "-percent"),
            f"Test accuracy without the {share:.0%} of highest participation",
            f"{DOSHI}, Fig. 6 right; number of a reproduction at this size; claim 2.8",
            pruned("highest", share)(phases(s)["coexistence"]), expected,
            Control("lowest participation first", pruned("lowest", share)))
        for share, expected in ((0.1, known.tenth), (0.2, known.fifth))
    )  # fmt: skip


def _middle(s: CorruptedLabelsSettings) -> float:
    return sorted(s.dropouts)[len(s.dropouts) // 2]


def _norm(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    coexistence, full = (PARTICIPATION(phases(s)[name]) for name in ("coexistence", "full"))
    by_norm = PARTICIPATION(at("batch_norm")) - PARTICIPATION(at("batches"))
    by_dropout = PARTICIPATION(at("dropout", dropout=_middle(s))) - coexistence
    return (
        Claim("norm-weights",
            "Batch normalization gives larger weights to waves: correlation of |gamma_k| with the participation ratio",
            f"{DOSHI}, Sec. 2.1, Fig. 5; bound of a reproduction; claim 2.10",
            value("norm_correlation")(at("batch_norm")), at_least(0.7), Control("random labels", at("noise_norm"))),
        Claim("norm-keeps-neurons",
            "and leaves the neurons as they are: the mean participation ratio with it, less that without it",
            f"{DOSHI}, Sec. 2.1, Fig. 5; a reproduction has 0.41 and 0.40; the margin is ours; claim 2.10", by_norm,
            near(0.0, 0.05), Control(f"weight decay {s.full:g}, less no weight decay", full - coexistence)),
        Claim("dropout-makes-waves",
            f"Dropout {_middle(s):g} turns memorizing neurons into waves: the rise of the mean participation ratio",
            f"{DOSHI}, Sec. 2.1, Fig. 4b; the margin is that of weight decay", by_dropout, at_least(RISE),
            Control("the rise by batch normalization", by_norm)),
    )  # fmt: skip


@partial(Measure, words="the higher of the highest test_accuracy and train_accuracy at the end")
def _best(cell: xr.Dataset) -> Array:
    return np.asarray(np.maximum(cell.test_accuracy.max("step").values, last(cell.train_accuracy).values))


def _dropout(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    strongest = max(s.dropouts)
    some = at("dropout", dropout=_middle(s))
    return (
        Claim("dropout-corrects",
            f"With dropout {_middle(s):g} more than half of the corrupted samples are answered with their true label",
            f"{DOSHI}, Sec. 3.2, Fig. 3b; the bound is ours", end("corrected_accuracy")(some), at_least(0.5),
            Control("no dropout", phases(s)["coexistence"])),
        Claim("dropout-confuses",
            f"With dropout {strongest:g} training accuracy at the end and test accuracy at its best stay below 90 %",
            f"{DOSHI}, Sec. 2, Confusion; bound of Table 2", _best(at("dropout", dropout=strongest)), at_most(0.9),
            Control(f"dropout {_middle(s):g}", some)),
    )  # fmt: skip
