"""The figures of the study ``dimensions``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.lab.drawing import Data
from phasescope.lab.readings import band
from phasescope.studies.dimensions.settings import (
    DENSE,
    DIMENSIONS,
    FASTFOOD,
    FUNCTION,
    GENERALIZATION,
    GIVEN,
    OUTCOMES,
    SECOND_WIDE,
    DimensionSettings,
)

NAMED = "; ".join(f"{i + 1}: {name}" for i, name in enumerate(DIMENSIONS))


def figures(data: Data, s: DimensionSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    found = data["networks"]
    return (_partial(found), _strongest(found), _networks(found, s), _objective(found))


def _partial(data: xr.Dataset) -> Figure:
    places = np.arange(1.0, len(DIMENSIONS) + 1)

    def points(name: str, given: str, of: str, shift: float, role: str = "measured") -> Line:
        values = data[name].sel(given=given, of=of)
        label = f"beyond {given}" if role == "measured" else "outcomes of other networks"
        return band(label, values, places + shift, role=role, joined=False)

    panels = [
        Curves(of, Axis("dimension", limits=(0.5, len(DIMENSIONS) + 0.5)), Axis("rank correlation", limits=(-1, 1)),
               [*(points("partial", given, of, shift) for given, shift in zip(GIVEN, (-0.15, 0.15), strict=True)),
                points("permuted", GIVEN[0], of, 0.0, "control")])
        for of in OUTCOMES
    ]  # fmt: skip
    return Figure(
        "partial", "What each dimension tells beyond what is given",
        f"Points: medians over seeds, bars from the least to the largest. {NAMED}.", panels,
        ("pieces-and-generalization", "objective-and-generalization", "objective-beyond-the-cell",
         "pieces-and-forgetting", "layers-and-generalization"),
    )  # fmt: skip


def _strongest(data: xr.Dataset) -> Figure:
    places = np.arange(1.0, len(OUTCOMES) + 1)

    def points(name: str, given: str, label: str, shift: float, role: str = "measured") -> Line:
        return band(label, data[name].sel(given=given), places + shift, role=role, joined=False)

    lines = [
        points("strongest", given, f"beyond {given}", shift) for given, shift in zip(GIVEN, (-0.1, 0.1), strict=True)
    ]
    lines.append(points("strongest_permuted", GIVEN[0], "outcomes of other networks", 0.0, "control"))
    named = "; ".join(f"{i + 1}: {name}" for i, name in enumerate(OUTCOMES))
    return Figure(
        "strongest", "The strongest of eleven dimensions, beside the strongest of eleven that can tell nothing",
        f"Points: medians over seeds, bars from the least to the largest. {named}.",
        [Curves("strongest", Axis("outcome", limits=(0.5, len(OUTCOMES) + 0.5)),
                Axis("largest size of a rank correlation", limits=(0, 1)), lines)],
        tuple(f"some-dimension-tells-{of}" for of in OUTCOMES),
    )  # fmt: skip


def _networks(data: xr.Dataset, s: DimensionSettings) -> Figure:
    def cloud(reading: str) -> Curves:
        lines = []
        for width in s.widths:
            one = data.sel(width=width)
            x, y = one.dimension.sel(reading=reading).values.ravel(), one.outcome.sel(of=GENERALIZATION).values.ravel()
            lines.append(Line(f"width {width}", x, y, joined=False))
        return Curves(reading, Axis(reading), Axis("test accuracy", limits=(0, 1.02)), lines)

    return Figure(
        "networks", "All networks of all seeds: a dimension, and test accuracy", "One point for each network.",
        [cloud(SECOND_WIDE), cloud(DENSE), cloud(FUNCTION)],
    )  # fmt: skip


def _objective(data: xr.Dataset) -> Figure:
    x, y = (data.dimension.sel(reading=name).values.ravel() for name in (DENSE, FASTFOOD))
    ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
    panel = Curves("objective", Axis("dense directions", "log"), Axis("Fastfood's directions", "log"),
                   [Line("networks", x, y, joined=False), Line("equal", ends, ends, role="theory")])  # fmt: skip
    return Figure(
        "objective", "Dense directions and Fastfood's give one dimension of the objective",
        "One point for each network of all seeds.", [panel], ("fastfood-is-dense",),
    )  # fmt: skip
