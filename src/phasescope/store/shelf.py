"""A folder of sealed files, one per identity, and an attic for the damaged ones."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from phasescope.errors import BadInput, told
from phasescope.store.atomic import make_folder, sync_folder, write_atomic
from phasescope.store.canonical import address
from phasescope.store.sealed import Damaged, seal, unseal
from phasescope.vocabulary import Array

Sealed = tuple[dict[str, Any], dict[str, Array], dict[str, Any]]
END = ".safetensors"
_HASH, _PREFIX = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{2}")


class Shelf:
    """Sealed files ``<hash>.safetensors`` in ``folder``, spread over 256 folders where ``spread``."""

    def __init__(self, folder: Path, attic: Path, spread: bool) -> None:
        self.folder, self.attic, self.spread = folder, attic, spread

    def path(self, key: str) -> Path:
        """Return where the file of this hash is, or would be."""
        return (self.folder / key[:2] if self.spread else self.folder) / f"{key}{END}"

    def hashes(self) -> Iterator[str]:
        """Yield the hashes of the files that are there, sorted, unopened. Raises ``BadInput``."""
        folders = [self.folder]
        if self.spread:
            folders = [path for path in names_in(self.folder) if _PREFIX.fullmatch(path.name) and path.is_dir()]
        found = [path for folder in folders for path in names_in(folder) if path.suffix == END]
        yield from sorted(path.stem for path in found if _HASH.fullmatch(path.stem) and path == self.path(path.stem))

    def put(self, identity: Mapping[str, Any], arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
        """Write a file, whole or not at all. Raises what ``seal`` and ``write_atomic`` raise."""
        write_atomic(self.path(address(identity)), seal(identity, arrays, facts))

    def read(self, key: str) -> Sealed | None:
        """Return identity, arrays and facts, or None where there is no file.

        Raises ``Damaged``, also for a folder or a link to itself; ``BadInput`` for a file that can not be read.
        """
        path = self.path(key)
        try:
            sealed = unseal(path.read_bytes())
        except FileNotFoundError:
            return None
        except (IsADirectoryError, NotADirectoryError) as error:
            raise Damaged(f"no file is there ({error.strerror})") from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise Damaged("a link to itself is in its place") from error
            raise BadInput(told(error, path)) from error
        if address(sealed[0]) != key:
            raise Damaged("the file lies under the hash of another identity")
        return sealed

    def take(self, key: str, move: bool) -> Sealed | None:
        """Return what ``read`` does, or None for a damaged file too, which is moved aside if ``move``."""
        try:
            return self.read(key)
        except Damaged:
            if move:
                self.set_aside(key)
            return None

    def audit(self) -> tuple[int, int]:
        """Read every file; return how many are whole and how many damaged."""
        whole = [self.take(key, move=False) is not None for key in self.hashes()]
        return sum(whole), len(whole) - sum(whole)

    def set_aside(self, key: str) -> None:
        """Move a damaged file to the attic, beside what lies there of the same name."""
        source = self.path(key)
        make_folder(self.attic)
        number, target = 0, self.attic / source.name
        while os.path.lexists(target):
            number += 1
            target = self.attic / f"{key}.{number}{END}"
        os.replace(source, target)
        sync_folder(self.attic)

    def drop(self, key: str) -> None:
        """Remove the file of this hash, if there is one; anything else in its place is moved to the attic."""
        path = self.path(key)
        if path.is_dir():
            self.set_aside(key)
        path.unlink(missing_ok=True)


def names_in(folder: Path) -> list[Path]:
    """Return what is in a folder, nothing where there is none; raise ``BadInput`` where it can not be read."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BadInput(told(error, folder)) from error
