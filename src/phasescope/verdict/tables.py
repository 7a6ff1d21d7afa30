"""Verdicts to look at: a terminal table, readable without colour and at any width; HTML for notebooks; Markdown."""

from __future__ import annotations

import html
import io
import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .numbers import show, show_interval
from .verdict import Verdict

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


NARROW, WIDE = 72, 104  # columns from which a claim has one line, and from which its control stands there too
GAP = 2
MARKS = {"holds": "✓", "fails": "✗", "undecided": "?"}
COLOURS = {"holds": "green", "fails": "red", "undecided": "yellow"}
HEADINGS = ("verdict", "claim", "measured", "expected", "control", "n")


def as_text(verdicts: Sequence[Verdict], summary: str, *, details: bool = False) -> str:
    """Return the verdicts as plain text, as wide as the terminal (100 columns where there is none)."""
    from rich.console import Console, Group

    page = io.StringIO()
    columns = shutil.get_terminal_size((100, 24)).columns
    shown = in_full(verdicts, summary) if details else for_terminal(verdicts, summary, columns)
    # in a notebook too this is a text, and no display of rich's own
    plain = Console(file=page, width=columns, color_system=None, markup=False, emoji=False, force_jupyter=False)
    plain.print(Group(*shown), end="")
    return "\n".join(line.rstrip() for line in page.getvalue().rstrip().splitlines())


def for_terminal(verdicts: Sequence[Verdict], summary: str, width: int) -> Iterator[RenderableType]:
    """Yield what rich prints at ``width`` columns: a line for each claim; why those that do not hold do not; a summary.

    What claims say, their controls and sources are ``in_full``.
    """
    from rich.text import Text

    if width >= NARROW:
        yield from _lines(verdicts, width)
    else:
        yield from (_short(verdict) for verdict in verdicts)
    yield from (Text(f"{verdict.id}: {verdict.reason}.") for verdict in verdicts if verdict.verdict != "holds")
    yield Text(summary, style="bold")


def in_full(verdicts: Sequence[Verdict], summary: str) -> Iterator[RenderableType]:
    """Yield what rich prints of each claim in full: sentence, source, measurement, control and reason."""
    from rich.text import Text

    yield from (_entry(verdict) for verdict in verdicts)
    yield Text(summary, style="bold")


def as_html(verdicts: Sequence[Verdict], summary: str) -> str:
    """Return the verdicts as an HTML table, with each reason as a tooltip on its verdict."""
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in HEADINGS)
    rows = "".join(_row(verdict) for verdict in verdicts)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p>{summary}</p>"


