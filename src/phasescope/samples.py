"""The door for data: what is learnt from is checked here, and told by row and value where it can not be used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from phasescope.checks import readable
from phasescope.vocabulary import Array, BadInput, Draw

IGNORED = -100  # the label of a position that does not count, as in torch


def as_array(values: Any, what: str) -> Array:
    """Return lists, tensors and arrays as one numpy array of numbers that torch takes; ``BadInput`` for anything else.

    Sparse tensors are filled in, gradients left out, masked entries refused. Half precision becomes float32 and long
    doubles float64; other bytes' orders and strides are laid out anew.
    """
    values = readable(what, values)
    try:
        found = np.asarray(values)
    except ValueError:
        raise BadInput(f"{what} are ragged: give every row the same shape.") from None
    if found.dtype.kind not in "biuf":
        raise BadInput(f"{what} are of type {found.dtype}: give numbers, all rows of one shape.")
    kind = found.dtype.newbyteorder("=")
    if kind.kind == "f":
        kind = np.dtype(np.float32 if kind.itemsize < 4 else np.float64 if kind.itemsize > 8 else kind)
    return np.asarray(found, dtype=kind, order="C")


def inputs_of(values: Any, name: str) -> Array:
    """Return ``values`` as inputs (N, ...): finite floats, or integers. Raises ``BadInput`` with row and value."""
    found = as_array(values, f"the inputs of {name!r}")
    if found.ndim == 0:
        raise BadInput(f"the inputs of {name!r} are one number: give an array (N, ...), one row per sample.")
    _finite(found, f"the inputs of {name!r}")
    if found.dtype.kind in "biu" and found.dtype != np.int32:
        _within(found, np.iinfo(np.int32).min, np.iinfo(np.int32).max, f"the inputs of {name!r}", "a 32-bit integer")
        found = found.astype(np.int32)
    return found


def targets_of(values: Any, classes: int, name: str) -> Array:
    """Return labels (N,) or (N, T) int32 in [0, K), or real targets (N, K); (N,) floats become (N, 1).

    Of labels (N, T), one for each position of a sequence, those that are ``IGNORED`` do not count; each row has some
    that do. Raises ``BadInput`` with row and value for labels outside the range, targets that are not finite or of
    other width.
    """
    found = as_array(values, f"the labels of {name!r}")
    if found.dtype.kind in "biu":
        if found.ndim == 2 and found.shape[1] == 1:
            found = found[:, 0]
        if found.ndim not in (1, 2):
            raise BadInput(
                f"the labels of {name!r} have shape {found.shape}: give (N,) integers, (N, T) for the positions of "
                f"sequences, or (N, {classes}) floats."
            )
        counted, mend = found, f"an integer from 0 to {classes - 1}"
        if found.ndim == 2:
            counted = np.where(found == IGNORED, 0, found)
            mend += f", or {IGNORED} at a position that does not count"
            if (found == IGNORED).all(1).any():
                row = int(np.argmax((found == IGNORED).all(1)))
                raise BadInput(f"the labels of {name!r} have no position that counts in row {row}: leave that row out.")
        _within(counted, 0, classes - 1, f"the labels of {name!r}", mend)
        return found.astype(np.int32)
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2 or found.shape[1] != classes:
        raise BadInput(
            f"the targets of {name!r} have shape {found.shape}: real targets must be (N, {classes}), one column per "
            "output; for class labels give integers."
        )
    _finite(found, f"the targets of {name!r}")
    return found


def _finite(values: Array, what: str) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        place = tuple(np.argwhere(~np.isfinite(values))[0].tolist())
        at = f"row {place[0]}" + (f", column {', '.join(map(str, place[1:]))}" if len(place) > 1 else "")
        raise BadInput(f"{what} hold {values[place]} in {at}: every number must be finite; mend or leave out that row.")


def _within(values: Array, low: int, high: int, what: str, range_: str) -> None:
    wrong = (values < low) | (values > high)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        raise BadInput(f"{what} hold {values[place]} in row {place[0]}: each must be {range_}.")


def class_count(classes: Any, name: str) -> int:
    """Return the number of outputs K as an integer >= 1. Raises ``BadInput``."""
    whole = isinstance(classes, int | np.integer) and not isinstance(classes, bool)
    if not whole or not 1 <= classes < 2**31:
        raise BadInput(f"classes of {name!r} is {classes!r}: it must be a whole number of at least 1, the outputs.")
    return int(classes)


def checked(draw: Draw, classes: int, name: str) -> Draw:
    """Return what a task drew as the ensemble takes it: arrays of the documented types, every number in its range.

    Raises ``BadInput`` with row and value: inputs, labels, truth as above; an empty train or test
    set; rows that do not exist or are named twice; weights that are negative, not finite, or zero on all training rows.
    """
    inputs = inputs_of(draw.inputs, name)
    labels, truth = (targets_of(part, classes, name) for part in (draw.labels, draw.truth))
    count = len(inputs)
    if not len(labels) == len(truth) == count:
        raise BadInput(
            f"{name!r} drew {count} inputs, {len(labels)} labels and {len(truth)} true labels: give one per row."
        )
    train, test = (rows_of(getattr(draw, part), count, part, name) for part in ("train", "test"))
    for rows, part in ((train, "train"), (test, "test")):
        if len(rows) == 0:
            raise BadInput(f"{name!r} leaves a member no rows to {part} on, of {count}: change its train fraction.")
    weights = as_array(draw.weights, f"the weights of {name!r}").astype(np.float64)
    if weights.shape != (count,):
        raise BadInput(f"the weights of {name!r} have shape {weights.shape}: give one number per row, ({count},).")
    _finite(weights, f"the weights of {name!r}")
    if weights.min() < 0 or weights[train].sum() <= 0:
        raise BadInput(f"the weights of {name!r} must not be negative, and some training row must have one above 0.")
    corrupted = rows_of(draw.corrupted, count, "corrupted", name)
    return replace(
        draw, inputs=inputs, labels=labels, truth=truth, train=train, test=test, weights=weights, corrupted=corrupted
    )


def rows_of(values: Any, count: int, part: str, name: str) -> Array:
    """Return row numbers (n,) int32 of ``count`` rows, from numbers or booleans (N,). Raises ``BadInput``."""
    found = as_array(values, f"the {part} rows of {name!r}")
    if found.dtype == np.bool_ and found.shape == (count,):
        found = np.flatnonzero(found)
    if found.size and (found.ndim != 1 or found.dtype.kind not in "iu"):
        raise BadInput(f"the {part} rows of {name!r} are {found.dtype} {found.shape}: give row numbers (n,), integers.")
    found = found.ravel().astype(np.int32)
    _within(found, 0, count - 1, f"the {part} rows of {name!r}", f"a row from 0 to {count - 1}")
    if not (np.diff(found) > 0).all() and len(np.unique(found)) != len(found):
        raise BadInput(f"the {part} rows of {name!r} name a row twice: give each row once.")
    return found
