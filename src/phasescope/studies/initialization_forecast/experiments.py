"""The experiment of ``initialization-forecast``: networks drawn at random, each read once and trained at every rate."""

from __future__ import annotations

from phasescope.ensemble import Quantity, Simulation
from phasescope.inspection.signs import SIGNS
from phasescope.studies.initialization_forecast.measuring import measure_network
from phasescope.studies.initialization_forecast.settings import FAMILIES, RATES, ForecastSettings
from phasescope.vocabulary import Grid

TRAININGS = (*(f"{rate:g}" for rate in RATES), "warm-up")


def experiments(s: ForecastSettings) -> dict[str, Simulation]:
    """Return the one experiment of the study."""
    quantities = (
        Quantity("signs", "1", "phasescope.inspection.signs.SIGNS", ("sign",), {"sign": list(SIGNS)}),
        Quantity("gradient", "1", "log10 of the norm of the gradient of the cross-entropy before training"),
        Quantity("accuracy", "1", "test accuracy at the end, 0 where training diverged", ("training",),
                 {"training": list(TRAININGS)}),
        Quantity("loss", "1", "training loss at the end over that at the start", ("training",),
                 {"training": list(TRAININGS)}),
        Quantity("moved", "1", "1 - cosine of the centred Gram matrices of the last features, start and end; "
                               "Kornblith et al. 2019, arXiv:1905.00414, Eq. 3 (linear CKA)"),
        Quantity("depth", "1", "layers or blocks"),
        Quantity("width", "1", "units of a layer"),
        Quantity("log_variance", "1", "log2 of the variance of a weight times its inputs"),
        Quantity("parameters", "1", "numbers that are learnt"),
    )  # fmt: skip
    fixed = {
        "deepest": s.deepest, "steps": s.steps, "batch": s.batch, "probes": s.probes, "samples": s.samples,
        "rows": s.rows,
    }  # fmt: skip
    grid = Grid({"family": FAMILIES, "draw": range(s.networks)}, seeds=s.seeds)
    title = "networks of eleven families, read before training and trained at every rate"
    return {"networks": Simulation(title, measure_network, grid, quantities, fixed, kind="trained")}
