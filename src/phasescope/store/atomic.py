"""How a file is written: whole or not at all, whatever stops the process or the machine.

A file is written under a temporary name in its own folder, flushed to the disk, renamed over the old one, and
the folder flushed. A line is appended in one write and taken back if it went in only partly.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from phasescope.vocabulary import BadInput

SUFFIX = ".phasescope-tmp"
_counter = itertools.count()
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} if hasattr(errno, "EDQUOT") else {errno.ENOSPC, errno.EFBIG}


def write_atomic(path: Path, data: bytes) -> None:
    """Replace the content of ``path``, making its folders; after a failure the old content stands.

    Raises ``OSError`` of the original kind with a sentence that says what to do, for instance on a full disk.
    """
    temporary = path.parent / f".{os.getpid()}-{next(_counter)}{SUFFIX}"
    try:
        make_folder(path.parent)
        _write_through(temporary, data)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise explained(error, path) from error
        raise


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path`` to write into; at the end it becomes ``path``, flushed, or is gone.

    For writers that are not ours. Raises ``BadInput`` where ``path`` exists, before anything is written, and
    ``OSError`` of the original kind with a sentence that says what to do.
    """
    path = path.absolute()
    if path.exists() or path.is_symlink():
        raise BadInput(f"{path} exists: name a folder that does not, or remove it.")
    _remove_abandoned(path)
    temporary = path.parent / f".{path.name}-{os.getpid()}-{next(_counter)}{SUFFIX}"
    try:
        make_folder(path.parent)
        temporary.mkdir()
        yield temporary
        for part in sorted(temporary.rglob("*")):
            _flush(part)
        sync_folder(temporary)
        if path.exists():
            raise BadInput(f"{path} was made meanwhile: name another folder.")
        os.rename(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise explained(error, path) from error
        raise


def check_new(path: Path) -> None:
    """Raise ``BadInput`` where ``path`` exists, and ``OSError`` where no folder can be made there; leave nothing."""
    path = path.absolute()
    if path.exists() or path.is_symlink():
        raise BadInput(f"{path} exists: name a folder that does not, or remove it.")
    above = next(parent for parent in path.parents if parent.exists() or parent.is_symlink())
    trial = above / f".{path.name[:100]}-{os.getpid()}-{next(_counter)}{SUFFIX}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        raise explained(error, path) from error


def append_line(path: Path, line: bytes) -> None:
    """Append ``line`` and a newline in one write; a part that went in before a failure is cut off again.

    Not flushed to the disk: the journal is an index that the next open completes from the records.
    Raises ``OSError`` with a sentence that says what to do.
    """
    data = line + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, data) != len(data):
                os.ftruncate(descriptor, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise explained(error, path) from error


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each flushed into the one above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to the disk, where the system can (Windows can not open folders)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems do not flush folders
            raise
    finally:
        os.close(descriptor)


def remove_stale(root: Path) -> int:
    """Remove the temporary files that a killed writer left anywhere below ``root``; return how many."""
    stale = [path for path in root.rglob(f".*{SUFFIX}") if path.is_file()]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def _remove_abandoned(path: Path) -> None:
    """Remove the folders beside ``path`` that writers of it left which live no more."""
    for folder in path.parent.glob(f".{glob.escape(path.name)}-*{SUFFIX}"):
        writer = folder.name.removeprefix(f".{path.name}-").split("-")[0]
        if writer.isdigit() and not _lives(int(writer)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    if os.name == "nt":  # where signal 0 is no question
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def explained(error: OSError, path: Path) -> OSError:
    """Return an ``OSError`` of the same kind that says what could not be written and what to do."""
    if str(path) in (error.strerror or ""):
        return error
    if error.errno in _FULL:
        sentence = f"the disk has no room for {path}: free some space and run again; all kept before is intact"
    else:
        sentence = f"{path} could not be written ({error.strerror or error}); all kept before is intact"
    return OSError(error.errno or errno.EIO, sentence, str(path))


def _write_through(path: Path, data: bytes) -> None:
    """Write a new file and flush it to the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush(path: Path) -> None:
    """Flush what someone wrote to the disk."""
    if path.is_dir():
        sync_folder(path)
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
