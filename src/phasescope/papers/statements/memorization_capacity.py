"""How much is learnt by heart, and how much of it must be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.data import long_tail
from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_most, near, statement
from phasescope.verdict import Source


@statement(
    "004-014",
    "Where kinds of examples have a long tail, not learning by heart what was seen once costs accuracy",
    Source(
        paper="Feldman 2020, arXiv:1906.05271, abstract",
        derived="sum p (1 - p)^n / 2 and sum n p^2 (1 - p)^(n - 1) / 2",
        tolerance="five standard errors of 400 samples",
    ),
)
def singletons() -> Iterator[Compared]:
    """5,000 kinds by Zipf's law with exponents 0, 1 and 1.5, two labels, 5,000 rows: by the formula and by drawing."""
    for exponent in (0.0, 1.0, 1.5):
        chance = np.arange(1, 5001) ** -exponent
        chance /= chance.sum()
        found = long_tail(chance, 5000)
        counts = streams(1)("tail", int(2 * exponent)).multinomial(5000, chance, 400)
        for what, times, value in (("unseen", 0, found.unseen), ("seen once", 1, found.singletons)):
            drawn = ((counts == times) @ chance) / 2
            error = drawn.std(ddof=1) / 20
            yield near(f"exponent {exponent:g}: error of what is {what}, drawn", drawn.mean(), value, 5 * error)
    steep = long_tail(np.arange(1, 5001) ** -3.0, 5000)
    yield at_most("exponent 3, a short tail: what singletons cost", steep.singletons, 0.001)
