"""What a profile found: a table over places, and its picture."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from phasescope.errors import aligned, one_line, sentence
from phasescope.figures import Axis, Curves, Figure, Line

if TYPE_CHECKING:
    import xarray as xr

ISOTROPY = ("isoscore", "effective_rank", "top_share", "entropy", "cosine", "partition", "uniformity", "outliers")
LOCAL = (("twonn", "TwoNN"), ("gride", "GRIDE"), ("mle", "MLE"), ("participation", "participation"))
SOURCES = {
    "twonn": ("1", "instruments.intrinsic_dimension.two_nn"),
    "gride": ("1", "instruments.intrinsic_dimension.gride, neighbours 8 and 16"),
    "mle": ("1", "instruments.intrinsic_dimension.likelihood_dimension, 10 neighbours"),
    "participation": ("1", "representation.dimension"),
    "pca90": ("components", "representation.dimension"),
    "isoscore": ("1", "representation.isotropy, Rudman et al. 2022, arXiv:2108.07344"),
    "effective_rank": ("1", "representation.isotropy, Roy and Vetterli 2007"),
    "top_share": ("1", "representation.isotropy"),
    "entropy": ("nats", "representation.von_neumann_entropy"),
    "cosine": ("1", "instruments.signal.mean_cosine"),
    "partition": ("1", "representation.partition_score"),
    "uniformity": ("radii", "representation.uniformity_w2"),
    "outliers": ("coordinates", "instruments.isotropy.outlier_dimensions"),
    "duplicates": ("points", "instruments.intrinsic_dimension.distinct"),
    "points": ("points", "representation.layers_of"),
    "width": ("1", "representation.layers_of"),
}
HEADER = (
    "place", "points", "width", "TwoNN", "GRIDE", "MLE", "particip.", "PCA-90", "IsoScore", "eff. rank", "top share",
    "entropy", "cosine", "partition", "W2", "outliers",
)  # fmt: skip
WORDS = (
    "Dimensions: value ± error, then > what white noise of as many points is that reads the same, where it is known.",
    "PCA-90: components with 90 % of the variance. W2: distance of the directions from even ones.",
)


@dataclass(frozen=True)
class Profile:
    """What ``ps.profile`` returns; prints as a table, and ``data`` has all of it.

    ``data`` (place): each dimension with ``_error``, ``_calibrated`` and ``_calibrated_error``; each reading of
    isotropy with ``_error`` and ``_null``, what white noise reads; points, width and duplicates. Units and sources are
    attributes of each. ``notes`` name places that could not be read, and why.
    """

    data: xr.Dataset
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return in one sentence where the dimension is highest."""
        value = self.data.twonn.values
        if not np.isfinite(value).any():
            return f"{self.data.attrs['model']}: no place has a dimension"
        top = int(np.nanargmax(value))
        place, error = one_line(str(self.data.place.values[top])), float(self.data.twonn_error.values[top])
        where = "at its one place" if len(value) == 1 else f"highest at {place}"
        least = float(np.nanmin(value))
        span = "" if len(value) == 1 else f", lowest {least:.1f}"
        return f"{self.data.attrs['model']}: TwoNN dimension {value[top]:.1f} ± {error:.1f} {where}{span}"

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Return header and rows: one row for each place."""
        rows = []
        for i, place in enumerate(self.data.place.values):
            one = self.data.isel(place=i)
            got = {str(key): float(one[key]) for key in one.data_vars}
            cells = [one_line(str(place)), str(int(got["points"])), str(int(got["width"]))]
            cells += [_dimension(got, key) for key, _ in LOCAL] + [_whole(got["pca90"])]
            cells += [_number(got[key]) for key in ISOTROPY[:-1]] + [_whole(got["outliers"])]
            rows.append(cells)
        return HEADER, rows

    def __str__(self) -> str:
        lines = aligned(*self.table(), left=False)
        return "\n".join([*WORDS, "", *lines, "", f"{self.summary()}.", *self.notes])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data for JSON: None where there is no reading."""
        places = []
        for i, place in enumerate(self.data.place.values):
            one = self.data.isel(place=i)
            numbers = {str(key): float(one[key]) for key in one.data_vars}
            finite = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
            places.append({"place": str(place), **finite})
        return {**self.data.attrs, "summary": self.summary(), "places": places, "notes": list(self.notes)}

    def figure(self) -> Figure:
        """Return panels over the places: dimensions as read and calibrated, shares, and ranks."""
        n = np.arange(self.data.sizes["place"], dtype=float)

        def line(key: str, label: str, error: str = "") -> Line:
            value = self.data[key].values
            there = np.isfinite(value)
            spread = np.nan_to_num(self.data[error or f"{key}_error"].values)[there]
            return Line(label, n[there], value[there], value[there] - 2 * spread, value[there] + 2 * spread)

        along = Axis("place (0: the input)" if str(self.data.place.values[0]) == "input" else "place")
        read = [line(key, label) for key, label in LOCAL]
        known = [line(f"{key}_calibrated", label, f"{key}_calibrated_error") for key, label in LOCAL]
        shares = [("isoscore", "IsoScore"), ("top_share", "top share"), ("cosine", "mean cosine"), ("uniformity", "W2")]
        ranks = [("effective_rank", "effective rank"), ("participation", "participation")]
        panels = [
            Curves("Dimension, as read", along, Axis("dimension"), [x for x in read if len(x.x)]),
            Curves("Dimension, calibrated on white noise", along, Axis("dimension"), [x for x in known if len(x.x)]),
            Curves("Isotropy", along, Axis("share, or radii"), [line(*one) for one in shares]),
            Curves("Directions with variance", along, Axis("directions", scale="log"), [line(*one) for one in ranks]),
        ]
        caption = f"{sentence(self.summary())}. Bands are two standard errors."
        return Figure("profile", f"The shape of each layer of {self.data.attrs['model']}", caption, panels)


def _dimension(got: dict[str, float], key: str) -> str:
    value, error, known = got[key], got[f"{key}_error"], got[f"{key}_calibrated"]
    if math.isnan(value):
        return "-"
    return f"{value:.1f}±{error:.1f}" + (f" > {known:.1f}" if math.isfinite(known) else "")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}" if abs(value) >= 100 else f"{value:.3f}"


def _whole(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"
