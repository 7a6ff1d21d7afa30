"""What a piece of compiled Python is, and what it names: read off the code object, so it is what really runs."""

from __future__ import annotations

import dis
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

Path = tuple[str, ...]
Import = tuple[int, str, Path]


def constant(value: Any) -> str:
    """Return a text that differs for different constants of a code object, the same in every process."""
    if isinstance(value, CodeType):
        return f"code {digest(value).hex()}"
    if isinstance(value, tuple):
        return f"({','.join(constant(part) for part in value)})"
    if isinstance(value, frozenset):  # its order is another one in every process
        return f"set({','.join(sorted(constant(part) for part in value))})"
    return f"{type(value).__name__} {spelled(value)}"


def spelled(value: Any) -> str:
    """Return the text of a plain value, or of a list of them; of integers that Python does not write, in base 16."""
    try:
        return repr(value)
    except ValueError:
        if isinstance(value, list | tuple):
            return f"{type(value).__name__}({','.join(map(spelled, value))})"
        return hex(value)


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


def _steps(code: CodeType) -> Iterator[dis.Instruction]:
    # dis writes every constant out, which Python refuses for integers of many digits
    return dis.get_instructions(code.replace(co_consts=tuple(c if _short(c) else 0 for c in code.co_consts)))


def _short(value: Any) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(map(_short, value))
    return not isinstance(value, int) or value.bit_length() < 2000


def _named(code: CodeType) -> Iterator[Path]:
    path: list[str] = []
    for step in _steps(code):
        if step.opname in ("LOAD_ATTR", "LOAD_METHOD") and path:
            path.append(str(step.argval))
            continue
        if step.opname in ("CACHE", "EXTENDED_ARG", "PRECALL", "PUSH_NULL", "NOP"):
            continue
        if path:
            yield tuple(path)
            path = []
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            path = [str(step.argval)]
    if path:
        yield tuple(path)


@lru_cache(maxsize=100_000)
def imported(code: CodeType) -> tuple[Import, ...]:
    """Return what the code imports while it runs: dots before the module's name, the name, the names taken from it.

    ``from ..lab import GAIN`` gives (2, "lab", ("GAIN",)), ``import a.b`` (0, "a.b", ()).
    """
    found: dict[Import, None] = {}
    constants: list[Any] = []  # the dots and the names are the two constants put down before
    for step in _steps(code):
        if step.opname == "IMPORT_NAME":
            level, names = constants[-2:]
            found[int(level), str(step.argval or ""), tuple(names or ())] = None
        if step.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            constants.append(step.argval)
    for value in code.co_consts:
        if isinstance(value, CodeType):
            found |= dict.fromkeys(imported(value))
    return tuple(found)


# what these lead to depends on what else has been defined or called
_BLIND = {"__subclasses__", "__globals__", "f_globals", "f_locals", "f_back", "__builtins__"}


@lru_cache(maxsize=100_000)
def blind_spots(code: CodeType) -> tuple[str, ...]:
    """Return the attributes that code asks for whose answer is seen in no code: all subclasses, another's globals."""
    return tuple(sorted(_BLIND & words(code)))


@lru_cache(maxsize=100_000)
def words(code: CodeType) -> frozenset[str]:
    """Return all names and texts in the code and in the functions inside it."""
    texts = {value for value in code.co_consts if isinstance(value, str)}
    inner = [words(value) for value in code.co_consts if isinstance(value, CodeType)]
    return frozenset(texts.union(code.co_names, *inner))
