"""Finds where phases meet on a lattice by asking for few of its places: a quadtree that reckons with noise.

``ask`` says what to train next, ``tell`` takes in what came of it; nothing here trains. A box of the lattice whose
known places disagree is split, down to neighbouring places. A place has as many replicas as it takes to know its phase
with the confidence asked for, or all: near a boundary seeds differ, and far from it a few agree. The order of asking
follows from what was told alone, so that the same call on the same networks asks the same again, and resumes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import betainc

from phasescope.checks import number, sequence, shown, whole
from phasescope.vocabulary import Array, BadInput

Place = tuple[int, int]
COARSE, FEWEST = 9, 25
MOST_SIDE = 10_000  # of a lattice, whose places are held in memory


@dataclass(frozen=True)
class Box:
    """The places from (``top``, ``left``) to (``bottom``, ``right``), all four included."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> int:
        """The longer side, in steps of the lattice."""
        return max(self.bottom - self.top, self.right - self.left)

    @property
    def inside(self) -> tuple[slice, slice]:
        """The box as an index into arrays over the lattice."""
        return slice(self.top, self.bottom + 1), slice(self.left, self.right + 1)

    def corners(self) -> Iterator[Place]:
        """Yield the four corners."""
        yield from ((i, j) for i in (self.top, self.bottom) for j in (self.left, self.right))

    def parts(self) -> list[Box]:
        """Return the two or four boxes that this one is cut into, in the middle of each side that is long enough."""
        rows, columns = _cut(self.top, self.bottom), _cut(self.left, self.right)
        return [Box(*row, *column) for row in rows for column in columns]


def _cut(low: int, high: int) -> list[tuple[int, int]]:
    middle = (low + high) // 2
    return [(low, high)] if high - low < 2 else [(low, middle), (middle, high)]


def certainty(counts: Array) -> Array:
    """Return the probability (...) that the most frequent of the phases ``counts`` (..., C) beats the next one.

    The mass above 1/2 of the posterior Beta(a + 1, b + 1), from a uniform prior, for a networks in the first phase and
    b in the second: 15/16 after three of three, 1/2 after none.

    >>> certainty(np.array([[3, 0], [0, 0], [2, 1]])).tolist()
    [0.9375, 0.5, 0.6875]
    """
    ordered = np.sort(counts, axis=-1)
    first, second = ordered[..., -1], ordered[..., -2]
    return np.asarray(betainc(second + 1.0, first + 1.0, 0.5))


