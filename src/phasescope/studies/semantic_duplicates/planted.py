"""Near copies that are planted among real images, and which of them are found."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from phasescope.data import dedup, pixels
from phasescope.studies.semantic_duplicates.settings import BRIGHTNESS, NOISE, STRENGTHS
from phasescope.vocabulary import Array, Generators, Member

Found = Mapping[str, Any]
WHITE = 16.0
EXACT = 20  # exact copies that lie beside, and are not counted


@lru_cache(maxsize=1)
def pictures() -> Array:
    """Return scikit-learn's 1,797 digits (N, 8, 8), from 0 to 16."""
    from sklearn.datasets import load_digits

    found: Array = np.asarray(load_digits().images, np.float64)
    return found


def changed(images: Array, change: str, strength: float, chance: np.random.Generator) -> Array:
    """Return images (N, H, W), from 0 to 16, with noise, brighter, or moved to the left by ``strength`` pixels."""
    if change == NOISE:
        return np.clip(images + WHITE * strength * chance.standard_normal(images.shape), 0, WHITE)
    if change == BRIGHTNESS:
        return np.clip(images + WHITE * strength, 0, WHITE)
    moved = np.concatenate([images[:, :, 1:], np.zeros_like(images[:, :, :1])], 2)
    return (1 - strength) * images + strength * moved


def measure_planted(member: Member, generators: Generators) -> Found:
    """Measure ``recall`` and ``precision`` (strength) of planted copies, of near copies by cosine of pixels.

    Recall: the share of changed copies one of whose pair goes for the other. Precision: the share of rows that go whose
    nearest earlier row is of the same origin; exact copies count in neither. ``hash_recall``, ``hash_precision``: the
    same where rows go whose 64 bits, brighter than the mean or not, are those of an earlier one.
    """
    plain, change = pictures(), str(member["change"])
    n, count = len(plain), int(member["planted"])
    rows = generators("planted").choice(n, count + EXACT, replace=False)
    origin = np.concatenate([np.arange(n), rows])
    counted = np.arange(len(origin)) < n + count
    found: dict[str, list[float]] = {"recall": [], "precision": [], "hash_recall": [], "hash_precision": []}
    for i, strength in enumerate(STRENGTHS[change]):
        copies = changed(plain[rows[:count]], change, strength, generators("noise", i))
        x = np.concatenate([plain, copies, plain[rows[count:]]])
        near = dedup(pixels(x, side=8), epsilon=float(member["epsilon"]), clusters=1, sample=2)
        pairs = near.pairs[near.pairs["cosine"] > 1 - near.epsilon]
        recall, precision = quality(pairs["i"], pairs["j"], origin, counted, count)
        found["recall"].append(recall)
        found["precision"].append(precision)
        recall, precision = quality(*same_bits(x), origin, counted, count)
        found["hash_recall"].append(recall)
        found["hash_precision"].append(precision)
    return {name: np.array(values) for name, values in found.items()}


def quality(earlier: Array, later: Array, origin: Array, counted: Array, count: int) -> tuple[float, float]:
    """Return recall and precision of pairs of rows; those with an exact copy are left out."""
    exact = set(origin[~counted].tolist())
    some = np.array([o not in exact for o in origin])
    ok = some[earlier] & some[later]
    same = origin[earlier[ok]] == origin[later[ok]]
    return float(same.sum() / count), float(same.mean()) if len(same) else float("nan")


def same_bits(images: Array) -> tuple[Array, Array]:
    """Return pairs (earlier, later) of images (N, H, W) with the same bits, each later one once: an average hash."""
    bits = (images > images.mean((1, 2), keepdims=True)).reshape(len(images), -1)
    first: dict[bytes, int] = {}
    pairs = [(first.setdefault(row.tobytes(), i), i) for i, row in enumerate(bits)]
    found = np.array([pair for pair in pairs if pair[0] < pair[1]], np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
