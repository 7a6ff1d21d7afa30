"""What is in a line of the journal, and which lines can be trusted.

A line is one JSON object, ``{"crc", "hash", "time", "identity", "facts"}`` in this order; ``crc`` is the
CRC-32 (8 hex digits) of the line's bytes after it. The last line of a hash counts. A line ``{"crc", "hash",
"void": true}`` stands before a record is replaced and takes back the earlier ones, so that a crash in between
shows. The journal is an index: records decide what exists, and a record without a line is read itself.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from phasescope.errors import BadInput, told
from phasescope.store.canonical import canonical, dump, restore

_LINE = re.compile(rb'\{"crc":"([0-9a-f]{8})",("hash":"([0-9a-f]{64})",.*\})', re.DOTALL)
_VOID = b',"void":true}'


def entry(key: str, identity: Mapping[str, Any], facts: Mapping[str, Any], seconds: float) -> bytes:
    """Return the line (without newline) that says that a record was kept, ``seconds`` after the epoch."""
    time = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    texts = f'"identity":{canonical(identity)},"facts":{canonical(facts, "facts", nan=True)}'
    return _with_crc(f'"hash":{dump(key)},"time":{dump(time)},{texts}}}')


def void(key: str) -> bytes:
    """Return the line (without newline) that takes back the earlier lines of a record."""
    return _with_crc(f'"hash":{dump(key)}{_VOID.decode()}')


def read(path: Path) -> tuple[dict[str, bytes], int]:
    """Return the trusted line of each hash in order of appearance, and how many lines are torn or altered.

    A last line without its newline is torn. No journal is an empty journal. Raises ``BadInput`` for one that can not be
    read: it is not needed, but what is in its place is somebody's.
    """
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}, 0
    except OSError as error:
        raise BadInput(f"{told(error, path).rstrip('.')}; without it, a new journal is made of the records.") from error
    entries: dict[str, bytes] = {}
    torn = int(bool(rest))
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None or int(match[1], 16) != zlib.crc32(match[2]):
            torn += 1
        elif line.endswith(_VOID):
            entries.pop(match[3].decode(), None)
        else:
            entries[match[3].decode()] = line
    return entries, torn


def parse(line: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return identity and facts of a trusted line."""
    document = json.loads(line)
    return restore(document["identity"]), restore(document["facts"])


def _with_crc(rest: str) -> bytes:
    """Return a line whose CRC-32 covers ``rest``."""
    return f'{{"crc":"{zlib.crc32(rest.encode("ascii")):08x}",{rest}'.encode("ascii")
