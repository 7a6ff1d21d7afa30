"""The run directory: what makes a folder a store, and who may write to it.

One process writes at a time. The lock is a POSIX record lock on ``store.lock``: it goes with the process that
holds it, however that dies, and forked workers do not keep it. Where the system or the file system has no
such lock, nothing is locked. Readers need no lock.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

from phasescope.errors import BadInput, told
from phasescope.store.atomic import SUFFIX, make_folder, write_atomic

FORMAT = 1
OWN = {"store.json", "store.lock", "journal.jsonl", "results.safetensors", "results.json"}
OWN_FOLDERS = {"records", "checkpoints", "corrupt"}
_held: set[tuple[int, str]] = set()


class Lock:
    """The right of this process to write below ``root``. Raises ``BadInput`` when someone else has it."""

    def __init__(self, root: Path) -> None:
        self._key = (os.getpid(), os.path.realpath(root))
        if self._key in _held:
            raise BadInput(f"{root} is already open in this process: close that store first, or open it read-only.")
        self._descriptor = os.open(root / "store.lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(self._descriptor, root)
        except BaseException:
            os.close(self._descriptor)
            raise
        _held.add(self._key)

    def release(self) -> None:
        """Give the right back. In a forked child this releases nothing of its parent's."""
        os.close(self._descriptor)
        _held.discard(self._key)


def open_for_writing(root: Path) -> Lock:
    """Open the store at ``root``, or make one where there is nothing or an empty folder, and lock it.

    Raises ``BadInput`` when ``root`` is a file, a folder of something else, in use, of a newer format, or not
    writable.
    """
    try:
        if "\0" in str(root):
            raise BadInput(f"{str(root)!r} has a null character: name a folder without one.")
        for part in (root, *root.absolute().parents):
            if part.exists() and not part.is_dir():
                raise BadInput(f"{part} is a file: name a folder for the run.")
        make_folder(root.absolute())
        if not (root / "store.json").exists():
            _check_empty(root)
        lock = Lock(root)
    except OSError as error:
        raise _unwritable(root, error) from error
    try:
        if not (root / "store.json").exists():
            write_atomic(root / "store.json", json.dumps({"format": FORMAT, "writer": "phasescope"}).encode() + b"\n")
        check_format(root)
    except BaseException as error:
        lock.release()
        if isinstance(error, OSError):
            raise _unwritable(root, error) from error
        raise
    return lock


def owned(path: Path) -> bool:
    """Return whether a file at ``path`` would be, or replace, one of a store's own."""
    path = path.parent.resolve() / path.name
    for root in path.parents:
        parts = [part.lower() for part in path.relative_to(root).parts]
        if (parts[0] in OWN_FOLDERS or (len(parts) == 1 and parts[0] in OWN)) and (root / "store.json").exists():
            return True
    return False


def check_format(root: Path) -> None:
    """Raise ``BadInput`` unless ``root`` is a store of a format that this version reads."""
    try:
        description = json.loads((root / "store.json").read_bytes())
        found = description["format"]
    except FileNotFoundError as error:
        said = "holds no store" if root.is_dir() else "holds no store, for it is not there"
        raise BadInput(f"{root} {said}: name the folder of a run.") from error
    except OSError as error:
        raise BadInput(told(error, root)) from error
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{root}/store.json is not readable: put {{'format': {FORMAT}}} back in JSON.") from error
    if type(found) is not int or found < 1:
        raise BadInput(f"{root}/store.json names the format {found!r}: it must be an integer from 1 to {FORMAT}.")
    if found > FORMAT:
        raise BadInput(
            f"{root} has the format {found}, newer than {FORMAT}: upgrade phasescope or name another folder."
        )


def _check_empty(root: Path) -> None:
    """Refuse a folder of something else; what a killed first open left does not count."""
    strange = sorted(p.name for p in root.iterdir() if p.name != "store.lock" and not p.name.endswith(SUFFIX))
    if strange:
        raise BadInput(f"{root} is no store but holds {strange[0]!r}: name a new or empty folder, or that of a run.")


def _unwritable(root: Path, error: OSError) -> BadInput:
    """Return the sentence for a folder that can not be written."""
    if error.strerror and str(root) in error.strerror:
        return BadInput(error.strerror)
    return BadInput(f"{root} can not be written ({error.strerror or error}): name a folder that you may write to.")


if sys.platform == "win32":

    def _lock(descriptor: int, root: Path) -> None:
        """Lock nothing: there is no advisory lock here."""

else:
    import fcntl

    def _lock(descriptor: int, root: Path) -> None:
        """Take the lock or raise ``BadInput``; a file system without locks locks nothing."""
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace") or "unknown"
                raise BadInput(
                    f"{root} is in use by the process {holder}: wait for it, or name another folder."
                ) from error
            return
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
