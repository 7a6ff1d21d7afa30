"""The claims of the study ``modular-polynomials``. Margins stand here before any run is judged by them.

"facts" in a source names a claim of the reproduction that this study was written from; where the paper states a number,
the margin is the paper's with its reading error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import numpy as np
import xarray as xr

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
from phasescope.verdict import Claim, Control
from phasescope.vocabulary import Array

DOSHI = "Doshi et al. 2024"
WIDTHS_READ = {2: 141.0, 3: 800.0, 4: 6400.0}
TABLE, TEST = value("table_accuracy"), end("test_accuracy")
NEEDED = steps_to("table_accuracy", 0.999, along="width")


def claims(s: PolynomialSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_exact_products, _exact_sums, _sum_errors, _composed, _products, _coupled, _sums, _learnable, _twins)
    return tuple(claim for group in groups for claim in group(s))


def _exact_products(s: PolynomialSettings) -> Sequence[Claim]:
    p = s.exact_p
    right = 1 - (2 * p - 1) / p**2
    return (
        Claim("product-exact",
            f"The written-down weights answer every product modulo {p} at width {s.exact_width}, zeros included",
            f"{DOSHI}, Eq. 6 with the exponent +1/3; claim 3.1", TABLE(at("exact_product")), at_least(0.999),
            Control("the weights for n1 + n2: the number in place of its discrete logarithm", at("raw_product"))),
        Claim("misprint-zeros", "With the printed exponent -1/3 the rows with a 0 are answered wrongly",
            f"{DOSHI}, Eq. 6 as printed; derived here; claim 3.2", TABLE(at("misprinted_zeros")), at_most(0.02),
            Control("the exponent +1/3", at("zeros"))),
        Claim("misprint-total", f"So the whole table is answered to 1 - (2 p - 1)/p^2 = {right:.4f}",
            f"{DOSHI}, Eq. 6 as printed; derived here, facts 0.1 (3); claim 3.2", TABLE(at("misprinted")),
            near(right, 0.001), Control("the exponent +1/3", at("exact_product"))),
    )  # fmt: skip


def _terms(s: PolynomialSettings) -> Sequence[int]:
    return range(2, 2 + len(s.widths))


def _exact_sums(s: PolynomialSettings) -> Sequence[Claim]:
    known = [terms for terms in _terms(s) if terms in WIDTHS_READ]
    first, final = _terms(s)[0], _terms(s)[-1]

    @partial(Measure, words="largest |log2| of width needed over width read")
    def distance(*cells: xr.Dataset) -> Array:
        found = [np.log2(NEEDED.read(cell) / WIDTHS_READ[terms]) for terms, cell in zip(known, cells, strict=True)]
        return np.asarray(np.max(np.abs(found), axis=0))

    def per_term(ratio: Array) -> Array:
        # where no width suffices nothing grows: the ratio of two infinities is no growth at all
        return np.where(np.isnan(ratio), 1.0, ratio ** (1 / (final - first)))

    def farthest(cells: Mapping[int, Cell]) -> Measured:
        return distance(*(cells[terms] for terms in known))

    def growth(cells: Mapping[int, Cell]) -> Measured:
        return (NEEDED(cells[final]) / NEEDED(cells[first])).map(per_term, "growth per term of {}")

    # widths that are named stay an axis, also where there is one: the controls were tried at the largest alone
    sums = {terms: at(f"sums_{terms}", width=widths) for terms, widths in enumerate(s.widths, 2)}
    broken = {terms: at(f"broken_{terms}", width=widths[-1:]) for terms, widths in enumerate(s.widths, 2)}
    ignored = "readout phases that ignore the constraint"
    return (
        Claim("sum-width",
            f"Sums of 2, 3 and 4 terms modulo {s.width_p} need widths of about 100 to 200, 800 and 6400 for 99.9 % "
            "(largest |log2| of needed over stated)",
            f"{DOSHI}, Fig. 1 shows exponential growth; the widths are facts 3.1, to a factor of 2; claim 3.3",
            farthest(sums), at_most(1.0), Control(ignored, farthest(broken))),
        Claim("sum-growth", "Each term more makes the width needed 6 to 8 times as large",
            f"{DOSHI}, Fig. 1; the factor is facts 3.1 (theory.polynomial_weights.sum_width_growth: 6.3 to 6.8); "
            "claim 3.11",
            growth(sums), between(6, 8), Control(ignored, growth(broken))),
    )  # fmt: skip


def _sum_errors(s: PolynomialSettings) -> Sequence[Claim]:
    constants = {terms: polynomial_weights.sum_error_constant(terms) for terms in _terms(s)}
    return [
        Claim(f"sum-error-{terms}",
            f"The squared error of the exact sum of {terms} terms is kappa/N, kappa = {kappa:.1f} (mean ratio)",
            "derived here (theory.polynomial_weights.sum_error_constant); 10 % as facts 3.1; claim 3.3",
            (value("table_loss") * value("width") / kappa)(at(f"error_{terms}")), near(1.0, 0.1),
            Control("readout phases that ignore the constraint", at(f"broken_{terms}")), statistic="mean")
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
    exact, broken = at("composed", modulus=s.composed_moduli), at("composed_broken", modulus=s.composed_moduli[:1])
    return (
        Claim("experts-exact",
            f"Experts of width {s.expert_width} and an adder of width {s.adder_width} answer all three polynomials "
            f"modulo {' and '.join(map(str, s.composed_moduli))} (the worst)",
            f"{DOSHI}, Eqs. 10-13, App. B; claim 3.4", _worst(exact), at_least(0.999),
            Control("experts whose phases ignore the constraint (the best)", _best(broken))),
        Claim("experts-error", f"Their squared error is the adder's, kappa_3/N = {predicted:.5f} (mean ratio)",
            f"derived here; {DOSHI}, App. B prints 0.0077 to 0.0102, which its formula does not give; claim 3.4",
            (value("table_loss") / predicted)(at("composed_error")), near(1.0, 0.1),
            Control("an adder whose amplitude lacks 2^S/S!", at("composed_unscaled")), statistic="mean"),
    )  # fmt: skip


def _products(s: PolynomialSettings) -> Sequence[Claim]:
    low, high = s.window
    product, noise = at("product"), Control("random labels", at("product_noise"))
    plain, logs = (mean(name, "neuron").map(last, "{} at the end") for name in ("participation", "participation_log"))
    return (
        Claim("product-time",
            f"n1 n2 modulo {s.product_p} is learnt: test accuracy reaches 90 % within steps {low:g} to {high:g}",
            f"{DOSHI}, Fig. 3 (about 60 epochs at p = 97); facts 3.3 and 3.5: 55 at p = 97, 80 at p = 31, each within "
            "25 %; claim 3.5", steps_to("test_accuracy", 0.9)(product), between(low, high), noise, unit="steps"),
        Claim("product-log-waves",
            f"After {s.product_steps} steps its neurons are waves of the discrete logarithm (mean participation ratio)",
            f"{DOSHI}, Fig. 3; claim 3.5", logs(product), at_least(0.8), noise),
        Claim("product-raw-noise",
            "and no waves of the number itself: there the participation ratio is that of noise",
            f"{DOSHI}, Sec. 3; 0.05 at p = 97 (facts), 1.2 times the level of noise; claim 3.5", plain(product),
            at_most(1.2 * chance.random_participation(s.product_p)),
            Control("the same neurons in the order of discrete logarithms", logs)),
    )  # fmt: skip


def _coupled(s: PolynomialSettings) -> Sequence[Claim]:
    distance = abs(end("train_loss") * s.product_p - 1)
    return (
        Claim("coupled-collapse",
            f"With an L2 term of {s.weight_decay:g} in Adam's gradient the network collapses to the zero function: its "
            "loss is 1/p (relative distance)",
            f"facts 0.1 (2): what {DOSHI}, App. C calls Adam with weight decay is AdamW; claim 3.6",
            distance(at("coupled")), at_most(0.001), Control("AdamW, the same number decoupled", at("product"))),
    )  # fmt: skip


def _sums(s: PolynomialSettings) -> Sequence[Claim]:
    noise, rise = Control("random labels", at("sum_noise")), end("mean_participation") / start("mean_participation")
    return (
        Claim("sum-learnt", f"A sum of {s.sum_terms} terms modulo {s.sum_p} is learnt from half of the table",
            f"{DOSHI}, Fig. 2 (S = 4, p = 11, N = 5000); claim 3.7", TEST(at("sum")), at_least(0.99), noise),
        Claim("sum-participation", "Meanwhile the mean participation ratio grows by half or more",
            f"{DOSHI}, Fig. 2; the margin is ours, facts 3.5 has 0.30 to 0.59; claim 3.7", rise(at("sum")),
            at_least(1.5), noise),
    )  # fmt: skip


@cache
def _table(p: int, text: str) -> Array:
    return table_of(p, parse(text))


def _certified(group: Sequence[str], primes: Sequence[int]) -> Callable[[Data], Array]:
    """Return the effect that the multiset test is: it needs no networks."""

    def share(data: Data) -> Array:
        found = [[bool(polynomial_forms.certified_not_additive(_table(p, text))) for text in group] for p in primes]
        return np.asarray(np.mean(found, axis=1))

    return share


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
            f"{DOSHI}, Hypothesis 5.1, App. C (100 %); claim 3.8", least(TEST, learnable), at_least(0.99),
            Control("the same polynomials with one term added", least(TEST, perturbed))),
        Claim("perturbed",
            "With one term added they are not: test accuracy exceeds what the majority class and copying twins give by "
            "3 points at most (the largest of three)",
            f"{DOSHI}, App. C; facts 3.2 and 3.8, with the twins of claim 3.9", most(excess, perturbed),
            at_most(0.03), Control("the polynomials without that term", most(excess, learnable))),
        Claim("certificate",
            f"The multiset test certifies the three perturbed polynomials (share, one value per prime {s.primes[0]} to "
            f"{s.primes[-1]})", f"{DOSHI}, Sec. 5; the test is a reproduction's; claim 3.10",
            _certified(PERTURBED, s.primes), at_least(1.0),
            Control("the three learnable ones", _certified(LEARNABLE, s.primes))),
    )  # fmt: skip


@partial(Measure, words="root mean square deviation of test_accuracy at the end from the share with a twin")
def _deviation(cell: xr.Dataset, twins: xr.Dataset) -> xr.DataArray:
    squares: xr.DataArray = ((last(cell.test_accuracy) - twins.twin_share) ** 2).mean("train_fraction", skipna=False)
    return squares**0.5


@partial(Measure, words="mean of test_accuracy at the end over train fractions")
def _average(cell: xr.Dataset) -> xr.DataArray:
    return last(cell.test_accuracy).mean("train_fraction", skipna=False)


def _twins(s: PolynomialSettings) -> Sequence[Claim]:
    majority = np.bincount(_table(s.twinless_p, TWINS).ravel()).max() / s.twinless_p**2
    # fractions that are named stay an axis, also where there is one
    twins, twinless = (at(name, train_fraction=s.twin_fractions) for name in ("twins", "twinless"))
    return (
        Claim("twins",
            f"The test accuracy of {TWINS} modulo {s.twin_p} is the share of test cells that have a twin in training "
            "(root mean square deviation over train fractions)",
            f"derived here; it explains the 72.32 % of {DOSHI}, App. C; claim 3.9", _deviation(twins, twins),
            at_most(0.03),
            Control(f"the same polynomial modulo {s.twinless_p}, where n^3 is one-to-one",
                _deviation(twinless, twins))),
        Claim("no-twins",
            f"Modulo {s.twinless_p}, where nothing has a twin, it is not learnt at all: at most 3 points more than the "
            "majority class (mean over train fractions)", "derived here; facts 3.2; claim 3.9",
            (_average - majority)(twinless), at_most(0.03), Control(f"modulo {s.twin_p}", twins)),
    )  # fmt: skip
