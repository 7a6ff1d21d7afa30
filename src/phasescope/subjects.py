"""A room with its names by subject: ``ps.theory.modular_addition.unit_logit_scale``, each name written in one place.

The room's ``__init__.pyi`` lists its subjects, which are loaded when they are first used; a subject's ``__all__`` lists
its names. What else is known of a name, its subject above all, is derived from these.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import warnings
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import lazy_loader


def attach(room: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a room, from the stub beside its ``__init__.py``.

    They know what the stub lists. Names of subjects, which stood in the room itself before they had subjects, are found
    there for this version: the first use of each gives a ``DeprecationWarning`` that says where it is now. A name that
    nobody knows raises ``AttributeError`` with the nearest one.
    """
    listed, names_of_room, names = lazy_loader.attach_stub(room, file)

    def fetch(name: str) -> Any:
        if name in names:
            return listed(name)
        if name.startswith("_"):  # Python and its tools ask modules for many of these
            raise AttributeError(f"{room} has no {name!r}")
        subject = homes(room).get(name)
        if subject is None:
            raise AttributeError(f"{room} has no {name!r}{_mend(room, name, names)}")
        place = f"{room}.{subject}.{name}"
        warnings.warn(f"{room}.{name} is {place} now: the old name goes with the next version", DeprecationWarning, 2)
        value = getattr(sys.modules[f"{room}.{subject}"], name)
        setattr(sys.modules[room], name, value)
        return value

    return fetch, names_of_room, names


@cache
def homes(room: str) -> dict[str, str]:
    """Return the subject of each name of a room (``"phasescope.theory"``), in the order of subjects; loads them all.

    >>> homes("phasescope.theory")["scratch_risk"]
    'linear_transfer'
    """
    parts = {name: getattr(sys.modules[room], name) for name in importlib.import_module(room).__all__}
    subjects = {name: part for name, part in parts.items() if isinstance(part, ModuleType)}
    return {name: subject for subject, module in subjects.items() for name in module.__all__}


def public(room: str) -> dict[str, Any]:
    """Return every public thing of a room (``"phasescope.instruments"``) by its name, in the order of subjects."""
    return {name: getattr(sys.modules[f"{room}.{subject}"], name) for name, subject in homes(room).items()}


def _mend(room: str, name: str, names: list[str]) -> str:
    places = {**{name: name for name in names}, **{name: f"{home}.{name}" for name, home in homes(room).items()}}
    near = difflib.get_close_matches(name, places, n=1)
    return f": did you mean {room}.{places[near[0]]}?" if near else f"; it has {', '.join(names)}"
