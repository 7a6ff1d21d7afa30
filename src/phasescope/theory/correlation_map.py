"""Two inputs in one network at initialization: their covariance, their correlation, and the neural tangent kernel.

Derived here from the recurrences of ``criticality`` (for ``none`` the map of Poole et al. 2016, arXiv:1606.05340). With
kernels K1, K2, covariance C and correlation c = C / sqrt(K1 K2), and P(K1, K2, c) = E[phi(u) phi(v)]:

    none                 C' = sigma_w^2 P(K1, K2, c) + sigma_b^2 + mu^2 C
    layer pre, rms pre   P(1, 1, c) in place of P
    layer post           (P - m1 m2) / sqrt(V1 V2)
    rms post             P / sqrt(A1 A2)
    batch                P(1, 1, c) - m(1)^2, no sigma_b: two inputs among very many in general position

The derivative dC'/dC at fixed kernels is the two-input multiplier chi(c); at c = 1 it is chi_J.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from phasescope.theory.criticality import Block, a_block, fixed_kernel, length, next_kernel
from phasescope.theory.domains import LARGEST, checked, count, depth, number, positive, real, scale, whole
from phasescope.vocabulary import Array, BadInput

__all__ = [
    "angle_length",
    "chi_pair",
    "correlation_step",
    "correlation_trajectory",
    "covariance_step",
    "fixed_correlation",
    "maximal_learning_rate",
    "ntk",
]


def _correlation(first: float, second: float, covariance: float) -> float:
    c = covariance / (np.sqrt(first) * np.sqrt(second))
    if not abs(c) <= 1 + 1e-9:
        raise BadInput(
            f"covariance is {covariance}: it must lie within -+ sqrt(K1 K2) = {np.sqrt(first * second):.6g}."
        )
    # equal inputs stay equal: rounding must not part them, as ReLU's slope at c = 1 is steep as sqrt(1 - c)
    return float(np.sign(c)) if abs(c) > 1 - 1e-14 else float(c)


def _norms(block: Block, first: float, second: float) -> tuple[tuple[float, float], float, float]:
    """Return the kernels that phi sees, the product of means taken off, and the product of deviations divided by."""
    phi = block.phi
    if block.norm in ("layer pre", "rms pre"):
        return (1.0, 1.0), 0.0, 1.0
    if block.norm == "batch":
        return (1.0, 1.0), phi.moments(1.0).mean ** 2, 1.0
    if block.norm == "none":
        return (first, second), 0.0, 1.0
    one, two = phi.moments(first), phi.moments(second)
    if block.norm == "rms post":
        return (first, second), 0.0, float(np.sqrt(one.mean_square * two.mean_square))
    return (first, second), one.mean * two.mean, float(np.sqrt(one.variance * two.variance))


@checked(block=a_block, first=scale, second=scale, covariance=number(-LARGEST, LARGEST))
def covariance_step(block: Block, first: float, second: float, covariance: float) -> tuple[float, float, float]:
    """Return the kernels and the covariance of two inputs one block later, from those before.

    Raises ``BadInput`` for kernels that are not positive and for |covariance| > sqrt(K1 K2).
    """
    c = _correlation(first, second, covariance)
    seen, means, deviations = _norms(block, first, second)
    overlap = (block.phi.pair(*seen, c) - means) / deviations
    bias = 0.0 if block.norm == "batch" else block.bias_variance
    after = block.weight_variance * overlap + bias + block.residual**2 * covariance
    return next_kernel(block, first), next_kernel(block, second), after


@checked(block=a_block, first=scale, second=scale, covariance=number(-LARGEST, LARGEST))
def chi_pair(block: Block, first: float, second: float, covariance: float) -> float:
    """Return chi(c) = dC^{l+1}/dC^l = (1/N) sum_ij of the product of the two inputs' one-block Jacobians."""
    c = _correlation(first, second, covariance)
    seen, _, deviations = _norms(block, first, second)
    if block.norm in ("layer pre", "rms pre", "batch"):
        deviations = float(np.sqrt(first * second))
    return block.weight_variance * block.phi.slope_pair(*seen, c) / deviations + block.residual**2


@checked(block=a_block, kernel=scale, correlation=number(-1, 1))
def correlation_step(block: Block, kernel: float, correlation: float) -> tuple[float, float]:
    """Return (K', c') one block later for two inputs of one ``kernel``; the correlation map at its fixed point K*."""
    after, _, covariance = covariance_step(block, kernel, kernel, correlation * kernel)
    return after, covariance / after


