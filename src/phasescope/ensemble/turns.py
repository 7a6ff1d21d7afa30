"""A user's task, or function that makes networks, is asked by one thread at a time.

What it gives out may lie in arrays that it fills anew at each call, and the generators that it draws from are shared.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_everyones = threading.RLock()


class _Mine(threading.local):
    lock, held = _everyones, 0  # whose turn this thread waits for, and how often it has taken it


_mine = _Mine()


@contextmanager
def turn() -> Iterator[None]:
    """Let no other thread ask meanwhile; the same thread may. What was given out is copied before the turn ends."""
    with _mine.lock:
        _mine.held += 1
        try:
            yield
        finally:
            _mine.held -= 1


def lent() -> Callable[[], None]:
    """Return what the threads that work for this one call first: while it has the turn, they have it among them.

    A task, or function that makes networks, may train networks of its own: its threads ask one after the other, and
    no thread beside them does before it has ended.
    """
    lock = threading.RLock() if _mine.held else _mine.lock

    def begin() -> None:
        _mine.lock = lock

    return begin
