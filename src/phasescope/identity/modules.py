"""What code reaches through modules: their names, parts of them that are loaded later, what an import would bring.

A module is told by what it holds now. One that is not loaded yet, a library's or the user's, is loaded first, as the
code would when it runs: a run that loads it on its way must find what an earlier one kept. What can not be loaded is
told by its file and the files that this imports, read and not run. What no reading can follow (``eval``, ``globals()``,
modules by computed names) is refused.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import inspect
import os
import pkgutil
import pydoc
import runpy
import sys
import types
from functools import lru_cache
from pathlib import Path
from typing import Any

from phasescope.identity import code as codes
from phasescope.identity.objects import Untold, Walk, hashed, token
from phasescope.identity.origins import NAME, Origin, origin_of_file, origin_of_module

# torch's own operators; what another one does is registered elsewhere, and may be replaced
_OPERATORS = {"aten", "prim", "prims", "quantized", "mkldnn", "mkl", "onednn", "profiler", "rngprims", "higher_order"}
_SHELL = {"environ", "getenv"}
_HIDDEN_NAMES = {"eval", "exec", "globals", "__import__"}
_HIDDEN = (
    builtins.eval, builtins.exec, builtins.globals, builtins.__import__, importlib.import_module, importlib.__import__,
    importlib.util.spec_from_file_location, importlib.machinery.SourceFileLoader, runpy.run_path, runpy.run_module,
    pydoc.locate, pydoc.safeimport, pkgutil.resolve_name, inspect.currentframe, inspect.stack,
    getattr(sys, "_getframe", None),
)  # fmt: skip


class Hidden(Untold):
    """What leads to other code in a way that no reading can follow."""


def refuse_hidden(value: Any) -> None:
    """Raise ``Hidden`` for a function or table that leads to whatever code or global its argument names."""
    if any(value is hidden for hidden in _HIDDEN) or value is sys.modules:
        name = "`sys.modules`" if value is sys.modules else f"`{value.__name__}`"
        raise Hidden(
            f"{name}, which leads to whatever it is asked for", "name the value, or import its module, instead"
        )


def refuse_blind(code: types.CodeType) -> None:
    """Raise ``Hidden`` for code that asks for all subclasses of a class or for another function's globals."""
    if found := codes.blind_spots(code):
        raise Hidden(f"code that asks for `{found[0]}`", "name what it leads to, or keep it in a dictionary, instead")


def named(walk: Walk, f: types.FunctionType, path: codes.Path) -> bytes:
    """Return the hash of a global that a function names, by the last thing that is no module."""
    builtin = f.__globals__.get("__builtins__", {})
    builtin = builtin if isinstance(builtin, dict) else vars(builtin)
    missing = object()
    value = f.__globals__.get(path[0], builtin.get(path[0], missing))
    if value is missing:
        return hashed("undefined", path[0].encode())
    return reached(walk, value, path, f"`{path[0]}`, which `{f.__qualname__}` uses,")


def of_the_shell(code: types.CodeType) -> list[bytes]:
    """Return the hash of the shell's variables that code asks for by names which stand in it; of other code nothing."""
    words = codes.words(code)
    if not words & _SHELL:
        return []
    return [hashed("shell", repr([(name, os.environ[name]) for name in sorted(words) if name in os.environ]).encode())]


def reached(walk: Walk, value: Any, path: codes.Path, place: str) -> bytes:
    """Return the hash of what a path of names leads to from ``value`` on, which is what its first name means."""
    told, home, taken = b"", "", 1
    for name in path[1:]:
        if not isinstance(value, types.ModuleType):
            break
        home, taken = value.__name__, taken + 1
        if operators(value):
            return _operator(value, path[taken - 1 :])
        if name in vars(value):
            value = vars(value)[name]
        elif home.split(".")[0] == NAME:
            value = getattr(value, name, None)
        elif origin_of_module(home) is Origin.LIBRARY:
            try:
                value = getattr(value, name)  # many load a part when it is first asked for, and hold it from then on
            except (AttributeError, ImportError):
                return hashed("name", ".".join(path[:taken]).encode()) + token(Origin.LIBRARY, home, name)
        else:
            more, value = _absent(walk, value, name)
            told += more
    told += hashed("name", ".".join(path[:taken]).encode())
    if not isinstance(value, types.ModuleType) and home and origin_of_module(home) is Origin.LIBRARY:
        return told + _of_a_library(walk, value, home, path[taken - 1], place)
    return told + walk.of(value, "" if isinstance(value, types.ModuleType) else place)


