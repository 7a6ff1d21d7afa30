"""What ``phasescope dedup`` does, but for the terminal: read, embed, de-duplicate, and say what the page shows."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phasescope.checks import whole
from phasescope.commands.inspect import Told, folder_name, page_of
from phasescope.data import (
    Corpus,
    Crops,
    Dedup,
    chance_pairs,
    crops,
    dedup,
    pixels,
    read_corpus,
    shingles,
    states,
    tfidf,
)
from phasescope.data.dedup import chosen
from phasescope.data.pictures import SIDE
from phasescope.figures import Axis, Figure, HeatMap, Table
from phasescope.store import Store
from phasescope.vocabulary import Array, BadInput

QUESTION = "Which items are near copies of others, and what is left without them?"
MODEL = "model:"
EMBEDDERS = {"texts": ("tfidf", "shingles", "model:DIR"), "images": ("pixels", "crops"), "embeddings": ("rows",)}


@dataclass(frozen=True)
class Asked:
    """What the command is given."""

    path: Path
    embed: str | None
    epsilon: float | None
    keep: float | None
    clusters: str
    rule: str
    order: str
    length: int
    sample: int
    seed: int
    folder: Path


def folder_of(path: Path) -> Path:
    """Return the folder of a de-duplication of ``path``."""
    return Path("runs") / f"dedup-{folder_name(path.stem or path.absolute().name)}"


def deduped(asked: Asked, tell: Callable[[str], object]) -> Told:
    """Read and de-duplicate what ``asked`` names; write kept.txt, and for lines kept-lines.txt, into its folder.

    Raises ``BadInput`` for what can not be used; then nothing is written but finished parts of the search.
    """
    chosen(asked.order, asked.rule, asked.epsilon, asked.keep, asked.sample, asked.seed)
    whole(2, 10**6)("--length", asked.length)
    clusters = _number(asked.clusters)
    if isinstance(clusters, str) and clusters != "auto":
        raise BadInput(f"--clusters is {clusters!r}: give auto, or a whole number from 1 to that of the items.")
    if clusters != "auto":
        whole(1)("clusters", clusters)
    tell(f"reading {asked.path}")
    corpus = read_corpus(asked.path)
    embed = asked.embed or EMBEDDERS[corpus.kind][0]
    rows = _embedded(corpus, embed, asked, tell)
    cut = rows if isinstance(rows, Crops) else None
    rows = rows if cut is None else cut.rows
    options: dict[str, Any] = {"epsilon": asked.epsilon, "keep": asked.keep, "clusters": clusters}
    options |= {"rule": asked.rule, "order": asked.order, "sample": asked.sample, "seed": asked.seed}
    name = asked.path.name or str(asked.path)
    found = dedup(
        rows, **options, texts=corpus.texts or None, name=name, out=asked.folder,
        on_progress=lambda what, done, total: tell(f"{name}: {what}, {done:,}/{total:,}"),
    )  # fmt: skip
    found = replace(found, names=corpus.called)
    _write(found, corpus, asked)
    shares = {} if cut is None else cut.found(found.epsilon)
    notes = [] if cut is None else _recalled(cut, found.epsilon)
    by = [f"{corpus.kind.capitalize()} became embeddings by {embed}."] if corpus.rows is None else []
    page = _page(found, corpus, [*by, *notes], embed, asked)
    text = "\n".join([*by, str(found), *notes, "", f"kept     {asked.folder / 'kept.txt'}"])
    document = {**found.to_json(), "embed": embed}
    document |= {"cut_copies_found": {f"{k:g}": v for k, v in shares.items()}} if shares else {}
    return Told(asked.folder.name, "dedup.json", text, document, page)


def _recalled(cut: Crops, epsilon: float) -> list[str]:
    """Return in words which share of cut copies this epsilon finds in these images, and how many pairs chance makes."""
    said = ", ".join(f"{found:.0%} of those that lost {share:.0%}" for share, found in cut.found(epsilon).items())
    notes = [f"Of copies of these images that are cut at their edges, this epsilon finds {said} of each side."]
    n, k = cut.rows.shape
    if k > 1 and epsilon <= 1:
        pairs = chance_pairs(k, n, 1 - epsilon)
        notes.append(f"Rows that spread evenly over {k} directions would make {pairs:.2g} pairs above it by chance.")
    return notes


def _number(clusters: str) -> int | str:
    return int(clusters) if clusters.isascii() and clusters.isdigit() and len(clusters) < 16 else clusters


def _embedded(corpus: Corpus, embed: str, asked: Asked, tell: Callable[[str], object]) -> Any:
    """Return the embeddings (N, D) that ``embed`` names. Raises ``BadInput`` for one that the items have not."""
    known = EMBEDDERS[corpus.kind]
    if not (embed in known and embed != "model:DIR") and not (embed.startswith(MODEL) and corpus.texts):
        raise BadInput(f"--embed is {embed!r}, and {asked.path} has {corpus.kind}: choose one of {', '.join(known)}.")
    tell(f"embedding {len(corpus.names):,} {corpus.kind} by {embed}")
    if corpus.rows is not None:
        return corpus.rows
    if corpus.images:
        if embed == "pixels":
            return pixels(corpus.images)
        return crops(
            corpus.images, seed=asked.seed, on_progress=lambda done, total: tell(f"reading {done:,}/{total:,} images")
        )
    if embed == "tfidf":
        return tfidf(corpus.texts)
    if embed == "shingles":
        return shingles(corpus.texts)
    from phasescope.commands.layers import prepare
    from phasescope.inspection.folder import load_folder, load_tokenizer
    from phasescope.store.data import place_of

    prepare()
    home = place_of(embed.removeprefix(MODEL))
    if not home.is_dir():
        raise BadInput(f"there is no folder {home}: give --embed model: and the folder of a model.")
    model, tokenizer = load_folder(home), load_tokenizer(home, asked.path)

    def progress(done: int, total: int) -> None:
        tell(f"embedding by {home.name}, {done:,}/{total:,} texts")

    return states(corpus.texts, model, tokenizer, length=asked.length, out=asked.folder, on_progress=progress)


def _write(found: Dedup, corpus: Corpus, asked: Asked) -> None:
    kept = found.kept
    with Store(asked.folder) as store:
        store.write("kept.txt", "".join(f"{corpus.names[i]}\n" for i in kept))
        if corpus.texts and asked.path.is_file() and asked.path.suffix not in (".jsonl", ".ndjson"):
            store.write("kept-lines.txt", "".join(f"{corpus.texts[i]}\n" for i in kept))


def _page(found: Dedup, corpus: Corpus, notes: list[str], embed: str, asked: Asked) -> Any:
    header, pairs = found.table()
    if not corpus.texts:
        header, pairs = header[:3], [row[:3] for row in pairs]  # there is no text to show
    figures = [found.figure()]
    if corpus.images and pairs:
        figures.append(_pictures(found, corpus))
    command = ["phasescope", "dedup", str(asked.path), "--embed", embed, "--rule", asked.rule, "--order", asked.order]
    command += ["--keep", f"{asked.keep:g}"] if asked.keep is not None else ["--epsilon", f"{found.epsilon:.9g}"]
    command += ["--clusters", asked.clusters, "--sample", str(asked.sample), "--seed", str(asked.seed)]
    command += ["--length", str(asked.length)] if embed.startswith(MODEL) else []
    settings = {**found.data.attrs, "embed": embed, "kept list": "kept.txt"}
    page = page_of(
        "dedup", f"{found.data.attrs['name']}: near copies", QUESTION, [f"{found.summary()}.", *found.notes, *notes],
        figures, Table("Pairs to look at", header, pairs), settings, shlex.join(command),
    )  # fmt: skip
    return replace(page, tables=page.tables if pairs else [])


def _pictures(found: Dedup, corpus: Corpus) -> Figure:
    """Return the pairs to look at as pictures: one column for each, the row nearer the front above."""
    both = [(i, j) for i, j, _, _ in found.look_at()]
    looked = sorted({row for pair in both for row in pair})
    rows = dict(zip(looked, pixels([corpus.images[row] for row in looked]), strict=True))

    def shown(row: int) -> Array:
        return np.pad(rows[row].reshape(SIDE, SIDE) / np.abs(rows[row]).max(), 1, constant_values=np.nan)

    wall = np.vstack([np.hstack([shown(row[which]) for row in both]) for which in (0, 1)])[::-1]
    panel = HeatMap(
        "Pairs, in the order of the table", Axis("pixel"), Axis("pixel"), np.arange(wall.shape[1], dtype=float),
        np.arange(wall.shape[0], dtype=float), wall, "grey, less its mean", limits=(-1, 1), missing="between pictures",
    )  # fmt: skip
    return Figure("pairs", "Pairs to look at", "Each column is a pair; above, the one nearer the front.", [panel])
