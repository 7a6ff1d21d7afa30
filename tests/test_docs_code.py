"""Every block of Python in the README and the docs runs, in order, page by page; every command in them can be called.

A comment before a block, which no reader of the page sees, says what is given (code that runs before it), which packages
it needs, or why it is not run:

    <!-- given: batch = torch.randn(8, 64) -->    <!-- needs: pyarrow -->    <!-- not run: needs a cluster -->

``torch``, ``nn``, ``np``, ``ps``, ``Path`` and ``small_decoder``, which writes the folder of a small language model, are
known from the start.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from inspect import isclass, isroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
import typer
from torch import nn

import phasescope as ps
from phasescope.commands.cli import app
from phasescope.lab.registry import study_named
from phasescope.subjects import homes

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"((?:<!-- (?:given|needs|not run):(?:.*?)-->\s*)*)```python\n(.*?)```", re.DOTALL)
COMMENT = re.compile(r"<!-- (given|needs|not run):(.*?)-->", re.DOTALL)
SLOW = {
    "README.md", "docs/evaluate.md", "docs/in_context.md", "docs/layers.md", "docs/phase_maps.md", "docs/scores.md",
    "docs/tutorial.md", "docs/width.md",
}  # fmt: skip
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if "```python" in path.read_text("utf-8")
)


@dataclass(frozen=True)
class Block:
    """One block of code: its line in the page, what runs before it, what it needs, and why it does not run."""

    line: int
    code: str
    given: str = ""
    needs: str = ""
    not_run: str = ""


def blocks(text: str) -> Iterator[Block]:
    for found in BLOCK.finditer(text):
        said = {kind.replace(" ", "_"): words.strip(" \n") for kind, words in COMMENT.findall(found[1])}
        yield Block(text.count("\n", 0, found.start(2)) + 1, found[2], **said)


def small_decoder(folder: str, depth: int = 8) -> None:
    """Write a small Llama of random weights, and a tokenizer of bytes, as a Hugging Face folder."""
    transformers = pytest.importorskip("transformers")
    from test_layers import tokenizer_of  # which is skipped without transformers

    tokenizer_of("").save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=256, hidden_size=16, intermediate_size=32, num_hidden_layers=depth, num_attention_heads=2,
        max_position_embeddings=4096,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


@pytest.mark.parametrize("page", [pytest.param(p, marks=[pytest.mark.slow] * (p in SLOW)) for p in PAGES])
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "__name__": "page", "torch": torch, "nn": nn, "np": np, "ps": ps, "Path": Path, "small_decoder": small_decoder,
    }  # fmt: skip
    with mpl.rc_context({"backend": "agg"}):
        for block in blocks((ROOT / page).read_text("utf-8")):
            if block.not_run or any(find_spec(package) is None for package in block.needs.split()):
                continue
            for part in (block.given, block.code):
                exec(compile("\n" * (block.line - 1) + part, str(ROOT / page), "exec"), names)


def test_comments_before_blocks_are_read() -> None:
    text = "# A\n\n<!-- given:\nx = 1\n-->\n<!-- needs: pyarrow -->\n\n```python\nx + 1\n```\n\n```python\ny\n```\n"
    first, second = blocks(text)
    assert first == Block(9, "x + 1\n", "x = 1", "pyarrow") and second == Block(13, "y\n")


NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_their_pages(path: Path) -> None:
    """Fails after a page has changed: ``make notebooks`` mends it."""
    page = (ROOT / "docs" / f"{path.stem}.md").read_text("utf-8")
    words, code = "", ""
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            code += "".join(cell["source"]) + "\n"
            assert cell["outputs"] == [] and cell["execution_count"] is None, "numbers would grow old"
        else:
            words += "".join(cell["source"]) + "\n"
    assert code == "".join(block.code for block in blocks(page))
    said = re.sub(r"```python\n.*?```", "", page, flags=re.DOTALL)
    assert words.split() == re.sub(r"\]\((?!https?:|#)", "](../", said).split()


def test_there_is_a_notebook_of_the_tutorial() -> None:
    assert {"tutorial", "phase_maps", "recipes"} == {path.stem for path in NOTEBOOKS}


MADE = {"docs/instruments.md", "docs/auto_examples/index"}  # by ``make docs``
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as repositories and the docs name them."""
    found = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