def _of_a_library(walk: Walk, value: Any, home: str, name: str, place: str) -> bytes:
    """Return the hash of what stands in a library's module, which may be something that the user put there."""
    refuse_hidden(value)
    if value is os.environ:  # what is asked of it by name is told with the code that asks
        return token(Origin.LIBRARY, home, name)
    try:
        return walk.of(value, place)
    except Hidden:
        raise
    except Untold:
        # what is alive there, such as ``sys.stdout``, is the library's own
        if isinstance(value, types.FunctionType) or origin_of_module(str(type(value).__module__)) is Origin.USER:
            raise
        return token(Origin.LIBRARY, home, name)


def _absent(walk: Walk, module: types.ModuleType, name: str) -> tuple[bytes, Any]:
    """Return a hash and the value of a name that a user's module does not hold: it makes it, or it is a file's."""
    rule = vars(module).get("__getattr__")
    if rule is not None or type(module) is not types.ModuleType:
        try:
            value = getattr(module, name)
        except (AttributeError, LookupError, ImportError):
            value = None
        try:
            return hashed("made", walk.of(rule)), value
        except Untold:  # it may import by a computed name: what comes of it is told by itself
            return hashed("made", codes.digest(rule.__code__) if isinstance(rule, types.FunctionType) else b""), value
    return _unloaded(walk, f"{module.__name__}.{name}", ()), None


def module_hash(walk: Walk, module: types.ModuleType) -> bytes:
    """Return the hash of a module that is named as a whole: of the user's, all that it holds."""
    if operators(module):
        return _operator(module, ())
    origin = origin_of_module(module.__name__)
    if origin is not Origin.USER:
        return token(origin, module.__name__, "")
    held = {k: v for k, v in vars(module).items() if k == "__getattr__" or not (k[:2] == "__" and k[-2:] == "__")}
    parts = [reached(walk, v, (k,), f"`{k}` of {module.__name__}") for k, v in sorted(held.items())]
    if type(module) is not types.ModuleType:
        parts.append(walk.of(type(module)))
    return hashed("module", module.__name__.encode(), *parts)


# -- operators ---------------------------------------------------------------------------------------------------------


def operators(module: types.ModuleType) -> bool:
    """Return whether a module is ``torch.ops`` or a part of it."""
    return type(module).__module__ == "torch._ops"


def refuse_operator(namespace: str) -> None:
    """Raise ``Hidden`` for an operator outside torch's own namespaces."""
    if namespace not in _OPERATORS:
        what = f"an operator of `torch.ops.{namespace}`, whose code is registered elsewhere"
        raise Hidden(what, "call the Python function that it was made from")


def _operator(module: types.ModuleType, names: codes.Path) -> bytes:
    full = (*module.__name__.split("."), *names)
    refuse_operator(full[2] if len(full) > 2 else "*")
    return token(Origin.LIBRARY, "torch", ".".join(full))


# -- imports -----------------------------------------------------------------------------------------------------------


def imported(walk: Walk, package: str, what: codes.Import) -> bytes:
    """Return the hash of what an import in a function, or in a file that is not loaded, brings."""
    level, name, names = what
    try:
        name = importlib.util.resolve_name("." * level + name, package)
    except ImportError:
        return hashed("not there", name.encode())
    if _not_of_the_house(name):
        for whole in (name, *(f"{name}.{part}" for part in names if part != "*")):
            _load(whole)
    if name not in sys.modules:
        return hashed("imports", _unloaded(walk, name, names))
    if names and names != ("*",):
        home = sys.modules[name]
        return hashed("imports", *(reached(walk, home, (name, part), f"`{part}` of {name}") for part in names))
    # ``import a.b`` brings ``a``
    return hashed("imports", *(walk.of(sys.modules[whole]) for whole in {name: 0, name.split(".")[0]: 0}))


