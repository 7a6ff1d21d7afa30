"""What is read of a check's networks, kept in a folder: the same call trains only those that are not there yet.

A network is known by its builder's code *and* by itself, weights and all, as it is before its first step: what the
builder read from a file, from the shell's variables, from a counter or from a clock is in its weights. So it is built
at each call, and trained only where nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phasescope.errors import resumable
from phasescope.identity import fingerprint, house_fingerprint, surroundings
from phasescope.store import Store
from phasescope.vocabulary import Array, BadInput, Recipe
from phasescope.width.training import Begun, Plan, begun

AGAIN = (
    "the builder made another network when it was asked again for the same width and seed, so no record of one could "
    "be found again: let it depend on the width alone, and draw its weights from torch's or numpy's shared generator."
)
Found = tuple[dict[str, Array], dict[str, Any]]


class Kept:
    """Arrays and facts of networks, by what decides them: without a store they are made at each call."""

    def __init__(self, store: Store | None) -> None:
        self._store = store

    def plan(self, plan: Plan, module: str, *own: Any) -> dict[str, Any]:
        """Return what decides the networks of ``plan`` but for themselves and the rate: code, data and recipe.

        ``own``: what else does, such as one's own optimizer. ``module`` is the house's code that trains and reads.
        Raises ``BadInput``, if anything is kept, where one's own code or data can not be told, and where the builder's
        networks depend on more than size and seed.
        """
        if self._store is None:
            return {}
        _refuse_another(plan)
        recipe = plan.recipe.model_dump(mode="json", exclude={"lr"})
        return {
            "width": 2,
            "given": fingerprint(plan.builder, plan.inputs, plan.targets, plan.recipe.functions, plan.layers, own),
            "recipe": recipe,
            "parametrization": plan.parametrization,
            "base": plan.base,
            "code": house_fingerprint(module),
        }

    def network(self, network: Begun) -> dict[str, Any]:
        """Return what a network is as training begins. Raises ``BadInput`` where that can not be told."""
        if self._store is None:
            return {}
        # after it was built: builders change settings of torch, too
        return {"size": network.size, "seed": network.seed, "network": mark_of(network), "surroundings": surroundings()}

    def found(self, identity: Mapping[str, Any], make: Callable[[], Found]) -> Found:
        """Return what is kept under ``identity``, or else what ``make`` returns, which is kept from then on."""
        known = None if self._store is None else self._store.load(identity)
        if known is not None:
            return known
        made = make()
        if self._store is not None:
            self._store.save(identity, *made)
        return made

    def number(self, identity: Mapping[str, Any], make: Callable[[], float]) -> float:
        """Return one number, as ``found``."""
        return float(self.found(identity, lambda: ({"value": np.array(make())}, {}))[0]["value"])


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
    """Return whether all that the networks of ``builder`` depend on can be told, and they come again; one is built."""
    try:
        fingerprint(builder)
        _refuse_another(Plan(builder, None, torch.zeros(0), Recipe(), "given", size, None))
    except BadInput:
        return False
    return True


@contextmanager
def kept_in(out: Path | str | None) -> Iterator[Kept]:
    """Yield what keeps networks in the folder ``out``, or nothing. Raises ``Interrupted`` at Ctrl-C."""
    store = None if out is None else Store(out)
    try:
        with resumable(kept=store is not None):
            yield Kept(store)
    finally:
        if store is not None:
            store.close()
