"""The experiments of ``many-sided-evaluation``: a decoder asked many things, and pairs of made-up models."""

from __future__ import annotations

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.many_sided_evaluation.language import KINDS
from phasescope.studies.many_sided_evaluation.made_up import pairs
from phasescope.studies.many_sided_evaluation.settings import EvaluationSettings
from phasescope.studies.many_sided_evaluation.speakers import speakers
from phasescope.studies.many_sided_evaluation.told import blocks_of, names_of
from phasescope.vocabulary import Grid

PAPER = "arXiv:2211.09110"


def experiments(s: EvaluationSettings) -> dict[str, Simulation]:
    """Return the study's simulations by name."""
    fields = (
        "depth", "width", "heads", "length", "batch", "steps", "rate", "statements", "items", "passages", "gone",
        "heal_steps", "heal_rate",
    )  # fmt: skip
    models, cells = {"model": names_of(s.depth, s.gone)}, {"model": names_of(s.depth, s.gone), "kind": list(KINDS)}
    by_kind = ("model", "kind")
    found = (
        Quantity("training", "nats", "mean loss of a twentieth of the steps", ("twentieth",)),
        Quantity("accuracy", "1", f"{PAPER}, exact match", by_kind, cells),
        Quantity("robustness", "1", f"{PAPER}, worst case of item and mild mix", by_kind, cells),
        Quantity("ece", "1", f"{PAPER}, ten bins of equal mass", by_kind, cells),
        Quantity("bits", "bits/byte", "evaluation.bits_per_byte", ("model",), models),
        Quantity("counts", "1", "whether the whole model is above chance by its interval", ("kind",),
                 {"kind": list(KINDS)}),
        Quantity("distance", "pi", "arXiv:2403.17887, Eq. 7", ("block",), {"block": blocks_of(s.depth, s.gone)}),
        Quantity("nearest", "layer", "arXiv:2403.17887, Sec. 3.2"),
        Quantity("drawn", "layer", "a start of the seed's"),
        Quantity("told_apart", "1", "evaluation.paired, whole less nearest"),
    )  # fmt: skip
    numbers = {name: getattr(s, name) for name in ("comparisons", "difference", "disagree")}
    made_up = (
        Quantity("covered", "1", "evaluation.paired, few disagreements: intervals with the true difference"),
        Quantity("covered_wald", "1", "the same, difference and 1.96 standard errors"),
        Quantity("seen", "1", "evaluation.paired at the items that evaluation.items_needed asks for"),
        Quantity("seen_apart", "1", "a test of two accuracies that knows of no pairs, on as many items"),
    )
    work = s.depth * s.width**2 * s.batch * s.length * (s.steps + 2.0 * s.heal_steps) + 1.0
    return {
        "speakers": Simulation(
            "a decoder without some of its layers", speakers, Grid(seeds=s.seeds), found,
            {name: getattr(s, name) for name in fields}, work, kind="trained",
        ),
        "pairs": Simulation("pairs of made-up models", pairs, Grid(seeds=s.seeds), made_up, numbers),
    }  # fmt: skip
