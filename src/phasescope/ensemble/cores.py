"""Work on every core: several things at a time, each on one core."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

T = TypeVar("T")


def one_core() -> None:
    """Keep the calling thread's products on one core."""
    # a thread's own OpenMP setting: torch's products in this worker stay on this worker's core, and keep their bits
    torch.get_num_threads()
    threading.current_thread().limits = threadpool_limits(1, user_api="openmp")  # type: ignore[attr-defined]


def on_cores(
    work: Callable[[T], None], items: Sequence[T], workers: int, tell: Callable[[], None], stop: Callable[[], None]
) -> None:
    """Do ``work`` on every item, several at a time, each on one core; ``tell`` is called while it goes on.

    Where something is raised, Ctrl-C too, ``stop`` is called, what has not begun is left, and it is raised again when
    what had begun is over.
    """
    with ThreadPoolExecutor(max(min(workers, len(items)), 1), initializer=one_core) as pool:
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
