"""How a signal and its gradient propagate through a deep network at initialization, at infinite width.

Source: Doshi, He and Gromov 2023, arXiv:2111.12143 (partial Jacobians); recurrences for RMSNorm, BatchNorm and
normalized activations with a residual are derived here. A block is ``h' = W phi(h) + b + mu h`` with N inputs, W ~ N(0,
sigma_w^2 / N) or sigma_w times an orthogonal matrix, b ~ N(0, sigma_b^2). The kernel is K = E[h_i^2]. The averaged
partial Jacobian norm J^{l0,l} = E[(1/N) sum_ij (dh^l_i / dh^l0_j)^2] grows by the factor chi_J per block:

    K' = sigma_w^2 a(K) + sigma_b^2 + mu^2 K        chi_J = sigma_w^2 g(K) + mu^2

    norm            acts as              a                  g
    none            W phi(h)             A(K)               B(K)
    layer pre       W phi(LN(h))         A(1)               B(1) / K
    rms pre         W phi(RMS(h))        A(1)               B(1) / K
    layer post      W LN(phi(h))         1                  B(K) / V(K)
    rms post        W RMS(phi(h))        1                  B(K) / A(K)
    batch           W phi(BN(h))         V(1), no sigma_b   B(1) / K

with A, B, V as in ``activations``. For ``batch`` (batch -> infinity, inputs in general position) K is the variance of a
neuron over the batch, and J sums over the samples of both sides. Gaussian and orthogonal weights share all of this;
they part at finite width and in the spectrum of the Jacobian (``finite_width``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
from scipy.optimize import brentq

from phasescope.theory.activations import Activation, activation
from phasescope.theory.domains import a_kernel, checked, depth, kind, not_negative, number, scale, shown
from phasescope.vocabulary import Array, BadInput, nearest

__all__ = [
    "Block",
    "apjn",
    "chi_jacobian",
    "chi_kernel",
    "correlation_length",
    "fixed_chi",
    "fixed_kernel",
    "kernel_length",
    "kernel_step",
    "kernel_trajectory",
    "log_apjn",
    "phase",
]

Norm = Literal["none", "layer pre", "rms pre", "layer post", "rms post", "batch"]
Weights = Literal["gaussian", "orthogonal"]
NORMS: tuple[str, ...] = get_args(Norm)
FLAT = 1e-12  # a multiplier this near to 1 is 1: what is left is rounding
SMALLEST, LARGEST = 1e-12, 1e12  # kernels beyond which a trajectory is taken to go to 0 or to infinity


@dataclass(frozen=True)
class Block:
    """One block: activation (or its name), sigma_w^2, sigma_b^2, ``norm``, residual strength mu, and kind of weights.

    Raises ``BadInput`` for negative or infinite numbers and for unknown words.

    >>> Block("relu", 2.0).norm
    'none'
    """

    activation: Activation | str
    weight_variance: float
    bias_variance: float = 0.0
    norm: Norm = "none"
    residual: float = 0.0
    weights: Weights = "gaussian"

    def __post_init__(self) -> None:
        activation(self.activation)
        for name in ("weight_variance", "bias_variance", "residual"):
            object.__setattr__(self, name, not_negative(name, getattr(self, name)))
        a_norm("norm", self.norm)
        known = get_args(Weights)
        if not isinstance(self.weights, str) or self.weights not in known:
            raise BadInput(f"there is no {shown(self.weights)}{nearest(str(self.weights), known)}")

    @property
    def phi(self) -> Activation:
        """The activation itself, looked up where it was given by name."""
        return activation(self.activation)


def a_norm(name: str, value: Any) -> Norm:
    """Read one of ``NORMS``."""
    if not isinstance(value, str) or value not in NORMS:
        raise BadInput(f"there is no {shown(value)}{nearest(value if isinstance(value, str) else '', NORMS)}")
    return value  # type: ignore[return-value]


a_block = kind(Block, say="a theory.criticality.Block, such as Block('relu', 2.0)")


def _checked(kernel: float, norm: str = "none") -> float:
    if not 0 <= kernel < np.inf or (kernel == 0 and norm in ("layer pre", "rms pre", "batch")):
        bound = (
            "at least 0" if norm in ("none", "layer post", "rms post") else "above 0, or there is nothing to normalize"
        )
        raise BadInput(f"kernel is {kernel}: it must be finite and {bound}.")
    return float(kernel)


def kernel_power(phi: Activation, norm: str, kernel: float) -> float:
    """Return a(K) of the table above: what sigma_w^2 multiplies in the next kernel."""
    if norm.endswith("post"):
        return 1.0
    if norm == "none":
        return phi.moments(kernel).mean_square
    unit = phi.moments(1.0)
    return unit.variance if norm == "batch" else unit.mean_square


def jacobian_gain(phi: Activation, norm: str, kernel: float) -> float:
    """Return g(K) of the table above: what sigma_w^2 multiplies in chi_J."""
    if norm in ("layer pre", "rms pre", "batch"):
        return phi.moments(1.0).slope_square / _checked(kernel, norm)
    here = phi.moments(kernel)
    if norm == "none":
        return here.slope_square
    spread = here.variance if norm == "layer post" else here.mean_square
    # V = A - m^2 is a difference: below its own rounding there is no digit left to divide by
    if not spread > 1e-13 * here.mean_square:
        raise BadInput(f"kernel is {kernel}: activations must vary there for norm {norm!r}; take a larger kernel.")
    return here.slope_square / spread


@checked(block=a_block, kernel=a_kernel)
def kernel_step(block: Block, kernel: float) -> float:
    """Return K^{l+1} from K^l = ``kernel`` (for ``batch``, the variance over the batch)."""
    return next_kernel(block, kernel)


def next_kernel(block: Block, kernel: float) -> float:
    """Return ``kernel_step``, inside loops: the block has been looked at."""
    return added_power(block, kernel) + block.residual**2 * kernel


def added_power(block: Block, kernel: float) -> float:
    """Return sigma_w^2 a(K) + sigma_b^2, the part of the next kernel that the residual does not carry."""
    bias = 0.0 if block.norm == "batch" else block.bias_variance
    return block.weight_variance * kernel_power(block.phi, block.norm, _checked(kernel, block.norm)) + bias


@checked(block=a_block, kernel=a_kernel)
def chi_jacobian(block: Block, kernel: float) -> float:
    """Return chi_J^l = J^{l0,l+1} / J^{l0,l} at K^l = ``kernel``; dimensionless, 1 is critical."""
    return _multiplier(block, kernel)


def _multiplier(block: Block, kernel: float) -> float:
    gain = jacobian_gain(block.phi, block.norm, _checked(kernel, block.norm))
    return block.weight_variance * gain + block.residual**2


@checked(block=a_block, kernel=a_kernel)
def chi_kernel(block: Block, kernel: float) -> float:
    """Return chi_K = dK^{l+1} / dK^l at ``kernel``: sigma_w^2 E[phi'^2 + phi phi''] + mu^2, or mu^2 with a norm."""
    if block.norm != "none":
        _checked(kernel, block.norm)
        return block.residual**2
    growth = block.phi.moments(_checked(kernel)).growth
    if np.isnan(growth):
        raise BadInput(f"kernel is 0 and {block.phi.name}(0) is not 0: the kernel's derivative needs a kernel above 0.")
    return block.weight_variance * growth + block.residual**2


@checked(block=a_block, start=a_kernel, depth=depth)
def kernel_trajectory(block: Block, start: float, depth: int) -> Array:
    """Return K^{l0}, ..., K^{l0 + depth} (depth + 1,) from K^{l0} = ``start``; ``BadInput`` for a negative depth."""
    kernels = [_checked(start, block.norm)]
    for _ in range(depth):
        kernels.append(next_kernel(block, kernels[-1]))
    return np.array(kernels)


@checked(block=a_block, start=a_kernel, depth=depth)
def log_apjn(block: Block, start: float, depth: int) -> Array:
    """Return log J^{l0,l} for l = l0, ..., l0 + depth (depth + 1,) from K^{l0} = ``start``; natural logarithm."""
    kernels = kernel_trajectory(block, start, depth)
    chi = np.array([_multiplier(block, float(k)) for k in kernels[:-1]])
    with np.errstate(divide="ignore"):  # sigma_w = mu = 0 passes nothing on
        return np.concatenate([[0.0], np.cumsum(np.log(chi))])


@checked(block=a_block, start=a_kernel, depth=depth)
def apjn(block: Block, start: float, depth: int) -> Array:
    """Return J^{l0,l} for l = l0, ..., l0 + depth (depth + 1,), J^{l0,l0} = 1; infinite where float64 overflows."""
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(log_apjn(block, start, depth)))


