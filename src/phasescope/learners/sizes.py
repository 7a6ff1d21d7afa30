"""The domains of learners' sizes: whole numbers small enough that a network of them can be made."""

from __future__ import annotations

from typing import Any

from phasescope.checks import number, sequence, whole

size = whole(1, 1_000_000)
lazy = whole(1, 10**12)  # of arrays that take no memory until they are written: the engine refuses with both numbers
count = whole(0, 1_000_000)
strength = number(-1e15, 1e15)  # factors and variances that float32 can still square


def sizes(name: str, values: Any) -> tuple[int, ...]:
    """Read a list of sizes, 0 among them."""
    return tuple(count(name, value) for value in sequence(name, values, 10_000))
