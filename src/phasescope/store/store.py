"""The store of one run: the keeper of members and checkpoints, of results and of the report's files."""

from __future__ import annotations

import contextlib
import os
import shutil
import weakref
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from phasescope.errors import keeping, shown, told
from phasescope.store import results
from phasescope.store.atomic import remove_stale, write_atomic
from phasescope.store.canonical import address
from phasescope.store.folder import FORMAT, check_format, open_for_writing, owned
from phasescope.store.ledger import Ledger
from phasescope.store.sealed import Damaged, seal, unseal
from phasescope.store.shelf import Shelf, names_in
from phasescope.vocabulary import Array, BadInput

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Facts = dict[str, Any]


class Store:
    """The run directory ``root``, opened or made; implements ``phasescope.vocabulary.Keeper``.

    One process writes at a time and many may read: ``Store(root, read_only=True)`` takes no lock and changes
    nothing. At an open for writing, what a crash left is mended: stale temporary files go, torn journal lines
    are replaced, records without a line get one. A damaged record is absent: moved to ``corrupt/`` when met
    and counted by ``health``. Use it as a context manager, or ``close`` it; a process that dies gives its
    lock back.

    Raises ``BadInput`` when ``root`` is a file, a folder of something else, not writable, in use by another
    process, or of a newer format. Writing raises ``OSError`` with a clear sentence when the disk is full, and
    the old content stands; ``BadInput`` when the store is read-only, closed, or was opened by a parent
    process.

    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "run") as store:
    ...     store.save({"p": 23, "seed": 0}, {"loss": np.array([1.0, 0.5])}, {"fate": "generalized"})
    ...     store.load({"seed": 0, "p": 23})
    ({'loss': array([1. , 0.5])}, {'fate': 'generalized'})
    """

    def __init__(self, root: Path | str, read_only: bool = False) -> None:
        if not isinstance(root, str | os.PathLike):
            raise BadInput(f"the folder is {shown(root)}: give a path, such as 'runs/mine'.")
        self.root, self.read_only = Path(root).absolute(), read_only
        self._records = Shelf(self.root / "records", self.root / "corrupt", spread=True)
        self._checkpoints = Shelf(self.root / "checkpoints", self.root / "corrupt", spread=False)
        self._ledger = Ledger(self._records, self.root / "journal.jsonl")
        self._owner, self._torn = os.getpid(), 0
        if read_only:
            check_format(self.root)
            return
        self._release = weakref.finalize(self, open_for_writing(self.root).release)
        try:
            remove_stale(self.root)
            self._torn = self._ledger.complete()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back; what is kept can still be read. Closing twice is closing once."""
        if not self.read_only:
            self._release()

    def load(self, identity: Mapping[str, Any]) -> tuple[dict[str, Array], Facts] | None:
        """Return the arrays (same bits) and facts of a finished record, or None; a damaged one is absent.

        Raises ``BadInput`` for an identity that is no plain nested data.
        """
        return self._load(self._records, identity)

    def save(self, identity: Mapping[str, Any], arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
        """Keep a finished record, whole or not at all, in place of an earlier one of the same identity.

        Arrays are bool, integers or floats of any shape; facts are plain nested data and may hold NaN (tuples
        come back as lists). Raises ``BadInput`` for other content, ``OSError`` when it can not be written.
        """
        self._check_writable()
        self._ledger.save(identity, arrays, facts)
        keeping()

    def load_checkpoint(self, identity: Mapping[str, Any]) -> tuple[dict[str, Array], Facts] | None:
        """Return an unfinished member's state, or None; a damaged one is absent."""
        return self._load(self._checkpoints, identity)

    def save_checkpoint(
        self, identity: Mapping[str, Any], arrays: Mapping[str, Array], facts: Mapping[str, Any]
    ) -> None:
        """Replace the unfinished state of this identity; until the new one is whole the old one stands."""
        self._check_writable()
        self._checkpoints.put(identity, arrays, facts)
        keeping()

    def drop_checkpoint(self, identity: Mapping[str, Any]) -> None:
        """Forget the unfinished state of this identity, if there is one."""
        self._check_writable()
        self._checkpoints.drop(address(identity))

    def save_results(self, data: xr.Dataset, verdicts: list[Facts], provenance: Facts) -> None:
        """Keep data set, verdicts and provenance in ``results.safetensors``; the last two in JSON, to read.

        Raises ``BadInput`` for content that can not be kept exactly (see ``results.pack``).
        """
        self._check_writable()
        arrays, structure = results.pack(data)
        facts = {"structure": structure, "verdicts": verdicts, "provenance": provenance}
        blob = seal(results.IDENTITY, arrays, facts)
        write_atomic(self.root / "results.safetensors", blob)
        write_atomic(self.root / "results.json", results.for_the_eye(verdicts, provenance))

    def load_results(self) -> tuple[xr.Dataset, list[Facts], Facts]:
        """Return the data set, identical to the one saved, with verdicts and provenance.

        Raises ``BadInput`` when there are none or the file is damaged.
        """
        path = self.root / "results.safetensors"
        try:
            identity, arrays, facts = unseal(path.read_bytes())
            if identity != results.IDENTITY:
                raise Damaged("it is a file of another kind")
        except FileNotFoundError as error:
            raise BadInput(f"{self.root} holds no results: run the study into it first.") from error
        except OSError as error:
            raise BadInput(told(error, path)) from error
        except Damaged as error:
            raise BadInput(f"{path} is damaged ({error}): run the study again, finished members are kept.") from error
        return results.unpack(arrays, facts["structure"]), facts["verdicts"], facts["provenance"]

    def path(self, name: str) -> Path:
        """Return where the file ``name`` is. Raises ``BadInput`` for a name that leads out of the run."""
        relative = PurePosixPath(name)
        named = bool(relative.parts) and "\0" not in name and ".." not in relative.parts
        if named and (self.root / name).resolve().is_relative_to(self.root.resolve()):
            return self.root / name
        raise BadInput(f"{name!r} is no file inside the run: give a relative path without '..'.")

    def write(self, name: str, data: bytes | str) -> Path:
        """Write a file of the report atomically and return its path; a string is written as UTF-8.

        Raises ``BadInput`` for a name that leads out of the run, or is one of the store's own.
        """
        self._check_writable()
        path = self.path(name)
        if owned(path) or path.is_dir():
            raise BadInput(f"{name!r} belongs to the store itself: give another name, such as 'report/index.html'.")
        write_atomic(path, data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)
        return path

    def records(self) -> list[tuple[dict[str, Any], Facts]]:
        """Return identity and facts of every record, oldest first, from the journal alone."""
        return list(self._ledger.listed().values())

    def table(self) -> pd.DataFrame:
        """Return one row per record, by hash, with columns ``identity.<path>`` and ``facts.<path>``."""
        import pandas as pd

        rows = {key: {**_flat("identity", i), **_flat("facts", f)} for key, (i, f) in self._ledger.listed().items()}
        return pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), name="hash", dtype=object))

    def health(self) -> Facts:
        """Return what is kept and what is damaged; reads every record once to prove its checksum.

        ``format``; ``records`` and ``checkpoints`` that are whole; ``corrupt_records``, files found damaged
        now or moved aside earlier; ``torn_journal_lines`` found at the open (and mended) or still there;
        ``bytes`` in the directory; ``free_bytes`` on its disk.
        """
        records, bad_records = self._records.audit()
        checkpoints, bad_checkpoints = self._checkpoints.audit()
        aside = len(names_in(self.root / "corrupt"))
        return {
            "format": FORMAT,
            "records": records,
            "checkpoints": checkpoints,
            "corrupt_records": bad_records + bad_checkpoints + aside,
            "torn_journal_lines": self._torn + self._ledger.torn(),
            "bytes": _size(self.root),
            "free_bytes": shutil.disk_usage(self.root).free,
        }

    def repair(self) -> Facts:
        """Read every record, move the damaged aside, rebuild the journal; return ``health``."""
        self._check_writable()
        self._ledger.rebuild()
        return self.health()

    def _load(self, shelf: Shelf, identity: Mapping[str, Any]) -> tuple[dict[str, Array], Facts] | None:
        """Return arrays and facts, or None; a writer moves a damaged file aside, a reader leaves it."""
        sealed = shelf.take(address(identity), move=self._writable())
        if sealed is None:
            return None
        if self._writable():
            keeping()
        return sealed[1:]

    def _writable(self) -> bool:
        """Return whether this object holds the lock in this process."""
        return not self.read_only and self._release.alive and os.getpid() == self._owner

    def _check_writable(self) -> None:
        """Refuse to write without the lock."""
        if not self._writable():
            state = "open read-only" if self.read_only else "closed, or was opened by a parent process"
            raise BadInput(f"the store {self.root} is {state}: open it for writing in the process that writes.")


def _size(root: Path) -> int:
    """Return the bytes of all files below ``root``; a file that goes meanwhile counts nothing."""
    total = 0
    for path in root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _flat(prefix: str, value: Any) -> Facts:
    """Return nested dicts as one, their keys joined by dots."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {path: leaf for key, item in value.items() for path, leaf in _flat(f"{prefix}.{key}", item).items()}
