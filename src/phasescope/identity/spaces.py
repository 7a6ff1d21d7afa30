"""What stands in a library's or the house's classes and modules: what they came with, and what the user put there."""

from __future__ import annotations

import functools
import hashlib
import operator
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

from phasescope.identity.code import spelled
from phasescope.identity.origins import Origin, origin_of, origin_of_module

PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, type(...), type(NotImplemented), range)


@dataclass(frozen=True)
class Space:
    """``told``: the hash of what can not change in itself. ``own``: functions and objects of the user's, by name.

    ``kept``: other objects, which may be changed in place, by name.
    """

    told: bytes
    own: list[tuple[str, Any]]
    kept: list[tuple[str, Any]]


def patches(base: Any) -> list[tuple[str, Any]]:
    """Return the user's functions and objects that were put into a class or module of a library's, by name."""
    return space(base).own


_seen: dict[Any, tuple[list[Any], Space]] = {}


def space(base: Any) -> Space:
    """Return what stands in a class or module of a library or of the house; read anew only where a value is another."""
    now, before = vars(base), _seen.get(base)
    if before is None or len(before[0]) != len(now) or not all(map(operator.is_, now.values(), before[0])):
        held = {name: _original(value) for name, value in now.items() if not _added(base, name, value)}
        before = _seen[base] = (list(now.values()), read_space(held, str(getattr(base, "__module__", ""))))
    return before[1]


def read_space(held: dict[str, Any], home: str = "") -> Space:
    """Return what stands in a namespace of a library's, a class of the module ``home`` or a module itself."""
    own, kept, told = [], [], hashlib.blake2b(digest_size=16)
    for name, value in sorted(held.items()):
        if name.startswith(("_abc_", "__")) and not callable(value):
            continue  # where Python and its helpers keep what they know
        if of_the_user(value):
            own.append((name, value))
        elif isinstance(value, ModuleType):
            continue  # a part of a library that may be loaded or not
        elif not (type(value) in PLAIN or _is_code(value) or _is_its_own(value, home)):
            kept.append((name, value))
        else:
            told.update(f"{name} {what(value)}\0".encode("utf-8", "surrogatepass"))
    return Space(told.digest(), own, kept)


def _original(value: Any) -> Any:
    """Return the method that torch's compiler, once it was used, has wrapped to hear of new networks; or ``value``."""
    if isinstance(value, FunctionType) and value.__module__ == "torch._dynamo.mutation_guard":
        return next((inner for inner in map(cell_of, value.__closure__ or ()) if callable(inner)), value)
    return value


def _added(base: Any, name: str, value: Any) -> bool:
    """Return whether another library put a method of its own into a class, under a name that the class does not know.

    transformers does so to ``nn.Module`` when it makes a model. A method that stands for one of the class's is no such.
    """
    if not (isinstance(base, type) and isinstance(value, FunctionType)) or name.startswith("_"):
        return False
    tops = {value.__module__.split(".")[0], str(base.__module__).split(".")[0]}
    if len(tops) == 1 or origin_of(value) is not Origin.LIBRARY:
        return False
    above = base.__mro__[1:]
    return not any(name in vars(one) for one in above) and not any(
        name in _words(one.__module__) for one in (base, *above)
    )


@functools.cache
def _words(module: str) -> frozenset[str]:
    """Return the words in a module's file; none where there is no file to read."""
    try:
        return frozenset(re.findall(r"\w+", Path(str(sys.modules[module].__file__)).read_text("utf-8")))
    except (KeyError, AttributeError, OSError, UnicodeDecodeError):
        return frozenset()


def _is_code(value: Any) -> bool:
    code = (FunctionType, BuiltinFunctionType, staticmethod, classmethod, property, type)
    return isinstance(value, code) or type(value).__name__.endswith(("descriptor", "cython_function_or_method"))


def _is_its_own(value: Any, home: str) -> bool:
    """Return whether an object is a helper of the library's own, as its descriptors are, and holds no numbers."""
    own = type(value).__module__.split(".")[0] == home.split(".")[0] != "builtins"
    return own and not any(hasattr(value, name) for name in ("detach", "parameters", "__array__"))


def what(value: Any) -> str:
    """Return what an object of a library's is called at home: another one put in its place has another name."""
    if type(value) in PLAIN:
        return f"{type(value).__name__} {spelled(value)}"
    inner = getattr(value, "__func__", value)
    names = (getattr(inner, name, "") for name in ("__module__", "__qualname__", "__name__"))
    line = inner.__code__.co_firstlineno if isinstance(inner, FunctionType) else 0
    return " ".join(str(part) for part in (type(value).__name__, *names, line))


def of_the_user(value: Any, depth: int = 3) -> bool:
    """Return whether an object that was found in a library's namespace is the user's, or holds what is."""
    inner = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    if isinstance(inner, FunctionType):
        if origin_of(inner) is Origin.USER and not _generated(inner):
            return True
        cells = [cell_of(cell) for cell in inner.__closure__ or ()]
        return depth > 0 and any(of_the_user(cell, depth - 1) for cell in cells if callable(cell))
    if isinstance(inner, property):
        return any(of_the_user(f, depth) for f in (inner.fget, inner.fset) if f is not None)
    if isinstance(inner, functools.partial | functools.partialmethod | np.ndarray):
        return True
    return origin_of(inner if isinstance(inner, type) else type(inner)) is Origin.USER


def cell_of(cell: Any) -> Any:
    """Return what a closure's cell holds."""
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return "(empty cell)"


def _generated(function: FunctionType) -> bool:
    # made by exec, as the methods of dataclasses are: whose it is can not be read off a file
    return function.__code__.co_filename.startswith("<") and origin_of_module(function.__module__) is not Origin.USER
