"""Where numbers lie on an axis: limits, ticks, cell edges, and the place of a zero on a logarithmic axis.

Infinite and missing numbers have no place (NaN); nor have negative ones on a logarithmic axis. A zero there,
such as step 0 or no weight decay, lies at the left or lower edge under a tick of its own.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis as DrawnAxis
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
)

from phasescope.figures import Axis
from phasescope.vocabulary import Array

SLANT = 35  # degrees of the names of categories
NAME, NAME_LETTER = 24, 0.066  # letters of a name at most, and inch of an average one


@dataclass(frozen=True)
class Scale:
    """An axis that knows its data: ``low`` to ``high``, and ``zero``, the place of 0 where it needs one.

    ``whole``: the data are integers, and so are the ticks.
    """

    axis: Axis
    low: float
    high: float
    zero: float | None = None
    whole: bool = False

    @property
    def log(self) -> bool:
        """Whether the axis is logarithmic."""
        return self.axis.scale == "log"

    def place(self, values: Array) -> Array:
        """Return where ``values`` are drawn, NaN where they are not."""
        numbers = _floats(values)
        if self.log:
            zero = math.nan if self.zero is None else self.zero
            numbers = np.where(numbers > 0, numbers, np.where(numbers == 0, zero, math.nan))
        return np.where(np.isfinite(numbers), numbers, math.nan)

    def clip(self, values: Array) -> Array:
        """Return the ends of bands: infinite ones, and 0 or less on a logarithmic axis, reach the edge."""
        numbers = _floats(values)
        bottom = numbers <= 0 if self.log else numbers == -math.inf
        numbers = np.where(bottom, self.low, numbers)
        return np.where(numbers == math.inf, self.high, numbers)

    def share(self, places: Array) -> Array:
        """Return how far along the axis ``places`` (as from ``place``) lie, 0 to 1 within it."""
        a, b, c = (np.log(v) if self.log else v for v in (self.low, _floats(places), self.high))
        return np.asarray((b - a) / (c - a))


def fit(axis: Axis, values: Iterable[Array], *, zeros: bool = False, margin: float = 0.04) -> Scale:
    """Return a scale around the finite ``values``; with ``zeros`` a 0 has a place on a logarithmic axis."""
    chunks = [np.ravel(_floats(v)) for v in values]
    numbers = np.concatenate([np.empty(0), *chunks])
    finite = numbers[np.isfinite(numbers)]
    log = axis.scale == "log"
    shown = finite[finite > 0] if log else finite
    low, high = _padded(shown, log, margin)
    zero = None
    if log and zeros and (finite == 0).any():
        zero = float(shown.min() if shown.size else 1.0) / max(2.0, (high / low) ** 0.07)
        low = zero
    low, high = _limited(axis, low, high, log)
    return Scale(axis, low, high, zero if zero is None or zero >= low else None)


def _floats(values: Array) -> Array:
    return np.asarray(values, dtype=float)


def _padded(shown: Array, log: bool, margin: float) -> tuple[float, float]:
    if not shown.size:
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = float(shown.min()), float(shown.max())
    if log:
        factor = 2.0 if low == high else (high / low) ** margin
        return max(low / factor, 1e-300), min(high * factor, 1e300)
    reach = margin * (high - low) if high - low > 1e-9 * max(abs(low), abs(high)) else 0.1 * abs(high) or 0.5
    return low - reach, high + reach


def _limited(axis: Axis, low: float, high: float, log: bool) -> tuple[float, float]:
    if axis.limits is not None:
        wanted_low, wanted_high = axis.limits
        low = wanted_low if math.isfinite(wanted_low) and not (log and wanted_low <= 0) else low
        high = wanted_high if math.isfinite(wanted_high) else high
    if low < high:
        return low, high
    return (high / 10, high) if log and high > 0 else (low, low + 1)


def edges(centres: Array, log: bool) -> Array:
    """Return edges (n + 1,) of cells around ascending ``centres`` (n,): half-way, in logarithms if ``log``.

    >>> edges(np.array([1.0, 10.0, 100.0]), log=True).round(3).tolist()
    [0.316, 3.162, 31.623, 316.228]
    """
    u = np.log(centres) if log else centres
    if len(u) == 1:
        reach = math.log(2) / 2 if log else 0.5
        ends = np.array([u[0] - reach, u[0] + reach])
    else:
        inner = (u[1:] + u[:-1]) / 2
        ends = np.concatenate([[2 * u[0] - inner[0]], inner, [2 * u[-1] - inner[-1]]])
    return np.exp(ends) if log else ends


def apply(axes: Axes, which: str, scale: Scale) -> None:
    """Set limits, label and ticks of the ``"x"`` or ``"y"`` axis."""
    getattr(axes, f"set_{which}scale")(scale.axis.scale)
    getattr(axes, f"set_{which}lim")(scale.low, scale.high)
    drawn: DrawnAxis = getattr(axes, f"{which}axis")
    if scale.axis.names:
        _apply_names(drawn, which, scale.axis.names)
        return
    if not scale.log:
        formatter = ScalarFormatter(useOffset=False, useMathText=True)
        formatter.set_powerlimits((-4, 6))
        drawn.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], integer=scale.whole))
        drawn.set_major_formatter(formatter)
        return
    start = scale.zero * 1.4 if scale.zero else scale.low
    ticks = log_ticks(start, scale.high) if scale.zero is None or scale.high > 1.5 * start else []
    names = tick_names(ticks)
    zero = [] if scale.zero is None else [scale.zero]
    drawn.set_major_locator(FixedLocator([*zero, *ticks]))
    drawn.set_major_formatter(FixedFormatter(["0"] * len(zero) + names))
    drawn.set_minor_locator(_minor(scale))
    drawn.set_minor_formatter(NullFormatter())


def _apply_names(drawn: DrawnAxis, which: str, names: Sequence[str]) -> None:
    """Write the names of categories, aslant under the panel, and literally: none is mathematics."""
    drawn.set_major_locator(FixedLocator(list(range(len(names)))))
    aslant: dict[str, Any] = {"rotation": SLANT, "ha": "right", "rotation_mode": "anchor"} if which == "x" else {}
    drawn.set_ticklabels([textwrap.shorten(name, NAME, placeholder=" …") for name in names], parse_math=False, **aslant)


def names_height(axis: Axis) -> float:
    """Return by how many inch the names of an ``"x"`` axis are higher than numbers would be."""
    longest = max((min(len(name), NAME) for name in axis.names), default=0)
    return longest * NAME_LETTER * math.sin(math.radians(SLANT))


def _minor(scale: Scale) -> FixedLocator | NullLocator:
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    if last - first > 8:
        return NullLocator()
    start = scale.zero * 1.4 if scale.zero else scale.low
    places = [m * 10.0**k for k in range(first, last + 1) for m in range(2, 10)]
    return FixedLocator([v for v in places if start <= v <= scale.high])


def log_ticks(low: float, high: float) -> list[float]:
    """Return three to seven round numbers between positive ``low`` and ``high``, if there are any.

    >>> log_ticks(0.8, 1200), log_ticks(2, 30)
    ([1.0, 10.0, 100.0, 1000.0], [3.0, 10.0, 30.0])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        stride = max(1, math.ceil((last - first) / 6)) if steps == (1,) else 1
        found = [m * 10.0**k for k in range(first - first % stride, last + 1, stride) for m in steps]
        found = [float(f"{v:.12g}") for v in found if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]
        if len(found) >= 3:
            return found
    return [float(v) for v in MaxNLocator(4).tick_values(low, high) if low <= v <= high and v > 0]


def tick_names(ticks: list[float]) -> list[str]:
    """Return how logarithmic ticks are written: plainly from 0.001 to 99,999, else as powers of ten."""
    if all(1e-3 <= v < 1e5 for v in ticks):
        return [f"{v:,.12g}" for v in ticks]
    return [_power(v) for v in ticks]


def _power(value: float) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    factor = value / 10.0**exponent
    return f"$10^{{{exponent}}}$" if abs(factor - 1) < 1e-9 else rf"${factor:.3g}{{\times}}10^{{{exponent}}}$"
