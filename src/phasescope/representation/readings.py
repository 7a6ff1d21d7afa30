"""What a small tool of this room returns for each number: value, error and null, and how they print."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from phasescope.vocabulary import Array


@dataclass(frozen=True)
class Measured:
    """A reading: ``value`` with its standard ``error``, and what white noise of the same shape reads, ``null``.

    NaN where there is none. The pieces that say so have another null than white noise.
    """

    value: float
    error: float
    null: float


HEADER = ("", "value", "error", "null")


def spread(left: Sequence[float] | Array) -> float:
    """Return the standard error from readings without one run of rows each."""
    return math.sqrt((len(left) - 1) * float(np.var(left)))


def left_out(count: int, runs: int, read: Callable[[Array], float]) -> float:
    """Return the standard error of ``read``, given which of ``count`` rows to keep: runs of rows left out in turn."""
    found = []
    for part in np.array_split(np.arange(count), min(runs, count)):
        kept = np.ones(count, dtype=bool)
        kept[part] = False
        found.append(read(kept))
    return spread(found)


def table(readings: Mapping[str, Measured], said: str = "") -> str:
    """Return a table of named readings, one a line, with ``said`` below it."""
    rows = [HEADER, *((name, *map(_number, (one.value, one.error, one.null))) for name, one in readings.items())]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join([*lines, *([said] if said else [])])


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}" if abs(value) >= 100 else f"{value:.4f}"