def as_markdown(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as a table in Markdown, and below it why those that do not hold do not."""
    rows = [HEADINGS, ("---",) * len(HEADINGS)]
    for verdict in verdicts:
        claim = f"`{verdict.id}`: {verdict.sentence}" + (f" ({verdict.number})" if verdict.number else "")
        control = f"{_control(verdict)}: {verdict.control.sentence}"
        measured, expected = _measured(verdict), verdict.expected.text
        rows.append((verdict.verdict, claim, measured, expected, control, _count(verdict)))
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    why = [f"- `{verdict.id}`: {verdict.reason}." for verdict in verdicts if verdict.verdict != "holds"]
    return "\n".join([*lines, *(["", *why] if why else [])])


def _measured(verdict: Verdict) -> str:
    value = f"{show(verdict.measured)} {verdict.unit}".strip()
    return f"{value} {show_interval(*verdict.interval)}"


def _count(verdict: Verdict) -> str:
    """How many of what was judged, and at which look."""
    n = str(verdict.n) if verdict.counts == "seeds" else f"{verdict.n} {verdict.counts}"
    return n if verdict.looks == 1 else f"{n} (look {verdict.look} of {verdict.looks})"


def _control(verdict: Verdict) -> str:
    control = verdict.control
    shown = ", shows the effect" if control.shows_effect else "" if control.excluded else ", not separated"
    shown += f", n = {control.n}" if control.n not in (0, verdict.n) else ""
    return f"{show(control.measured)} {show_interval(*control.interval)}{shown}"


def _outcome(verdict: Verdict) -> Text:
    from rich.text import Text

    return Text(f"{MARKS[verdict.verdict]} {verdict.verdict}", style=f"bold {COLOURS[verdict.verdict]}")


def _lines(verdicts: Sequence[Verdict], width: int) -> Iterator[Text]:
    """Yield a heading and a line for each claim.

    Where they are too long, verdicts become marks, which a last line explains; then controls are cut, then names, then
    expectations, and numbers last of all: "1.4…" may be the beginning of "1.43e-15".
    """
    from rich.text import Text

    names = [name for name in HEADINGS if name != "control" or width >= WIDE]
    words: dict[str, list[str]] = {
        "verdict": [f"{MARKS[v.verdict]} {v.verdict}" for v in verdicts], "claim": [v.id for v in verdicts],
        "measured": [f"{show(v.measured)} {show_interval(*v.interval)}" for v in verdicts],  # the unit is told in full
        "expected": [v.expected.text for v in verdicts], "control": list(map(_control, verdicts)),
        "n": [str(v.n) for v in verdicts],
    }  # fmt: skip
    widths = {name: max(map(len, [name, *words[name]])) for name in names}
    for name, least in (("verdict", 1), ("control", 30), ("claim", 12), ("expected", 12), ("measured", 22)):
        if name in widths and (over := sum(widths.values()) + GAP * (len(names) - 1) - width) > 0:
            widths[name] = least if name == "verdict" else max(widths[name] - over, min(widths[name], least))
    marks = widths["verdict"] == 1
    if marks:
        words["verdict"] = [MARKS[v.verdict] for v in verdicts]
    heads = ("" if marks and name == "verdict" else name for name in names)
    yield Text((" " * GAP).join(head.ljust(widths[name]) for head, name in zip(heads, names, strict=True)).rstrip())
    for at, verdict in enumerate(verdicts):
        line = Text()
        for name in names:
            style = {"verdict": f"bold {COLOURS[verdict.verdict]}", "claim": "bold", "control": "dim"}.get(name, "")
            line.append(_cut(words[name][at], widths[name]).ljust(widths[name] + GAP), style)
        line.rstrip()
        line.truncate(width)
        yield line
    if marks:
        yield Text("   ".join(f"{mark} {verdict}" for verdict, mark in MARKS.items()), style="dim")


def _cut(words: str, width: int) -> str:
    return words if len(words) <= width else f"{words[: width - 1]}…"


def _short(verdict: Verdict) -> Text:
    from rich.text import Text

    return Text.assemble(
        _outcome(verdict), f"  {verdict.id}\n", f"  {_measured(verdict)}, expected {verdict.expected.text}"
    )


def _entry(verdict: Verdict) -> Text:
    from rich.text import Text

    return Text.assemble(
        _outcome(verdict),
        f"  {verdict.id} {verdict.sentence} ",
        (f"({verdict.source})\n", "dim"),
        f"  measured {_measured(verdict)}, expected {verdict.expected.text}, n = {_count(verdict)}\n",
        f"  control  {_control(verdict)} ",
        (f"({verdict.control.sentence})\n", "dim"),
        f"  {verdict.reason}\n",
    )


def _row(verdict: Verdict) -> str:
    mark = f"{MARKS[verdict.verdict]} {verdict.verdict}"
    outcome = f"<b title='{html.escape(verdict.reason)}'>{mark}</b>"
    name, sentence, source = map(html.escape, (verdict.id, verdict.sentence, verdict.source))
    claim = f"<b>{name}</b> {sentence} <i>({source})</i>"
    control = f"{html.escape(_control(verdict))} <i>({html.escape(verdict.control.sentence)})</i>"
    texts = (html.escape(_measured(verdict)), html.escape(verdict.expected.text))
    cells = (outcome, claim, *texts, control, html.escape(_count(verdict)))
    return "<tr>" + "".join(f"<td style='text-align:left'>{cell}</td>" for cell in cells) + "</tr>"
