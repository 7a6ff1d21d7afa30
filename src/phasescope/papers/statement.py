"""What a check of a paper is: a statement of the paper, a function that computes it, and numbers side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from phasescope.verdict import Expectation, Source
from phasescope.verdict.numbers import pack

Numbers = Callable[[], "Iterable[Compared]"]


@dataclass(frozen=True)
class Compared:
    """A number that was computed, in words ``what`` it is, and what the paper expects it to be.

    ``trained``: it was read off a trained network, whose last digits are another on each machine.
    """

    what: str
    computed: float
    expected: Expectation
    trained: bool = False

    @property
    def agrees(self) -> bool:
        """Whether the number is where it is expected; never so for NaN."""
        return self.expected.contains(self.computed, self.computed)


def near(what: str, computed: Any, expected: Any, within: float, *, trained: bool = False) -> Compared:
    """Return a number beside ``expected``, from which it may differ by ``within``, an absolute difference.

    >>> near("half of one", 0.5, 0.49, 0.02).agrees
    True
    """
    low, high = float(expected) - within, float(expected) + within
    return Compared(what, float(computed), Expectation(low, high, f"{float(expected):.4g} ± {within:.2g}"), trained)


def exactly(what: str, computed: Any, expected: float) -> Compared:
    """Return a count, a rank, or a yes (1) or no (0), beside what it must be."""
    return Compared(what, float(computed), Expectation(expected, expected))


def at_least(what: str, computed: Any, least: float, *, trained: bool = False) -> Compared:
    """Return a number beside the least that it may be."""
    return Compared(what, float(computed), Expectation.at_least(least), trained)


def at_most(what: str, computed: Any, most: float, *, trained: bool = False) -> Compared:
    """Return a number beside the most that it may be."""
    return Compared(what, float(computed), Expectation.at_most(most), trained)


@dataclass(frozen=True)
class Statement:
    """A statement of a paper that can be computed here: the paper's id, a sentence, its source, and the function."""

    paper: str
    sentence: str
    source: Source
    numbers: Numbers

    def check(self) -> Checked:
        """Compute it now. Raises what the computation raises: a check that breaks is no check."""
        started = time.perf_counter()
        rows = tuple(self.numbers())
        return Checked(self, rows, time.perf_counter() - started)


@dataclass(frozen=True)
class Checked:
    """A statement after it was computed: its numbers beside what is expected of them, and the seconds it took."""

    statement: Statement
    numbers: tuple[Compared, ...]
    seconds: float

    @property
    def agrees(self) -> bool:
        """Whether there are numbers, and each is where it is expected."""
        return bool(self.numbers) and all(one.agrees for one in self.numbers)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for strict JSON; numbers as ``Verdict.to_json`` has them."""
        return {
            "sentence": self.statement.sentence,
            "source": str(self.statement.source),
            "agrees": self.agrees,
            "seconds": round(self.seconds, 3),
            "numbers": [
                {
                    "what": one.what,
                    "computed": pack(one.computed),
                    "expected": {
                        "text": one.expected.text,
                        "low": pack(one.expected.low),
                        "high": pack(one.expected.high),
                    },
                    "agrees": one.agrees,
                }
                for one in self.numbers
            ],
        }


def statement(paper: str, sentence: str, source: Source) -> Callable[[Numbers], Statement]:
    """Return the decorator that makes of a function of nothing, which yields ``Compared``, a statement of a paper."""
    return lambda numbers: Statement(paper, sentence, source, numbers)
