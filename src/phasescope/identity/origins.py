"""Whose code it is: a library's (told by its version), the house's (by the files it imports), or the user's."""

from __future__ import annotations

import ast
import hashlib
import platform
import site
import sys
import sysconfig
from enum import StrEnum
from functools import cache
from importlib import metadata
from pathlib import Path
from types import FunctionType
from typing import Any

HOUSE = Path(__file__).resolve().parent.parent
NAME = HOUSE.name
_PATHS = sysconfig.get_paths()
# system-wide packages too: a virtual environment may see them
_INSTALLED = [_PATHS[kind] for kind in ("purelib", "platlib", "stdlib", "platstdlib")]
# and those that PYTHONPATH names, as clusters do
_NAMED = [at for at in sys.path if Path(at).name in ("site-packages", "dist-packages")]
_ALL = (*_INSTALLED, *site.getsitepackages(), site.getusersitepackages(), *_NAMED)
_LIBRARIES = tuple({str(Path(at).resolve()) + "/" for at in _ALL})


# a class that one of these made for somebody may say that it is at home there
_MAKERS = {"types", "dataclasses", "collections", "typing", "enum"}


class Origin(StrEnum):
    """Whose a piece of code is."""

    LIBRARY = "library"
    HOUSE = "house"
    USER = "user"


@cache
def origin_of_file(filename: str) -> Origin | None:
    """Return whose the code of a file is; None for code that is in no file (``<string>``, a notebook's cell)."""
    if filename.startswith("<frozen"):
        return Origin.LIBRARY
    if filename.startswith("<"):
        return None
    path = Path(filename).resolve()
    if path.is_relative_to(HOUSE):
        return Origin.HOUSE
    # an editable install and a script stand elsewhere; what lies among the installed packages is known by its version
    return Origin.LIBRARY if str(path).startswith(_LIBRARIES) else Origin.USER


def is_users(filename: str) -> bool:
    """Return whether a file is the user's own: of no library, and not of the house."""
    return origin_of_file(filename) == Origin.USER


def origin_of_module(name: str) -> Origin:
    """Return whose the module ``name`` is, by its file; a module of the user's where that can not be told."""
    if name == "__main__" or not name:
        return Origin.USER
    top = name.split(".")[0]
    # its file first: a user's file may have the name of a module of Python's
    file = _file_in(name) or _file_in(top)
    return _origin_of_module(top, file if isinstance(file, str) else None)


def _file_in(name: str) -> Any:
    # not asked as an attribute, which a module may answer by code of its own
    return getattr(sys.modules.get(name), "__dict__", {}).get("__file__")


@cache
def _origin_of_module(top: str, file: str | None) -> Origin:
    if file is None:
        # classes that Cython shares between the libraries that it compiled say so by their module
        known = top in sys.builtin_module_names or top in sys.stdlib_module_names or top.startswith("_cython_")
        return Origin.LIBRARY if known else Origin.USER
    return origin_of_file(file) or Origin.USER


def origin_of(thing: Any) -> Origin:
    """Return whose a function or a class is."""
    if isinstance(thing, FunctionType):
        found = origin_of_file(thing.__code__.co_filename)
        return found or origin_of_module(thing.__globals__.get("__name__", ""))
    home = thing.__module__ if isinstance(thing.__module__, str) else ""
    if home in _MAKERS and vars(sys.modules[home]).get(thing.__name__) is not thing and "<" not in thing.__qualname__:
        return Origin.USER
    return origin_of_module(home)


def full_name(thing: Any) -> str:
    """Return the name of a function or class with its module's, and of the user's own without.

    A script is ``__main__`` when it runs and has another name when it is imported: its networks stay the same. A class
    of the user's has its last name, for one that is made in a function is sent to other processes without the rest.
    """
    name = getattr(thing, "__qualname__", type(thing).__qualname__)
    home = getattr(thing, "__module__", "")
    own = isinstance(thing, FunctionType | type) and origin_of(thing) is Origin.USER
    if own and isinstance(thing, type):
        return thing.__name__
    return name if own or home == "__main__" else f"{home}.{name}"


