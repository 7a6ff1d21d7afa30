"""How the catalogue is told: a line for each paper, one paper's checks in full, and the page of the docs."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from phasescope.papers.catalogue import Entry, catalogue
from phasescope.papers.claims import Claims, claims
from phasescope.papers.lines import Column, columns, table
from phasescope.papers.statement import Checked, Compared

STATUSES = ("checked", "checked in part", "no check", "in part, no check", "absent")


@dataclass(frozen=True)
class Papers:
    """Papers of the catalogue; ``str`` is a line for each."""

    entries: tuple[Entry, ...]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __str__(self) -> str:
        return self.as_text(columns())

    def as_text(self, width: int) -> str:
        """Return a line for each paper, cut to ``width`` columns, and how many are of which status."""
        if not self.entries:
            return "no paper has all of these words: phasescope papers --all WORDS looks among those not served too"
        rows = [(one.id, one.status, one.title, ", ".join(one.by)) for one in self.entries]
        heads = (Column("id", 7), Column("status", 17), Column("paper"), Column("served by"))
        return "\n".join([*table(heads, rows, width), *textwrap.wrap(summary(self.entries), width)])

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain data for strict JSON; ``statements`` are the sentences that are computed."""
        return [facts(one) for one in self.entries]


def summary(entries: Sequence[Entry]) -> str:
    """Return how many papers are of which status; one that stands twice counts once."""
    count = Counter(one.status for one in entries if not one.same)
    said = ", ".join(f"{count[status]} {status}" for status in STATUSES if count[status])
    twice = sum(bool(one.same) for one in entries)
    return f"{sum(count.values())} papers: {said}" + (f" (and {twice} that stand twice)" if twice else "")


def facts(entry: Entry) -> dict[str, Any]:
    """Return what is known of a paper as plain data."""
    return {
        "id": entry.id,
        "title": entry.title,
        "authors": entry.authors,
        "link": entry.link,
        "subject": entry.subject,
        "status": entry.status,
        "served_by": list(entry.by),
        "lacks": entry.lacks,
        "same_as": entry.same,
        "statements": [one.sentence for one in entry.statements],
    }


@dataclass(frozen=True)
class Report:
    """How a paper's checks came out; ``str`` tells it."""

    entry: Entry
    checked: tuple[Checked, ...]

    @property
    def agrees(self) -> bool | None:
        """Whether all statements agree; None where none is computed."""
        return all(one.agrees for one in self.checked) if self.checked else None

    @property
    def outcome(self) -> str:
        """In words: how many statements agree with the paper, or that no check is there."""
        if not self.checked:
            return self.entry.status
        n, right = len(self.checked), sum(one.agrees for one in self.checked)
        statements = f"{n} statement{'' if n == 1 else 's'}"
        how = f"{right} of {n} agree" if right < n else "all agree" if n > 1 else "it agrees"
        return f"{self.entry.status}: {statements}, {how}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data for strict JSON: the paper, each statement with its numbers, and the outcome."""
        found = {"statements": [one.to_json() for one in self.checked], "agrees": self.agrees, "outcome": self.outcome}
        return {**facts(self.entry), **found}

    def __str__(self) -> str:
        return "\n".join(self._lines(columns()))

    def _lines(self, width: int) -> Iterator[str]:
        entry = self.entry
        yield from textwrap.wrap(f"{entry.title}{f' ({entry.authors})' if entry.authors else ''}", width)
        yield f"{entry.id}{f', the same paper as {entry.same}' if entry.same else ''}" + f"  {entry.link}".rstrip()
        if entry.by:
            yield from textwrap.wrap(f"served by  {'; '.join(entry.by)}", width, subsequent_indent=" " * 11)
        if entry.lacks:
            yield from textwrap.wrap(f"not here   {entry.lacks}", width, subsequent_indent=" " * 11)
        for one in self.checked:
            yield ""
            mark = "✓ agrees" if one.agrees else "✗ differs"
            yield from textwrap.wrap(f"{mark}  {one.statement.sentence}", width, subsequent_indent="  ")
            yield from textwrap.wrap(f"  source: {one.statement.source}", width, subsequent_indent="  ")
            yield from _numbers(one.numbers, width)
        yield ""
        seconds = f" ({sum(one.seconds for one in self.checked):.1f} s)" if self.checked else ""
        yield f"{self.outcome}{seconds}"
        for study in entry.studies:
            yield f"study {study}, as stored: {claims_of(study)}"
            yield f"more: phasescope claims {study}, phasescope show {study}"


