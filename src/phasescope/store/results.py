"""A data set as arrays and plain structure, and back: what was saved is identical to what is loaded.

Numbers travel as arrays. Strings (numpy's, object arrays of ``str``), dimensions and attributes travel as
JSON; in attributes, tuples and arrays come back as lists. xarray is imported when first needed, for it takes
a second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from phasescope.store.canonical import TAG, plain
from phasescope.vocabulary import Array, BadInput

if TYPE_CHECKING:
    import xarray as xr

IDENTITY = {"what": "results"}


def pack(data: xr.Dataset) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the numbers of a data set as arrays, and all else as plain data.

    Raises ``BadInput`` for values that are neither numbers, booleans nor strings, for names that are no
    strings, and for indexes other than the plain ones of a dimension's own coordinate.
    """
    _check_indexes(data)
    arrays, variables = {}, []
    for name, variable in data.variables.items():
        values = np.asarray(variable.values)
        description = {
            "name": _text(name, "a variable"),
            "dims": [_text(dim, f"a dimension of {name!r}") for dim in variable.dims],
            "attrs": _attributes(variable.attrs, repr(name)),
            "coordinate": name in data.coords,
        }
        if values.dtype.kind in "UOT":
            description |= _strings(str(name), values)
        else:
            arrays[str(name)] = values
        variables.append(description)
    indexed = [str(name) for name in data.xindexes]
    return arrays, {"attrs": _attributes(data.attrs, "data"), "variables": variables, "indexed": indexed}


def unpack(arrays: Mapping[str, Array], structure: Mapping[str, Any]) -> xr.Dataset:
    """Return the data set that ``pack`` took apart."""
    import xarray as xr

    groups: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for description in structure["variables"]:
        name = description["name"]
        values = arrays[name] if name in arrays else _from_strings(description)
        groups[description["coordinate"]][name] = (description["dims"], values, description["attrs"])
    data = xr.Dataset(groups[False], coords=groups[True], attrs=structure["attrs"])
    return data.drop_indexes([name for name in data.xindexes if name not in structure["indexed"]])


def for_the_eye(verdicts: list[dict[str, Any]], provenance: dict[str, Any]) -> bytes:
    """Return verdicts and provenance as indented JSON; what JSON lacks (nan, inf) is null."""
    document = {
        "verdicts": plain(verdicts, "verdicts", nan=True),
        "provenance": plain(provenance, "provenance", nan=True),
    }
    return (json.dumps(_without_tags(document), indent=2, ensure_ascii=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def _without_tags(data: Any) -> Any:
    """Return plain data with every tagged number as None."""
    if isinstance(data, list):
        return [_without_tags(item) for item in data]
    if isinstance(data, dict):
        return None if data.keys() == {TAG} else {key: _without_tags(item) for key, item in data.items()}
    return data


def _check_indexes(data: xr.Dataset) -> None:
    """Refuse indexes that a list of names can not bring back."""
    for name, index in data.xindexes.items():
        if name not in data.dims or type(index).__name__ == "PandasMultiIndex":
            raise BadInput(f"coordinate {name!r} has a {type(index).__name__}: use reset_index or drop_indexes first.")


def _strings(name: str, values: Array) -> dict[str, Any]:
    """Return an array of strings as plain data."""
    items = values.ravel().tolist()
    strange = next((item for item in items if type(item) is not str), None)
    if strange is not None:
        raise BadInput(f"variable {name!r} holds {strange!r}: give numbers, booleans or strings only.")
    dtype = values.dtype.str if values.dtype.kind == "U" else values.dtype.kind
    return {"strings": items, "shape": list(values.shape), "dtype": dtype}


def _from_strings(description: Mapping[str, Any]) -> Array:
    """Return the array of strings that ``_strings`` took apart."""
    dtype = description["dtype"]
    chosen: Any = np.dtypes.StringDType() if dtype == "T" else np.dtype(dtype)
    values: Array = np.array(description["strings"], dtype=chosen).reshape(description["shape"])
    return values


def _attributes(attrs: Mapping[Any, Any], where: str) -> Any:
    """Return attributes as they are, or refuse what is no nested data."""
    plain(dict(attrs), f"the attributes of {where}", nan=True)
    return dict(attrs)


def _text(name: Any, where: str) -> str:
    """Return a name of the data set, or refuse it."""
    if not isinstance(name, str):
        raise BadInput(f"{where} is named {name!r}: names must be strings.")
    return name
