"""Tables with one line for each row, cut to the terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

GAP = 2


@dataclass(frozen=True)
class Column:
    """A column: its heading, and the most characters that it takes; 0 for all that is left."""

    name: str
    most: int = 0


def columns() -> int:
    """Return how wide the terminal is; 100 where there is none."""
    return max(shutil.get_terminal_size((100, 24)).columns, 40)


def cut(words: str, width: int) -> str:
    """Return words of at most ``width`` characters, with a mark where they were cut.

    >>> cut("phase alignment", 9)
    'phase al…'
    """
    return words if len(words) <= width else f"{words[: max(width - 1, 0)]}…"


def table(heads: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield a heading and a line for each row, none longer than ``width``; columns are no wider than their words."""
    words = [[head.name for head in heads], *rows]
    widths = [max(len(row[at]) for row in words) for at in range(len(heads))]
    widths = [min(found, head.most or found) for found, head in zip(widths, heads, strict=True)]
    free = max(sum(head.most == 0 for head in heads), 1)
    left = width - GAP * (len(heads) - 1) - sum(w for w, head in zip(widths, heads, strict=True) if head.most)
    widths = [w if head.most else min(w, max(left // free, 8)) for w, head in zip(widths, heads, strict=True)]
    for row in words:
        line = (" " * GAP).join(cut(cell, w).ljust(w) for cell, w in zip(row, widths, strict=True))
        yield cut(line.rstrip(), width)
