"""All claims of all studies in one list, each with the verdicts of the runs that are stored with this version.

``claims.json`` is made by ``make gallery`` from the studies and from the gallery's stored runs; a test holds it to
both. Studies of others, which it does not know, are asked for their claims, and have no stored run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from phasescope.papers.lines import Column, columns, table
from phasescope.verdict.numbers import show, show_interval, unpack

if TYPE_CHECKING:
    from phasescope.lab import Study

NOT_RUN = "not run"
RUNS = "runs.json"
GROUP = "phasescope.studies"


@dataclass(frozen=True)
class Run:
    """What a stored run found: its name in the gallery and day, the verdict, the number with its interval, and n.

    Numbers are as ``Verdict.to_json`` packs them: "Infinity" where one is infinite, None where there is none.
    """

    run: str
    day: str
    verdict: str
    measured: float | str | None
    interval: tuple[float | str | None, float | str | None]
    n: int
    counts: str

    @property
    def number(self) -> str:
        """The number with its interval, for readers."""
        low, high = map(unpack, self.interval)
        return f"{show(unpack(self.measured))} {show_interval(low, high)}"


@dataclass(frozen=True)
class StoredRun:
    """A run that is stored with this version: by its name in the gallery, when, at which scale, and how long it took.

    ``seconds`` are those of the machine that made it, on ``cores``, whatever else it did.
    """

    run: str
    study: str
    scale: str
    day: str
    seconds: float
    cores: int


@dataclass(frozen=True)
class ClaimRow:
    """A claim of a study, at the study's first scale, and the stored runs that judged it in these words."""

    study: str
    id: str
    sentence: str
    source: str
    expected: str
    unit: str
    kind: str
    runs: tuple[Run, ...] = ()

    @property
    def run(self) -> Run | None:
        """The stored run with the most samples, of several the last, until decided; None where there is none."""
        return max(reversed(self.runs), key=lambda one: one.n, default=None)

    @property
    def verdict(self) -> str:
        """Its verdict there, or "not run"."""
        return self.run.verdict if self.run else NOT_RUN

    @property
    def text(self) -> str:
        """All that words are looked for in."""
        return " ".join((self.study, self.id, self.sentence, self.source, self.verdict)).lower()


