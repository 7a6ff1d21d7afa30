"""AutoInit: bring every block of a network to criticality before it is trained, by tuning one scalar per weight.

He, Doshi and Gromov 2022, arXiv:2206.13568. J^{l,l+1} is the mean squared Jacobian between adjacent blocks (APJN). The
scalars a descend on the Jacobian log loss (1/2) sum_l (log J^{l,l+1})^2, or on the square loss (1/2) sum_l (J - 1)^2,
and are multiplied into the weights at the end. The paper's text was not at hand; what follows is derived here.

**The step.** Plain gradient descent, a' = a - eta dL/da, needs a rate eta < 1/sigma_w^2
(``theory.autoinit.largest_rate``) and is fastest at 1/(2 sigma_w^2), which differs between layers and is not known
beforehand. The default is Newton's method in log a instead: the smallest change of log a that to first order brings
every log J to its target. For one ReLU block J = a^2 g, so the change is -log(J)/2 and lands at once; near J = 1 it is
the paper's descent at each layer's own fastest rate. ``rate`` chooses plain gradient descent.

**Normalization.** After BatchNorm or LayerNorm J depends on ratios of neighbouring scales alone, J = (B/V)
(a_{l+1}/a_l)^2. Then the step that is smallest keeps the geometric mean of the scales, and the pair that begins at the
input, which would fix their overall size, is left free.

**Skips.** With an unscaled skip h' = f(h) + h, J = 1 + a^2 g exceeds 1 for every a > 0. The n such blocks are asked to
let the signal's gradients grow by ``growth`` nats in all, log J <= growth/n each, and none that grows less is changed:
the gradients then stay within a factor e^growth over any depth, as with branches of variance 1/n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from torch import nn

from phasescope.inspection.autoinit_jacobians import Goal, Places, Scaled
from phasescope.inspection.autoinit_report import AutoInit
from phasescope.inspection.batches import fitted
from phasescope.inspection.blocks import blocks_of
from phasescope.vocabulary import Array, BadInput, nearest

Loss = Literal["log", "square"]
LONGEST = 2.0  # nats: the largest change of a log scale in one step; far from the target the tangent says little
BLIND = 0.05  # a slope d log J / d log a below this is none: that of a ReLU block is 2
SURE = 3.0  # standard errors by which the final, independent reading may miss the tolerance


def autoinit(
    module: nn.Module,
    batch: Any,
    *,
    blocks: Sequence[str] | None = None,
    loss: Loss = "log",
    rate: float | None = None,
    steps: int = 50,
    tolerance: float = 0.05,
    growth: float = 1.0,
    probes: int = 8,
    seed: int = 0,
) -> AutoInit:
    """Scale the weights of ``module`` in place so that the Jacobian between adjacent blocks is critical; return how.

    ``batch`` is what the module takes: a tensor or array, a tuple of arguments, or a mapping of keywords; data or
    noise, as many samples as make J sharp (32 will do). ``blocks`` are the names of the modules whose outputs are the
    places h^1, h^2, ... (default: ``blocks_of``); h^0 is what the first one is given. Each weight inside a block (a
    parameter with two axes or more) gets one scalar; with ``rate`` also each bias. Frozen parameters are left alone.
    The scalars end in the weights: the module has the same parts as before and no hooks, its buffers, modes and
    gradients are untouched.

    Stops when every |log J| < ``tolerance``, after ``steps``, or when no scalar can help; where it does not converge
    the best scales found are kept, and ``reason`` says why. ``probes`` random vectors estimate J, the same at every
    step; ``before`` and ``after`` are read with others. Raises ``BadInput`` for numbers out of range, unknown blocks,
    blocks without trainable weights, and whatever makes the forward pass fail.

    >>> net = nn.Sequential(*[nn.Sequential(nn.ReLU(), nn.Linear(100, 100)) for _ in range(10)])
    >>> import numpy as np, torch
    >>> report = autoinit(net, torch.from_numpy(np.eye(64, 100, dtype="float32")), blocks=[str(i) for i in range(10)])
    >>> report.converged
    True
    """
    _check(loss, rate, steps, tolerance, growth, probes)
    batch = fitted(batch, module)
    chosen = tuple(blocks) if blocks is not None else blocks_of(module, batch)
    if len(set(chosen)) != len(chosen) or not chosen:
        raise BadInput(f"blocks is {list(chosen)}: name at least one, each once.")
    scaled = Scaled(module, batch, chosen, biases=rate is not None, probes=probes, seed=seed)
    ones = np.ones(len(scaled.names))
    places, before = scaled.measure(ones, "autoinit before", max(probes, 2))
    first = scaled.slopes(ones)
    goal = _goal(scaled, first[1], tolerance, growth)
    descent = _descend(scaled, goal, loss, rate, steps, first)
    _, after = scaled.measure(descent.best, "autoinit after", max(probes, 2))
    slack = SURE * after.error / np.maximum(after.jacobians, 1e-300)
    reached = bool(goal.met(descent.history[descent.at]).all())
    converged = reached and bool(goal.met(after.jacobians, slack).all())
    seen = after.jacobians if reached else descent.history[descent.at]
    reason = _reason(scaled, places, goal, seen, first[1], len(descent.history) - 1, converged=converged)
    scaled.fold(descent.best)
    return AutoInit(
        places.names, before, after, dict(zip(scaled.names, descent.best.tolist(), strict=True)), goal,
        np.array(descent.history), descent.at, converged, descent.halted or reason, tuple(scaled.frozen),
    )  # fmt: skip


def _check(loss: str, rate: float | None, steps: int, tolerance: float, growth: float, probes: int) -> None:
    if loss not in get_args(Loss):
        raise BadInput(f"there is no loss {loss!r}{nearest(loss, get_args(Loss))}")
    if rate is not None and not 0 < rate < np.inf:
        raise BadInput(f"rate is {rate}: give a positive one, or None for the step that needs none.")
    for name, value, least in (("steps", steps, 1), ("probes", probes, 1)):
        if value < least:
            raise BadInput(f"{name} is {value}: it must be at least {least}.")
    if not 0 < tolerance < 1 or not 0 <= growth < np.inf:
        raise BadInput(f"tolerance is {tolerance}, growth {growth}: take 0 < tolerance < 1 and 0 <= growth < inf.")


def _goal(scaled: Scaled, slopes: Array, tolerance: float, growth: float) -> Goal:
    """Return what can be asked of each pair, by its slopes at the start."""
    floors = _floors(scaled, len(slopes))
    bounded = floors > np.exp(-tolerance)
    share = growth / max(int(bounded.sum()), 1)
    target = np.where(bounded, np.log(np.maximum(floors, 1.0)) + share, 0.0)
    allowed = np.where(bounded, np.minimum(tolerance, share / 2), tolerance)
    free = np.zeros(len(slopes), dtype=bool)
    largest = np.abs(slopes).max(1)
    blind = np.abs(slopes.sum(1)) < BLIND * np.maximum(largest, 1e-300)
    # scaling all weights alike changes no later pair: the function does not depend on their overall size
    free[0] = len(slopes) > 1 and bool((blind & (largest > BLIND))[1:].all())
    return Goal(target, allowed, bounded, free)


def _floors(scaled: Scaled, count: int) -> Array:
    try:
        return scaled.floors()
    except BadInput:  # a network that can not be run with zero weights has no skip to carry its signal
        return np.zeros(count)


@dataclass
class _Descent:
    """Where the descent is: its scales (P,), J (n,) at every step so far, the best of both, why it stopped early."""

    scales: Array
    history: list[Array]
    best: Array
    at: int = 0
    least: float = float("inf")
    halted: str = ""

    def see(self, jacobians: Array, goal: Goal) -> None:
        """Note J at the present scales."""
        self.history.append(jacobians)
        missed = float(np.abs(np.clip(goal.distance(jacobians), -50, 50)).sum())
        if missed < self.least:
            self.least, self.best, self.at = missed, self.scales, len(self.history) - 1


def _descend(
    scaled: Scaled, goal: Goal, loss: Loss, rate: float | None, steps: int, first: tuple[Array, Array]
) -> _Descent:
    """Take up to ``steps`` steps from a = 1, where J and the slopes are ``first``."""
    ones = np.ones(len(scaled.names))
    descent = _Descent(ones, [], ones)
    for step in range(steps + 1):
        try:
            if rate is None:
                jacobians, slopes = first if step == 0 else scaled.slopes(descent.scales)
                move = descent.scales * np.expm1(_newton(goal, loss, jacobians, slopes))
            else:
                jacobians, gradient = scaled.gradient(descent.scales, lambda j: loss_slope(goal, loss, j))
                move = -rate * gradient
        except BadInput as error:
            if step == 0:
                raise
            descent.halted = f"after {step} steps {error}"
            break
        descent.see(jacobians, goal)
        if goal.met(jacobians).all() or step == steps or np.abs(move).max() < 1e-9:
            break
        descent.scales = descent.scales + move
        if not (np.isfinite(descent.scales) & (descent.scales > 0)).all():
            worst = int(np.argmin(np.where(np.isfinite(descent.scales), descent.scales, -np.inf)))
            descent.halted = (
                f"step {step + 1} at the rate {rate} takes the scale of {scaled.names[worst]} to "
                f"{descent.scales[worst]:.3g}, from where no step returns: take a smaller rate, or none"
            )
            break
    return descent


def loss_of(goal: Goal, loss: Loss, jacobians: Array) -> float:
    """Return the Jacobian log or square loss (1/2) sum (log J - t)^2 or (1/2) sum (J - e^t)^2 of J (n,), targets t."""
    off = goal.distance(jacobians)
    return float((off**2).sum() / 2 if loss == "log" else ((np.exp(goal.target) * np.expm1(off)) ** 2).sum() / 2)


def loss_slope(goal: Goal, loss: Loss, jacobians: Array) -> Array:
    """Return dL/dJ (n,); 0 for a pair that passes nothing on, of which no scalar's change is heard."""
    off, alive = goal.distance(jacobians), jacobians > 0
    safe = np.where(alive, jacobians, 1.0)
    slope = off / safe if loss == "log" else np.exp(goal.target) * np.expm1(off)
    return np.where(alive, slope, 0.0)


