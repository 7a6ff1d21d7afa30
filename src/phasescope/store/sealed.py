"""What is in a file: arrays, identity and facts under one checksum, as an ordinary safetensors file.

The metadata has one entry, ``phasescope``: canonical JSON ``{"checksum", "facts", "identity"}``. The checksum
is the SHA-256 of ``{"arrays": [[name, dtype, shape], ...], "facts", "identity"}`` in canonical JSON followed
by the bytes of the arrays in the order of their names. Equal content gives equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from phasescope.store.canonical import dump, plain, restore
from phasescope.vocabulary import Array, BadInput

KEY = "phasescope"


class Damaged(Exception):
    """A sealed file that was cut, altered, or is no sealed file at all."""


def seal(identity: Mapping[str, Any], arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> bytes:
    """Return the bytes of a sealed file.

    Raises ``BadInput`` for an array that is not bool, integer or float of at most 64 bits, for an array's
    name that is no string, and for an identity or facts that are no plain nested data (facts may hold NaN).
    """
    stored = {_name(name): _storable(name, array) for name, array in arrays.items()}
    texts = {"identity": plain(identity, "identity"), "facts": plain(facts, "facts", nan=True)}
    document = dump({"checksum": _checksum(stored, texts), **texts})
    return safetensors.numpy.save(stored, metadata={KEY: document})


def unseal(blob: bytes) -> tuple[dict[str, Any], dict[str, Array], dict[str, Any]]:
    """Return identity, arrays (same bits, writable) and facts, or raise ``Damaged``."""
    try:
        arrays = dict(sorted(safetensors.numpy.load(blob).items()))  # they come in any order
        header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
        document = json.loads(header["__metadata__"][KEY])
        texts = {"identity": document["identity"], "facts": document["facts"]}
        intact = _checksum(arrays, texts) == document["checksum"]
    except Exception as error:  # whatever a damaged file does to its parsers
        raise Damaged(f"not a whole sealed file: {error}") from error
    if not intact:
        raise Damaged("the checksum does not fit the content")
    return restore(texts["identity"]), arrays, restore(texts["facts"])


def _checksum(arrays: Mapping[str, Array], texts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of everything a sealed file says."""
    names = sorted(arrays)
    shapes = [[name, arrays[name].dtype.name, list(arrays[name].shape)] for name in names]
    digest = hashlib.sha256(dump({"arrays": shapes, **texts}).encode("ascii"))
    for name in names:
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _name(name: Any) -> str:
    """Return the name of an array, or refuse it."""
    if not isinstance(name, str) or name == "__metadata__" or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise BadInput(f"an array is named {name!r}: give a string of valid characters other than '__metadata__'.")
    return str.__str__(name)


def _storable(name: str, array: Any) -> Array:
    """Return the array contiguous and little-endian, as safetensors needs it, in its own shape."""
    values = np.asarray(array)
    if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        raise BadInput(f"array {name!r} has dtype {values.dtype}: give bool, integers or floats of at most 64 bits.")
    return np.asarray(values, dtype=values.dtype.newbyteorder("<"), order="C")
