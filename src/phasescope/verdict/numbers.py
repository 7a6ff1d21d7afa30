"""How numbers are told: three digits for readers, strict JSON for machines."""

from __future__ import annotations

import math
from typing import Any


def show(value: float) -> str:
    """Return ``value`` with three significant digits, whole numbers below a million in full, NaN as a dash.

    >>> show(0.123456), show(12345.6), show(1.5e-7), show(math.inf), show(math.nan)
    ('0.123', '12,346', '1.5e-07', 'inf', '–')
    """
    if math.isnan(value):
        return "–"
    if 1000 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value + 0.0:.3g}"


def show_interval(low: float, high: float) -> str:
    """Return a closed interval for readers.

    >>> show_interval(0.98765, math.inf)
    '[0.988, inf]'
    """
    return f"[{show(low)}, {show(high)}]"


def pack(value: float) -> float | str | None:
    """Return ``value`` as strict JSON can hold it: a number, ``"Infinity"``, ``"-Infinity"``, or None for
    NaN.

    Python's ``float`` and JavaScript's ``Number`` both read these strings back.

    >>> pack(1.5), pack(-math.inf), pack(math.nan)
    (1.5, '-Infinity', None)
    """
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(value) + 0.0  # no -0.0


def unpack(value: Any) -> float:
    """Return the number that ``pack`` wrote; ``ValueError`` or ``TypeError`` for anything else.

    >>> unpack("-Infinity"), unpack(None), unpack(1.5)
    (-inf, nan, 1.5)
    """
    return math.nan if value is None else float(value)