def _newton(goal: Goal, loss: Loss, jacobians: Array, slopes: Array) -> Array:
    """Return the smallest change (P,) of log a that to first order brings every pair to its target, within bounds."""
    off = goal.distance(jacobians)
    off = off if loss == "log" else -np.expm1(-off)
    wanted = (jacobians > 0) & ~goal.free & ~(goal.bounded & (off <= 0)) & (np.abs(slopes).max(1) > 0)
    if not wanted.any():
        return np.zeros(slopes.shape[1])
    move, *_ = np.linalg.lstsq(slopes[wanted], -off[wanted], rcond=1e-3)
    return np.asarray(np.clip(move, -LONGEST, LONGEST))


def _reason(
    scaled: Scaled, places: Places, goal: Goal, jacobians: Array, slopes: Array, steps: int, *, converged: bool
) -> str:
    """Return in one sentence what was reached, or what stands in the way at the block that is furthest off."""
    off = np.abs(goal.distance(jacobians)) * ~goal.met(jacobians)
    count = int(goal.bounded.sum())
    if converged:
        skips = f"; {count} unscaled skips keep J > 1, together within a factor {np.exp(goal.target.sum()):.3g}"
        return "every block is at its target" + (skips if count else "")
    row = int(np.argmax(off))
    name = f"block {places.names[row + 1]!r}"
    if jacobians[row] <= 0:
        return f"{name} passes nothing on (J = 0): its units are all inactive or its weights are zero"
    if goal.bounded[row] and goal.tolerance[row] == 0:
        return f"{name} has an unscaled skip: J > 1 at every scale of its weights; allow some growth"
    if not scaled.own[places.owner(row)]:
        return f"{name} has J = {jacobians[row]:.3g} and no trainable weight to scale"
    if np.abs(slopes[row]).max() < BLIND:
        return f"{name} has J = {jacobians[row]:.3g} at every scale of its weights: a normalization undoes them"
    return f"{name} has J = {jacobians[row]:.3g} after {steps} steps: give more steps, or more probes and samples"
