"""The claims of the study ``corrupted-labels``: each a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.measures import Measure, at, at_least, at_most, between, end, highest, mean, near
from phasescope.lab.readings import crossing, value_at
from phasescope.studies.corrupted_labels.neurons import neurons
from phasescope.studies.corrupted_labels.rows import (
    DIFFERENCE,
    NOTEBOOK,
    POSITIVE,
    ROWS,
    UNIT,
    deeper,
    paper,
    phases,
    truth_level,
    truth_tolerance,
)
from phasescope.studies.corrupted_labels.settings import CorruptedLabelsSettings
from phasescope.theory import chance
from phasescope.theory.label_corruption import HIGH_ACCURACY, SLACK, zero_function_loss
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

TRAIN, TEST = end("train_accuracy"), end("test_accuracy")
GIVEN, TRUE = end("corrupted_accuracy"), end("corrected_accuracy")  # wrong labels: answered as given, or as true
TRUTH = "theory.label_corruption.full_inversion_accuracy"
TABLE = "the bounds of Table 2"


def claims(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_accuracies, _numbers, _logits, _boundary, _stages, _forgetting, neurons, _deeper)
    return tuple(claim for group in groups for claim in group(s))


@partial(Measure, words="the lower of train_accuracy and test_accuracy at the end")
def _both(cell: xr.Dataset) -> Array:
    return np.asarray(np.minimum(last(cell.train_accuracy).values, last(cell.test_accuracy).values))


def _accuracies(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    cells = phases(s)
    no_decay, some = Control("no weight decay", cells["coexistence"]), f"weight decay {s.partial:g}"
    return (
        Claim("coexistence",
            "Without weight decay a network memorizes wrong labels and understands the rule: training and test "
            "accuracy (the lower one) are 90 % or more",
            paper("Sec. 2, Fig. 1a, Table 2", value="90 % or more", tolerance=TABLE),
            _both(cells["coexistence"]), at_least(HIGH_ACCURACY),
            Control(f"the same networks trained on {s.low:g} of the table", at("memorizing")), range=UNIT),
        Claim("coexistence-memorizes",
            "Without weight decay most corrupted samples are answered with the wrong label that they were given",
            paper("Sec. 2.1, Fig. 6", ours="nine in ten", tolerance="as Table 2 bounds training accuracy"),
            GIVEN(cells["coexistence"]), at_least(0.9), Control(some, cells["partial"]), range=UNIT),
        Claim("partial-inversion",
            f"With weight decay {s.partial:g} the rule is answered everywhere, though training accuracy is lower: test "
            "accuracy", paper("Sec. 2, Fig. 1b", value="100 %", tolerance="one test sample in a thousand"),
            TEST(cells["partial"]), at_least(0.999), no_decay, range=UNIT),
        Claim("partial-inversion-train", "and training accuracy is below 90 %, and above what the truth alone leaves",
            paper("Table 2", value="90 % and 105 % - xi", tolerance=TABLE),
            TRAIN(cells["partial"]), between(1 + SLACK - s.corruption, HIGH_ACCURACY), no_decay, range=UNIT),
        Claim("full-inversion",
            f"With weight decay {s.full:g} every corrupted sample is answered with its true label",
            paper("Sec. 2, Fig. 1c", value="all", tolerance="three in a hundred"),
            TRUE(cells["full"]), at_least(0.97), Control(some, cells["partial"]), range=UNIT),
        Claim("full-inversion-train",
            "Then training accuracy is 1 - xi (1 - 1/p), what the accidentally right labels leave (distance from it)",
            paper("Sec. 2 (1 - xi), Fig. 1c", derived=TRUTH,
                tolerance="four deviations of the number of labels that are right by accident"),
            (TRAIN - truth_level(s))(cells["full"]), near(0.0, truth_tolerance(s)), Control(some, cells["partial"]),
            range=DIFFERENCE),
    )  # fmt: skip


def _numbers(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    """What the authors' notebook prints, at its size."""
    cells, found = phases(s), ROWS.get((s.p, s.width, s.train_fraction, s.corruption))
    if found is None:
        return ()

    def printed(value: str) -> Source:
        return Source(code=NOTEBOOK, value=value, tolerance="other splits of the table, and rounding", checked=True)

    train, test = found
    return (
        Claim("coexistence-train", "Training accuracy without weight decay", printed("0.9783 on one split"),
            TRAIN(cells["coexistence"]), train, Control(f"weight decay {s.partial:g}", cells["partial"]), range=UNIT),
        Claim("coexistence-test", "Test accuracy without weight decay", printed("0.9830 on one split"),
            TEST(cells["coexistence"]), test, Control(f"weight decay {s.partial:g}", cells["partial"]), range=UNIT),
    )  # fmt: skip