class Refinement:
    """Which phase reigns where on a lattice of ``shape`` (rows, columns), from as few networks as possible.

    ``phases`` C >= 2 possible outcomes. Each place asked for gets ``first`` replicas, then more, up to ``seeds``, until
    its most frequent phase is known with ``confidence`` (see ``certainty``). At most ``cells`` places are asked for;
    ``left`` estimates how many are still to come. Raises ``BadInput`` for numbers out of range.

    >>> found = Refinement((33, 33), 2, seeds=1, first=1, confidence=0.7)
    >>> while asked := found.ask():
    ...     for (i, j), replica in asked:
    ...         found.tell((i, j), int(i * i + j * j > 500))
    >>> truth = np.add.outer(np.arange(33) ** 2, np.arange(33) ** 2) > 500
    >>> bool((found.phase == truth).all()), int(found.sampled.sum())
    (True, 242)
    """

    def __init__(
        self,
        shape: tuple[int, int],
        phases: int,
        *,
        seeds: int = 7,
        first: int = 3,
        confidence: float = 0.9,
        cells: int | None = None,
    ) -> None:
        sides = sequence("shape", shape, 2)
        if len(sides) != 2:
            raise BadInput(f"shape is {shown(shape)}: give (rows, columns).")
        side = whole(2, MOST_SIDE)
        shape = side("rows of the lattice", sides[0]), side("columns of the lattice", sides[1])
        phases, seeds = whole(2, MOST_SIDE)("phases", phases), whole(1, 10**6)("seeds", seeds)
        first = whole(0, 10**6)("first", first)
        if not 1 <= first <= seeds:
            raise BadInput(f"first is {first} and seeds is {seeds}: a cell needs 1 <= first <= seeds networks.")
        confidence = number(0.5, 1, open_low=True, open_high=True)("confidence", confidence)
        cells = None if cells is None else whole(0)("cells", cells)
        if cells is not None and cells < min(FEWEST, shape[0] * shape[1]):
            raise BadInput(f"cells is {cells}: a map needs at least {min(FEWEST, shape[0] * shape[1])} of them.")
        self.shape, self.seeds, self.first, self.confidence = shape, seeds, first, confidence
        self.cells = shape[0] * shape[1] if cells is None else cells
        self.counts = np.zeros((*shape, phases), dtype=np.int64)
        self.asked = np.zeros(shape, dtype=np.int64)
        self.leaves = self._start()
        # roughly how many places will still be asked for after those that were
        self.left = 0

    def _start(self) -> list[Box]:
        most = COARSE if self.cells >= 2 * COARSE**2 else 5
        rows, columns = (np.unique(np.rint(np.linspace(0, n - 1, min(n, most))).astype(int)) for n in self.shape)
        return [Box(int(a), int(b), int(c), int(d)) for a, b in pairwise(rows) for c, d in pairwise(columns)]

    # -- the conversation ----------------------------------------------------------------------------------------------

    def tell(self, place: Place, phase: int) -> None:
        """Take in that one network at ``place`` ended in ``phase``."""
        row, column = place
        if not (0 <= row < self.shape[0] and 0 <= column < self.shape[1] and 0 <= phase < self.counts.shape[2]):
            raise BadInput(
                f"place {place} of phase {phase} is not on the lattice of {self.shape[0]} x {self.shape[1]} places "
                f"and {self.counts.shape[2]} phases, counted from 0."
            )
        self.counts[place][phase] += 1

    def ask(self) -> list[tuple[Place, int]]:
        """Return what to train next, as (place, replica 0, 1, ...); none when all is known or spent."""
        told = self.told  # a sum over the whole lattice: once
        waiting = [(p, r) for p in self._places(told < self.asked) for r in range(told[p], self.asked[p])]
        return waiting or self._replicas() or self._new(self._split()) or self._new(self._halo())

    def _ask(self, place: Place, upto: int) -> list[tuple[Place, int]]:
        before, self.asked[place] = int(self.asked[place]), upto
        return [(place, replica) for replica in range(before, upto)]

    def _replicas(self) -> list[tuple[Place, int]]:
        """Ask for more replicas where the phase is not known well enough."""
        told = self.told
        unsure = self.sampled & (certainty(self.counts) < self.confidence) & (told < self.seeds)
        return [ask for p in self._places(unsure) for ask in self._ask(p, min(self.seeds, int(told[p]) + 2))]

    def _new(self, places: Sequence[Place]) -> list[tuple[Place, int]]:
        """Ask for the places not asked for yet, as far as the cells reach."""
        free = self.cells - int(self.sampled.sum())
        fresh = [place for place in dict.fromkeys(places) if not self.asked[place]][:free]
        self.left = max(min(self.left, free) - len(fresh), 0)
        return [ask for place in fresh for ask in self._ask(place, self.first)]

    def _split(self) -> list[Place]:
        """Cut the largest boxes of several phases, until there are places to ask for; return their corners."""
        if not self.sampled.any():
            corners = [corner for box in self.leaves for corner in box.corners()]
            self.left = len(set(corners)) + 3 * max(self.shape)  # as for one boundary from end to end
            return corners
        known = self.known
        while self.sampled.sum() < self.cells:
            large = [box for box in self.leaves if box.size > 1]
            cut = [box for box, mixed in zip(large, _mixed(known, large), strict=True) if mixed]
            # a boundary through a box takes about three places for each step of the lattice
            self.left = 3 * sum(box.size for box in cut)
            if not cut:
                return []
            largest = max(box.size for box in cut)
            chosen = [box for box in cut if box.size == largest]
            parts = [part for box in chosen for part in box.parts()]
            gone = set(chosen)
            self.leaves = [box for box in self.leaves if box not in gone] + parts
            corners = [corner for part in parts for corner in part.corners()]
            if any(not self.asked[corner] for corner in corners):
                return corners
        return []

    def _halo(self) -> list[Place]:
        """Return the places next to the boundary: what reaches over a box's side between its corners shows there."""
        edge = np.zeros(self.shape, dtype=bool)
        for axis in (0, 1):
            here, there = _pairs(axis)
            differ = self._differ(axis)
            edge[here] |= differ
            edge[there] |= differ
        wide = np.pad(edge, 1)
        near = np.zeros(self.shape, dtype=bool)
        for i in range(3):
            for j in range(3):
                near |= wide[i : i + self.shape[0], j : j + self.shape[1]]
        return self._places(near)

    def _differ(self, axis: int) -> Array:
        """Return where a known place and the next one along ``axis``, known too, are in different phases."""
        here, there = _pairs(axis)
        known = self.known
        return np.asarray((known[here] != known[there]) & (known[here] >= 0) & (known[there] >= 0))

    def _places(self, mask: Array) -> list[Place]:
        return [(int(i), int(j)) for i, j in np.argwhere(mask)]

    # -- what is known -------------------------------------------------------------------------------------------------

    @property
    def told(self) -> Array:
        """How many networks each place has told of (rows, columns)."""
        return np.asarray(self.counts.sum(-1))

    @property
    def sampled(self) -> Array:
        """Which places were asked for (rows, columns)."""
        return np.asarray(self.asked > 0)

    @property
    def known(self) -> Array:
        """The most frequent phase of each place (rows, columns), the first of equals, -1 where nothing was told."""
        return np.where(self.told > 0, self.counts.argmax(-1), -1)

    @property
    def phase(self) -> Array:
        """The phase of each place (rows, columns): its own, or the nearest known place's in its box; -1 unknown."""
        return self._filled()[0]

    @property
    def uncertain(self) -> Array:
        """Where the phase is not known with the confidence asked for, or was inferred in a box of several phases."""
        return self._filled()[1]

    def _filled(self) -> tuple[Array, Array]:
        phase = self.known
        known = phase >= 0
        uncertain = np.where(known, certainty(self.counts) < self.confidence, True)
        for box in self.leaves:
            inside = known[box.inside]
            if not inside.any():
                continue
            places, gaps = np.argwhere(inside), np.argwhere(~inside)
            nearest = np.abs(gaps[:, None] - places[None]).sum(-1).argmin(1)
            found = phase[box.inside][tuple(places.T)]
            rows, columns = gaps[:, 0] + box.top, gaps[:, 1] + box.left
            phase[rows, columns] = found[nearest]
            # a corner without an answer: the cells were spent before the box was known
            open_corner = not all(known[corner] for corner in box.corners())
            uncertain[rows, columns] = open_corner or bool((found != found[0]).any())
        return phase, uncertain

    def boundary(self) -> Array:
        """Return where the phase changes between neighbouring known places, (n, 6) float, in steps of the lattice.

        Columns: row, column, low, high, along, other. The change lies on the line along the axis ``along`` (0 rows, 1
        columns), between ``low`` and ``high``: the nearest places on either side that are known with confidence not to
        be in the phase of the other side, or the line's ends where there are none.
        Its own place is where the fraction of the phases at its two neighbours, as posterior means, would be one half.
        ``other`` counts the lines 0, 1, ... on which it lies.
        """
        phase, uncertain = self._filled()
        rows = [row for axis in (0, 1) for row in self._crossings(axis, phase, uncertain)]
        return np.array(rows, dtype=np.float64).reshape(-1, 6)

    def _crossings(self, axis: int, phase: Array, uncertain: Array) -> Iterator[tuple[float, ...]]:
        for i, j in np.argwhere(self._differ(axis)):
            at, line = (int(i), int(j)) if axis == 0 else (int(j), int(i))
            doubt, along = (lattice[:, line] if axis == 0 else lattice[line] for lattice in (uncertain, phase))
            following = (i + 1, j) if axis == 0 else (i, j + 1)
            a, b = int(phase[i, j]), int(phase[following])
            shares = [
                (self.counts[p][a] + 1) / (self.counts[p][a] + self.counts[p][b] + 2) for p in ((i, j), following)
            ]
            middle = at + float(np.clip((shares[0] - 0.5) / max(shares[0] - shares[1], 1e-12), 0, 1))
            low, high = _certain(doubt | (along == b), at, -1), _certain(doubt | (along == a), at + 1, 1)
            yield (middle, line, low, high, axis, line) if axis == 0 else (line, middle, low, high, axis, line)


def _mixed(known: Array, boxes: Sequence[Box]) -> Array:
    """Return which of ``boxes`` hold several of the phases ``known`` (rows, columns), -1 where none is.

    The corners of smaller boxes on its sides count too: a boundary that enters there is followed into the box. The
    places of a phase in a box are counted with sums over all places above and to the left.
    """
    sides = np.array([(box.top, box.bottom + 1, box.left, box.right + 1) for box in boxes], dtype=int).reshape(-1, 4)
    top, bottom, left, right = sides.T
    held = np.zeros(len(boxes), dtype=int)
    for phase in np.unique(known[known >= 0]):
        before = np.pad((known == phase).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        held += before[bottom, right] - before[top, right] - before[bottom, left] + before[top, left] > 0
    return np.asarray(held > 1)


def _pairs(axis: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return two indexes over the lattice: every place but the last along ``axis``, and the one after it."""
    every, here, there = slice(None), slice(None, -1), slice(1, None)
    return ((here, every), (there, every)) if axis == 0 else ((every, here), (every, there))


def _certain(doubt: Array, start: int, step: int) -> int:
    """Return the first place without doubt from ``start`` on, or the end of the line."""
    at = start
    while doubt[at] and 0 <= at + step < len(doubt):
        at += step
    return at
