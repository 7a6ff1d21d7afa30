"""The instruments on a user's own model: what its signal and its gradients do over depth, and what to change."""

from phasescope.inspection.blocks import blocks_of, is_weight_layer
from phasescope.inspection.measure import inspect
from phasescope.inspection.readings import BlockReading, Finding, Inspection, Interval

__all__ = ["BlockReading", "Finding", "Inspection", "Interval", "blocks_of", "inspect", "is_weight_layer"]
