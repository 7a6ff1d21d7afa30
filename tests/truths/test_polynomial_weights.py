"""Exact weights of sums, products and polynomials beside their theory."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phasescope.ensemble import measure, streams
from phasescope.instruments.fourier import participation_in_basis, phase_alignment
from phasescope.instruments.logits import correct_logit, table_accuracy, table_loss
from phasescope.lab.polynomial_networks import (
    POWERS,
    experts_network,
    form_network,
    product_network,
    rows_with_zero,
    sampled,
    sum_network,
    table_of,
)
from phasescope.learners import ExactMLP, ExpertsNetwork, PowerMLP
from phasescope.tasks import addition, multiplication, parse, polynomial_table
from phasescope.theory import modular_addition, polynomial_forms, residues
from phasescope.theory.polynomial_weights import (
    expected_sum_error,
    linear_terms,
    power_table,
    product_weights,
    sum_error_constant,
    sum_weights,
    sum_width_growth,
)
from phasescope.vocabulary import BadInput, Grid

READ = (table_accuracy, table_loss, correct_logit)
Weights = Callable[..., tuple[Any, Any]]
COMPOSED = (
    "2*n1^4*n2 + n1^2*n2^2 + 3*n1*n2^3",
    "n1^5*n2^3 + 4*n1^2*n2 + 5*n1^2*n2^3",
    "7*n1^4*n2^4 + 2*n1^3*n2^2 + 4*n1^2*n2^5",
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# -- sums -----------------------------------------------------------------------------------------------------------------


def test_two_terms_are_the_weights_for_addition() -> None:
    """For S = 2 Eqs. 1-2 are Gromov's: bit for bit the same from the same phases."""
    terms = linear_terms(13, (1, 1))
    for mine, known in zip(
        sum_weights(13, 40, generator(), terms=terms),
        modular_addition.addition_weights(13, 40, generator()),
        strict=True,
    ):
        assert np.allclose(mine, known, rtol=0, atol=1e-15)


def test_the_sums_weights_are_the_papers() -> None:
    """Doshi et al. 2024, Eqs. 1-2, index by index: A = (2^S / (N S!))^(1/(S+1))."""
    p, width, coefficients = 7, 10, (2, 5, 1)
    embed, readout = sum_weights(p, width, generator(), terms=linear_terms(p, coefficients))
    psi = generator().uniform(0, 2 * np.pi, (3, width))
    a = (2**3 / (width * math.factorial(3))) ** (1 / 4)
    for k in range(1, width + 1):
        for i in range(p):
            for s, c in enumerate(coefficients):
                angle = 2 * math.pi * k * c * i / p + psi[s, k - 1]
                assert embed[s, i, k - 1] == pytest.approx(a * math.cos(angle), abs=1e-12)
            last = -2 * math.pi * k * i / p - psi[:, k - 1].sum()
            assert readout[i, k - 1] == pytest.approx(a * math.cos(last), abs=1e-12)


def test_the_factor_that_the_papers_errors_lack() -> None:
    """Without 2^S/S! each weight is smaller by its (S+1)-th root, so the logits of S = 3 are three quarters."""
    terms = linear_terms(7, (1, 2, 3))
    right = sum_weights(7, 10, generator(), terms=terms)
    bare = sum_weights(7, 10, generator(), terms=terms, factorial_factor=False)
    assert np.allclose(bare[0] ** 3 * bare[1], 0.75 * right[0] ** 3 * right[1], atol=1e-12)


def law_sum_error_constant(kappa: Callable[[int], float]) -> None:
    """kappa_S by quadrature: S! surviving orders give the signal 1; the rest of the power is noise."""
    for terms in (2, 3, 4):
        t = 2 * np.pi * np.arange(16) / 16  # exact for trigonometric polynomials of degree < 16
        grids = np.meshgrid(*[t] * terms, indexing="ij")
        moment = (sum(np.cos(g) for g in grids) ** (2 * terms)).mean()
        expected = (2**terms / math.factorial(terms)) ** 2 * moment / 2 - 0.5
        assert kappa(terms) == pytest.approx(expected, rel=1e-12)


def test_sum_error_constant() -> None:
    law_sum_error_constant(sum_error_constant)
    assert sum_error_constant(2) == 4  # Gromov's 4 / N
    assert expected_sum_error(2, 100) == modular_addition.expected_squared_error(100)
    # facts 3.1 (simulation): 25.3, 164, 1124
    assert [sum_error_constant(s) for s in (3, 4, 5)] == pytest.approx([25.3, 164, 1124], rel=0.006)
    assert all(6 < sum_width_growth(s) < 7 for s in (2, 3, 4))


