"""The parts of blocks that the signal passes one after the other: attention, cross-attention and MLP of a transformer.

A part of a block is a row of its own if the stream has a cut behind it, before the next part begins: the sum to which
it is added. What holds no weight of two axes (normalizations, scales, dropout) is none, and belongs to the row around.
"""

from __future__ import annotations

from collections.abc import Sequence

from phasescope.inspection.rows import Row, Search
from phasescope.vocabulary import BadInput


def sublayers(search: Search, part: Sequence[Row]) -> list[Row]:
    """Return the one row of all parts of the blocks of ``part``; a block that has not two of them stays whole.

    Raises ``BadInput`` where no block has two parts.
    """
    blocks = list(dict.fromkeys(name for row in part for name in row.names))
    inner = {block: _weighted(search, block) for block in blocks}
    if part[0].begin is None:  # the signal begins behind the first block
        inner[blocks[0]] = [blocks[0]]
    every = _row(search, part, [name for names in inner.values() for name in names])
    ends = every.names if every else []
    kept = {block: [name for name in names if name in ends] for block, names in inner.items()}
    chosen = [name for block, names in kept.items() for name in (names if len(names) > 1 else [block])]
    row = _row(search, part, chosen) if len(chosen) > len(blocks) else None
    if row is None:
        raise BadInput(
            f"the blocks of this model, such as {blocks[-1]!r}, have no parts one after the other that are added to "
            "the signal, as attention and MLP are: leave out sublayers, or name modules with blocks=..."
        )
    return [row]


def _weighted(search: Search, block: str) -> list[str]:
    """Return the outermost modules inside ``block`` that are called and hold a weight of two axes or more."""
    found: list[str] = []
    for name in search.modules:
        if name.startswith(f"{block}.") and any(p.dim() > 1 for p in search.parts[name].parameters()):
            found.append(name)
    return [name for name in found if not any(name.startswith(f"{other}.") for other in found)]


def _row(search: Search, part: Sequence[Row], names: Sequence[str]) -> Row | None:
    """Return the row of those of ``names`` that end at cuts of the stream of ``part``."""
    begin, last = part[0].begin or part[0].ends[0], part[-1].ends[-1].value
    calls = sorted((now for name in names for now in search.calls.get(name, ())), key=lambda now: now.begin)
    rows = [row for sink in (None, last) if (row := search.along(names, calls, begin, sink, some=True)) is not None]
    return max(rows, key=lambda row: len(row.calls), default=None)
