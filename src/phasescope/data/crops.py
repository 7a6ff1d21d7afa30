"""Images as embeddings in which a copy that was cut at its edges stays near: fitted to the images, without labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from phasescope.checks import number, whole
from phasescope.data.pictures import SIDE, Pictures, scaled
from phasescope.ensemble import streams
from phasescope.vocabulary import Array, BadInput

CELLS, BINS = 8, 8
CUT = 0.15
NOISE, LIGHT = 0.1, 0.3  # the most noise, and change of brightness, of the copies that are made
FITTED, HELD, COPIES, FEWEST = 2000, 300, 4000, 20
BLOCK = 256
RIDGE = 1e-3
PER_DIRECTION = 4  # images for each direction that is kept
TRIED = (0.05, 0.1, 0.15)  # shares cut off whose recall is read
Tell = Callable[[int, int], object]


@dataclass(frozen=True)
class Crops:
    """What ``crops`` returns: ``rows`` (N, K), float32, which ``ps.dedup`` takes, and how well it finds what was cut.

    ``cosines``: by the share that was cut off each side, the cosines (M,) of images with a copy of theirs that was cut
    so, for images that the embedding was not fitted to.
    """

    rows: Array
    cosines: dict[float, Array]

    def found(self, epsilon: float) -> dict[float, float]:
        """Return, by the share cut off, which share of such copies has a cosine above 1 - ``epsilon`` (0 to 2)."""
        limit = 1 - number(0, 2)("epsilon", epsilon)
        return {share: float((values > limit).mean()) for share, values in self.cosines.items()}

    def __str__(self) -> str:
        return f"{self.rows.shape[0]:,} images in {self.rows.shape[1]} dimensions"


def crops(images: Any, *, cut: float = CUT, seed: int = 0, on_progress: Tell | None = None) -> Crops:
    """Return images as embeddings in which copies stay near that lost a part of each side, at most the share ``cut``.

    ``images`` as ``pixels`` takes them. Each is described by histograms of its gradients' directions, 8 in each of 8 x
    8 cells (Dalal and Triggs 2005), square roots of shares, so that contrast does not count. Of up to 2,000 images
    copies are made that are cut at random, brighter or darker and noisy. The description is turned into directions
    along which differences within images (of copies) and between them are independent, as Fisher's discriminant with
    each image as a class; each counts by its reliability 1 - within / between, those below 0 not at all, and no more
    directions than a fourth of the images.

    ``cut``: above 0 to 0.5. ``on_progress(done, total)`` is told of images. A fifth of the images, 300 at most, is not
    used for that, and tells what is found. Raises ``BadInput`` for fewer than 20 images, and as ``pixels`` does.
    """
    cut, seed = number(0, 0.5, open_low=True)("cut", cut), whole()("seed", seed)
    pictures = Pictures(images)
    if len(pictures) < FEWEST:
        raise BadInput(f"there are {len(pictures)} images: give at least {FEWEST}, to learn from, or use pixels.")
    tell = on_progress or (lambda done, total: None)
    chance = streams(seed)("crops")
    order = chance.permutation(len(pictures))
    held = order[: min(HELD, len(order) // 5)]
    fitted = order[len(held) : len(held) + FITTED]
    described = np.empty((len(pictures), CELLS * CELLS * BINS), np.float32)
    for start in range(0, len(pictures), BLOCK):
        tell(start, len(pictures))
        rows = range(start, min(start + BLOCK, len(pictures)))
        described[start : rows.stop] = _described([scaled(pictures[row], SIDE) for row in rows])
    pictures.refuse_flat(np.asarray(~np.isfinite(described).all(1)))
    mean = described[fitted].mean(0)
    turn = _discriminant(described[fitted] - mean, _differences(pictures, fitted, described, cut, chance))
    rows = (described - mean) @ turn
    cosines = {}
    for share in TRIED:
        copies = _described([_changed(pictures[row], share, share, chance, plain=True) for row in held])
        cosines[share] = _cosines(rows[held], (copies - mean) @ turn)
    return Crops(rows, cosines)


def _described(images: list[Array]) -> Array:
    """Return histograms of the directions of gradients (N, D), float32, of length one; NaN for one grey.

    A gradient counts in the two nearest of ``BINS`` directions, and in cells by a Gaussian of two thirds of their side.
    """
    grey = np.stack(images)
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, :, 1:-1], down[:, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2], grey[:, 2:] - grey[:, :-2]
    size, place = np.hypot(across, down), np.arctan2(down, across) % (2 * np.pi) * (BINS / (2 * np.pi))
    low = np.floor(place)
    share, low = place - low, low.astype(int) % BINS
    side = grey.shape[-1]
    width = side / CELLS
    centre = (np.arange(CELLS) + 0.5) * width - 0.5
    window = np.exp(-0.5 * ((np.arange(side) - centre[:, None]) / (width / 1.5)) ** 2).astype(np.float32)
    window /= window.sum(1, keepdims=True)
    found = np.empty((len(grey), BINS, CELLS, CELLS), np.float32)
    for one in range(BINS):
        mass = size * np.where(low == one, 1 - share, np.where((low + 1) % BINS == one, share, 0)).astype(np.float32)
        found[:, one] = window @ mass @ window.T
    flat = found.reshape(len(grey), -1)
    with np.errstate(invalid="ignore"):
        unit: Array = np.sqrt(flat / flat.sum(1, keepdims=True))
    return unit


def _changed(grey: Array, least: float, most: float, chance: np.random.Generator, *, plain: bool = False) -> Array:
    """Return an image (SIDE, SIDE) that lost a share from ``least`` to ``most``; not ``plain``: noisy too."""
    share = chance.uniform(least, most)
    height, width = grey.shape
    left, top = chance.uniform(0, share * width), chance.uniform(0, share * height)
    if not plain:
        low, high = float(grey.min()), float(grey.max())
        lit = low + (grey - low) * (1 + chance.uniform(-LIGHT, LIGHT))
        spread = chance.uniform(0, NOISE) * (high - low)
        grey = np.clip(lit + spread * chance.standard_normal(grey.shape), low, high).astype(np.float32)
    return scaled(grey, SIDE, box=(left, top, left + (1 - share) * width, top + (1 - share) * height))


def _differences(pictures: Pictures, rows: Array, described: Array, cut: float, chance: np.random.Generator) -> Array:
    """Return by how much the descriptions of changed copies differ from those of their images (M, D)."""
    each = max(2, math.ceil(COPIES / len(rows)))
    found = []
    for start in range(0, len(rows), max(1, BLOCK // each)):
        part = rows[start : start + max(1, BLOCK // each)]
        copies = _described([_changed(pictures[row], 0, cut, chance) for row in part for _ in range(each)])
        found.append(copies - np.repeat(described[part], each, 0))
    all_: Array = np.concatenate(found)
    return all_[np.isfinite(all_).all(1)]  # of a copy nothing but one grey may be left


def _discriminant(between: Array, within: Array) -> Array:
    """Return the matrix (D, K) that turns and weighs descriptions, float32."""
    total = between.T.astype(np.float64) @ between / len(between)
    inner = within.T.astype(np.float64) @ within / (2 * len(within))
    inner += RIDGE * np.trace(total) / len(total) * np.eye(len(total))
    ratio, turn = linalg.eigh(total, inner)
    # as many as the images can tell: along others even rows that were fitted to would be far apart
    kept = (ratio > 1) & (np.arange(len(ratio)) >= len(ratio) - max(FEWEST // 4, len(between) // PER_DIRECTION))
    if not kept.any():
        raise BadInput("images differ no more from each other than from their own copies: use pixels.")
    weighed: Array = turn[:, kept] * ((1 - 1 / ratio[kept]) / np.sqrt(ratio[kept]))
    return weighed.astype(np.float32)


def _cosines(a: Array, b: Array) -> Array:
    found: Array = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return found