@dataclass(frozen=True)
class Claims:
    """Claims found, in the order of studies. ``str`` is a line for each; ``details`` tells them in full."""

    rows: tuple[ClaimRow, ...]

    def __iter__(self) -> Iterator[ClaimRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain data for strict JSON: each claim, its verdict, and every stored run of it."""
        return [{**asdict(row), "verdict": row.verdict} for row in self.rows]

    def __str__(self) -> str:
        return self.as_text(columns())

    def as_text(self, width: int) -> str:
        """Return a line for each claim, cut to ``width`` columns, and how many met which verdict."""
        if not self.rows:
            return "no claim has all of these words: fewer of them, or the name of a study, find more"
        rows = [(row.verdict, row.run.number if row.run else "", row.study, row.sentence) for row in self.rows]
        heads = (Column("verdict", 9), Column("measured", 24), Column("study", 12), Column("claim"))
        return "\n".join([*table(heads, rows, width), self.summary()])

    def details(self) -> str:
        """Return each claim in full: id, sentence, source, what was expected, and what each stored run found."""
        return "\n\n".join([*map(_in_full, self.rows), self.summary()])

    def summary(self) -> str:
        """Return how many claims there are, of how many studies, and their verdicts."""
        count = Counter(row.verdict for row in self.rows)
        words = {"holds": "hold", "fails": "fail", "undecided": "undecided", NOT_RUN: NOT_RUN}
        said = ", ".join(
            f"{count[one]} {one if count[one] == 1 else many}" for one, many in words.items() if count[one]
        )
        n, studies = len(self.rows), len({row.study for row in self.rows})
        of = f" of {studies} studies" if studies > 1 else ""
        return f"{n} claim{'' if n == 1 else 's'}{of}" + (f": {said}" if said else "")


def _in_full(row: ClaimRow) -> str:
    lines = [f"{row.study} {row.id}: {row.sentence}", f"  source    {row.source}", f"  expected  {row.expected}"]
    for run in row.runs:
        n = f"n = {run.n}" if run.counts == "seeds" else f"n = {run.n} {run.counts}"
        lines.append(
            f"  {run.verdict:<9} {run.number} {row.unit}".rstrip() + f", {n}, stored as {run.run} on {run.day}"
        )
    return "\n".join(lines if row.runs else [*lines, "  no stored run"])


def claims(words: str = "") -> Claims:
    """Return the claims of all installed studies whose sentence, id, study, source or verdict have all ``words``.

    The verdicts are those of the runs stored with this version of Phasescope, not of runs of your own.

    >>> from phasescope.papers import claims
    >>> [claim.id for claim in claims("grokking delay")]
    ['delay']
    """
    wanted = words.lower().split()
    return Claims(tuple(row for row in _all() if all(word in row.text for word in wanted)))


@cache
def _all() -> tuple[ClaimRow, ...]:
    known = json.loads((files("phasescope.papers") / "claims.json").read_text(encoding="utf-8"))
    rows = [_row(record) for record in known]
    ours = {row.study for row in rows}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name not in ours:
            rows += rows_of(point.load(), {})
    return tuple(rows)


@cache
def _runs() -> tuple[StoredRun, ...]:
    return tuple(
        StoredRun(**one) for one in json.loads((files("phasescope.papers") / RUNS).read_text(encoding="utf-8"))
    )


def stored_runs(study: str) -> list[StoredRun]:
    """Return the stored runs of a study; none for one that is not of this package."""
    return [run for run in _runs() if run.study == study]


def stored_cost(study: str, scale: str) -> str:
    """Return what the quickest stored run of a study took at a scale, in words; "" where none is stored.

    >>> stored_cost("grokking", "paper")
    ''
    """
    run = min((run for run in stored_runs(study) if run.scale == scale), key=lambda one: one.seconds, default=None)
    return "" if run is None else f"{minutes(run.seconds)} on {run.cores} cores"


def minutes(seconds: float) -> str:
    """Return a time in words: seconds, or minutes from two on.

    >>> minutes(119.2), minutes(600)
    ('119 s', '10 min')
    """
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def runs_of(stored: Mapping[str, Mapping[str, Any]]) -> list[StoredRun]:
    """Return what is told of ``stored`` runs: by the run's name, its ``results.json``, with "provenance"."""
    told = {name: results["provenance"] for name, results in stored.items()}
    return [
        StoredRun(name, p["study"], p["scale"], str(p["finished"])[:10], round(p["seconds"], 1), p["cores"])
        for name, p in told.items()
    ]


def _row(record: Mapping[str, Any]) -> ClaimRow:
    runs = tuple(Run(**{**run, "interval": tuple(run["interval"])}) for run in record["runs"])
    return ClaimRow(**{**record, "runs": runs})


def rows_of(study: Study, stored: Mapping[str, Mapping[str, Any]]) -> list[ClaimRow]:
    """Return a study's claims with what its ``stored`` runs found of the same words and expectation.

    ``stored``: by the run's name, its ``results.json``, with "verdicts" and "provenance".
    """
    settings = next(iter(study.scales.values()))
    found: dict[tuple[str, str, str], list[Run]] = {}
    kinds: dict[str, str] = {}
    for name, results in stored.items():
        day = str(results["provenance"]["finished"])[:10]
        for v in results["verdicts"]:
            run = Run(name, day, v["verdict"], v["measured"], tuple(v["interval"]), v["n"], v.get("counts", "seeds"))
            found.setdefault((v["id"], v["sentence"], v["expected"]["text"]), []).append(run)
            kinds[v["id"]] = v.get("kind", "")
    rows = []
    for claim in study.claims(settings):
        judged = tuple(found.get((claim.id, claim.sentence, claim.expected.text), ()))
        kind, expected = claim.kind or kinds.get(claim.id, ""), claim.expected.text
        rows.append(
            ClaimRow(study.name, claim.id, claim.sentence, str(claim.source), expected, claim.unit, kind, judged)
        )
    return rows


def as_table(rows: Sequence[ClaimRow | StoredRun]) -> str:
    """Return the text of ``claims.json``, or of ``runs.json``: one claim, or run, on each line."""
    return "[\n" + ",\n".join(json.dumps(asdict(row), ensure_ascii=False) for row in rows) + "\n]\n"
