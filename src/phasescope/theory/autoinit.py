"""AutoInit for one layer in closed form: gradient descent on the Jacobian of a homogeneous network.

Source: He, Doshi and Gromov 2022, arXiv:2206.13568 for the method and its two losses; all formulas below are derived
here, as the paper's text was not at hand. Weights are frozen and multiplied by a trained scalar a, so the adjacent
APJN of a ReLU-like block is J = a^2 g + mu^2 with gain g = sigma_w^2 (1 + s^2) / 2, s the negative slope (ReLU: 0).
Layers decouple and biases do not enter. Per layer

    JLL  L = (log J)^2 / 2      a' = a - eta 2 a g log(J) / J
    JSL  L = (J - 1)^2 / 2      a' = a - eta 2 a g (J - 1)

both with the factor 1 - 4 eta g (1 - mu^2) at the target a* = sqrt((1 - mu^2) / g).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from phasescope.theory.activations import Activation, a_phi, activation
from phasescope.theory.domains import checked, not_negative, number, positive, real, shown, whole
from phasescope.vocabulary import BadInput, nearest

__all__ = [
    "autoinit_step",
    "batchnorm_scale_ratio",
    "contraction",
    "iterations",
    "largest_rate",
    "largest_square_rate",
    "one_step_rate",
    "relu_gain",
    "target_scale",
]

Loss = Literal["log", "square"]
below_one = number(0, 1, open_high=True)  # residuals: at 1 a network is critical whatever the scale


@checked(weight_variance=positive, negative_slope=real)
def relu_gain(weight_variance: float, negative_slope: float = 0.0) -> float:
    """Return g = sigma_w^2 (1 + s^2) / 2, the adjacent APJN of a (leaky) ReLU block at a = 1, mu = 0."""
    return weight_variance * (1 + negative_slope**2) / 2


def a_loss(name: str, value: Any) -> Loss:
    """Read one of the two losses."""
    if not isinstance(value, str) or value not in get_args(Loss):
        raise BadInput(f"there is no loss {shown(value)}{nearest(str(value), get_args(Loss))}")
    return value  # type: ignore[return-value]


@checked(gain=positive, residual=below_one)
def target_scale(gain: float, residual: float = 0.0) -> float:
    """Return a* = sqrt((1 - mu^2) / g), the scale at which J = 1; ``BadInput`` at mu = 1, where only a = 0 is."""
    return float(np.sqrt((1 - residual) * (1 + residual) / gain))


@checked(scale=positive, rate=not_negative, gain=positive, loss=a_loss, residual=below_one)
def autoinit_step(scale: float, rate: float, gain: float, loss: Loss = "log", residual: float = 0.0) -> float:
    """Return the scale a after one step of gradient descent with learning ``rate`` eta on JLL or JSL."""
    return _stepped(scale, rate, gain, loss, residual)


def _stepped(scale: float, rate: float, gain: float, loss: Loss, residual: float) -> float:
    jacobian = scale**2 * gain + residual**2
    slope = np.log(jacobian) / jacobian if loss == "log" else jacobian - 1
    return float(scale - 2 * rate * scale * gain * slope)


@checked(rate=not_negative, gain=positive, residual=below_one)
def contraction(rate: float, gain: float, residual: float = 0.0) -> float:
    """Return the linear factor 1 - 4 eta g (1 - mu^2) of both maps at the target; 0 is quadratic convergence."""
    return 1 - 4 * rate * gain * (1 - residual) * (1 + residual)


@checked(gain=positive, residual=below_one)
def largest_rate(gain: float, residual: float = 0.0) -> float:
    """Return the learning rate below which the target attracts: 1 / (2 g (1 - mu^2)), 1 / sigma_w^2 for ReLU at mu = 0.

    JLL at mu = 0 then keeps a > 0 from every a > 0: with u = a/a*, e = 2 eta g it is u' = u (1 - 2 e log(u) / u^2), at
    least u (1 - e / 2.718). JSL needs ``largest_square_rate`` as well. At half of it convergence is quadratic.
    With a residual the condition is local: from far off, a step may overshoot past a = 0.
    """
    return 1 / (2 * gain * (1 - residual) * (1 + residual))


@checked(gain=positive, residual=below_one, scale=positive)
def largest_square_rate(gain: float, residual: float = 0.0, scale: float = 1.0) -> float:
    """Return the learning rate below which JSL attracts and its first step from ``scale`` keeps a > 0.

    The second bound is 1 / (2 g (J - 1)) where J(scale) > 1: for a large gain it is far the smaller, and JLL has none.
    """
    excess = scale**2 * gain + residual**2 - 1
    bound = largest_rate(gain, residual)
    return min(bound, 1 / (2 * gain * excess)) if excess > 0 else bound


@checked(gain=positive, residual=below_one)
def one_step_rate(gain: float, residual: float = 0.0) -> float:
    """Return the learning rate with which JLL reaches J = 1 from a = 1 in one step.

    (1 - a*) J / (2 g log J), J = g + mu^2; its limit 1 / (4 g (1 - mu^2)) at J = 1. It may exceed ``largest_rate``
    (ReLU: from sigma_w^2 = 4.98 on): the step lands, but another step with the same rate would leave again.
    """
    jacobian = gain + residual**2
    distance = (gain - 1) + residual**2
    # 1 - a* = (J - 1) / (g (1 + a*)), so that (J - 1) / log J is all that nears 0 / 0
    log = float(np.log1p(distance) if abs(distance) < 0.5 else np.log(jacobian))
    slope = distance / log if distance else 1.0
    return slope / (1 + target_scale(gain, residual)) * jacobian / (2 * gain**2)


@checked(rate=not_negative, gain=positive, loss=a_loss, residual=below_one, tolerance=positive, most=whole(0, 10**6))
def iterations(
    rate: float, gain: float, loss: Loss = "log", residual: float = 0.0, tolerance: float = 1e-12, most: int = 10_000
) -> float:
    """Return the steps from a = 1 until (log J)^2 / 2 < ``tolerance``: an integer, or infinity if it never happens.

    Never: a leaves a > 0 (JSL with a large gain), overflows, or does not settle within ``most`` steps.
    """
    scale = 1.0
    for step in range(most + 1):
        if np.log(scale**2 * gain + residual**2) ** 2 / 2 < tolerance:
            return step
        scale = _stepped(scale, rate, gain, loss, residual)
        if not 0 < scale < np.inf:
            break
    return float(np.inf)


@checked(phi=a_phi)
def batchnorm_scale_ratio(phi: Activation | str = "relu") -> float:
    """Return a_{l+1} / a_l = sqrt(V(1) / B(1)) at which a BatchNorm block without residual has J = 1; ReLU 0.8257.

    J = (B/V) (a_{l+1}/a_l)^2: BatchNorm fixes ratios of neighbouring scales alone, and their overall size stays free.
    """
    unit = activation(phi).moments(1.0)
    return float(np.sqrt(unit.variance / unit.slope_square))
