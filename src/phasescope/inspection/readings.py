"""What an inspection found: one row per block, the whole depth, and what to do. Prints as a table."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from phasescope.figures import Figure
from phasescope.inspection.figures import figure_of
from phasescope.inspection.forecast import Forecast
from phasescope.verdict.numbers import pack

if TYPE_CHECKING:
    import xarray as xr

Verdict = Literal["critical", "ordered", "chaotic", "undecided", "-"]
DEPTH_TOLERANCE = math.log(100)
"""|log J| over the whole depth: gradient norms of the first and last block within tenfold, so that one learning
rate serves both. Small steps of one sign add up over many blocks; this is the threshold that notices."""
HEADER = (
    "block", "shape", "parameters", "kernel", "chi_J [95 %]", "verdict", "skip", "J to the end", "dead", "cosine",
    "tokens", "scale by",
)  # fmt: skip
ALWAYS = 4  # columns that are shown also where nothing is read
MANY = 30  # rows, beyond which what was found comes before the table
WORDS = (
    "kernel: mean square of the signal. J: squared norm of a gradient here over that where it comes back from.",
    "chi_J: J across one block. 1 keeps gradients; above, they grow on their way back; below, they shrink.",
)


@dataclass(frozen=True)
class Interval:
    """A measured number with its 95 % interval, Student's t over the probes."""

    value: float
    low: float
    high: float

    @property
    def log(self) -> Interval:
        """The natural logarithm of a positive quantity; -inf where an end is not positive."""
        return Interval(*(math.log(x) if x > 0 else (-math.inf if x <= 0 else x) for x in self))

    def __iter__(self) -> Any:
        return iter((self.value, self.low, self.high))


NOTHING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class BlockReading:
    """One block: what its output is like, and what it does to a gradient that passes back through it.

    ``kernel``: mean of h^2. ``chi``: J from the place before to this one; 1 keeps gradients. ``skip``: the mean
    diagonal of that Jacobian, 1 for ``h + branch(h)``. ``slope``: d log K of the output by d log K of the input.
    ``to_end``: J from here to the last block. ``dead``: share of activation units without gradient. ``cosine``,
    ``tokens``: between samples, and between the tokens of one. ``variance``: of a unit over the batch. ``scale``: the
    factor for the block's weights (without a skip) or its branch (with one) that would mend chi. ``shape``: of the
    output, without the samples. ``parameters``: those that the block holds. NaN: no reading.
    """

    name: str
    kernel: float
    chi: Interval
    verdict: Verdict
    skip: float
    slope: float
    to_end: Interval
    dead: float
    cosine: float
    tokens: float
    variance: float
    scale: float = math.nan
    shape: tuple[int, ...] = ()
    parameters: int = 0


@dataclass(frozen=True)
class Finding:
    """Something that is not normal: what, and what to do about it, empty where nothing that was tried helps."""

    what: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.mend}".strip()