@pytest.mark.parametrize(("terms", "width", "draws"), [(2, 200, 40), (3, 600, 24), (4, 2400, 10)])
def test_the_error_is_kappa_over_width(terms: int, width: int, draws: int) -> None:
    """Within four standard errors of the draws; the correct logit is 1."""
    p = 11
    task = sampled(addition(p, arity=terms), 2000)
    found = measure(sum_network(p, width, (1,) * terms), task, Grid(seeds=draws), READ)
    loss = found["table_loss"].values / expected_sum_error(terms, width)
    assert abs(loss.mean() - 1) < 4 * loss.std(ddof=1) / math.sqrt(draws)
    assert loss.std(ddof=1) / math.sqrt(draws) < 0.06
    assert float(found["correct_logit"].mean()) == pytest.approx(1, abs=0.06)


def test_sums_with_coefficients_are_answered() -> None:
    for coefficients, width in (((3, 5), 400), ((1, 4, 6), 3000)):
        text = " + ".join(f"{c}*n{i}" for i, c in enumerate(coefficients, 1))
        found = measure(sum_network(11, width, coefficients), polynomial_table(11, text), Grid(seeds=3), READ)
        assert (found["table_accuracy"] == 1).all()


def test_exact_sums_are_aligned_and_broken_ones_are_not() -> None:
    task = addition(11, arity=3)
    right = measure(sum_network(11, 600, (1, 1, 1)), task, Grid(seeds=2), (phase_alignment, table_accuracy))
    assert np.nanmin(right["phase_alignment"]) > 1 - 1e-5
    wrong = measure(sum_network(11, 600, (1, 1, 1), phase_error=math.pi), task, Grid(seeds=2), (table_accuracy,))
    assert float(wrong["table_accuracy"].max()) < 3 / 11


# -- products -------------------------------------------------------------------------------------------------------------


def law_products(weights: Weights) -> None:
    """Every product is answered, those with 0 too, for several exponents (facts 3.1: 100 % at p = 23 from N = 100)."""
    for p, width in ((23, 100), (7, 100), (5, 80)):
        for powers in ((1, 1), (2, 3), (4, 1)):
            factors = tuple(power_table(p, e) for e in powers)
            task = polynomial_table(p, f"n1^{powers[0]}*n2^{powers[1]}")
            found = measure(ExactMLP(p, width, partial(weights, factors=factors)), task, Grid(seeds=4), READ)
            # one draw in many misses a cell at so small a width
            assert float(found["table_accuracy"].median()) == 1
            assert float(found["table_accuracy"].min()) > 0.98


def test_products() -> None:
    law_products(product_weights)


def test_the_products_weights_are_the_papers() -> None:
    """Eq. 6 index by index, with the amplitude (2/(N-1))^(1/3); 0 has the first neuron to itself."""
    p, width, g = 7, 9, 3
    embed, readout = product_weights(p, width, generator(), factors=(power_table(p, 2), power_table(p, 1)))
    psi = generator().uniform(0, 2 * np.pi, (2, width - 1))
    b = (2 / (width - 1)) ** (1 / 3)
    log = {pow(g, i, p): i for i in range(p - 1)}
    assert embed[0, 0, 0] == embed[1, 0, 0] == readout[0, 0] == 1
    assert not embed[:, 0, 1:].any()
    assert not embed[:, 1:, 0].any()
    assert not readout[0, 1:].any()
    assert not readout[1:, 0].any()
    for k in range(1, width):
        for i in range(1, p):
            angle = 2 * math.pi * k * log[i] / (p - 1)
            assert embed[0, i, k] == pytest.approx(b * math.cos(2 * angle + psi[0, k - 1]), abs=1e-12)
            assert embed[1, i, k] == pytest.approx(b * math.cos(angle + psi[1, k - 1]), abs=1e-12)
            assert readout[i, k] == pytest.approx(b * math.cos(-angle - psi[:, k - 1].sum()), abs=1e-12)


