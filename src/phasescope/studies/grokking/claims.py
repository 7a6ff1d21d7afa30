"""The claims of the study ``grokking``: each an effect per seed, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.ensemble import last
from phasescope.lab.readings import crossing, peak_step, value_at
from phasescope.lab.study import Cell, part
from phasescope.studies.grokking.settings import POLYNOMIALS, GrokkingSettings
from phasescope.tasks import addition, function
from phasescope.verdict import Claim, Control, Expectation
from phasescope.vocabulary import Array, Member

GROMOV = "Gromov 2023"
OTHERS = ("momentum", "decay", "dropout", "adamw", "batchnorm")


def claims(s: GrokkingSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_exact_answers, _exact_errors, _generalization, _test_loss, _phases, _participation, _boundary)
    return tuple(claim for group in groups for claim in group(s))


def cells(s: GrokkingSettings) -> dict[str, Cell]:
    """Return where on the page's diagrams a claim is to be seen; a claim about many cells or none has no place."""
    high, strong = {"train_fraction": s.high}, {"weight_decay": s.decays[-1]}
    gd = ("gd-generalizes", "delay", "test-loss-rises", "test-loss-peak", "test-loss-falls", "phases-gd")
    adamw = ("phases-adamw", "participation-rises", "participation-keeps-rising")
    return {
        **{claim: Cell("gd", high) for claim in (*gd, "all-frequencies")},
        **{claim: Cell("adamw", {**high, **strong}) for claim in adamw},
        "other-optimizers": Cell("momentum", high),
        "less-data": Cell("adamw", {"train_fraction": s.middle, **strong}),
        "below-critical": Cell("gd", {"train_fraction": s.low}),
        "less-data-takes-longer": Cell("gd", {"train_fraction": max(f for f in s.fractions if f < s.high)}),
        "not-every-polynomial": Cell("polynomials", {"function": list(POLYNOMIALS)[1]}),
        "exact-width": Cell("widths"),
        "phase-error-law": Cell("phase_errors"),
    }


def _exact(data: xr.Dataset, experiment: str, reading: str, **at: object) -> Array:
    chosen = part(data, experiment)[reading]
    return np.asarray((chosen.sel(at) if at else chosen).values)


def _exact_answers(s: GrokkingSettings) -> Sequence[Claim]:
    return (
        Claim(
            "exact-accuracy",
            f"The written-down weights answer every pair modulo {s.exact_p} at width {s.exact_width}",
            f"{GROMOV}, Eqs. 6-7 and 12; claim 1.1",
            lambda d: _exact(d, "exact", "table_accuracy"),
            Expectation.at_least(0.999),
            Control(
                "phases that ignore the constraint", lambda d: _exact(d, "phase_errors", "table_accuracy", error=np.pi)
            ),
        ),
        Claim(
            "exact-extension",
            "Replacing n, m by f(n), g(m) in the weights solves f(n) + g(m): n^2 + m^2 is answered everywhere",
            f"{GROMOV}, extension of the analytic solution; claim 1.12",
            lambda d: _exact(d, "squares", "table_accuracy"),
            Expectation.at_least(0.999),
            Control(
                "the weights for n + m, asked for n^2 + m^2", lambda d: _exact(d, "squares_plain", "table_accuracy")
            ),
        ),
        Claim(
            "one-branch",
            "Reading (n + m)^2 off one branch of the root answers about half of the table, (p + 1) / (2 p)",
            f"{GROMOV}, Sec. 3.2 (51 % as quoted by a reproduction); claim 1.12",
            lambda d: _exact(d, "composed", "table_accuracy", branches="one"),
            Expectation.near(theory.one_branch_accuracy(s.exact_p), 0.03),
            Control("all branches summed", lambda d: _exact(d, "composed", "table_accuracy", branches="all")),
        ),
        Claim(
            "exact-width",
            f"The written-down weights need a width of 90 to 110 for 99 % accuracy modulo {s.exact_p}",
            f"{GROMOV}, Fig. 4b (90 to 100 as read by a reproduction); theory.width_needed, an overestimate, is "
            f"{theory.width_needed(s.exact_p)}; claim 1.3",
            lambda d: _width_for(d, "widths"),
            Expectation.between(90, 110),
            Control("phase errors up to pi/2", lambda d: _width_for(d, "broken_widths")),
            unit="neurons",
        ),
    )


