"""The experiment of ``initialization-forecast``: networks drawn at random, each read once and trained at every rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr

from phasescope.ensemble import Progress, Quantity, Simulation
from phasescope.ensemble.errands import Elsewhere
from phasescope.ensemble.executors import local_processes
from phasescope.ensemble.plan import cores
from phasescope.inspection.signs import SIGNS
from phasescope.studies.initialization_forecast.measuring import measure_network
from phasescope.studies.initialization_forecast.settings import FAMILIES, RATES, ForecastSettings
from phasescope.vocabulary import Grid, Keeper

TRAININGS = (*(f"{rate:g}" for rate in RATES), "warm-up")


@dataclass(frozen=True)
class Apart(Simulation):
    """A simulation whose members train networks: each core has a process of its own, unless there is one worker.

    In threads the short steps of small networks would wait for one another, and the door of a training, which looks
    whether a network draws from torch's shared generator, would see what another thread draws.
    """

    def run(
        self,
        planned: None,
        keeper: Keeper | None,
        device: str = "auto",
        workers: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        executor: Elsewhere | None = None,
    ) -> xr.Dataset:
        """Measure every member, as ``Simulation`` does."""
        several = workers or cores()
        if executor is None and several > 1:
            executor = local_processes(several)
        return super().run(planned, keeper, device, workers, on_progress, executor)


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
    return {"networks": Apart(title, measure_network, grid, quantities, fixed, kind="trained")}
