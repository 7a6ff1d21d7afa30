"""Which margin gradient descent makes large when parameters enter with different powers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.instruments.collapse import neural_collapse
from phasescope.papers.statement import Compared, at_most, near, statement
from phasescope.theory.asymmetric_margin import homogeneous_ball, quasi_homogeneous_ball, simplex_cosine
from phasescope.verdict import Source

KUNIN = "Kunin, Yamamura, Ma and Ganguli 2022, arXiv:2210.03820"
RADIUS, ALONG = 0.8, 1.0


def descended(across: float, *, products: bool, steps: int = 60_000) -> tuple[float, float]:
    """Return the direction that normalized gradient descent gives a classifier of two balls around +-(ALONG, across).

    The classifier is w x1 + (u v) x2 with ``products``, else w x1 + v x2. Of a ball only the point with the smallest
    margin counts, as it does late in training: the ascended quantity is b . mu - radius |b|.
    """
    w, u, v = 0.1, 0.1 if products else 1.0, 0.1
    for _ in range(steps):
        b1, b2 = w, u * v
        size = math.hypot(b1, b2)
        d1, d2 = ALONG - RADIUS * b1 / size, across - RADIUS * b2 / size
        dw, du, dv = d1, d2 * v if products else 0.0, d2 * u
        rate = 0.02 / math.sqrt(dw**2 + du**2 + dv**2)
        w, u, v = w + rate * dw, u + rate * du, v + rate * dv
    size = math.hypot(w, u * v)
    return w / size, u * v / size


def margin(direction: tuple[float, float], across: float) -> float:
    """Return the distance of either ball from the boundary."""
    return direction[0] * ALONG + direction[1] * across - RADIUS


@statement(
    "002-10",
    "A parameter that enters alone is kept small at the cost of the margin, which homogeneous classifiers maximize",
    Source(
        paper=f"{KUNIN}, the example of two balls",
        derived="theory.asymmetric_margin.quasi_homogeneous_ball and homogeneous_ball",
        tolerance="the steps of the descent",
    ),
)
def two_balls() -> Iterator[Compared]:
    """Balls of radius 0.8 around +-(1, m): gradient descent beside the closed forms."""
    for across in (0.3, 0.5, 0.7):
        plain, alone = descended(across, products=False), descended(across, products=True)
        yield near(
            f"m = {across}: margin, homogeneous",
            margin(plain, across),
            homogeneous_ball(ALONG, across, RADIUS)[2],
            0.003,
        )
        yield near(
            f"m = {across}: margin, with u v",
            margin(alone, across),
            quasi_homogeneous_ball(ALONG, across, RADIUS)[2],
            0.01,
        )
    above = quasi_homogeneous_ball(ALONG, 0.79, RADIUS)[2] / homogeneous_ball(ALONG, 0.79, RADIUS)[2]
    yield at_most("m = 0.79, just below the radius: share of the margin that is left", above, 0.3)


@statement(
    "002-10",
    "Class means that are as far apart as can be are a simplex, with cosines -1 / (K - 1)",
    Source(
        paper=f"{KUNIN}, on neural collapse, after Papyan et al. 2020",
        derived="theory.asymmetric_margin.simplex_cosine",
        tolerance="rounding",
    ),
)
def simplex() -> Iterator[Compared]:
    """Features of 4 and 10 classes at the corners of a simplex, read by the instrument of neural collapse."""
    for classes in (4, 10):
        corners = np.eye(classes) - 1 / classes
        features = np.repeat(corners, 5, axis=0) + 1e-3 * streams(1)("scatter").standard_normal((5 * classes, classes))
        found = neural_collapse(features, np.repeat(np.arange(classes), 5))
        yield near(f"{classes} classes: cosine of class means", found.cosine, simplex_cosine(classes), 0.001)
        yield at_most(f"{classes} classes: variance within over between classes", found.variance_ratio, 1e-4)
