"""What one reads where nothing was learnt: chance, the majority class, and the participation ratio of noise."""

from __future__ import annotations

import numpy as np
from scipy.special import hyp2f1

from phasescope.theory.domains import a_law, checked, whole
from phasescope.vocabulary import BadInput, Law

__all__ = ["chance_level", "majority_share", "pure_participation", "random_participation"]


@checked(law=a_law)
def chance_level(law: Law) -> float:
    """Return the accuracy of a uniform guess, 1/p."""
    return 1.0 / law.modulus


@checked(law=a_law)
def majority_share(law: Law) -> float:
    """Return the accuracy of always answering the most frequent label of the whole table.

    Unlearnable functions with uneven label counts are to be compared with this, not with 1/p.
    """
    labels = law.table[law.table >= 0]
    if not labels.size:
        raise BadInput("the table of the law has no labels: every input is without an answer.")
    return float(np.bincount(labels, minlength=law.modulus).max() / labels.size)


@checked(p=whole(3))
def random_participation(p: int) -> float:
    """Return the mean inverse participation ratio of Gaussian noise of p numbers, exactly; 4 / (p + 1) for large p.

    The ratio is S2 / S1^2, sums of powers x and of x^2 over ``rfft`` bins with DC. Of these z = 1 are real (2 for even
    p, whose last one is real too), x chi-square with one degree of freedom, and (p - z)/2 complex, x exponential of
    mean 1. With 1 / S1^2 = integral over t > 0 of t e^(-t S1), each mean under the integral is a power of 1 + t and
    1 + 2 t, and u = 1 / (1 + t) makes it Euler's integral of the hypergeometric function F: 4 / (p (p + 2)) times
    (p - z) F(z/2, 2; p/2 + 2; -1) + 3 z F(z/2 + 2, 2; p/2 + 2; -1). Derived here; F: DLMF 15.6.1 and 15.8.1. The limit
    is above it by 40 % at p = 3, 5 % at 23, 1 % at 97. Raises ``BadInput`` below p = 3.

    >>> [round(random_participation(p), 3) for p in (3, 5, 11, 23, 97)]
    [0.717, 0.534, 0.299, 0.158, 0.04]
    """
    real = 1 if p % 2 else 2
    of_complex, of_real = (hyp2f1(real / 2 + more, 2, p / 2 + 2, -1) for more in (0, 2))
    return float(4 / (p * (p + 2)) * ((p - real) * of_complex + 3 * real * of_real))


def pure_participation() -> float:
    """Return the inverse participation ratio of a single cosine with ``rfft`` magnitudes: 1."""
    return 1.0