def test_the_misprinted_exponent_fails_on_the_zeros_alone() -> None:
    """Facts 3.2: total 1 - (2p - 1)/p^2; exactly the rows with a 0 are wrong."""
    p = 23
    task = multiplication(p)
    wrong = product_network(p, 300, misprinted=True)
    found = measure(wrong, task, Grid(seeds=4), READ)
    assert np.allclose(found["table_accuracy"], 1 - (2 * p - 1) / p**2, atol=2e-3)
    assert (measure(wrong, rows_with_zero(task), Grid(seeds=4), READ)["table_accuracy"] <= 1 / (2 * p - 1)).all()
    assert (measure(product_network(p, 300), rows_with_zero(task), Grid(seeds=4), READ)["table_accuracy"] == 1).all()
    assert len(rows_with_zero(task).inputs) == 2 * p - 1


def test_products_are_pure_in_the_log_basis_alone() -> None:
    p = 23
    logs = participation_in_basis(residues.power_order(p), "log")
    found = measure(product_network(p, 200), multiplication(p), Grid(), (logs,))
    # all but the neuron of 0 and those of frequency 0 or (p - 1)/2 are one wave
    ratio = found["participation_log"].values[0, 1:]
    assert np.nanmin(ratio) > 1 - 1e-5
    raw = participation_in_basis(list(range(p)), "raw")
    assert np.nanmedian(measure(product_network(p, 200), multiplication(p), Grid(), (raw,))["participation_raw"]) < 0.3


@pytest.mark.parametrize("p", [2, 3, 5])
def test_the_smallest_primes(p: int) -> None:
    found = measure(product_network(p, 400), multiplication(p), Grid(seeds=3), (table_accuracy,))
    assert (found["table_accuracy"] == 1).all()


@pytest.mark.parametrize(("text", "width"), [("n1*n2*n3", 1200), ("n1^2*n2*n3^3 + 2", 1200), ("n1*n2*n3*n4", 7000)])
def test_products_of_more_factors(text: str, width: int) -> None:
    """Our extension of Eq. 6 to the activation x^S: zeros included, as good as a sum of as many terms."""
    p = 5 if "n4" in text else 11
    f = parse(text)
    found = polynomial_forms.learnability(p, f.padded(f.arity), table_of(p, f))
    assert found.form is not None
    assert found.form.kind == "multiplicative"
    task = sampled(polynomial_table(p, f), 2000)
    measured = measure(form_network(p, width, found.form), task, Grid(seeds=3), READ)
    assert float(measured["table_accuracy"].min()) > 0.99
    zeros = measure(form_network(p, width, found.form), rows_with_zero(task), Grid(seeds=3), READ)
    assert float(zeros["table_accuracy"].min()) > 0.99


# -- forms and experts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["(4*n1 + n2^2)^3", "(2*n1 + 3*n2)^4", "(5*n1^3 + 2*n2^4)^2", "(n1+1)*(n2^2+3)", "n1^2*n2^2 - n1*n2 + 4"]
)
def test_forms_become_networks(text: str) -> None:
    """Facts 3.4: the learnable three are answered at width 500; so are products with an outer function."""
    p = 23
    f = parse(text)
    found = polynomial_forms.learnability(p, f.padded(2), table_of(p, f))
    assert found.form is not None
    measured = measure(form_network(p, 500, found.form), polynomial_table(p, f), Grid(seeds=4), READ)
    assert float(measured["table_accuracy"].min()) > 0.99
    assert float(measured["table_accuracy"].median()) == 1


@pytest.mark.parametrize("text", COMPOSED)
@pytest.mark.parametrize("p", [11, 23])
def test_polynomials_of_experts(text: str, p: int) -> None:
    """App. B: 100 %; the error is the adder's, kappa_3 / N2."""
    found = measure(experts_network(p, text, 300, 2000), polynomial_table(p, text), Grid(seeds=3), READ)
    assert (found["table_accuracy"] > 0.999).all()
    assert float(found["table_loss"].mean()) == pytest.approx(expected_sum_error(3, 2000), rel=0.35)


@given(st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 6)), st.integers(1, 4), min_size=2, max_size=3))
@settings(max_examples=12, deadline=None)
def test_any_polynomial_of_two_or_three_monomials_is_composed(terms: dict[tuple[int, int], int]) -> None:
    """Exponents of 0 and constants too: n^0 is 1, also at 0, and a constant goes into the adder."""
    from phasescope.tasks import Polynomial

    f = Polynomial(terms)
    if len([e for e, _ in f.terms if e]) < 2:
        return
    found = measure(experts_network(5, f, 200, 1500), polynomial_table(5, f), Grid(seeds=2), (table_accuracy,))
    assert float(found["table_accuracy"].min()) > 0.95


