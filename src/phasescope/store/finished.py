"""Finished pieces of work, kept in a folder where one is given, so that a call that was stopped goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from phasescope.store.store import Store
from phasescope.vocabulary import Array

Piece = tuple[dict[str, Array], dict[str, Any]]
"""Arrays, and facts that are plain nested data, as ``Store.save`` takes them."""


class Finished:
    """Pieces of work that are done, in the folder ``out``, by their identities; without a folder nothing is kept.

    Raises ``BadInput`` as ``Store`` does.
    """

    def __init__(self, out: Path | str | None) -> None:
        self._store = Store(out) if out is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            self._store.close()

    def piece(self, identity: Callable[[], Mapping[str, Any]], make: Callable[[], Piece]) -> Piece:
        """Return what ``make`` gives, from the folder where it is done. ``identity`` is asked only if there is one.

        Read again, arrays have the same bits and tuples among the facts are lists.
        """
        if self._store is None:
            return make()
        own = identity()
        known = self._store.load(own)
        if known is None:
            known = make()
            self._store.save(own, *known)
        return known
