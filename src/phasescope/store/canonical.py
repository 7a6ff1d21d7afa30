"""One text for one value: plain nested data as canonical JSON, and its hash.

Canonical JSON is ASCII, keys sorted, no white space, floats by ``repr`` (so that ``1`` and ``1.0`` differ),
tuples and numpy arrays as lists, numpy scalars as Python's. An infinity, which JSON lacks, is ``{"$float":
"inf"}``; where NaN is allowed it is ``{"$float": "nan"}``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from phasescope.vocabulary import BadInput

TAG = "$float"


def plain(value: Any, where: str, nan: bool = False) -> Any:
    """Return ``value`` as data that JSON can hold; ``where`` names it in errors.

    Raises ``BadInput`` for a NaN (unless ``nan``), a key that is no string, and anything that is not nested
    data.

    >>> plain({"a": (1, np.float64(2.0))}, "identity")
    {'a': [1, 2.0]}
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(float(value), where, nan)
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{i}]", nan) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(key, where): plain(item, f"{where}.{key}", nan) for key, item in value.items()}
    raise BadInput(f"{where} is {value!r}, a {type(value).__name__}: give numbers, strings, lists or dicts of them.")


def _number(value: float, where: str, nan: bool) -> Any:
    """Return a finite number as it is, an infinity tagged."""
    if math.isfinite(value):
        return value
    if math.isnan(value) and not nan:
        raise BadInput(f"{where} is nan, which equals nothing: give a number, or None where there is none.")
    return {TAG: repr(value)}


def _key(key: Any, where: str) -> str:
    """Return a key of nested data, or refuse it."""
    if not isinstance(key, str) or key == TAG:
        raise BadInput(f"{where} has the key {key!r}: keys must be strings other than {TAG!r}.")
    return str.__str__(key)


def dump(data: Any) -> str:
    """Return the canonical text of data that is already plain."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(value: Any, where: str = "identity", nan: bool = False) -> str:
    """Return the canonical JSON of nested data. Raises ``BadInput`` like ``plain``.

    >>> canonical({"b": (1, 2.0), "a": float("inf")})
    '{"a":{"$float":"inf"},"b":[1,2.0]}'
    """
    return dump(plain(value, where, nan))


def restore(data: Any) -> Any:
    """Undo ``plain`` on parsed JSON: tagged numbers become floats again (tuples stay lists).

    >>> restore({"a": {"$float": "-inf"}})
    {'a': -inf}
    """
    if isinstance(data, list):
        return [restore(item) for item in data]
    if not isinstance(data, dict):
        return data
    if data.keys() == {TAG}:
        return float(data[TAG])
    return {key: restore(item) for key, item in data.items()}


def address(identity: Mapping[str, Any]) -> str:
    """Return the SHA-256 (64 hex digits) of the canonical JSON of an identity: where its record is kept.

    Independent of the order of keys and of tuple or list; any other change of any leaf changes it. Raises
    ``BadInput`` for what is no plain nested data, NaN included.

    >>> address({"p": 23, "lr": 0.1}) == address({"lr": 0.1, "p": 23}) != address({"lr": 0.1, "p": 29})
    True
    """
    return hashlib.sha256(canonical(identity).encode("ascii")).hexdigest()