@cache
def version(module: str) -> str:
    """Return the version of the library that ``module`` belongs to, Python's for the standard library."""
    top = module.split(".")[0]
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return platform.python_version()
    for name in (top, *_distributions().get(top, ())):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return str(getattr(sys.modules.get(top), "__version__", ""))


@cache
def _distributions() -> dict[str, list[str]]:
    # slow, and asked only where a package has another name than its distribution
    return {name: list(found) for name, found in metadata.packages_distributions().items()}


# -- the house's own files ---------------------------------------------------------------------------------------------


def _file_of(module: str) -> Path | None:
    """Return the file of a module of the house, or None where there is none."""
    place = HOUSE.joinpath(*module.split(".")[1:])
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file() and (module != NAME or file.name == "__init__.py"):
            return file
    return None


class _Imports(ast.NodeVisitor):
    """Collects what a file imports, inside functions too, but not what it imports for its annotations only."""

    def __init__(self, module: str, file: Path) -> None:
        self.package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.dump(node.test):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        home = node.module or ""
        if node.level:
            above = self.package.split(".")[: len(self.package.split(".")) - node.level + 1]
            home = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{home}.{alias.name}"
            self.found.add(inner if home.split(".")[0] == NAME and _file_of(inner) else home)

    def visit_Constant(self, node: ast.Constant) -> None:
        # modules that are imported by their names, lazily
        if isinstance(node.value, str) and node.value.startswith(f"{NAME}.") and _file_of(node.value):
            self.found.add(node.value)


def _makes_names(node: ast.stmt) -> bool:
    """Return whether a statement of a module gives it a ``__getattr__``, by a definition or by an assignment."""
    if isinstance(node, ast.Assign):
        return any(
            isinstance(part, ast.Name) and part.id == "__getattr__" for t in node.targets for part in ast.walk(t)
        )
    return isinstance(node, ast.FunctionDef) and node.name == "__getattr__"


@cache
def _imports(module: str) -> frozenset[str]:
    file = _file_of(module)
    if file is None:
        return frozenset()
    reader = _Imports(module, file)
    tree = ast.parse(file.read_bytes())
    reader.visit(tree)
    if any(_makes_names(node) for node in tree.body):
        # a package that fetches its names when they are used: any of its modules may be meant
        reader.found |= {f"{module}.{part.stem}" for part in file.parent.glob("*.py") if part.stem != "__init__"}
    return frozenset(name for name in reader.found if name.split(".")[0] == NAME and _file_of(name))


@cache
def modules_of(module: str) -> tuple[str, ...]:
    """Return the house's modules that ``module`` reaches by its imports, itself among them, sorted.

    ``import phasescope`` alone reaches nothing: its names are fetched when they are used, from their own homes.
    """
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or name == NAME:
            continue
        found.add(name)
        waiting += _imports(name)
    return tuple(sorted(found))


def files_of(*modules: str) -> list[Path]:
    """Return the files of the house that the modules reach by their imports, sorted."""
    reached = {name for module in modules for name in modules_of(module)}
    return sorted(file for name in reached if (file := _file_of(name)) is not None)


@cache
def _bytes_digest(file: Path) -> bytes:
    return hashlib.blake2b(file.read_bytes(), digest_size=16).digest()


@cache
def house_fingerprint(*modules: str) -> str:
    """Return a hash of the house's files that ``modules`` (``"phasescope.ensemble.train"``) reach by their imports."""
    total = hashlib.blake2b(digest_size=16)
    for file in files_of(*modules):
        total.update(str(file.relative_to(HOUSE)).encode() + b"\0" + _bytes_digest(file))
    return total.hexdigest()


def house_digests(*modules: str) -> dict[str, tuple[str, str]]:
    """Return each file of the house that the modules reach by their imports: its name -> its path and its digest."""
    return {
        str(file.relative_to(HOUSE)): (str(file.resolve()), _bytes_digest(file).hex()[:16])
        for file in files_of(*modules)
    }
