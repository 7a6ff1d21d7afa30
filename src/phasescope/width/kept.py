"""What is read of a check's networks, kept in a folder: the same call trains only those that are not there yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from phasescope.errors import resumable
from phasescope.identity import fingerprint, house_fingerprint, surroundings
from phasescope.store import Store
from phasescope.vocabulary import Array
from phasescope.width.training import Plan

Found = tuple[dict[str, Array], dict[str, Any]]


class Kept:
    """Arrays and facts of networks, by what decides them: without a store they are made at each call."""

    def __init__(self, store: Store | None) -> None:
        self._store = store

    def plan(self, plan: Plan, module: str, *own: Any) -> dict[str, Any]:
        """Return what decides the networks of ``plan`` but for size, seed and rate: their code, data and recipe.

        ``own``: what else does, such as one's own optimizer. ``module`` is the house's code that trains and reads.
        Raises ``BadInput`` where one's own code or data can not be told, if anything is kept.
        """
        if self._store is None:
            return {}
        recipe = plan.recipe.model_dump(mode="json", exclude={"lr"})
        return {
            "width": 1,
            "given": fingerprint(plan.builder, plan.inputs, plan.targets, plan.recipe.functions, plan.layers, own),
            "recipe": recipe,
            "parametrization": plan.parametrization,
            "base": plan.base,
            "code": house_fingerprint(module),
            "surroundings": surroundings(),
        }

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


@contextmanager
def kept_in(out: Path | str | None) -> Iterator[Kept]:
    """Yield what keeps networks in the folder ``out``, or nothing. Raises ``Interrupted`` at Ctrl-C."""
    store = None if out is None else Store(Path(out))
    try:
        with resumable(kept=store is not None):
            yield Kept(store)
    finally:
        if store is not None:
            store.close()