def _logits(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    cells, given, true = phases(s), end("given_logit"), end("true_logit")
    some = Control(f"weight decay {s.partial:g}", cells["partial"])
    return (
        Claim("logits-memorized",
            "Without weight decay the logit of a given wrong label exceeds that of the true one (by 0.2 of the target)",
            paper("App. K, Fig. 23a", ours="by 0.2", tolerance="the smallest difference that matters for targets of 1"),
            (given - true)(cells["coexistence"]), at_least(0.2), some, unit="logit"),
        Claim("logits-corrected",
            f"With weight decay {s.full:g} the given label's logit is half of the true one's or less (the ratio)",
            paper("App. K, Fig. 23c", ours="half", tolerance="relative, for weight decay shrinks all logits"),
            (given / true)(cells["full"]), at_most(0.5), some),
    )  # fmt: skip


def _forgetting(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    forgetting, distance = phases(s)["forgetting"], end("train_loss") - zero_function_loss(s.p)
    best = highest("test_accuracy")
    return (
        Claim("forgetting-knew",
            f"With weight decay {s.forget:g} the rule is found first (best test accuracy on the way)",
            paper("App. E, Fig. 8a", ours="all but one in a hundred", tolerance="one in a hundred"),
            best(forgetting), at_least(0.99), Control("random labels", at("random", weight_decay=0.0)), range=UNIT),
        Claim("forgetting",
            "and then everything is forgotten: the loss ends at 1/p, that of the function 0 (distance from it)",
            paper("App. E", derived="theory.label_corruption.zero_function_loss", tolerance="rounding of a loss"),
            distance(forgetting), near(0.0, 1e-6), Control("ReLU in place of the square", at("relu")), unit="loss"),
        Claim("relu-remembers",
            f"ReLU networks do not forget under the same weight decay {s.forget:g} (test accuracy at the end)",
            paper("App. E and N, Table 2", value="90 % or more", tolerance=TABLE),
            TEST(at("relu")), at_least(HIGH_ACCURACY), Control("the quadratic network", forgetting), range=UNIT),
        Claim("cross-entropy-narrow",
            f"By cross-entropy the band of useful weight decays is narrower: with {s.forget:g} the rule is never found "
            "(best test accuracy on the way)",
            paper("App. M (no forgetting, a narrow band), Table 2", value="below 90 %", tolerance=TABLE),
            best(at("cross_entropy", weight_decay=s.forget)), at_most(HIGH_ACCURACY),
            Control("mean squared error, the same weight decay", forgetting), range=UNIT),
    )  # fmt: skip


@partial(Measure, words="the lower of train_accuracy and 1 - test_accuracy at the end")
def _memorized(cell: xr.Dataset) -> Array:
    return np.asarray(np.minimum(last(cell.train_accuracy).values, 1 - last(cell.test_accuracy).values))


def _boundary(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    cells, memorizing = phases(s), at("memorizing")
    enough = f"from {s.train_fraction:g} of the table"
    return (
        Claim("memorization",
            f"From {s.low:g} of the table every label, right or wrong, is learnt, and nothing else: training accuracy "
            "and 1 - test accuracy (the lower one)",
            paper("Sec. 2, Fig. 3", ours="nine in ten", tolerance="as Table 2 bounds training accuracy"),
            _memorized(memorizing), at_least(HIGH_ACCURACY), Control(enough, cells["coexistence"]), range=UNIT),
        Claim("memorization-noise",
            "without any waves: the mean inverse participation ratio over that of noise",
            paper("Sec. 2.1 (hypothesis 2.1)", ours="within a fifth", tolerance="the smallest excess that matters"),
            (end("mean_participation") / chance.random_participation(s.p))(memorizing), at_most(1.2),
            Control(f"memorizing {s.middle:g} of the table", at("middle", weight_decay=0.0)), range=POSITIVE),
        Claim("decay-needs-less-data",
            f"Weight decay {s.partial:g} finds the rule from {s.middle:g} of the table, where without it there is none",
            paper("Sec. 3.1 (i), Fig. 3a, Table 2", value="90 % or more", tolerance=TABLE),
            TEST(at("middle", weight_decay=s.partial)), at_least(HIGH_ACCURACY),
            Control("no weight decay", at("middle", weight_decay=0.0)), range=UNIT),
    )  # fmt: skip


@partial(Measure, words="train_accuracy when test_accuracy is 0.9")
def _on_arrival(cell: xr.Dataset) -> xr.DataArray:
    return value_at(cell.train_accuracy, crossing(cell.test_accuracy, HIGH_ACCURACY))


def _stages(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    cells, fall = phases(s), highest("train_accuracy") - TRAIN
    return (
        Claim("two-stages-first",
            f"With weight decay {s.full:g} the network first has both: when test accuracy reaches 90 %, training "
            "accuracy is still 90 % or more",
            paper("abstract, Fig. 1c, Table 2", value="90 % or more", tolerance=TABLE),
            _on_arrival(cells["full"]), at_least(HIGH_ACCURACY), Control("the same networks at the end", TRAIN),
            range=UNIT),
        Claim("two-stages-then",
            "and then unlearns the wrong labels: training accuracy falls from its best by xi (1 - 1/p) less 0.05, or "
            "more", paper("abstract, Fig. 1c", derived=TRUTH, tolerance="the slack of Table 2"),
            fall(cells["full"]), at_least(1 - truth_level(s) - SLACK),
            Control(f"weight decay {s.partial:g}", cells["partial"]), range=UNIT),
    )  # fmt: skip


def _deeper(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    def of(name: str, words: str, figure: str, p: int, decay: float) -> Sequence[Claim]:
        decayed, no_decay = at(name, weight_decay=decay), Control("no weight decay", at(name, weight_decay=0.0))
        waves = mean("embed_participation", "neuron") / chance.random_participation(p)
        return (
            Claim(f"{name}-understands",
                f"A {words} too finds the rule behind wrong labels under weight decay {decay:g} (test accuracy)",
                paper(f"Sec. 2.2, Fig. {figure}, Table 2", value="90 % or more", tolerance=TABLE),
                TEST(decayed), at_least(HIGH_ACCURACY), no_decay, range=UNIT),
            Claim(f"{name}-waves",
                "and its input weights become waves: their mean inverse participation ratio over that of noise",
                paper(f"Sec. 2.2 (hypothesis 2.2), Fig. {figure}", ours="twice",
                    tolerance="the smallest excess that we would call waves"),
                waves(decayed), at_least(2.0), Control("random labels, the same weight decay", at(f"{name}_noise")),
                range=POSITIVE),
        )  # fmt: skip

    return tuple(claim for name, about in deeper(s).items() for claim in of(name, *about))
