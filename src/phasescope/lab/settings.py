"""The settings of a study: those of a scale, with what was changed, within bounds that keep a run from hanging."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from phasescope.errors import BadInput, shown
from phasescope.lab.study import Study
from phasescope.vocabulary import Settings, nearest

MOST_SEEDS, MOST_VALUES, MOST_CHARACTERS = 10_000, 1_000, 1_000
MOST_TIMES, ALWAYS = 1_000, 10_000
"""A whole number may be so many times the largest of the study's scales, and ``ALWAYS`` so much."""
LONGEST_NAME = 200  # bytes of a folder's name; file systems end at 255


def settings_of(study: Study, scale: str, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings of ``scale`` with ``overrides``. Raises ``BadInput``.

    Values may be strings. One value, and a text such as "0.5,0.8", will do where a setting has several.
    """
    if not isinstance(scale, str) or scale not in study.scales:
        raise BadInput(f"there is no scale {shown(scale)}{nearest(str(scale), study.scales)}")
    base = study.scales[scale]
    changes = {name: _several(value) if isinstance(getattr(base, name, None), tuple) else value
               for name, value in overrides.items()}  # fmt: skip
    settings = type(base)(**{**base.model_dump(), **changes})
    for name in overrides:
        _check_size(study, name, getattr(settings, name))
    return settings


def _several(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.strip("()[] ,").split(",")]
    return [value] if isinstance(value, int | float) else value


def changes_of(settings: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a call changes: ``settings``, a mapping or None, and its keywords. Raises ``BadInput``."""
    given = {} if settings is None else settings
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise BadInput(f"settings is {shown(given)}: give a mapping of names to values, such as {{'p': 31}}.")
    return {**given, **overrides}


def folder_of(name: str, place: Any) -> Path:
    """Return the folder that a call names. Raises ``BadInput`` for what is no path, and for an empty one."""
    if not isinstance(place, str | os.PathLike) or not str(place).strip():
        raise BadInput(f"{name} is {shown(place)}: give the path of a folder; the current one is '.'.")
    return Path(place)


def changed_settings(study: Study, scale: str, settings: Settings) -> dict[str, str]:
    """Return what differs from the scale's own settings, as JSON by name: what ``--set`` takes."""
    base = study.scales[scale].model_dump(mode="json")
    return {k: json.dumps(v) for k, v in settings.model_dump(mode="json").items() if v != base[k]}


def default_directory(study: Study, scale: str, settings: Settings, ending: str = "") -> Path:
    """Return ``runs/<study>-<scale>``, with the changed settings in the name: the same call finds its own run again."""
    base = study.scales[scale].model_dump()
    changed = [f"{k}={v}" for k, v in settings.model_dump().items() if v != base[k]]
    return Path("runs") / folder_name("-".join([study.name, scale, *changed, *([ending] if ending else [])]))


def folder_name(words: str) -> str:
    """Return ``words`` as the name of a folder: a long one ends in a hash of what is cut off.

    >>> folder_name("grokking-pocket-fractions=(0.5, 0.8)")
    'grokking-pocket-fractions=(0.5,0.8)'
    """
    name = words.replace("/", "_").replace(" ", "")
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name.encode()[: LONGEST_NAME - 13].decode(errors='ignore')}-{digest}"


def _check_size(study: Study, name: str, value: Any) -> None:
    """Refuse what no machine could do, before anything is made of it."""
    if isinstance(value, list | tuple) and len(value) > MOST_VALUES:
        raise BadInput(f"{name} has {len(value):,} values: give at most {MOST_VALUES:,}.")
    known = [n for settings in study.scales.values() for n in _whole(getattr(settings, name))]
    most = max(MOST_TIMES * max(known, default=0), ALWAYS)
    most = MOST_SEEDS if name.endswith("seeds") else most
    for number in _whole(value):
        if abs(number) > most:
            raise BadInput(f"{name} is {shown(value)}: a whole number of at most {most:,} is allowed here.")
    if isinstance(value, str | Path) and (len(str(value)) > MOST_CHARACTERS or "\0" in str(value)):
        raise BadInput(f"{name} is {shown(str(value))}: give at most {MOST_CHARACTERS:,} characters, none null.")


def _whole(value: Any) -> Iterator[int]:
    """Yield the whole numbers of a value, however deep they lie."""
    if isinstance(value, int) and not isinstance(value, bool):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _whole(item)
