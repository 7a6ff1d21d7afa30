"""Margins of quasi-homogeneous models: the asymmetric norm, and the separation of two balls solved exactly.

Kunin, Yamamura, Ma and Ganguli 2023, arXiv:2210.03820. A model is quasi-homogeneous if f(x; e^(a Lambda) theta) =
e^a f(x; theta) for a diagonal Lambda >= 0, whose entries are the rates of the parameters. Gradient flow then minimizes
the norm of those with the highest rate alone. The solution of the balls is derived here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from phasescope.theory.domains import checked, flag, not_negative, places, positive, shown, tensors, whole
from phasescope.vocabulary import Array, BadInput

__all__ = ["asymmetric_norm", "homogeneous_ball", "quasi_homogeneous_ball", "simplex_cosine"]


@checked(parameters=tensors, rates=places, highest=flag)
def asymmetric_norm(parameters: Sequence[Array], rates: Sequence[float], *, highest: bool = False) -> float:
    """Return ||theta||_Lambda = sqrt(sum_i lambda_i |theta_i|^2), one rate per array; with ``highest``, of those with
    the largest rate alone: what the limit of gradient flow minimizes (the paper's theorem).

    Raises ``BadInput`` for unequal lengths, negative rates, or none above 0.
    """
    if len(parameters) != len(rates) or not rates or min(rates) < 0 or max(rates) <= 0:
        raise BadInput(
            f"rates {shown(list(rates))} of {len(parameters)} arrays: give one >= 0 for each, one of them > 0."
        )
    top = max(rates)
    kept = [rate if rate == top or not highest else 0.0 for rate in rates]
    return math.sqrt(sum(rate * float(np.sum(np.square(p))) for p, rate in zip(parameters, kept, strict=True)))


def _gap(parallel: float, transverse: float, radius: float) -> float:
    """Return |mu|^2 - radius^2, without the difference of near squares; ``BadInput`` where it is not above 0."""
    large, small = max(parallel, transverse), min(parallel, transverse)
    gap = (large - radius) * (large + radius) + small**2
    if gap <= 0:
        raise BadInput(
            f"the centre lies {math.hypot(parallel, transverse):g} from the origin, the radius is {radius:g}: "
            "the domain is balls that do not touch, a distance above the radius."
        )
    return gap


@checked(parallel=not_negative, transverse=not_negative, radius=positive)
def homogeneous_ball(parallel: float, transverse: float, radius: float) -> tuple[float, float, float]:
    """Return the direction (2,) and the margin of w.x between balls around +mu and -mu, mu = (parallel, transverse).

    Along mu, at the distance |mu| - radius from each ball: the largest there is. Raises ``BadInput`` where the balls
    touch.
    """
    gap, size = _gap(parallel, transverse, radius), math.hypot(parallel, transverse)
    return parallel / size, transverse / size, gap / (size + radius)


@checked(parallel=not_negative, transverse=not_negative, radius=positive)
def quasi_homogeneous_ball(parallel: float, transverse: float, radius: float) -> tuple[float, float, float]:
    """Return direction (2,) and margin when the first coordinate has the highest rate: f = w x1 + (u v) x2.

    Only |w| is minimized. Below transverse = radius the direction is (sqrt(1 - s^2), s), s = transverse / radius, with
    the margin sqrt(1 - s^2) (parallel - sqrt(radius^2 - transverse^2)); it falls to 0 at transverse = radius. Above,
    the first coordinate is not needed and is dropped: (0, 1), transverse - radius. Raises ``BadInput`` where the balls
    touch.
    """
    gap = _gap(parallel, transverse, radius)
    if transverse >= radius:
        return 0.0, 1.0, transverse - radius
    height = math.sqrt((radius - transverse) * (radius + transverse))
    along = height / radius
    return along, transverse / radius, along * gap / (parallel + height)  # along * (parallel - height)


@checked(classes=whole(2))
def simplex_cosine(classes: int) -> float:
    """Return the cosine between class means of a simplex equiangular tight frame, -1 / (K - 1).

    Papyan, Han and Donoho 2020, arXiv:2008.08186; here what a final normalization leaves. Raises ``BadInput``
    for fewer than two classes.
    """
    return -1.0 / (classes - 1)