@checked(block=a_block, start=scale)
def fixed_kernel(block: Block, start: float = 1.0) -> float:
    """Return the kernel that a deep network tends to from ``start``: a number, 0, or infinity.

    Without norm: the first root of K' = K in the direction of the first step, which is the limit where K' increases
    with K, as it does for every built-in activation; kernels past 1e-12 and 1e12 count as 0 and infinity. With a norm
    before the weights or on activations K' is affine and K* = (sigma_w^2 a + sigma_b^2) / (1 - mu^2).
    """
    if block.norm != "none":
        rest, added = (1 - block.residual) * (1 + block.residual), added_power(block, 1.0)
        return added / rest if rest > 0 else np.inf if added > 0 else start

    def excess(kernel: float) -> float:
        return next_kernel(block, kernel) - kernel

    first = excess(start)
    if abs(first) <= FLAT * start:
        return start
    end = max(LARGEST, 2 * start) if first > 0 else min(SMALLEST, start / 2)
    grid = np.geomspace(start, end, 160)
    for low, high in pairwise(float(k) for k in grid):
        root = _first_root(excess, lambda kernel: chi_kernel(block, kernel) - 1, low, high)
        if root is not None:
            return root
    return float(np.inf) if first > 0 else 0.0


def _first_root(f: Callable[[float], float], slope: Callable[[float], float], low: float, high: float) -> float | None:
    """Return the root of ``f`` in [low, high] next to ``low``, also where two are close or one is only touched."""
    sign = np.sign(f(low))
    if f(high) * sign <= 0:
        return float(brentq(f, low, high, xtol=1e-300, rtol=1e-15))
    if slope(low) * slope(high) >= 0:
        return None
    turn = float(brentq(slope, low, high, xtol=1e-300, rtol=1e-15))
    if abs(f(turn)) <= FLAT * turn:
        return turn
    return float(brentq(f, low, turn, xtol=1e-300, rtol=1e-15)) if f(turn) * sign < 0 else None


