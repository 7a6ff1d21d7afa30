"""What ``phasescope quality`` does, but for the terminal: read both sets, compare, and say what the page shows."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasescope.commands.inspect import Told, folder_name, page_of
from phasescope.data import pixels, quality, read_corpus
from phasescope.figures import Table
from phasescope.vocabulary import BadInput

QUESTION = "Are generated samples as real ones are, and do they cover them?"


@dataclass(frozen=True)
class Asked:
    """What the command is given; ``k`` and ``seed`` are as ``ps.data.quality`` takes them."""

    real: Path
    generated: Path
    k: int
    seed: int


def compared(asked: Asked, tell: Callable[[str], object]) -> Told:
    """Read the two sets and compare them. Raises ``BadInput`` for what can not be used."""
    sets = {}
    for path in (asked.real, asked.generated):
        tell(f"reading {path}")
        sets[path] = _rows(path)
    real, generated = (sets[path] for path in (asked.real, asked.generated))
    what = f"{len(generated):,} generated samples beside {len(real):,} real ones"
    found = quality(
        real, generated, k=asked.k, seed=asked.seed,
        on_progress=lambda name, done, total: tell(f"{what}: {name}, {done}/{total}"),
    )  # fmt: skip
    settings = {"real": str(asked.real), "generated": str(asked.generated), "k": asked.k, "seed": asked.seed}
    command = [
        "phasescope",
        "quality",
        str(asked.real),
        str(asked.generated),
        "--k",
        str(asked.k),
        "--seed",
        str(asked.seed),
    ]
    name = folder_name(asked.generated.stem or asked.generated.absolute().name)
    page = page_of(
        "quality", f"{asked.generated.name}: quality of generated samples", QUESTION, found.notes(),
        [found.figure()], Table("Generated beside real", *found.table()), settings, shlex.join(command),
    )  # fmt: skip
    return Told(f"quality-{name}", "quality.json", str(found), found.to_json(), page)


def _rows(path: Path) -> Any:
    """Return embeddings, or images as grey values (N, D). Raises ``BadInput`` for texts."""
    corpus = read_corpus(path)
    if corpus.texts:
        raise BadInput(f"{path} has texts: give embeddings (.npy, .npz) of them, or folders of images.")
    return pixels(corpus.images) if corpus.images else corpus.rows