def test_links_between_pages_lead_somewhere() -> None:
    """As on a repository's pages; ``make docs`` checks those of the built pages."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
    pages += [page for page in (ROOT / "docs").rglob("*.md") if "auto_examples" not in page.parts]
    dead, count = [], 0
    for page in pages:
        for file, anchor in LINK.findall(page.read_text("utf-8")):
            goal, count = (page.parent / file).resolve() if file else page, count + 1
            if goal.relative_to(ROOT.resolve()).as_posix() in MADE:
                continue
            fine = goal.exists() and (not anchor or goal.suffix != ".md" or anchor in headings(goal))
            dead += [] if fine else [f"{page.relative_to(ROOT)}: {file}#{anchor}"]
    assert dead == [] and count > 200


def test_every_public_name_is_in_the_reference() -> None:
    """The reference has the members of the modules that it names: so every public name must be one of them."""
    named = re.findall(r"automodule:: (\S+)", (ROOT / "docs" / "api.md").read_text("utf-8"))
    assert len(named) == len(set(named))
    modules = {name: importlib.import_module(name) for name in named}
    told = {id(getattr(m, name)) for m in modules.values() for name in getattr(m, "__all__", vars(m))}
    rooms = {found.__name__: found for name in ps.__all__ if isinstance(found := getattr(ps, name), ModuleType)}
    subjects = {
        f"{room}.{subject}"
        for room in ("phasescope.instruments", "phasescope.theory")
        for subject in homes(room).values()
    }
    missing = sorted((rooms.keys() | subjects) - set(named))
    missing += [
        name
        for name in ps.__all__
        if not isinstance(getattr(ps, name), ModuleType) and id(getattr(ps, name)) not in told
    ]
    assert missing == []
    things = [
        (f"{m.__name__}.{name}", getattr(m, name)) for m in modules.values() for name in getattr(m, "__all__", ())
    ]
    silent = [name for name, thing in things if (isclass(thing) or isroutine(thing)) and not thing.__doc__]
    assert silent == []


COMMANDS = [
    (f"{path.relative_to(ROOT).as_posix()}:{text.count(chr(10), 0, found.start()) + 1}", found[1].replace("\\\n", " "))
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for text in [path.read_text("utf-8")]
    for found in re.finditer(r"^(?: {4})?(phasescope (?:[^\n\\]|\\\n)*)", text, re.MULTILINE)
]


def test_the_demo_is_as_large_as_the_pages_say() -> None:
    study = study_named("grokking")
    settings = study.scales["pocket"]
    count = Counter(e.kind for e in study.experiments(settings).values() for _ in range(len(e.grid)))
    untrained = len(study.experiments(settings)["untrained"].grid)
    said = f"{count['trained']} networks trained, and {count['simulation'] - untrained} more written down"
    assert said in " ".join((ROOT / "README.md").read_text("utf-8").split())
    said = f"trains {count['trained']} small networks, most of them on addition modulo {settings.p}, and judges"
    assert f"{said} {len(study.claims(settings))} claims" in (ROOT / "docs/tutorial.md").read_text("utf-8")


def test_the_readme_names_every_command() -> None:
    command: Any = typer.main.get_command(app)
    named = set(re.findall(r"^\| `phasescope ([a-z]+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE))
    assert named == set(command.commands)


def test_every_command_in_the_docs_can_be_called() -> None:
    """Each names a command and options that there are; files, models and what else is the reader's need not exist."""
    command: Any = typer.main.get_command(app)
    wrong = []
    for place, line in COMMANDS:
        words = shlex.split(line, comments=True)[1:]
        name = words[0] if words else ""
        if name.startswith("-"):
            continue
        asked = command.commands.get(name)
        known = {word for option in asked.params for word in (*option.opts, *option.secondary_opts)} if asked else set()
        wrong += [f"{place}: {name}"] * (asked is None)
        wrong += [f"{place}: {name} {w}" for w in words[1:] if w.startswith("--") and w.split("=")[0] not in known]
    assert not wrong and len(COMMANDS) > 100


def test_pages_quote_what_is_stored() -> None:
    """Fails after a stored measurement has changed: ``python benchmarks/quoted.py`` mends it."""
    spec = importlib.util.spec_from_file_location("quoted", ROOT / "benchmarks" / "quoted.py")
    assert spec is not None and spec.loader is not None
    quotes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(quotes)
    for page in {page for page, _ in quotes.QUOTES.values()}:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert "<!-- numbers: " in text and quotes.quoted(text) == text, page