def _numbers(numbers: Sequence[Compared], width: int) -> Iterator[str]:
    """Yield what was computed, what is expected, and of what, with long words on several lines."""
    found = [("computed", "expected", "of"), *((f"{n.computed + 0.0:.4g}", n.expected.text, _said(n)) for n in numbers)]
    first, second = (max(len(row[at]) for row in found) for at in (0, 1))
    for computed, expected, what in found:
        start = f"  {computed:<{first}}  {expected:<{second}}  "
        yield from textwrap.wrap(start + what, width, subsequent_indent=" " * len(start), drop_whitespace=False)


def _said(number: Compared) -> str:
    return number.what if number.agrees else f"{number.what}: differs"


def _word(number: Compared) -> str:
    return "" if number.agrees else "differs"


def claims_of(study: str) -> str:
    """Return how the claims of a study came out in its stored runs, in words."""
    rows = tuple(row for row in claims() if row.study == study)
    return Claims(rows).summary()


INTRODUCTION = """# Papers

What Phasescope serves of {count} papers, and how the statements that it computes came out. This page was made by
`make papers`, which computes all of them; a test holds it to them. `phasescope paper ID` computes those of one paper.

*Checked* is said of a paper of which statements are computed, those below and no others; *in part* where what it
stands in the catalogue for is not all here. "Place not checked" says that nobody here has opened the paper at that
place. What takes training for minutes is judged apart, by studies, with intervals and controls:
`phasescope claims STUDY`. Numbers of trained networks, whose last digits differ between machines, are told by
`phasescope paper ID` alone.

{summary}.
"""


def computed(tell: Callable[[str], None]) -> list[Report]:
    """Compute the statements of every paper that is served, half a minute in all; ``tell`` hears which one it is at."""
    reports = []
    for entry in (one for one in catalogue() if one.status != "absent" and not one.same):
        tell(f"{entry.id} {entry.title}")
        reports.append(Report(entry, tuple(found.check() for found in entry.statements)))
    return reports


def page_of(reports: Sequence[Report]) -> str:
    """Return the page of the docs, in Markdown: each paper that is served, and how its statements came out."""
    entries = catalogue()
    lines = [INTRODUCTION.format(count=len([one for one in entries if not one.same]), summary=summary(entries))]
    lines += ["| paper | status | served by |", "| --- | --- | --- |"]
    lines += [
        f"| {_titled(r.entry)} | {'; '.join([r.outcome, *_judged(r.entry)])} | {_served(r.entry)} |" for r in reports
    ]
    for report in reports:
        if report.checked:
            lines += ["", f"## {report.entry.title}", "", *_section(report)]
    absent = [one for one in entries if one.status == "absent" and not one.same]
    lines += ["", "## Absent", "", f"Nothing here serves these {len(absent)}:", ""]
    lines += [f"- {one.id} {_plain(one.title)}" for one in absent]
    return "\n".join(lines) + "\n"


def _judged(entry: Entry) -> list[str]:
    return [f"its study, as stored: {claims_of(study)}" for study in entry.studies]


def _section(report: Report) -> Iterator[str]:
    entry = report.entry
    yield f"{entry.id}{f', {entry.authors}' if entry.authors else ''}{f', <{entry.link}>' if entry.link else ''}."
    if entry.lacks:
        yield f"Not here: {entry.lacks}."
    for one in report.checked:
        yield from ("", f"**{'Agrees' if one.agrees else 'Differs'}.** {one.statement.sentence}.", "")
        yield from (f"Source: {one.statement.source}.", "")
        yield from ("| what | computed | expected | |", "| --- | --- | --- | --- |")
        for n in one.numbers:
            yield f"| {_plain(n.what)} | {_rounded(n)} | {n.expected.text} | {_word(n) or 'agrees'} |"


def _rounded(number: Compared) -> str:
    """Return three digits, but none that are others on each machine: of rounding, and of trained networks."""
    if number.trained:
        return "trained"
    if number.expected.low < number.expected.high and abs(number.computed) < 1e-9:
        return "< 1e-9"
    return f"{number.computed + 0.0:.3g}"


def _titled(entry: Entry) -> str:
    title = _plain(entry.title)
    return f"{entry.id} [{title}]({entry.link})" if entry.link else f"{entry.id} {title}"


def _served(entry: Entry) -> str:
    return ", ".join(part if part.startswith("study ") else f"`{part}`" for part in entry.by)


def _plain(words: str) -> str:
    """Return words that Markdown takes for nothing else."""
    for mark in ("\\", "|", "*", "[", "]", "<", "_", "$", "^"):
        words = words.replace(mark, f"\\{mark}")
    return words
