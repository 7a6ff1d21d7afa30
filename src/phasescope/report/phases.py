"""What a phase map says before it is drawn: cells in order, each phase's fraction, which kinds of places occur."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phasescope.figures import PhaseMap
from phasescope.vocabulary import Array, BadInput

from .cells import cell_scale, centres, spans
from .palette import PHASES
from .scales import Scale

UNKNOWN = -1


@dataclass(frozen=True)
class Terrain:
    """The cells of a phase map, ascending along both axes: their centres ``x`` (n,), ``y`` (m,), and what is there.

    ``phase`` (m, n) int, ``UNKNOWN`` where it is not known; ``measured`` and ``uncertain`` (m, n) bool; ``area``
    (m, n), each cell's fraction of the map as drawn. ``x_scale`` and ``y_scale`` are None when there are no cells.
    """

    x: Array
    y: Array
    phase: Array
    measured: Array
    uncertain: Array
    area: Array
    x_scale: Scale | None
    y_scale: Scale | None

    @property
    def known(self) -> bool:
        """Whether the phase of any cell is known."""
        return bool((self.phase != UNKNOWN).any())

    @property
    def inferred(self) -> Array:
        """Where a phase is known without a measurement, (m, n) bool."""
        return np.asarray((self.phase != UNKNOWN) & ~self.measured)

    def share(self, phase: int) -> float:
        """Return the fraction of the area in which ``phase`` reigns, 0 to 1."""
        return float(self.area[self.phase == phase].sum())


def terrain(panel: PhaseMap) -> Terrain:
    """Return the cells of ``panel`` in order. Raises ``BadInput`` for shapes or phases that do not fit together."""
    _check(panel)
    x, columns = centres(panel.x, panel.x_values)
    y, rows = centres(panel.y, panel.y_values)
    values = np.asarray(panel.values, dtype=float)
    phase = np.where(np.isfinite(values), values, UNKNOWN).astype(int)
    everywhere, nowhere = np.ones(phase.shape, bool), np.zeros(phase.shape, bool)
    measured = everywhere if panel.sampled is None else np.asarray(panel.sampled, bool)
    uncertain = nowhere if panel.uncertain is None else np.asarray(panel.uncertain, bool)
    chosen = np.ix_(rows, columns)
    some = phase[chosen].size > 0
    return Terrain(
        x, y, phase[chosen], measured[chosen], uncertain[chosen],
        np.outer(spans(y, panel.y.scale == "log"), spans(x, panel.x.scale == "log")) if some else np.zeros((0, 0)),
        cell_scale(panel.x, x, np.asarray(panel.x_values, dtype=float)[columns]) if some else None,
        cell_scale(panel.y, y, np.asarray(panel.y_values, dtype=float)[rows]) if some else None,
    )  # fmt: skip


def _check(panel: PhaseMap) -> None:
    title, count = panel.title, len(panel.phases)
    wanted = (np.size(panel.y_values), np.size(panel.x_values))
    for name in ("values", "sampled", "uncertain"):
        given = getattr(panel, name)
        if given is not None and np.shape(given) != wanted:
            raise BadInput(f"phase map {title!r}: {name} has shape {np.shape(given)}; its axes make {wanted}.")
    if not 1 <= count <= len(PHASES):
        raise BadInput(
            f"phase map {title!r} has {count} phases: give 1 to {len(PHASES)}, and join those that are rare."
        )
    values = np.asarray(panel.values, dtype=float)
    finite = values[np.isfinite(values)]
    if finite.size and not (finite.min() >= UNKNOWN and finite.max() < count and (np.mod(finite, 1) == 0).all()):
        raise BadInput(f"phase map {title!r}: values must be -1, for unknown, or integers from 0 to {count - 1}.")
    points = None if panel.boundary is None else np.shape(panel.boundary)
    if points is not None and (len(points) != 2 or points[1] != 4):
        raise BadInput(f"phase map {title!r}: boundary has shape {points}; give (n, 4): x, y, low, high.")
    if points is not None and panel.boundary_along is not None and np.shape(panel.boundary_along) != points[:1]:
        raise BadInput(f"phase map {title!r}: boundary_along has not one entry for each of {points[0]} points.")


def present(ground: Terrain, count: int) -> list[int]:
    """Return which of ``count`` phases reign somewhere, in order."""
    return [phase for phase in range(count) if (ground.phase == phase).any()]


def percent(share: float) -> str:
    """Return a fraction of the area in words; what is there is never said to be nothing, nor a part to be all.

    >>> percent(0.001), percent(0.335), percent(0.999), percent(1.0)
    ('< 1 %', '34 %', '> 99 %', '100 %')
    """
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 <= share < 1 - 1e-9 else f"{100 * share:.0f} %"


def has_boundary(panel: PhaseMap) -> bool:
    """Whether any place of the boundary is given."""
    return panel.boundary is not None and bool(np.isfinite(np.asarray(panel.boundary, dtype=float)[:, :2]).all(1).any())


def shares(panel: PhaseMap, ground: Terrain) -> list[str]:
    """Return each phase that reigns somewhere with its fraction of the area, and last what is unknown."""
    said = [f"{panel.phases[k]} {percent(ground.share(k))}" for k in present(ground, len(panel.phases))]
    return [*said, f"unknown {percent(ground.share(UNKNOWN))}"] if (ground.phase == UNKNOWN).any() else said


def places(panel: PhaseMap, ground: Terrain) -> list[str]:
    """Return the kinds of places that need a sign of their own, of "measured", "inferred", "uncertain", "boundary"."""
    inferred = bool(ground.inferred.any())
    occurs = {
        "measured": inferred and bool(ground.measured.any()),
        "inferred": inferred,
        "uncertain": bool(ground.uncertain.any()),
        "boundary": has_boundary(panel),
    }
    return [name for name, there in occurs.items() if there]


def in_words(panel: PhaseMap) -> str:
    """Return what a phase map shows, for those who do not see it."""
    ground = terrain(panel)
    if not ground.known:
        return f"{panel.title}: no phase is known"
    inferred, uncertain = bool(ground.inferred.any()), int(ground.uncertain.sum())
    counts = [f"{int(ground.measured.sum()):,} of {ground.phase.size:,} places measured"] if inferred else []
    counts += [f"{uncertain:,} uncertain"] if uncertain else []
    said = f"{panel.title}, {panel.y.label} against {panel.x.label}, by fraction of the area: "
    return said + ", ".join(shares(panel, ground)) + (f" ({', '.join(counts)})" if counts else "")
