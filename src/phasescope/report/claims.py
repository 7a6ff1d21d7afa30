"""A claim as the page shows it: its numbers in words, and the geometry of its bar.

The bar puts on one axis what was expected (a band), what was measured with its interval, and the control.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from .scales import log_ticks

SYMBOLS = {"holds": "✓", "fails": "✗", "undecided": "?"}
LEFT, RIGHT = 12.0, 348.0  # where the axis of a bar begins and ends, in its own units
EDGE = 8.0  # how far beyond the axis an open end reaches
FOLDS = 60.0  # a bar is logarithmic if its positive numbers span more than this factor


@dataclass(frozen=True)
class Track:
    """An interval and the value in it: the places of its ends, which of them are open, and the value's."""

    start: float
    stop: float
    open_start: bool
    open_stop: bool
    dot: float | None
    exact: bool


@dataclass(frozen=True)
class Bar:
    """The geometry of a claim's bar: the band expected, both tracks (None without an interval), and ticks."""

    band: tuple[float, float]
    measured: Track | None
    control: Track | None
    ticks: tuple[tuple[float, str], ...]


def number(packed: Any) -> float:
    """Return the number that strict JSON holds: null is NaN, and infinities are words.

    >>> number("-Infinity"), number(None), number(2)
    (-inf, nan, 2.0)
    """
    return math.nan if packed is None else float(packed)


def show(packed: Any) -> str:
    """Return a number with three significant digits, whole ones below a million in full.

    >>> show(0.123456), show(12345.6), show("Infinity"), show(None)
    ('0.123', '12,346', '∞', 'no value')
    """
    value = number(packed)
    if math.isnan(value):
        return "no value"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value + 0.0:.3g}"
    return text.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e").replace("-", "−")


def show_interval(ends: Any) -> str:
    """Return ``[low, high]`` for readers, empty where there is none.

    >>> show_interval([0.98, "Infinity"]), show_interval([None, None])
    ('[0.98, ∞]', '')
    """
    low, high = ends
    return "" if math.isnan(number(low)) or math.isnan(number(high)) else f"[{show(low)}, {show(high)}]"


def bar(claim: Mapping[str, Any]) -> Bar:
    """Return the bar of a claim as ``--json`` has it."""
    expected, control = claim["expected"], claim["control"]
    numbers = [number(v) for v in (expected["low"], expected["high"], claim["measured"], control["measured"])]
    numbers += [number(v) for v in (*claim["interval"], *control["interval"])]
    finite = [v for v in numbers if math.isfinite(v)] or [0.0]
    log = min(finite) > 0 and max(finite) > FOLDS * min(finite)
    low, high = _ends(min(finite), max(finite), log)

    def place(value: float) -> float:
        if math.isinf(value):
            return LEFT - EDGE if value < 0 else RIGHT + EDGE
        a, b, c = (math.log(v) if log else v for v in (low, value, high))
        return round(LEFT + (RIGHT - LEFT) * (b - a) / (c - a), 1)

    ticks = log_ticks(low, high) if log else _linear_ticks(low, high)
    return Bar(
        band=(place(number(expected["low"])), place(number(expected["high"]))),
        measured=_track(claim, place),
        control=_track(control, place),
        ticks=tuple((place(v), show(v)) for v in ticks),
    )


def _ends(low: float, high: float, log: bool) -> tuple[float, float]:
    if log:
        return low / (high / low) ** 0.08, high * (high / low) ** 0.08
    reach = 0.08 * (high - low) if high - low > 1e-9 * max(abs(low), abs(high)) else 0.1 * abs(high) or 1.0
    return low - reach, high + reach


def _linear_ticks(low: float, high: float) -> list[float]:
    found = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(v) for v in np.round(found, 12) if low <= v <= high]


def _track(result: Mapping[str, Any], place: Any) -> Track | None:
    low, high = (number(end) for end in result["interval"])
    value = number(result["measured"])
    if math.isnan(low) or math.isnan(high):
        return None
    start, stop = place(low), place(high)
    dot = None if math.isnan(value) else place(value)
    if low == high and math.isinf(low):
        dot = None
    return Track(start, stop, math.isinf(low) and low < 0, math.isinf(high) and high > 0, dot, stop - start < 5)


def readable(text: str) -> str:
    """Return the text of an expectation with the signs of print.

    >>> readable(">= 0.95")
    '≥ 0.95'
    """
    return text.replace(">=", "≥").replace("<=", "≤")


def in_words(claim: Mapping[str, Any]) -> str:
    """Return what a claim's bar shows, for those who do not see it."""
    control = claim["control"]
    unit = f" {claim['unit']}" if claim.get("unit") else ""
    return (
        f"Measured {show(claim['measured'])}{unit} {show_interval(claim['interval'])}, "
        f"expected {readable(claim['expected']['text'])}, "
        f"control {show(control['measured'])} {show_interval(control['interval'])}."
    ).replace(" ,", ",")
