"""Work on every core: several things at a time, each on one core."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

from phasescope.ensemble.turns import lent

T = TypeVar("T")

# malloc.h of the GNU C library: parameters of mallopt, and as much as its own heuristic would ever come to
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT, KEPT_AT_MOST_BY_ITSELF = 1 << 30, 32 << 20  # bytes


@cache
def _malloc() -> ctypes.CDLL | None:
    """Return the C library, where it is one whose allocator can be told to keep what is freed."""
    here = ctypes.CDLL(None)
    return here if hasattr(here, "mallopt") and hasattr(here, "malloc_trim") else None


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Have this process keep the memory that training frees, to use it again in the next step; hand it back at the end.

    Else the GNU allocator hands arrays of some MB back to the system after each operation, and the next one waits for
    fresh pages; threads of one process wait for each other there. With the largest networks of docs/redo.md, two at a
    time, that was a twelfth of the time (24.7 s instead of 27.0).
    """
    malloc = _malloc()
    if malloc is None:
        yield
        return
    malloc.mallopt(MMAP_THRESHOLD, KEPT)
    malloc.mallopt(TRIM_THRESHOLD, KEPT)
    try:
        yield
    finally:
        malloc.mallopt(MMAP_THRESHOLD, KEPT_AT_MOST_BY_ITSELF)
        malloc.mallopt(TRIM_THRESHOLD, 2 * KEPT_AT_MOST_BY_ITSELF)
        malloc.malloc_trim(0)


def one_core() -> None:
    """Keep the calling thread's products on one core."""
    # a thread's own OpenMP setting: torch's products in this worker stay on this worker's core, and keep their bits
    torch.get_num_threads()
    threading.current_thread().limits = threadpool_limits(1, user_api="openmp")  # type: ignore[attr-defined]


def threads(several: int) -> ThreadPoolExecutor:
    """Return a pool of as many threads, each on one core, that work for the calling one."""
    begin = lent()

    def initializer() -> None:
        begin()
        one_core()

    return ThreadPoolExecutor(several, initializer=initializer)


def on_cores(
    work: Callable[[T], None], items: Sequence[T], workers: int, tell: Callable[[], None], stop: Callable[[], None]
) -> None:
    """Do ``work`` on every item, several at a time, each on one core; ``tell`` is called while it goes on.

    Where something is raised, Ctrl-C too, ``stop`` is called, what has not begun is left, and it is raised again when
    what had begun is over.
    """
    several = max(min(workers, len(items)), 1)
    with freed_memory_kept(), threads(several) as pool:
        pending = {pool.submit(work, item) for item in items}
        try:
            while pending:
                done, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                tell()
        except BaseException:
            stop()
            for future in pending:
                future.cancel()
            wait(pending)
            raise
