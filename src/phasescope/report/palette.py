"""How series are told apart: by colour, by lightness (so in grey too), by marker and by dashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["measured", "theory", "control"]
Dashes = Literal["-", "--", "-.", ":"]

COLOURS = ("#4527a0", "#d8980f", "#12817a", "#a13016", "#a974dc", "#3d0a4f")
THEORY_COLOURS = ("#000000", "#767676", "#444444")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":")
PHASES = ("#dab463", "#393879", "#06827c", "#bfe3ec", "#993546", "#d68569", "#faf4d9", "#1a2c3b")
TWO_PHASES = ("#dfe6ea", "#4f7693")
MAP = "viridis"
MISSING = "#e4e4e4"
MUTED = "#555555"
INK = "#1d1c1a"


@dataclass(frozen=True)
class Style:
    """How one series is drawn; an empty ``marker`` means none, and controls have hollow ones."""

    colour: str
    dashes: Dashes
    marker: str
    hollow: bool
    width: float


def styles(roles: Sequence[Role]) -> list[Style]:
    """Return one style per series: measured solid with points, controls dashed and hollow, theory plain.

    >>> [style.dashes for style in styles(["measured", "theory", "control"])]
    ['-', '-', '--']
    """
    drawn = theory = 0
    chosen = []
    for role in roles:
        if role == "theory":
            chosen.append(_theory(theory))
            theory += 1
        else:
            chosen.append(_data(drawn, role == "control"))
            drawn += 1
    return chosen


def _data(number: int, control: bool) -> Style:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    return Style(colour, "--" if control else "-", marker, control, 1.6)


def _theory(number: int) -> Style:
    choice: tuple[Dashes, ...] = ("-", "-", "-.", ":")
    dashes = choice[number % 4]
    return Style(THEORY_COLOURS[number % len(THEORY_COLOURS)], dashes, "", False, 1.2)


def phase_colours(count: int) -> tuple[str, ...]:
    """Return the colours of ``count`` phases by their position, calm ones for two.

    >>> phase_colours(3) == phase_colours(6)[:3]
    True
    """
    return TWO_PHASES[:count] if count <= len(TWO_PHASES) else PHASES[:count]


def ink(ground: str) -> str:
    """Return the colour, nearly black or white, that is read best on ``ground``."""
    return max(INK, "#ffffff", key=lambda colour: contrast(colour, ground))


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rrggbb``, 0 black to 1 white (WCAG 2.2).

    >>> luminance("#000000"), luminance("#ffffff")
    (0.0, 1.0)
    """
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])


def lightness(colour: str) -> float:
    """Return the CIE lightness L* of ``#rrggbb``, 0 black to 100 white: what is left of it in grey."""
    y = luminance(colour)
    return float(116 * y ** (1 / 3) - 16) if y > 0.008856 else 903.3 * y


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2; text needs 4.5)."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)
