"""What an object knows: its attributes, how it would be made again, and whose its class is."""

from __future__ import annotations

import copyreg
import functools
import hashlib
from typing import Any

from phasescope.identity.origins import Origin, house_fingerprint, origin_of, patched, version


class Untold(Exception):
    """Something that can not be fingerprinted; where it stands is added on the way up."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.what, self.mend, self.places = what, mend, list[str]()


def hashed(tag: str, *parts: bytes) -> bytes:
    """Return one hash (16 bytes) of a tag and of parts, each with its length, so that no two lists of parts meet."""
    total = hashlib.blake2b(tag.encode(), digest_size=16)
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.digest()


def cell_of(cell: Any) -> Any:
    """Return what a closure's cell holds."""
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return "(empty cell)"


@functools.cache
def token(origin: Origin, module: str, name: str) -> bytes:
    """Return the hash that stands for code which is told by a version, or by the house's files."""
    told = house_fingerprint(module) if origin is Origin.HOUSE else version(module)
    return hashed(str(origin), module.encode(), name.encode(), told.encode())


@functools.cache
def class_token(base: type) -> bytes:
    """Return the hash that stands for a class of a library or of the house."""
    return token(origin_of(base), str(base.__module__), base.__qualname__)


def attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, of its dictionary and its slots, by name."""
    found = dict(getattr(value, "__dict__", {}))
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            name = f"_{base.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return dict(sorted(found.items()))


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
    try:
        found = rule(value) if rule else value.__reduce_ex__(4)
    except TypeError:  # how Python says that an object is alive: a file, a lock, an iterator, a connection
        name = f"{type(value).__module__!s}.{type(value).__qualname__}"
        mend = "keep a plain value in its place, or give its owner a describe() that returns all that it changes"
        raise Untold(f"a live object ({name})", mend) from None
    if isinstance(found, str):
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
        state,
        list(items) if items is not None else None,
        list(pairs) if pairs is not None else None,
    ]


_seen_patches: dict[Any, tuple[tuple[int, ...], list[Any], list[tuple[str, Any]]]] = {}


def patches(base: Any) -> list[tuple[str, Any]]:
    """Return the user's functions that were put into a class or module of a library or of the house, by name."""
    now = tuple(map(id, vars(base).values()))
    before = _seen_patches.get(base)
    if before is None or before[0] != now:
        # the values are kept beside their identities, so that no other object can take one over
        found = sorted(patched(vars(base)), key=lambda pair: pair[0])
        before = _seen_patches[base] = (now, list(vars(base).values()), found)
    return before[2]
