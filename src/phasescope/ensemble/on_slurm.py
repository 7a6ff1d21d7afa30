"""Work in array tasks of Slurm, sent by submitit: what comes back comes by files in a folder that all machines share.

Bundles that are asked for at about the same time are packed into the tasks of one array. Each task leaves the bytes of
each bundle in a file, and the process that asked looks for the files: it does not ask the scheduler, which serves all.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phasescope.ensemble.errands import Elsewhere
from phasescope.vocabulary import BadInput

FOLDER = ".phasescope-slurm"
TASKS, PACK, MINUTES = 32, 4, 60  # tasks of an array, bundles of a task at most, and the time that a task may take
GATHER, LOOK, SILENT = 0.5, 1.0, 300.0  # seconds
BEATS, LOADING = 30, 4  # signs of life in the time after which a task is taken for lost; how much longer it may load
Call = tuple[str, Callable[..., bytes], tuple[Any, ...]]


def work_off(folder: Path, pack: str, calls: Sequence[Call], beat: float) -> None:
    """Do the calls (name, function, arguments) one after the other, and leave the bytes of each in ``folder``/name.

    Meanwhile the file of the ``pack`` is written anew every ``beat`` seconds, as a sign of life.
    """
    over = threading.Event()

    def live() -> None:
        beats = 1
        while not over.wait(beat):
            beats += 1
            _write(folder / f"{pack}.alive", b"%d" % beats)

    _write(folder / f"{pack}.alive", b"1")
    threading.Thread(target=live, daemon=True).start()
    for name, function, arguments in calls:
        _write(folder / name, function(*arguments))
    over.set()


def _write(path: Path, blob: bytes) -> None:
    """Write a file whole or not at all."""
    made = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    made.write_bytes(blob)
    os.replace(made, path)


def _same_path() -> str:
    """Return the command by which a task finds the modules that this process finds, those beside a script too."""
    return f"export PYTHONPATH={shlex.quote(os.pathsep.join(part or os.getcwd() for part in sys.path))}"


def _last_words(log: Path) -> str:
    """Return the last line of a log."""
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").split("\n")
        return next((line.strip()[:120] for line in reversed(lines) if line.strip()), "nothing is said")
    return "nothing is said"


@dataclass
class _Pack:
    """An array task on its way: what is awaited of it, and when it was last seen alive, by this process's clock."""

    name: str
    awaited: dict[str, Future[bytes]]
    job: Any
    ended: bool = False
    beat: bytes = b""
    seen: float = field(default_factory=time.monotonic)


