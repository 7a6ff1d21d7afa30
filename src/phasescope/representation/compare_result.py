"""What a comparison found: a matrix of layers, the measures of some pairs, and which layer answers to which."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from phasescope.ensemble import streams
from phasescope.errors import aligned
from phasescope.figures import Figure
from phasescope.representation.compare_figure import figure_of
from phasescope.representation.similarity_kernels import AllPairs
from phasescope.representation.similarity_measures import Reading
from phasescope.verdict.numbers import pack
from phasescope.vocabulary import Array

if TYPE_CHECKING:
    import xarray as xr

FIELDS = ("value", "error", "null_mean", "null_sd", "z", "corrected", "ceiling")
HEADER = ("layer a", "layer b", "pair", "measure", "value ± error", "null", "z", "corrected", "ceiling", "")
ORDERS = 10_000
"""Random matchings of layers with which that of most similar ones is compared."""
SURE = 5.0
"""Standard deviations of the null beyond which a similarity is called so: the tails of these nulls are not normal."""
NEAR, EQUAL = 0.9, 1 - 1e-9
MOST_ROWS = 40
WORDS = (
    "null: over all orders of b's stimuli. z: (value - null) / its spread. corrected: 0 at the null, 1 for equals.",
    "ceiling: the most that the spectra of the two allow. errors: groups of neighbouring rows left out in turn.",
)


@dataclass(frozen=True)
class Pair:
    """Two layers that are compared in all measures, as indices, and why."""

    a: int
    b: int
    kind: str


@dataclass(frozen=True)
class Comparison:
    """What ``ps.compare`` returns; prints as a table, and ``data`` has all of it.

    ``data``: "cka", "cka_error", "cka_z", "cka_biased", "cka_biased_error" (layer_a, layer_b); "value", "error",
    "null_mean", "null_sd", "z", "corrected", "ceiling", "draws" (pair, measure), where draws 0 is an exact null;
    "best" (layer_a), the most similar layer of b. Attributes name the sides, count samples, and tell which fraction
    of layers is ``identified``: their most similar one is at the same place, against ``chance``, with the probability
    ``p`` of so many in a random matching; and ``order``, the rank correlation of best matches with depth.
    """

    data: xr.Dataset
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, str]:
        """What the two sides are called."""
        return str(self.data.attrs["a"]), str(self.data.attrs["b"])

    def summary(self) -> str:
        """Return in one sentence how alike the two are."""
        a, b = self.names
        some = self.data
        if some.sizes["layer_a"] * some.sizes["layer_b"] == 1:
            value, error, z = (float(some[name].item()) for name in ("cka", "cka_error", "cka_z"))
            if math.isnan(value):
                return f"{a} and {b}: nothing is left of a kernel without its diagonal, and there is no unbiased CKA"
            above = f"{z:.1f} standard deviations above unrelated"
            return f"{a} and {b}: CKA {value:.3f} ± {_number(error)}, {above}: {_word(value, z)}"
        best = some.cka.max("layer_b")
        matched = f"{a} and {b}: CKA of best matches {float(best.min()):.2f} to {float(best.max()):.2f}"
        if math.isnan(float(some.attrs["identified"])):
            return f"{matched}; {_order(some.attrs['order'])}"
        chance = f"chance {100 * some.attrs['chance']:.0f} %, p = {some.attrs['p']:.2g}"
        return (
            f"{matched}; {100 * some.attrs['identified']:.0f} % of layers are most similar to the one at their own "
            f"place ({chance}); {_order(some.attrs['order'])}"
        )

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Return header and rows: one row for each pair and measure."""
        rows = []
        for pair in range(self.data.sizes["pair"]):
            here = self.data.isel(pair=pair)
            for name in self.data.measure.values:
                one = here.sel(measure=name)
                numbers = {field: float(one[field].item()) for field in FIELDS}
                drawn = int(one.draws.item())
                null = f"{_number(numbers['null_mean'])} ± {_number(numbers['null_sd'])}"
                rows.append(
                    [
                        *(str(here[where].item()) for where in ("pair_a", "pair_b", "pair_kind")),
                        str(name),
                        f"{_number(numbers['value'])} ± {_number(numbers['error'])}",
                        f"{null} ({drawn} draws)" if drawn else null,
                        "-" if math.isnan(numbers["z"]) else f"{numbers['z']:.1f}",
                        _number(numbers["corrected"]),
                        _number(numbers["ceiling"]),
                        _word(numbers["corrected"], numbers["z"]),
                    ]
                )
        return HEADER, rows

    def __str__(self) -> str:
        a, b = self.names
        title = f"{a} and {b}, {self.data.attrs['samples']:,} stimuli, seed {self.data.attrs['seed']}"
        header, rows = self.table()
        if self.data.sizes["layer_a"] * self.data.sizes["layer_b"] == 1:
            header, rows = header[3:], [row[3:] for row in rows]
        if len(rows) > MOST_ROWS:
            header, rows = self._by_layer()
        lines = aligned(header, rows)
        return "\n".join([title, *WORDS, "", *lines, "", f"{self.summary()}.", *self.notes])

    def _by_layer(self) -> tuple[list[str], list[list[str]]]:
        """Return one row for each layer of a: the most similar layer of b, and its measures, corrected."""
        measures = [str(name) for name in self.data.measure.values]
        rows = []
        for i, layer in enumerate(self.data.layer_a.values):
            best = str(self.data.best.values[i])
            at = np.flatnonzero((self.data.pair_a.values == layer) & (self.data.pair_b.values == best))[0]
            value, error = (float(self.data[name].sel(layer_a=layer, layer_b=best)) for name in ("cka", "cka_error"))
            cells = [_number(float(x)) for x in self.data.corrected.isel(pair=at).values]
            rows.append([str(layer), best, f"{value:.3f} ± {error:.3f}", *cells])
        return ["layer a", "best match", "CKA ± error", *(f"{name}*" for name in measures)], rows

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data for JSON: None where there is no reading."""
        data = self.data
        pairs = [
            {
                "layer_a": str(data.pair_a.values[p]), "layer_b": str(data.pair_b.values[p]),
                "pair": str(data.pair_kind.values[p]), "measure": str(name),
                **{field: pack(float(data[field].values[p, m])) for field in FIELDS},
                "draws": int(data.draws.values[p, m]),
            }
            for p in range(data.sizes["pair"]) for m, name in enumerate(data.measure.values)
        ]  # fmt: skip
        whole = {key: pack(value) if isinstance(value, float) else value for key, value in data.attrs.items()}
        tables = {
            name: [[pack(float(x)) for x in row] for row in data[name].values]
            for name in ("cka", "cka_error", "cka_z", "cka_biased", "cka_biased_error")
        }
        layers = {name: [str(x) for x in data[name].values] for name in ("layer_a", "layer_b", "best")}
        return {**whole, **layers, **tables, "pairs": pairs, "notes": list(self.notes)}

    def figure(self) -> Figure:
        """Return the picture: CKA of all pairs of layers, and the measures at the same depth and at best matches."""
        return figure_of(self.data, self.summary())


def compared(
    names: tuple[str, str], layers: tuple[list[str], list[str]], count: int, kernels: tuple[AllPairs, AllPairs],
    pairs: Sequence[Pair], readings: Sequence[dict[str, Reading]], seed: int, notes: Sequence[str],
) -> Comparison:  # fmt: skip
    """Return the comparison that these readings make."""
    import xarray as xr

    left, right = layers
    at = (slice(0, len(left)), slice(len(left), None))
    square: dict[str, Any] = {
        f"{name}{end}": (("layer_a", "layer_b"), getattr(table, part)[at].numpy())
        for name, table in zip(("cka", "cka_biased"), kernels, strict=True)
        for part, end in (("values", ""), ("errors", "_error"))
    }
    square["cka_z"] = (("layer_a", "layer_b"), (kernels[0].values / kernels[0].spread)[at].numpy())
    best = np.nan_to_num(square["cka"][1], nan=-math.inf).argmax(1)
    numbers = {
        field: (("pair", "measure"), [[getattr(found, field) for found in one.values()] for one in readings])
        for field in (*FIELDS, "draws")
    }
    whole = {"a": names[0], "b": names[1], "samples": count, "seed": seed, **_identified(square["cka"][1], seed)}
    data = xr.Dataset(
        {**square, **numbers, "best": ("layer_a", [right[j] for j in best])},
        coords={
            "layer_a": left, "layer_b": right, "measure": list(readings[0]),
            "pair_a": ("pair", [left[p.a] for p in pairs]), "pair_b": ("pair", [right[p.b] for p in pairs]),
            "pair_kind": ("pair", [p.kind for p in pairs]),
        },
        attrs=whole,
    )  # fmt: skip
    return Comparison(data, (*_notes(data), *notes))


def _identified(table: Array, seed: int) -> dict[str, float]:
    """Return how often a layer's most similar one is at its own place, both ways, and how well depths agree."""
    rows, columns = table.shape
    nothing = {"identified": math.nan, "chance": math.nan, "p": math.nan, "order": math.nan}
    if min(rows, columns) < 2:
        return nothing
    table = np.nan_to_num(table, nan=-math.inf)
    there, back = table.argmax(1), table.argmax(0)
    own, read = np.arange(rows), np.isfinite(table).any(1)
    order = _spearman(own[read], there[read])
    if rows != columns:
        return {**nothing, "order": order}
    # what is the same on both sides, as the data before the first weights, is no match that had to be found
    counted = (table[own, own] < EQUAL) & np.isfinite(table[own, own])
    counted = counted if counted.sum() > 1 else np.isfinite(table[own, own])
    if not counted.any():
        return nothing
    hits = (there == own)[counted].sum() + (back == own)[counted].sum()
    generator = streams(seed)("matchings")
    matchings = generator.permuted(np.tile(own, (ORDERS, 1)), axis=1)
    inverse = np.argsort(matchings, axis=1)
    drawn = (matchings == there)[:, counted].sum(1) + (inverse == back)[:, counted].sum(1)
    p = (1 + int((drawn >= hits).sum())) / (1 + ORDERS)
    return {"identified": float(hits) / (2 * int(counted.sum())), "chance": 1 / rows, "p": p, "order": order}


