"""Names written into the regions of a map: where a region is widest, off the dots, and only where they fit."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage

from phasescope.vocabulary import Array

from .panels import LETTER

WIDTH, HEIGHT = 3.3, 2.4  # inch, the inside of a panel at its least
FINE = 40  # raster points per inch
LEAST = 0.03  # a region of a smaller fraction of the panel gets no name
MARGIN = 0.04  # inch, free on each side of a name
LINE = 0.15  # inch, one line of a name
MOST_LINES = 3
SIZES = (8.0, 7.0)  # points; the smaller where the larger does not fit


@dataclass(frozen=True)
class Label:
    """A name in its lines, the size of its letters in points, and its middle as fractions of the panel's sides."""

    text: str
    size: float
    x: float
    y: float


def label_regions(phase: Array, columns: Array, rows: Array, names: Sequence[str], dots: Array) -> list[Label]:
    """Return names for the connected regions of ``phase`` (m, n) in which they fit.

    ``columns`` (n + 1,) and ``rows`` (m + 1,) are the cells' edges and ``dots`` (k, 2) the marks to keep off, as
    fractions of the panel's width and height.
    """
    u = (np.arange(round(WIDTH * FINE)) + 0.5) / round(WIDTH * FINE)
    v = (np.arange(round(HEIGHT * FINE)) + 0.5) / round(HEIGHT * FINE)
    raster = np.full((len(v), len(u)), -1)
    i, j = np.searchsorted(rows, v) - 1, np.searchsorted(columns, u) - 1
    inside = np.ix_((i >= 0) & (i < phase.shape[0]), (j >= 0) & (j < phase.shape[1]))
    raster[inside] = phase[np.ix_(i[inside[0].ravel()], j[inside[1].ravel()])]
    marks = _raster(dots, raster.shape)
    found = []
    for k, name in enumerate(names):
        regions, count = ndimage.label(raster == k)
        for region in range(1, count + 1):
            mask = regions == region
            label = _label(mask, marks, name) if mask.mean() >= LEAST else None
            found += [label] if label else []
    return found


def _raster(dots: Array, shape: tuple[int, int]) -> Array:
    """Return how many dots lie at each point of the raster."""
    marks = np.zeros(shape)
    kept = dots[((dots >= 0) & (dots < 1)).all(axis=1)]
    np.add.at(marks, ((kept[:, 1] * shape[0]).astype(int), (kept[:, 0] * shape[1]).astype(int)), 1)
    return marks


def _label(mask: Array, marks: Array, name: str) -> Label | None:
    """Return the name of one region in as few lines as fit, where it covers the fewest dots and is far inside."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    middle = np.argwhere(mask).mean(axis=0)
    away = np.hypot(*(np.indices(mask.shape) - middle[:, None, None]))
    for size, text in product(SIZES, _broken(name)):
        lines = text.split("\n")
        height = 2 * MARGIN + LINE * len(lines) * size / SIZES[0]
        width = 2 * MARGIN + LETTER * max(len(line) for line in lines) * size / SIZES[0]
        box = (2 * round(height * FINE / 2) + 1, 2 * round(width * FINE / 2) + 1)
        if box[0] > mask.shape[0] or box[1] > mask.shape[1]:
            continue
        fits = ndimage.minimum_filter(mask, box, mode="constant", cval=0)
        if fits.any():
            covered = ndimage.uniform_filter(marks, box, mode="constant") * (box[0] * box[1])
            merit = np.where(fits, depth - 0.1 * away - 1e4 * np.round(covered), -np.inf)
            row, column = np.unravel_index(np.argmax(merit), merit.shape)
            return Label(text, size, (column + 0.5) / mask.shape[1], (row + 0.5) / mask.shape[0])
    return None


def _broken(name: str) -> list[str]:
    """Return a name in one line, then in ever more, without breaking a word."""
    tried = [textwrap.wrap(name, width, break_long_words=False) for width in range(len(name), 0, -1)]
    return list(dict.fromkeys("\n".join(lines) for lines in tried if len(lines) <= MOST_LINES))
