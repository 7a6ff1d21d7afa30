"""What becomes of models that are fitted to their own samples. Gerstgrasser et al. 2024, arXiv:2404.01413.

Letters: T samples per iteration, d inputs, n = 1, 2, ... fits; the first is to real data. Three policies for what
fit n sees: the newest T ("replace"), all n T so far ("accumulate"), or T drawn anew from all ("subsample").
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from scipy import special

from phasescope.theory.domains import checked, count, fits, not_negative, positive, whole, word
from phasescope.vocabulary import Array, BadInput

__all__ = [
    "ACCUMULATION_BOUND",
    "density_variances",
    "error_growth",
    "first_error",
    "gaussian_limit",
    "gaussian_variances",
    "linear_errors",
    "subsample_growth",
    "typical_variances",
]

Policy = Literal["replace", "accumulate", "subsample"]
policy_of = word(*get_args(Policy))
known_policy = word("replace", "accumulate")  # of these two the variance is known
ACCUMULATION_BOUND = float(np.pi**2 / 6)  # of the sum of 1/i^2, and so of accumulation's error over the first fit's


def _linear(inputs: int, samples: int) -> None:
    if samples < inputs + 2:
        raise BadInput(
            f"samples is {samples} with {inputs} inputs: the error is finite for T >= d + 2 = {inputs + 2} only."
        )


@checked(variance=positive, inputs=count, samples=count)
def first_error(variance: float, inputs: int, samples: int) -> float:
    """Return E|w_1 - w*|^2 = s^2 d/(T - d - 1) of least squares on T samples x ~ N(0, I_d) with noise variance s^2.

    The domain is T >= d + 2; at T = d + 2 it is s^2 d with a heavy tail.
    """
    _linear(inputs, samples)
    return variance * inputs / (samples - inputs - 1)


@checked(policy=policy_of, fits=fits, variance=positive, inputs=count, samples=count)
def linear_errors(policy: Policy, fits: int, variance: float, inputs: int, samples: int) -> Array:
    """Return E|w_n - w*|^2 for n = 1 ... ``fits`` where each fit's labels come from the fit before, with fresh noise.

    Replace: n times the first error, exact (Dohmatob et al. 2024), for one design and for fresh ones.
    Accumulate: times sum_{i <= n} 1/i^2 <= pi^2/6; exact where one design X is used again (derived here), at fresh
    designs an upper bound (the paper's theorem). Subsample: derived here for large T/d, see ``subsample_growth``.
    """
    return first_error(variance, inputs, samples) * error_growth(policy, fits)


@checked(policy=policy_of, fits=fits)
def error_growth(policy: Policy, fits: int) -> Array:
    """Return the error of fits 1 ... ``fits`` over that of the first (fits,); the formulas of ``linear_errors``."""
    n = np.arange(1, fits + 1, dtype=np.float64)
    if policy == "replace":
        return n
    if policy == "accumulate":
        return np.cumsum(1 / n**2)
    return subsample_growth(fits)


@checked(fits=whole(1, 500))
def subsample_growth(fits: int) -> Array:
    """Return the growth (fits,) where fit n sees T points drawn without replacement from the n T so far.

    Derived here for T >> d: e_n = (1/n) sum_{j < n} e_j + xi_n, e_0 = 0, for one n-th of the points has labels of fit
    j. The noises xi of two fits share the points that both drew, Cov(xi_m, xi_n) = 1/max(m, n) of the variance.
    """
    n = np.arange(1, fits + 1)
    shared = 1.0 / np.maximum(n[:, None], n[None])
    np.fill_diagonal(shared, 1.0)
    carried = np.tril(1.0 / n[:, None] * np.ones(fits), -1)  # row n: the weight 1/n of each earlier error
    response = np.linalg.inv(np.eye(fits) - carried)
    return np.asarray(np.einsum("ij,jk,ik->i", response, shared, response))


@checked(policy=known_policy, fits=fits, samples=whole(2))
def gaussian_variances(policy: Policy, fits: int, samples: int) -> Array:
    """Return E[var_n] (fits,) of Gaussians fitted by maximum likelihood to their own samples; true variance 1.

    Replace: (1 - 1/T)^n. Accumulate: prod_{k <= n} (1 - 1/(T k^2)), exact (derived here), whose limit is
    sin(x)/x at x = pi/sqrt(T). Only these two policies are known.
    """
    return density_variances(policy, fits, samples, 0.0)


@checked(policy=known_policy, fits=fits, samples=whole(2), square_bandwidth=not_negative)
def density_variances(policy: Policy, fits: int, samples: int, square_bandwidth: float) -> Array:
    """Return E[variance of the data of fit n] (fits,), real data of variance 1, for Gaussian kernel density estimators.

    A sample is a data point plus noise of variance h^2, so that with w = var_n + h^2, derived here and exact:
    replace var_{n+1} = (1 - 1/T) w; accumulate var_{n+1} = (n var_n + (1 - 1/(T (n + 1))) w)/(n + 1). Replaced data
    spread without bound until T h^2, accumulated data as h^2 log n. h = 0 gives fitted Gaussians.
    """
    found = [1 - 1 / samples]
    for n in range(1, fits):
        wide = found[-1] + square_bandwidth
        if policy == "replace":
            found.append((1 - 1 / samples) * wide)
        else:
            found.append((n * found[-1] + (1 - 1 / (samples * (n + 1))) * wide) / (n + 1))
    return np.array(found)


@checked(samples=whole(2))
def gaussian_limit(samples: int) -> float:
    """Return what accumulation leaves of a Gaussian's variance after endless fits, sin(x)/x at x = pi/sqrt(T)."""
    return float(np.sinc(1 / np.sqrt(samples)))


@checked(fits=fits, samples=whole(2))
def typical_variances(fits: int, samples: int) -> Array:
    """Return exp E[log var_n] (fits,) under replacement: what one chain does, far below the mean.

    T var_{n+1}/var_n is chi-square with T - 1 degrees of freedom, so that log var falls by -(digamma((T - 1)/2) +
    log(2/T)) per fit, exactly. The mean (1 - 1/T)^n is carried by few chains.
    """
    k = (samples - 1) / 2
    # digamma(k) - log k by its series where both are large, and log k less log(T / 2)
    r = 1 / k**2
    near = -0.5 / k - r / 12 * (1 - r / 10 * (1 - r * (10 / 21 - r / 2)))
    step = (special.digamma(k) - np.log(k) if k < 30 else near) + np.log1p(-1 / samples)
    return np.asarray(np.exp(step * np.arange(1, fits + 1)))
