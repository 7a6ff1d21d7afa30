"""Slopes of log size over log width, one per seed, with intervals over seeds, and what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from phasescope.vocabulary import Array

Word = Literal["flat", "grows", "vanishes", "undecided", "-"]


@dataclass(frozen=True)
class Slope:
    """A slope d log(size) / d log(width), its mean over seeds with an interval, and the word that these give.

    ``wide``: the same over the wider half of the widths. "-": there is none, for something is zero or not finite.
    """

    value: float
    low: float
    high: float
    word: Word
    wide: float = math.nan

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"

    def to_json(self) -> dict[str, float | str | None]:
        """Return plain data for strict JSON."""
        numbers = {name: getattr(self, name) for name in ("value", "low", "high", "wide")}
        return {**{name: x if math.isfinite(x) else None for name, x in numbers.items()}, "word": self.word}


NONE = Slope(math.nan, math.nan, math.nan, "-")


def student(samples: Array, tail: float) -> tuple[float, float, float]:
    """Return mean and ends of Student's interval of ``samples`` (n,), each end wrong with probability ``tail``.

    >>> [round(x, 2) for x in student(np.array([1.0, 2.0, 3.0]), 0.025)]
    [2.0, -0.48, 4.48]
    """
    n, mean = len(samples), float(np.mean(samples))
    if n < 2:
        return mean, -math.inf, math.inf
    half = float(special.stdtrit(n - 1, 1 - tail)) * float(np.std(samples, ddof=1)) / math.sqrt(n)
    return mean, mean - half, mean + half


def slopes(sizes: Array, widths: Array) -> Array:
    """Return the least-squares slope (S,) of log ``sizes`` (S, W) over log ``widths`` (W,); NaN where one has no log.

    >>> slopes(np.array([[1.0, 2.0, 4.0], [3.0, 3.0, 3.0]]), np.array([10.0, 20.0, 40.0])).round(12).tolist()
    [1.0, 0.0]
    """
    x = np.log(np.asarray(widths, float))
    x = x - x.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(sizes)
    y = np.where(np.isfinite(y), y, math.nan)
    found: Array = (y * x).sum(1) / np.square(x).sum()
    return found


def slope_of(sizes: Array, widths: Array, tolerance: float, tail: float) -> Slope:
    """Return the slope of ``sizes`` (S, W) over all ``widths``, and the word for it.

    "flat": the whole interval lies within ``tolerance`` of 0; "grows" and "vanishes": all of it beyond. Where sizes
    follow no power, the wider ones are nearer to the limit: the word is that of the wider half of the widths, three of
    them at least, if these decide, and else that of all.
    """
    each = slopes(sizes, widths)
    if not np.isfinite(each).all():
        return NONE
    value, low, high = student(each, tail)
    said, wide = word_of(low, high, tolerance), math.nan
    half = (len(widths) + 1) // 2
    if half >= 3:
        wide, *ends = student(slopes(sizes[:, -half:], widths[-half:]), tail)
        there = word_of(ends[0], ends[1], tolerance)
        said = said if there == "undecided" else there
    return Slope(value, low, high, said, wide)


def word_of(low: float, high: float, tolerance: float) -> Word:
    """Return what an interval of a slope says.

    >>> word_of(-0.1, 0.2, 0.25), word_of(0.3, 0.6, 0.25), word_of(-0.6, -0.4, 0.25), word_of(0.1, 0.4, 0.25)
    ('flat', 'grows', 'vanishes', 'undecided')
    """
    if -tolerance <= low and high <= tolerance:
        return "flat"
    if low > tolerance:
        return "grows"
    return "vanishes" if high < -tolerance else "undecided"
