"""How many near neighbours chance alone makes: false discoveries among many directions."""

from __future__ import annotations

from scipy import special

from phasescope.checks import number, whole


def false_discovery(dimensions: int, rows: int, cosine: float) -> float:
    """Return the probability that one of ``rows`` random directions has a cosine above ``cosine`` with a given one.

    1 - (1 - p)^N with p = I(1 - c^2; (D - 1) / 2, 1 / 2) / 2 the share of the sphere in a cap, for even directions in D
    ``dimensions`` (D >= 2) and a cosine from 0 to 1; the setting of Reimers and Gurevych 2021 (arXiv:2012.14210).
    Raises ``BadInput`` for other values.

    >>> round(false_discovery(16, 1000, 0.75), 3)
    0.231
    """
    d, n = whole(2, 10**9)("dimensions", dimensions), whole(1)("rows", rows)
    c = number(0, 1)("cosine", cosine)
    share = special.betainc((d - 1) / 2, 0.5, 1 - c * c) / 2
    return float(-special.expm1(n * special.log1p(-share)))


def chance_pairs(dimensions: int, rows: int, cosine: float) -> float:
    """Return how many pairs among ``rows`` random directions have a cosine above ``cosine``, on average.

    N (N - 1) / 2 times the share of the sphere in a cap, as in ``false_discovery``: what ``ps.dedup`` would find in
    data without copies that spread evenly over D ``dimensions``. Raises ``BadInput`` as that does.
    """
    d, n = whole(2, 10**9)("dimensions", dimensions), whole(2)("rows", rows)
    c = number(0, 1)("cosine", cosine)
    return float(n * (n - 1) / 4 * special.betainc((d - 1) / 2, 0.5, 1 - c * c))


def ranking_error(margin: float, dimensions: int) -> float:
    """Return the probability that a random projection ranks two documents d, d' wrongly for a query q.

    ``margin`` (0 to 1) is q.(d - d') / |q| |d - d'|; the question is that of Luan et al. 2021 (arXiv:2005.00181). A
    matrix of D x V independent Gaussian entries takes q and d - d' to vectors whose product is negative with the
    probability that Student's t with D ``dimensions`` exceeds margin sqrt(D) / sqrt(1 - margin^2): of the projected d -
    d', given the projected q, only the part along it counts, which is Gaussian. Raises ``BadInput`` for other values.

    >>> ranking_error(0.0, 7), round(ranking_error(0.5, 27), 4)
    (0.5, 0.0029)
    """
    gap, d = number(0, 1, open_high=True)("margin", margin), whole(1, 10**9)("dimensions", dimensions)
    return float(special.stdtr(d, -gap * (d / (1 - gap * gap)) ** 0.5))
