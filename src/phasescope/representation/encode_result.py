"""What an encoding found: how well each layer predicts each unit, beside its ceiling, its null and a baseline."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from phasescope.errors import aligned, sentence
from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.representation.compare_result import SURE
from phasescope.representation.encode_ceiling import Measured
from phasescope.representation.similarity_clouds import jackknife_error
from phasescope.verdict.numbers import pack

if TYPE_CHECKING:
    import xarray as xr

OF_LAYERS = (
    "dimensions", "predictivity", "predictivity_error", "null_mean", "null_sd", "z", "normalized_median",
    "normalized_error", "untrained", "gain", "gain_error",
)  # fmt: skip
Found = tuple[str, str, dict[str, Any]]
"""Features or baseline, the layer's name, and what it predicts."""


@dataclass(frozen=True)
class Encoding:
    """What ``ps.encode`` returns; prints as a table, and ``data`` has all of it.

    ``data``: "r" and "normalized" (layer, unit), "ceiling" and "reliability" (unit); for each layer "predictivity", the
    median r over units, "normalized_median", both with errors over stimuli, "null_mean", "null_sd" and "z" of shuffled
    stimuli; with a baseline its predictivity "untrained", and "gain", the median over units of the difference in r.
    Attributes name the ``best`` layer and its ``lead`` over the next, and count stimuli, repeats, and units that are
    ``reliable`` enough to be divided by their ceiling.
    """

    data: xr.Dataset

    def summary(self) -> str:
        """Return in one sentence how much the best layer explains."""
        whole, best = self.data.attrs, self.data.sel(layer=self.data.attrs["best"])
        said = f"the median unit is predicted with r = {_pm(best, 'predictivity')}"
        if not math.isnan(float(best.normalized_median)):
            said += f", {_pm(best, 'normalized_median', 'normalized_error')} of what the repeats allow"
        z = float(best.z)
        if not math.isnan(z):
            said += f", {'not ' if z < SURE else ''}above shuffled stimuli (z = {z:.1f})"
        if "gain" in self.data and not math.isnan(float(best.gain)):
            said += f"; untrained features reach {float(best.untrained):.3f} (gain {_pm(best, 'gain')})"
        if self.data.sizes["layer"] < 2:
            return said
        lead, error = whole["lead"], whole["lead_error"]
        return f"layer {whole['best']} predicts best, by {lead:.3f} ± {error:.3f} before the next: {said}"

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Return header and rows: one row for each layer."""
        header = ["layer", "D", "r ± error", "shuffled", "z", "r / ceiling"]
        header += ["untrained", "gain"] if "gain" in self.data else []
        rows = []
        for layer in self.data.layer.values:
            one = self.data.sel(layer=layer)
            null = f"{_number(float(one.null_mean))} ± {_number(float(one.null_sd))}"
            z = float(one.z)
            row = [str(layer), str(int(one.dimensions)), _pm(one, "predictivity"), null]
            row += ["-" if math.isnan(z) else f"{z:.1f}", _pm(one, "normalized_median", "normalized_error")]
            row += [_number(float(one.untrained)), _pm(one, "gain")] if "gain" in self.data else []
            rows.append(row)
        return header, rows

    def __str__(self) -> str:
        whole = self.data.attrs
        title = (
            f"{self.data.sizes['unit']} units, {whole['stimuli']:,} stimuli, {whole['repeats']} "
            f"{'repeats' if whole['repeats'] > 1 else 'response'} each, {whole['folds']} folds, seed {whole['seed']}"
        )
        words = "r: of predicted and mean response to held-out stimuli, median over units. shuffled: its null."
        ceiling = (
            f"ceiling: the r of a perfect model, from the repeats; {whole['reliable']} units have one."
            if whole["repeats"] > 1
            else "There are no repeats, so what a perfect model would reach is not known."
        )
        return "\n".join([title, words, ceiling, "", *aligned(*self.table()), "", f"{sentence(self.summary())}."])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data for JSON: None where there is no reading."""
        whole = {key: pack(x) if isinstance(x, float) else x for key, x in self.data.attrs.items()}
        rows = [
            {
                "layer": str(layer),
                **{key: pack(float(self.data[key].sel(layer=layer))) for key in OF_LAYERS if key in self.data},
                "r": [pack(float(x)) for x in self.data.r.sel(layer=layer).values],
            }
            for layer in self.data.layer.values
        ]
        return {**whole, "ceiling": [pack(float(x)) for x in self.data.ceiling.values], "layers": rows}

    def figure(self) -> Figure:
        """Return the picture: the median r of each layer, and the units of the best one beside their ceilings."""
        data = self.data
        depth = np.arange(data.sizes["layer"])
        error = 2 * np.nan_to_num(data.predictivity_error.values)
        lines = [
            Line("features", depth, data.predictivity.values, *(data.predictivity.values + s * error for s in (-1, 1)))
        ]
        if "untrained" in data:
            lines.append(Line("untrained", depth, data.untrained.values, role="control"))
        if np.isfinite(data.null_mean.values).all():
            lines.append(Line("shuffled stimuli", depth, data.null_mean.values, role="control"))
        panels = [Curves("Each layer", Axis("layer"), Axis("r, median over units"), lines)] if len(depth) > 1 else []
        there = np.isfinite(data.ceiling.values)
        if there.any():
            top, r = data.ceiling.values[there], data.r.sel(layer=data.attrs["best"]).values[there]
            perfect = Line("a perfect model", np.array([0.0, 1.0]), np.array([0.0, 1.0]), role="theory")
            units = Line("a unit", top, r, joined=False)
            panels.append(Curves("Units of the best layer", Axis("ceiling"), Axis("r"), [units, perfect]))
        caption = f"{sentence(self.summary())}. Bands are two standard errors over stimuli."
        return Figure("encoding", "How much of the responses the features explain", caption, panels)