@checked(block=a_block, kernel=scale, correlation=number(-1, 1), depth=depth)
def correlation_trajectory(block: Block, kernel: float, correlation: float, depth: int) -> tuple[Array, Array]:
    """Return kernels and correlations (depth + 1,) each, of two inputs that start with one ``kernel``."""
    kernels, covariances = [float(kernel)], [float(correlation * kernel)]
    for _ in range(depth):
        after, _, covariance = covariance_step(block, kernels[-1], kernels[-1], covariances[-1])
        kernels.append(after)
        covariances.append(covariance)
    return np.array(kernels), np.array(covariances) / np.array(kernels)


@checked(block=a_block, start=scale)
def fixed_correlation(block: Block, start: float = 1.0) -> float:
    """Return c*, the correlation that deep layers give to generic inputs, at the fixed kernel reached from ``start``.

    1 in the ordered phase and on the critical line; in the chaotic phase the least root of c'(c) = c in [0, 1), which
    attracts. Raises ``BadInput`` where the kernel does not settle at a positive finite value.
    """
    kernel = _settled(block, start)
    if chi_pair(block, kernel, kernel, kernel) <= 1 + 1e-9:
        return 1.0

    def drift(c: float) -> float:
        return correlation_step(block, kernel, c)[1] - c

    if drift(0.0) <= 1e-12:  # odd or centred activations without bias: orthogonal inputs stay so
        return 0.0
    # c' > c at 0 and c' < c just below 1, as the slope at 1 exceeds 1; the kernel's own rounding bounds how near
    return float(brentq(drift, 0.0, 1 - 1e-7, xtol=1e-15, rtol=1e-15)) if drift(1 - 1e-7) < 0 else 1.0


def _settled(block: Block, start: float) -> float:
    kernel = fixed_kernel(block, start)
    if not 0 < kernel < np.inf:
        raise BadInput(f"the kernel tends to {kernel}: a fixed correlation needs a fixed kernel in (0, inf).")
    return kernel


@checked(block=a_block, start=scale)
def angle_length(block: Block, start: float = 1.0) -> float:
    """Return xi_c = 1 / |log chi(c*)| over which correlations settle; Schoenholz et al. 2017, arXiv:1611.01232.

    In the ordered phase it is the correlation length of the Jacobian; in the chaotic phase it is not.
    """
    kernel = _settled(block, start)
    return length(chi_pair(block, kernel, kernel, fixed_correlation(block, start) * kernel))


@checked(block=a_block, kernel=scale, correlation=number(-1, 1), depth=whole(1, 100_000))
def ntk(block: Block, kernel: float, correlation: float, depth: int) -> Array:
    """Return the tangent kernel Theta^l(x, x') of h^1 ... h^depth (depth,), in NTK parametrization, per output.

    ``kernel`` and ``correlation`` are those of h^1. Theta^1 = C^1 and Theta^{l+1} = (C^{l+1} - mu^2 C^l) + chi^l
    Theta^l, which for one input and mu = 0 sums to Theta^L = sum_l K^l J^{l,L}: every layer's parameters, seen through
    the Jacobian behind it. Derived from arXiv:2111.12143; all layers train, the first like the others. Raises
    ``BadInput`` for ``batch``, where the tangent kernel joins all samples, and for depth < 1.
    """
    if depth < 1 or block.norm == "batch":
        raise BadInput(
            f"depth is {depth}, norm {block.norm!r}: the tangent kernel is for depth >= 1 and norms of one sample."
        )
    k, c = float(kernel), float(correlation * kernel)
    found = [c]
    for _ in range(depth - 1):
        chi = chi_pair(block, k, k, c)
        after, _, covariance = covariance_step(block, k, k, c)
        found.append(covariance - block.residual**2 * c + chi * found[-1])
        k, c = after, covariance
    return np.array(found)


@checked(same=positive, other=real, samples=count, outputs=count)
def maximal_learning_rate(same: float, other: float, samples: int, outputs: int = 1) -> float:
    """Return the rate above which gradient descent on the mean squared error grows at initialization, to first order.

    For inputs with tangent kernel ``same`` on and ``other`` off the diagonal, the Hessian's largest eigenvalue is 2 /
    (N K) times (same + (N - 1) other), or (same - other) where other < 0; the rate is 2 over it. The loss is the mean
    over N ``samples`` and K ``outputs``. Derived; a bound of the linearized network, which networks of finite width may
    pass (the maximal initial rates of Iyer, Hanin and Rolnick 2023 are measured beyond it). ``BadInput`` unless the
    kernel is positive semidefinite.
    """
    largest = max(same + (samples - 1) * other, same - other if samples > 1 else same)
    least = min(same + (samples - 1) * other, same - other if samples > 1 else same)
    if samples < 1 or outputs < 1 or same <= 0 or least < -1e-12 * same:
        raise BadInput(
            f"same {same}, other {other}, samples {samples}, outputs {outputs}: the kernel must be positive "
            "semidefinite, and the counts at least 1."
        )
    return samples * outputs / largest
