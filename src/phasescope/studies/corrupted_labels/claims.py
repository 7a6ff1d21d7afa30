"""The claims of the study ``corrupted-labels``: each an effect per seed, an expectation fixed here, and a control.

Bounds come from the paper's Table 2, numbers from ``_corrupted_labels_rows``, where they stand with their sources.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.ensemble import last
from phasescope.lab.readings import crossing, value_at
from phasescope.lab.study import part
from phasescope.studies.corrupted_labels.neurons import neurons
from phasescope.studies.corrupted_labels.rows import (
    DOSHI,
    deeper,
    end,
    known_row,
    near,
    only,
    row,
    truth_level,
    values_of,
)
from phasescope.studies.corrupted_labels.settings import CorruptedLabelsSettings
from phasescope.verdict import Claim, Control, Expectation
from phasescope.vocabulary import Array


def claims(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_accuracies, _numbers, _logits, _boundary, _stages, _forgetting, neurons, _deeper)
    return tuple(claim for group in groups for claim in group(s))


SEEN = {
    "coexistence": (
        "coexistence", "coexistence-memorizes", "coexistence-train", "coexistence-test", "logits-memorized",
        "two-kinds-memorizing", "two-kinds-waves", "two-kinds-nothing-between", "participation-coexistence",
        "prune-lowest-test", "prune-lowest-corrupted", "prune-lowest-train", "prune-highest-corrupted",
        "prune-highest-test", "prune-highest-10-percent", "prune-highest-20-percent",
    ),
    "partial": (
        "partial-inversion", "partial-inversion-train", "decay-makes-waves", "participation-partial", "prune-partial",
    ),
    "full": (
        "full-inversion", "full-inversion-train", "logits-corrected", "participation-full", "two-stages-first",
        "two-stages-then",
    ),
    "forgetting": ("forgetting-knew", "forgetting"),
}  # fmt: skip


def _accuracies(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    few, known = f"the same networks trained on {s.low:g} of the table", known_row(s)
    no_decay = Control("no weight decay", lambda d: end(d, s, "coexistence", "corrected_accuracy"))

    def both(data: xr.Dataset, experiment: str) -> Array:
        found = [only(data, experiment, f"{kind}_accuracy") for kind in ("train", "test")]
        return np.asarray(np.min(found, axis=0))

    return (
        Claim(
            "coexistence",
            "Without weight decay a network memorizes wrong labels and understands the rule: training and test "
            "accuracy (the lower one) are 90 % or more",
            f"{DOSHI}, Sec. 2, Fig. 1a; bound of Table 2; claim 2.1",
            lambda d: both(d, "plain"),
            Expectation.at_least(0.9),
            Control(few, lambda d: both(d, "memorizing")),
        ),
        Claim(
            "coexistence-memorizes",
            "Without weight decay most corrupted samples are answered with the wrong label that they were given",
            f"{DOSHI}, Sec. 2.1, Fig. 6; bound of Table 2; claim 2.1",
            lambda d: end(d, s, "coexistence", "corrupted_accuracy"),
            Expectation.at_least(0.9),
            Control(f"weight decay {s.full:g}", lambda d: end(d, s, "full", "corrupted_accuracy")),
        ),
        Claim(
            "partial-inversion",
            f"With weight decay {s.partial:g} the rule is answered everywhere, though training accuracy is lower: test "
            "accuracy",
            f"{DOSHI}, Sec. 2, Fig. 1b; claim 2.2",
            lambda d: end(d, s, "partial"),
            Expectation.at_least(0.999),
            Control(few, lambda d: only(d, "memorizing")),
        ),
        Claim(
            "full-inversion",
            f"With weight decay {s.full:g} every corrupted sample is answered with its true label",
            f"{DOSHI}, Sec. 2, Fig. 1c; claim 2.3",
            lambda d: end(d, s, "full", "corrected_accuracy"),
            Expectation.at_least(0.97),
            no_decay,
        ),
        Claim(
            "full-inversion-train",
            "Then training accuracy is 1 - xi (1 - 1/p), what the accidentally right labels leave (distance from it)",
            f"{DOSHI}, Sec. 2 (who write 1 - xi), Fig. 1c; claim 2.3",
            lambda d: end(d, s, "full", "train_accuracy") - truth_level(s),
            near(0.0, known.full_tolerance if known else 0.01),
            Control("no weight decay", lambda d: end(d, s, "coexistence", "train_accuracy") - truth_level(s)),
        ),
    )


def _numbers(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    found = known_row(s)
    if found is None:
        return ()
    source = f"{DOSHI}, Fig. 1; number of the authors' notebook or of a reproduction at this size"
    few = Control(f"trained on {s.low:g} of the table", lambda d: only(d, "memorizing"))
    return (
        Claim(
            "coexistence-train", "Training accuracy without weight decay", f"{source}; claim 2.1",
            lambda d: end(d, s, "coexistence", "train_accuracy"), found.train,
            Control(f"weight decay {s.partial:g}", lambda d: end(d, s, "partial", "train_accuracy")),
        ),
        Claim(
            "coexistence-test", "Test accuracy without weight decay", f"{source}; claim 2.1",
            lambda d: end(d, s, "coexistence"), found.test, few,
        ),
        Claim(
            "partial-inversion-train", f"Training accuracy with weight decay {s.partial:g}", f"{source}; claim 2.2",
            lambda d: end(d, s, "partial", "train_accuracy"), found.partial,
            Control("no weight decay", lambda d: end(d, s, "coexistence", "train_accuracy")),
        ),
    )  # fmt: skip


def _logits(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    def gap(data: xr.Dataset, phase: str) -> Array:
        return end(data, s, phase, "given_logit") - end(data, s, phase, "true_logit")

    return (
        Claim(
            "logits-memorized",
            "Without weight decay the logit of a given wrong label exceeds that of the true one (by 0.2 of the target)",
            f"{DOSHI}, App. K, Fig. 23a; the margin is ours",
            lambda d: gap(d, "coexistence"),
            Expectation.at_least(0.2),
            Control(f"weight decay {s.full:g}", lambda d: gap(d, "full")),
            unit="logit",
        ),
        Claim(
            "logits-corrected",
            f"With weight decay {s.full:g} the true label's logit exceeds that of the given one (by 0.2 of the target)",
            f"{DOSHI}, App. K, Fig. 23c; the margin is ours",
            lambda d: gap(d, "full"),
            Expectation.at_most(-0.2),
            Control("no weight decay", lambda d: gap(d, "coexistence")),
            unit="logit",
        ),
    )


def _forgetting(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    zero = theory.zero_function_loss(s.p)

    def best(data: xr.Dataset, experiment: str, decay: float) -> Array:
        return values_of(part(data, experiment)["test_accuracy"].sel(weight_decay=decay).max("step"))

    return (
        Claim(
            "forgetting-knew",
            f"With weight decay {s.forget:g} the rule is found first (best test accuracy on the way)",
            f"{DOSHI}, App. E, Fig. 8a; claim 2.4",
            lambda d: best(d, "forgetting", s.forget),
            Expectation.at_least(0.99),
            Control("random labels", lambda d: best(d, "random", 0.0)),
        ),
        Claim(
            "forgetting",
            "and then everything is forgotten: the loss ends at 1/p, that of the function 0 (distance from it)",
            f"{DOSHI}, App. E; the authors' notebook; claim 2.4",
            lambda d: end(d, s, "forgetting", "train_loss") - zero,
            near(0.0, 1e-6),
            Control("ReLU in place of the square", lambda d: only(d, "relu", "train_loss") - zero),
            unit="loss",
        ),
        Claim(
            "relu-remembers",
            f"ReLU networks do not forget under the same weight decay {s.forget:g} (test accuracy at the end)",
            f"{DOSHI}, App. E and N; bound of Table 2; claim 2.4",
            lambda d: only(d, "relu"),
            Expectation.at_least(0.9),
            Control("the quadratic network", lambda d: only(d, "forgetting")),
        ),
        Claim(
            "cross-entropy-remembers",
            f"Nor do quadratic networks that learn by cross-entropy, with weight decay {s.partial:g} or {s.forget:g}: "
            "the fall of a test accuracy that had been 90 % or more",
            f"{DOSHI}, App. M: no forgetting phase; the bound is ours; claim 2.4",
            lambda d: _forgotten(d, "cross_entropy"),
            Expectation.at_most(0.1),
            Control("mean squared error", lambda d: _forgotten(d, "forgetting")),
        ),
    )


def _forgotten(data: xr.Dataset, experiment: str) -> Array:
    """Return the largest fall of a test accuracy that had been high, over the weight decays, one value per seed."""
    test = part(data, experiment)["test_accuracy"]
    best = test.max("step")
    return values_of((best - last(test)).where(best >= theory.HIGH_ACCURACY, 0.0).max("weight_decay"))


def _boundary(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    chance, noise = theory.zero_function_loss(s.p), theory.random_participation(s.p)
    enough = f"from {s.train_fraction:g} of the table"
    return (
        Claim(
            "memorization",
            f"From {s.low:g} of the table the network memorizes alone: test accuracy over chance",
            f"{DOSHI}, Sec. 2, Fig. 3; bound as for grokking; claim 2.11",
            lambda d: only(d, "memorizing") / chance,
            Expectation.at_most(3.0),
            Control(enough, lambda d: end(d, s, "coexistence") / chance),
        ),
        Claim(
            "memorization-train",
            "and every label, right or wrong, is learnt: training accuracy",
            f"{DOSHI}, Sec. 2; bound of a reproduction; claim 2.11",
            lambda d: only(d, "memorizing", "train_accuracy"),
            Expectation.at_least(0.99),
            Control(f"weight decay {s.full:g}, {enough}", lambda d: end(d, s, "full", "train_accuracy")),
        ),
        Claim(
            "memorization-noise",
            "without any waves: the mean participation ratio over that of noise, 4/(p+1)",
            f"{DOSHI}, Sec. 2.1 (hypothesis 2.1); bound ours, 10 % above a reproduction's excess; claim 2.11",
            lambda d: only(d, "memorizing", "mean_participation") / noise,
            Expectation.at_most(1.2),
            Control(enough, lambda d: end(d, s, "coexistence", "mean_participation") / noise),
        ),
        Claim(
            "decay-needs-less-data",
            f"Weight decay {s.partial:g} finds the rule from {s.middle:g} of the table, where without it there is none",
            f"{DOSHI}, Sec. 3.1 (i), Fig. 3a; bound of Table 2; claim 2.11",
            lambda d: only(d, "middle", weight_decay=s.partial),
            Expectation.at_least(0.9),
            Control("no weight decay", lambda d: only(d, "middle", weight_decay=0.0)),
        ),
    )


def _stages(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    def on_arrival(data: xr.Dataset) -> Array:
        full = row(data, s, "full")
        return values_of(value_at(full.train_accuracy, crossing(full.test_accuracy, 0.9)))

    def fall(data: xr.Dataset, phase: str) -> Array:
        best = values_of(row(data, s, phase).train_accuracy.max("step"))
        return best - end(data, s, phase, "train_accuracy")

    return (
        Claim(
            "two-stages-first",
            f"With weight decay {s.full:g} the network first has both: when test accuracy reaches 90 %, training "
            "accuracy is still 90 % or more",
            f"{DOSHI}, abstract and Fig. 1c; bound of Table 2; claim 2.12",
            on_arrival,
            Expectation.at_least(0.9),
            Control("the same networks at the end", lambda d: end(d, s, "full", "train_accuracy")),
        ),
        Claim(
            "two-stages-then",
            "and then unlearns the wrong labels: training accuracy falls from its best by xi (1 - 1/p) less 0.05, or "
            "more",
            f"{DOSHI}, abstract and Fig. 1c; slack of Table 2; claim 2.12",
            lambda d: fall(d, "full"),
            Expectation.at_least(1 - truth_level(s) - 0.05),
            Control("no weight decay", lambda d: fall(d, "coexistence")),
        ),
    )


def _deeper(s: CorruptedLabelsSettings) -> Sequence[Claim]:
    def waves(data: xr.Dataset, name: str, p: int, decay: float) -> Array:
        ratio = part(data, name)["embed_participation"].sel(weight_decay=decay).mean("neuron")
        return values_of(ratio) / theory.random_participation(p)

    def of(name: str, words: str, figure: str, p: int, decay: float) -> Sequence[Claim]:
        return (
            Claim(
                f"{name}-understands",
                f"A {words} too finds the rule behind wrong labels under weight decay {decay:g} (test accuracy)",
                f"{DOSHI}, Sec. 2.2, Fig. {figure}; bound of Table 2",
                lambda d: only(d, name, weight_decay=decay),
                Expectation.at_least(0.9),
                Control("no weight decay", lambda d: only(d, name, weight_decay=0.0)),
            ),
            Claim(
                f"{name}-waves",
                "and its input weights become waves: their mean participation ratio over that of noise",
                f"{DOSHI}, Sec. 2.2 (hypothesis 2.2), Fig. {figure}; the bound is ours",
                lambda d: waves(d, name, p, decay),
                Expectation.at_least(2.0),
                Control("no weight decay", lambda d: waves(d, name, p, 0.0)),
            ),
        )

    return tuple(claim for name, about in deeper(s).items() for claim in of(name, *about))