def _width_for(data: xr.Dataset, experiment: str) -> Array:
    accuracy = part(data, experiment)["table_accuracy"].rename(width="step")
    return np.asarray(crossing(accuracy, 0.99).values)


def _law_deviation(data: xr.Dataset, *, with_error: bool) -> Array:
    """Return the root mean square, over d, of the correct logit's distance from sin(d)/d."""
    logit = part(data, "phase_errors")["correct_logit"]
    errors = logit.error.values
    if not with_error:
        logit = logit.sel(error=0.0, drop=True).expand_dims(error=errors)
    predicted = xr.DataArray([theory.correct_logit_factor(d) for d in errors], dims="error", coords={"error": errors})
    return np.asarray(((logit - predicted) ** 2).mean("error").values ** 0.5)


def _exact_errors(s: GrokkingSettings) -> Sequence[Claim]:
    width, root = s.exact_width, np.sqrt(s.exact_width)
    broken = "phases that ignore the constraint"
    return (
        Claim(
            "exact-error",
            "The squared error of the written-down weights, times the width, is 4",
            "derived here (theory.expected_squared_error); claim 1.2",
            lambda d: _exact(d, "exact", "table_loss") * width,
            Expectation.near(4.0, 0.4),
            Control(broken, lambda d: _exact(d, "phase_errors", "table_loss", error=np.pi) * width),
        ),
        Claim(
            "exact-deviation",
            "The wrong logits of the written-down weights, times the root of the width, deviate by 2",
            "derived here (theory.wrong_logit_deviation); claim 1.2",
            lambda d: _exact(d, "exact", "wrong_logit_deviation") * root,
            Expectation.near(2.0, 0.1),
            Control(
                "Gaussian weights of the same size", lambda d: _exact(d, "gaussian", "wrong_logit_deviation") * root
            ),
        ),
        Claim(
            "phase-error-law",
            "Phase errors uniform in (-d, d) lower the correct logit as sin(d)/d (root mean square deviation over d)",
            "derived here from Eq. 13 (theory.correct_logit_factor); claim 1.4",
            lambda d: _law_deviation(d, with_error=True),
            Expectation.at_most(0.04),
            Control("the same networks without phase error", lambda d: _law_deviation(d, with_error=False)),
        ),
    )


def _run(data: xr.Dataset, experiment: str, reading: str, fraction: float) -> xr.DataArray:
    """Return one experiment's reading at one train fraction, at its largest weight decay, over seeds (and steps)."""
    chosen = part(data, experiment)[reading].sel(train_fraction=fraction)
    others = {name: -1 for name in ("weight_decay", "corruption") if name in chosen.dims}
    return chosen.isel(others)


def _delay(data: xr.Dataset, experiment: str, fraction: float) -> Array:
    test, train = (_run(data, experiment, f"{kind}_accuracy", fraction) for kind in ("test", "train"))
    return np.asarray((crossing(test, 0.9) / crossing(train, 0.99)).values)


def _worst(data: xr.Dataset, experiments: Sequence[str], fraction: float) -> Array:
    found = [np.asarray(last(_run(data, name, "test_accuracy", fraction)).values) for name in experiments]
    return np.asarray(np.min(found, axis=0))


