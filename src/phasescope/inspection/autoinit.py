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

**Skips.** With an unscaled skip h' = f(h) + h, J = 1 + a^2 g exceeds 1 for every a > 0. Where the network as a whole is
critical by the rule of ``inspect``, such blocks are left as they are. Elsewhere the n of them are asked to let the
signal's gradients grow by ``growth`` nats in all, log J <= growth/n each, and none that grows less is changed: the
gradients then stay within a factor e^growth over any depth, as with branches of variance 1/n. A block with a weaker
skip whose J is critical by itself is left as it is too: its skip does there what scales would do.

**No harm.** J = 1 is a means. So no scale leaves [1/30, 30], or [1/4, 4] where a normalization undoes it and the scale
is only how fast a weight learns; a block whose J no such scales could mend, to first order, is not asked to; a step
that changes what a normalization does, var/(var + eps), by over 1 % is halved, and refused in the end; and scales that
leave a block further from its target than it was are given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from torch import nn

from phasescope.inspection.autoinit_jacobians import Found, Goal, Places, Scaled
from phasescope.inspection.autoinit_report import AutoInit
from phasescope.inspection.batches import fitted
from phasescope.inspection.blocks import blocks_of
from phasescope.inspection.judge import BLOCK_TOLERANCE, SKIP, relative_log
from phasescope.inspection.normalizations import moved
from phasescope.inspection.readings import DEPTH_TOLERANCE
from phasescope.vocabulary import Array, BadInput, nearest

Loss = Literal["log", "square"]
LONGEST = 2.0  # nats: the largest change of a log scale in one step; far from the target the tangent says little
BLIND = 0.05  # a slope d log J / d log a below this is none: that of a ReLU block is 2
FAINT = 0.5  # a slope below this may lead astray: it is followed only as far as it can lead
SURE = 3.0  # standard errors by which the final, independent reading may miss the tolerance
LARGEST = 30.0  # a scale, or one over it: torch's default needs 2.4, weights of a tenth of that 24
UNDONE = 4.0  # the same where a normalization undoes the scale: the weight learns 16 times faster or slower
EFFECT = 0.01  # the change of a normalization's var/(var + eps) that is allowed
HALVINGS = 5
PATIENCE = 3  # steps without any gain after which the descent ends
GROWTH = 1.0  # nats that unscaled skips may let gradients grow by, where nothing else is asked


