"""One's own functions in a recipe: what they must take and give, tried on one step before anything is trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from phasescope.checks import takes
from phasescope.ensemble.jobs import Job
from phasescope.ensemble.optimizers import decay_factor
from phasescope.ensemble.rates import own_factor
from phasescope.ensemble.schedule import record_steps
from phasescope.ensemble.streams import undrawn
from phasescope.errors import shown
from phasescope.vocabulary import BadInput

ARGUMENTS = {
    "schedule": ("step",),
    "decayed": ("name", "shape"),
    "loss": ("outputs", "targets"),
    "stop": ("steps", "readings"),
    "optimizer": ("parameters", "gradients", "state", "step", "lr"),
}


def check_own(job: Job, outputs: Tensor, targets: Tensor) -> None:
    """Try each function of one's own in a job's recipe on some rows. Raises ``BadInput`` for what it must not give.

    ``outputs`` (N, K) or (N, T, K) are what the network answers to these rows, ``targets`` what they should be.
    """
    functions = job.recipe.functions
    if not functions:
        return
    for name, function in functions.items():
        takes(name, function, *ARGUMENTS[name])

    def ask() -> None:
        if "schedule" in functions:
            for step in record_steps(job.recipe)[1:].tolist():
                own_factor(functions["schedule"], step)
        learnt = {name: p.detach().clone() for name, p in job.module.named_parameters() if p.requires_grad}
        for name, value in learnt.items():
            decay_factor(job.recipe.decayed, name, value.shape)
        if "loss" in functions:
            _check_loss(functions["loss"], outputs, targets)
        if "optimizer" in functions:
            _check_optimizer(functions["optimizer"], learnt, job.recipe.lr)

    undrawn(
        ask,
        f"{' or '.join(functions)} of the recipe draws random numbers from a global generator, which no stream "
        "can replay: leave chance to the data and to phasescope.learners.KeyedDropout.",
    )


def _check_loss(loss: Any, outputs: Tensor, targets: Tensor) -> None:
    targets = targets if targets.is_floating_point() else targets.long()
    shape = tuple(targets.shape[:1] if targets.is_floating_point() else targets.shape)
    wanted = f"a tensor {shape} of real numbers, the loss of each {'position' if len(shape) > 1 else 'sample'}"
    try:
        found = loss(outputs, targets)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:160]
        raise BadInput(
            f"loss fails on outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)}, {targets.dtype}: {said}"
        ) from error
    if not isinstance(found, Tensor) or tuple(found.shape) != shape or not found.is_floating_point():
        given = f"{found.dtype} of shape {tuple(found.shape)}" if isinstance(found, Tensor) else shown(found)
        raise BadInput(f"loss gives {given} for outputs {tuple(outputs.shape)}: it must give {wanted}.")
    if not found.requires_grad:
        raise BadInput("what loss gives has no gradient: is it detached, or reckoned outside torch?")


def _check_optimizer(rule: Any, parameters: dict[str, Tensor], lr: float) -> None:
    """Take two steps with small gradients: the second has a state."""
    gradients = {name: torch.full_like(p, 1e-3) for name, p in parameters.items()}
    state: dict[str, Tensor] = {}
    given = [*parameters.values(), *gradients.values()]
    versions = [value._version for value in given]
    for step in (1, 2):
        rate = torch.tensor(lr, dtype=next(iter(parameters.values())).dtype)
        found = rule(dict(parameters), dict(gradients), dict(state), step, rate)
        if not isinstance(found, tuple | list) or len(found) != 2 or not all(isinstance(part, dict) for part in found):
            raise BadInput(f"optimizer gives {shown(found)}: it must give a pair of dicts, parameters and state.")
        changed, after = found
        for name, value in parameters.items():
            new = changed.get(name)
            if not isinstance(new, Tensor) or new.shape != value.shape or len(changed) != len(parameters):
                raise BadInput(
                    f"optimizer gives {shown(new)} for {name!r} {tuple(value.shape)}: its first dict must have every "
                    "parameter, in the shape that it had, and nothing else."
                )
        wrong = [n for n, value in after.items() if not (isinstance(n, str) and isinstance(value, Tensor))]
        if wrong or (step == 2 and {n: v.shape for n, v in after.items()} != {n: v.shape for n, v in state.items()}):
            raise BadInput(
                f"optimizer keeps {shown(wrong[0] if wrong else sorted(after))} as its state: its second dict must "
                "hold tensors by name, the same names and shapes after every step."
            )
        state = after
    if [value._version for value in given] != versions:
        raise BadInput("optimizer changes what it is given in place: let it return new tensors, p - lr * g for p.")
