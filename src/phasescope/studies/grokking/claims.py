"""The claims of the study ``grokking``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

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
    mean,
    most,
    near,
    start,
    step_of_peak,
    steps_to,
    value,
)
from phasescope.lab.readings import crossing, value_at
from phasescope.studies.grokking.settings import POLYNOMIALS, GrokkingSettings
from phasescope.tasks import addition, function
from phasescope.theory import modular_addition
from phasescope.theory.chance import chance_level, majority_share
from phasescope.verdict import Claim, Control
from phasescope.vocabulary import Member

GROMOV = "Gromov 2023"
ACCURACY = end("test_accuracy")
SOLVED, KNOWN = steps_to("test_accuracy", 0.9), steps_to("train_accuracy", 0.99)


def claims(s: GrokkingSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_answers(s), *_errors(s), *_learning(s), *_test_loss(s), *_neurons(s), *_boundary(s))


def _answers(s: GrokkingSettings) -> Sequence[Claim]:
    right, width = value("table_accuracy"), steps_to("table_accuracy", 0.99, along="width")
    return (
        Claim("exact-accuracy",
            f"The written-down weights answer every pair modulo {s.exact_p} at width {s.exact_width}",
            f"{GROMOV}, Eqs. 6-7 and 12; claim 1.1", right(at("exact")), at_least(0.999),
            Control("phases that ignore the constraint", at("phase_errors", error=np.pi))),
        Claim("exact-extension",
            "Replacing n, m by f(n), g(m) in the weights solves f(n) + g(m): n^2 + m^2 is answered everywhere",
            f"{GROMOV}, extension of the analytic solution; claim 1.12", right(at("squares")), at_least(0.999),
            Control("the weights for n + m, asked for n^2 + m^2", at("squares_plain"))),
        Claim("one-branch",
            "Reading (n + m)^2 off one branch of the root answers about half of the table, (p + 1) / (2 p)",
            f"{GROMOV}, Sec. 3.2 (51 % as quoted by a reproduction); claim 1.12",
            right(at("composed", branches="one")), near(modular_addition.one_branch_accuracy(s.exact_p), 0.03),
            Control("all branches summed", at("composed", branches="all"))),
        Claim("exact-width",
            f"The written-down weights need a width of 90 to 110 for 99 % accuracy modulo {s.exact_p}",
            f"{GROMOV}, Fig. 4b (90 to 100 as read by a reproduction); "
            f"theory.modular_addition.width_needed, an overestimate, is {modular_addition.width_needed(s.exact_p)}; "
            "claim 1.3", width(at("widths")), between(90, 110),
            Control("phase errors up to pi/2", at("broken_widths")), unit="neurons"),
    )  # fmt: skip


def _errors(s: GrokkingSettings) -> Sequence[Claim]:
    @partial(Measure, words="deviation of the correct logit from sin(d)/d")
    def shown(cell: xr.Dataset) -> xr.DataArray:
        return _root_mean_square(cell.correct_logit, cell.error)

    @partial(Measure, words="deviation of the correct logit without error from sin(d)/d")
    def hidden(cell: xr.Dataset) -> xr.DataArray:
        return _root_mean_square(cell.correct_logit.sel(error=0.0, drop=True), cell.error)

    return (
        Claim("exact-error", "The squared error of the written-down weights, times the width, is 4",
            "derived here (theory.modular_addition.expected_squared_error); claim 1.2",
            (value("table_loss") * s.exact_width)(at("exact")), near(4.0, 0.4),
            Control("phases that ignore the constraint", at("phase_errors", error=np.pi))),
        Claim("exact-deviation",
            "The wrong logits of the written-down weights, times the root of the width, deviate by 2",
            "derived here (theory.modular_addition.wrong_logit_deviation); claim 1.2",
            (value("wrong_logit_deviation") * np.sqrt(s.exact_width))(at("exact")), near(2.0, 0.1),
            Control("Gaussian weights of the same size", at("gaussian"))),
        Claim("phase-error-law",
            "Phase errors uniform in (-d, d) lower the correct logit as sin(d)/d (root mean square deviation over d)",
            "derived here from Eq. 13 (theory.modular_addition.correct_logit_factor); claim 1.4",
            shown(at("phase_errors")), at_most(0.04), Control("the same networks without phase error", hidden)),
    )  # fmt: skip


def _root_mean_square(logit: xr.DataArray, errors: xr.DataArray) -> xr.DataArray:
    """Return the root mean square, over phase errors d, of a correct logit's distance from sin(d)/d."""
    predicted = errors.copy(data=[modular_addition.correct_logit_factor(d) for d in errors.values])
    distance: xr.DataArray = ((logit - predicted) ** 2).mean("error", skipna=False) ** 0.5
    return distance


def _learning(s: GrokkingSettings) -> Sequence[Claim]:
    gd, noise = at("gd", train_fraction=s.high), Control("random labels", at("shuffled"))
    strong = {"weight_decay": s.decays[-1]}
    others = [at(name, train_fraction=s.high) for name in ("momentum", "decay", "dropout", "batchnorm")]
    return (
        Claim("gd-generalizes",
            f"Plain full-batch gradient descent without regularization generalizes from {s.high:g} of the table",
            f"{GROMOV}, Fig. 1; claim 1.5", ACCURACY(gd), at_least(0.99), noise),
        Claim("delay",
            "Test accuracy reaches 90 % later than training accuracy reaches 99 %, by a factor of 1.25 to 1.45",
            f"{GROMOV}, Fig. 1 shows the delay; the factor is a reproduction's; claim 1.5", (SOLVED / KNOWN)(gd),
            between(1.25, 1.45), noise),
        Claim("other-optimizers",
            "Momentum, weight decay, dropout, AdamW, mini-batches with batch normalization generalize too (the worst)",
            f"{GROMOV}, p. 4; claim 1.5", least(ACCURACY, [*others, at("adamw", train_fraction=s.high, **strong)]),
            at_least(0.99), Control("random labels, AdamW", at("shuffled_adamw"))),
        Claim("less-data",
            f"AdamW with weight decay generalizes from {s.middle:g} of the table, where gradient descent does not",
            f"{GROMOV}, p. 4; claim 1.5", ACCURACY(at("adamw", train_fraction=s.middle, **strong)), at_least(0.9),
            Control("plain gradient descent at the same fraction", at("gd", train_fraction=s.middle))),
    )  # fmt: skip


