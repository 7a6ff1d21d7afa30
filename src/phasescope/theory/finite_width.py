"""What depth over width does: fluctuations of the kernel, and the spread of the Jacobian's singular values.

Here Gaussian and orthogonal weights part. To leading order in 1/N, blocks without norm and without residual.
"""

from __future__ import annotations

import numpy as np

from phasescope.theory.criticality import Block, a_block, chi_kernel, kernel_trajectory
from phasescope.theory.domains import a_kernel, checked, depth
from phasescope.theory.gaussian_moments import gaussian_mean
from phasescope.vocabulary import Array, BadInput

__all__ = ["kernel_variance", "singular_value_spread"]


def _plain(block: Block, what: str) -> None:
    if block.norm != "none" or block.residual != 0:
        raise BadInput(f"norm {block.norm!r}, mu = {block.residual:g}: {what} is known for norm 'none' and mu = 0.")


def _beyond_squares(block: Block, kernel: float) -> float:
    """Return E phi^4 - A^2 - 2 (K dA/dK)^2 at K > 0: the mean square of phi^2 less its parts along 1 and z^2 - 1."""
    phi, root, m = block.phi, float(np.sqrt(kernel)), block.phi.moments(kernel)
    part = kernel * m.growth
    return gaussian_mean(
        lambda x: (phi.value(x) ** 2 - m.mean_square - part * ((x / root) ** 2 - 1)) ** 2, root, phi.kinks
    ).value


@checked(block=a_block, start=a_kernel, depth=depth)
def kernel_variance(block: Block, start: float, depth: int) -> Array:
    """Return N Var(K^l) of the measured kernel (1/N) sum_i (h_i^l)^2, l = 1 ... depth + 1, from K^1 = ``start``.

    Gaussian weights: F' = sigma_w^4 (E phi^4 - A^2) + chi_K^2 F, F^1 = 0 (the four-point recursion of Roberts, Yaida
    and Hanin 2022, Ch. 4), and 2 K^2 is added for the last draw of weights. Orthogonal weights (square; sigma_b = 0)
    keep the norm: F' = sigma_w^4 (E phi^4 - A^2 - 2 (K dA/dK)^2) + chi_K^2 F, nothing added (derived). For critical
    ReLU Var(K) / K^2 grows by 5/N and 3/N per layer. First order in depth / width: where it nears 1 the law is
    log-normal.
    """
    _plain(block, "the kernel's variance")
    orthogonal = block.weights == "orthogonal"
    if orthogonal and block.bias_variance != 0:
        raise BadInput(
            f"bias_variance is {block.bias_variance}: with orthogonal weights the variance is known at 0 only."
        )
    kernels = kernel_trajectory(block, start, depth)
    flow = [0.0]
    for kernel in kernels[:-1]:
        m = block.phi.moments(kernel)
        mean = m.mean_square
        # the variance of phi^2 as a mean of squares: E phi^4 - A^2 keeps no digits where phi hardly varies
        fresh = block.phi.average(lambda phi, slope, mean=mean: (phi**2 - mean) ** 2, kernel)  # type: ignore[misc]
        if orthogonal and kernel > 0:  # less the part along z^2 - 1, again as a mean of squares
            fresh = _beyond_squares(block, kernel)
        flow.append(block.weight_variance**2 * fresh + chi_kernel(block, kernel) ** 2 * flow[-1])
    return np.array(flow) + (0.0 if orthogonal else 2 * kernels**2)


@checked(block=a_block, start=a_kernel, depth=depth)
def singular_value_spread(block: Block, start: float, depth: int) -> Array:
    """Return Var(s^2) / E[s^2]^2 over the singular values s of dh^{1+d}/dh^1, d = 0 ... depth, at infinite width.

    The mean of s^2 is the APJN. Per block the spread grows by E[phi'^4] / B^2 - 1, and by 1 more with Gaussian weights
    (Pennington, Schoenholz and Ganguli 2018, arXiv:1802.09979, by free probability). Only orthogonal weights with
    phi'^2 constant keep all singular values together (dynamical isometry).
    """
    _plain(block, "the spread of singular values")
    each = 0.0 if block.weights == "orthogonal" else 1.0
    spread = [0.0]
    for kernel in kernel_trajectory(block, start, depth)[:-1]:
        mean = block.phi.moments(kernel).slope_square
        # E[phi'^4] / B^2 - 1 as a mean of squares, for the difference has no digits where phi' hardly varies
        varied = block.phi.average(lambda phi, slope, mean=mean: (slope**2 / mean - 1) ** 2, kernel)  # type: ignore[misc]
        spread.append(spread[-1] + varied + each)
    return np.array(spread)