def _generalization(s: GrokkingSettings) -> Sequence[Claim]:
    return (
        Claim(
            "gd-generalizes",
            f"Plain full-batch gradient descent without regularization generalizes from {s.high:g} of the table",
            f"{GROMOV}, Fig. 1; claim 1.5",
            lambda d: _worst(d, ("gd",), s.high),
            Expectation.at_least(0.99),
            Control("random labels", lambda d: _worst(d, ("shuffled",), s.high)),
        ),
        Claim(
            "delay",
            "Test accuracy reaches 90 % later than training accuracy reaches 99 %, by a factor of 1.25 to 1.45",
            f"{GROMOV}, Fig. 1 shows the delay; the factor is a reproduction's; claim 1.5",
            lambda d: _delay(d, "gd", s.high),
            Expectation.between(1.25, 1.45),
            Control("random labels", lambda d: _delay(d, "shuffled", s.high)),
        ),
        Claim(
            "other-optimizers",
            "Momentum, weight decay, dropout, AdamW, mini-batches with batch normalization generalize too (the worst)",
            f"{GROMOV}, p. 4; claim 1.5",
            lambda d: _worst(d, OTHERS, s.high),
            Expectation.at_least(0.99),
            Control("random labels, AdamW", lambda d: _worst(d, ("shuffled_adamw",), s.high)),
        ),
        Claim(
            "less-data",
            f"AdamW with weight decay generalizes from {s.middle:g} of the table, where gradient descent does not",
            f"{GROMOV}, p. 4; claim 1.5",
            lambda d: _worst(d, ("adamw",), s.middle),
            Expectation.at_least(0.9),
            Control("plain gradient descent at the same fraction", lambda d: _worst(d, ("gd",), s.middle)),
        ),
    )


def _test_loss(s: GrokkingSettings) -> Sequence[Claim]:
    def rise(data: xr.Dataset, reading: str) -> Array:
        loss = _run(data, "gd", reading, s.high)
        return np.asarray((loss.max("step") / loss.isel(step=0)).values)

    def fall(data: xr.Dataset, experiment: str) -> Array:
        loss = _run(data, experiment, "test_loss", s.high)
        return np.asarray((last(loss) / loss.max("step")).values)

    def when(data: xr.Dataset, reading: str) -> Array:
        solved = crossing(_run(data, "gd", "test_accuracy", s.high), 0.9)
        return np.asarray((peak_step(_run(data, "gd", reading, s.high)) / solved).values)

    return (
        Claim(
            "test-loss-rises",
            "The test loss first rises above its start by more than 3 %",
            f"{GROMOV}, Fig. 1; claim 1.6",
            lambda d: rise(d, "test_loss"),
            Expectation.at_least(1.03),
            Control("the training loss", lambda d: rise(d, "train_loss")),
        ),
        Claim(
            "test-loss-peak",
            "The test loss is largest right before generalization: at 0.5 to 1 times the step of 90 % test accuracy",
            f"{GROMOV}, Fig. 1; claim 1.6",
            lambda d: when(d, "test_loss"),
            Expectation.between(0.5, 1.0),
            Control("the training loss", lambda d: when(d, "train_loss")),
        ),
        Claim(
            "test-loss-falls",
            "After its peak the test loss falls to less than half",
            f"{GROMOV}, Fig. 1; claim 1.6",
            lambda d: fall(d, "gd"),
            Expectation.at_most(0.5),
            Control("random labels", lambda d: fall(d, "shuffled")),
        ),
    )


def _phases(s: GrokkingSettings) -> Sequence[Claim]:
    def aligned(data: xr.Dataset, experiment: str) -> Array:
        return np.asarray(_run(data, experiment, "end.phase_alignment", s.high).mean("neuron").values)

    def used(data: xr.Dataset, experiment: str) -> Array:
        census = _run(data, experiment, "end.frequency_census", s.high)
        return np.asarray(((census > 0).sum("frequency") / census.sizes["frequency"]).values)

    untrained = Control("untrained networks", lambda d: _exact(d, "untrained", "phase_alignment").mean(-1))
    return (
        Claim(
            "phases-gd",
            "After gradient descent the phases obey phi1 + phi2 = phi3 (mean cosine over neurons)",
            f"{GROMOV}, Fig. 3; claim 1.7. Memorizing networks align to 0.92-0.96 too",
            lambda d: aligned(d, "gd"),
            Expectation.at_least(0.95),
            untrained,
        ),
        Claim(
            "phases-adamw",
            "After AdamW with weight decay the phases are aligned more sharply still",
            f"{GROMOV}, Fig. 3; claim 1.7",
            lambda d: aligned(d, "adamw"),
            Expectation.at_least(0.98),
            untrained,
        ),
        Claim(
            "all-frequencies",
            f"A wide network uses all {s.p // 2} frequencies (share used)",
            f"{GROMOV}, Sec. 4; claim 1.8",
            lambda d: used(d, "gd"),
            Expectation.at_least(0.99),
            Control(f"a network of width {s.narrow}", lambda d: used(d, "narrow")),
        ),
    )


