"""How the claims of a run were judged, in words: whether they were registered, on which seeds, at which looks."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from phasescope.errors import sentence

AGAIN, CODE = "registered again because: ", "the code that it uses has changed since"


def conduct_of(provenance: Mapping[str, Any], *, details: bool = True) -> list[str]:
    """Return a sentence for each fact that the provenance of a run has; without ``details`` in brief."""
    kept, looks = provenance.get("registration", {}), provenance.get("looks", {})
    lines = []
    if kept:
        standing = kept["standing"] if details else brief(kept["standing"])
        lines.append(f"{standing}; {kept['seeds']} seeds, from {kept['first_seed']}")
    if looks:
        planned = ", ".join(map(str, looks["planned"]))
        lines.append(f"looked at {len(looks['taken'])} times of {len(looks['planned'])}, at {planned} seeds")
        lines += [f"stopped by the budget: the same command goes on with {looks['open']}"] * bool(looks.get("open"))
    return [f"{sentence(line)}." for line in lines]


def wrapped(lines: Sequence[str]) -> list[str]:
    """Return lines that are no longer than the terminal is wide (100 columns where there is none)."""
    width = shutil.get_terminal_size((100, 24)).columns
    return [part for line in lines for part in textwrap.wrap(line, width)]


def registered(provenance: Mapping[str, Any]) -> str:
    """Return what was registered before a run, below the whole story of its registrations; nothing where none was."""
    kept = provenance.get("registration", {})
    return f"{sentence(kept.get('standing', ''))}.\n\n{kept['text']}" if kept.get("text") else ""


def brief(standing: str) -> str:
    """Return a registration's standing without the files that changed, and without why it was registered again.

    >>> brief("registered 2026-11-28 as 57ac, unchanged since; the code that it uses has changed since: checks.py and "
    ...       "136 more; 2 registrations; registered again because: imports name their subject; no claim changed")
    'registered 2026-11-28 as 57ac, unchanged since; the code that it uses has changed since; 2 registrations'
    """
    parts = standing.partition(f"; {AGAIN}")[0].split("; ")
    return "; ".join(CODE if part.startswith(CODE) else part for part in parts)