def _test_loss(s: GrokkingSettings) -> Sequence[Claim]:
    gd = at("gd", train_fraction=s.high)

    def rise(loss: str) -> Measure:
        return highest(loss) / start(loss)

    def peak(loss: str) -> Measure:
        return step_of_peak(loss) / SOLVED

    return (
        Claim("test-loss-rises", "The test loss first rises above its start by more than 3 %",
            f"{GROMOV}, Fig. 1; claim 1.6", rise("test_loss")(gd), at_least(1.03),
            Control("the training loss", rise("train_loss"))),
        Claim("test-loss-peak",
            "The test loss is largest right before generalization: at 0.5 to 1 times the step of 90 % test accuracy",
            f"{GROMOV}, Fig. 1; claim 1.6", peak("test_loss")(gd), between(0.5, 1.0),
            Control("the training loss", peak("train_loss"))),
        Claim("test-loss-falls", "After its peak the test loss falls to less than half",
            f"{GROMOV}, Fig. 1; claim 1.6", (end("test_loss") / highest("test_loss"))(gd), at_most(0.5),
            Control("random labels", at("shuffled"))),
    )  # fmt: skip


def _neurons(s: GrokkingSettings) -> Sequence[Claim]:
    gd = at("gd", train_fraction=s.high)
    adamw = at("adamw", train_fraction=s.high, weight_decay=s.decays[-1])
    aligned = mean("phase_alignment", "neuron")
    untrained, noise = Control("untrained networks", at("untrained")), at("shuffled_adamw")

    @partial(Measure, words="share of frequencies used")
    def used(cell: xr.Dataset) -> xr.DataArray:
        share: xr.DataArray = (cell.frequency_census > 0).mean("frequency")
        return share

    def ratio_at(level: float) -> Measure:
        """Return the ratio of the first cell's networks at the step at which those of the second reach ``level``."""

        def read(run: xr.Dataset, clean: xr.Dataset) -> xr.DataArray:
            return value_at(run.mean_participation, crossing(clean.test_accuracy, level))

        return Measure(read, f"participation when test_accuracy is {level:g}")

    def rise(run: Cell) -> Measured:
        return ratio_at(0.5)(run, adamw) / start("mean_participation")(run)

    def growth(run: Cell) -> Measured:
        return end("mean_participation")(run) / ratio_at(0.99)(run, adamw)

    return (
        Claim("phases-gd", "After gradient descent the phases obey phi1 + phi2 = phi3 (mean cosine over neurons)",
            f"{GROMOV}, Fig. 3; claim 1.7. Memorizing networks align to 0.92-0.96 too", aligned(gd), at_least(0.95),
            untrained),
        Claim("phases-adamw", "After AdamW with weight decay the phases are aligned more sharply still",
            f"{GROMOV}, Fig. 3; claim 1.7", aligned(adamw), at_least(0.98), untrained),
        Claim("all-frequencies", f"A wide network uses all {s.p // 2} frequencies (share used)",
            f"{GROMOV}, Sec. 4; claim 1.8", used(gd), at_least(0.99),
            Control(f"a network of width {s.narrow}", at("narrow"))),
        Claim("participation-rises",
            "When test accuracy reaches 50 %, the participation ratio has risen above its start by half or more",
            f"{GROMOV}, Fig. 5; claim 1.9; the margin is ours", rise(adamw), at_least(1.5),
            Control("random labels at the same step", rise(noise))),
        Claim("participation-keeps-rising",
            "The participation ratio keeps rising after test accuracy is 99 %, by 10 % or more",
            f"{GROMOV}, Fig. 5; claim 1.9; the margin is ours", growth(adamw), at_least(1.1),
            Control("random labels from the same step", growth(noise))),
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

    @partial(Measure, words="test_accuracy at the end over the majority's share")
    def above_majority(cell: xr.Dataset) -> xr.DataArray:
        return last(cell.test_accuracy) - majority[str(cell.function.item())]

    return (
        Claim("below-critical",
            f"From {s.low:g} of the table gradient descent memorizes and never generalizes (test accuracy over chance)",
            f"{GROMOV}, Fig. 4a; claim 1.10", (ACCURACY / chance)(at("gd", train_fraction=s.low)), at_most(3.0),
            Control(f"from {s.high:g} of the table", at("gd", train_fraction=s.high))),
        Claim("less-data-takes-longer",
            "Generalizing takes longer from less data: the ratio of steps from the largest fraction below "
            f"{s.high:g} to those from {most_data:g}", f"{GROMOV}, Fig. 4a; claim 1.10; the margin is ours",
            slower(SOLVED), at_least(1.15), Control("memorizing", slower(KNOWN))),
        Claim("not-every-polynomial",
            f"{' and '.join(hard)} are memorized from half of the table, not understood (test accuracy over majority)",
            f"{GROMOV}, appendix and p. 7; claim 1.11",
            most(above_majority, [at("polynomials", function=name) for name in hard]), at_most(0.03),
            Control(f"{learnable} in the same setting", at("polynomials", function=learnable))),
    )  # fmt: skip