def encoded(found: Sequence[Found], answers: Measured, seed: int, folds: int, draws: int) -> Encoding:
    """Return the encoding that these predictions make."""
    import xarray as xr

    layers = {layer: one for kind, layer, one in found if kind == "features"}
    others = {layer: one for kind, layer, one in found if kind == "baseline"}
    top = answers.ceiling
    r = torch.stack([one["r"] for one in layers.values()])
    numbers = [
        _of_layer(layer, one, top, others if layers.keys() != others.keys() else {layer: others[layer]})
        for layer, one in layers.items()
    ]
    order = np.argsort([-one["predictivity"] for one in numbers])
    names = list(layers)
    best = names[order[0]]
    lead = lead_error = math.nan
    if len(names) > 1:
        left = [layers[names[i]]["left"].median(1).values for i in order[:2]]
        lead = numbers[order[0]]["predictivity"] - numbers[order[1]]["predictivity"]
        lead_error = float(jackknife_error(left[0] - left[1]))
    columns: dict[str, Any] = {key: ("layer", [one[key] for one in numbers]) for key in numbers[0]}
    data = xr.Dataset(
        {
            "r": (("layer", "unit"), r.numpy()), "normalized": (("layer", "unit"), (r / top).numpy()),
            "ceiling": ("unit", top.numpy()), "reliability": ("unit", answers.reliability.numpy()), **columns,
        },
        coords={"layer": names, "unit": np.arange(r.shape[1])},
        attrs={
            "best": best, "lead": lead, "lead_error": lead_error, "stimuli": len(answers.mean),
            "repeats": answers.repeats, "reliable": int(torch.isfinite(top).sum()),
            "least_reliable": float(answers.least.median()),
            "folds": folds, "draws": draws, "seed": seed,
        },
    )  # fmt: skip
    return Encoding(data)


def _of_layer(layer: str, one: dict[str, Any], top: Tensor, others: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the medians over units of one layer; of several baselines the highest stands for all."""
    some = torch.isfinite(top)
    value = float(one["r"].median())
    spread = one["null_sd"]
    numbers = {
        "dimensions": one["dimensions"],
        "predictivity": value,
        "predictivity_error": float(jackknife_error(one["left"].median(1).values)),
        "null_mean": one["null_mean"],
        "null_sd": spread,
        "z": (value - one["null_mean"]) / spread if spread > 0 else math.nan,
        "normalized_median": float((one["r"] / top)[some].median()) if bool(some.any()) else math.nan,
        "normalized_error": float(jackknife_error((one["left"] / top)[:, some].median(1).values))
        if bool(some.any())
        else math.nan,
    }
    if others:
        rival = max(others.values(), key=lambda other: float(other["r"].median()))
        numbers["untrained"] = float(rival["r"].median())
        numbers["gain"] = float((one["r"] - rival["r"]).median())
        numbers["gain_error"] = float(jackknife_error((one["left"] - rival["left"]).median(1).values))
    return numbers


def _pm(one: xr.Dataset, name: str, error: str = "") -> str:
    value = float(one[name])
    return "-" if math.isnan(value) else f"{_number(value)} ± {_number(float(one[error or f'{name}_error']))}"


def _number(x: float) -> str:
    return "-" if math.isnan(x) else f"{x:.3f}".replace("-0.000", "0.000")
