"""How many patterns a Gaussian kernel density estimator remembers. Schaeffer et al. 2024, arXiv:2402.10202, Sec. 5.

Patterns are uniform on the sphere of radius sqrt(D), the bandwidth is h; mean shift from a pattern must stay near it.
On a sphere this is the modern Hopfield network with beta = 1/h^2. The paper states that the capacity is finite and
exponential in D; the exponent and both laws at finite D are derived here.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from phasescope.theory.associative_memory import log_sphere_mean
from phasescope.theory.domains import checked, number, open_share, whole
from phasescope.vocabulary import BadInput

__all__ = ["bulk_capacity", "capacity_exponent", "memory_capacity", "pair_capacity"]

bandwidth = number(1e-6, 1e6)  # beyond, what is remembered is nothing or more than floats count


@checked(square_bandwidth=bandwidth)
def capacity_exponent(square_bandwidth: float) -> float:
    """Return alpha_c: N ~ exp(alpha_c D) patterns are remembered as D grows.

    alpha_c = 1/h^2 - max_x [x/h^2 + log(1 - x^2)/2]: the stored pattern's weight exp(D/h^2) against the crosstalk of N
    patterns with overlap x. The maximum is at x = (sqrt(h^4 + 4) - h^2)/2. There alpha_c > -log(1 - x^2)/2, so patterns
    with this overlap exist in exponential number: the mean of the crosstalk is its typical value, and alpha_c exact.
    """
    h2 = square_bandwidth
    root = np.sqrt(h2**2 + 4)
    x = 2 / (root + h2)
    # where x nears 1: (1 - x) / h^2 without the difference, and 1 - x^2 = x h^2, which the maximum obeys
    near = np.log(x * h2) if x > 0.5 else np.log1p(-(x**2))
    return float((1 + h2 / (root + 2)) / (root + h2) - near / 2)


@checked(dimension=whole(3, 10**4), square_bandwidth=bandwidth, reach=open_share)
def bulk_capacity(dimension: int, square_bandwidth: float, reach: float = 0.3) -> float:
    """Return the patterns N at which the crosstalk of all others pushes mean shift ``reach`` of the radius away.

    A state at r times a pattern gives it the weight w = 1/(1 + (N - 1) G(r) exp(-D r/h^2)), G(r) = E exp(D r x/h^2)
    over the sphere, and the others' mean overlap is A(r) = d log G/d(D r/h^2). The fixed point r = w + (1 - w) A(r)
    gives N at each r; its largest over r in [1 - reach, 1) is returned. Right where the crosstalk is a sum of many: in
    large D. Its exponent tends to ``capacity_exponent`` from below as alpha_c - 1/D.
    """
    # narrow bandwidths hold states so near their pattern that an even grid misses them all
    close = 1 - reach / 2000 * np.geomspace(1e-6, 0.99, 300)
    r = np.concatenate([np.linspace(1 - reach, 1, 2001)[:-1], close])
    kappa = dimension * r / square_bandwidth
    less, bessel = log_sphere_mean(kappa, dimension, peak=1.0), special.ive(dimension / 2 - 1, kappa)
    # where the Bessel functions underflow, kappa is small for D and the overlap kappa / D
    overlap = np.where(
        bessel > 1e-280, special.ive(dimension / 2, kappa) / np.maximum(bessel, 1e-280), kappa / dimension
    )
    others = np.where(r > overlap, (1 - r) / (1 - overlap), 0.0)  # 1 - w
    weight = np.maximum(1 - others, 1e-300)
    return float(1 + np.max(np.where(r > overlap, others / weight * np.exp(-less), 0.0)))


@checked(dimension=whole(3, 10**4), square_bandwidth=bandwidth)
def pair_capacity(dimension: int, square_bandwidth: float) -> float:
    """Return the patterns N at which half of them have a neighbour within 2 h, where two Gaussians have one mode.

    (N - 1) P(distance < 2 h) = log 2 on the sphere of radius sqrt(D). It grows as D^(D/2), so that pairs limit the
    memory in small D only. Raises ``BadInput`` where 2 h reaches the sphere's diameter.
    """
    apart = 2 * square_bandwidth / dimension  # 1 - the overlap of such neighbours
    if apart >= 2:
        raise BadInput(f"square_bandwidth is {square_bandwidth}: on this sphere give less than D = {dimension}.")
    half = special.betainc((dimension - 1) / 2, 0.5, apart * (2 - apart)) / 2
    share = half if apart <= 1 else 1 - half
    return float(1 + np.log(2) / share)


@checked(dimension=whole(3, 10**4), square_bandwidth=bandwidth, reach=open_share)
def memory_capacity(dimension: int, square_bandwidth: float, reach: float = 0.3) -> float:
    """Return the two limits together, 1/(1/bulk + 1/pair): a rule of thumb between small and large D, not a theorem."""
    bulk, pair = bulk_capacity(dimension, square_bandwidth, reach), pair_capacity(dimension, square_bandwidth)
    return 1 / (1 / bulk + 1 / pair)
