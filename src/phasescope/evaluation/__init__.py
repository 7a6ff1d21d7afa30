"""What a language model can do, many-sided: scenarios, metrics, and comparisons of two models on the same items.

P. Liang et al. 2022, *Holistic evaluation of language models*, arXiv:2211.09110. For decoders with their tokenizers, on
a CPU or GPU, with local files only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phasescope.evaluation.evaluating import evaluate
    from phasescope.evaluation.harness import harness_items, harness_model
    from phasescope.evaluation.items import Item, Scenario, chance, read_task
    from phasescope.evaluation.metrics import (
        bits_per_byte,
        calibration_error,
        calibration_floor,
        confident_accuracy,
        mean_error,
        selective_area,
        worst_case,
    )
    from phasescope.evaluation.pairs import Paired, items_needed, paired, power_of
    from phasescope.evaluation.perturbations import mild_mix
    from phasescope.evaluation.result import METRICS, Compared, Evaluation
    from phasescope.evaluation.scenarios import scenario, scenario_names

# the command line asks this room for its options: torch is imported when a name is first used
_HOMES = {
    "evaluating": ("evaluate",),
    "harness": ("harness_items", "harness_model"),
    "items": ("Item", "Scenario", "chance", "read_task"),
    "metrics": (
        "bits_per_byte", "calibration_error", "calibration_floor", "confident_accuracy", "mean_error", "selective_area",
        "worst_case",
    ),
    "pairs": ("Paired", "items_needed", "paired", "power_of"),
    "perturbations": ("mild_mix",),
    "result": ("METRICS", "Compared", "Evaluation"),
    "scenarios": ("scenario", "scenario_names"),
}  # fmt: skip

__all__ = [
    "METRICS",
    "Compared",
    "Evaluation",
    "Item",
    "Paired",
    "Scenario",
    "bits_per_byte",
    "calibration_error",
    "calibration_floor",
    "chance",
    "confident_accuracy",
    "evaluate",
    "harness_items",
    "harness_model",
    "items_needed",
    "mean_error",
    "mild_mix",
    "paired",
    "power_of",
    "read_task",
    "scenario",
    "scenario_names",
    "selective_area",
    "worst_case",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"phasescope.evaluation.{home}"), name)
    raise AttributeError(f"module 'phasescope.evaluation' has no attribute {name!r}")