def literal(network: ExpertsNetwork, n1: int, n2: int) -> Any:
    """The composed network, one input and one index at a time, in float64."""
    adder, hidden = network.adder, 0.0
    for s, expert in enumerate(network.experts):
        e, r = expert.embed.detach().double().numpy(), expert.readout.detach().double().numpy()
        logits = r @ (e[0, n1] + e[1, n2]) ** 2
        share = np.exp(network.beta * (logits - logits.max()))
        hidden = hidden + (share / share.sum()) @ adder.embed[s].detach().double().numpy()
    return adder.readout.detach().double().numpy() @ hidden ** len(network.experts)


def test_the_composed_network_computes_what_its_parts_say() -> None:
    network = experts_network(5, COMPOSED[0], 20, 30, beta=3.0)
    network.initialize(streams(0)("init"))
    inputs = torch.tensor([[1, 2], [0, 3], [4, 4]])
    with torch.no_grad():
        found = network(inputs).double().numpy()
    for row, (a, b) in zip(found, inputs.tolist(), strict=True):
        assert np.allclose(row, literal(network, a, b), rtol=1e-4, atol=1e-4)


def test_a_composed_network_is_a_module_like_any_other() -> None:
    """It describes itself, is drawn per seed, and can be trained on."""
    network = experts_network(5, COMPOSED[0], 8, 12)
    assert network.describe()["beta"] == 100
    assert network.describe() != experts_network(5, COMPOSED[0], 8, 12, beta=10.0).describe()
    assert network.describe() != experts_network(5, COMPOSED[1], 8, 12).describe()
    found = measure(network, polynomial_table(5, COMPOSED[0]), Grid(seeds=2), (table_loss,))["table_loss"].values
    assert found[0] != found[1]
    network.initialize(streams(0)("init"))
    network(torch.tensor([[1, 2]])).sum().backward()
    assert all(torch.isfinite(w.grad).all() for w in network.parameters())


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_initial_weights_follow_the_power(degree: int) -> None:
    """(1/2) (2 H)^(-1/(d+1)), which for d = 2 is the paper's (16 H)^(-1/3)."""
    module = PowerMLP(23, 300, activation=POWERS[degree])
    module.initialize(generator())
    deviation = 0.5 * 600 ** (-1 / (degree + 1))
    assert float(module.embed.detach().std()) == pytest.approx(deviation, rel=0.02)
    relu = PowerMLP(23, 300, activation="relu")
    relu.initialize(generator())
    assert float(relu.embed.detach().std()) == pytest.approx((16 * 300) ** (-1 / 3), rel=0.02)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: sum_weights(7, 9, generator(), terms=[[0] * 7]), "give 2 to 5 tables of length p = 7"),
        (lambda: sum_weights(7, 9, generator(), terms=[[0] * 7] * 6), "give 2 to 5 tables"),
        (lambda: sum_weights(7, 9, generator(), terms=[[0] * 6] * 2), "give 2 to 5 tables"),
        (lambda: sum_weights(7, 0, generator(), terms=[[0] * 7] * 2), "width is 0"),
        (lambda: product_weights(7, 1, generator(), factors=[[1] * 7] * 2), "width is 1"),
        (lambda: product_weights(7, 9, generator(), factors=[[1] * 7] * 6), "factors has shape"),
        (lambda: product_weights(9, 9, generator(), factors=[[1] * 9] * 2), "p is 9 = 3 x 3"),
        (lambda: sum_error_constant(1), "terms is 1"),
        (lambda: experts_network(15, COMPOSED[0], 9, 9), "p is 15 = 3 x 5"),
        (lambda: experts_network(7, "n1*n2", 9, 9), "1 monomials"),
        (lambda: experts_network(7, "n1*n2 + n3", 9, 9), "3 variables"),
        (lambda: experts_network(7, "n1+n2+n1*n2+n1^2+n2^2+n1^3", 9, 9), "6 monomials"),
        (lambda: ExpertsNetwork([product_network(7, 9)], sum_network(7, 9, (1, 1))), "as many experts"),
        (lambda: ExpertsNetwork([product_network(7, 9)] * 2, sum_network(5, 9, (1, 1))), "all modulo p"),
        (lambda: ExpertsNetwork([product_network(7, 9)] * 2, sum_network(7, 9, (1, 1)), beta=0.0), "beta is 0"),
    ],
)  # fmt: skip
def test_outside_their_domain_they_refuse(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(BadInput, match="(?s).*" + sentence.replace("(", r"\(")):
        call()
