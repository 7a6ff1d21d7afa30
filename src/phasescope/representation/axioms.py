"""Which measure of isotropy obeys which axiom, computed on clouds of which the answer is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import fft

from phasescope.checks import whole
from phasescope.ensemble import streams
from phasescope.representation.isotropy import isotropy
from phasescope.vocabulary import Array

AXIOMS: Mapping[str, str] = {
    "shift": "a constant added to all points changes nothing",
    "scale": "all points times ten changes nothing",
    "rotation": "turning the axes changes nothing",
    "duplicates": "each point twice changes nothing",
    "points": "eight times as many points of the same law change nothing",
    "variance": "the larger one direction's variance, the less even",
    "dimensions": "the more directions are used alike, the more even",
    "linear": "k of D directions, used alike, read (k - 1) / (D - 1) of the way from one to all",
}
ALLOWED = 0.05
"""How far a reading may move, over the distance between one direction and all, and count as the same."""
WIDTH, USED, SIZES, STEP = 20, (1, 6, 11, 15, 20), (1, 1.5, 2, 3), 0.001
"""Dimensions of the clouds; how many are used alike; sizes of one direction; the least step, over the distance."""


@dataclass(frozen=True)
class Scorecard:
    """For each of ``measures`` (M) and ``axioms`` (A) how far the measure is from it, ``moved`` (M, A).

    In units of the measure's own distance between a cloud in one direction and an even one, or of 1 where that is
    less than 0.1, as for the cosine. ``holds``: at most 0.05. Of the axioms of order the entry is 0 or 1.
    """

    measures: tuple[str, ...]
    axioms: tuple[str, ...]
    moved: Array

    @property
    def holds(self) -> Array:
        """Whether each measure obeys each axiom (M, A)."""
        obeyed: Array = self.moved <= ALLOWED
        return obeyed

    def obeys(self, measure: str, axiom: str) -> bool:
        """Say whether one measure obeys one axiom, by their names."""
        return bool(self.holds[self.measures.index(measure), self.axioms.index(axiom)])

    def __str__(self) -> str:
        rows = [("", *self.axioms)]
        for name, moved, holds in zip(self.measures, self.moved, self.holds, strict=True):
            cells = (f"{'yes' if good else 'no'} {value:.2f}" for value, good in zip(moved, holds, strict=True))
            rows.append((name, *cells))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        said = [f"{axiom}: {words}" for axiom, words in AXIOMS.items()]
        return "\n".join([*lines, "", *said])


def isotropy_axioms(*, points: int = 1000, seed: int = 0) -> Scorecard:
    """Return which of the readings of ``isotropy`` obey which axiom, on white noise that is shifted, turned, stretched.

    Eight axioms, after the properties that Rudman et al. 2022, arXiv:2108.07344, ask of a measure and the invariances
    that this package declares. A measure's move is its change over its distance between one direction and all; in
    "variance" and "dimensions" each step goes the right way by a thousandth of it; "linear": the largest distance from
    the line. Clouds of ``points`` in 20 dimensions. Costs about twenty readings of such a cloud.
    """
    points, seed = whole(100, 10**5)("points", points), whole(0, 2**63 - 1)("seed", seed)
    generators = streams(seed)
    noise = generators("noise").standard_normal((points, WIDTH))
    more = generators("more noise").standard_normal((8 * points, WIDTH))
    turn = fft.dct(np.eye(WIDTH), norm="ortho")  # a rotation that leaves no axis as it is
    alike = np.array([_read(_some(noise, k)) for k in USED])
    wide = np.array([_read(noise * np.where(np.arange(WIDTH) == 0, size, 1.0)) for size in SIZES])
    way = alike[-1] - alike[0]
    far = np.where(np.abs(way) > 0.1, np.abs(way), 1.0)
    toward = np.where(way < 0, -1.0, 1.0)
    line = (np.array(USED) - 1) / (WIDTH - 1)
    moves = []
    for stretch in (np.geomspace(1, 5, WIDTH), np.where(np.arange(WIDTH) == 0, 8.0, 1.0)):
        uneven = noise * stretch
        changed = (uneven + 10, 10 * uneven, uneven @ turn, np.repeat(uneven, 2, 0), more * stretch)
        moves.append([np.abs(_read(points) - _read(uneven)) / far for points in changed])
    found = list(np.array(moves).max(0))
    for rows, sense in ((wide, -1), (alike, 1)):
        found.append((np.diff(rows, axis=0) * toward / far * sense < STEP).any(0).astype(float))
    found.append(np.abs((alike - alike[0]) * toward / far - line[:, None]).max(0))
    return Scorecard(tuple(isotropy(noise)), tuple(AXIOMS), np.array(found).T)


def _some(noise: Array, used: int) -> Array:
    """Return points that have ``used`` of the dimensions of ``noise``, and next to nothing of the others."""
    sizes = np.where(np.arange(noise.shape[1]) < used, 1.0, 1e-6)
    kept: Array = noise * sizes
    return kept


def _read(points: Array) -> Array:
    return np.array([one.value for one in isotropy(points).values()])
