"""The figures of ``initialization-forecast``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasescope.figures import Axis, Choice, Curves, Figure, Line
from phasescope.inspection.forecast import OUTCOMES
from phasescope.lab.drawing import Data
from phasescope.studies.initialization_forecast import scoring
from phasescope.studies.initialization_forecast.fitting import INPUTS, Columns, log_rates, measured_columns, outcomes
from phasescope.studies.initialization_forecast.settings import FAMILIES, ForecastSettings
from phasescope.vocabulary import Array

LOGS = Axis("log(1 + |log J|), with the sign of log J")


def figures(data: Data, s: ForecastSettings) -> Sequence[Figure]:
    """Return the study's figures: how sure and how right, where it errs, and rates."""
    columns = measured_columns(data["networks"])
    return (_reliability(columns), _errors(columns), _rates(columns))


def _reliability(columns: Columns) -> Figure:
    panels = []
    for name in ("signs", "J alone"):
        said, true, count = scoring.reliability(columns, name)
        half = 1.96 * np.sqrt(true * (1 - true) / np.maximum(count, 1))
        there = count > 0
        ends = [np.clip(end, 0, 1)[there] for end in (true - half, true + half)]
        diagonal = Line("as sure as right", np.array([0.3, 1.0]), np.array([0.3, 1.0]), role="theory")
        measured = Line("networks, 95 % interval", said[there], true[there], *ends)
        chance = Axis("mean chance of the outcome that is said", limits=(0.3, 1.02))
        panels.append(Curves(f"From {name}", chance, Axis("share that came true", limits=(-0.02, 1.02)),
                             [measured, diagonal]))  # fmt: skip
    return Figure(
        "reliability", "How sure the forecast is, and how often it is right",
        "Every network is forecast by coefficients fitted to other seeds and to other families than its own.", panels,
        ("accuracy", "calibrated", "beats-j"),
    )  # fmt: skip


def _signed(columns: Columns) -> Array:
    found: Array = np.where(columns["grows"] > 0, columns["grows"], -columns["shrinks"])
    return found


def _errors(columns: Columns) -> Figure:
    there = scoring.readable(columns)
    x, y, truth = _signed(columns), columns["tangent"], outcomes(columns["accuracy"])
    says = scoring.calls(columns)
    height = Axis("log10 of the mean tangent kernel")
    panels = []
    for title, which in (("All networks, by what came of them", there), ("Those that were foretold wrongly",
                                                                        there & (says != truth))):  # fmt: skip
        lines = [
            Line(name, x[which & (truth == k)], y[which & (truth == k)], joined=False)
            for k, name in enumerate(OUTCOMES)
            if (which & (truth == k)).any()
        ]
        panels.append(Curves(title, LOGS, height, lines or [Line("none", x[:0], y[:0], joined=False)]))
    return Figure(
        "errors", "What became of the networks, and where the forecast errs",
        "One point is one network. Right of 0 gradients grow on their way back, left of it they shrink.", panels,
        ("accuracy", "beats-j", "beats-gradient"),
    )  # fmt: skip


def _rates(columns: Columns) -> Figure:
    truth = log_rates(columns["accuracy"])
    panels = []
    for name in ("signs", "J alone"):
        says = scoring.of_family(columns, name, lambda m: m.log_rate(columns), scoring.stored())
        there = np.isfinite(truth) & np.isfinite(says)
        points = Line("networks that train", np.clip(says[there], -16, 4), truth[there], joined=False)
        equal = Line("as foretold", np.array([-10.0, -2.0]), np.array([-10.0, -2.0]), role="theory")
        axis = Axis(f"log2 of the rate foretold from {name}")
        panels.append(Curves(f"From {name}", axis, Axis("log2 of the largest rate that trains"), [points, equal]))
    return Figure("rates", "The largest rate that trains", "Rates were tried in steps of 4.", panels, ("rate",))


def choices(data: Data, s: ForecastSettings) -> Sequence[Choice]:
    """Return the table of families: how often each forecast is right of each."""
    columns = measured_columns(data["networks"])
    groups = {}
    for name in INPUTS:
        rows = []
        for family in FAMILIES:
            mine = scoring.taken(columns, np.flatnonzero(columns["family"] == family))
            truth, there = outcomes(mine["accuracy"]), scoring.readable(mine)
            says = scoring.calls(mine, name)
            right = f"{(says == truth)[there].mean():.2f}" if there.any() else ""
            rows.append((family, str(len(truth)), *(str(int((truth == k).sum())) for k in range(3)), right))
        groups[f"from {name}"] = [("families", rows)]
    caption = "How many networks of a family came to which end, and the share of them that was foretold."
    return (Choice("By family", caption, ("family", "networks", "train", "small rates", "do not", "right"), groups),)
