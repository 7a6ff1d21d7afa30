"""Work that is done elsewhere: in processes of this machine, or wherever an executor takes it.

The unit of work is a pure function of its arguments. The executor carries code and arguments by its own means; what
comes back is bytes of the safetensors format, and whoever asked is the only one that writes. A worker that is lost
costs what it was at, which is asked for again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.numpy

from phasescope.errors import shown
from phasescope.vocabulary import Array, BadInput

TRIES = 3
FACTS = "facts"


def packed(arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> bytes:
    """Return arrays and facts, which JSON can hold, as bytes of the safetensors format."""
    own = {name: np.array(value, order="C") for name, value in arrays.items()}
    return safetensors.numpy.save(own, metadata={FACTS: json.dumps(dict(facts))})


def unpacked(blob: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return what ``packed`` put together."""
    length = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + length])
    return dict(safetensors.numpy.load(blob)), json.loads(header["__metadata__"][FACTS])


@dataclass
class Errand:
    """Something to be done elsewhere: ``function(*arguments)``; ``take`` hears of what it gave.

    ``take`` returns the arguments of what is to be done next, or None when all is done. ``function`` is pure: where a
    worker is lost, it is called again.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    take: Callable[[Any], tuple[Any, ...] | None]
    lost: int = 0


def run_errands(
    executor: Callable[[], Executor], errands: Sequence[Errand], several: int, tell: Callable[[], None]
) -> None:
    """Have all errands done, ``several`` at a time; ``tell`` is called while it goes on.

    ``executor`` gives the executor, and a new one after the old one broke. What a function raises is raised here, and
    what has not begun is then left. Raises ``BadInput`` for an errand whose worker was lost ``TRIES`` times.
    """
    waiting = list(reversed(errands))
    running: dict[Future[Any], Errand] = {}
    try:
        while waiting or running:
            while waiting and len(running) < several:
                errand = waiting.pop()
                running[_submitted(executor, errand)] = errand
            done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
            for future in done:
                errand = running.pop(future)
                try:
                    found = future.result()
                except BrokenExecutor:
                    errand.lost += 1
                    if errand.lost >= TRIES:
                        raise BadInput(
                            f"the worker was lost {TRIES} times in the same piece of work: is there enough memory?"
                        ) from None
                    waiting.append(errand)
                    continue
                following = errand.take(found)
                if following is not None:
                    errand.arguments = following
                    waiting.append(errand)
            tell()
    except BaseException:
        for future in running:
            future.cancel()
        raise


def _submitted(executor: Callable[[], Executor], errand: Errand) -> Future[Any]:
    try:
        return executor().submit(errand.function, *errand.arguments)
    except BrokenExecutor as error:  # it broke before it was asked: the errand is lost with the others
        future: Future[Any] = Future()
        future.set_exception(error)
        return future


def local_processes(workers: int) -> Callable[[], Executor]:
    """Return the pool of ``workers`` processes of this machine: started once, and kept for the next run.

    They need no ``__main__`` guard, and take functions and classes of notebooks, scripts and closures.
    """
    from loky import get_reusable_executor

    def pool() -> Executor:
        found: Executor = get_reusable_executor(max_workers=workers, timeout=300)
        return found

    return pool


def executor_named(asked: Any, workers: int) -> Callable[[], Executor]:
    """Return the executor that is ``asked`` for: an object with ``submit``, or "processes". Raises ``BadInput``."""
    if asked == "processes":
        return local_processes(workers)
    if isinstance(asked, str) or not callable(getattr(asked, "submit", None)):
        raise BadInput(
            f"executor is {shown(asked)}: give 'processes', or a concurrent.futures.Executor such as dask's "
            "client.get_executor()."
        )
    return lambda: asked