def _spearman(x: Array, y: Array) -> float:
    """Return the rank correlation, ties at their mean rank; NaN where one side is constant."""
    if len(set(y.tolist())) < 2:
        return math.nan
    ranks = [np.array([(v < one).sum() + ((v == one).sum() - 1) / 2 for one in v]) for v in (x, y)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _notes(data: xr.Dataset) -> list[str]:
    said = []
    if data.sizes["layer_a"] * data.sizes["layer_b"] > 1:
        said.append("Columns with * are corrected for the null; all pairs and their nulls are in the data.")
    full = [m for m in ("cca", "svcca") if m in data.measure and bool((data.null_mean.sel(measure=m) > 1 - 1e-9).any())]
    if full:
        said.append(
            f"{' and '.join(full)}: with at least as many dimensions as stimuli any two clouds correlate fully; give "
            "more stimuli."
        )
    return said


def _word(corrected: float, z: float) -> str:
    if math.isnan(z) or math.isnan(corrected):
        return "no reading"
    if z < SURE:
        return "not above chance" if z < 3 else "near chance"
    return "the same" if corrected > 1 - 1e-6 else "alike" if corrected > NEAR else "related"


def _order(order: float) -> str:
    return "all layers match one" if math.isnan(order) else f"depth of best matches: rank correlation {order:.2f}"


def _number(x: float) -> str:
    return "-" if math.isnan(x) else f"{x:.3f}".replace("-0.000", "0.000")
