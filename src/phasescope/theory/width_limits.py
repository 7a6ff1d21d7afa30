"""Wide, and wide and deep: exact fluctuations at finite width, and limits of width and depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from phasescope.theory.activations import Activation, a_phi
from phasescope.theory.correlation_map import correlation_trajectory, covariance_step
from phasescope.theory.criticality import Block, a_block
from phasescope.theory.domains import (
    array,
    checked,
    depth,
    integers,
    number,
    open_share,
    positive,
    real,
    scale,
    whole,
)  # fmt: skip
from phasescope.vocabulary import Array, BadInput

__all__ = ["four_point_vertex", "guessing_bias", "nngp", "residual_limit", "singular_orders", "student_limit"]


@checked(widths=integers(1, 10**9), negative_slope=real)
def four_point_vertex(widths: Sequence[int], negative_slope: float = 0.0) -> Array:
    """Return E[z_i^2 z_j^2] / E[z^2]^2 - 1, i != j, of preactivations at layers 1 ... len(``widths``) + 1, exactly.

    Of networks with (leaky) ReLU, Gaussian weights of any variance, no biases, and ``widths`` units in layers 1, 2,
    ...; of one input. Given a layer's activations the next preactivations are Gaussian of one variance k, and phi(z)^2
    = k phi(u)^2 with u of variance 1, so E[k^2] / E[k]^2 takes a factor 1 + v / n from each layer, with v = Var(phi^2)
    / E[phi^2]^2 = 6 (1 + a^4) / (1 + a^2)^2 - 1: 5 for ReLU, 2 for linear networks. To first order it is the four-point
    vertex of Roberts, Yaida and Hanin 2022, arXiv:2106.10165: depth / width times v. Derived.

    >>> round(float(four_point_vertex([30] * 4)[-1]), 3)
    0.853
    """
    a = negative_slope
    v = 6 * (1 + a**4) / (1 + a**2) ** 2 - 1 if abs(a) < 1e9 else 5.0
    factors = np.array([1.0, *(1 + v / n for n in widths)])
    with np.errstate(over="ignore"):
        found: Array = np.expm1(np.cumsum(np.log(factors)))
    return found


@checked(block=a_block, depth=depth, kernel=scale, correlation=number(0, 1), samples=whole(0, 10**15))
def guessing_bias(block: Block, depth: int, kernel: float = 1.0, correlation: float = 0.0, samples: int = 0) -> float:
    """Return the standard deviation, over wide random networks, of the fraction of inputs put into class 0 of two.

    Two inputs whose preactivations begin at ``kernel`` with ``correlation`` (0: of random inputs in many dimensions)
    have correlation c after ``depth`` blocks, and the difference of the two outputs, Gaussian, has one sign on both
    with probability 1/2 + arcsin(c) / pi; so the variance of the fraction is arcsin(c) / (2 pi). With ``samples`` N
    inputs (0: all of them), (1/4 - arcsin(c) / (2 pi)) / N is added. Francazi, Lucchi and Baity-Jesi 2023,
    arXiv:2306.00809, name the effect; the formula is derived.

    >>> [round(guessing_bias(Block("relu", 2.0), depth), 3) for depth in (1, 2, 5, 10)]
    [0.227, 0.287, 0.363, 0.41]
    """
    last = float(correlation_trajectory(block, kernel, correlation, depth)[1][-1])
    variance = math.asin(min(1.0, max(0.0, last))) / (2 * math.pi)
    if samples:
        variance += (0.25 - variance) / samples
    return math.sqrt(variance)


@checked(phi=a_phi, weight_variance=number(0, 50), kernel=number(1e-6, 1e6), correlation=number(-1, 1))
def residual_limit(
    phi: Activation | str, weight_variance: float, kernel: float = 1.0, correlation: float = 0.0
) -> tuple[float, float]:
    """Return kernel and correlation of two inputs after infinitely many blocks h + W phi(h) / sqrt(depth).

    W has variance ``weight_variance`` / width; width and depth may grow in any order (Hayou and Yang 2023,
    arXiv:2302.00453). K and C = c K follow dK/dt = sigma_w^2 A(K) and dC/dt = sigma_w^2 E[phi phi], t from 0 to 1; for
    ReLU, K grows by exp(sigma_w^2 / 2). Integrated to 1e-9. Raises ``BadInput`` where the kernel passes 1e12.

    >>> round(residual_limit("relu", 1.0)[0], 6) == round(math.exp(0.5), 6)
    True
    """
    found = a_phi("phi", phi)

    def flow(_: float, state: Any) -> list[float]:
        k = float(state[0])
        c = min(1.0, max(-1.0, float(state[1]) / k))
        return [weight_variance * found.moments(k).mean_square, weight_variance * found.pair(k, k, c)]

    def beyond(_: float, state: Any) -> float:
        return 1e12 - float(state[0])

    beyond.terminal = True  # type: ignore[attr-defined]
    solved = solve_ivp(flow, (0, 1), [kernel, correlation * kernel], "DOP853", rtol=1e-9, atol=1e-12, events=beyond)
    if solved.status != 0:
        raise BadInput(f"the kernel passes 1e12 from {kernel:g}: give a smaller weight_variance or kernel.")
    last = float(solved.y[0, -1])
    return last, min(1.0, max(-1.0, float(solved.y[1, -1]) / last))


@checked(block=a_block, inputs=array(2), depth=whole(0, 1000))
def nngp(block: Block, inputs: Any, depth: int) -> Array:
    """Return the covariance (N, N) over random networks of a unit's preactivations at N ``inputs`` (N, D).

    The first layer has weights of variance 1 / D and no bias, so K^1 = x . x' / D; ``depth`` blocks follow. At infinite
    width outputs are a Gaussian process with it (Lee et al. 2018, arXiv:1711.00165; Matthews et al. 2018). Raises
    ``BadInput`` for an input that is zero and for norm "batch", which joins samples.
    """
    if block.norm == "batch":
        raise BadInput("norm is 'batch', which joins all samples: this kernel is for norms of one sample.")
    with np.errstate(over="ignore"):
        found: Array = inputs @ inputs.T / inputs.shape[1]
    start = np.diag(found)
    if not ((start > 0) & (start < 1e300)).all():
        row = int(np.argmin((start > 0) & (start < 1e300)))
        raise BadInput(f"inputs have length {math.sqrt(start[row]):g} in row {row}: give inputs that are not zero.")
    for _ in range(depth):
        after = np.empty_like(found)
        for i in range(len(found)):
            for j in range(i + 1):
                bound = math.sqrt(found[i, i]) * math.sqrt(found[j, j])  # rounding may pass it
                covariance = min(bound, max(-bound, float(found[i, j])))
                step = covariance_step(block, float(found[i, i]), float(found[j, j]), covariance)
                after[i, j] = after[j, i] = step[0] if i == j else step[2]
        found = after
    return found


@checked(shape=positive, scale=positive)
def student_limit(shape: float, scale: float) -> tuple[float, float]:
    """Return degrees of freedom and squared scale of a wide network's output whose last weights' variance is drawn.

    The variance s ~ inverse gamma (``shape`` a, ``scale`` b) is one for all last weights; given s the outputs are
    Gaussian with covariance s times the NNGP kernel, so they are a Student-t process with 2 a degrees of freedom and
    (b / a) times the kernel (Lee et al. 2022, arXiv:2107.01408). Its marginal has the excess kurtosis 6 / (2 a - 4).

    >>> student_limit(3.0, 2.0)
    (6.0, 0.6666666666666666)
    """
    return 2 * shape, scale / shape


@checked(at_zero=open_share, at_one=number(1, 1e6, open_low=True))
def singular_orders(at_zero: float, at_one: float) -> tuple[float, float]:
    """Return the powers of 1 / distance with which the tangent kernel of a very deep network is singular.

    ``at_zero`` and ``at_one`` are f'(0) < 1 and f'(1) > 1 of the dual activation f, f(0) = 0, f(1) = 1: the correlation
    of two inputs on the sphere goes from c to f(c) in each layer. Over L layers, theta_L = f'(0)^L (L a(c) + b(c)):
    first a, what remains as L grows at a fixed distance, of power -2 log f'(0) / log f'(1); then b, which is larger
    nearer than 1 / sqrt(L) and has 2 more. Derived; Radhakrishnan, Belkin and Uhler 2022, arXiv:2204.14126, sort deep
    networks so: f(0) != 0 is a majority vote, f(0) = f'(0) = 0 the nearest neighbour, and between them this.

    >>> [round(x, 6) for x in singular_orders(0.5, 2.0)]
    [2.0, 4.0]
    """
    order = -2 * math.log(at_zero) / math.log(at_one)
    return order, order + 2
