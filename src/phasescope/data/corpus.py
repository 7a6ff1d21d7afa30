"""A data set that a user names: texts, images or embeddings from a file or a folder. Nothing is fetched."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasescope.inspection.load import array_in, arrays_in
from phasescope.layers.text import ENDINGS, read_texts
from phasescope.store.data import place_of
from phasescope.vocabulary import Array, BadInput

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
NAMES = ("embeddings", "X")


@dataclass(frozen=True)
class Corpus:
    """What was found: ``names`` of the items, and ``texts``, ``images`` (files) or ``rows`` (N, D).

    ``numbered`` says what the names are numbers of, "line" or "row"; files have names of their own.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...] = ()
    images: tuple[Path, ...] = ()
    rows: Array | None = None
    numbered: str = ""

    @property
    def called(self) -> tuple[str, ...]:
        """Return what to call each item: a file's name, "line 3" or "row 3"."""
        return tuple(f"{self.numbered} {name}".strip() for name in self.names)

    @property
    def kind(self) -> str:
        """Return what the items are: texts, images or embeddings."""
        return "texts" if self.texts else "images" if self.images else "embeddings"


def read_corpus(path: Path | str) -> Corpus:
    """Read a file, a folder, or a fetched data set.

    Raises ``BadInput`` for what has no item, and for files that can not be read.

    ``.npy``: embeddings (N, D). ``.npz``, ``.safetensors``: the array "embeddings" or "X" in it, or the only one.
    ``.jsonl``: a string, or an object with the string "text", on each line. Any other file
    is text, one item on each line that is not empty, named by the number of its line, from 1. A folder: each text file
    (.txt, .md, .rst, .text) or each image (.png, .jpg, ...) in it and below is an item; one kind of them.
    """
    path = place_of(path)
    if not path.exists():
        raise BadInput(
            f"there is no {path}: name a file of texts (.txt, .jsonl), of embeddings (.npy, .npz), or a folder."
        )
    if path.is_dir():
        return _folder(path)
    if path.suffix in (".npy", ".npz", ".safetensors"):
        rows = _array(path)
        return Corpus(tuple(map(str, range(len(rows)))), rows=rows, numbered="row")
    (whole,) = read_texts(path)
    lines = [(str(i), line) for i, line in enumerate(whole.split("\n"), 1) if line.strip()]
    if not lines:
        raise BadInput(f"{path} has no text: give one text on each line.")
    names, texts = zip(*lines, strict=True)
    if path.suffix in (".jsonl", ".ndjson"):
        texts = tuple(_text(path, name, line) for name, line in lines)
    return Corpus(names, texts=tuple(text.rstrip("\r") for text in texts), numbered="line")


def _folder(path: Path) -> Corpus:
    inside = sorted(part for part in path.rglob("*") if part.is_file())
    pictures = [part for part in inside if part.suffix.lower() in PICTURES]
    pages = [part for part in inside if part.suffix in ENDINGS]
    if bool(pictures) == bool(pages):
        what = f"{len(pages)} texts and {len(pictures)} images" if pages else "no text and no image"
        raise BadInput(f"{path} has {what}: name a folder with files of one kind.")
    files = pictures or pages
    names = tuple(part.relative_to(path).as_posix() for part in files)
    broken = next((name for name in names if len(name.splitlines()) > 1), None)
    if broken is not None:
        raise BadInput(f"{path} has {broken!r}, a name of two lines, and lists have one name a line: rename it.")
    if pictures:
        return Corpus(names, images=tuple(pictures))
    texts = tuple(text for part in pages for text in read_texts(part))
    empty = next((name for name, text in zip(names, texts, strict=True) if not text.strip()), None)
    if empty is not None:
        raise BadInput(f"{path / empty} has no text: leave it out, it is like no other.")
    return Corpus(names, texts=texts)


def _text(path: Path, line: str, row: str) -> str:
    try:
        found = json.loads(row)
    except ValueError as error:
        raise BadInput(f"{path}, line {line} is no JSON: {error}.") from error
    text = found.get("text") if isinstance(found, dict) else found
    if not isinstance(text, str) or not text.strip():
        raise BadInput(f"{path}, line {line} has no text: give a string, or an object with the string 'text'.")
    return text


def _array(path: Path) -> Any:
    found = array_in(path) if path.suffix == ".npy" else _named(path)
    if getattr(found, "ndim", 0) != 2:
        raise BadInput(f"{path} has the shape {getattr(found, 'shape', '?')}: give embeddings (N, D).")
    return found


def _named(path: Path) -> Any:
    """Return the embeddings of a file. Raises ``BadInput`` where it has several arrays and none is called so."""
    arrays = arrays_in(path)
    name = next((name for name in (*NAMES, *arrays) if name in arrays and (name in NAMES or len(arrays) == 1)), None)
    if name is None:
        raise BadInput(
            f"{path} has {', '.join(sorted(arrays)) or 'nothing'}: call the embeddings {' or '.join(NAMES)}."
        )
    return arrays[name]
