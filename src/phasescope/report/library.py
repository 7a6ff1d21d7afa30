"""plotly.js, which draws on pages: all of its text, but of its kinds of traces those alone begin that pages use."""

from __future__ import annotations

import re

KINDS = ("bar", "contour", "heatmap", "scatterpolar")
"""What the scripts of pages draw, besides lines and points, which are always there."""
REGISTERED = re.compile(r"\.register\(\[((?:[\w$]+\(\),)+[\w$]+\(\))\]\)")
HANDED = re.compile(r"^[^{}]*\{[^{}]*\.exports=([\w$]+)\(\)\}\)")
NAME = re.compile(r'moduleType:"trace",name:"(\w+)"')
NEAR = 800  # letters from where a kind's module begins to its name


def lean(library: str) -> str:
    """Return the text of plotly.js in which the kinds of traces that pages do not draw are not run as a page opens.

    All 47 of them, maps of the earth and pictures among them, take two thirds of the processor time that the library
    needs before it draws anything. A text that is built otherwise is returned as it is.
    """
    found = REGISTERED.search(library)
    if found is None:
        return library
    named: dict[str, str] = {}
    for call in found[1].split(","):
        named.setdefault(_kind(library, call.removesuffix("()")), call)
        if named.keys() >= set(KINDS):
            break
    else:
        return library
    kept = ",".join(named[kind] for kind in KINDS)
    return library[: found.start(1)] + kept + library[found.end(1) :]


def _kind(library: str, module: str) -> str:
    """Return the kind of traces that a module hands on: it returns another one, which has moduleType and name."""
    handed = HANDED.search(_begins(library, module))
    name = NAME.search(_begins(library, handed[1])) if handed else None
    return name[1] if name else ""


def _begins(library: str, module: str) -> str:
    """Return the first letters of a module."""
    for before in " ,;":
        if (at := library.find(f"{before}{module}=")) >= 0:
            return library[at : at + NEAR]
    return ""
