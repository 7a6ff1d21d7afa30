"""The claims of the study ``grokking``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.measures import (
    Cell,
    Measure,
    Measured,
    at,
    at_least,
    at_most,
    between,
    end,
    highest,
    least,
    most,
    near,
    start,
    step_of_peak,
    steps_to,
    value,
)
from phasescope.lab.readings import crossing, value_at
from phasescope.studies.grokking.settings import OPERATIONS, POLYNOMIALS, GrokkingSettings
from phasescope.tasks import addition, function
from phasescope.theory import modular_addition
from phasescope.theory.chance import chance_level, majority_share
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Member

GROMOV = "Gromov 2023"
PILOT = "seeds 0 to 11 of this study at p = 23"
UNIT, POSITIVE = (0.0, 1.0), (0.0, math.inf)
ACCURACY = end("test_accuracy")
SOLVED, KNOWN = steps_to("test_accuracy", 0.9), steps_to("train_accuracy", 0.99)
ALL_BUT_A_HUNDREDTH = "all but one test sample in a hundred"


def claims(s: GrokkingSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_answers(s), *_errors(s), *_learning(s), *_test_loss(s), *_phases(s), *_neurons(s), *_boundary(s))


def _answers(s: GrokkingSettings) -> Sequence[Claim]:
    right, width = value("table_accuracy"), steps_to("table_accuracy", 0.99, along="width")
    thousandth = "all but one pair in a thousand"
    return (
        Claim("exact-accuracy",
            f"The written-down weights answer every pair modulo {s.exact_p} at width {s.exact_width}",
            Source(paper=f"{GROMOV}, Eqs. 6-7 and 12", value="100 %", tolerance=thousandth),
            right(at("exact")), at_least(0.999),
            Control("phases that ignore the constraint", at("phase_errors", error=np.pi)), range=UNIT),
        Claim("exact-extension",
            "Replacing n, m by f(n), g(m) in the weights solves f(n) + g(m): n^2 + m^2 is answered everywhere",
            Source(paper=f"{GROMOV}, the extension of the analytic solution", value="100 %", tolerance=thousandth),
            right(at("squares")), at_least(0.999),
            Control("the same waves with phases that ignore the constraint", at("squares_broken")), range=UNIT),
        Claim("one-branch",
            "Reading (n + m)^2 off one branch of the root answers about half of the table, (p + 1) / (2 p)",
            Source(paper=f"{GROMOV}, Sec. 3.2", derived="theory.modular_addition.one_branch_accuracy",
                tolerance="pairs off the branch that are right by accident, which the formula leaves out"),
            right(at("composed", branches="one")), near(modular_addition.one_branch_accuracy(s.exact_p), 0.03),
            Control("all branches summed", at("composed", branches="all")), range=UNIT),
        Claim("exact-width",
            f"The written-down weights need a width of 90 to 110 for 99 % accuracy modulo {s.exact_p}",
            Source(paper=f"{GROMOV}, Fig. 4b", value="about 90 to 100 neurons, read off the figure by others",
                tolerance="the reading error, and theory.modular_addition.width_needed, an overestimate, which is "
                f"{modular_addition.width_needed(s.exact_p)}"),
            width(at("widths")), between(90, 110), Control("phase errors up to pi/2", at("broken_widths")),
            unit="neurons", range=POSITIVE, counts="draws of the phases"),
    )  # fmt: skip


def _errors(s: GrokkingSettings) -> Sequence[Claim]:
    @partial(Measure, words="root mean square deviation of the correct logit from sin(d)/d over d")
    def deviation(cell: xr.Dataset) -> xr.DataArray:
        predicted = cell.error.copy(data=[modular_addition.correct_logit_factor(d) for d in cell.error.values])
        distance: xr.DataArray = ((cell.correct_logit - predicted) ** 2).mean("error", skipna=False) ** 0.5
        return distance

    return (
        Claim("exact-error", "The squared error of the written-down weights, times the width, is 4",
            Source(derived="theory.modular_addition.expected_squared_error", value="4",
                tolerance="a tenth: waves of one frequency are correlated, which the formula leaves out"),
            (value("table_loss") * s.exact_width)(at("exact")), near(4.0, 0.4),
            Control("phases that ignore the constraint", at("phase_errors", error=np.pi)), range=POSITIVE),
        Claim("exact-deviation",
            "The wrong logits of the written-down weights, times the root of the width, deviate by 2",
            Source(derived="theory.modular_addition.wrong_logit_deviation", value="2",
                tolerance="half of the tenth that the squared error is given, for a root"),
            (value("wrong_logit_deviation") * np.sqrt(s.exact_width))(at("exact")), near(2.0, 0.1),
            Control("Gaussian weights of the same size", at("gaussian")), range=POSITIVE),
        Claim("phase-error-law",
            "Phase errors uniform in (-d, d) lower the correct logit as sin(d)/d (root mean square deviation over d)",
            Source(paper=f"{GROMOV}, Eq. 13", derived="theory.modular_addition.correct_logit_factor",
                tolerance="twice what one draw of the phases deviates by, 0.42 over the root of the width"),
            deviation(at("phase_errors")), at_most(0.04),
            Control("normal phase errors of the same variance", at("normal_errors")), range=POSITIVE),
    )  # fmt: skip


def _learning(s: GrokkingSettings) -> Sequence[Claim]:
    # random labels show whether test labels leak into training: nothing there can be generalized from
    gd, noise = at("gd", train_fraction=s.high), Control("random labels", at("shuffled"))
    strong = {"weight_decay": s.decays[-1]}
    others = [at(name, train_fraction=s.high) for name in ("momentum", "decay", "dropout", "batchnorm")]
    undecayed = at("adamw", train_fraction=s.middle, weight_decay=0.0)
    product, unlearnable = OPERATIONS
    return (
        Claim("gd-generalizes",
            f"Plain full-batch gradient descent without regularization generalizes from {s.high:g} of the table",
            Source(paper=f"{GROMOV}, Fig. 1", value="100 %", tolerance=ALL_BUT_A_HUNDREDTH),
            ACCURACY(gd), at_least(0.99), noise, range=UNIT),
        Claim("product-generalizes",
            f"and so it does from {s.high:g} of the table of {product}, for which the paper writes no weights down",
            Source(paper=f"{GROMOV}, abstract (various modular arithmetic tasks)",
                ours="at least nine in ten, as a network that knows the rule is told from one that does not",
                tolerance="rows and columns of 0 are no waves"),
            ACCURACY(at("operations", function=product)), at_least(0.9),
            Control(f"{unlearnable} in the same setting", at("operations", function=unlearnable)), range=UNIT),
        Claim("delay",
            "Test accuracy reaches 90 % later than training accuracy reaches 99 %, by a factor of 1.25 to 1.45",
            Source(paper=f"{GROMOV}, Fig. 1 (that there is a delay)",
                pilot="1.40 at p = 23, 1.38 at p = 31, 1.2 at p = 97, one network or few at each size",
                tolerance="the range of these and of published repetitions at p = 97, 1.25 to 1.31"),
            (SOLVED / KNOWN)(gd), between(1.25, 1.45),
            Control("training accuracy itself, from 90 % to 99 %", KNOWN / steps_to("train_accuracy", 0.9)),
            range=POSITIVE),
        Claim("other-optimizers",
            "Momentum, weight decay, dropout, AdamW, mini-batches with batch normalization generalize too (the worst)",
            Source(paper=f"{GROMOV}, p. 4", tolerance=ALL_BUT_A_HUNDREDTH),
            least(ACCURACY, [*others, at("adamw", train_fraction=s.high, **strong)]), at_least(0.99),
            Control("random labels, AdamW with weight decay", at("shuffled_adamw")), range=UNIT),
        Claim("less-data",
            f"AdamW with weight decay generalizes from {s.middle:g} of the table, where gradient descent and AdamW "
            "without weight decay do not", Source(paper=f"{GROMOV}, p. 4 (that less data is needed)",
                ours="nine in ten, as a network that knows the rule is told from one that does not",
                tolerance="one in ten"),
            ACCURACY(at("adamw", train_fraction=s.middle, **strong)), at_least(0.9),
            Control("the better of gradient descent and AdamW without weight decay",
                most(ACCURACY, [at("gd", train_fraction=s.middle), undecayed])), range=UNIT),
    )  # fmt: skip


def _test_loss(s: GrokkingSettings) -> Sequence[Claim]:
    gd, memorizing = at("gd", train_fraction=s.high), at("gd", train_fraction=s.low)

    def peak(run: Cell) -> Measured:
        return step_of_peak("test_loss")(run) / SOLVED(gd)

    # that the test loss rises first is in the peak: every network that memorizes shows a rise, and a larger one
    return (
        Claim("test-loss-peak",
            "The test loss rises first, and is largest before generalization: at 0.5 to 1 times the step of 90 % test "
            "accuracy", Source(paper=f"{GROMOV}, Fig. 1", value="right before generalization",
                tolerance="half of the way, so that what peaks at the start is told apart"),
            peak(gd), between(0.5, 1.0),
            Control(f"networks that only memorize {s.low:g} of the table, over the same steps", peak(memorizing)),
            range=POSITIVE),
        Claim("test-loss-falls", "After its peak the test loss falls to less than half",
            Source(paper=f"{GROMOV}, Fig. 1 (that it falls)", ours="a fall by half or more",
                tolerance="the smallest fall that we would call one"),
            (end("test_loss") / highest("test_loss"))(gd), at_most(0.5),
            Control(f"networks that only memorize {s.low:g} of the table", memorizing), range=UNIT),
    )  # fmt: skip


@partial(Measure, words="1 - mean phase_alignment")
def _misalignment(cell: xr.Dataset) -> xr.DataArray:
    found: xr.DataArray = 1 - cell.phase_alignment.mean("neuron", skipna=False)
    return found


def _phases(s: GrokkingSettings) -> Sequence[Claim]:
    """Aligned phases alone are no sign that a rule was found: networks that memorize have them too."""

    def gd(fraction: float) -> Measured:
        return _misalignment(at("gd", train_fraction=fraction))

    def adamw(decay: float, fraction: float = s.high) -> Measured:
        return _misalignment(at("adamw", train_fraction=fraction, weight_decay=decay))

    strong, few = s.decays[-1], _misalignment(at("memorizing"))
    half = f"half is the smallest difference that we would call sharper; seen on {PILOT} before it was fixed"
    return (
        Claim("phases-gd",
            "After gradient descent that generalizes the phases obey phi1 + phi2 = phi3 more sharply than after "
            f"memorizing: 1 - mean cosine from {s.high:g} of the table over that from {s.low:g}",
            Source(paper=f"{GROMOV}, Fig. 3 (that the phases are aligned)", ours="half or less", tolerance=half),
            gd(s.high) / gd(s.low), at_most(0.5),
            Control(f"more data that are only memorized, from {s.middle:g} of the table", gd(s.middle) / gd(s.low)),
            range=POSITIVE),
        Claim("phases-adamw",
            "After AdamW with weight decay the phases are aligned more sharply still: 1 - mean cosine over that after "
            "gradient descent",
            Source(paper=f"{GROMOV}, Fig. 3 (that it is sharper)", ours="half or less", tolerance=half),
            adamw(strong) / gd(s.high), at_most(0.5),
            Control("AdamW without weight decay, which generalizes too", adamw(0.0) / gd(s.high)), range=POSITIVE),
        Claim("phases-adamw-rule",
            "and more sharply than after the same AdamW that only memorizes: 1 - mean cosine from "
            f"{s.high:g} of the table over that from {s.memorized:g}",
            Source(paper=f"{GROMOV}, Fig. 3 (that the phases are aligned)", ours="half or less", tolerance=half),
            adamw(strong) / few, at_most(0.5),
            Control("AdamW without weight decay, which generalizes too", adamw(0.0) / few), range=POSITIVE),
    )  # fmt: skip


def _neurons(s: GrokkingSettings) -> Sequence[Claim]:
    gd = at("gd", train_fraction=s.high)
    adamw, memorizing = at("adamw", train_fraction=s.high, weight_decay=s.decays[-1]), at("memorizing")

    @partial(Measure, words="fraction of frequencies that are the strongest of a neuron with participation above 0.5")
    def used(cell: xr.Dataset) -> xr.DataArray:
        found = cell.dominant_frequency.where(cell.participation > 0.5)
        fraction: xr.DataArray = sum((found == k).any("neuron") * 1.0 for k in range(1, s.p // 2 + 1)) / (s.p // 2)
        return fraction

    def ratio_at(level: float) -> Measure:
        """Return the ratio of the first cell's networks at the step at which those of the second reach ``level``."""

        def read(run: xr.Dataset, clean: xr.Dataset) -> xr.DataArray:
            return value_at(run.mean_participation, crossing(clean.test_accuracy, level))

        return Measure(read, f"participation when test_accuracy is {level:g}")

    def rise(run: Cell) -> Measured:
        return ratio_at(0.5)(run, adamw) / start("mean_participation")(run)

    def growth(run: Cell) -> Measured:
        return end("mean_participation")(run) / ratio_at(0.99)(run, adamw)

    few = f"the same AdamW that only memorizes {s.memorized:g} of the table"
    return (
        Claim("all-frequencies",
            f"A wide network uses all {s.p // 2} frequencies: the fraction of them that some neuron that is a wave has",
            Source(paper=f"{GROMOV}, Sec. 4", value="all", tolerance="none of them may be missing"),
            used(gd), at_least(0.99), Control(f"the same networks that only memorize {s.low:g} of the table",
                at("gd", train_fraction=s.low)), range=UNIT),
        Claim("participation-rises",
            "When test accuracy reaches 50 %, the inverse participation ratio has risen above its start by half or "
            "more", Source(paper=f"{GROMOV}, Fig. 5 (that it rises)", ours="by half",
                tolerance="the smallest rise that we would call one"),
            rise(adamw), at_least(1.5), Control(f"{few}, at the same step", rise(memorizing)), range=POSITIVE),
        Claim("participation-keeps-rising",
            "The inverse participation ratio keeps rising after test accuracy is 99 %, by 10 % or more above what it "
            f"does in {few}",
            Source(paper=f"{GROMOV}, Fig. 5 (that it keeps rising)", ours="by a tenth",
                tolerance="the smallest rise that we would call one"),
            growth(adamw) / growth(memorizing), at_least(1.1),
            Control("random labels under the same AdamW", growth(at("shuffled_adamw")) / growth(memorizing)),
            range=POSITIVE),
    )  # fmt: skip