def autoinit(
    module: nn.Module,
    batch: Any,
    *,
    blocks: Sequence[str] | None = None,
    loss: Loss = "log",
    rate: float | None = None,
    steps: int = 50,
    tolerance: float = 0.05,
    growth: float | None = None,
    probes: int = 8,
    seed: int = 0,
) -> AutoInit:
    """Scale the weights of ``module`` in place so that the Jacobian between adjacent blocks is critical; return how.

    ``batch`` is what the module takes: a tensor or array, a tuple of arguments, or a mapping of keywords; data or
    noise, as many samples as make J sharp (32 will do). ``blocks`` are the names of the modules whose outputs are the
    places h^1, h^2, ... (default: ``blocks_of``); h^0 is what the first one is given. Each weight inside a block (a
    parameter with two axes or more) gets one scalar; with ``rate`` also each bias. Frozen parameters are left alone.
    The scalars end in the weights: the module has the same parts as before and no hooks, its buffers, modes and
    gradients are untouched. ``growth``: nats by which log J may grow over all unscaled skips together; None leaves them
    alone where the network is critical as a whole, and allows 1 elsewhere.

    Stops when every |log J| < ``tolerance``, after ``steps``, or when no scalar can help; where it does not converge
    the best scales found are kept, and ``reason`` says why. Scales stay within [1/30, 30], no normalization is pushed
    below its epsilon, and scales that leave a block beyond what counts as critical, and further off than it was, are
    not kept. ``probes`` random vectors estimate J, the same at every step; ``before`` and ``after`` are read with
    others. Raises ``BadInput`` for numbers out of range, unknown blocks, blocks without trainable weights, models whose
    gradients can not be differentiated once more, and whatever makes the forward pass fail.

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
    places, before = scaled.measure(ones, "autoinit reading", max(probes, 2))
    first = scaled.slopes(ones)
    goal = _goal(scaled, before, first, tolerance, growth)
    descent = _descend(scaled, goal, loss, rate, steps, first)
    best, after, worse = descent.best, before, np.zeros(len(before.jacobians), dtype=bool)
    if descent.at > 0:
        _, after = scaled.measure(best, "autoinit reading", max(probes, 2))
        worse = _further(goal, before, after, BLOCK_TOLERANCE)
        if worse.any():
            best, descent.at, after = ones, 0, before
    reached = bool(goal.met(descent.history[descent.at]).all())
    converged = reached and bool(goal.met(after.jacobians, SURE * _relative(after)).all())
    converged = converged and not _further(goal, before, after, tolerance).any()
    seen = after.jacobians if reached else descent.history[descent.at]
    reason = _reason(scaled, places, goal, seen, first[1], len(descent.history) - 1, converged=converged)
    if worse.any():
        row = places.names[int(np.argmax(worse)) + 1]
        reason = (
            f"the scales that were found leave block {row!r} further from its target than it was: nothing is changed"
        )
    scaled.fold(best)
    return AutoInit(
        places.names, before, after, dict(zip(scaled.names, best.tolist(), strict=True)), goal,
        np.array(descent.history), descent.at, converged, descent.halted or reason, tuple(scaled.frozen),
    )  # fmt: skip


def _check(loss: str, rate: float | None, steps: int, tolerance: float, growth: float | None, probes: int) -> None:
    if loss not in get_args(Loss):
        raise BadInput(f"there is no loss {loss!r}{nearest(loss, get_args(Loss))}")
    if rate is not None and not 0 < rate < np.inf:
        raise BadInput(f"rate is {rate}: give a positive one, or None for the step that needs none.")
    for name, value, least in (("steps", steps, 1), ("probes", probes, 1)):
        if value < least:
            raise BadInput(f"{name} is {value}: it must be at least {least}.")
    if not 0 < tolerance < 1 or not (growth is None or 0 <= growth < np.inf):
        raise BadInput(f"tolerance is {tolerance}, growth {growth}: take 0 < tolerance < 1 and 0 <= growth < inf.")


def _goal(scaled: Scaled, before: Found, first: tuple[Array, Array], tolerance: float, growth: float | None) -> Goal:
    """Return what can be asked of each pair, by what it is like at the start."""
    jacobians, slopes = first
    with np.errstate(divide="ignore"):
        logs = np.clip(np.log(np.maximum(jacobians, 0)), -50, 50)
    floors = _floors(scaled, len(slopes))
    bounded = floors > np.exp(-tolerance)
    whole = relative_log(float(logs.sum()), before.kernels[0], before.kernels[-1], before.slope)
    critical = growth is None and abs(whole) <= DEPTH_TOLERANCE
    kept = (bounded & critical) | (~bounded & (floors > SKIP**2) & (np.abs(logs) < BLOCK_TOLERANCE))
    if critical and len(kept) > 1 and kept[1:].all() and scaled.effects(np.ones(len(scaled.names))):
        kept[0] = True  # what acts on data: normalizations behind it undo its scale, and nothing there is off
    share = (GROWTH if growth is None else growth) / max(int(bounded.sum()), 1)
    target = np.where(bounded, np.log(np.maximum(floors, 1.0)) + share, 0.0)
    allowed = np.where(bounded & ~kept, np.minimum(tolerance, share / 2), tolerance)
    free = np.zeros(len(slopes), dtype=bool)
    largest = np.abs(slopes).max(1)
    blind = np.abs(slopes.sum(1)) < BLIND * np.maximum(largest, 1e-300)
    # scaling all weights alike changes no later pair: the function does not depend on their overall size
    free[0] = len(slopes) > 1 and bool((blind & (largest > BLIND))[1:].all())
    return Goal(np.where(kept, logs, target), allowed, bounded & ~kept, free, kept & ~free)


def _floors(scaled: Scaled, count: int) -> Array:
    try:
        return scaled.floors()
    except BadInput:  # a network that can not be run with zero weights has no skip to carry its signal
        return np.zeros(count)


def _relative(found: Found) -> Array:
    return np.asarray(found.error / np.maximum(found.jacobians, 1e-300))


def _further(goal: Goal, before: Found, after: Found, allowed: float) -> Array:
    """Return which pairs (n,) are further from their target than before, and than ``allowed``, beyond the errors."""
    was, now = (np.abs(np.clip(goal.distance(found.jacobians), -50, 50)) for found in (before, after))
    return np.asarray(now > np.maximum(was, np.maximum(allowed, goal.tolerance)) + SURE * _relative(after))


@dataclass
class _Descent:
    """Where the descent is: its scales (P,), J (n,) at every step so far, the best of both, why it stopped early."""

    scales: Array
    history: list[Array]
    best: Array
    at: int = 0
    least: float = float("inf")
    slow: int = 0
    halted: str = ""

    def see(self, jacobians: Array, goal: Goal, *, beyond: bool) -> None:
        """Note J at the present scales: the best so far, unless ``beyond`` bounds or a block is worse than it was."""
        self.history.append(jacobians)
        self.slow += 1
        off, first = (np.abs(np.clip(goal.distance(j), -50, 50)) for j in (jacobians, self.history[0]))
        if off.sum() < self.least and (off <= np.maximum(first, BLOCK_TOLERANCE)).all() and not beyond:
            self.slow = 0 if off.sum() < 0.99 * self.least else self.slow
            self.least, self.best, self.at = float(off.sum()), self.scales, len(self.history) - 1


class _Guard:
    """What a step may do: scales within their bounds (P,), and normalizations that go on normalizing."""

    def __init__(self, scaled: Scaled, goal: Goal, slopes: Array) -> None:
        self.scaled = scaled
        self.effects = scaled.effects(np.ones(len(scaled.names)))
        heard, largest = np.abs(slopes.sum(0)), np.abs(slopes).max(0)
        undone = bool(goal.free.any()) | ((largest > BLIND) & (heard < BLIND * largest))
        self.bounds = np.where(undone, UNDONE, LARGEST)

    def beyond(self, scales: Array) -> int | None:
        """Return the first weight whose scale is at the bounds of those that a normalization undoes, or None."""
        there = (self.bounds == UNDONE) & (np.abs(np.log(scales)) > np.log(UNDONE) - 1e-6)
        return int(np.argmax(there)) if there.any() else None

    def allowed(self, scales: Array, move: Array) -> tuple[Array, float]:
        """Return the scales after as much of ``move`` as is allowed, and what the rest would do to a normalization."""
        change = 0.0
        for halving in range(HALVINGS + 1):
            candidate = np.clip(scales + move / 2**halving, 1 / self.bounds, self.bounds)
            if not self.effects:
                return candidate, 0.0
            change = self._change(candidate)
            if change <= EFFECT:
                return candidate, 0.0
        return scales, change

    def _change(self, scales: Array) -> float:
        try:
            return moved(self.effects, self.scaled.effects(scales))
        except BadInput:  # values that are not finite
            return 1.0


def _descend(
    scaled: Scaled, goal: Goal, loss: Loss, rate: float | None, steps: int, first: tuple[Array, Array]
) -> _Descent:
    """Take up to ``steps`` steps from a = 1, where J and the slopes are ``first``."""
    ones = np.ones(len(scaled.names))
    descent, guard = _Descent(ones, [], ones), _Guard(scaled, goal, first[1])
    for step in range(steps + 1):
        try:
            if rate is None:
                jacobians, slopes = first if step == 0 else scaled.slopes(descent.scales)
                move = descent.scales * np.expm1(_newton(goal, loss, jacobians, slopes, guard.bounds))
            else:
                jacobians, gradient = scaled.gradient(descent.scales, lambda j: loss_slope(goal, loss, j))
                move = -rate * gradient
        except BadInput as error:
            if step == 0:
                raise
            descent.halted = f"after {step} steps {error}"
            break
        beyond = guard.beyond(descent.scales)
        descent.see(jacobians, goal, beyond=beyond is not None)
        if goal.met(jacobians).all() or step == steps or np.abs(move).max() < 1e-9:
            break
        if rate is None and descent.slow > PATIENCE:
            descent.halted = "" if beyond is None else (
                f"the scale of {scaled.names[beyond]} would leave [1/{UNDONE:g}, {UNDONE:g}]: a normalization undoes "
                "it, and it only changes how fast the weight learns"
            )  # fmt: skip
            break
        begun = descent.scales + move
        if not (np.isfinite(begun) & (begun > 0)).all():
            worst = int(np.argmin(np.where(np.isfinite(begun), begun, -np.inf)))
            descent.halted = (
                f"step {step + 1} at the rate {rate} takes the scale of {scaled.names[worst]} to "
                f"{begun[worst]:.3g}, from where no step returns: take a smaller rate, or none"
            )
            break
        found, change = guard.allowed(descent.scales, move)
        if change:
            descent.halted = (
                f"step {step + 1} is refused: it would change the effect of a normalization, var/(var + eps), by "
                f"{change:.1%}"
            )
        if np.abs(found - descent.scales).max() < 1e-9:
            break
        descent.scales = found
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


def _newton(goal: Goal, loss: Loss, jacobians: Array, slopes: Array, bounds: Array) -> Array:
    """Return the smallest change (P,) of log a that to first order brings every pair to its target, within bounds.

    A pair whose slopes are faint, and do not lead to its target within the bounds, is not asked: following them would
    move weights far for nothing.
    """
    off = goal.distance(jacobians)
    off = off if loss == "log" else -np.expm1(-off)
    steep = np.abs(slopes)
    hopeless = (steep.max(1) < FAINT) & (steep @ np.log(bounds) < np.abs(off))
    wanted = (jacobians > 0) & ~goal.free & ~(goal.bounded & (off <= 0)) & (steep.max(1) > 0) & ~hopeless
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
        within = np.exp(goal.target[goal.bounded].sum())
        skips = f"; {count} unscaled skips keep J > 1, together within a factor {within:.3g}"
        left = f"; {int(goal.kept.sum())} blocks, critical as they are or as a whole, are left alone"
        return "every block is at its target" + (skips if count else "") + (left if goal.kept.any() else "")
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
