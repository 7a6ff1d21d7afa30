"""What ``phasescope encode`` does, but for files and the terminal: read, encode, and say what the page shows."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phasescope.commands.inspect import Told, folder_name, page_of
from phasescope.figures import Table
from phasescope.representation.encode import encode
from phasescope.representation.encode_data import read_responses
from phasescope.vocabulary import Array, BadInput

QUESTION = "How much of these responses do the features explain, beside what could be explained?"
GROUPS = "groups"
"""What a file of groups calls its numbers."""


@dataclass(frozen=True)
class Asked:
    """What the command is given: files, and ``folds``, ``draws`` and ``seed`` as ``ps.encode`` takes them."""

    features: Path
    responses: Path
    baseline: Path | None
    groups: Path | None
    folds: int
    draws: int
    seed: int


def encoded_files(asked: Asked, tell: Callable[[str], object]) -> Told:
    """Read the files and encode the responses; ``tell`` is told what is being done.

    Raises ``BadInput`` for files that can not be read, and what ``encode`` raises.
    """

    def progress(what: str, done: int, total: int) -> None:
        tell(f"encoding by {what}, {done}/{total}")

    tell(f"reading {asked.responses}")
    options: dict[str, Any] = {"folds": asked.folds, "draws": asked.draws, "seed": asked.seed}
    found = encode(
        asked.features,
        asked.responses,
        baseline=asked.baseline,
        groups=None if asked.groups is None else _groups(asked.groups),
        on_progress=progress,
        **options,
    )
    header, rows = found.table()
    files = {"features": asked.features, "responses": asked.responses}
    files |= {name: path for name in ("baseline", "groups") if (path := getattr(asked, name)) is not None}
    command = ["phasescope", "encode", str(asked.features), str(asked.responses)]
    command += [word for name in ("baseline", "groups") if name in files for word in (f"--{name}", str(files[name]))]
    command += [word for key, value in options.items() for word in (f"--{key}", str(value))]
    page = page_of(
        "encode", f"{asked.responses.stem} by {asked.features.stem}", QUESTION, str(found).splitlines()[:3],
        [found.figure()], Table("Layer by layer", header, rows), {**{k: str(v) for k, v in files.items()}, **options},
        shlex.join(command),
    )  # fmt: skip
    folder = f"encode-{folder_name(asked.features.stem)}-{folder_name(asked.responses.stem)}"
    return Told(folder, "encoding.json", str(found), found.to_json(), page)


def _groups(path: Path) -> Array:
    """Return whole numbers (N,) from a file of one column. Raises ``BadInput`` for others."""
    rows = read_responses(path, GROUPS)
    column = rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 1 else rows
    if column.ndim != 1 or not bool(np.isfinite(column).all()) or bool((column != np.round(column)).any()):
        raise BadInput(f"{path} has shape {rows.shape}: give groups as one column of whole numbers, one per stimulus.")
    return column.astype(np.int64)
