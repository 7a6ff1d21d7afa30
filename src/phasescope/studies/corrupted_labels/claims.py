"""The claims of the study ``corrupted-labels``: each a measure at a cell, an expectation fixed here, and a control.

Bounds come from the paper's Table 2, numbers from ``rows``, where they stand with their sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.measures import Measure, at, at_least, at_most, end, highest, mean, near
from phasescope.lab.readings import crossing, value_at
from phasescope.studies.corrupted_labels.neurons import neurons
from phasescope.studies.corrupted_labels.rows import DOSHI, deeper, known_row, phases, truth_level
from phasescope.studies.corrupted_labels.settings import CorruptedLabelsSettings
from phasescope.theory import chance
from phasescope.theory.label_corruption import HIGH_ACCURACY, zero_function_loss
from phasescope.verdict import Claim, Control
from phasescope.vocabulary import Array

TRAIN, TEST = end("train_accuracy"), end("test_accuracy")
GIVEN, TRUE = end("corrupted_accuracy"), end("corrected_accuracy")  # wrong labels: answered as given, or as true


def claims(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_accuracies, _numbers, _logits, _boundary, _stages, _forgetting, neurons, _deeper)
    return tuple(claim for group in groups for claim in group(s))


@partial(Measure, words="the lower of train_accuracy and test_accuracy at the end")
def _both(cell: xr.Dataset) -> Array:
    return np.asarray(np.minimum(last(cell.train_accuracy).values, last(cell.test_accuracy).values))


def _accuracies(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    cells, known = phases(s), known_row(s)
    few = Control(f"the same networks trained on {s.low:g} of the table", at("memorizing"))
    no_decay = Control("no weight decay", cells["coexistence"])
    return (
        Claim("coexistence",
            "Without weight decay a network memorizes wrong labels and understands the rule: training and test "
            "accuracy (the lower one) are 90 % or more", f"{DOSHI}, Sec. 2, Fig. 1a; bound of Table 2; claim 2.1",
            _both(cells["coexistence"]), at_least(0.9), few),
        Claim("coexistence-memorizes",
            "Without weight decay most corrupted samples are answered with the wrong label that they were given",
            f"{DOSHI}, Sec. 2.1, Fig. 6; bound of Table 2; claim 2.1", GIVEN(cells["coexistence"]), at_least(0.9),
            Control(f"weight decay {s.full:g}", cells["full"])),
        Claim("partial-inversion",
            f"With weight decay {s.partial:g} the rule is answered everywhere, though training accuracy is lower: test "
            "accuracy", f"{DOSHI}, Sec. 2, Fig. 1b; claim 2.2", TEST(cells["partial"]), at_least(0.999), few),
        Claim("full-inversion",
            f"With weight decay {s.full:g} every corrupted sample is answered with its true label",
            f"{DOSHI}, Sec. 2, Fig. 1c; claim 2.3", TRUE(cells["full"]), at_least(0.97), no_decay),
        Claim("full-inversion-train",
            "Then training accuracy is 1 - xi (1 - 1/p), what the accidentally right labels leave (distance from it)",
            f"{DOSHI}, Sec. 2 (who write 1 - xi), Fig. 1c; claim 2.3", (TRAIN - truth_level(s))(cells["full"]),
            near(0.0, known.full_tolerance if known else 0.01), no_decay),
    )  # fmt: skip


def _numbers(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    cells, found = phases(s), known_row(s)
    if found is None:
        return ()
    source = f"{DOSHI}, Fig. 1; number of the authors' notebook or of a reproduction at this size"
    return (
        Claim("coexistence-train", "Training accuracy without weight decay", f"{source}; claim 2.1",
            TRAIN(cells["coexistence"]), found.train, Control(f"weight decay {s.partial:g}", cells["partial"])),
        Claim("coexistence-test", "Test accuracy without weight decay", f"{source}; claim 2.1",
            TEST(cells["coexistence"]), found.test, Control(f"trained on {s.low:g} of the table", at("memorizing"))),
        Claim("partial-inversion-train", f"Training accuracy with weight decay {s.partial:g}", f"{source}; claim 2.2",
            TRAIN(cells["partial"]), found.partial, Control("no weight decay", cells["coexistence"])),
    )  # fmt: skip


def _logits(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    cells, gap = phases(s), end("given_logit") - end("true_logit")
    return (
        Claim("logits-memorized",
            "Without weight decay the logit of a given wrong label exceeds that of the true one (by 0.2 of the target)",
            f"{DOSHI}, App. K, Fig. 23a; the margin is ours", gap(cells["coexistence"]), at_least(0.2),
            Control(f"weight decay {s.full:g}", cells["full"]), unit="logit"),
        Claim("logits-corrected",
            f"With weight decay {s.full:g} the true label's logit exceeds that of the given one (by 0.2 of the target)",
            f"{DOSHI}, App. K, Fig. 23c; the margin is ours", gap(cells["full"]), at_most(-0.2),
            Control("no weight decay", cells["coexistence"]), unit="logit"),
    )  # fmt: skip


@partial(Measure, words=f"largest fall of a test_accuracy that had been {HIGH_ACCURACY:g}")
def _forgotten(cell: xr.Dataset) -> xr.DataArray:
    test = cell.test_accuracy
    best = test.max("step")
    fall: xr.DataArray = (best - last(test)).where(best >= HIGH_ACCURACY, 0.0)
    return fall.max("weight_decay", skipna=False)


def _forgetting(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    forgetting, distance = phases(s)["forgetting"], end("train_loss") - zero_function_loss(s.p)
    return (
        Claim("forgetting-knew",
            f"With weight decay {s.forget:g} the rule is found first (best test accuracy on the way)",
            f"{DOSHI}, App. E, Fig. 8a; claim 2.4", highest("test_accuracy")(forgetting), at_least(0.99),
            Control("random labels", at("random", weight_decay=0.0))),
        Claim("forgetting",
            "and then everything is forgotten: the loss ends at 1/p, that of the function 0 (distance from it)",
            f"{DOSHI}, App. E; the authors' notebook; claim 2.4", distance(forgetting), near(0.0, 1e-6),
            Control("ReLU in place of the square", at("relu")), unit="loss"),
        Claim("relu-remembers",
            f"ReLU networks do not forget under the same weight decay {s.forget:g} (test accuracy at the end)",
            f"{DOSHI}, App. E and N; bound of Table 2; claim 2.4", TEST(at("relu")), at_least(0.9),
            Control("the quadratic network", forgetting)),
        Claim("cross-entropy-remembers",
            f"Nor do quadratic networks that learn by cross-entropy, with weight decay {s.partial:g} or {s.forget:g}: "
            "the fall of a test accuracy that had been 90 % or more",
            f"{DOSHI}, App. M: no forgetting phase; the bound is ours; claim 2.4",
            _forgotten(at("cross_entropy", weight_decay=(s.partial, s.forget))), at_most(0.1),
            Control("mean squared error", at("forgetting", weight_decay=(s.forget,)))),
    )  # fmt: skip


def _boundary(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    cells, memorizing = phases(s), at("memorizing")
    enough = f"from {s.train_fraction:g} of the table"
    return (
        Claim("memorization", f"From {s.low:g} of the table the network memorizes alone: test accuracy over chance",
            f"{DOSHI}, Sec. 2, Fig. 3; bound as for grokking; claim 2.11",
            (TEST / zero_function_loss(s.p))(memorizing), at_most(3.0), Control(enough, cells["coexistence"])),
        Claim("memorization-train", "and every label, right or wrong, is learnt: training accuracy",
            f"{DOSHI}, Sec. 2; bound of a reproduction; claim 2.11", TRAIN(memorizing), at_least(0.99),
            Control(f"weight decay {s.full:g}, {enough}", cells["full"])),
        Claim("memorization-noise", "without any waves: the mean participation ratio over that of noise",
            f"{DOSHI}, Sec. 2.1 (hypothesis 2.1); bound ours, 10 % above a reproduction's excess; claim 2.11",
            (end("mean_participation") / chance.random_participation(s.p))(memorizing), at_most(1.2),
            Control(enough, cells["coexistence"])),
        Claim("decay-needs-less-data",
            f"Weight decay {s.partial:g} finds the rule from {s.middle:g} of the table, where without it there is none",
            f"{DOSHI}, Sec. 3.1 (i), Fig. 3a; bound of Table 2; claim 2.11",
            TEST(at("middle", weight_decay=s.partial)), at_least(0.9),
            Control("no weight decay", at("middle", weight_decay=0.0))),
    )  # fmt: skip


@partial(Measure, words="train_accuracy when test_accuracy is 0.9")
def _on_arrival(cell: xr.Dataset) -> xr.DataArray:
    return value_at(cell.train_accuracy, crossing(cell.test_accuracy, 0.9))


def _stages(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    cells, fall = phases(s), highest("train_accuracy") - TRAIN
    return (
        Claim("two-stages-first",
            f"With weight decay {s.full:g} the network first has both: when test accuracy reaches 90 %, training "
            "accuracy is still 90 % or more", f"{DOSHI}, abstract and Fig. 1c; bound of Table 2; claim 2.12",
            _on_arrival(cells["full"]), at_least(0.9), Control("the same networks at the end", TRAIN)),
        Claim("two-stages-then",
            "and then unlearns the wrong labels: training accuracy falls from its best by xi (1 - 1/p) less 0.05, or "
            "more", f"{DOSHI}, abstract and Fig. 1c; slack of Table 2; claim 2.12", fall(cells["full"]),
            at_least(1 - truth_level(s) - 0.05), Control("no weight decay", cells["coexistence"])),
    )  # fmt: skip


def _deeper(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    def of(name: str, words: str, figure: str, p: int, decay: float) -> Sequence[Claim]:
        decayed, no_decay = at(name, weight_decay=decay), Control("no weight decay", at(name, weight_decay=0.0))
        waves = mean("embed_participation", "neuron") / chance.random_participation(p)
        return (
            Claim(f"{name}-understands",
                f"A {words} too finds the rule behind wrong labels under weight decay {decay:g} (test accuracy)",
                f"{DOSHI}, Sec. 2.2, Fig. {figure}; bound of Table 2", TEST(decayed), at_least(0.9), no_decay),
            Claim(f"{name}-waves",
                "and its input weights become waves: their mean participation ratio over that of noise",
                f"{DOSHI}, Sec. 2.2 (hypothesis 2.2), Fig. {figure}; the bound is ours", waves(decayed),
                at_least(2.0), no_decay),
        )  # fmt: skip

    return tuple(claim for name, about in deeper(s).items() for claim in of(name, *about))
