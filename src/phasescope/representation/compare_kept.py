"""What of a comparison is kept in a folder, so that a call that was stopped goes on at the next pair of layers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from typing import Any

import numpy as np
import torch

from phasescope.representation.similarity_clouds import Cloud
from phasescope.representation.similarity_kernels import AllPairs
from phasescope.representation.similarity_measures import Reading
from phasescope.store import Finished
from phasescope.store.finished import Piece

Readings = dict[str, Reading]
Tables = tuple[AllPairs, AllPairs]


def kernels_of(finished: Finished, clouds: Sequence[Cloud], make: Callable[[], Tables]) -> Tables:
    """Return the two tables of CKA between all ``clouds``, made only where they are not kept."""
    names = [field.name for field in fields(AllPairs)]

    def made() -> Piece:
        return {f"{name} {i}": getattr(table, name).numpy() for i, table in enumerate(make()) for name in names}, {}

    arrays, _ = finished.piece(lambda: {"cka of": [digest(cloud) for cloud in clouds], "version": 2}, made)
    first, second = (AllPairs(**{name: torch.tensor(arrays[f"{name} {i}"]) for name in names}) for i in (0, 1))
    return first, second


def readings_of(
    finished: Finished, a: Cloud, b: Cloud, asked: dict[str, Any], make: Callable[[], Readings]
) -> Readings:
    """Return the readings of a pair of clouds, made only where they are not kept for the same question."""

    def made() -> Piece:
        found = make()
        values = np.array([astuple(one) for one in found.values()], dtype=np.float64)
        return {"readings": values}, {"measures": list(found)}

    arrays, facts = finished.piece(lambda: {"a": digest(a), "b": digest(b), "version": 1, **asked}, made)
    return dict(zip(facts["measures"], map(_reading, arrays["readings"].tolist()), strict=True))


def _reading(row: list[float]) -> Reading:
    value, error, mean, spread, ceiling, draws = row
    return Reading(value, error, mean, spread, ceiling, int(draws))


def digest(cloud: Cloud) -> str:
    """Return what tells a cloud from others: its axes and sizes, by their bits."""
    found = hashlib.sha256()
    for part in (cloud.axes, cloud.sizes):
        found.update(str(tuple(part.shape)).encode() + part.contiguous().numpy().tobytes())
    return found.hexdigest()