def _boundary(s: GrokkingSettings) -> Sequence[Claim]:
    chance = chance_level(addition(s.p).law(Member({}, 0)))
    less, most_data = max(f for f in s.fractions if f < s.high), max(s.fractions)
    learnable, *hard = POLYNOMIALS
    majority = {
        name: majority_share(function(s.p, formula).law(Member({}, 0))) for name, formula in POLYNOMIALS.items()
    }

    def slower(measure: Measure) -> Measured:
        return measure(at("gd", train_fraction=less)) / measure(at("gd", train_fraction=most_data))

    @partial(Measure, words="test_accuracy at the end less that of the most frequent label")
    def above_majority(cell: xr.Dataset) -> xr.DataArray:
        return last(cell.test_accuracy) - majority[str(cell.function.item())]

    return (
        Claim("below-critical",
            f"From {s.low:g} of the table gradient descent memorizes and never generalizes (test accuracy over chance)",
            Source(paper=f"{GROMOV}, Fig. 4a", ours="less than three times chance",
                tolerance="chance itself scatters over some three hundred test samples"),
            (ACCURACY / chance)(at("gd", train_fraction=s.low)), at_most(3.0),
            Control(f"from {s.high:g} of the table", at("gd", train_fraction=s.high)), range=POSITIVE),
        Claim("less-data-takes-longer",
            "Generalizing takes longer from less data: the ratio of steps from the largest fraction below "
            f"{s.high:g} to those from {most_data:g}",
            Source(paper=f"{GROMOV}, Fig. 4a (that it takes longer)", ours="by 15 % or more",
                tolerance="the smallest difference that we would call one"),
            slower(SOLVED), at_least(1.15), Control("memorizing", slower(KNOWN)), range=POSITIVE),
        Claim("not-every-polynomial",
            f"{' and '.join(hard)} are memorized from half of the table, not understood (test accuracy less that of "
            "the most frequent label, the better of the two)",
            Source(paper=f"{GROMOV}, appendix and p. 7", ours="no better than the most frequent label",
                tolerance="two deviations of an accuracy over some two hundred and sixty test samples"),
            most(above_majority, [at("polynomials", function=name) for name in hard]), at_most(0.03),
            Control(f"{learnable} in the same setting", at("polynomials", function=learnable)), range=(-1.0, 1.0)),
    )  # fmt: skip
