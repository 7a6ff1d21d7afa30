"""Weights written down for polynomials modulo a prime, and which polynomials have none of this form."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, exactly, near, statement
from phasescope.tasks import addition, multiplication, parse, polynomial_table
from phasescope.theory.polynomial_forms import additive_form, certified_not_additive
from phasescope.theory.polynomial_weights import (
    expected_sum_error,
    linear_terms,
    power_table,
    product_weights,
    sum_weights,
)
from phasescope.verdict import Source
from phasescope.vocabulary import Array

DOSHI = "Doshi, He, Das and Gromov 2024, arXiv:2406.03495"
LEARNABLE = ("(4*n1 + n2^2)^3", "(2*n1 + 3*n2)^4", "(5*n1^3 + 2*n2^4)^2")
PERTURBED = ("(4*n1 + n2^2)^3 + n1*n2", "(2*n1 + 3*n2)^4 - n1^2", "(5*n1^3 + 2*n2^4)^2 - n2")


def logits(embed: Array, readout: Array, inputs: Array) -> Array:
    """Return the logits (N, p) of W (sum of S embeddings)^S for inputs (N, S)."""
    total = reduce(np.add, (embed[term][inputs[:, term]] for term in range(inputs.shape[1])))
    found: Array = total ** inputs.shape[1] @ readout.T
    return found


@statement(
    "000-02",
    "Weights that are written down answer sums of S terms modulo p, with the activation x^S",
    Source(
        paper=f"{DOSHI}, Eqs. 1-2",
        derived="the error, theory.polynomial_weights.expected_sum_error",
        tolerance="one answer in a hundred; the scatter of an error over draws of the phases",
    ),
)
def exact_sums() -> Iterator[Compared]:
    """n1 + n2 and n1 + n2 + n3 modulo 11, on the whole table."""
    for terms, width in ((2, 300), (3, 1500)):
        task = addition(11, arity=terms)
        draws = [
            logits(*sum_weights(11, width, streams(seed)("phases"), terms=linear_terms(11, (1,) * terms)), task.inputs)
            for seed in range(4)
        ]
        right = np.mean([(found.argmax(1) == task.labels).mean() for found in draws])
        error = np.mean([np.square(found - np.eye(11)[task.labels]).mean() for found in draws])
        yield at_least(f"{terms} terms at width {width}: accuracy", right, 0.99)
        yield near(f"{terms} terms: squared error over kappa / N", error / expected_sum_error(terms, width), 1, 0.25)


@statement(
    "000-02",
    "Products have written-down weights too, in the logarithms of a primitive root, zero apart",
    Source(paper=f"{DOSHI}, Eq. 6", value="100 %", tolerance="all but one pair in a thousand"),
)
def exact_products() -> Iterator[Compared]:
    """n1 n2 modulo 47 at width 300, and n1^2 n2^3 modulo 23 at width 200."""
    task = multiplication(47)
    found = logits(*product_weights(47, 300, streams(1)("phases"), factors=[range(47), range(47)]), task.inputs)
    yield at_least("n1 n2 modulo 47: accuracy on all pairs", (found.argmax(1) == task.labels).mean(), 0.999)
    powers = polynomial_table(23, "n1^2*n2^3")
    factors = [power_table(23, 2), power_table(23, 3)]
    found = logits(*product_weights(23, 200, streams(1)("phases"), factors=factors), powers.inputs)
    yield at_least("n1^2 n2^3 modulo 23: accuracy on all pairs", (found.argmax(1) == powers.labels).mean(), 0.999)


@statement(
    "000-02",
    "Of the polynomials of its tables, those that can be learnt are h(g1(n1) + g2(n2)), and one term more ends that",
    Source(
        paper=f"{DOSHI}, App. C, and the hypothesis of Sec. 5",
        derived="theory.polynomial_forms: additive_form, certified_not_additive",
        tolerance="none: a proof for each table",
    ),
)
def one_term_more() -> Iterator[Compared]:
    """Three polynomials and three with one term more, modulo 23: a form that writes the table, or a proof of none."""
    for expected, texts in ((1, LEARNABLE), (0, PERTURBED)):
        for text in texts:
            polynomial = parse(text)
            table = polynomial_table(23, polynomial).labels.reshape(23, 23)
            form = additive_form(23, polynomial.padded(2), table)
            written = form is not None and np.array_equal(form.table(23), table)
            yield exactly(f"{text}: has such a form", written, expected)
            yield exactly(f"{text}: proved to have none", bool(certified_not_additive(table)), 1 - expected)
