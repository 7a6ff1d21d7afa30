"""What ``phasescope new`` does: writes the package of a study that runs, for its author to change."""

from __future__ import annotations

import json
import keyword
import re
import shlex
import sys
from datetime import date
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from string import Template

from phasescope.errors import BadInput, shown, told
from phasescope.lab.registry import study_points
from phasescope.store.atomic import new_folder, write_atomic

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MOST = 40  # letters of a name: it stands in commands and in the names of folders
ARXIV = re.compile(r"\d{4}\.\d{4,5}(v\d+)?|[a-z-]+(\.[A-Z]{2})?/\d{7}(v\d+)?")


def new(name: str, arxiv: str = "", parent: Path | None = None) -> tuple[Path, str]:
    """Write the study ``name`` into a folder of that name in ``parent``, and return it with what to do next.

    The folder is whole or not there. ``arxiv`` is the number of the paper whose question it asks. Raises ``BadInput``
    for a name that is none or taken, a number that is none, and a folder that exists.
    """
    folder = (parent or Path()) / name if isinstance(name, str) and NAME.fullmatch(name) else None
    if folder is not None and folder.exists():
        raise BadInput(f"{folder} exists: name a folder that does not, or remove it.")
    package = checked(name)
    if arxiv and not ARXIV.fullmatch(arxiv):
        raise BadInput(f"--arxiv {shown(arxiv)} is no number of arXiv: write, for example, --arxiv 2301.02679.")
    folder = (parent or Path()) / name
    words = {"name": name, "package": package, "distribution": f"phasescope-{name}", **_paper(name, arxiv)}
    words["title"] = name.replace("-", " ").capitalize()
    source = resources.files("phasescope.commands") / "template"
    files = {"pyproject.toml": source / "pyproject.toml.tmpl", f"test_{package}.py": source / "test.py.tmpl"}
    for part in ("__init__", "settings", "experiments", "claims", "figures"):
        files[f"{package}/{part}.py"] = source / "package" / f"{part}.py.tmpl"
    try:
        with new_folder(folder) as place:
            for file, template in files.items():
                write_atomic(place / file, Template(template.read_text("utf-8")).substitute(words).encode())
    except OSError as error:
        raise BadInput(told(error, folder)) from None
    written = "\n".join(f"  {folder / file}" for file in files)
    return folder, (
        f"Written:\n{written}\nIt is a study that runs. Install it, run it, and make it yours:\n"
        f"  {Path(sys.executable).name} -m pip install --editable {shlex.quote(str(folder))}\n  phasescope run {name}\n"
        f"  pytest {shlex.quote(str(folder))}"
    )


def checked(name: str) -> str:
    """Return the name of the package of a study; raise ``BadInput`` for a name that is none, or taken."""
    package = str(name).replace("-", "_")
    if keyword.iskeyword(package):
        raise BadInput(f"{name!r} is no name of a study, for Python has a word {name!r}: choose another.")
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > MOST:
        raise BadInput(
            f"{shown(name)} is no name of a study: give at most {MOST} small letters, digits and hyphens, a letter "
            "first, such as 'two-spirals'."
        )
    if name in study_points():
        raise BadInput(f"there is a study called {name!r} already: choose another name.")
    if package in sys.stdlib_module_names or find_spec(package) is not None:
        raise BadInput(f"there is a Python package called {package!r} already: choose another name.")
    return package


def _paper(name: str, arxiv: str) -> dict[str, str]:
    """Return what a study says of its paper until its author does: strings as Python writes them, within quotes."""
    key = re.sub(r"\W", "", arxiv or name)
    bibtex = f"@misc{{{key},\n  author = {{}},\n  title = {{}},\n  year = {{}},\n"
    bibtex += f"  eprint = {{{arxiv}}},\n  archivePrefix = {{arXiv}}\n}}" if arxiv else "}"
    return {
        "authors": "Author",
        "year": str(date.today().year),
        "paper": f"arXiv:{arxiv}" if arxiv else "Our own question",
        "link": f"https://arxiv.org/abs/{arxiv}" if arxiv else "",
        "bibtex": json.dumps(bibtex)[1:-1],
    }
