"""Does it hold: effect, interval, margin, control, multiplicity -> holds / fails / undecided."""

from .claims import Claim, Control, Effect, Expectation, Kind, Statistic
from .effects import Cell, Measure, Measured, NotPerSeed, at, axes_of, least, most
from .intervals import estimate, interval, intervals
from .judge import decide, first_seeds, judge, planned_looks
from .power import power, seeds_likely, seeds_needed
from .sources import Source
from .verdict import ControlResult, Outcome, Verdict
from .verdicts import KINDS, Verdicts, counted_apart

__all__ = [
    "KINDS",
    "Cell",
    "Claim",
    "Control",
    "ControlResult",
    "Effect",
    "Expectation",
    "Kind",
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
    "counted_apart",
    "decide",
    "estimate",
    "first_seeds",
    "interval",
    "intervals",
    "judge",
    "least",
    "most",
    "planned_looks",
    "power",
    "seeds_likely",
    "seeds_needed",
]
