"""Measured responses from a file of one's own: .npz, .npy, or .csv with one row per presentation of a stimulus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from phasescope.checks import shown
from phasescope.errors import unread
from phasescope.vocabulary import Array, BadInput

STIMULUS = "stimulus"
"""The column of a .csv, and the array of an .npz, that says which stimulus a row is of."""


def read_responses(path: Path | str, name: str = "responses") -> Array:
    """Return responses (N, Q), or (R, N, Q) with repeats, as float64 from a file.

    ``.npy``: that array. ``.npz``: the array called ``name``, or the only one; with an array ``stimulus`` (rows,) of
    whole numbers its rows are presentations. ``.csv``: a header, then one row per presentation, one column per unit; a
    column ``stimulus`` says by whole numbers which stimulus it was. Presentations of stimulus k become row k of the
    sorted numbers, in the order of the file; where some stimuli were shown more often, their last repeats are NaN.
    Without ``stimulus`` row i is stimulus i. Pickles are never opened. Raises ``BadInput`` for other files.
    """
    if not isinstance(path, str | Path):
        raise BadInput(f"the path is {shown(path)}: give the path of a file of responses.")
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"there is no file {path}: give responses as .npz, .npy or .csv.")
    if path.suffix == ".csv":
        return _from_csv(path)
    if path.suffix not in (".npz", ".npy"):
        raise BadInput(f"{path} is no file of responses: give .npz, .npy or .csv.")
    arrays = _arrays(path, name)
    which = arrays.pop(STIMULUS, None)
    if name not in arrays and len(arrays) != 1:
        raise BadInput(f"{path} has the arrays {', '.join(sorted(arrays)) or 'none'}: call one of them {name!r}.")
    rows = np.asarray(arrays.get(name, next(iter(arrays.values()))))
    if rows.dtype.kind not in "iuf":
        raise BadInput(f"{name} of {path} are of type {rows.dtype}: give numbers.")
    rows = rows.astype(np.float64)
    return rows if which is None else _by_stimulus(rows, which, path)


def arrays_of(path: Path) -> list[str]:
    """Return the names of the arrays of an .npz file, but for ``stimulus``. Raises ``BadInput`` where it is none."""
    if not path.is_file():
        raise BadInput(f"there is no file {path}: give arrays as .npz, .npy or .csv.")
    return [name for name in _arrays(path, "") if name != STIMULUS]


def _arrays(path: Path, name: str) -> dict[str, Any]:
    """Return the arrays of an .npz file by name, or that of an .npy file as ``name``."""
    try:
        with path.open("rb") as file:
            held: Any = np.load(file, allow_pickle=False)
            return {key: held[key] for key in held.files} if path.suffix == ".npz" else {name: held}
    except (ValueError, OSError, EOFError, BadZipFile, AttributeError) as error:
        raise BadInput(f"{path} can not be read as arrays of numbers: {unread(error)}.") from error


def _from_csv(path: Path) -> Array:
    import pandas as pd

    try:
        table = pd.read_csv(path)
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise BadInput(f"{path} is no table: {str(error).strip().splitlines()[0][:100]}.") from error
    _named_columns(path, [str(column) for column in table])
    which = table.pop(STIMULUS).to_numpy() if STIMULUS in table else None
    words = [str(column) for column in table if table[column].dtype.kind not in "iuf"]
    if words or not table.shape[1] or not len(table):
        said = f"has words in {words[0]!r}" if words else "has no columns of numbers"
        raise BadInput(f"{path} {said}: give a header, and numbers, one column per unit.")
    rows: Array = table.to_numpy(dtype=np.float64)
    return rows if which is None else _by_stimulus(rows, which, path)


def _named_columns(path: Path, names: Sequence[str]) -> None:
    """Raise ``BadInput`` for a first row that is data, an index without a name, and a misspelt ``stimulus``."""
    if names and all(map(_is_number, names)):
        raise BadInput(
            f"{path} has no header, its first row is numbers: begin with a row of names, such as unit1, one per column."
        )
    for name in names:
        if name.startswith("Unnamed: "):
            raise BadInput(
                f"column {int(name.split()[1]) + 1} of {path} has no name: name it, or leave it out where it counts "
                "the rows, as to_csv(index=False) does."
            )
        if name != STIMULUS and name.strip().lower().split(".")[0] == STIMULUS:
            raise BadInput(f"{path} has a column {shown(name)}: call one column {STIMULUS!r}, and no unit so.")


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _by_stimulus(rows: Array, which: Any, path: Path) -> Array:
    """Return presentations (rows, Q) as repeats (R, N, Q) of stimuli in the order of their numbers."""
    labels = np.asarray(which)
    if rows.ndim != 2 or labels.shape != rows.shape[:1] or labels.dtype.kind not in "iu":
        raise BadInput(
            f"{STIMULUS} of {path} has shape {labels.shape} and type {labels.dtype}: give one whole number for each of "
            f"{rows.shape[0]} rows."
        )
    stimuli, place, many = np.unique(labels, return_inverse=True, return_counts=True)
    found = np.full((int(many.max()), len(stimuli), rows.shape[1]), np.nan)
    seen = np.zeros(len(stimuli), int)
    for row, stimulus in zip(rows, place, strict=True):
        found[seen[stimulus], stimulus] = row
        seen[stimulus] += 1
    return found if len(found) > 1 else found[0]
