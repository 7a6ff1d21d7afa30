"""What a piece of compiled Python is, and what it names: read off the code object, so it is what really runs."""

from __future__ import annotations

import dis
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

Path = tuple[str, ...]


def constant(value: Any) -> str:
    """Return a text that differs for different constants of a code object, the same in every process."""
    if isinstance(value, CodeType):
        return f"code {digest(value).hex()}"
    if isinstance(value, tuple):
        return f"({','.join(constant(part) for part in value)})"
    if isinstance(value, frozenset):  # its order is another one in every process
        return f"set({','.join(sorted(constant(part) for part in value))})"
    return f"{type(value).__name__} {value!r}"


@lru_cache(maxsize=100_000)
def digest(code: CodeType) -> bytes:
    """Return a hash of what the code does: its instructions, constants and names, not its lines or its file."""
    parts = (
        code.co_name, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags,
        code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_code.hex(),
        code.co_exceptiontable.hex(),
    )  # fmt: skip
    total = hashlib.blake2b(repr(parts).encode(), digest_size=16)
    for value in code.co_consts:
        total.update(b"\0" + constant(value).encode())
    return total.digest()


@lru_cache(maxsize=100_000)
def named(code: CodeType) -> tuple[Path, ...]:
    """Return the globals that the code and the functions inside it name, each with the attributes asked of it.

    ``np.linalg.norm(x) * scale`` gives ("np", "linalg", "norm") and ("scale",).
    """
    found = dict.fromkeys(_named(code))
    for value in code.co_consts:
        if isinstance(value, CodeType):
            found |= dict.fromkeys(named(value))
    return tuple(found)


def _named(code: CodeType) -> Iterator[Path]:
    path: list[str] = []
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_ATTR", "LOAD_METHOD") and path:
            path.append(str(step.argval))
            continue
        if step.opname in ("CACHE", "EXTENDED_ARG", "PRECALL", "PUSH_NULL", "NOP"):
            continue
        if path:
            yield tuple(path)
            path = []
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            path = [str(step.argval)]
    if path:
        yield tuple(path)


@lru_cache(maxsize=100_000)
def imported(code: CodeType) -> tuple[tuple[str, Path], ...]:
    """Return the modules that the code imports while it runs, each with the names taken from it."""
    found: dict[tuple[str, Path], None] = {}
    module, names = "", []
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_FROM":
            names.append(str(step.argval))
            continue
        if module and step.opname == "IMPORT_NAME":
            found[module, tuple(names)] = None
        if step.opname == "IMPORT_NAME":
            module, names = str(step.argval), []
    if module:
        found[module, tuple(names)] = None
    for value in code.co_consts:
        if isinstance(value, CodeType):
            found |= dict.fromkeys(imported(value))
    return tuple(found)
