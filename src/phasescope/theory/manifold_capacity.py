"""Maximum manifold capacity: the bound, what uniform embeddings attain, and how free embeddings approach it.

P data, D dimensions, K views. The loss is minus the nuclear norm of the matrix of centroids M (P, D), whose rows lie in
the unit ball. Schaeffer et al. 2024, arXiv:2406.09366, after Yerxa et al. 2023, arXiv:2303.03307.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from phasescope.theory.domains import array, checked, count, number, positive, real, whole
from phasescope.vocabulary import Array, BadInput

__all__ = [
    "aligned_bound",
    "capacity_bound",
    "free_percent_error",
    "two_row_norm",
    "uniform_percent_error",
    "uniform_potential",
]


@checked(data=count, dimension=count)
def capacity_bound(data: int, dimension: int) -> float:
    """Return sqrt(P min(P, D)), the largest nuclear norm of P rows in the unit ball of D dimensions (Prop. 2.3).

    It is P as long as P <= D. Sum of squares at most P, over at most min(P, D) singular values: Cauchy-Schwarz. Raises
    ``BadInput`` below 1.
    """
    return math.sqrt(data * min(data, dimension))


@checked(data=count, dimension=count, views=count, cosine=number(-1, 1))
def aligned_bound(data: int, dimension: int, views: int, cosine: float) -> float:
    """Return the largest nuclear norm when two views of a datum have the mean ``cosine`` (derived here).

    A centroid of K unit vectors has the squared norm (1 + (K - 1) cosine) / K, so that the bound shrinks by its root.
    Raises ``BadInput`` for K < 1 and a cosine outside [-1 / (K - 1), 1], which K unit vectors can not have.
    """
    lowest = -1 / (views - 1) if views > 1 else -1.0
    if cosine < lowest - 1e-12:
        raise BadInput(
            f"views = {views}, cosine = {cosine}: the domain is views >= 1, -1 / (views - 1) <= cosine <= 1."
        )
    return capacity_bound(data, dimension) * math.sqrt(max(1 + (views - 1) * cosine, 0.0) / views)


@checked(data=positive, dimension=positive)
def uniform_percent_error(data: float, dimension: float) -> float:
    """Return the fraction of the bound that P embeddings uniform on the sphere miss, as P, D grow at fixed P / D.

    1 - E[sqrt(x)] under the Marchenko-Pastur law of ratio c = min(P, D) / max(P, D), which is
    1 - 2F1(1/2, -1/2; 2; c) (derived here). About c / 8 for small c, the O(P / D) and O(D / P) of Thm. 2.5, and largest
    at P = D: 1 - 8 / (3 pi) = 0.1512. Raises ``BadInput`` for sizes that are not positive.
    """
    c = min(data, dimension) / max(data, dimension)
    if c > 0.25:
        return float(1 - special.hyp2f1(0.5, -0.5, 2, c))
    # the series without its first term, the 1: at small c nothing would be left of the difference
    n = np.arange(1, 30)
    ratios = (n - 0.5) * (n + 0.5) / ((n + 1) * (n + 2)) * c
    return float(c / 8 * (1 + np.cumprod(ratios).sum()))


@checked(angle=real)
def two_row_norm(angle: float) -> float:
    """Return the nuclear norm of two unit rows at ``angle`` (rad): sqrt(2 + 2 |sin angle|), 2 when orthogonal.

    (s1 + s2)^2 = ||M||_F^2 + 2 |det M|. Raises ``BadInput`` for an angle that is not finite.
    """
    return math.sqrt(2 + 2 * abs(math.sin(angle)))


@checked(start=number(0, 1, open_low=True), time=array(low=0), data=count, dimension=count)
def free_percent_error(start: float, time: Array | float, data: int, dimension: int) -> Array:
    """Return the error of free embeddings after a gradient flow of ``time`` that keeps ||M||_F^2 = P (derived here).

    The attained share q = 1 - error obeys dq/dt = sqrt(n / P) (1 - q^2), n = min(P, D): q = tanh(artanh q(0) +
    sqrt(n / P) t), for a matrix of full rank. On the sphere of each row the flow is slower, never faster. Raises
    ``BadInput`` for a ``start`` outside (0, 1] and negative times.
    """
    times = np.asarray(time)
    speed = math.sqrt(min(data, dimension) / data)
    left = np.exp(-2 * speed * times)  # 1 - tanh without the difference: tanh is 1 long before the error is 0
    return np.asarray(2 * start * left / (start * left + (2 - start)))


@checked(dimension=whole(2, 10**6), t=number(0, 100, open_low=True))
def uniform_potential(dimension: int, t: float = 2.0) -> float:
    """Return log E exp(-t |x - y|^2) of two points uniform on the unit sphere: the least uniformity can be, D >= 2.

    -2t + log 0F1(D/2; t^2), since E exp(2t x.y) = 0F1(D/2; t^2). Wang and Isola 2020, arXiv:2005.10242, Sec. 4.1.2;
    the closed form is derived here. Raises ``BadInput`` for D < 2 and t outside (0, 100].
    """
    # the series of 0F1 less its first term, the 1, which would hide the others at small t; for t <= 100 it is all here
    n = np.arange(1, 400)
    terms = np.cumprod(t / n * (t / (dimension / 2 + n - 1)))
    return float(np.log1p(terms.sum()) - 2 * t)
