"""What all storms share: children forked from a warm parent, a digest of a store, tables, and how a storm ends."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

#: A temporary file of the store's writer; one that outlives the next open is stale.
TEMPORARY = ".*.phasescope-tmp"
#: The command, as a user calls it.
EXE = Path(sys.executable).parent / "phasescope"
#: The longest sentence that is still read, in characters.
LONGEST = 450

Arrays = Mapping[str, Any]


# -- children ----------------------------------------------------------------------------------------------------------


def child(work: Callable[[], None], said: Path) -> int:
    """Fork a child that does ``work``, its errors in the file ``said``; return its process id.

    The parent must never have run torch's products or a pool: a child would inherit their locks without their threads.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def fresh(code: str, words: Sequence[str], said: Path) -> int:
    """Start ``code`` with ``words`` in an interpreter of its own, its errors in ``said``; return its process id."""
    with said.open("w") as file:
        process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=file, stderr=file)
    process.returncode = 0  # it is waited for by its id, as a forked child is
    return process.pid


def ended(pid: int, seconds: float) -> int | None:
    """Wait for a child at most so long; return its exit code, negative for a signal, or None while it still runs."""
    until = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(0.001)


def killed(pid: int) -> int:
    """Kill a child with SIGKILL and return its exit code."""
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def last_line(said: Path) -> str:
    """Return the last line that a child said."""
    lines = [line for line in said.read_text(errors="replace").splitlines() if line.strip()] if said.exists() else []
    return lines[-1][:300] if lines else "(it said nothing)"


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Give an empty folder, and remove it at the end."""
    root = Path(tempfile.mkdtemp(prefix=f"storm-{name}-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def import_all(names: Path) -> None:
    """Import in this process what a child has imported: a third of a run's life would go into imports else."""
    for name in json.loads(names.read_text()) if names.exists() else []:
        if name not in sys.modules and name.split(".")[0] in ("torch", "numba", "phasescope", "scipy", "matplotlib"):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    if len(os.listdir("/proc/self/task")) > 1:
        raise SystemExit("an import has started a thread: a fork of this process might hang")


# -- stores ------------------------------------------------------------------------------------------------------------


def records_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Return each finished record's inode and digest by its hash: one that was written anew has another inode."""
    found = {}
    for path in folder.glob("records/??/*.safetensors"):
        found[path.stem] = (path.stat().st_ino, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def arrays_of(data: Any, but: Sequence[str] = ()) -> dict[str, Any]:
    """Return every variable of a dataset in its order, without those named ``but``."""
    return {str(n): v.values for n, v in data.variables.items() if str(n).rsplit(".", 1)[-1] not in but}


def differences(found: Arrays, expected: Arrays) -> list[str]:
    """Return what differs in names, order, shapes, types or bits, one sentence each."""
    if list(found) != list(expected):
        kind = "in another order" if set(found) == set(expected) else "other ones"
        return [f"variables are {kind}"]
    return [
        f"{name} has other bits"
        for name, value in expected.items()
        if (value.dtype, value.shape, value.tobytes()) != (found[name].dtype, found[name].shape, found[name].tobytes())
    ]


# -- how a storm is started and how it ends ----------------------------------------------------------------------------


def arguments(about: str | None, count: int) -> argparse.ArgumentParser:
    """Return a parser that knows ``--seed``, ``--count`` and ``--saboteur``."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same storm")
    parser.add_argument("--count", type=int, default=count, help=f"how many; {count} by default")
    return parser


def table(title: str, columns: Sequence[str], rows: Mapping[str, Counter[str]]) -> None:
    """Print counts: a line per row, a column per name, and the sums."""
    width = max(map(len, [*rows, "all"]))
    print(f"\n{title}")
    print("  ".join([" " * width, *columns]))
    sums = {name: sum(row[name] for row in rows.values()) for name in columns}
    for name, row in [*rows.items(), ("all", sums)]:
        print("  ".join([name.ljust(width), *(str(row[c]).rjust(len(c)) for c in columns)]))


def verdict(faults: Sequence[str], most: int = 60) -> int:
    """Print each distinct fault once with its count; return the exit code: 1 where there is one."""
    counted = Counter(faults)
    for fault, count in counted.most_common(most):
        print(f"FAULT x{count}: {fault}")
    if len(counted) > most:
        print(f"... and {len(counted) - most} more")
    print("no faults" if not counted else f"{sum(counted.values())} faults, {len(counted)} distinct")
    sys.stdout.flush()
    return 1 if counted else 0
