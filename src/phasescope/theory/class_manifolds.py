"""How often a random plane meets a set: what cutting planes read of a ball, of an affine subspace, and of a tube.

A plane of dimension d through a point X0 is X0 plus the span of d Gaussian vectors of R^D. Fort, Cubuk, Ganguli and
Schoenholz 2022, arXiv:2210.05546, cut the regions in which a classifier is confident by such planes, and say by
Gordon's escape theorem at which d they begin to meet. For a ball, an affine subspace, and a tube around one, the
probability is known exactly; it is derived here.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from scipy import integrate, optimize, special

from phasescope.theory.domains import checked, not_negative, number, share, whole
from phasescope.vocabulary import BadInput

__all__ = ["cap_width", "escape_dimension", "meeting_dimension", "meeting_probability"]

dimensions = whole(1, 10**7)
a_part = whole(0, 10**7)
below_one = number(0, 1, open_high=True)


def _codimension(dimension: int, subspace: int) -> int:
    if subspace >= dimension:
        raise BadInput(f"subspace is {subspace}: give a dimension below that of the space, {dimension}.")
    return dimension - subspace


@checked(dimension=dimensions, plane=a_part, ratio=share, subspace=a_part)
def meeting_probability(dimension: int, plane: int, ratio: float, subspace: int = 0) -> float:
    """Return the probability that a random plane meets a tube: all within r of an affine subspace, L from the start.

    ``dimension`` D of the space, ``plane`` d, ``ratio`` r / L in [0, 1], ``subspace`` k < D. k = 0 is a ball, ratio 0
    the subspace itself. Seen along the subspace, the plane is d Gaussian directions in R^(D - k): at d >= D - k they
    fill it. Below, the square of its distance from the subspace over L^2 is that of a unit vector from a random
    d-dimensional subspace, of law Beta((D - k - d) / 2, d / 2), so that the probability is the regularized incomplete
    beta function of (r / L)^2: derived here. Raises ``BadInput`` for d > D and k >= D.

    >>> meeting_probability(10, 4, 0.0, subspace=6), meeting_probability(10, 3, 0.0, subspace=6)
    (1.0, 0.0)
    """
    left = _codimension(dimension, subspace)
    if plane > dimension:
        raise BadInput(f"plane is {plane}: give a dimension of at most that of the space, {dimension}.")
    if plane >= left or ratio == 1:
        return 1.0
    if plane == 0:
        return 0.0
    return float(special.betainc((left - plane) / 2, plane / 2, ratio**2))


@checked(dimension=dimensions, ratio=below_one, subspace=a_part)
def meeting_dimension(dimension: int, ratio: float, subspace: int = 0) -> float:
    """Return the dimension d* of planes that meet the tube half of the time, a real number between 0 and D - k.

    It solves ``meeting_probability`` = 1/2 with real d; in high dimensions it is (D - k)(1 - (r / L)^2). At ratio 0 it
    is D - k, where the probability jumps from 0 to 1.
    """
    left = _codimension(dimension, subspace)
    if ratio == 0:
        return float(left)

    def above(d: float) -> float:
        return float(special.betainc((left - d) / 2, d / 2, ratio**2)) - 0.5

    tiny = 1e-9 * left
    if above(tiny) >= 0:
        return 0.0
    if above(left - tiny) <= 0:  # the tube is so thin that its square is lost
        return float(left)
    return float(optimize.brentq(above, tiny, left - tiny, xtol=1e-10 * left))


@checked(dimension=dimensions, squared_width=not_negative)
def escape_dimension(dimension: int, squared_width: float) -> float:
    """Return D - w^2: random planes of fewer dimensions miss a set of squared Gaussian width w^2, mostly.

    w is the Gaussian width E sup g . x of the set's directions from the start, on the unit sphere. Gordon 1988, as used
    by Fort et al. 2022, arXiv:2210.05546; the theorem bounds from one side, and in high dimensions the bound is sharp
    for convex sets of directions. Raises ``BadInput`` where w^2 exceeds D, which no set of directions attains.
    """
    if squared_width > dimension:
        raise BadInput(f"squared_width is {squared_width:g}: give at most the dimension of the space, {dimension}.")
    return dimension - squared_width


@checked(dimension=whole(2, 10**7), ratio=below_one)
def cap_width(dimension: int, ratio: float) -> float:
    """Return the Gaussian width w of the directions in which a ball is seen: a cap of half-angle arcsin(r / L).

    E|g| E cos(max(0, phi - arcsin(r / L))), phi the angle between g and the ball's centre, of density sin^(D - 2) phi:
    the nearest direction of the cap, by one quadrature. In high dimensions w^2 is D (r / L)^2.
    """
    half, d = math.asin(ratio), dimension
    log_norm = special.gammaln(d / 2) - special.gammaln((d - 1) / 2) - 0.5 * math.log(math.pi)

    def weighted(phi: float) -> float:
        return math.cos(max(0.0, phi - half)) * math.exp(log_norm + (d - 2) * math.log(max(math.sin(phi), 1e-300)))

    reach = min(math.pi / 2, 12 / math.sqrt(d))  # beyond it the density is below 1e-30
    ends = sorted({math.pi / 2 - reach, math.pi / 2 + reach, *(x for x in (half,) if abs(x - math.pi / 2) < reach)})
    parts = [integrate.quad(weighted, a, b, epsabs=1e-13, epsrel=1e-11, limit=200)[0] for a, b in pairwise(ends)]
    length = math.sqrt(2) * math.exp(special.gammaln((d + 1) / 2) - special.gammaln(d / 2))
    return float(length * np.sum(parts))
