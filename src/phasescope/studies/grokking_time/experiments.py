"""The experiment of ``grokking-time``: one seed is a whole grid of networks, and forecasts of each from the others."""

from __future__ import annotations

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.grokking_time.networks import places
from phasescope.studies.grokking_time.predicted import measure
from phasescope.studies.grokking_time.settings import AXES, INPUTS, MODELS, SPLITS, GrokkingTimeSettings
from phasescope.vocabulary import Grid

TERMS = ("modulus", "decay", "corruption")


def experiments(s: GrokkingTimeSettings) -> dict[str, Simulation]:
    """Return the study's experiment."""
    along = places(s.model_dump())
    held = {"held": SPLITS, "model": MODELS, "inputs": INPUTS, **along}
    dims = ("held", "model", "inputs", *AXES)
    quantities = (
        Quantity("step", "step", "test accuracy first at the level; inf: not within the budget; NaN: in the window",
                 AXES, along),
        Quantity("memorized", "step", "training accuracy first at its level; inf: not in the window", AXES, along),
        Quantity("log_step", "1", "held-out forecast of the logarithm of the step, base 10", dims, held),
        Quantity("chance", "1", "held-out forecast of the chance to grok within the budget", dims, held),
        Quantity("law", "1", "log f_c = a + b log p + c log decay + d corruption, logistic in log f", ("term",),
                 {"term": (*TERMS, "middle", "width")}),
        Quantity("memorization", "1", "the same exponents of the step of memorization, by least squares", ("how",),
                 {"how": TERMS}),
    )  # fmt: skip
    fixed = {**s.model_dump(exclude={"seeds"}), "window": s.window}
    title = "networks over modulus, decay, fraction and corruption, each forecast from the others"
    return {"networks": Simulation(title, measure, Grid(seeds=s.seeds), quantities, fixed, kind="trained")}