class SlurmArrays(Executor):
    """Array tasks as an executor: ``tasks`` at a time in one array, with files in ``folder``, which all machines share.

    ``cluster`` and the rest are submitit's: "local" runs the tasks as processes of this machine, ``slurm_partition``,
    ``slurm_account``, ``timeout_min`` and others are handed on. A task that ends without a result, or gives no sign of
    life for ``silent`` seconds after it gave some, is lost. Raises ``BadInput`` where submitit does not take them.
    """

    def __init__(
        self,
        folder: str | Path = FOLDER,
        tasks: int = TASKS,
        *,
        cluster: str | None = None,
        silent: float = SILENT,
        **parameters: Any,
    ) -> None:
        import submitit

        self.folder = Path(folder).resolve() / uuid.uuid4().hex[:8]
        self.tasks, self.silent = tasks, silent
        parameters = {"name": "phasescope", "timeout_min": MINUTES, "cpus_per_task": 1, **parameters}
        limit = {} if cluster in ("local", "debug") else {"slurm_array_parallelism": tasks}
        try:
            self.executor = submitit.AutoExecutor(self.folder, cluster=cluster)
            setup = f"{self.executor.cluster}_setup"
            parameters[setup] = [_same_path(), *parameters.get(setup, ())]
            self.executor.update_parameters(**{**limit, **parameters})
        except (RuntimeError, NameError, ValueError, AssertionError, OSError) as error:
            said = " ".join(str(error).split())[:160]
            raise BadInput(f"Slurm can not be used here ({said}): run this where sbatch is, on a login node.") from None
        seconds = 0.8 * 60 * parameters["timeout_min"] / PACK
        self.elsewhere = Elsewhere(lambda: self, tasks * PACK, seconds=seconds, stop=self.stop)
        self.lock, self.news = threading.Lock(), threading.Event()
        self.new: list[tuple[Future[bytes], Call]] = []
        self.packs: list[_Pack] = []
        self.watcher: threading.Thread | None = None

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return the future of ``fn(*args)``, which gives bytes; it is sent with others in half a second."""
        future: Future[bytes] = Future()
        with self.lock:
            self.new.append((future, (f"{uuid.uuid4().hex}.safetensors", fn, args)))
            if self.watcher is None or not self.watcher.is_alive():
                self.watcher = threading.Thread(target=self._watch, daemon=True)
                self.watcher.start()
        self.news.set()
        return future

    def stop(self) -> None:
        """End what was sent, and forget what was not."""
        with self.lock:
            packs, self.packs, self.new = self.packs, [], []
        for pack in packs:
            pack.job.cancel(check=False)

    def _watch(self) -> None:
        """Send what is new, and look for what has come back, as long as anything is awaited."""
        seen = time.monotonic()
        while True:
            with self.lock:
                if not self.new and not self.packs:
                    self.watcher = None
                    return
                fresh, packs = bool(self.new), list(self.packs)
            if fresh:
                time.sleep(GATHER)
                self._send()
            try:
                self._look(packs)
                seen = time.monotonic()
            except OSError as error:  # a shared folder may be away for a while
                if time.monotonic() - seen > self.silent:
                    self._give_up(packs, error)
            self.news.wait(LOOK)
            self.news.clear()

    def _send(self) -> None:
        with self.lock:
            calls = [(future, call) for future, call in self.new if future.set_running_or_notify_cancel()]
            self.new = []
        if not calls:
            return
        shares = [calls[first :: self.tasks] for first in range(min(self.tasks, len(calls)))]
        names = [uuid.uuid4().hex[:8] for _ in shares]
        try:
            jobs = self.executor.map_array(
                work_off,
                [self.folder] * len(shares),
                names,
                [[call for _, call in share] for share in shares],
                [self.silent / BEATS] * len(shares),
            )
        except Exception as error:  # whatever stops sbatch, or the way of the arguments into a file
            said = " ".join(str(error).split())[:200]
            for future, _ in calls:
                future.set_exception(BadInput(f"no array of {len(shares)} tasks could be sent to Slurm: {said}."))
            return
        packs = [
            _Pack(name, {call[0]: future for future, call in share}, job)
            for name, share, job in zip(names, shares, jobs, strict=True)
        ]
        with self.lock:
            self.packs += packs

    def _look(self, packs: Sequence[_Pack]) -> None:
        there = {entry.name for entry in os.scandir(self.folder)} if packs else set()  # one look for all
        for pack in packs:
            for name in [name for name in pack.awaited if name in there]:
                blob = (self.folder / name).read_bytes()
                pack.awaited.pop(name).set_result(blob)
                (self.folder / name).unlink()
            silent = self._silent(pack, there)
            if pack.awaited and (pack.ended or silent):
                said = "ended without a result" if pack.ended else f"gave no sign of life for {self.silent:g} s"
                log = pack.job.paths.stderr
                error = BrokenExecutor(f"array task {pack.job.job_id} {said}; {_last_words(log)} in {log}")
                self._give_up([pack], error)
            # what a look finds first is not always what was written first: its results are given one more look
            pack.ended = pack.job.paths.result_pickle.name in there
            if not pack.awaited:
                self._forget(pack)

    def _give_up(self, packs: Sequence[_Pack], error: BaseException) -> None:
        for pack in packs:
            for future in pack.awaited.values():
                future.set_exception(error)
            pack.awaited.clear()
            self._forget(pack)

    def _silent(self, pack: _Pack, there: Collection[str]) -> bool:
        """Return whether a task that began gives no sign of life: not for long, or for longer while it still loads."""
        alive = f"{pack.name}.alive"
        started = alive in there or pack.job.paths.stdout.name in there
        beat = (self.folder / alive).read_bytes() if alive in there else b"started" if started else b""
        if beat != pack.beat:
            pack.beat, pack.seen = beat, time.monotonic()
        return started and time.monotonic() - pack.seen > self.silent * (1 if alive in there else LOADING)

    def _forget(self, pack: _Pack) -> None:
        """Take leave of a task all of whose results are here or lost; its logs stay."""
        with self.lock:
            if pack in self.packs:
                self.packs.remove(pack)
        with contextlib.suppress(OSError):
            (self.folder / f"{pack.name}.alive").unlink()


def on_slurm(workers: int | None) -> Elsewhere:
    """Return Slurm's array tasks, ``workers`` at a time, with files in ``.phasescope-slurm`` of the current folder.

    Raises ``BadInput`` where there is no Slurm.
    """
    return SlurmArrays(tasks=workers or TASKS, cluster="slurm").elsewhere
