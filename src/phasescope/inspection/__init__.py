"""The instruments on a user's own model: what its signal and its gradients do over depth, and what to change."""

from phasescope.inspection.autoinit import autoinit
from phasescope.inspection.autoinit_report import AutoInit
from phasescope.inspection.blocks import blocks_of
from phasescope.inspection.measure import inspect
from phasescope.inspection.readings import BlockReading, Finding, Inspection, Interval
from phasescope.inspection.rows import is_weight_layer
from phasescope.inspection.watching import Watch, watch

__all__ = [
    "AutoInit",
    "BlockReading",
    "Finding",
    "Inspection",
    "Interval",
    "Watch",
    "autoinit",
    "blocks_of",
    "inspect",
    "is_weight_layer",
    "watch",
]
