"""The page: question, claims with their evidence, figures, and how to make it all again, in one HTML file.

It loads nothing, from nowhere: pictures are inside it, and its content security policy forbids the rest.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from phasescope.figures import Figure, Page, PhaseMap
from phasescope.verdict import counted
from phasescope.vocabulary import BadInput

from .choices import CHOOSER, chosen
from .claims import SYMBOLS, Bar, bar, in_words, readable, show, show_interval
from .explorer import BUDGET, addresses, compressed, packed, scripts
from .figures import columns
from .numbers import numbers_of
from .phases import in_words as map_in_words

ORDER = ("fails", "undecided", "holds")
LEVEL = "All claims of a study share a chance of 5 % that one verdict is wrong: so each interval is of more than 95 %."
LIGHT = 800_000  # bytes of a picture that may stand on the page twice: at its top, and among the figures
NUMBERS = 100_000  # bytes of a figure's numbers on the page; in the run's folder all have theirs
LIMIT = 14_500_000  # bytes of a page, of which numbers may take what scripts and pictures leave
PNG = b"\x89PNG\r\n"


@dataclass(frozen=True)
class Card:
    """A claim on the page: its record, its anchor, its bar, the figures that show it (anchor, name), and its cell."""

    claim: Mapping[str, Any]
    anchor: str
    bar: Bar
    words: str
    figures: tuple[tuple[str, str], ...]
    cell: str = ""

    @property
    def symbol(self) -> str:
        """The sign of the verdict."""
        return SYMBOLS[self.claim["verdict"]]


@dataclass(frozen=True)
class Plate:
    """A figure on the page: its block, anchor, number, image and numbers as data URIs, the claims it shows."""

    figure: Figure
    anchor: str
    number: int
    image: str
    columns: int
    claims: tuple[Card, ...]
    numbers: str = ""

    @property
    def alt(self) -> str:
        """What the picture shows, for those who do not see it."""
        return describe(self.figure)


def describe(figure: Figure) -> str:
    """Return in words what a figure shows: title, panels (of phase maps the fraction of each phase) and caption."""
    panels = (map_in_words(panel) if isinstance(panel, PhaseMap) else panel.title for panel in figure.panels)
    return f"{figure.title}. Panels: {'; '.join(panels)}. {figure.caption}"


def page(told: Page, images: Sequence[bytes]) -> str:
    """Return a page as one self-contained HTML document; ``images`` are the PNG or SVG of its figures, in their order.

    Without diagrams, evidence and choices it has no script. Everything is escaped. Raises ``BadInput`` for figures that
    share an id.
    """
    cards, plates = arrange(told.claims, list(zip(told.figures, images, strict=True)), addresses(told.diagrams))
    # settings and map are told elsewhere
    facts = {
        name: value
        for name, value in told.provenance.items()
        if name not in ("settings", "map", "registration", "looks")
    }
    paper, claims, diagrams = told.paper, told.claims, told.diagrams
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=told.title,
            question=told.question,
            paper=paper,
            link=paper.link if paper and re.match(r"https?://", paper.link) else "",
            study_name=told.name,
            summary=f"Claims: {counted(claims)}." if claims else "",
            counts={word: sum(claim["verdict"] == word for claim in claims) for word in SYMBOLS},
            symbols=SYMBOLS,
            cards=sorted(cards, key=lambda card: list(ORDER).index(card.claim["verdict"])),
            plates=plates,
            opening=_opening(plates),
            parts=_parts(told, plates),
            level=LEVEL if claims else "",
            provenance=list(rows(facts)),
            settings=list(rows(told.settings)),
            notes=[part.strip() for part in re.split(r"\n\s*\n", told.notes) if part.strip()],
            command=told.command,
            conduct=told.conduct,
            registered=told.registered,
            explored=compressed(packed(diagrams, room(plates))) if diagrams else "",
            opened=any(d.opened for d in diagrams),
            alive=any(d.live for d in diagrams),
            evidence=compressed(json.dumps(told.evidence, allow_nan=False)) if told.evidence else "",
            scripts=(*scripts(bool(diagrams), bool(told.evidence)), *((CHOOSER,) if told.choices else ())),
            tables=told.tables,
            choices=chosen(told.choices),
        )
    )


def _parts(told: Page, plates: Sequence[Plate]) -> list[tuple[str, str]]:
    """Return anchor and name of what the navigation leads to."""
    there = {
        "explore": ("Explore", told.diagrams), "claims": ("Claims", told.claims), "figures": ("Figures", plates),
        "notes": ("Notes", told.notes.strip()), "again": ("Run it again", True), "cite": ("Cite the paper", told.paper),
    }  # fmt: skip
    tables = [(f"table-{n}", part.title) for n, part in enumerate(told.tables, 1)]
    tables += [(f"choice-{n}", part.title) for n, part in enumerate(chosen(told.choices), 1)]
    found = [(anchor, name) for anchor, (name, is_there) in there.items() if is_there]
    at = sum(anchor in ("explore", "claims") for anchor, _ in found)
    return [*found[:at], *tables, *found[at:]]


def _opening(plates: Sequence[Plate]) -> Plate | None:
    """Return the figure that the page opens with: the first, unless it is heavy."""
    return next((plate for plate in plates[:1] if len(plate.image) <= LIGHT), None)


def room(plates: Sequence[Plate]) -> int:
    """Return the bytes of numbers that still find room on a page beside scripts and pictures."""
    first = _opening(plates)
    pictures = sum(len(plate.image) for plate in plates) + (len(first.image) if first else 0)
    taken = pictures + sum(len(script.text.encode()) for script in scripts())
    return max(BUDGET // 10, min(BUDGET, (LIMIT - taken) * 3 // 4))  # base64 takes four bytes for three


def arrange(
    claims: Sequence[Mapping[str, Any]],
    figures: Sequence[tuple[Figure, bytes]],
    cells: Mapping[str, str] | None = None,
) -> tuple[list[Card], list[Plate]]:
    """Return the cards of the claims and the plates of the figures, each naming the others it belongs to.

    ``cells`` claim id -> the address of the cell that it is about.
    """
    ids = [figure.id for figure, _ in figures]
    if len({slug(name) for name in ids}) != len(ids):
        raise BadInput(f"the figures' ids are {', '.join(ids)}: give each its own, of letters, digits, - and _.")
    shown, found = [figure for figure, _ in figures], cells or {}
    cards = [_card(claim, n, shown, found.get(claim["id"], "")) for n, claim in enumerate(claims, 1)]
    plates = [
        Plate(
            figure,
            f"figure-{slug(figure.id)}",
            n,
            data_uri(image),
            columns(figure),
            _shown(figure, cards),
            _csv(figure),
        )
        for n, (figure, image) in enumerate(figures, 1)
    ]
    return cards, plates


def _csv(figure: Figure) -> str:
    """Return a figure's numbers as a data URI; empty where they would make the page heavy."""
    text = numbers_of(figure).encode("utf-8", "backslashreplace")
    return f"data:text/csv;base64,{base64.b64encode(text).decode('ascii')}" if len(text) <= NUMBERS else ""


