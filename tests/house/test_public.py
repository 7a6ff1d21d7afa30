"""What the public sees: documented names, a quick command line, one version everywhere."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import pytest

from phasescope.subjects import homes

ROOT = Path(__file__).parents[2]
BY_SUBJECT = {
    "theory": {"domains"},
    "instruments": {"calls", "collection", "given_back", "graph", "neighbours"},
}  # with the files that are no subject


def subjects_of(room: str) -> list[Path]:
    """Return the files of a room that hold a subject."""
    files = sorted((ROOT / "src/phasescope" / room).glob("*.py"))
    return [path for path in files if path.stem not in {"__init__", *BY_SUBJECT[room]}]


PUBLIC = [
    "phasescope",
    *(
        f"phasescope.{room}"
        for room in (
            "tasks", "learners", "losses", "ensemble", "theory", "instruments", "verdict", "store", "lab", "report",
            "layers", "representation", "evaluation", "data", "papers",
        )
    ),
    *(f"phasescope.{room}.{path.stem}" for room in ("theory", "instruments") for path in subjects_of(room)),
]  # fmt: skip
FEWEST_WORDS = 4


def fault_of(text: str | None, name: str, fewest: int = FEWEST_WORDS) -> str:
    """Return what is wrong with a docstring, or nothing: a sentence that says more than the name does."""
    if not text or text.startswith(f"{name}("):
        return "no docstring"
    summary = text.strip().split("\n\n")[0]
    new = [word for word in re.findall(r"\w+", summary.lower()) if word not in name.lower().split("_")]
    if len(new) < fewest:
        return f"a docstring that says nothing: {summary!r}"
    return "" if summary.endswith((".", ":", "?", "``")) else f"a docstring that is no sentence: {summary!r}"


def texts_of(name: str, value: Any) -> Iterator[tuple[str, str | None]]:
    """Yield what documents a public value: docstrings of functions, of classes and their public methods."""
    if inspect.isclass(value):
        yield name, value.__doc__
        for key, part in vars(value).items():
            part = getattr(part, "__func__", part)
            if not key.startswith("_") and (inspect.isfunction(part) or isinstance(part, property)):
                yield key, part.__doc__
    elif inspect.isroutine(value):
        yield name, value.__doc__
    elif inspect.ismodule(value):
        yield name.replace("_", " "), value.__doc__
    elif hasattr(value, "source") and hasattr(value, "unit"):
        yield name, f"{value.source}; reads {value.null} where there is nothing to see, in {value.unit}."


def faults(name: str, value: Any) -> list[str]:
    """Return the faults of a public value. Types and plain constants have no place for a docstring."""
    if get_origin(value) is not None or isinstance(value, str | int | float | tuple | dict | frozenset):
        return []
    found = list(texts_of(name, value))
    if not found:
        return [f"{name}: a {type(value).__name__} that nothing documents"]
    (first, text), *parts = found
    said = [(first, fault_of(text, first)), *((key, fault_of(text, key, fewest=1)) for key, text in parts)]
    return [f"{key}: {fault}" for key, fault in said if fault]


@pytest.mark.parametrize("place", PUBLIC)
def test_public_symbols_are_documented(place: str) -> None:
    room = importlib.import_module(place)
    names = getattr(room, "__all__", None)
    assert names, f"{place} has no __all__: what is public?"
    assert len(set(names)) == len(names)
    found = [f"{place}.{fault}" for name in names for fault in faults(name, getattr(room, name))]
    assert not found, "\n".join(found)


def bare() -> None: ...
def echo() -> None:
    """Echo."""


def fragment() -> None:
    """Return the reading of each member"""


class Silent:
    """A class whose method says nothing of itself."""

    def method(self) -> None: ...


def good() -> None:
    """Return the reading of each member."""


@pytest.mark.parametrize("wrong", [bare, echo, fragment, Silent, object()])
def test_poor_documentation_is_rejected(wrong: object) -> None:
    assert faults(getattr(wrong, "__name__", "thing"), wrong)


def test_good_documentation_is_accepted() -> None:
    assert faults("good", good) == []


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=env)


HELP = """
import sys
sys.argv = ["phasescope", "--help"]
from phasescope.commands.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("torch" in sys.modules, file=sys.stderr)
"""


def test_help_does_not_import_torch() -> None:
    done = run_python(HELP)
    assert done.returncode == 0, done.stderr
    assert done.stderr.split()[-1] == "False", "phasescope --help imports torch: import it where it is used"
    for command in ("run", "list", "show", "report", "doctor"):
        assert command in done.stdout


def test_importing_phasescope_does_not_import_torch() -> None:
    done = run_python("import phasescope, sys; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_the_check_sees_torch() -> None:
    done = run_python(HELP.replace("from phasescope.commands.cli import main", "import torch\ndef main(): pass"))
    assert done.stderr.split()[-1] == "True", done.stderr


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    changelog, cff = ((ROOT / name).read_text("utf-8") for name in ("CHANGELOG.md", "CITATION.cff"))
    changes = re.search(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    citation = re.search(r'^version: "?([^"\n]+)"?$', cff, re.MULTILINE)
    assert changes is not None
    assert citation is not None
    assert project == changes[1] == citation[1]


def test_what_moved_to_the_lab_is_still_found() -> None:
    studies = importlib.import_module("phasescope.studies")
    with pytest.warns(DeprecationWarning, match=r"is phasescope\.lab\.Study now"):
        assert studies.Study is importlib.import_module("phasescope.lab").Study
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        studies.nothing  # noqa: B018


# -- rooms by subject --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", BY_SUBJECT)
def test_a_room_shows_its_subjects(room: str) -> None:
    """Its stub and its docstring name every subject, and no name of a subject stands in the room or in two subjects."""
    module = importlib.import_module(f"phasescope.{room}")
    subjects = [path.stem for path in subjects_of(room)]
    flat = ["ALL", "CORRUPTION", "LEARNING"] if room == "instruments" else []
    assert dir(module) == module.__all__ == sorted([*subjects, *flat])
    assert re.findall(r"^- ``(\w+)``: ", module.__doc__ or "", re.MULTILINE) == subjects
    names = [name for subject in subjects for name in getattr(module, subject).__all__]
    assert len(set(names)) == len(names)
    assert homes(module.__name__).keys() == set(names)
    assert not set(names) & set(subjects), "a subject and a function of one name"


@pytest.mark.parametrize("room", BY_SUBJECT)
def test_old_names_still_work(room: str) -> None:
    found = run_python(OLD_NAMES.format(room=room))
    assert found.returncode == 0, found.stderr


OLD_NAMES = """
import warnings, phasescope.{room} as room
from phasescope.subjects import homes
flat = {{"LEARNING", "CORRUPTION"}}
for name, subject in homes(room.__name__).items():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        exec(f"from {{room.__name__}} import {{name}} as found")
        assert found is getattr(room, name) is getattr(getattr(room, subject), name)
    said = [] if name in flat else [f"{{room.__name__}}.{{name}} is {{room.__name__}}.{{subject}}.{{name}} now"]
    assert [str(one.message).split(":")[0] for one in heard] == said, (name, [str(one.message) for one in heard])
    assert all(one.category is DeprecationWarning and one.filename == "<string>" for one in heard)
    assert name in dir(room) if name in flat else name not in dir(room)
"""


@pytest.mark.parametrize(
    ("room", "wrong", "said"),
    [
        ("theory", "unit_logit_scal", "did you mean phasescope.theory.modular_addition.unit_logit_scale?"),
        ("theory", "linear_transfers", "did you mean phasescope.theory.linear_transfer?"),
        ("instruments", "participations", "did you mean phasescope.instruments.fourier.participation?"),
        ("instruments", "xyzzy", "it has ALL, CORRUPTION, LEARNING, collapse, "),
        ("theory", "__wrapped__", "phasescope.theory has no '__wrapped__'"),
    ],
)
def test_a_name_nobody_knows_is_answered_by_the_nearest(room: str, wrong: str, said: str) -> None:
    module = importlib.import_module(f"phasescope.{room}")
    with pytest.raises(AttributeError, match=re.escape(said)):
        getattr(module, wrong)
    with pytest.raises(ImportError):
        exec(f"from phasescope.{room} import {wrong}")


def test_one_subject_loads_no_other() -> None:
    code = "import sys, phasescope as ps; ps.theory.residues; print(sorted(n for n in sys.modules if '.theory.' in n))"
    assert run_python(code).stdout.strip() == "['phasescope.theory.domains', 'phasescope.theory.residues']"
