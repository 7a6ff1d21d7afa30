"""What was decided on one claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from phasescope.checks import BadInput

from .claims import Expectation
from .numbers import pack, unpack

Outcome = Literal["holds", "fails", "undecided"]


@dataclass(frozen=True)
class ControlResult:
    """What the control measured, with its interval at the claim's level, in the claim's unit.

    ``shows_effect``: its interval lies inside the expectation. ``excluded``: its interval does not touch it, which is
    what a claim needs to hold; neither where the control is undecided, or a seed has no value. ``n`` counts its
    samples; 0 in verdicts from before it was kept.
    """

    sentence: str
    measured: float
    interval: tuple[float, float]
    shows_effect: bool
    excluded: bool
    n: int = 0


@dataclass(frozen=True)
class Verdict:
    """A claim after measurement: the statistic ``measured`` over ``n`` seeds, its interval, what follows.

    ``measured`` and ``interval`` are in ``unit`` ("" if dimensionless); NaN where a seed has no value.
    ``reason`` says in words, with the level and the statistic, why the ``verdict`` is what it is. ``kind`` and
    ``counts`` are the claim's, ``number`` says whose number is expected (``Source.kind``): "pilot" repeats our own.
    It was given at ``look`` of ``looks``. ``kind`` and ``number`` are empty in verdicts from before they were kept.
    """

    id: str
    sentence: str
    source: str
    measured: float
    interval: tuple[float, float]
    expected: Expectation
    n: int
    verdict: Outcome
    reason: str
    control: ControlResult
    unit: str = ""
    kind: str = ""
    number: str = ""
    counts: str = "seeds"
    look: int = 1
    looks: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return plain data for strict JSON: infinite is ``"Infinity"`` or ``"-Infinity"``, NaN is null."""
        control, expected = self.control, self.expected
        return {
            "id": self.id,
            "sentence": self.sentence,
            "source": self.source,
            "measured": pack(self.measured),
            "interval": [pack(end) for end in self.interval],
            "expected": {"text": expected.text, "low": pack(expected.low), "high": pack(expected.high)},
            "n": self.n,
            "verdict": self.verdict,
            "control": {
                "sentence": control.sentence,
                "measured": pack(control.measured),
                "interval": [pack(end) for end in control.interval],
                "shows_effect": control.shows_effect,
                "excluded": control.excluded,
                "n": control.n,
            },
            "reason": self.reason,
            "unit": self.unit,
            "kind": self.kind,
            "number": self.number,
            "counts": self.counts,
            "look": self.look,
            "looks": self.looks,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Verdict:
        """Read what ``to_json`` gave. Raises ``BadInput`` if it is something else."""
        try:
            return cls._read(record)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"this is not a verdict ({type(error).__name__}: {error}): {str(record)[:200]}") from error

    @classmethod
    def _read(cls, record: Mapping[str, Any]) -> Verdict:
        expected, control = record["expected"], record["control"]
        if record["verdict"] not in get_args(Outcome):
            raise ValueError(f"verdict is {record['verdict']!r}")
        return cls(
            id=str(record["id"]),
            sentence=str(record["sentence"]),
            source=str(record["source"]),
            reason=str(record["reason"]),
            unit=str(record["unit"]),
            kind=str(record.get("kind", "")),
            number=str(record.get("number", "")),
            counts=str(record.get("counts", "seeds")),
            look=int(record.get("look", 1)),
            looks=int(record.get("looks", 1)),
            measured=unpack(record["measured"]),
            interval=_pair(record["interval"]),
            expected=Expectation(unpack(expected["low"]), unpack(expected["high"]), expected["text"]),
            n=int(record["n"]),
            verdict=record["verdict"],
            control=ControlResult(
                control["sentence"],
                unpack(control["measured"]),
                _pair(control["interval"]),
                bool(control["shows_effect"]),
                bool(control.get("excluded", not control["shows_effect"])),
                int(control.get("n", 0)),
            ),
        )


def _pair(ends: Sequence[Any]) -> tuple[float, float]:
    low, high = ends
    return unpack(low), unpack(high)
