"""What a de-duplication found: which rows stay, pairs to look at, and its picture."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from phasescope.data.missed import Missed
from phasescope.errors import sentence
from phasescope.figures import Axis, Curves, Figure, Histogram, Line
from phasescope.vocabulary import Array

if TYPE_CHECKING:
    import xarray as xr

SHOWN, LETTERS, WIDE = 8, 160, 60
HEADER = ("pair", "cosine", "what", "kept or nearer the front", "the other")
PAIRS = "Pairs to look at, exact copies left out: clear copies, and those nearest to the threshold on either side."
ALIKE = 0.9
GRID = np.concatenate([np.geomspace(1e-4, 1, 41), [2.0]])


@dataclass(frozen=True)
class Dedup:
    """What ``ps.dedup`` returns; prints as counts and a few pairs.

    ``data`` (row): ``nearest_similarity``, the largest cosine with an earlier row of its cluster (NaN for the first),
    and ``nearest``, that row (-1); ``kept_paper`` and ``kept_leader``, whether it stays by either rule; ``group``, the
    row that stays for it; ``first_copy``, the first row with the same bits; ``cluster``, ``centroid_similarity``.
    ``missed`` says what clusters hide. ``texts`` are the user's own, and so are ``names``, which pairs are told by.
    """

    data: xr.Dataset
    missed: Missed
    texts: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None

    @property
    def epsilon(self) -> float:
        """Return the distance up to which rows are near copies: cosine above 1 - epsilon."""
        return float(self.data.attrs["epsilon"])

    @property
    def kept(self) -> Array:
        """Return the rows that stay (n,), int64, in rising order."""
        return np.flatnonzero(self.data[f"kept_{self.data.attrs['rule']}"].values)

    @property
    def group(self) -> Array:
        """Return the row that stays for each row (N,), int64."""
        return np.asarray(self.data.group.values)

    @property
    def nearest_similarity(self) -> Array:
        """Return M (N,): the largest cosine with an earlier row of the same cluster; NaN for the first of each."""
        return np.asarray(self.data.nearest_similarity.values)

    @property
    def differing(self) -> int:
        """Return how many rows the paper's rule takes out, and the rule that chains can not mislead keeps."""
        return int((self.data.kept_leader.values & ~self.data.kept_paper.values).sum())

    @property
    def exact_copies(self) -> int:
        """Return how many rows have the same bits as an earlier one."""
        return int((self.data.first_copy.values != np.arange(self.data.sizes["row"])).sum())

    @cached_property
    def pairs(self) -> Array:
        """Return each row beside its nearest earlier one, the most alike first: columns i (earlier), j, cosine."""
        values = self.nearest_similarity.astype(np.float64)
        rows = np.flatnonzero(np.isfinite(values))
        rows = rows[np.argsort(-values[rows], kind="stable")]
        found = np.empty(len(rows), [("i", np.int64), ("j", np.int64), ("cosine", np.float64)])
        found["i"], found["j"], found["cosine"] = self.data.nearest.values[rows], rows, values[rows]
        return found

    @cached_property
    def curve(self) -> tuple[Array, Array]:
        """Return distances epsilon (E,) from 1e-4 to 2, and the share of rows that the paper's rule keeps at each."""
        values = np.sort(np.nan_to_num(self.nearest_similarity.astype(np.float64), nan=-np.inf))
        return GRID, np.searchsorted(values, 1 - GRID, side="right") / len(values)

    def look_at(self, most: int = SHOWN) -> list[tuple[int, int, float, str]]:
        """Return pairs to look at: clear copies, the last that count as copies, the first that do not; none exact."""
        copies = self.data.first_copy.values
        pairs = self.pairs[copies[self.pairs["i"]] != copies[self.pairs["j"]]]
        above = pairs["cosine"] > 1 - self.epsilon
        gone, stay = pairs[above], pairs[~above]
        some = (
            np.unique(np.linspace(0, len(gone) - most - 1, most).astype(int)) if len(gone) > most else np.array([], int)
        )
        chosen = [(p, "a clear copy") for p in gone[some]]
        chosen += [(p, "barely a copy") for p in gone[-most:]] + [(p, "nearly a copy") for p in stay[:most]]
        return [(int(p["i"]), int(p["j"]), float(p["cosine"]), what) for p, what in chosen]

    def summary(self) -> str:
        """Return in one sentence how many rows stay."""
        n, m = self.data.sizes["row"], len(self.kept)
        return (
            f"{self.data.attrs['name']}: {m:,} of {n:,} rows stay ({m / n:.1%}) at epsilon {self.epsilon:.4g}, "
            f"exact copies of an earlier row: {self.exact_copies:,}"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a reader must know: chains, pairs between clusters, and embeddings that are all alike."""
        rule, other = self.data.attrs["rule"], self.differing
        told = [
            f"Rule {rule}: {other:,} rows go by the paper's rule although no kept row is near (chains), and stay "
            "by the rule 'leader'."
            if other
            else "The rules 'paper' and 'leader' keep the same rows: none goes by a chain of copies alone.",
            f"{sentence(str(self.missed))}.",
        ]
        if self.missed.typical > ALIKE:
            told.append(
                f"Rows are alike all over: the median cosine of two rows is {self.missed.typical:.3f}, so a cosine "
                "near 1 says little; subtract the mean of the embeddings, or choose a smaller epsilon."
            )
        return tuple(told)

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Return header and rows: the pairs to look at, with the texts if there are some."""
        rows = []
        for i, j, cosine, what in self.look_at():
            said = [self.said(i), self.said(j)]
            rows.append([f"{self.called(i)}, {self.called(j)}", f"{cosine:.4f}", what, *said])
        return HEADER, rows

    def said(self, row: int, most: int = LETTERS) -> str:
        """Return a row's text as one line of reading length, or its name; control characters are no part of it."""
        if self.texts is None:
            return self.called(row)
        plain = _plain(" ".join(self.texts[row].split()))
        return plain if len(plain) <= most else f"{plain[: most - 4]} ..."

    def called(self, row: int) -> str:
        """Return what a row is called: its name, or its number, from 0."""
        return f"row {row}" if self.names is None else _plain(self.names[row])

    def __str__(self) -> str:
        lines, pairs = [f"{self.summary()}.", *self.notes], self.look_at(3)
        lines += ["", PAIRS] if pairs else []
        for i, j, cosine, what in pairs:
            lines += [""] if self.texts is not None else []
            lines.append(f"{cosine:.4f}  {what}: {self.called(i)} and {self.called(j)}")
            lines += [f"  {self.said(row, WIDE)}" for row in (i, j)] if self.texts is not None else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """Return counts, the curve, what was missed, and pairs as plain data for JSON; NaN as None."""
        lost = {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in vars(self.missed).items()}
        grid, share = self.curve
        return {
            **self.data.attrs,
            "summary": self.summary(),
            "rows": self.data.sizes["row"],
            "kept": len(self.kept),
            "kept_paper": int(self.data.kept_paper.sum()),
            "kept_leader": int(self.data.kept_leader.sum()),
            "differing": self.differing,
            "exact_copies": self.exact_copies,
            "missed": lost,
            "curve": {"epsilon": grid.tolist(), "kept": share.tolist()},
            "pairs": [{"i": i, "j": j, "cosine": c, "what": what} for i, j, c, what in self.look_at()],
            "notes": list(self.notes),
        }

    def figure(self) -> Figure:
        """Return two panels: how near the nearest earlier row is, and how many rows stay at each epsilon."""
        values = self.nearest_similarity[np.isfinite(self.nearest_similarity)].astype(np.float64)
        grid, share = self.curve
        mark = [(1 - self.epsilon, "1 - epsilon")]
        panels: list[Curves | Histogram] = [
            Histogram("The nearest earlier row", Axis("cosine"), [("rows", values)], marks=mark),
            Curves(
                "What stays", Axis("epsilon", "log"), Axis("share of rows", limits=(0, 1.02)),
                [Line("the paper's rule", grid, share, role="theory")],
                marks=[(self.epsilon, "chosen")] if self.epsilon >= GRID[0] else [],
            ),
        ]  # fmt: skip
        return Figure("dedup", f"Near copies in {self.data.attrs['name']}", f"{self.summary()}.", panels)


def _plain(words: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)
