"""The figures of the study ``healing``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasescope.figures import Axis, Curves, Figure
from phasescope.lab.drawing import BANDS, Data
from phasescope.lab.readings import band, band_of
from phasescope.studies.healing.settings import AFTER, BEFORE, WHOLE, HealingSettings


def figures(data: Data, s: HealingSettings) -> Sequence[Figure]:
    """Return the study's figures of these results."""
    return (_curves(data, s), _sides(data, s))


def _named(model: str, s: HealingSettings) -> str:
    return model if model == WHOLE else f"without {s.gone} layers, {model}"


def _curves(data: Data, s: HealingSettings) -> Figure:
    run = data["real" if s.model else "small"]
    models = [str(m) for m in run.model.values]
    steps = (np.arange(run.sizes["part"]) + 0.5) * s.heal_steps / run.sizes["part"]
    curve = run.curve
    both = [band(_named(m, s), curve.sel(model=m), steps) for m in models]
    gaps = [
        band(f"{_named(m, s)}, less whole", curve.sel(model=m) - curve.sel(model=WHOLE), steps)
        for m in models if m != WHOLE
    ]  # fmt: skip
    claims = ("real-back", "real-half-healed") if s.model else ("small-back", "small-healed")
    return Figure(
        "curves", "The same steps for the model with and without layers",
        f"Losses of the steps on the same samples, means of twentieths. {BANDS}",
        [Curves("loss of the steps", Axis("step"), Axis("nats per token"), both),
         Curves("what is missing beside the whole model", Axis("step"), Axis("nats per token"),
                gaps)],
        claims,
    )  # fmt: skip


def _sides(data: Data, s: HealingSettings) -> Figure:
    run = data["real" if s.model else "small"]
    models = [str(m) for m in run.model.values]
    rows = [(m, given) for m in models for given in (BEFORE, AFTER)]
    places = np.arange(len(rows), dtype=float)
    axis = Axis("model, before and after the steps", names=[f"{m}, {given}" for m, given in rows])

    def panel(quantity: str, title: str, unit: str) -> Curves:
        values = run[quantity].mean("asked") if "asked" in run[quantity].dims else run[quantity]
        found = np.array([values.sel(model=m, given=given).values for m, given in rows]).T
        return Curves(title, axis, Axis(unit), [band_of("median over seeds", found, places, joined=False)])

    panels = [panel("loss", "held-out loss on the text of the steps", "nats per token")]
    if s.model:
        panels += [panel("loss_elsewhere", "held-out loss on another text", "nats per token"),
                   panel("accuracy", "capitals and glosses", "accuracy"),
                   panel("ece", "calibration error", "calibration error")]  # fmt: skip
    claims = ("real-elsewhere", "real-answers") if s.model else ("small-back", "small-healed")
    return Figure("sides", "Before and after the steps", BANDS, panels, claims)
