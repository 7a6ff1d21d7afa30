"""What an object knows: its attributes, how it would be made again, and whose its class is."""

from __future__ import annotations

import copyreg
import functools
import hashlib
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from phasescope.identity.origins import Origin, house_fingerprint, origin_of, origin_of_module, version


class Untold(Exception):
    """Something that can not be fingerprinted; where it stands is added on the way up."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.what, self.mend, self.places = what, mend, list[str]()


class Walk(Protocol):
    """The walk over things, as the rules for some of them see it.

    ``known`` are hashes of arrays by their identity, ``read`` the modules that are told by their files, ``storages``
    in what order memory of tensors was met.
    """

    known: dict[int, tuple[Any, bytes]]
    read: set[str]
    storages: dict[int, int]

    def of(self, value: Any, place: str = "") -> bytes:
        """Return the hash of ``value``, which a sentence names by ``place``."""

    def pairs(self, held: Mapping[Any, Any], place: str = ".{}", spared: bool = False) -> list[bytes]:
        """Return the hashes of values by names."""


def hashed(tag: str, *parts: bytes) -> bytes:
    """Return one hash (16 bytes) of a tag and of parts, each with its length, so that no two lists of parts meet."""
    total = hashlib.blake2b(tag.encode(), digest_size=16)
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.digest()


@functools.cache
def token(origin: Origin, module: str, name: str) -> bytes:
    """Return the hash that stands for code which is told by a version, or by the house's files."""
    told = house_fingerprint(module) if origin is Origin.HOUSE else version(module)
    return hashed(str(origin), module.encode(), name.encode(), told.encode())


@functools.cache
def class_token(base: type) -> bytes:
    """Return the hash that stands for a class of a library or of the house."""
    return token(origin_of(base), str(base.__module__), base.__qualname__)


# transformers' settings of generation keep Python's hash of their text there, another one in each process
_OF_A_PROCESS = {"_original_object_hash"}


def lasting(state: Any) -> Any:
    """Return a state, if it is attributes by name, without those that are others in each process."""
    if type(state) is not dict or not state.keys() & _OF_A_PROCESS:
        return state
    return {name: value for name, value in state.items() if name not in _OF_A_PROCESS}


def attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, of its dictionary and its slots, by name."""
    found = dict(getattr(value, "__dict__", {}))
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            name = f"_{base.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    kept: dict[str, Any] = lasting(dict(sorted(found.items())))
    return kept


@functools.cache
def is_plain(cls: type) -> bool:
    """Return whether all that an object of ``cls`` knows are its attributes and its content as a container."""
    # a class of a library may keep what it knows where Python does not see it, as an open file does
    known = (object, dict, list, tuple, set, frozenset, int, float, complex, str, bytes, bool)
    return all(base in known or origin_of(base) is not Origin.LIBRARY or _abstract(base) for base in cls.__mro__)


def _abstract(base: type) -> bool:
    return base.__module__ in ("typing", "abc", "collections.abc", "enum", "typing_extensions")


def reduced(value: Any) -> list[Any]:
    """Return what would make the object again, as copying it would, or raise ``Untold`` where nothing would."""
    rule = copyreg.dispatch_table.get(type(value))
    mend = "keep a plain value in its place, or give its owner a describe() that returns all that it changes"
    name = f"{type(value).__module__!s}.{type(value).__qualname__}"
    try:
        found = rule(value) if rule else value.__reduce_ex__(4)
    except RecursionError:
        raise
    except (TypeError, ValueError, RuntimeError, AttributeError):
        # how Python and libraries say that an object is alive: a file, a lock, an iterator, a connection
        raise Untold(f"a live object ({name})", mend) from None
    if isinstance(found, str):
        if not _at_home(value, found):
            mend = "call the Python function that it was made from, or keep a plain value in its place"
            raise Untold(f"an object known by its name only ({name})", mend)
        return [found]
    made, arguments, *rest = found
    state, items, pairs = (*rest, None, None, None)[:3]
    known = (
        made.__name__ in ("__newobj__", "__newobj_ex__", "_reconstructor")
        and getattr(made, "__module__", "") == "copyreg"
    )
    return [
        made.__qualname__ if known else made,
        tuple(part for part in arguments if part is not type(value)),
        lasting(state),
        list(items) if items is not None else None,
        list(pairs) if pairs is not None else None,
    ]


_homes: dict[int, tuple[Any, bool]] = {}


def _at_home(value: Any, name: str) -> bool:
    """Return whether a library's module has the object under the name that stands for it."""
    if id(value) not in _homes:
        own, kind = str(getattr(value, "__module__", "")), type(value).__module__
        places = [own, kind, kind.split(".")[0], *sys.modules]
        _homes[id(value)] = (value, any(_has(place, name, value) for place in places))
    return _homes[id(value)][1]


def _has(place: str, name: str, value: Any) -> bool:
    held = getattr(sys.modules.get(place), "__dict__", {})
    for part in name.split(".")[:-1]:
        held = getattr(held.get(part), "__dict__", {})
    return held.get(name.split(".")[-1]) is value and origin_of_module(place) is not Origin.USER
