"""Does it hold: effect, interval, tolerance, control, multiplicity -> holds / fails / undecided."""

from .claims import Claim, Control, Effect, Expectation, Statistic
from .effects import Cell, Measure, Measured, NotPerSeed, at, axes_of, least, most
from .evidence import evidence
from .intervals import estimate, interval, intervals
from .judge import decide, judge, planned_looks, rising
from .power import power, seeds_likely, seeds_needed
from .sources import Source
from .verdict import ControlResult, Outcome, Verdict
from .verdicts import KINDS, Verdicts, counted

__all__ = [
    "KINDS",
    "Cell",
    "Claim",
    "Control",
    "ControlResult",
    "Effect",
    "Expectation",
    "Measure",
    "Measured",
    "NotPerSeed",
    "Outcome",
    "Source",
    "Statistic",
    "Verdict",
    "Verdicts",
    "at",
    "axes_of",
    "counted",
    "decide",
    "estimate",
    "evidence",
    "interval",
    "intervals",
    "judge",
    "least",
    "most",
    "planned_looks",
    "power",
    "rising",
    "seeds_likely",
    "seeds_needed",
]
