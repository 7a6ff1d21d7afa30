"""Real text as samples of tokens: files or folders in, a table of token ids out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.ensemble import streams
from phasescope.inspection.folder import beginning
from phasescope.store.data import place_of
from phasescope.vocabulary import Array, BadInput

ENDINGS = (".txt", ".md", ".rst", ".text")


@dataclass(frozen=True)
class Samples:
    """Samples of text: ``ids`` (N, T) int64, and ``sizes`` (N,) int64, the bytes of text in the tokens after the first.

    A model predicts all tokens but the first of a sample, so its bits per byte are over these bytes. Where the
    tokenizer puts a token before any text, that is the first of each.
    """

    ids: Tensor
    sizes: Array

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice | Array) -> Samples:
        return Samples(self.ids[rows], self.sizes[rows])


def read_texts(path: Path | str) -> Iterator[str]:
    """Yield the text of a file, or of each text file in a folder and below, in the order of their names.

    ``path`` may be the name of a fetched data set. In a folder these are files that end in .txt, .md, .rst or .text. A
    byte order mark is no part of a text. Raises ``BadInput`` where there is none, and for a file that is not UTF-8.
    """
    path = place_of(path)
    inside = (part for part in path.rglob("*") if part.suffix in ENDINGS and part.is_file())
    files = sorted(inside) if path.is_dir() else [path]
    if not files:
        raise BadInput(f"{path} has no text: put files there that end in {', '.join(ENDINGS)}.")
    for file in files:
        try:
            yield file.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise BadInput(
                f"{file} can not be read ({error.strerror}): name a text file, or a folder of some."
            ) from error
        except UnicodeDecodeError as error:
            raise BadInput(f"{file} is no text in UTF-8: give plain text.") from error


def samples(
    texts: Iterable[str] | str,
    tokenizer: Any,
    *,
    length: int,
    count: int | None = None,
    seed: int | None = None,
    fewer: bool = False,
) -> Samples:
    """Cut ``texts`` into samples of ``length`` tokens that do not overlap; none spans two texts.

    No token is added but that which the tokenizer itself puts before any text, as Llama's and Gemma's do: it is then
    the first of each sample, for such models have never read a text without it.

    Without ``seed`` they are the first ``count`` in reading order, and no more text is read than they need; with it,
    ``count`` of all, chosen at random and kept in reading order. ``count=None`` takes all. Memory is that of one text
    and the samples; one string is one text. ``tokenizer`` is one of transformers. Raises ``BadInput`` where not one
    fits, or where ``count`` do not and ``fewer`` will not do.
    """
    if length < 2 or (count is not None and count < 1):
        raise BadInput(f"length is {length}, count {count}: samples need 2 tokens or more, and there must be one.")
    texts = [texts] if isinstance(texts, str) else texts
    kept: list[tuple[int, list[int], int]] = []
    seen, longest = 0, 0
    chance, before = streams(0 if seed is None else seed)("samples"), beginning(tokenizer)
    own = length - len(before)  # tokens of the text in a sample
    for text in texts:
        ids, places = _encoded(text, tokenizer)
        longest = max(longest, len(ids))
        for begin in range(0, len(ids) - own + 1, own):
            # a reservoir (Vitter 1985, algorithm R): each sample so far is kept with the same probability
            slot = (
                seen if count is None or seen < count else int(chance.integers(seen + 1)) if seed is not None else seen
            )
            seen += 1
            if count is not None and slot >= count:
                continue
            row = ids[begin : begin + own]
            first = 0 if before else 1  # of the text's own tokens, the first that is predicted
            size = _bytes(text, places[begin : begin + own], first) if places else _said(tokenizer, row, first)
            kept[slot : slot + 1] = [(seen, [*before, *row], size)]
        if seed is None and count is not None and seen >= count:
            break
    if not kept:
        raise BadInput(f"the longest text has {longest} tokens: give one of {length} or more, or a smaller length.")
    if count is not None and len(kept) < count and not fewer:
        raise BadInput(
            f"the text makes {len(kept)} samples of {length} tokens, not {count}: give more text, or ask for fewer."
        )
    kept.sort(key=lambda sample: sample[0])
    return Samples(torch.tensor([row for _, row, _ in kept]), np.array([size for _, _, size in kept], dtype=np.int64))


def _encoded(text: str, tokenizer: Any) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the tokens of a text, and where in it each stands, if the tokenizer can say so."""
    fast = bool(getattr(tokenizer, "is_fast", False))
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=fast, verbose=False)
    return found["input_ids"], found["offset_mapping"] if fast else []


def _bytes(text: str, places: list[tuple[int, int]], first: int) -> int:
    return len(text[places[0][first] : places[-1][1]].encode())


def _said(tokenizer: Any, ids: list[int], first: int) -> int:
    return len(tokenizer.decode(ids).encode()) - len(tokenizer.decode(ids[:first]).encode())
