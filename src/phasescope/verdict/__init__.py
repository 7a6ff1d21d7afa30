"""Does it hold: effect, interval, margin, control, multiplicity -> holds / fails / undecided."""

from .claims import Claim, Control, Effect, Expectation, Statistic
from .effects import Cell, Measure, Measured, NotPerSeed, at, axes_of, least, most
from .intervals import estimate, interval, intervals
from .judge import decide, judge
from .verdict import ControlResult, Outcome, Verdict
from .verdicts import Verdicts

__all__ = [
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
    "Statistic",
    "Verdict",
    "Verdicts",
    "at",
    "axes_of",
    "decide",
    "estimate",
    "interval",
    "intervals",
    "judge",
    "least",
    "most",
]
