"""True copies among real texts: by the cosine of weighed words, against sets of 5-word shingles."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from phasescope.data import dedup, shingles, tfidf
from phasescope.ensemble import Quantity
from phasescope.store.data import SETS, data_folder
from phasescope.vocabulary import Array, BadInput, Generators, Member

JACCARD = 0.8
NEAR = 0.1  # distance by words up to which a text goes
AGREEMENT = (
    Quantity("copies", "1", "texts with another whose 5-word shingles have a Jaccard index of 0.8 or more"),
    Quantity("gone", "1", "texts that go by words, over all"),
    Quantity("right", "1", "of these, those that have a copy by shingles"),
    Quantity("chance", "1", "the same of as many texts that are drawn at random"),
)


@lru_cache(maxsize=2)
def bodies(folder: str) -> tuple[str, ...]:
    """Return the texts of a folder's files, in the order of their names, without heads of mails; no empty ones."""
    place = Path(data_folder(folder)) if folder in SETS else Path(folder)
    files = sorted(path for path in place.rglob("*") if path.is_file() and path.suffix in ("", ".txt"))
    texts = [path.read_text("latin-1").split("\n\n", 1)[-1] for path in files]
    found = tuple(text for text in texts if text.strip())
    if len(found) < 2:
        raise BadInput(f"{folder} has {len(found)} texts: name a folder of text files, one text in each.")
    return found


def jaccard(texts: list[str]) -> Array:
    """Return the Jaccard index of the sets of 5-word shingles of each pair of texts (N, N); 0 with itself."""
    rows = shingles(texts)
    both = np.asarray((rows @ rows.T).todense(), np.float64)
    sizes = np.asarray(rows.sum(1)).ravel()
    found: Array = both / (sizes[:, None] + sizes[None] - both)
    np.fill_diagonal(found, 0)
    return found


def measure_texts(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Measure ``copies``, ``gone``, ``right`` and ``chance`` of texts that are drawn from a folder for the seed."""
    every, count = bodies(str(member["folder"])), int(member["texts"])
    rows = np.sort(generators("texts").permutation(len(every))[:count])
    texts = [every[i] for i in rows]
    near = np.asarray((jaccard(texts) >= JACCARD).any(1))
    kept = dedup(tfidf(texts), epsilon=NEAR, clusters=1, sample=2).kept
    gone = np.setdiff1d(np.arange(len(texts)), kept)
    random = generators("random").permutation(len(texts))[: len(gone)]
    return {
        "copies": near.mean(),
        "gone": len(gone) / len(texts),
        "right": near[gone].mean() if len(gone) else np.nan,
        "chance": near[random].mean() if len(gone) else np.nan,
    }
