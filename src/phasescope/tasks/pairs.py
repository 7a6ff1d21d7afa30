"""Pairs of a picture and a text: emoji and their names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from phasescope.checks import whole
from phasescope.vocabulary import Array, BadInput


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pictures (N, S) and texts (N, F), float32, and the N captions that the texts were counted from."""

    images: Array
    texts: Array
    captions: tuple[str, ...]


def emoji(folder: str | Path, *, size: int = 16, features: int = 1024) -> Pairs:
    """Return the emoji of Noto and their names, from the ``folder`` of emoji.json and its pictures of 64 x 64 pixels.

    Pictures are laid on white, averaged to ``size`` x ``size`` and 3 colours, and have zero mean and unit mean square
    over the set. A text is the unit vector of hashed counts of its 2, 3 and 4 letters in a row. Skin tones are left
    out. Raises ``BadInput`` for a folder without them, or a ``size`` that does not divide 64.
    """
    if 64 % whole(1, 64)("size", size):
        raise BadInput(f"size is {size}: it must divide 64, for example 16.")
    return _emoji(Path(folder), int(size), whole(1, 2**24)("features", features))


@lru_cache
def _emoji(folder: Path, size: int, features: int) -> Pairs:
    from PIL import Image
    from sklearn.feature_extraction.text import HashingVectorizer

    index = Path(folder) / "emoji.json"
    if not index.is_file():
        raise BadInput(f"{folder} has no emoji.json: fetch it with `phasescope data emoji`.")
    known = json.loads(index.read_text("utf-8"))
    listed = [e for e in known if (Path(folder) / e["image"]).is_file() and e["category"] != "Component"]
    captions = tuple(f"{e['name'] or ''} {e['short_name'].replace('_', ' ')}".lower() for e in listed)
    pictures = np.empty((len(listed), size * size * 3), np.float32)
    for row, e in zip(pictures, listed, strict=True):
        with Image.open(Path(folder) / e["image"]) as picture:
            pixels = np.asarray(picture.convert("RGBA").resize((64, 64)), np.float32) / 255
        on_white = pixels[..., :3] * pixels[..., 3:] + 1 - pixels[..., 3:]
        row[:] = on_white.reshape(size, 64 // size, size, 64 // size, 3).mean((1, 3)).ravel()
    pictures -= pictures.mean(0)
    counts = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=features, alternate_sign=False)
    texts = counts.transform(captions).toarray().astype(np.float32)
    return Pairs(pictures / np.sqrt((pictures**2).mean()), texts * features**0.5, captions)
