"""A user's task is asked by one thread at a time: what it draws may lie in arrays that it fills anew at each call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_free = threading.Condition()
_held: list[int] = []  # the thread that has the turn, once for each time that it took it


@contextmanager
def turn() -> Iterator[None]:
    """Let no other thread ask a task meanwhile; the same thread may. What was drawn is copied before the turn ends."""
    mine = threading.get_ident()
    with _free:
        _free.wait_for(lambda: not _held or _held[-1] == mine)
        _held.append(mine)
    try:
        yield
    finally:
        with _free:
            _held.pop()
            _free.notify_all()


@contextmanager
def turn_given_up() -> Iterator[None]:
    """Give the turn to others meanwhile, if this thread has it: a task that trains networks waits for their threads."""
    mine = threading.get_ident()
    with _free:
        kept = list(_held) if _held and _held[-1] == mine else []
        if kept:
            _held.clear()
            _free.notify_all()
    try:
        yield
    finally:
        if kept:
            with _free:
                _free.wait_for(lambda: not _held)
                _held.extend(kept)
