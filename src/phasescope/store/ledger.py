"""The records together with their journal: the records decide, the journal tells quickly."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phasescope.store import journal
from phasescope.store.atomic import append_line, write_atomic
from phasescope.store.canonical import address
from phasescope.store.shelf import Shelf
from phasescope.vocabulary import Array

Told = tuple[dict[str, Any], dict[str, Any]]


class Ledger:
    """A shelf of records and the journal at ``path`` that lists them."""

    def __init__(self, records: Shelf, path: Path) -> None:
        self.records, self.path = records, path
        self._appending = threading.Lock()

    def save(self, identity: Mapping[str, Any], arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
        """Put a record on the shelf, then its line into the journal; an old line is taken back first."""
        key = address(identity)
        line = journal.entry(key, identity, facts, time.time())
        if self.records.path(key).exists():
            self._append(journal.void(key))
        self.records.put(identity, arrays, facts)
        self._append(line)

    def listed(self) -> dict[str, Told]:
        """Return identity and facts of every record by hash, in the order of the journal."""
        known, _ = journal.read(self.path)
        there = set(self.records.hashes())
        told = {key: journal.parse(line) for key, line in known.items() if key in there}
        for key in sorted(there - told.keys()):
            sealed = self.records.take(key, move=False)
            if sealed is not None:
                told[key] = (sealed[0], sealed[2])
        return told

    def torn(self) -> int:
        """Return how many lines of the journal can not be trusted."""
        return journal.read(self.path)[1]

    def complete(self) -> int:
        """Replace torn lines, give records without a line theirs; return how many lines were torn.

        A record without a line that turns out damaged is moved aside.
        """
        known, torn = journal.read(self.path)
        if torn:
            self._replace(list(known.values()))
        for key in self.records.hashes():
            line = None if key in known else self._line(key)
            if line is not None:
                self._append(line)
        return torn

    def rebuild(self) -> None:
        """Read every record, move the damaged ones aside, and write the journal of the rest, oldest first."""
        keys = sorted(self.records.hashes(), key=self._seconds)
        self._replace([line for line in map(self._line, keys) if line is not None])

    def _line(self, key: str) -> bytes | None:
        """Return a record's line made from the record, or None for a damaged one, now moved aside."""
        seconds = self._seconds(key)
        sealed = self.records.take(key, move=True)
        return None if sealed is None else journal.entry(key, sealed[0], sealed[2], seconds)

    def _seconds(self, key: str) -> float:
        """Return when a record was written, after the epoch."""
        return self.records.path(key).lstat().st_mtime

    def _append(self, line: bytes) -> None:
        """Append a line, one thread at a time."""
        with self._appending:
            append_line(self.path, line)

    def _replace(self, lines: list[bytes]) -> None:
        """Write the whole journal anew."""
        write_atomic(self.path, b"".join(line + b"\n" for line in lines))
