"""Where networks are critical, chi_J* = 1, and the power with which their Jacobians change there.

The critical sets are those of arXiv:2111.12143 (Doshi, He and Gromov 2023) as solutions of the recurrences in
``criticality``; nothing is tabulated. Half-stable points are in the sense of Roberts, Yaida and Hanin 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from phasescope.theory.activations import Activation, a_phi, activation
from phasescope.theory.criticality import (
    FLAT,
    Block,
    Norm,
    a_block,
    a_norm,
    added_power,
    chi_jacobian,
    chi_kernel,
    fixed_kernel,
    jacobian_gain,
    kernel_power,
    kernel_step,
)
from phasescope.theory.domains import a_kernel, checked, not_negative, optional, positive
from phasescope.theory.gaussian_moments import gaussian_mean
from phasescope.vocabulary import BadInput

__all__ = [
    "CriticalPoint",
    "critical_bias",
    "critical_exponent",
    "critical_points",
    "critical_weights",
    "stretched_length",
]

Kind = Literal["every kernel", "attracting", "repelling", "attracts from below", "attracts from above"]


def _below_one(residual: float) -> float:
    if not 0 <= residual < 1:
        raise BadInput(f"residual is {residual}: a critical set of its own needs 0 <= mu < 1; at mu = 1 see fixed_chi.")
    return (1 - residual) * (1 + residual)


@checked(phi=a_phi, kernel=a_kernel, norm=a_norm, residual=not_negative)
def critical_weights(
    phi: Activation | str, kernel: float, norm: Norm = "none", residual: float = 0.0
) -> tuple[float, float]:
    """Return (sigma_w^2, sigma_b^2) at which ``kernel`` is fixed and chi_J = 1: the critical line by its kernel.

    sigma_w^2 = (1 - mu^2) / g(K), sigma_b^2 = (1 - mu^2) K - sigma_w^2 a(K). Domain: mu < 1, any norm but ``batch``
    (whose chi_J* = mu^2 + (1 - mu^2) B/V no weights can change). Raises ``BadInput`` outside, and where sigma_b^2 would
    be negative: no critical network has that kernel.
    """
    rest, phi = _below_one(residual), Block(phi, 1.0, norm=norm).phi
    if norm == "batch":
        raise BadInput("norm is 'batch': no weights make it critical at mu < 1; its chi_J* does not depend on them.")
    weight = rest / jacobian_gain(phi, norm, kernel)
    bias = rest * kernel - weight * kernel_power(phi, norm, kernel)
    if bias < -1e-12 * max(kernel, weight):
        raise BadInput(
            f"kernel is {kernel} for {phi.name}, norm {norm!r}: critical for no sigma_b^2 >= 0 (it were {bias:.4g})."
        )
    return weight, max(bias, 0.0)


@checked(phi=a_phi, weight_variance=positive, norm=a_norm, residual=not_negative)
def critical_bias(phi: Activation | str, weight_variance: float, norm: Norm = "none", residual: float = 0.0) -> float:
    """Return the least sigma_b^2 >= 0 at which a network with this sigma_w^2 is critical, chi_J* = 1.

    With a norm on preactivations it is sigma_w^2 (B(1) - A(1)) for every mu < 1. Otherwise the critical kernel is
    searched in [1e-6, 1e6]. Raises ``BadInput`` where there is none.
    """
    rest, phi = _below_one(residual), Block(phi, 1.0, norm=norm).phi
    if norm.endswith("pre"):
        unit = phi.moments(1.0)
        found = [weight_variance * (unit.slope_square - unit.mean_square)]
    elif norm == "none" and _homogeneous(phi):
        # chi_J = 1 then holds for every sigma_b^2, but above 0 the kernel grows with depth
        found = [0.0] if abs(weight_variance * phi.moments(1.0).slope_square - rest) <= FLAT else []
    else:
        kernels = _roots(lambda k: weight_variance * _gain(phi, norm, k) - rest, 1e-6, 1e6, 200)
        found = [critical_bias_at(phi, weight_variance, norm, rest, k) for k in kernels]
        at_zero = norm == "none" and abs(weight_variance * phi.moments(0.0).slope_square - rest) <= FLAT
        if at_zero and kernel_power(phi, norm, 0.0) == 0:
            found.append(0.0)
    allowed = [bias for bias in found if bias >= -1e-12]
    if norm == "batch" or not allowed:
        raise BadInput(
            f"weight_variance is {weight_variance} for {phi.name}, norm {norm!r}: no sigma_b^2 >= 0 makes it critical; "
            "critical_weights gives the line by its kernel."
        )
    return max(min(allowed), 0.0)


def critical_bias_at(phi: Activation, weight_variance: float, norm: Norm, rest: float, kernel: float) -> float:
    """Return the sigma_b^2 that keeps ``kernel`` fixed at this sigma_w^2, with ``rest`` = 1 - mu^2; may be negative."""
    return rest * kernel - weight_variance * kernel_power(phi, norm, kernel)


def _gain(phi: Activation, norm: Norm, kernel: float) -> float:
    # on the way of a search: where activations no longer vary, the gain is out of all bounds
    try:
        return jacobian_gain(phi, norm, kernel)
    except BadInput:
        return float(np.inf)


def _roots(f: Callable[[float], float], low: float, high: float, points: int) -> list[float]:
    """Return the simple roots of ``f`` in [low, high] that a log-spaced grid separates."""
    grid = np.geomspace(low, high, points)
    values = np.array([f(float(k)) for k in grid])
    with np.errstate(invalid="ignore"):
        changes = np.flatnonzero(np.isfinite(values[:-1] * values[1:]) & (values[:-1] * values[1:] < 0))
    return [float(brentq(f, grid[i], grid[i + 1], xtol=1e-300, rtol=1e-15)) for i in changes]


def _homogeneous(phi: Activation) -> bool:
    """Say whether phi(x) is proportional to |x| on each side of 0: then A = K B, and B is the same at every kernel."""
    here, there = phi.moments(0.1), phi.moments(10.0)
    flat = abs(here.slope_square - there.slope_square) <= FLAT * there.slope_square
    return flat and abs(there.mean_square - 10 * there.slope_square) <= FLAT * there.mean_square


@dataclass(frozen=True)
class CriticalPoint:
    """Weights at which both chi_J = 1 and chi_K = 1, their fixed kernel, and from where that kernel attracts.

    ``every kernel``: ReLU-like, each kernel is fixed (``kernel`` is NaN). ``attracting`` kernels (K* = 0 for erf and
    tanh) are reached as 1/depth. Half-stable ones attract from one side only, by the sign of A'' there.
    """

    kernel: float
    weight_variance: float
    bias_variance: float
    kind: Kind


@checked(phi=a_phi, residual=not_negative)
def critical_points(phi: Activation | str, residual: float = 0.0) -> list[CriticalPoint]:
    """Return the points with chi_J = chi_K = 1 of blocks without norm, mu < 1, kernels 0 and 1e-3 to 1e3, by kernel.

    Both conditions leave sigma_w^2 = (1 - mu^2) / B(K) and B(K) = dA/dK, that is E[phi phi''] = 0.

    >>> [round(p.weight_variance, 8) for p in critical_points("gelu") if p.kernel > 0]
    [1.98305826]
    """
    rest, phi = _below_one(residual), activation(phi)
    if _homogeneous(phi):
        return [CriticalPoint(np.nan, rest / phi.moments(1.0).slope_square, 0.0, "every kernel")]
    found = []
    origin = phi.moments(0.0)
    if origin.mean_square < 1e-30 and origin.slope_square > 0:
        found.append(_point(phi, 0.0, rest, residual))
    for kernel in _roots(lambda k: phi.moments(k).growth - phi.moments(k).slope_square, 1e-3, 1e3, 80):
        weight = rest / phi.moments(kernel).slope_square
        if critical_bias_at(phi, weight, "none", rest, kernel) >= 0:
            found.append(_point(phi, kernel, rest, residual))
    return found


def _point(phi: Activation, kernel: float, rest: float, residual: float) -> CriticalPoint:
    weight = rest / phi.moments(kernel).slope_square
    bias = max(critical_bias_at(phi, weight, "none", rest, kernel), 0.0)
    block = Block(phi, weight, bias, residual=residual)
    if kernel == 0:
        return CriticalPoint(0.0, weight, bias, "attracting" if kernel_step(block, 1e-3) < 1e-3 else "repelling")
    bends_up = curvature(phi, kernel)[0] > 0
    return CriticalPoint(kernel, weight, bias, "attracts from below" if bends_up else "attracts from above")


def curvature(phi: Activation, kernel: float) -> tuple[float, float]:
    """Return (d^2A/dK^2, dB/dK) at ``kernel`` > 0, by Gaussian integration by parts: no derivative of phi' is needed.

    A'' = E[phi^2 (z^4 - 6 z^2 + 3)] / (4 K^2), B' = E[phi'^2 (z^2 - 1)] / (2 K).
    """
    scale = float(np.sqrt(kernel))
    bend = gaussian_mean(lambda x: phi.value(x) ** 2 * ((x / scale) ** 4 - 6 * (x / scale) ** 2 + 3), scale, phi.kinks)
    slope = gaussian_mean(lambda x: phi.slope(x) ** 2 * ((x / scale) ** 2 - 1), scale, phi.kinks)
    return bend.value / (4 * kernel**2), slope.value / (2 * kernel)


# -- exponents ---------------------------------------------------------------------------------------------------------


@checked(block=a_block, kernel=optional(a_kernel))
def critical_exponent(block: Block, kernel: float | None = None) -> float:
    """Return zeta of J^{l0,l} ~ (l / l0)^(-zeta) of a critical block; negative where J grows.

    0 where the kernel settles exponentially or not at all. Where it settles as 1/l, zeta = 2 B' / A'' at K* > 0, and at
    K* = 0 the limit of (1 - chi_J) K / (K - K') (derived; 1 for every odd activation). At mu = 1 with a norm the kernel
    grows as l and zeta = -sigma_w^2 K g(K) / (sigma_w^2 a + sigma_b^2) at large K. ``kernel`` names the fixed point
    where it is half-stable. It is the limit of large depth: at GELU's half-stable point J goes as l^65, but from 1.3 K*
    the slope of log J over log l is 13 at depth 3,000 and 62 at 10^6, so no depth that is trained shows it. Raises
    ``BadInput`` for blocks that are not critical or whose J is no power of depth.
    """
    if kernel is None:
        kernel = fixed_kernel(block)
    if np.isinf(kernel):
        return -_growth_power(block)
    chi = chi_jacobian(block, kernel)
    if abs(chi - 1) > 1e-9:
        raise BadInput(f"chi_J* is {chi:.6g}: an exponent needs a critical block, chi_J* = 1; see critical_weights.")
    homogeneous = block.norm == "none" and _homogeneous(block.phi)
    if homogeneous or abs(chi_kernel(block, kernel) - 1) > 1e-7:
        return 0.0
    if kernel > 0:
        bend, slope = curvature(block.phi, kernel)
        return 2 * slope / bend
    ratios = [_drift_ratio(block, 0.005 / 2**i) for i in range(5)]
    for order in range(1, 5):  # Richardson: each pass removes the next power of K
        ratios = [(2**order * b - a) / (2**order - 1) for a, b in pairwise(ratios)]
    return ratios[0]


def _drift_ratio(block: Block, kernel: float) -> float:
    return kernel * (1 - chi_jacobian(block, kernel)) / (kernel - kernel_step(block, kernel))


def _growth_power(block: Block) -> float:
    """Return p of J ~ l^p where the kernel grows as l."""
    if block.residual != 1 or block.norm == "none":
        raise BadInput(
            f"the kernel grows without bound (norm {block.norm!r}, mu = {block.residual:g}): J is a power of depth "
            "only at mu = 1 with a norm."
        )
    large, larger = (_growth_at(block, kernel) for kernel in (1e20, 1e22))
    if abs(larger / large - 1) > 1e-6:
        raise BadInput(f"{block.phi.name} with norm {block.norm!r}: J is no power of depth; see stretched_length.")
    return larger


def _growth_at(block: Block, kernel: float) -> float:
    added = added_power(block, 1.0) if block.norm != "none" else np.nan
    return block.weight_variance * kernel * jacobian_gain(block.phi, block.norm, kernel) / added


@checked(block=a_block)
def stretched_length(block: Block) -> float:
    """Return lambda of log J ~ sqrt(l / lambda): bounded activations without norm at mu = 1; in blocks.

    The kernel grows as k l, k = sigma_w^2 a + sigma_b^2 with a the mean of phi^2 over both ends, and B ~ b / sqrt(K)
    with b the integral of phi'^2 over sqrt(2 pi), so lambda = k / (2 sigma_w^2 b)^2. For erf it is
    pi^2 (sigma_w^2 + sigma_b^2) / (16 sigma_w^4). Raises ``BadInput`` for other blocks and for activations that grow.
    """
    if block.norm != "none" or block.residual != 1 or block.weight_variance == 0:
        raise BadInput(
            f"norm {block.norm!r}, mu = {block.residual:g}: the stretched law needs norm 'none', mu = 1, sigma_w^2 > 0."
        )
    phi, far = block.phi, 1e12
    ends = phi.value(np.array([-far, far, -far / 10, far / 10]))
    if np.abs(ends[:2] - ends[2:]).max() > 1e-9:
        raise BadInput(f"{phi.name} is not bounded: the stretched law needs an activation with two finite limits.")
    # at K = 1e24 the Gaussian density is flat over the slope's support, so sqrt(K) B(K) is its integral
    slope = np.sqrt(1e24) * phi.moments(1e24).slope_square
    growth = block.weight_variance * float((ends[:2] ** 2).mean()) + block.bias_variance
    return float(growth / (2 * block.weight_variance * slope) ** 2)