@checked(block=a_block, start=scale)
def fixed_chi(block: Block, start: float = 1.0) -> float:
    """Return chi_J* = lim chi_J^l, reached from kernel ``start``: below 1 ordered, 1 critical, above 1 chaotic.

    Where the kernel grows without bound it is the limit of chi_J at large kernels, read at K = 1e24.
    """
    kernel = fixed_kernel(block, start)
    return chi_jacobian(block, 1e24 if np.isinf(kernel) else kernel)


@checked(block=a_block, start=scale, tolerance=number(0, 1))
def phase(block: Block, start: float = 1.0, tolerance: float = 1e-9) -> Literal["ordered", "critical", "chaotic"]:
    """Return the phase by chi_J*: gradients vanish (ordered), keep their size up to powers (critical), or explode."""
    distance = fixed_chi(block, start) - 1
    return "critical" if abs(distance) <= tolerance else "ordered" if distance < 0 else "chaotic"


@checked(block=a_block, start=scale)
def correlation_length(block: Block, start: float = 1.0) -> float:
    """Return xi = 1 / |log chi_J*| in blocks: off criticality J ~ exp(-+ depth / xi). Infinite on the critical set."""
    return length(fixed_chi(block, start))


@checked(block=a_block, start=scale)
def kernel_length(block: Block, start: float = 1.0) -> float:
    """Return 1 / |log chi_K*| in blocks, the depth over which the kernel forgets where it started.

    Raises ``BadInput`` where the kernel has no finite fixed point.
    """
    kernel = fixed_kernel(block, start)
    if np.isinf(kernel):
        raise BadInput("the kernel grows without bound: a kernel length needs a fixed point, so lower sigma_w or mu.")
    return length(abs(chi_kernel(block, kernel)))


def length(multiplier: float) -> float:
    """Return the depth in blocks over which a factor ``multiplier`` > 0 per block changes things e-fold."""
    if multiplier < 0:
        raise BadInput(f"multiplier is {multiplier}: it must be at least 0.")
    return (
        float(np.inf) if abs(multiplier - 1) <= FLAT else 0.0 if multiplier == 0 else float(1 / abs(np.log(multiplier)))
    )
