"""Learning-rate schedules: the factor on ``lr`` of every step, torch's ``lr_scheduler`` counted from step 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from phasescope.checks import plain
from phasescope.errors import shown
from phasescope.vocabulary import BadInput

Schedule = str | Callable[[int], float]


def factor(schedule: Schedule, numbers: Mapping[str, float], step: int, steps: int) -> float:
    """Return the factor on the learning rate of ``step`` (1, 2, ..., ``steps``).

    Warm-up is torch's ``LinearLR(start_factor=1/w, total_iters=w - 1)``; what follows after w steps is ``LinearLR(1,
    lr_floor, steps - w)``, ``CosineAnnealingLR(steps - w)`` or ``StepLR(drop_every, drop_factor)``. One's own function
    is asked for every step, and warm-up comes on top of it. Raises ``BadInput`` where that gives no number >= 0.
    """
    warmup = int(numbers["warmup"])
    warm = min(step / warmup, 1.0) if warmup else 1.0
    if callable(schedule):
        return warm * own_factor(schedule, step)
    if step <= warmup or schedule == "constant":
        return warm
    gone, floor = step - 1 - warmup, numbers["lr_floor"]
    if schedule == "step":
        return float(numbers["drop_factor"] ** (gone // int(numbers["drop_every"])))
    part = gone / (steps - warmup)
    left = 1 - part if schedule == "linear" else (1 + math.cos(math.pi * part)) / 2
    return floor + (1 - floor) * left


def own_factor(schedule: Callable[[int], float], step: int) -> float:
    """Return what one's own schedule says of a step. Raises ``BadInput`` for anything but a finite number >= 0."""
    value = plain(schedule(step))
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise BadInput(f"schedule({step}) is {shown(value)}: let it return the factor on lr, a finite number >= 0.")
    return float(value)
