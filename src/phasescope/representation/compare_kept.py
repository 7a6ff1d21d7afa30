"""What of a comparison is kept in a folder, so that a call that was stopped goes on at the next pair of layers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch

from phasescope.representation.similarity_clouds import Cloud
from phasescope.representation.similarity_kernels import AllPairs
from phasescope.representation.similarity_measures import Reading
from phasescope.store import Store

Readings = dict[str, Reading]


class Kept:
    """Pairs of layers that are done, and the table of CKA, by the bits of the clouds and by what was asked.

    Without a folder nothing is kept.
    """

    def __init__(self, out: Path | str | None) -> None:
        self.store = Store(Path(out)) if out is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.store is not None:
            self.store.close()

    def kernels(
        self, clouds: Sequence[Cloud], make: Callable[[], tuple[AllPairs, AllPairs]]
    ) -> tuple[AllPairs, AllPairs]:
        """Return the two tables of CKA between all ``clouds``, made only where they are not kept."""
        if self.store is None:
            return make()
        identity = {"cka of": [digest(cloud) for cloud in clouds], "version": 1}
        known = self.store.load(identity)
        names = [field.name for field in fields(AllPairs)]
        if known is not None:
            found = [
                AllPairs(**{name: torch.from_numpy(known[0][f"{name} {i}"].copy()) for name in names}) for i in (0, 1)
            ]
            return found[0], found[1]
        made = make()
        arrays = {f"{name} {i}": getattr(table, name).numpy() for i, table in enumerate(made) for name in names}
        self.store.save(identity, arrays, {})
        return made

    def pair(self, a: Cloud, b: Cloud, asked: dict[str, object], make: Callable[[], Readings]) -> Readings:
        """Return the readings of a pair of clouds, made only where they are not kept for the same question."""
        if self.store is None:
            return make()
        identity = {"a": digest(a), "b": digest(b), "version": 1, **asked}
        known = self.store.load(identity)
        if known is not None:
            rows = zip(known[1]["measures"], known[0]["readings"].tolist(), strict=True)
            return {name: _reading(row) for name, row in rows}
        made = make()
        readings = np.array([astuple(one) for one in made.values()], dtype=np.float64)
        self.store.save(identity, {"readings": readings}, {"measures": list(made)})
        return made


def _reading(row: list[float]) -> Reading:
    value, error, mean, spread, ceiling, draws = row
    return Reading(value, error, mean, spread, ceiling, int(draws))


def digest(cloud: Cloud) -> str:
    """Return what tells a cloud from others: its axes and sizes, by their bits."""
    found = hashlib.sha256()
    for part in (cloud.axes, cloud.sizes):
        found.update(str(tuple(part.shape)).encode() + part.contiguous().numpy().tobytes())
    return found.hexdigest()
