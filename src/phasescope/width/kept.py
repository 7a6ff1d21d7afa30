"""What is read of a check's networks, kept in a folder: the same call trains only those that are not there yet.

A network is known by its builder's code *and* by itself, weights and all, as it is before its first step: what the
builder read from a file, from the shell's variables, from a counter or from a clock is in its weights. So it is built
at each call, and trained only where nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from phasescope.errors import resumable
from phasescope.identity import fingerprint, house_fingerprint, surroundings
from phasescope.store import Finished
from phasescope.vocabulary import BadInput, Recipe
from phasescope.width.training import Begun, Plan, begun

AGAIN = (
    "the builder made another network when it was asked again for the same width and seed, so no record of one could "
    "be found again: let it depend on the width alone, and draw its weights from torch's or numpy's shared generator."
)


def told(plan: Plan, module: str, *own: Any) -> dict[str, Any]:
    """Return what decides the networks of ``plan`` but for themselves and the rate: code, data and recipe.

    ``own``: what else does, such as one's own optimizer. ``module`` is the house's code that trains and reads. Raises
    ``BadInput`` where one's own code or data can not be told, and where the builder's networks depend on more than
    size and seed.
    """
    _refuse_another(plan)
    return {
        "width": 2,
        "given": fingerprint(plan.builder, plan.inputs, plan.targets, plan.recipe.functions, plan.layers, own),
        "recipe": plan.recipe.model_dump(mode="json", exclude={"lr"}),
        "parametrization": plan.parametrization,
        "base": plan.base,
        "code": house_fingerprint(module),
    }


def identity(known: dict[str, Any], network: Begun, rate: float) -> dict[str, Any]:
    """Return the identity of a network as training begins. Raises ``BadInput`` where it can not be told."""
    own = {"rate": rate, "size": network.size, "seed": network.seed, "network": mark_of(network)}
    # what surrounds it is asked after it was built: builders change settings of torch, too
    return {**known, **own, "surroundings": surroundings()}


def mark_of(network: Begun) -> dict[str, Any]:
    """Return what tells a network from all others: code, weights, modes, places and factors on rates."""
    module = network.module
    return {
        "is": fingerprint(module),
        "modes": "".join("01"[part.training] for part in module.modules()),
        "devices": sorted({p.device.type for p in module.parameters()}),
        "rates": {name: scaling.rate for name, scaling in network.factors.items()},
    }


def _refuse_another(plan: Plan) -> None:
    if mark_of(begun(plan, plan.base, 0)) != mark_of(begun(plan, plan.base, 0)):
        raise BadInput(AGAIN)


def can_be_kept(builder: Any, size: int) -> bool:
    """Return whether all that the networks of ``builder`` depend on can be told, and they come again; two are built."""
    try:
        fingerprint(builder)
        _refuse_another(Plan(builder, None, torch.zeros(0), Recipe(), "given", size, None))
    except BadInput:
        return False
    return True


@contextmanager
def kept_in(out: Path | str | None) -> Iterator[Finished]:
    """Yield what keeps networks in the folder ``out``, or nothing. Raises ``Interrupted`` at Ctrl-C."""
    with resumable(kept=out is not None), Finished(out) as finished:
        yield finished