def _participation(s: GrokkingSettings) -> Sequence[Claim]:
    def ratio_at(data: xr.Dataset, experiment: str, level: float) -> xr.DataArray:
        """Return the participation ratio at the step at which the clean run's test accuracy crosses ``level``."""
        steps = crossing(_run(data, "adamw", "test_accuracy", s.high), level)
        return value_at(_run(data, experiment, "mean_participation", s.high), steps)

    def rise(data: xr.Dataset, experiment: str) -> Array:
        start = _run(data, experiment, "mean_participation", s.high).isel(step=0)
        return np.asarray(ratio_at(data, experiment, 0.5).values / start.values)

    def growth(data: xr.Dataset, experiment: str) -> Array:
        end = last(_run(data, experiment, "mean_participation", s.high))
        return np.asarray(end.values / ratio_at(data, experiment, 0.99).values)

    return (
        Claim(
            "participation-rises",
            "When test accuracy reaches 50 %, the participation ratio has risen above its start by half or more",
            f"{GROMOV}, Fig. 5; claim 1.9; the margin is ours",
            lambda d: rise(d, "adamw"),
            Expectation.at_least(1.5),
            Control("random labels at the same step", lambda d: rise(d, "shuffled_adamw")),
        ),
        Claim(
            "participation-keeps-rising",
            "The participation ratio keeps rising after test accuracy is 99 %, by 10 % or more",
            f"{GROMOV}, Fig. 5; claim 1.9; the margin is ours",
            lambda d: growth(d, "adamw"),
            Expectation.at_least(1.1),
            Control("random labels from the same step", lambda d: growth(d, "shuffled_adamw")),
        ),
    )


def _boundary(s: GrokkingSettings) -> Sequence[Claim]:
    chance = theory.chance_level(addition(s.p).law(Member({}, 0)))
    learnable, *hard = POLYNOMIALS
    majority = {
        name: theory.majority_share(function(s.p, formula).law(Member({}, 0))) for name, formula in POLYNOMIALS.items()
    }

    def slower(data: xr.Dataset, reading: str, level: float) -> Array:
        less = max(f for f in s.fractions if f < s.high)
        steps = [crossing(_run(data, "gd", reading, f), level).values for f in (less, max(s.fractions))]
        with np.errstate(invalid="ignore"):  # neither came: no ratio
            return np.asarray(steps[0] / steps[1])

    def above_majority(data: xr.Dataset, names: Sequence[str]) -> Array:
        accuracy = last(part(data, "polynomials")["test_accuracy"]).isel(train_fraction=0)
        return np.asarray(np.max([accuracy.sel(function=name).values - majority[name] for name in names], axis=0))

    return (
        Claim(
            "below-critical",
            f"From {s.low:g} of the table gradient descent memorizes and never generalizes (test accuracy over chance)",
            f"{GROMOV}, Fig. 4a; claim 1.10",
            lambda d: _worst(d, ("gd",), s.low) / chance,
            Expectation.at_most(3.0),
            Control(f"from {s.high:g} of the table", lambda d: _worst(d, ("gd",), s.high) / chance),
        ),
        Claim(
            "less-data-takes-longer",
            "Generalizing takes longer from less data: the ratio of steps from the largest fraction below "
            f"{s.high:g} to those from {max(s.fractions):g}",
            f"{GROMOV}, Fig. 4a; claim 1.10; the margin is ours",
            lambda d: slower(d, "test_accuracy", 0.9),
            Expectation.at_least(1.15),
            Control("memorizing", lambda d: slower(d, "train_accuracy", 0.99)),
        ),
        Claim(
            "not-every-polynomial",
            f"{' and '.join(hard)} are memorized from half of the table, not understood (test accuracy over majority)",
            f"{GROMOV}, appendix and p. 7; claim 1.11",
            lambda d: above_majority(d, hard),
            Expectation.at_most(0.03),
            Control(f"{learnable} in the same setting", lambda d: above_majority(d, [learnable])),
        ),
    )
