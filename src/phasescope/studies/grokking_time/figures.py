"""The figures of the study ``grokking-time``, described in building blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.lab.drawing import Data
from phasescope.lab.measures import Measure
from phasescope.studies.grokking_time.scores import fates, flat, gain, in_order, over_critical, told
from phasescope.studies.grokking_time.settings import (
    AXES,
    BOTH,
    CELL,
    COORDINATES,
    INPUTS,
    LINEAR,
    MEAN,
    MODULUS,
    SHALLOW,
    TREES,
    GrokkingTimeSettings,
)
from phasescope.vocabulary import Array

NAMED = "; ".join(f"{i + 1}: {name}" for i, name in enumerate(INPUTS))
PLACES = Axis("forecast from", limits=(0.5, len(INPUTS) + 0.5))
BARS = "Points: medians over seeds, bars from the least to the largest."


def figures(data: Data, s: GrokkingTimeSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    found = data["networks"]
    return (_forecasts(found), _moduli(found), _calibration(found), _misses(found), _boundary(found, s))


def _points(data: xr.Dataset, measure: Callable[[str, str], Measure], split: str) -> list[Line]:
    """Return points over ``INPUTS``, of linear models and of trees."""
    lines = []
    for model, known, shift in ((LINEAR, INPUTS, -0.1), (TREES, SHALLOW[split], 0.1)):
        values = np.array([measure(name, model).read(data) for name in known], dtype=float)
        x = np.array([INPUTS.index(name) + 1.0 for name in known]) + shift
        with np.errstate(all="ignore"):
            lines.append(Line(model, x, np.median(values, 1), values.min(1), values.max(1), joined=False))
    return lines


def _scores(data: xr.Dataset, split: str) -> list[Curves]:
    return [
        Curves("when", PLACES, Axis("share of the variance of log step", limits=(-0.3, 1.02)),
               _points(data, lambda name, model: gain(name, model, MEAN, split, LINEAR), split)),
        Curves("whether", PLACES, Axis("balanced accuracy", limits=(0.4, 1.02)),
               _points(data, lambda name, model: told(name, model, split), split)),
    ]  # fmt: skip


def _forecasts(data: xr.Dataset) -> Figure:
    order = Curves("which of two", PLACES, Axis("share of pairs", limits=(0.3, 1.02)),
                   _points(data, lambda name, model: in_order(name, model), CELL))  # fmt: skip
    return Figure(
        "forecasts", "What the first steps tell of when a network groks, in cells that were held out",
        f"{BARS} {NAMED}.", [*_scores(data, CELL), order],
        ("whether-told", "when-told", "more-than-the-cell", "twins-in-order", "more-than-the-test-curve"),
    )  # fmt: skip


def _moduli(data: xr.Dataset) -> Figure:
    return Figure("moduli", "The same in a modulus none of whose networks was fitted", f"{BARS} {NAMED}.",
                  _scores(data, MODULUS), ("other-moduli",))  # fmt: skip


def _calibration(data: xr.Dataset) -> Figure:
    edges = np.linspace(0, 1, 11)

    def shares(model: str, split: str) -> Line:
        truth, chance = (np.concatenate(part) for part in zip(*fates(data, BOTH, model, split), strict=True))
        place = np.minimum((chance * 10).astype(int), 9)
        kept = [k for k in range(10) if (place == k).any()]
        return Line(f"{model}, {split} held out", np.array([chance[place == k].mean() for k in kept]),
                    np.array([truth[place == k].mean() for k in kept]))  # fmt: skip

    lines = [
        shares(LINEAR, CELL),
        shares(TREES, CELL),
        shares(LINEAR, MODULUS),
        Line("equal", edges, edges, role="theory"),
    ]
    return Figure(
        "calibration", "Chances to grok within the budget, and how many did",
        "All networks of all seeds together, in ten bins of the forecast; from coordinates and readings.",
        [Curves("calibration", Axis("forecast chance"), Axis("share that grokked", limits=(-0.02, 1.02)), lines)],
        ("calibrated",),
    )  # fmt: skip


def _misses(data: xr.Dataset) -> Figure:
    edges = np.array([0.0, 0.9, 1.0, 1.1, 1.25, 1.5, 1.8, np.inf])

    def missed(inputs: str, model: str) -> Line:
        step, found = flat(data.step), flat(data.log_step.sel(inputs=inputs, model=model, held=CELL))
        known = np.isfinite(step) & (step > 0) & np.isfinite(found)
        far, miss = over_critical(data)[known], np.log10(step[known]) - found[known]
        place = np.digitize(far, edges[1:-1])
        kept = [k for k in range(len(edges) - 1) if (place == k).sum() > 1]
        x = np.array([np.exp(np.log(far[place == k]).mean()) for k in kept])
        return Line(f"{inputs} ({model})", x, np.array([_rms(miss[place == k]) for k in kept]))

    lines = [missed(MEAN, LINEAR), missed(COORDINATES, LINEAR), missed(COORDINATES, TREES), missed(BOTH, LINEAR),
             missed(BOTH, TREES)]  # fmt: skip
    panel = Curves("where forecasts fail", Axis("fraction over the critical one", "log"),
                   Axis("root mean square error of log step, base 10"), lines)  # fmt: skip
    return Figure(
        "misses", "Forecasts fail near the boundary, where times are long and scatter",
        "Networks that grokked, of all seeds together, by how far their fraction is from the critical one.", [panel],
        ("more-than-the-cell",),
    )  # fmt: skip


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _boundary(data: xr.Dataset, s: GrokkingTimeSettings) -> Figure:
    did = (np.isfinite(data.step) | np.isnan(data.step)).transpose("seed", *AXES).values.astype(float)
    law = data.law.mean("seed")
    b, c, d, middle = (float(law.sel(term=term)) for term in ("modulus", "decay", "corruption", "middle"))
    panels = []
    for k, noise in enumerate(s.corruptions):
        lines = []
        for j, decay in enumerate(s.decays):
            share = did[:, :, j, :, k].mean((0, 3))  # (modulus, fraction)
            x = np.array(s.moduli, dtype=float)
            y = np.array([_half(np.array(s.fractions), row) for row in share])
            predicted = middle * (x / 20) ** b * decay**c * np.exp(d * noise)
            lines += [Line(f"decay {decay:g}", x, y), Line(f"law, decay {decay:g}", x, predicted, role="theory")]
        panels.append(Curves(f"{noise:.0%} of labels wrong", Axis("modulus", "log"), Axis("critical fraction", "log"),
                             lines))  # fmt: skip
    return Figure(
        "boundary", "The fraction of the table from which half of the networks grok within the budget",
        "Points: where the share of all networks of all seeds crosses one half, between two fractions; none where it "
        "does not. Lines: the law with the mean of its terms over seeds.", panels,
        ("boundary-by-modulus", "boundary-by-decay", "boundary-by-corruption"),
    )  # fmt: skip


def _half(fractions: Array, share: Array) -> float:
    above = np.flatnonzero(share >= 0.5)
    if not len(above) or above[0] == 0:
        return float("nan")
    k = int(above[0])
    part = (0.5 - share[k - 1]) / (share[k] - share[k - 1])
    return float(np.exp((1 - part) * np.log(fractions[k - 1]) + part * np.log(fractions[k])))
