"""Wide and deep linear networks between the rich and the lazy regime. Kunin et al. 2024, arXiv:2406.06158.

Two layers: f(x) = x A B with A (D, H), B (H, K), A B = beta. Gradient flow conserves Delta = B B^T - A^T A (H, H).
Where Delta = delta I the flow of beta closes. The potentials are those of a start at beta = 0 with such a Delta, and of
a balanced start, Delta = 0, of any depth; derived here in the form that is quoted from the paper.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq, minimize

from phasescope.theory.domains import agree, array, checked, not_negative, real, whole
from phasescope.vocabulary import Array, BadInput

__all__ = ["deep_null_coordinate", "hyperbolic_entropy", "least_entropy", "product_flow"]


@checked(beta=array(2), delta=real, slope=array(2))
def product_flow(beta: Array, delta: float, slope: Array) -> Array:
    """Return d beta / dt (D, K) where ``slope`` (D, K) is the loss's gradient in beta; exact for Delta = delta I.

    -(slope S_K + S_D slope) / 2, S_K = sqrt(delta^2 + 4 beta^T beta) and S_D the same of beta beta^T; the sign of delta
    does not matter. Derived: B^T B = (S_K + delta) / 2 and A A^T = (S_D - delta) / 2 solve quadratic equations in beta.
    Domain: H = K for delta > 0 and H = D for delta < 0, any H for 0; with fewer hidden units beta alone does not say
    where A or B is 0.
    """
    agree(beta=(beta, ("D", "K")), slope=(slope, ("D", "K")))
    u, s, vt = np.linalg.svd(beta)
    columns, rows = np.zeros(len(vt)), np.zeros(len(u))
    columns[: len(s)] = rows[: len(s)] = s
    right = (vt.T * np.hypot(delta, 2 * columns)) @ vt
    left = (u * np.hypot(delta, 2 * rows)) @ u.T
    return -np.asarray(slope @ right + left @ slope) / 2


@checked(values=array(), delta=real)
def hyperbolic_entropy(values: Array, delta: float) -> float:
    """Return sum q(s), q = (2 s asinh(2 s / |delta|) - sqrt(4 s^2 + delta^2) + |delta|) / 4, of singular values.

    Its second derivative is 1 / sqrt(delta^2 + 4 s^2): s^2 / (2 |delta|) for |delta| -> inf, |s| log(1 / |delta|) / 2
    to leading order for delta -> 0. Where measurements share singular vectors, the network that begins at beta = 0
    ends at the interpolator of least entropy; else this is an approximation, and ``product_flow`` is exact.
    """
    size = _nonzero(delta)
    s = np.abs(values)
    root = np.hypot(size, 2 * s)
    with np.errstate(over="ignore"):
        angle = np.where(2 * s < 1e8 * size, np.arcsinh(2 * s / size), np.log(2 * s + root) - math.log(size))
    # sqrt(4 s^2 + delta^2) - |delta| as 4 s^2 over their sum: at large delta the difference has no digits
    return float(np.sum(s * (angle - 2 * s / (root + size))) / 2)


def _nonzero(delta: float) -> float:
    if delta == 0:
        raise BadInput(f"delta is {delta:g}: at beta = 0 a balanced network stays; give a finite delta other than 0.")
    return abs(delta)


@checked(measurements=array(3), values=array(1), delta=real)
def least_entropy(measurements: Array, values: Array, delta: float) -> Array:
    """Return the beta (D, K) of least ``hyperbolic_entropy`` with <M_i, beta> = values_i; M (n, D, K).

    By its dual, a smooth convex problem: the singular values of beta are |delta| / 2 sinh(2 z), z those of
    sum_i l_i M_i. Raises ``BadInput`` where the measurements contradict each other.
    """
    m = measurements
    agree(measurements=(m, ("n", "D", "K")), values=(values, ("n",)))
    unit = float(np.abs(values).max()) or 1.0  # the search knows one size; delta and beta scale as the values
    y, size = values / unit, _nonzero(delta) / unit
    large = max(size, 1.0)  # times the l_i, which are as small as 1 / delta at large delta

    def primal(weights: Array) -> tuple[Array, float]:
        u, z, vt = np.linalg.svd(np.tensordot(weights / large, m, 1), full_matrices=False)
        z = np.minimum(z, 300)
        return (u * (size / 2 * np.sinh(2 * z))) @ vt, float(large * size / 2 * np.sum(np.sinh(z) ** 2))

    def dual(weights: Array) -> tuple[float, Array]:
        beta, height = primal(weights)
        return height - float(weights @ y), np.tensordot(m, beta, 2) - y

    start, contradicted = np.zeros(len(y)), f"{len(y)} measurements of {m.shape[1:]} matrices could not be met"
    try:
        for tolerance in (1e-6, 1e-12):
            start = minimize(dual, start, jac=True, method="BFGS", options={"gtol": tolerance, "maxiter": 5000}).x
        beta = primal(start)[0]
    except np.linalg.LinAlgError:  # the weights have grown beyond floats
        raise BadInput(f"{contradicted}: give independent ones of ordinary size.") from None
    if not np.abs(np.tensordot(m, beta, 2) - y).max() <= 1e-6:
        raise BadInput(f"{contradicted}: give independent ones.")
    return np.asarray(unit * beta)


@checked(beta0=array(1), layers=whole(1, 1000), null=array(1), solution=not_negative)
def deep_null_coordinate(beta0: Array, layers: int, null: Array, solution: float) -> float:
    """Return where a balanced linear network of one output ends along ``null``, the direction the data do not see.

    The end is the interpolator that minimizes |beta|^p - p |beta0|^(p-2) beta0 . beta with p = (layers + 1) / layers
    (derived; 3/2 for two layers): z (solution^2 + z^2)^((p-2)/2) = |beta0|^(p-2) beta0 . null, with ``solution`` the
    length of the least-squares solution.
    """
    b, direction = beta0, null
    agree(beta0=(b, ("D",)), null=(direction, ("D",)))
    length = float(np.linalg.norm(b))
    if length == 0 or abs(float(np.linalg.norm(direction)) - 1) > 1e-9:
        raise BadInput(f"layers is {layers} and |beta0| is {length:g}: give layers >= 1, beta0 != 0, a unit vector.")
    power = 1 / layers - 1  # p - 2
    right = length**power * float(b @ direction)
    if right == 0:
        return 0.0

    def gap(z: float) -> float:
        return float(z * math.hypot(solution, z) ** power - abs(right)) if z > 0 else -abs(right)

    high = 1.0
    while gap(high) < 0:
        high *= 2
        if high > 1e100:
            raise BadInput(f"|beta0| is {length:g} with {layers} layers: the end lies beyond 1e100; give fewer layers.")
    return math.copysign(float(brentq(gap, 0.0, high, xtol=1e-300, rtol=1e-15, maxiter=1000)), right)
