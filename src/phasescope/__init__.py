"""Phasescope: a laboratory for the science of deep learning.

A study asks a paper's question. A task is what is learnt, a learner is who learns it, an ensemble trains a whole grid
of them in one run. Instruments read what each one learnt, theory says what to expect, a claim becomes a verdict, the
store keeps it, the report tells it.

>>> import phasescope as ps
>>> ps.Grid({"weight_decay": [0.0, 1.0]}, seeds=2).shape
(2, 2)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phasescope import instruments, layers, learners, losses, tasks, theory
    from phasescope.ensemble import (
        Feedback,
        Quantity,
        Simulation,
        Span,
        feedback_loop,
        final,
        last,
        measure,
        simulate,
        streams,
        train,
    )
    from phasescope.inspection import AutoInit, Inspection, autoinit, inspect
    from phasescope.lab import (
        Experiment,
        MapResults,
        OrderParameter,
        Paper,
        Results,
        Study,
        judge,
        load,
        phase_map,
        run,
    )
    from phasescope.store import Store
    from phasescope.verdict import Claim, Control, Expectation
    from phasescope.vocabulary import (
        BadInput,
        Fate,
        Grid,
        Instrument,
        Interrupted,
        Member,
        Reading,
        Recipe,
        Scatter,
        Subject,
        instrument,
    )

__version__ = "0.1.0"

# torch takes a second to import: every public name is fetched when it is first used
_HOMES = {
    "phasescope.vocabulary": (
        "BadInput",
        "Fate",
        "Grid",
        "Instrument",
        "Interrupted",
        "Member",
        "Reading",
        "Recipe",
        "Scatter",
        "Subject",
        "instrument",
    ),
    "phasescope.verdict": ("Claim", "Control", "Expectation"),
    "phasescope.ensemble": (
        "Feedback",
        "Quantity",
        "Simulation",
        "Span",
        "feedback_loop",
        "final",
        "last",
        "measure",
        "simulate",
        "streams",
        "train",
    ),
    "phasescope.inspection": ("AutoInit", "Inspection", "autoinit", "inspect"),
    "phasescope.store": ("Store",),
    "phasescope.lab": (
        "Experiment",
        "MapResults",
        "OrderParameter",
        "Paper",
        "Results",
        "Study",
        "judge",
        "load",
        "phase_map",
        "run",
    ),
}
_ROOMS = ("instruments", "layers", "learners", "losses", "tasks", "theory")

__all__ = [
    "AutoInit",
    "BadInput",
    "Claim",
    "Control",
    "Expectation",
    "Experiment",
    "Fate",
    "Feedback",
    "Grid",
    "Inspection",
    "Instrument",
    "Interrupted",
    "MapResults",
    "Member",
    "OrderParameter",
    "Paper",
    "Quantity",
    "Reading",
    "Recipe",
    "Results",
    "Scatter",
    "Simulation",
    "Span",
    "Store",
    "Study",
    "Subject",
    "autoinit",
    "feedback_loop",
    "final",
    "inspect",
    "instrument",
    "instruments",
    "judge",
    "last",
    "layers",
    "learners",
    "load",
    "losses",
    "measure",
    "phase_map",
    "run",
    "simulate",
    "streams",
    "tasks",
    "theory",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"phasescope.{name}")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'phasescope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
