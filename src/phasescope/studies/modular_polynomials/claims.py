"""The claims of the study ``modular-polynomials``. Tolerances stand here before any run is judged by them.

Each control is the nearest rival explanation: what the paper prints, networks that only memorize, a table that is as
large by its modulus instead of its terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from math import inf

import numpy as np
import xarray as xr
from scipy import special

from phasescope.ensemble import last
from phasescope.lab.drawing import Data
from phasescope.lab.measures import (
    Cell,
    Measure,
    Measured,
    at,
    at_least,
    at_most,
    between,
    end,
    least,
    mean,
    most,
    near,
    start,
    steps_to,
    value,
)
from phasescope.lab.polynomial_networks import table_of
from phasescope.studies.modular_polynomials.settings import LEARNABLE, PERTURBED, TWINS, PolynomialSettings
from phasescope.tasks import parse
from phasescope.theory import chance, polynomial_forms, polynomial_weights
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

FRACTION, POSITIVE = (0.0, 1.0), (0.0, inf)  # what accuracies and ratios can be
ANSWERED = 0.999  # of a table, to call a width enough
TABLE, TEST = value("table_accuracy"), end("test_accuracy")
NEEDED = steps_to("table_accuracy", ANSWERED, along="width")
PILOT_WIDTHS = "2 to 3 draws for each width, modulo 23, 10,000 inputs"


def claims(s: PolynomialSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_exact_products, _exact_sums, _sum_errors, _composed, _products, _coupled, _sums, _learnable, _twins)
    return tuple(claim for group in groups for claim in group(s))


def _exact_products(s: PolynomialSettings) -> Sequence[Claim]:
    p = s.exact_p
    right = 1 - (2 * p - 1) / p**2
    exact = Source(paper="Eq. 6, with the exponent +1/3", value="100 %", tolerance="one cell in a thousand")
    printed = "theory.polynomial_weights.product_weights with misprinted=True: the neuron of 0 drowns"
    # the two controls with the exponent +1/3 are what the print would be if only the largest logit mattered, which is
    # free of scale: the exponent then changes nothing
    return (
        Claim("product-exact",
            f"The written-down weights answer every product modulo {p} at width {s.exact_width}, zeros included",
            exact, TABLE(at("exact_product")), at_least(0.999),
            Control("the exponent as printed, -1/3", at("misprinted")), range=FRACTION),
        Claim("misprint-zeros", "With the printed exponent -1/3 the rows with a 0 are answered wrongly",
            Source(paper="Eq. 6, as printed", derived=printed, value="1 of 2p - 1 right", tolerance="one cell or two"),
            TABLE(at("misprinted_zeros")), at_most(0.02), Control("the exponent +1/3", at("zeros")), range=FRACTION,
            kind="identity"),
        Claim("misprint-total", f"So the whole table is answered to 1 - (2 p - 1)/p^2 = {right:.4f}",
            Source(paper="Eq. 6, as printed", derived=printed, value="1 - (2p - 1)/p^2", tolerance="one cell in 1000"),
            TABLE(at("misprinted")), near(right, 0.001), Control("the exponent +1/3", at("exact_product")),
            range=FRACTION, kind="identity"),
    )  # fmt: skip


def _terms(s: PolynomialSettings) -> Sequence[int]:
    return range(2, 2 + len(s.widths))


def predicted_width(terms: int, p: int) -> float:
    """Return the width at which a written-down sum of ``terms`` terms modulo ``p`` answers 99.9 % of its table.

    Every logit errs by kappa/N in the mean square. Taken as normal and independent, one of the p - 1 wrong logits, 0 on
    average, exceeds the right one, 1 on average, with probability (p - 1) Q(sqrt(N / (2 kappa))), set to 0.1 % here.
    """
    z = -float(special.ndtri((1 - ANSWERED) / (p - 1)))
    return 2 * polynomial_weights.sum_error_constant(terms) * z**2


def _exact_sums(s: PolynomialSettings) -> Sequence[Claim]:
    predicted = {terms: predicted_width(terms, s.width_p) for terms in (*_terms(s), 3)}
    first, final = _terms(s)[0], _terms(s)[-1]

    def distance(*terms: int) -> Measure:
        def read(*cells: xr.Dataset) -> Array:
            found = [np.log2(NEEDED.read(cell) / predicted[n]) for n, cell in zip(terms, cells, strict=True)]
            return np.asarray(np.max(np.abs(found), axis=0))

        return Measure(read, "largest |log2| of width needed over width predicted")

    def per_term(ratio: Array) -> Array:
        # where no width suffices nothing grows: the ratio of two infinities is no growth at all
        return np.where(np.isnan(ratio), 1.0, ratio ** (1 / (final - first)))

    def growth(of: Cell, over: Cell) -> Measured:
        return (NEEDED(of) / NEEDED(over)).map(per_term, "growth per term of {}")

    # widths that are named stay an axis, also where there is one
    sums = {terms: at(f"sums_{terms}", width=widths) for terms, widths in enumerate(s.widths, 2)}
    large = at("sums_large", width=s.large_widths)
    widths = ", ".join(f"{predicted[terms]:.0f}" for terms in sums)
    return (
        Claim("sum-width",
            f"Sums of 2, 3 and 4 terms modulo {s.width_p} need widths of {widths} for 99.9 % (largest |log2| of needed "
            "over predicted)",
            Source(paper="Fig. 1 (widths grow exponentially)",
                derived="theory.polynomial_weights.sum_error_constant, with normal and "
                "independent errors", value="2 kappa z^2, z = Q^-1(0.001 / (p - 1))",
                tolerance="a factor of 2: errors are neither normal nor independent"),
            distance(*sums)(*sums.values()), at_most(1.0),
            Control(f"the rows decide, not the terms: 2 terms modulo {s.large_p}, about as many rows as 3 have, set "
                "beside the width predicted for 3", distance(3)(large)), range=POSITIVE),
        Claim("sum-growth", "Each term more makes the width needed 6 to 8 times as large",
            Source(paper="Fig. 1 (exponential growth)", pilot=f"{PILOT_WIDTHS}: 6.5 to 8",
                value="6.3 to 6.8 at equal error (theory.polynomial_weights.sum_width_growth)",
                    tolerance="the scatter of the pilot"),
            growth(sums[final], sums[first]), between(6, 8),
            Control(f"the rows decide: as many more by a larger modulus, 2 terms modulo {s.large_p}",
                growth(large, sums[first])), range=POSITIVE),
    )  # fmt: skip


def _sum_errors(s: PolynomialSettings) -> Sequence[Claim]:
    constants = {terms: polynomial_weights.sum_error_constant(terms) for terms in _terms(s)}
    return [
        Claim(f"sum-error-{terms}",
            f"The squared error of the exact sum of {terms} terms is kappa/N, kappa = {kappa:.1f} (ratio of the two)",
            Source(derived="theory.polynomial_weights.sum_error_constant", value=f"{kappa:.1f}",
                tolerance="10 %: errors of single draws scatter by so much"),
            (value("table_loss") * value("width") / kappa)(at(f"error_{terms}")), near(1.0, 0.1),
            Control("the same width with readout phases that ignore the constraint", at(f"broken_{terms}")),
            range=POSITIVE)
        for terms, kappa in constants.items()
    ]  # fmt: skip


@partial(Measure, words="lowest table_accuracy")
def _worst(cell: xr.Dataset) -> xr.DataArray:
    return cell["table_accuracy"].min(("modulus", "polynomial"))


@partial(Measure, words="highest table_accuracy")
def _best(cell: xr.Dataset) -> xr.DataArray:
    return cell["table_accuracy"].max(("modulus", "polynomial"))


def _composed(s: PolynomialSettings) -> Sequence[Claim]:
    predicted = polynomial_weights.expected_sum_error(3, s.adder_width)
    # moduli that are named stay an axis, also where there is one
    exact, printed = at("composed", modulus=s.composed_moduli), at("composed_printed", modulus=s.composed_moduli)
    return (
        Claim("experts-exact",
            f"Experts of width {s.expert_width} and an adder of width {s.adder_width} answer all three polynomials "
            f"modulo {' and '.join(map(str, s.composed_moduli))} (the worst)",
            Source(paper="Eqs. 10-13, App. B", value="100 %", tolerance="one cell in a thousand"),
            _worst(exact), at_least(0.999),
            Control("experts with the exponent as printed in Eq. 6 (the best)", _best(printed)), range=FRACTION),
        Claim("experts-error", f"Their squared error is the adder's, kappa_3/N = {predicted:.5f} (ratio of the two)",
            Source(derived="theory.polynomial_weights.expected_sum_error",
                value="0.0127; App. B prints 0.0077 to 0.0102, which its "
                "formula does not give", tolerance="10 %: errors of single draws scatter by so much"),
            (value("table_loss") / predicted)(at("composed_error")), near(1.0, 0.1),
            Control("an adder whose amplitude lacks 2^S/S!, which gives what App. B prints", at("composed_unscaled")),
            range=POSITIVE),
    )  # fmt: skip


def _products(s: PolynomialSettings) -> Sequence[Claim]:
    low, high = s.window
    product = at("product")
    memorized = Control(f"networks that memorize {s.product_memorized:g} of the table", at("product_memorized"))
    plain, logs = (mean(name, "neuron").map(last, "{} at the end") for name in ("participation", "participation_log"))
    pilot = "one network each: step 55 modulo 97 (half of the table), step 80 modulo 31 (0.6 of it)"
    waves = "one network modulo 97: 0.84 at step 150; modulo 31: 0.84 to 0.86"
    return (
        Claim("product-time",
            f"n1 n2 modulo {s.product_p} is learnt: test accuracy reaches 90 % within steps {low:g} to {high:g}",
            Source(paper="Fig. 3 (p = 97)", pilot=pilot, value="about 55 and 80", tolerance="25 % of the pilot's"),
            steps_to("test_accuracy", 0.9)(product), between(low, high),
            Control("when training accuracy does: memorizing takes as long", steps_to("train_accuracy", 0.9)),
            unit="steps", range=POSITIVE),
        Claim("product-log-waves",
            f"After {s.product_steps} steps its neurons are waves of the discrete logarithm (mean inverse "
            "participation ratio, 1 for one wave)",
            Source(paper="Fig. 3", pilot=waves, value="0.84", tolerance="the pilot's less 5 %"), logs(product),
            at_least(0.8), memorized, range=FRACTION),
        Claim("product-raw-noise",
            "and no waves of the number itself: there the inverse participation ratio is that of noise, 4/(p + 1)",
            Source(paper="Sec. 3", derived="theory.chance.random_participation", value="4/(p + 1)",
                tolerance="20 %, what one neuron in 35 would add if it were a wave"),
            plain(product), at_most(1.2 * chance.random_participation(s.product_p)),
            # that these neurons hold waves which the measure can see
            Control("the same neurons in the order of discrete logarithms", logs), range=FRACTION),
    )  # fmt: skip


def _coupled(s: PolynomialSettings) -> Sequence[Claim]:
    distance = abs(end("train_loss") * s.product_p - 1)
    source = Source(
        paper="App. C (Adam with weight decay 5)", pilot="one network modulo 97 collapsed; so did one with 1e-4",
        value="the zero function has loss 1/p", tolerance="exact but for rounding",
    )  # fmt: skip
    return (
        Claim("coupled-collapse",
            f"With an L2 term of {s.weight_decay:g} in Adam's gradient the network collapses to the zero function: its "
            "loss is 1/p (relative distance)", source,
            distance(at("coupled")), at_most(0.001), Control("AdamW, the same number decoupled", at("product")),
            range=POSITIVE),
    )  # fmt: skip


def _sums(s: PolynomialSettings) -> Sequence[Claim]:
    rise = end("mean_participation") / start("mean_participation")
    memorized = Control(f"networks that memorize {s.sum_memorized:g} of the table", at("sum_memorized"))
    pilot = "one network of width 1000: 0.30 to 0.59"
    return (
        Claim("sum-learnt", f"A sum of {s.sum_terms} terms modulo {s.sum_p} is learnt from half of the table",
            Source(paper="Fig. 2 (S = 4, p = 11, N = 5000)", value="100 %", tolerance="one cell in a hundred"),
            TEST(at("sum")), at_least(0.99), memorized, range=FRACTION),
        Claim("sum-participation", "Meanwhile the mean inverse participation ratio grows by half or more",
            Source(paper="Fig. 2 (it rises)", pilot=pilot, value="a factor of 2", tolerance="half of the growth"),
            rise(at("sum")), at_least(1.5), memorized, range=POSITIVE),
    )  # fmt: skip


@cache
def _table(p: int, text: str) -> Array:
    return table_of(p, parse(text))


def _certified(group: Sequence[str], primes: Sequence[int]) -> Callable[[Data], Array]:
    """Return the effect that the multiset test is: it needs no networks."""

    def fraction(data: Data) -> Array:
        found = [[bool(polynomial_forms.certified_not_additive(_table(p, text))) for text in group] for p in primes]
        return np.asarray(np.mean(found, axis=1))

    return fraction


def _learnable(s: PolynomialSettings) -> Sequence[Claim]:
    learnable, perturbed = ([at("polynomials", polynomial=f) for f in group] for group in (LEARNABLE, PERTURBED))

    @partial(Measure, words="test_accuracy at the end less what copying gives")
    def excess(cell: xr.Dataset) -> xr.DataArray:
        return last(cell.test_accuracy) - polynomial_forms.copying_accuracy(
            _table(s.p, str(cell.polynomial.item())), 0.5
        )

    return (
        Claim("learnable",
            f"Polynomials h(g1(n1) + g2(n2)) modulo {s.p} are learnt from half of the table (the worst of three)",
            Source(paper="Hypothesis 5.1, App. C", value="100 %", tolerance="one cell in a hundred"),
            least(TEST, learnable), at_least(0.99),
            Control("the same polynomials with one term added (the best of three)", most(TEST, perturbed)),
            range=FRACTION),
        Claim("perturbed",
            "With one term added they are not: test accuracy exceeds what the majority class and copying twins give by "
            "3 points at most (the largest of three)",
            Source(paper="App. C (p = 23: 1.9, 7.2 and 2.6 %)", ours="what knowing the majority or equal rows gives is "
                "no learning (theory.polynomial_forms.copying_accuracy)",
                    tolerance="3 points, the smallest effect that matters"),
            most(excess, perturbed), at_most(0.03),
            Control("the polynomials without that term (the least of three)", least(excess, learnable)),
            range=(-1.0, 1.0)),
        # both sides are mathematics: no network is asked, and the control can not fail unless the test is wrong
        Claim("certificate",
            f"The multiset test certifies that the three perturbed polynomials are not h(g1(n1) + g2(n2)) (fraction of "
            f"the three, one value per prime {s.primes[0]} to {s.primes[-1]})",
            Source(paper="Sec. 5 (no test is given)", derived="theory.polynomial_forms.certified_not_additive",
                tolerance="exact"),
            _certified(PERTURBED, s.primes), at_least(1.0),
            Control("the three learnable ones", _certified(LEARNABLE, s.primes), deterministic=True), kind="identity",
            range=FRACTION, deterministic=True, counts="primes"),
    )  # fmt: skip


@partial(Measure, words="root mean square deviation of test_accuracy at the end from the fraction with a twin")
def _deviation(cell: xr.Dataset) -> xr.DataArray:
    return _from(cell, cell.twin_share)


@partial(Measure, words="root mean square deviation of test_accuracy at the end from the train fraction")
def _one_twin(cell: xr.Dataset) -> xr.DataArray:
    return _from(cell, cell.train_fraction)  # of test cells with one twin each, this fraction has it in training


def _from(cell: xr.Dataset, expected: xr.DataArray) -> xr.DataArray:
    squares: xr.DataArray = ((last(cell.test_accuracy) - expected) ** 2).mean("train_fraction", skipna=False)
    return squares**0.5


@partial(Measure, words="mean of test_accuracy at the end over train fractions")
def _average(cell: xr.Dataset) -> xr.DataArray:
    return last(cell.test_accuracy).mean("train_fraction", skipna=False)


def _twins(s: PolynomialSettings) -> Sequence[Claim]:
    majority = np.bincount(_table(s.twinless_p, TWINS).ravel()).max() / s.twinless_p**2
    # fractions that are named stay an axis, also where there is one
    twins, twinless = (at(name, train_fraction=s.twin_fractions) for name in ("twins", "twinless"))
    outlier = "App. C (72.32 % modulo 97, of which nothing is said)"
    return (
        Claim("twins",
            f"The test accuracy of {TWINS} modulo {s.twin_p} is the fraction of test cells that have one of their two "
            "twins in training (root mean square deviation over train fractions)",
            Source(paper=outlier, derived="theory.polynomial_forms.twin_fraction", value="74.2 % modulo 97",
                tolerance="3 points, the smallest effect that matters"),
            _deviation(twins), at_most(0.03),
            Control("the train fraction, which it would be with one twin for each cell", _one_twin), range=FRACTION),
        Claim("no-twins",
            f"Modulo {s.twinless_p}, where nothing has a twin, it is not learnt at all: at most 3 points more than the "
            "majority class (mean over train fractions)",
            Source(paper="App. C (2.64 % modulo 23)", derived="theory.polynomial_forms.twin_fraction",
                value="0 have a twin",
                tolerance="3 points, the smallest effect that matters"),
            (_average - majority)(twinless), at_most(0.03), Control(f"modulo {s.twin_p}", twins), range=(-1.0, 1.0)),
    )  # fmt: skip
