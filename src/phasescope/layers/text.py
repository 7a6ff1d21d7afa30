"""Real text as samples of tokens: files or folders in, a table of token ids out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.checks import optional, whole
from phasescope.ensemble import streams
from phasescope.errors import shown
from phasescope.inspection.folder import beginning, check_text
from phasescope.store.data import place_of
from phasescope.vocabulary import Array, BadInput

ENDINGS = (".txt", ".md", ".rst", ".text")
CONTEXT = 8  # tokens that are read before a sample where a tokenizer does not say where tokens stand


@dataclass(frozen=True)
class Samples:
    """Samples of text: ``ids`` (N, T) int64, and ``sizes`` (N,) int64, the bytes of text in the tokens after the first.

    A model predicts all tokens but the first of a sample, so its bits per byte are over these bytes. Where the
    tokenizer puts a token before any text, that is the first of each. No byte is in two samples: tokens that make one
    letter share its bytes evenly, or the last has them where the tokenizer does not say which tokens these are.
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
    length, count = whole(2)("length", length), optional(whole(1))("count", count)
    seed, texts = optional(whole(0, 2**62))("seed", seed), _texts(texts)
    kept: list[tuple[int, list[int], int]] = []
    seen, longest = 0, 0
    chance, before = streams(0 if seed is None else seed)("samples"), beginning(tokenizer)
    own = length - len(before)  # tokens of the text in a sample
    first = 0 if before else 1  # of these, the first that is predicted
    for text in texts:
        ids, borders = _encoded(text, tokenizer)
        longest = max(longest, len(ids))
        for begin in range(0, len(ids) - own + 1, own):
            # a reservoir (Vitter 1985, algorithm R): each sample so far is kept with the same probability
            slot = (
                seen if count is None or seen < count else int(chance.integers(seen + 1)) if seed is not None else seen
            )
            seen += 1
            if count is not None and slot >= count:
                continue
            here, end = begin + first, begin + own
            size = _said(tokenizer, ids, begin, here, end) if borders is None else int(borders[end] - borders[here])
            kept[slot : slot + 1] = [(seen, [*before, *ids[begin:end]], size)]
        if seed is None and count is not None and seen >= count:
            break
    if not kept:
        raise BadInput(f"the longest text has {longest} tokens: give one of {own} or more, or a smaller length.")
    if count is not None and len(kept) < count and not fewer:
        raise BadInput(
            f"the text makes {len(kept)} samples of {length} tokens, not {count}: give more text, or ask for fewer."
        )
    kept.sort(key=lambda sample: sample[0])
    return Samples(torch.tensor([row for _, row, _ in kept]), np.array([size for _, _, size in kept], dtype=np.int64))


def _texts(given: Any) -> Iterable[str]:
    if isinstance(given, str):
        return [given]
    if isinstance(given, Path) or not isinstance(given, Iterable):
        raise BadInput(f"texts are {shown(given)}: give a text, several, or ps.layers.read_texts of a file.")
    return given


def _encoded(text: str, tokenizer: Any) -> tuple[list[int], Array | None]:
    """Return the tokens of a text, and the bytes of text before each, and in all, if the tokenizer can say so."""
    check_text("a text", text)
    fast = bool(getattr(tokenizer, "is_fast", False))
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=fast, verbose=False)
    return found["input_ids"], _borders(text, found["offset_mapping"]) if fast else None


def _borders(text: str, places: Sequence[tuple[int, int]]) -> Array:
    """Return the bytes (n + 1,) of ``text`` before each of n tokens that stand at ``places``, and in all.

    Each begins where the one before it ends. Tokens that share a letter share its bytes evenly: which byte is in which
    token the places do not say, but for letters of which each byte is one.
    """
    letters = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    sizes = 1 + (letters[:, None] >= np.array([0x80, 0x800, 0x10000])).sum(1)  # in UTF-8
    before = np.concatenate([[0], np.cumsum(sizes)])
    begins, ends = np.array(places, dtype=np.int64).reshape(-1, 2).T
    letter = np.maximum.accumulate(np.minimum(ends[:-1], begins[1:]))
    inner: Array = before[letter]
    cut = np.flatnonzero(begins[1:] < ends[:-1])  # borders inside of a letter
    which, first, count = np.unique(letter[cut], return_index=True, return_counts=True)
    place = 1 + np.arange(len(cut)) - np.repeat(first, count)
    inner[cut] = inner[cut] + place * np.repeat(sizes[which], count) // np.repeat(count + 1, count)
    found: Array = np.concatenate([[0], inner, before[-1:]])
    return found


def _said(tokenizer: Any, ids: list[int], begin: int, here: int, end: int) -> int:
    """Return the bytes that tokens ``here`` to ``end`` add to those from ``begin`` on, read with some before these."""
    least = max(0, begin - CONTEXT)
    return bytes_of(tokenizer, ids[least:end]) - bytes_of(tokenizer, ids[least:here])


def bytes_of(tokenizer: Any, ids: Sequence[int]) -> int:
    """Return the bytes of the text that ``ids`` make, without a letter at the end of which parts are missing."""
    # spaces before commas are text, too
    options = {"clean_up_tokenization_spaces": False} if hasattr(tokenizer, "clean_up_tokenization_spaces") else {}
    said = tokenizer.decode(list(ids), **options) if len(ids) else ""
    return len(said.rstrip("\N{REPLACEMENT CHARACTER}").encode())
