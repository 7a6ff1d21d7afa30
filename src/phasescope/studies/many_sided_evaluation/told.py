"""The names of the models that ``many-sided-evaluation`` asks: whole, healed, and without each block of layers."""

from __future__ import annotations

WHOLE, NEAREST, RANDOM, HEALED, LONGER = "whole", "nearest", "random", "healed", "whole, same steps"


def block(start: int, n: int) -> str:
    """Write the model without the ``n`` layers from ``start`` on.

    >>> block(1, 2), block(3, 1)
    ('without 1-2', 'without 3')
    """
    return f"without {start}-{start + n - 1}" if n > 1 else f"without {start}"


def all_blocks(depth: int, most: int) -> list[tuple[int, int]]:
    """Return start and size of every block of one to ``most`` layers."""
    return [(start, n) for n in range(1, most + 1) for start in range(depth - n + 1)]


def blocks_of(depth: int, most: int) -> list[str]:
    """Return the names of the models without each block."""
    return [block(*one) for one in all_blocks(depth, most)]


def names_of(depth: int, most: int) -> list[str]:
    """Return the names of all models; the nearest and the random block are among the blocks, too."""
    return [WHOLE, NEAREST, RANDOM, HEALED, LONGER, *blocks_of(depth, most)]
