"""The claims of the study ``grokking``: each an effect per seed, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.ensemble import last
from phasescope.studies._readings import crossing, peak_step, value_at
from phasescope.studies._study import part
from phasescope.tasks import addition, function
from phasescope.verdict import Claim, Control, Expectation
from phasescope.vocabulary import Array, Member

if TYPE_CHECKING:
    from phasescope.studies.grokking import GrokkingSettings

GD = "Gromov 2023"
OTHERS = ("momentum", "decay", "dropout", "adamw", "batchnorm")


def claims(s: GrokkingSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_exact_claims(s), *_descent_claims(s), *_representation_claims(s), *_boundary_claims(s))


def _exact_claims(s: GrokkingSettings) -> Sequence[Claim]:
    def of(data: xr.Dataset, experiment: str, reading: str, **at: object) -> Array:
        chosen = part(data, experiment)[reading]
        return np.asarray((chosen.sel(at) if at else chosen).values)

    width = s.exact_width
    root = np.sqrt(width)

    def law(data: xr.Dataset, *, with_error: bool) -> Array:
        logit = part(data, "phase_errors")["correct_logit"]
        logit = logit if with_error else logit.sel(error=0.0).expand_dims(error=logit.error.values)
        predicted = xr.DataArray([theory.correct_logit_factor(d) for d in logit.error.values], dims="error")
        return np.asarray(np.sqrt(((logit - predicted) ** 2).mean("error")).values)

    def width_for(data: xr.Dataset, experiment: str) -> Array:
        accuracy = part(data, experiment)["table_accuracy"].rename(width="step")
        return np.asarray(crossing(accuracy, 0.99).values)

    return (
        Claim(
            "exact-accuracy",
            f"The written-down weights answer every pair modulo {s.exact_p} at width {width}",
            f"{GD}, Eqs. 6-7 and 12; claim 1.1",
            lambda d: of(d, "exact", "table_accuracy"),
            Expectation.at_least(0.999),
            Control(
                "phases that ignore the constraint", lambda d: of(d, "phase_errors", "table_accuracy", error=np.pi)
            ),
        ),
        Claim(
            "exact-error",
            "The squared error of the written-down weights, times the width, is 4",
            "derived here (theory.expected_squared_error); claim 1.2",
            lambda d: of(d, "exact", "table_loss") * width,
            Expectation.near(4.0, 0.4),
            Control(
                "phases that ignore the constraint", lambda d: of(d, "phase_errors", "table_loss", error=np.pi) * width
            ),
        ),
        Claim(
            "exact-deviation",
            "The wrong logits of the written-down weights, times the root of the width, deviate by 2",
            "derived here (theory.wrong_logit_deviation); claim 1.2",
            lambda d: of(d, "exact", "wrong_logit_deviation") * root,
            Expectation.near(2.0, 0.1),
            Control("Gaussian weights of the same size", lambda d: of(d, "gaussian", "wrong_logit_deviation") * root),
        ),
        Claim(
            "exact-width",
            f"The written-down weights reach 99 % accuracy modulo {s.exact_p} at a width near 100",
            f"{GD}, Fig. 4b (90 to 100 as read by a reproduction), and theory.width_needed = "
            f"{theory.width_needed(s.exact_p)}; claim 1.3",
            lambda d: width_for(d, "widths"),
            Expectation.between(75, 110),
            Control("phase errors up to pi/2", lambda d: width_for(d, "broken_widths")),
            unit="neurons",
        ),
        Claim(
            "phase-error-law",
            "Phase errors uniform in (-d, d) lower the correct logit as sin(d)/d (root mean square deviation over d)",
            "derived here from Eq. 13 (theory.correct_logit_factor); claim 1.4",
            lambda d: law(d, with_error=True),
            Expectation.at_most(0.07),
            Control("the same networks without phase error", lambda d: law(d, with_error=False)),
        ),
        Claim(
            "exact-extension",
            "Replacing n, m by f(n), g(m) in the weights solves f(n) + g(m): n^2 + m^2 is answered everywhere",
            f"{GD}, extension of the analytic solution; claim 1.12",
            lambda d: of(d, "squares", "table_accuracy"),
            Expectation.at_least(0.999),
            Control("the weights for n + m, asked for n^2 + m^2", lambda d: of(d, "squares_plain", "table_accuracy")),
        ),
        Claim(
            "one-branch",
            "Reading (n + m)^2 off one branch of the root answers about half of the table, (p + 1) / (2 p)",
            f"{GD}, Sec. 3.2 (51 % as quoted by a reproduction); claim 1.12",
            lambda d: of(d, "composed", "table_accuracy", branches="one"),
            Expectation.near(theory.one_branch_accuracy(s.exact_p), 0.03),
            Control("all branches summed", lambda d: of(d, "composed", "table_accuracy", branches="all")),
        ),
    )


def _descent_claims(s: GrokkingSettings) -> Sequence[Claim]:
    def gd(data: xr.Dataset, reading: str) -> xr.DataArray:
        return part(data, "gd")[reading].sel(train_fraction=s.high)

    def shuffled(data: xr.Dataset, reading: str) -> xr.DataArray:
        return part(data, "shuffled")[reading].isel(train_fraction=0, corruption=0)

    def delay(train: xr.DataArray, test: xr.DataArray) -> Array:
        return np.asarray((crossing(test, 0.9) / crossing(train, 0.99)).values)

    def over_start(loss: xr.DataArray) -> Array:
        return np.asarray((loss.max("step") / loss.isel(step=0)).values)

    def fall(loss: xr.DataArray) -> Array:
        return np.asarray((last(loss) / loss.max("step")).values)

    def when(data: xr.Dataset, reading: str) -> Array:
        return np.asarray((peak_step(gd(data, reading)) / crossing(gd(data, "test_accuracy"), 0.9)).values)

    def others(data: xr.Dataset, names: Sequence[str], fraction: float) -> Array:
        found = []
        for name in names:
            accuracy = part(data, name)["test_accuracy"].sel(train_fraction=fraction)
            accuracy = accuracy.isel(weight_decay=-1) if "weight_decay" in accuracy.dims else accuracy
            found.append(last(accuracy.isel(corruption=0) if "corruption" in accuracy.dims else accuracy))
        return np.asarray(xr.concat(found, "experiment", coords="minimal", compat="override").min("experiment").values)

    return (
        Claim(
            "gd-generalizes",
            f"Plain full-batch gradient descent without regularization generalizes from {s.high:g} of the table",
            f"{GD}, Fig. 1; claim 1.5",
            lambda d: last(gd(d, "test_accuracy")).values,
            Expectation.at_least(0.99),
            Control("random labels", lambda d: last(shuffled(d, "test_accuracy")).values),
        ),
        Claim(
            "delay",
            "Test accuracy reaches 90 % later than training accuracy reaches 99 %, by a factor of 1.25 to 1.45",
            f"{GD}, Fig. 1 shows the delay; the factor is a reproduction's; claim 1.5",
            lambda d: delay(gd(d, "train_accuracy"), gd(d, "test_accuracy")),
            Expectation.between(1.25, 1.45),
            Control("random labels", lambda d: delay(shuffled(d, "train_accuracy"), shuffled(d, "test_accuracy"))),
        ),
        Claim(
            "test-loss-rises",
            "The test loss first rises above its start by more than 3 %",
            f"{GD}, Fig. 1; claim 1.6",
            lambda d: over_start(gd(d, "test_loss")),
            Expectation.at_least(1.03),
            Control("the training loss", lambda d: over_start(gd(d, "train_loss"))),
        ),
        Claim(
            "test-loss-peak",
            "The test loss is largest right before generalization: at 0.5 to 1 times the step of 90 % test accuracy",
            f"{GD}, Fig. 1; claim 1.6",
            lambda d: when(d, "test_loss"),
            Expectation.between(0.5, 1.0),
            Control("the training loss", lambda d: when(d, "train_loss")),
        ),
        Claim(
            "test-loss-falls",
            "After its peak the test loss falls to less than half",
            f"{GD}, Fig. 1; claim 1.6",
            lambda d: fall(gd(d, "test_loss")),
            Expectation.at_most(0.5),
            Control("random labels", lambda d: fall(shuffled(d, "test_loss"))),
        ),
        Claim(
            "other-optimizers",
            "Momentum, weight decay, dropout, AdamW, mini-batches with batch normalization generalize too (the worst)",
            f"{GD}, p. 4; claim 1.5",
            lambda d: others(d, OTHERS, s.high),
            Expectation.at_least(0.99),
            Control("random labels, AdamW", lambda d: others(d, ("shuffled_adamw",), s.high)),
        ),
        Claim(
            "less-data",
            f"AdamW with weight decay generalizes from {s.middle:g} of the table, where gradient descent does not",
            f"{GD}, p. 4; claim 1.5",
            lambda d: others(d, ("adamw",), s.middle),
            Expectation.at_least(0.9),
            Control("plain gradient descent at the same fraction", lambda d: others(d, ("gd",), s.middle)),
        ),
    )


def _representation_claims(s: GrokkingSettings) -> Sequence[Claim]:
    bins = s.p // 2

    def aligned(data: xr.Dataset, experiment: str) -> Array:
        cosine = part(data, experiment)["end.phase_alignment"].sel(train_fraction=s.high)
        cosine = cosine.isel(weight_decay=-1) if "weight_decay" in cosine.dims else cosine
        return np.asarray(cosine.mean("neuron").values)

    def untrained(data: xr.Dataset) -> Array:
        return np.asarray(part(data, "untrained")["phase_alignment"].mean("neuron").values)

    def used(data: xr.Dataset, experiment: str) -> Array:
        census = part(data, experiment)["end.frequency_census"].sel(train_fraction=s.high)
        return np.asarray(((census > 0).sum("frequency") / bins).values)

    def adamw(data: xr.Dataset, reading: str) -> xr.DataArray:
        return part(data, "adamw")[reading].sel(train_fraction=s.high).isel(weight_decay=-1)

    def rise(ratio: xr.DataArray, steps: xr.DataArray) -> Array:
        return np.asarray((value_at(ratio, steps) / ratio.isel(step=0)).values)

    def early(data: xr.Dataset) -> Array:
        return rise(adamw(data, "mean_participation"), crossing(adamw(data, "test_accuracy"), 0.5))

    def noise(data: xr.Dataset) -> Array:
        ratio = part(data, "shuffled_adamw")["mean_participation"].isel(train_fraction=0, corruption=0)
        halfway = crossing(adamw(data, "test_accuracy"), 0.5)
        return rise(ratio, halfway)

    def late(data: xr.Dataset) -> Array:
        ratio = adamw(data, "mean_participation")
        return np.asarray((last(ratio) / value_at(ratio, crossing(adamw(data, "test_accuracy"), 0.99))).values)

    def late_noise(data: xr.Dataset) -> Array:
        ratio = part(data, "shuffled_adamw")["mean_participation"].isel(train_fraction=0, corruption=0)
        solved = crossing(adamw(data, "test_accuracy"), 0.99)
        return np.asarray((last(ratio) / value_at(ratio, solved)).values)

    return (
        Claim(
            "phases-gd",
            "After gradient descent the phases obey phi1 + phi2 = phi3 (mean cosine over neurons)",
            f"{GD}, Fig. 3; claim 1.7. Memorizing networks align to 0.92-0.96 too",
            lambda d: aligned(d, "gd"),
            Expectation.at_least(0.95),
            Control("untrained networks", untrained),
        ),
        Claim(
            "phases-adamw",
            "After AdamW with weight decay the phases are aligned more sharply still",
            f"{GD}, Fig. 3; claim 1.7",
            lambda d: aligned(d, "adamw"),
            Expectation.at_least(0.98),
            Control("untrained networks", untrained),
        ),
        Claim(
            "all-frequencies",
            f"A wide network uses all {bins} frequencies (share used)",
            f"{GD}, Sec. 4; claim 1.8",
            lambda d: used(d, "gd"),
            Expectation.at_least(0.99),
            Control(f"a network of width {s.narrow}", lambda d: used(d, "narrow")),
        ),
        Claim(
            "participation-rises",
            "When test accuracy reaches 50 %, the participation ratio has risen above its start by half or more",
            f"{GD}, Fig. 5; claim 1.9; the margin is ours",
            early,
            Expectation.at_least(1.5),
            Control("random labels at the same step", noise),
        ),
        Claim(
            "participation-keeps-rising",
            "The participation ratio keeps rising after test accuracy is 99 %, by 10 % or more",
            f"{GD}, Fig. 5; claim 1.9; the margin is ours",
            late,
            Expectation.at_least(1.1),
            Control("random labels from the same step", late_noise),
        ),
    )


def _boundary_claims(s: GrokkingSettings) -> Sequence[Claim]:
    law = addition(s.p).law(Member({}, 0))
    chance = theory.chance_level(law)

    def final(data: xr.Dataset, fraction: float) -> Array:
        return np.asarray(last(part(data, "gd")["test_accuracy"].sel(train_fraction=fraction)).values)

    def slower(data: xr.Dataset, reading: str, level: float) -> Array:
        steps = crossing(part(data, "gd")[reading], level)
        fractions = np.array(s.fractions)
        less, more = fractions[fractions < s.high].max(), fractions.max()
        return np.asarray((steps.sel(train_fraction=less) / steps.sel(train_fraction=more)).values)

    def above_majority(data: xr.Dataset, names: Sequence[str]) -> Array:
        accuracy = last(part(data, "polynomials")["test_accuracy"]).isel(train_fraction=0)
        return np.asarray((accuracy - majority).sel(function=list(names)).max("function").values)

    from phasescope.studies.grokking import POLYNOMIALS

    shares = [theory.majority_share(function(s.p, f).law(Member({}, 0))) for f in POLYNOMIALS.values()]
    majority = xr.DataArray(shares, dims="function", coords={"function": list(POLYNOMIALS)})
    learnable, *hard = POLYNOMIALS
    return (
        Claim(
            "below-critical",
            f"From {s.low:g} of the table gradient descent memorizes and never generalizes (test accuracy over chance)",
            f"{GD}, Fig. 4a; claim 1.10",
            lambda d: final(d, s.low) / chance,
            Expectation.at_most(3.0),
            Control(f"from {s.high:g} of the table", lambda d: final(d, s.high) / chance),
        ),
        Claim(
            "less-data-takes-longer",
            "Generalizing takes longer from less data: the ratio of steps from the least generalizing fraction below "
            f"{s.high:g} to the largest",
            f"{GD}, Fig. 4a; claim 1.10; the margin is ours",
            lambda d: slower(d, "test_accuracy", 0.9),
            Expectation.at_least(1.15),
            Control("memorizing", lambda d: slower(d, "train_accuracy", 0.99)),
        ),
        Claim(
            "not-every-polynomial",
            f"{' and '.join(hard)} are memorized from half of the table, not understood (test accuracy over majority)",
            f"{GD}, appendix and p. 7; claim 1.11",
            lambda d: above_majority(d, hard),
            Expectation.at_most(0.03),
            Control(f"{learnable} in the same setting", lambda d: above_majority(d, [learnable])),
        ),
    )
