"""What scores found: a table of scores with their agreement, the suspects among the labels, and a picture."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from phasescope.checks import whole, word
from phasescope.errors import aligned
from phasescope.figures import Axis, Curves, Figure, Histogram, Line
from phasescope.samples import rows_of
from phasescope.vocabulary import Array

if TYPE_CHECKING:
    import xarray as xr

SCORES = ("el2n", "grand", "accessibility", "forgetting", "margin", "memorization")
RISING = {"el2n": 1, "grand": 1, "accessibility": -1, "forgetting": 1, "margin": -1, "memorization": 1}
"""Whether a harder row has more of it (1) or less (-1)."""
SOURCES = {
    "el2n": ("1", "Paul et al. 2021, arXiv:2107.07075: |p - y| early in training"),
    "grand": ("1", "Paul et al. 2021, arXiv:2107.07075: |gradient of the loss| early in training"),
    "accessibility": ("1", "Hacohen et al. 2020, arXiv:1905.10854: share of records at which it is right"),
    "forgetting": ("falls", "Toneva et al. 2019, arXiv:1812.05159: from right to wrong between records"),
    "margin": ("1", "output of the label less the largest other, at the end"),
    "memorization": ("1", "Feldman and Zhang 2020, arXiv:2008.03703: P(right | seen) - P(right | not seen)"),
    "unlearnt": ("1", "share of seeds in which it was never right"),
    "label": ("1", "the user's own"),
    "order_shared": ("1", "Spearman correlation of accessibility, two seeds on the same rows"),
    "order_disjoint": ("1", "Spearman correlation of accessibility, disjoint training sets, rows that neither saw"),
    "coherence": ("1", "Chatterjee and Zielinski 2020, arXiv:2008.01217: N |mean g|^2 / mean |g|^2 at a loss"),
}
NONE = [math.nan, math.nan]
HEADER = ("score", "median", "5 % to 95 %", "error of one row", "agreement of halves", "hardest rows")
WORDS = (
    "Agreement of halves: rank correlation of the scores by one half of the seeds with those by the other, over rows.",
    "Memorization: how much more often a row is right at the end in networks that saw it than in those that did not.",
)


def rank_agreement(a: Array, b: Array) -> float:
    """Return Spearman's rank correlation of two rows of numbers; NaN where one is constant.

    >>> rank_agreement(np.array([1, 2, 3]), np.array([2, 4, 8]))
    1.0
    """
    there = np.isfinite(a) & np.isfinite(b)
    if there.sum() < 2 or np.ptp(a[there]) == 0 or np.ptp(b[there]) == 0:
        return math.nan
    return float(np.round(stats.spearmanr(a[there], b[there]).statistic, 12))


def found_area(values: Array, flagged: Array) -> float:
    """Return the probability that a flagged row has a larger value than another one (AUC), ties a half.

    >>> found_area(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, True]))
    0.75
    """
    there = np.isfinite(values)
    ranks, flags = stats.rankdata(values[there]), flagged[there]
    n, m = int(flags.sum()), int((~flags).sum())
    return float((ranks[flags].sum() - n * (n + 1) / 2) / (n * m)) if n and m else math.nan


@dataclass(frozen=True)
class Scores:
    """What ``ps.scores`` returns; prints as a table.

    ``data``: of each row ``el2n``, ``grand``, ``accessibility``, ``forgetting`` (NaN where it was never right),
    ``margin`` and ``memorization``, the mean over seeds, with ``_error``, its standard error, and ``_each`` (seed,
    row); ``unlearnt``; ``order_shared`` and ``order_disjoint`` (seed): how far two networks learn in the same order,
    and the null of it, for networks on disjoint rows; ``coherence`` and ``coherence_shuffled`` (seed, level), at
    matched loss. Units and sources are attributes of each. ``notes`` say what is missing, and why.
    """

    data: xr.Dataset
    notes: tuple[str, ...] = ()

    def hardness(self, by: str = "el2n") -> Array:
        """Return the score ``by`` (N,), turned so that harder rows have more. Raises ``BadInput`` for another word."""
        by = word(*SCORES)("by", by)
        return RISING[by] * np.asarray(self.data[by].values, float)

    def suspects(self, count: int = 20, by: str = "el2n") -> Array:
        """Return the ``count`` hardest rows by a score, the hardest first, int64: whose labels to look at first.

        Rows without this score are none of them, so that there may be fewer.
        """
        count = whole(1, self.data.sizes["row"])("count", count)
        return _hardest(self.hardness(by), count)

    def judged(self, flipped: Any, count: int | None = None) -> dict[str, tuple[float, float]]:
        """Return, by score, AUC and precision among the ``count`` hardest rows (default: as many as were flipped).

        ``flipped``: row numbers, or booleans (N,), of labels that were changed on purpose. A guess has AUC 0.5 and the
        share of flipped rows as precision. Raises ``BadInput`` for rows that are not there.
        """
        flags, k = self._flags(flipped, count)
        return {by: _judged(self.hardness(by), flags, k) for by in SCORES}

    def judged_errors(self, flipped: Any, count: int | None = None) -> dict[str, tuple[float, float]]:
        """Return, by score, the standard errors over seeds of what ``judged`` returns, by leaving out one seed each.

        The jackknife (Tukey 1958). Raises ``BadInput`` as ``judged`` does.
        """
        flags, k = self._flags(flipped, count)
        found = {}
        for by in SCORES:
            each = RISING[by] * self.data[f"{by}_each"].values
            n = len(each)
            left = np.array([_judged(_mean(np.delete(each, seed, 0)), flags, k) for seed in range(n)])
            area, share = np.sqrt((n - 1) * left.var(0)).tolist()
            found[by] = (area, share)
        return found

    def _flags(self, flipped: Any, count: int | None) -> tuple[Array, int]:
        """Return which rows are flipped (N,), and among how many suspects they are looked for."""
        n = self.data.sizes["row"]
        flags = np.zeros(n, bool)
        flags[rows_of(flipped, n, "flipped", str(self.data.attrs["name"]))] = True
        return flags, int(flags.sum()) if count is None else whole(1, n)("count", count)

    def agreement(self, by: str) -> tuple[float, float]:
        """Return mean and spread, over ten ways to halve the seeds, of the rank correlation between the halves."""
        each = self.data[f"{word(*SCORES)('by', by)}_each"].values
        n = len(each)
        found = []
        for shift in range(min(10, n)):
            turned = np.roll(each, shift, 0)
            one, other = (_mean(turned[part]) for part in (slice(0, n, 2), slice(1, n, 2)))
            if shift % 2 and n % 2 == 0:  # the same two halves again
                one, other = _mean(turned[: n // 2]), _mean(turned[n // 2 :])
            found.append(rank_agreement(one, other))
        known = [x for x in found if math.isfinite(x)] or NONE
        return float(np.mean(known)), float(np.std(known))

    def order(self) -> tuple[float, float, float, float]:
        """Return the agreement of orders of learning and its error: of seeds on the same rows, of disjoint rows.

        The errors are those over seeds and, since all seeds see one set of rows, 1 / sqrt(N), the scatter of a rank
        correlation of N rows that nothing orders.
        """
        rows = 1 / self.data.sizes["row"]
        found: list[float] = []
        for key in ("order_shared", "order_disjoint"):
            values = self.data[key].values
            values = values[np.isfinite(values)]
            some = len(values) > 1
            found += [float(values.mean()), math.sqrt(float(values.var(ddof=1)) / len(values) + rows)] if some else NONE
        return found[0], found[1], found[2], found[3]

    def summary(self) -> str:
        """Return in one sentence how much is memorized, and whether the order of learning is the data's own."""
        shared, _, apart, error = self.order()
        known = self.data.memorization.values
        known = known[np.isfinite(known)]
        share = f"{(known > 0.5).mean():.1%}" if len(known) else "an unknown share"
        orders = (
            f"two networks learn rows that neither saw in the same order to {apart:.2f} ± {error:.2f}, and rows that "
            f"both train on to {shared:.2f}"
            if math.isfinite(apart + shared)
            else "whether networks learn them in one order is not known"
        )
        return f"{self.data.attrs['name']}: {share} of rows are memorized (memorization above 0.5); {orders}"

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Return header and rows: one row for each score."""
        rows = []
        for by in SCORES:
            values, errors = self.data[by].values, self.data[f"{by}_error"].values
            if not np.isfinite(values).any():
                rows.append([by, *["-"] * 5])
                continue
            low, middle, high = np.nanquantile(values, [0.05, 0.5, 0.95])
            hardest = ", ".join(map(str, self.suspects(min(5, len(values)), by)))
            error = f"{np.nanmedian(errors):.2g}" if np.isfinite(errors).any() else "-"
            spans = [f"{middle:.3g}", f"{low:.3g} to {high:.3g}", error]
            rows.append([by, *spans, f"{self.agreement(by)[0]:.3f}", hardest])
        return HEADER, rows

    def coherence_lines(self) -> list[str]:
        """Return in words the coherence at each loss, with its standard error over seeds; nothing where none was read.

        A mean is over all seeds or missing: those that reach a loss alone are not the seeds as they are.
        """
        kinds = (("coherence", "labels"), ("coherence_shuffled", "shuffled labels"))
        found = []
        for i, level in enumerate(self.data.level.values):
            said = [_mean_or_missing(label, self.data[key].values[:, i]) for key, label in kinds]
            found.append(f"at loss {level:g}: {', '.join(said)}")
        read = any(np.isfinite(self.data[key].values).any() for key, _ in kinds)
        return found if read else []

    def __str__(self) -> str:
        lines = aligned(*self.table(), left=False)
        told = [f"Coherence of gradients {line}." for line in self.coherence_lines()]
        return "\n".join([*WORDS, "", *lines, "", f"{self.summary()}.", *told, *self.notes])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """Return everything but single seeds as plain data for JSON: None where there is no reading."""

        def plain(values: Array) -> list[Any]:
            return [float(v) if math.isfinite(v) else None for v in np.asarray(values, float)]

        keys = [key for by in SCORES for key in (by, f"{by}_error")]
        found = {key: plain(self.data[key].values) for key in (*keys, "unlearnt", "order_shared", "order_disjoint")}
        levels = {key: [plain(row) for row in self.data[key].values] for key in ("coherence", "coherence_shuffled")} | {
            "level": plain(self.data.level.values)
        }
        agreement = {by: plain(np.array(self.agreement(by))) for by in SCORES}
        attrs = {"name": self.data.attrs["name"], "summary": self.summary(), "notes": list(self.notes)}
        return {**attrs, "rows": found, "coherence": levels, "agreement": agreement}

    def figure(self) -> Figure:
        """Return panels: EL2N, memorization over accessibility, and the coherence of gradients over the loss."""
        level = self.data.level.values.astype(float)
        lines = []
        for key, label, role in (
            ("coherence", "labels", "measured"), ("coherence_shuffled", "shuffled labels", "control"),
        ):  # fmt: skip
            values = self.data[key].values
            there = np.isfinite(values).all(0)
            if there.any() and len(values) > 1:
                mean, error = values.mean(0)[there], values.std(0, ddof=1)[there] / math.sqrt(len(values))
                lines.append(Line(label, level[there], mean, mean - 2 * error, mean + 2 * error, role))  # type: ignore[arg-type]
        points = Line("rows", self.data.accessibility.values, self.data.memorization.values, joined=False)
        panels: list[Any] = [
            Histogram("EL2N", Axis("distance from the label, early"), [("rows", self.data.el2n.values)]),
            Curves("What is memorized", Axis("accessibility"), Axis("memorization"), [points]),
        ]
        if lines:
            panels.append(Curves("Coherence at matched loss", Axis("training loss"), Axis("m-coherence", "log"), lines))
        return Figure("scores", f"Scores of {self.data.attrs['name']}", f"{self.summary()}.", panels)


def _mean_or_missing(label: str, values: Array) -> str:
    """Return in words the mean of one number per seed with its standard error, or how many seeds have none."""
    n, there = len(values), int(np.isfinite(values).sum())
    if there < n:
        return f"{label} missing ({there} of {n} seeds fall to this loss)"
    return f"{label} {values.mean():.3g} ± {values.std(ddof=1) / math.sqrt(n):.1g}"


def _hardest(values: Array, count: int) -> Array:
    """Return the rows with the largest values, at most ``count``; a row without a value is none of them."""
    order = np.argsort(-values, kind="stable")  # NaN comes last
    return order[: min(count, int((~np.isnan(values)).sum()))]


def _judged(values: Array, flags: Array, count: int) -> tuple[float, float]:
    """Return the area under the curve of hardness ``values`` (N,), and the precision among the ``count`` hardest."""
    hardest = _hardest(values, count)
    return found_area(values, flags), float(flags[hardest].mean()) if len(hardest) else math.nan


def _mean(values: Array) -> Array:
    """Return the mean over the first axis of what is finite, NaN where nothing is."""
    there = np.isfinite(values)
    total: Array = np.where(there, values, 0).sum(0) / np.maximum(there.sum(0), 1)
    return np.where(there.any(0), total, math.nan)
