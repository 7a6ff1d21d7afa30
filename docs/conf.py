"""Sphinx settings: ``make docs`` builds docs/ into build/docs, and fails on any broken link or reference."""

import os
import re
from importlib import metadata
from pathlib import Path
from typing import Any

# one thread for the examples' tiny products: on a busy machine torch's threads wait for each other a hundredfold
os.environ.setdefault("OMP_NUM_THREADS", "1")

from phasescope.subjects import public
from phasescope.vocabulary import Instrument

COSTS = {"weights": "no pass", "forward": "one forward pass", "backward": "forward and backward"}
HERE = Path(__file__).parent

project = "Phasescope"
author = "The Phasescope developers"
release = metadata.version("phasescope")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["gallery/stored", "examples"]
html_theme = "pydata_sphinx_theme"
html_title = "Phasescope"
html_theme_options = {"show_prev_next": False, "navigation_depth": 2}
html_copy_source = False
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
suppress_warnings = ["config.cache"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "exclude-members": "__init__, __new__"}
python_maximum_signature_line_length = 88

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "reset_modules": (),
}

LITERAL = re.compile(r"(``.+?``)")
SPECIAL = re.compile(r"([\\*|`]|_(?=\W|$))")


def plain_words(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape what reStructuredText would take for markup: our docstrings are plain words, literals and doctests."""
    inside_example = False
    for i, line in enumerate(lines):
        inside_example = line.lstrip().startswith(">>>") or (inside_example and bool(line.strip()))
        if inside_example or line.startswith("    "):
            continue
        parts = LITERAL.split(line)
        lines[i] = "".join(part if n % 2 else SPECIAL.sub(r"\\\1", part) for n, part in enumerate(parts))
    for i in range(len(lines) - 1, 0, -1):  # indented blocks are formulas and tables: keep them as they are written
        if lines[i].startswith("    ") and not lines[i - 1].strip() and not lines[i].lstrip().startswith(">>>"):
            lines[i:i] = ["::", ""]


ELSEWHERE = {"benchmarks/README.md": "/benchmarks.md", "CONTRIBUTING.md": "/add_a_study.md", "README.md": "/index.md"}


def links_inside(app: Any, name: str, source: list[str]) -> None:
    """Point links that must name a file on a repository's pages to the page here that is made of it."""
    for file, page in ELSEWHERE.items():
        source[0] = re.sub(rf"\]\((\.\./)+{re.escape(file)}", f"]({page}", source[0])
    source[0] = re.sub(r"\]\(examples/(\w+)\.py\)", r"](/auto_examples/\1)", source[0])


def instrument_pages(app: Any) -> None:
    """Write the page of every instrument: what it reads, unit, bounds, null value, cost."""
    rows = ["# Instruments of trained networks", "", "What each reads, where nothing is to be seen, and what it costs."]
    for name, found in sorted(public("phasescope.instruments").items()):
        if isinstance(found, Instrument):
            low, high = found.bounds
            facts = {
                "unit": found.unit,
                "bounds": f"{low:g} to {high:g}",
                "null value": found.null,
                "cost": COSTS[found.cost],
                "dimensions": ", ".join(found.dims) or "one number per network",
                "invariant under": ", ".join(found.invariances) or "nothing declared",
            }
            rows += ["", f"## `{name}`", "", f"{found.source}.", "", "| property | value |", "| --- | --- |"]
            rows += [f"| {key} | {value} |".replace("|x|", "abs(x)") for key, value in facts.items()]
    (HERE / "instruments.md").write_text("\n".join(rows) + "\n", encoding="utf-8")


def setup(app: Any) -> None:
    """Connect what is done before pages are read."""
    app.connect("autodoc-process-docstring", plain_words)
    app.connect("source-read", links_inside)
    app.connect("builder-inited", instrument_pages)
