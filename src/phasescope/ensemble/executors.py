"""Executors by name: processes of this machine, Ray, Slurm; and any other that a user has."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import Any

from loky import wrap_non_picklable_objects

from phasescope.ensemble import plan
from phasescope.ensemble.errands import Elsewhere, heard, told
from phasescope.errors import shown
from phasescope.vocabulary import BadInput

USUAL = 64
"""Pieces of work that an executor is handed at a time if it does not say how many it does."""


def executor_named(asked: Any, workers: int | None = None) -> Elsewhere:
    """Return where work is done, for what is ``asked``: a name, or an object with ``submit``; ``workers`` at a time.

    "processes" are those of this machine, "ray" the cluster of the variable RAY_ADDRESS, or else one of this machine,
    "ray://host:port" another one, "slurm" array tasks. Raises ``BadInput`` for other names, and where a package is
    missing or nobody answers.
    """
    if isinstance(asked, Elsewhere):
        return asked
    if isinstance(asked, str):
        if asked == "processes":
            return local_processes(workers or plan.cores())
        if asked == "ray" or re.fullmatch(r"ray://[^/\s]+:\d{1,5}", asked):
            _needs("ray", asked, "ray")
            from phasescope.ensemble.on_ray import on_ray

            return on_ray(asked, workers)
        if asked == "slurm":
            _needs("submitit", asked, "slurm")
            from phasescope.ensemble.on_slurm import on_slurm

            return on_slurm(workers)
    elif callable(getattr(asked, "submit", None)) and not isinstance(asked, type):
        several = workers or getattr(asked, "_max_workers", None) or USUAL
        if isinstance(asked, ProcessPoolExecutor):
            return Elsewhere(lambda: _Carrying(asked), several, together=True)
        return getattr(asked, "elsewhere", None) or Elsewhere(lambda: asked, several)
    raise BadInput(
        f"executor is {shown(asked)}: give 'processes', 'ray', 'ray://host:10001', 'slurm', or a "
        "concurrent.futures.Executor such as dask's client.get_executor()."
    )


class _Carrying(Executor):
    """A pool of Python's own processes, whose own means carry neither lambdas nor closures: cloudpickle does."""

    def __init__(self, pool: Executor) -> None:
        self.pool = pool

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a call to the pool."""
        return self.pool.submit(wrap_non_picklable_objects(partial(fn, *args, **kwargs), keep_wrapper=True))


def _needs(package: str, asked: str, extra: str) -> None:
    if find_spec(package) is None:
        raise BadInput(
            f"executor is {shown(asked)}, and the package {package} is not installed: "
            f"pip install 'phasescope[{extra}]'."
        )


def local_processes(workers: int) -> Elsewhere:
    """Return the pool of ``workers`` processes of this machine: started once, and kept for the next run.

    They need no ``__main__`` guard, and take functions and classes of notebooks, scripts and closures.
    """
    from loky import get_reusable_executor

    pools: list[Any] = []

    def pool() -> Executor:
        pools[:] = [
            get_reusable_executor(max_workers=workers, timeout=300, initializer=_end_with, initargs=(os.getpid(),))
        ]
        found: Executor = pools[0]
        return found

    def stop() -> None:
        for one in pools:
            one.shutdown(wait=False, kill_workers=True)

    return Elsewhere(pool, workers, together=True, stop=stop)


def refused_by(elsewhere: Elsewhere, check: Callable[..., bytes], *arguments: Any) -> str:
    """Return why work can not be done there, or nothing: what ``check(*arguments)`` raises, or that it is not sent."""
    future = elsewhere.executor().submit(told, check, *arguments)
    error = future.exception()  # what can not be sent, or a worker that does not begin
    if error is None:
        try:
            heard(future.result())
        except BadInput as refused:
            error = refused
    return " ".join(str(error.__cause__ or error).split())[:240] or type(error).__name__ if error else ""


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone: nobody would hear of what it does."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
