"""Wrong stores and wrong doors: each storm must find each of them out, or it finds nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from phasescope.store import Store


def nobody() -> None:
    """Change nothing."""


def lost() -> None:
    """A store that loses a finished record whenever it is opened for writing."""
    opened = Store.__init__

    def wrong(self: Store, root: Any, read_only: bool = False) -> None:
        opened(self, root, read_only)
        for path in sorted(self.root.glob("records/??/*.safetensors"))[: 0 if read_only else 1]:
            path.unlink()

    Store.__init__ = wrong  # type: ignore[method-assign]


def again() -> None:
    """A store that does not find what it has kept, so that everything is trained again."""
    Store.load = lambda self, identity: None  # type: ignore[method-assign, assignment]


def drift() -> None:
    """A store whose checkpoints come back a little other than they were saved."""
    kept = Store.load_checkpoint

    def wrong(self: Store, identity: Mapping[str, Any]) -> Any:
        found = kept(self, identity)
        if found is None:
            return None
        moved = {n: v * np.float32(1 + 1e-6) if v.dtype.kind == "f" else v for n, v in found[0].items()}
        return {n: v.astype(found[0][n].dtype) for n, v in moved.items()}, found[1]

    Store.load_checkpoint = wrong  # type: ignore[method-assign]


def stale() -> None:
    """A store that leaves the temporary files of killed writers behind."""
    import phasescope.store.store as module

    module.remove_stale = lambda root: 0


def littering() -> None:
    """A writer that leaves its half-written file behind."""
    import pathlib

    unlink = pathlib.Path.unlink

    def wrong(self: pathlib.Path, missing_ok: bool = False) -> None:
        if not self.name.endswith(".phasescope-tmp"):
            unlink(self, missing_ok)

    pathlib.Path.unlink = wrong  # type: ignore[method-assign]


def trusting() -> None:
    """A store that does not look at checksums."""
    import json

    import safetensors.numpy

    import phasescope.store.sealed as sealed
    import phasescope.store.shelf as shelf
    from phasescope.store.canonical import restore

    def wrong(blob: bytes) -> Any:
        try:
            arrays = {name: np.asarray(array) for name, array in safetensors.numpy.load(blob).items()}
            header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
            document = json.loads(header["__metadata__"][sealed.KEY])
            return restore(document["identity"]), arrays, restore(document["facts"])
        except Exception as error:
            raise sealed.Damaged(str(error)) from error

    shelf.unseal = wrong


def grids() -> None:
    """Grids that raise a bare error, and scatters that hang."""
    from phasescope.vocabulary import Grid, Scatter

    def bare(self: Grid) -> None:
        raise TypeError("planted")

    def hang(self: Scatter) -> None:
        while True:
            pass

    Grid.__post_init__, Scatter.__post_init__ = bare, hang  # type: ignore[method-assign]


SABOTEURS: dict[str, Callable[[], None]] = {
    "": nobody, "lost": lost, "again": again, "drift": drift, "stale": stale, "littering": littering,
    "trusting": trusting, "grids": grids,
}  # fmt: skip
