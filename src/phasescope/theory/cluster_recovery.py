"""How well two Gaussian clusters are found without labels, as the dimension grows at a fixed overlap.

Letters: the clusters are N(+-r u, I) in d dimensions with equal weights, u a unit vector; r is half the distance of
their means, so that Bayes' rule is right with probability Phi(r). Of n rows the ratio is c = d / n.
"""

from __future__ import annotations

import math

from scipy import special

from phasescope.theory.domains import checked, not_negative, number

__all__ = ["highest_ratio", "principal_accuracy"]

overlap = number(0.5, 1, open_low=True, open_high=True)


@checked(bayes_accuracy=overlap, ratio=not_negative)
def principal_accuracy(bayes_accuracy: float, ratio: float) -> float:
    """Return how many rows the sign of the first principal component sorts rightly, for large d and n at c = d / n.

    Phi(sqrt((r^4 - c) / (r^2 + c))) with r = Phi^-1(``bayes_accuracy``), and 1/2 where c >= r^4. The rows are a matrix
    of rank one plus noise, whose first singular vector has a squared cosine q = (r^4 - c) / (r^2 (r^2 + 1)) with the
    labels (Benaych-Georges and Nadakuditi 2012, arXiv:1103.2221, Section 3.1); the rest of it is an even direction, so
    that a row is right with probability Phi(sqrt(q / (1 - q))), derived here. The rows are not centred.

    >>> [round(principal_accuracy(0.8, ratio), 3) for ratio in (0, 0.25, 1)]
    [0.8, 0.696, 0.5]
    """
    r = float(special.ndtri(bayes_accuracy))
    if r**4 <= ratio:
        return 0.5
    return float(special.ndtr(math.sqrt((r**4 - ratio) / (r * r + ratio))))


@checked(bayes_accuracy=overlap)
def highest_ratio(bayes_accuracy: float) -> float:
    """Return c = d / n from which on the first principal component tells nothing of the clusters: r^4.

    >>> round(highest_ratio(0.8), 3)
    0.502
    """
    return float(special.ndtri(bayes_accuracy)) ** 4