def _not_of_the_house(name: str) -> bool:
    """Return whether a module, loaded or not, is a library's or a user's: known by the file of its topmost package."""
    top = name.split(".")[0]
    if top in sys.modules:
        return origin_of_module(top) is not Origin.HOUSE
    file = _found(top, [])[0]
    return file is not None and origin_of_file(file) is not Origin.HOUSE


def _load(name: str) -> None:
    """Load a module as the function that imports it will: one that runs by and by is told the same before and after.

    What is not there, or can not be loaded here, stays unloaded in every process alike, and is told by its files.
    """
    home, _, part = name.rpartition(".")
    if name in sys.modules or hasattr(sys.modules.get(home), part):
        return
    try:
        importlib.import_module(name)
    except (Exception, SystemExit):  # it fails again, and is heard, where the function is called
        return


def package_of(space: dict[str, Any]) -> str:
    """Return the package that a function's relative imports begin from, by its globals."""
    package = space.get("__package__")
    name = str(space.get("__name__", ""))
    return str(package) if package else name if "__path__" in space else name.rpartition(".")[0]


def _unloaded(walk: Walk, name: str, names: codes.Path) -> bytes:
    """Return the hash of the files that importing ``name``, and parts of it, would run."""
    parts: list[bytes] = []
    folders: list[str] = []
    whole = ""
    for part in name.split("."):
        whole = f"{whole}.{part}".lstrip(".")
        if whole in sys.modules:
            folders = list(vars(sys.modules[whole]).get("__path__", ()))
            continue
        file, folders = _found(whole, folders)
        if file is None and not folders:
            return hashed("not there", whole.encode())
        parts.append(_file(walk, whole, file, bool(folders)))
    for part in names:
        file, inner = _found(f"{name}.{part}", folders)
        if file is not None and f"{name}.{part}" not in sys.modules:
            parts.append(_file(walk, f"{name}.{part}", file, bool(inner)))
    return hashed("files", *parts)


def _found(name: str, folders: list[str]) -> tuple[str | None, list[str]]:
    """Return the file of a module that is not loaded and, of a package, the folders of its parts."""
    package, _, last = name.rpartition(".")
    if not package:
        spec = importlib.util.find_spec(name) if name not in sys.modules else None
        return (None, []) if spec is None else (spec.origin or None, list(spec.submodule_search_locations or ()))
    for folder in map(Path, folders):
        if (folder / last / "__init__.py").is_file():
            return str(folder / last / "__init__.py"), [str(folder / last)]
        for suffix in (*importlib.machinery.EXTENSION_SUFFIXES, *importlib.machinery.SOURCE_SUFFIXES):
            if (folder / f"{last}{suffix}").is_file():
                return str(folder / f"{last}{suffix}"), []
    return None, [str(Path(folder) / last) for folder in folders if (Path(folder) / last).is_dir()]


def _file(walk: Walk, name: str, file: str | None, package: bool) -> bytes:
    """Return the hash of a file that is not loaded, and of what it imports."""
    if file is None or not Path(file).is_file() or origin_of_file(file) is Origin.LIBRARY:
        return token(Origin.LIBRARY, name, "")
    if origin_of_file(file) is Origin.HOUSE:
        return token(Origin.HOUSE, name, "")
    if name in walk.read:
        return hashed("read", name.encode())
    walk.read.add(name)
    state = Path(file).stat()
    content, code = _compiled(file, state.st_mtime_ns, state.st_size)
    if code is None:
        return hashed("file", name.encode(), content)
    if hidden := {path[0] for path in codes.named(code)} & _HIDDEN_NAMES or codes.words(code) & {"import_module"}:
        raise Hidden(f"`{min(hidden)}`, which {name} calls", "name the value, or import its module, instead")
    refuse_blind(code)
    home = name if package else name.rpartition(".")[0]
    parts = [imported(walk, home, what) for what in codes.imported(code)]
    return hashed("file", name.encode(), content, *parts)


@lru_cache(maxsize=1000)
def _compiled(file: str, _changed: int, _size: int) -> tuple[bytes, types.CodeType | None]:
    content = Path(file).read_bytes()
    if not file.endswith(".py"):
        return content, None
    try:
        return content, importlib.machinery.SourceFileLoader("unloaded", file).source_to_code(content, file)
    except (SyntaxError, ValueError):  # importing it would fail, too
        return content, None
