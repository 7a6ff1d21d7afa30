"""Does it hold: effect, interval, margin, control, multiplicity -> holds / fails / undecided."""

from .claims import Claim, Control, Effect, Expectation, Statistic
from .intervals import estimate, interval, intervals
from .judge import decide, judge
from .verdict import ControlResult, Outcome, Verdict
from .verdicts import Verdicts

__all__ = [
    "Claim",
    "Control",
    "ControlResult",
    "Effect",
    "Expectation",
    "Outcome",
    "Statistic",
    "Verdict",
    "Verdicts",
    "decide",
    "estimate",
    "interval",
    "intervals",
    "judge",
]