@dataclass(frozen=True)
class Inspection:
    """What ``ps.inspect`` returns. ``rows`` are the places in order: the input of the first block, then each block.

    ``total`` is J over the whole depth, from ``start`` to the last block, ``depth`` the number of blocks between them;
    ``relative`` its log without the signal's own change of scale where a normalization undoes that: the verdict's.
    ``covered`` is the share of the parameters that the blocks of all parts cover, tables of embeddings and the readout
    apart, ``coverage`` says so with what is not read. ``parts`` are further streams, such as a decoder. ``forecast`` is
    what to expect of a training, where it was asked for.
    """

    model: str
    parameters: int
    batch: str
    probes: int
    seed: int
    rows: tuple[BlockReading, ...]
    start: str
    depth: int
    total: Interval
    relative: float
    verdict: Verdict
    findings: tuple[Finding, ...]
    covered: float = math.nan
    coverage: str = ""
    parts: tuple[Inspection, ...] = ()
    forecast: Forecast | None = None

    @property
    def blocks(self) -> tuple[str, ...]:
        """The names of the blocks."""
        return tuple(row.name for row in self.rows if row.name != "input")

    @property
    def growth(self) -> Interval:
        """Nats by which log J grows per block: 0 at criticality, positive where gradients explode going back."""
        return Interval(*(x / self.depth for x in self.total.log))

    @property
    def correlation_length(self) -> float:
        """Blocks over which J changes e-fold: 1/|growth|, infinite at criticality."""
        growth = self.growth.value
        return math.inf if growth == 0 else 1 / abs(growth)

    def summary(self) -> str:
        """Return the whole depth in one sentence."""
        total, log, growth = self.total, self.total.log, self.growth
        return (
            f"{self.verdict}: over {self.depth} blocks J = {_number(total.value)} [{_number(total.low)}, "
            f"{_number(total.high)}] (log J = {log.value:+.2f}), {growth.value:+.3f} nats per block, "
            f"correlation length {_number(self.correlation_length)} blocks{self._scaled()}"
        )

    def _scaled(self) -> str:
        """Say what of J is the signal's own growth, which a normalization undoes, where that decides the verdict."""
        log = self.total.log.value
        if self.verdict != "critical" or not abs(log) > DEPTH_TOLERANCE:
            return ""
        own = _number(math.exp(log - self.relative))
        return f"; the signal's own change of scale, which the normalizations undo, makes {own} of it"

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Return the header and the rows of the table as text; columns without any reading are left out."""
        rows = [_cells(row) for row in self.rows]
        used = [i for i in range(len(HEADER)) if i < ALWAYS or any(row[i] not in ("", "-") for row in rows)]
        return [HEADER[i] for i in used], [[row[i] for i in used] for row in rows]

    @property
    def _title(self) -> str:
        return (
            f"{self.model}: {self.parameters:,} parameters, batch {self.batch}, {self.probes} probes, seed {self.seed}"
        )

    def __str__(self) -> str:
        told = [self.summary(), *self._told()]
        told += [f"{self.coverage}."] if self.coverage else []
        whole = [*told, "", *self._lines()] if len(self.rows) > MANY else [*self._lines(), "", *told]
        more = [line for i, part in enumerate(self.parts, 2) for line in part._as_part(i)]
        more += [] if self.forecast is None else ["", str(self.forecast)]
        return "\n".join([self._title, *WORDS, "", *whole, *more])

    def _as_part(self, number: int) -> list[str]:
        return [
            "",
            f"Part {number}: {self.blocks[0]} to {self.blocks[-1]}",
            *self._lines(),
            "",
            self.summary(),
            *self._told(),
        ]

    def _lines(self) -> list[str]:
        header, rows = self.table()
        widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
        return [_line(row, widths) for row in (header, *rows)]

    def _told(self) -> list[str]:
        return [f"{i}. {finding}" for i, finding in enumerate(self.findings, 1)] or ["Nothing unusual was found."]

    def _repr_html_(self) -> str:
        words = "<br>".join(html.escape(line) for line in (self._title, *WORDS))
        told = f"<p>{html.escape(self.coverage)}</p>" if self.coverage else ""
        end = "" if self.forecast is None else f"<p>{html.escape(str(self.forecast))}</p>"
        return f"<p>{words}</p>{self._html()}{told}{''.join(part._html() for part in self.parts)}{end}"

    def _html(self) -> str:
        header, rows = self.table()
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        found = "".join(f"<li>{html.escape(str(finding))}</li>" for finding in self.findings)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        said = f"<p>{html.escape(self.summary())}</p><ol>{found}</ol>"
        return said + table if len(self.rows) > MANY else table + said

    def to_dataset(self) -> xr.Dataset:
        """Return the readings as an ``xarray.Dataset`` along ``block``, and the whole in its attributes."""
        import xarray as xr

        numbers = {
            name: [getattr(row, name) for row in self.rows]
            for name in ("kernel", "variance", "skip", "slope", "dead", "cosine", "tokens", "scale")
        }
        for name in ("chi", "to_end"):
            for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
                numbers[name + suffix] = [getattr(getattr(row, name), part) for row in self.rows]
        columns: dict[str, Any] = {name: ("block", np.asarray(values, float)) for name, values in numbers.items()}
        columns["verdict"] = ("block", [row.verdict for row in self.rows])
        columns["parameters"] = ("block", [row.parameters for row in self.rows])
        columns["shape"] = ("block", ["x".join(map(str, row.shape)) for row in self.rows])
        attributes = {
            "model": self.model, "batch": self.batch, "probes": self.probes, "seed": self.seed, "start": self.start,
            "depth": self.depth, "total": self.total.value, "total_low": self.total.low, "total_high": self.total.high,
            "growth": self.growth.value, "verdict": self.verdict, "findings": [str(f) for f in self.findings],
            "covered": self.covered, "coverage": self.coverage,
        }  # fmt: skip
        return xr.Dataset(columns, coords={"block": [row.name for row in self.rows]}, attrs=attributes)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data for JSON: None where there is no reading, infinities as text."""
        data = self.to_dataset()
        rows = [
            {"block": str(name), **{key: _plain(data[key].values[i]) for key in data.data_vars}}
            for i, name in enumerate(data.block.values)
        ]
        whole = {"parameters": self.parameters, **{k: _plain(v) for k, v in data.attrs.items()}, "rows": rows}
        forecast = None if self.forecast is None else self.forecast.to_json()
        return {**whole, "parts": [part.to_json() for part in self.parts], "forecast": forecast}

    def figure(self) -> Figure:
        """Return the picture: chi_J per block, J to the end, kernel, and cosines and dead units, as blocks."""
        return figure_of(self.to_dataset(), self.model, self.batch, self.summary())


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return pack(float(value))
    return value.item() if isinstance(value, np.generic) else value


def _number(x: float) -> str:
    """Write a number with three digits that matter.

    >>> _number(0.98765), _number(12345.0), _number(float("nan")), _number(2e-7)
    ('0.988', '1.23e+04', '', '2e-07')
    """
    return "" if math.isnan(x) else f"{x:.3g}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join([first.strip().ljust(widths[0]), *others]).rstrip()


def _cells(row: BlockReading) -> list[str]:
    chi = f"{row.chi.value:.3g} [{row.chi.low:.3g}, {row.chi.high:.3g}]" if not math.isnan(row.chi.value) else ""
    share = ["" if math.isnan(x) else f"{x:.2f}".replace("-0.00", "0.00") for x in _shares(row)]
    dead = "" if math.isnan(row.dead) else f"{100 * row.dead:.0f} %"
    scale = "" if math.isnan(row.scale) else f"{row.scale:.2f}"
    end = _number(row.to_end.value)
    shape = "x".join(map(str, row.shape)) or "-"
    held = f"{row.parameters:,}" if row.parameters else ""
    return [
        row.name,
        shape,
        held,
        _number(row.kernel),
        chi,
        row.verdict,
        share[0],
        end,
        dead,
        share[1],
        share[2],
        scale,
    ]


def _shares(row: BlockReading) -> tuple[float, float, float]:
    return row.skip, row.cosine, row.tokens
