"""An axis of a phase map: a knob between two ends, and the places on it where networks may be trained."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from phasescope.checks import array, number, shown, text, whole, word
from phasescope.vocabulary import Array, BadInput

SpanScale = Literal["linear", "log", "integer"]
WORDS = {"lin": "linear", "linear": "linear", "log": "log", "int": "integer", "integer": "integer"}
NEAREST = 1e-8  # 512 places between two ends that differ by so much are different in 12 digits
MOST_PLACES = 1_000_000
_end = number(-math.inf, math.inf)
MOST = 1e15  # floats count whole numbers up to 9e15


@dataclass(frozen=True)
class Span:
    """The knob ``name`` from ``low`` to ``high``, both included, in equal steps, equal factors or whole numbers.

    Raises ``BadInput`` for ends that are not finite, not in order, too near or too far from each other for places
    between them, not positive on a logarithmic axis, or not whole on an integer one.

    >>> Span.parse("lr=0.001:1:log").values(4).tolist()
    [0.001, 0.01, 0.1, 1.0]
    """

    name: str
    low: float
    high: float
    scale: SpanScale = "linear"

    def __post_init__(self) -> None:
        text("the name of an axis", self.name)
        for end in ("low", "high"):  # numpy's numbers become Python's
            object.__setattr__(self, end, _end(f"axis {self.name}: {end}", getattr(self, end)))
        ends = f"axis {self.name}={self.low}:{self.high}"
        word(*get_args(SpanScale))(f"axis {self.name}: scale", self.scale)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise BadInput(f"{ends}: give two finite ends, the lower one first; an axis needs at least two points.")
        if not NEAREST * max(abs(self.low), abs(self.high)) <= self.high - self.low < float("inf"):
            raise BadInput(
                f"{ends}: the ends must differ by {NEAREST:g} of their size or more, and by a finite number; "
                "give others, or map another knob."
            )
        if self.scale == "log" and self.low <= 0:
            raise BadInput(f"{ends} is logarithmic: its lower end must be above 0; raise it, or leave out ':log'.")
        if self.scale == "integer" and (self.low != round(self.low) or self.high != round(self.high)):
            raise BadInput(f"{ends} is of whole numbers: both ends must be whole.")
        if self.scale == "integer" and max(-self.low, self.high) > MOST:
            raise BadInput(f"{ends} is of whole numbers: they must lie between -{MOST:g} and {MOST:g}.")

    @classmethod
    def parse(cls, text: str) -> Span:
        """Return the span that ``NAME=LOW:HIGH``, ``NAME=LOW:HIGH:log`` or ``NAME=LOW:HIGH:int`` says."""
        if not isinstance(text, str):
            raise BadInput(f"axis is {shown(text)}: write, for example, weight_decay=0:20.")
        found = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*=\s*([^:]+):([^:]+?)(?::\s*(\w+))?\s*", text)
        if not found or (found[4] or "linear") not in WORDS:
            raise BadInput(
                f"axis {shown(text)} is not NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=LOW:HIGH:int: "
                "write, for example, weight_decay=0:20."
            )
        try:
            low, high = float(found[2]), float(found[3])
        except ValueError:
            raise BadInput(f"axis {shown(text)}: {shown(found[2])} and {shown(found[3])} must be numbers.") from None
        return cls(found[1], low, high, WORDS[found[4] or "linear"])  # type: ignore[arg-type]

    def values(self, count: int) -> Array:
        """Return at most ``count`` >= 2 places, ascending: an integer axis has no more than its whole numbers.

        Rounded to 12 digits, so that 0.3 is 0.3, and a cell of a map is the same cell of a grid written by hand.
        """
        count = whole(2, MOST_PLACES)("count", count)
        if self.scale == "log":
            spaced = np.geomspace(self.low, self.high, count)
        else:
            spaced = np.linspace(self.low, self.high, count)
        if self.scale == "integer":
            return np.unique(np.rint(spaced).astype(np.int64))
        between = [float(f"{value:.12g}") for value in spaced[1:-1]]
        return np.array([self.low, *between, self.high])

    def at(self, places: Array, count: int) -> Array:
        """Return the knob at fractional ``places`` among its ``count`` values, on the axis's own scale."""
        values = self.values(count).astype(np.float64)
        places = array(low=0, high=len(values) - 1, fewest=0)("places", places)
        index = np.arange(len(values))
        if self.scale == "log":
            return np.asarray(np.exp(np.interp(places, index, np.log(values))))
        return np.asarray(np.interp(places, index, values))