def _card(claim: Mapping[str, Any], number: int, figures: Sequence[Figure], cell: str) -> Card:
    shown = [(n, figure) for n, figure in enumerate(figures, 1) if claim["id"] in figure.claims]
    links = tuple((f"figure-{slug(figure.id)}", f"Figure {n}") for n, figure in shown)
    return Card(claim, f"claim-{number}-{slug(claim['id'])}", bar(claim), in_words(claim), links, cell)


def _shown(figure: Figure, cards: Iterable[Card]) -> tuple[Card, ...]:
    return tuple(card for card in cards if card.claim["id"] in figure.claims)


def slug(name: str) -> str:
    """Return ``name`` as it can stand in a file name and in an address.

    >>> slug("1.5"), slug("late, after memorization")
    ('1.5', 'late-after-memorization')
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"


def data_uri(image: bytes) -> str:
    """Return a PNG or SVG as a URI that holds it."""
    kind = "png" if image.startswith(PNG) else "svg+xml"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def rows(facts: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield name and value of each fact for a table, with what is nested in one line.

    >>> list(rows({"code_hash": "ab", "libraries": {"numpy": "2.3", "torch": "2.13"}}))
    [('code hash', 'ab'), ('libraries', 'numpy 2.3, torch 2.13')]
    """
    for name, value in facts.items():
        yield name.replace("_", " "), tell(value)


def tell(value: Any) -> str:
    """Return a fact in words: numbers with their digits that matter, lists and mappings in one line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {tell(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(tell(part) for part in value)
    return str(value)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("phasescope.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["show"] = show
    environment.filters["readable"] = readable
    environment.filters["show_interval"] = show_interval
    return environment
