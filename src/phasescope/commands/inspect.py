"""What ``phasescope inspect`` does, but for files and the terminal: load, inspect, and say what the page shows."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from phasescope.errors import sentence
from phasescope.figures import Figure, Page, Table
from phasescope.identity import surroundings
from phasescope.inspection.batches import users_code
from phasescope.inspection.load import ROWS, load_batch, load_model
from phasescope.inspection.measure import inspect
from phasescope.inspection.readings import WORDS, Inspection
from phasescope.vocabulary import BadInput

QUESTION = "Do signal and gradients survive the way through this network, and where not?"


@dataclass(frozen=True)
class Told:
    """What a command has to say: ``text`` for a terminal, a page, a ``document`` in JSON; ``file`` is its name."""

    folder: str
    file: str
    text: str
    document: dict[str, Any]
    page: Page


def given(batch: Path | None, whose: str = "model") -> Path:
    """Return the batch that a command is given. Raises ``BadInput`` where there is none."""
    if batch is None:
        raise BadInput(
            f"there is no --batch: save inputs of the {whose}, for example with numpy.save('batch.npy', inputs)."
        )
    return batch


def loaded(model: str, batch: Path, *, rows: int = ROWS) -> tuple[nn.Module, Any]:
    """Return a model and its batch by name; of a text at most ``rows`` samples. Nothing is looked up on the network."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported
    module = load_model(model)
    return module, load_batch(batch, module, model, rows=rows)


def inspected(
    model: str, batch: Path | None, blocks: Sequence[str] | None, probes: int, seed: int,
    tell: Callable[[str], object], *, sublayers: bool = False,
) -> Told:  # fmt: skip
    """Load ``model`` and ``batch`` by name and inspect; ``tell`` is told what is being done.

    Raises ``BadInput`` without a batch, and what ``load_model``, ``load_batch`` and ``inspect`` raise.
    """
    module, inputs = loaded(model, given(batch))

    def progress(what: str, done: int, total: int) -> None:
        tell(f"inspecting {type(module).__name__}: {what}, {done}/{total}")

    with users_code(model, always=False):
        found = inspect(
            module, inputs, blocks=blocks, sublayers=sublayers, probes=probes, seed=seed, on_progress=progress
        )
    command = ["phasescope", "inspect", model, "--batch", str(batch), "--probes", str(probes), "--seed", str(seed)]
    command += ["--blocks", ",".join(blocks)] if blocks else []
    command += ["--sublayers"] if sublayers else []
    page = _page(found, model, str(batch), shlex.join(command))
    folder = f"inspect-{folder_name(Path(model).name or model)}"
    return Told(folder, "inspection.json", str(found), found.to_json(), page)


def folder_name(name: str) -> str:
    """Return ``name`` as it can stand in the name of a folder.

    >>> folder_name("package.module:factory")
    'package.module-factory'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")


def page_of(
    name: str, title: str, question: str, notes: Sequence[str], figures: Sequence[Figure], table: Table,
    settings: dict[str, Any], command: str,
) -> Page:  # fmt: skip
    """Return the page of a command on a user's own model; its provenance are the libraries and torch's settings."""
    return Page(
        name, title, question, figures, tables=[table], notes="\n\n".join(notes), settings=settings,
        provenance=_made_with(), command=command,
    )  # fmt: skip


def _made_with() -> dict[str, Any]:
    """Return what outside all code decided the numbers: versions of libraries, and settings of torch in words."""
    found = surroundings()
    libraries = {name: found.pop(name) for name in ("torch", "numpy", "numba")}
    on = [device for device, is_on in zip(("cpu", "cuda"), found.pop("autocast"), strict=True) if is_on]
    usual = {"default dtype": found.pop("default dtype"), "precision of products": found.pop("matmul")}
    return {"libraries": libraries, "torch": usual | {"autocast": " and ".join(on) or "off"} | found}


def _page(found: Inspection, model: str, batch: str, command: str) -> Page:
    header, rows = found.table()
    told = [f"{i}. {finding}" for i, finding in enumerate(found.findings, 1)] or ["Nothing unusual was found."]
    summary = found.summary()
    notes = [f"{sentence(summary)}.", f"{found.coverage}.", *told, "  ".join(WORDS)]
    settings = {"model": model, "batch": f"{batch}: {found.batch}", "probes": found.probes, "seed": found.seed}
    figures, tables = [found.figure()], [Table("Block by block", header, rows)]
    for i, part in enumerate(found.parts, 2):
        notes += [
            f"Part {i}, {part.blocks[0]} to {part.blocks[-1]}: {sentence(part.summary())}.",
            *map(str, part.findings),
        ]
        figures.append(replace(part.figure(), id=f"inspection-{i}"))
        tables.append(Table(f"Part {i}, block by block", *part.table()))
    notes += [] if found.forecast is None else [str(found.forecast)]
    page = page_of("inspect", f"{found.model}: {found.verdict}", QUESTION, notes, figures, tables[0], settings, command)
    return replace(page, tables=tables)
