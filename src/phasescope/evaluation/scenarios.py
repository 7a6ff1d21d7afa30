"""Scenarios by name: packaged, generated, of a file, or of lm-evaluation-harness; and which items of them are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from phasescope.ensemble import streams
from phasescope.errors import shown
from phasescope.evaluation import packaged
from phasescope.evaluation.generated import arithmetic, syllogisms
from phasescope.evaluation.items import FILES, Item, Scenario, read_task
from phasescope.store.data import place_of
from phasescope.vocabulary import BadInput, nearest

MADE = 20_000  # items at most
SPARE = 100  # items made beyond those asked, from which examples are drawn
HARNESS = "lm-eval:"
_MADE: dict[str, tuple[Callable[[int, int], list[Item]], str]] = {
    "arithmetic": (arithmetic, "sums of two numbers up to 99, made here"),
    "syllogisms": (syllogisms, "does it follow, yes or no, made here"),
    **{
        f"puzzles-{task}": (partial(packaged.puzzles, task), f"{task} of reasoning-gym")
        for task in packaged.PUZZLES
    },
}  # fmt: skip
_HELD: dict[str, tuple[Callable[[int], list[Item]], str]] = {
    "capitals": (packaged.capitals, "capitals of countries and states, four choices"),
    "glosses": (packaged.glosses, "the noun that a gloss of WordNet defines, four choices"),
    "mail": (packaged.mail, "is a message spam, yes or no"),
}
ALONE = ("arithmetic", "syllogisms", "manual")
"""What needs no data: the scenarios that are asked where none is named."""


def scenario_names() -> dict[str, str]:
    """Return the names of the packaged and generated scenarios, and in words what each is."""
    known = {name: about for name, (_, about) in (*_MADE.items(), *_HELD.items())}
    return known | {name: f"{about}: bits per byte" for name, (_, about) in packaged.TEXTS.items()}


def scenario(given: Any, *, limit: int | None, shots: int, seed: int) -> Scenario:
    """Return the scenario that ``given`` names, with items enough for ``limit`` and ``shots``.

    ``given``: a ``Scenario``; a name of ``scenario_names``; ``lm-eval:TASK``; a task file (.json, .jsonl, .csv); or a
    text file or a folder of some. Raises ``BadInput`` for anything else.
    """
    if isinstance(given, Scenario):
        return given
    if not isinstance(given, str | Path) or not str(given).strip():
        raise BadInput(f"a scenario is {shown(given)}: give a name, a file, or a ps.evaluation.Scenario.")
    name = str(given)
    if name in _MADE:
        make, about = _MADE[name]
        return Scenario(name, items=tuple(make(min(limit or 1000, MADE) + max(SPARE, shots), seed)), about=about)
    if name in _HELD:
        held, about = _HELD[name]
        return Scenario(name, items=tuple(held(seed)), about=about)
    if name in packaged.TEXTS:
        return packaged.text_scenario(name)
    if name.startswith(HARNESS):
        from phasescope.evaluation.harness import harness_items

        return Scenario(name, items=tuple(harness_items(name.removeprefix(HARNESS))), about="lm-evaluation-harness")
    path = place_of(given)
    if path.suffix.lower() in FILES:
        return read_task(path)
    if path.exists():
        return packaged.text_file(path)
    raise BadInput(f"there is no scenario {name!r}{nearest(name, scenario_names())}")


def chosen(whole: Scenario, *, limit: int | None, shots: int, seed: int) -> tuple[Scenario, list[Item]]:
    """Return the items that are asked, at most ``limit`` drawn at random, and those that examples are drawn from.

    The two have no item in common, and the same seed asks the same items, however many examples stand before them.
    Raises ``BadInput`` where none is left to ask beside ``shots`` examples.
    """
    shots = shots if whole.asks else 0
    count = min(len(whole) - shots, len(whole) if limit is None else limit)
    if count < 1:
        raise BadInput(
            f"the scenario {whole.name!r} has {len(whole)} items and {shots} are to be examples: give more items, or "
            "fewer shots."
        )
    order = [int(i) for i in streams(seed)(f"items of {whole.name}").permutation(len(whole))]
    asked = whole[sorted(order[:count])]
    return replace(asked, name=whole.name), [whole.items[i] for i in order[count:]] if whole.asks else []


def prompts(asked: Scenario, pool: list[Item], shots: int, seed: int, draw: int) -> str:
    """Return what stands before each question: ``shots`` answered examples of ``pool``, anew for each ``draw``."""
    some = streams(seed)(f"examples of {asked.name}", draw).permutation(len(pool))[:shots]
    return "".join(f"{pool[i].question} {pool[i].choices[pool[i].answer]}\n\n" for i in some)
