"""The experiment of ``dimensions``: one seed is a whole grid of networks."""

from __future__ import annotations

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.dimensions.measured import measure
from phasescope.studies.dimensions.settings import AXES, DIMENSIONS, GIVEN, OUTCOMES, DimensionSettings
from phasescope.vocabulary import Grid


def experiments(s: DimensionSettings) -> dict[str, Simulation]:
    """Return the study's experiment."""
    along = dict(zip(AXES, (s.widths, s.rows, s.corruptions, s.decays), strict=True))
    pairs = {"given": GIVEN, "of": OUTCOMES}
    each = {**pairs, "reading": DIMENSIONS}
    words = "Spearman correlation of what is left by a held-out forecast from what is given"
    quantities = (
        Quantity("dimension", "1", "the dimensions of a network", ("reading", *AXES), {"reading": DIMENSIONS, **along}),
        Quantity("outcome", "1", "test accuracy; prunable share; test accuracy forgotten", ("of", *AXES),
                 {"of": OUTCOMES, **along}),
        Quantity("loss", "nat", "training loss at the end", AXES, along),
        Quantity("parameters", "1", "number of parameters", AXES, along),
        Quantity("partial", "1", words, ("given", "of", "reading"), each),
        Quantity("permuted", "1", f"{words}, outcomes of other networks", ("given", "of", "reading"), each),
        Quantity("strongest", "1", "the largest size of partial", ("given", "of"), pairs),
        Quantity("strongest_permuted", "1", "the largest size of permuted", ("given", "of"), pairs),
        Quantity("chance", "1", "share of permutations with a strongest as large", ("given", "of"), pairs),
    )  # fmt: skip
    title = "perceptrons over width, rows, corruption and decay: their dimensions, and what they tell"
    fixed = s.model_dump(exclude={"seeds"})
    return {"networks": Simulation(title, measure, Grid(seeds=s.seeds), quantities, fixed, kind="trained")}
