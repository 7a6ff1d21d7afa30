"""The networks that a page opens, packed: weights in 16 bits, what several networks share only once, the rest thinned.

A weight travels as an integer from -32767 to 32767 times one scale per network, so it is off by less than 2e-5 of the
largest. Everything else is float32. Accuracies were computed from the weights as stored, not from these.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from phasescope.figures import Diagram, Neurons, Opened
from phasescope.vocabulary import Array

NEURONS = 3_000_000  # bytes of them on a page at most
FEWEST = 24  # neurons of a network whose weights thinning leaves
LARGEST = 32767


class Pool:
    """Arrays by number, each kept once however many networks share it."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[int, int] = {}
        self._alive: list[Array] = []  # so that no id is given again
        self._equal: dict[tuple[str, bytes], int] = {}

    def once(self, values: Array, dtype: str) -> int:
        """Return the number of ``values`` in the pool, those of equal bytes being one."""
        raw = np.ascontiguousarray(values, dtype=dtype).tobytes()
        key = (dtype, raw)
        if key not in self._equal:
            self._equal[key] = len(self.texts)
            self.texts.append(base64.b64encode(raw).decode())
        return self._equal[key]

    def put(self, values: Array, dtype: str = "<f4", scale: float = 1.0) -> int:
        """Return the number of ``values / scale`` in the pool."""
        if id(values) not in self._places:
            scaled = np.rint(values / scale) if dtype == "<i2" else values
            self._places[id(values)] = len(self.texts)
            self.texts.append(base64.b64encode(np.ascontiguousarray(scaled, dtype=dtype).tobytes()).decode())
            self._alive.append(values)
        return self._places[id(values)]


def document(found: Opened, pool: Pool) -> dict[str, Any]:
    """Return a network and the exact one beside it as plain data, their arrays in the pool."""
    exact = None if found.exact is None else _neurons(found.exact, pool)
    return {"place": list(found.place), "learnt": _neurons(found.learnt, pool), "exact": exact}


def _neurons(n: Neurons, pool: Pool) -> dict[str, Any]:
    scale = float(np.abs(n.weights).max(initial=0)) / LARGEST or 1.0
    return {
        "vectors": list(n.vectors),
        "along": n.along,
        "size": len(n.ratios),
        "residues": n.weights.shape[1],
        "shown": [int(rank) for rank in n.shown],
        "scale": scale,
        "weights": pool.put(n.weights, "<i2", scale),
        "gone": [int(count) for count in n.gone],
        **{name: pool.put(getattr(n, name)) for name in ("ratios", "frequencies", "phases")},
        **{order: pool.put(values) for order, values in n.accuracies.items()},
    }


def thinned(diagrams: Sequence[Diagram], budget: int = NEURONS) -> tuple[list[Diagram], list[str]]:
    """Return the diagrams with fewer networks per cell, then neurons per network, then cells opened, and notes."""
    kept = list(diagrams)
    while weight(kept) > budget and any(_crowded(d) for d in kept):
        kept = [replace(d, opened=_one_less(d.opened)) for d in kept]
    most = max((n.weights.shape[2] for n in _all(kept)), default=0)
    while weight(kept) > budget and most > FEWEST:
        most = max(FEWEST, -(-most // 2))
        kept = _fewer_neurons(kept, most)
    while weight(kept) > budget:
        kept = [replace(d, opened=d.opened[::2] if len(d.opened) > 1 else ()) for d in kept]
    return kept, [_note(old, new) for old, new in zip(diagrams, kept, strict=True)]


def weight(diagrams: Sequence[Diagram]) -> int:
    """Return the bytes that the opened networks of the diagrams take, before they are written in base64."""
    shared = {id(n.weights): 2 * n.weights.size for n in _all(diagrams)}
    each = {id(n.ratios): 4 * (2 + len(n.vectors)) * len(n.ratios) for n in _all(diagrams)}
    return sum(shared.values()) + sum(each.values()) + sum(4 * 4 * len(n.gone) + 500 for n in _all(diagrams))


def _all(diagrams: Sequence[Diagram]) -> Iterator[Neurons]:
    for d in diagrams:
        for found in d.opened:
            yield found.learnt
            if found.exact is not None:
                yield found.exact


def _cells(opened: Sequence[Opened]) -> dict[tuple[int, ...], list[Opened]]:
    found: dict[tuple[int, ...], list[Opened]] = {}
    for one in opened:
        found.setdefault(one.place[:-1], []).append(one)
    return found


def _crowded(d: Diagram) -> bool:
    return any(len(networks) > 1 for networks in _cells(d.opened).values())


def _one_less(opened: Sequence[Opened]) -> list[Opened]:
    return [one for networks in _cells(opened).values() for one in networks[: max(1, len(networks) - 1)]]


def _fewer_neurons(diagrams: Sequence[Diagram], most: int) -> list[Diagram]:
    made: dict[int, tuple[Array, Array]] = {}

    def fewer(n: Neurons) -> Neurons:
        if len(n.shown) <= most:
            return n
        if id(n.weights) not in made:  # what was shared stays shared
            chosen = np.unique(np.linspace(0, len(n.shown) - 1, most).round().astype(int))
            made[id(n.weights)] = (n.shown[chosen], n.weights[..., chosen])
        shown, weights = made[id(n.weights)]
        return replace(n, shown=shown, weights=weights)

    return [
        replace(d, opened=[replace(one, learnt=fewer(one.learnt), exact=one.exact and fewer(one.exact))
                           for one in d.opened])
        for d in diagrams
    ]  # fmt: skip


def _note(old: Diagram, new: Diagram) -> str:
    if not old.opened:
        return ""
    after, parts = _cells(new.opened), []
    if not after:
        return "This page shows no neurons here; the stored run has all."
    cells = math.prod(len(values) for values in old.axes.values())
    if len(after) < cells:
        parts.append(f"{len(after)} of {cells} cells")
    networks = max(map(len, after.values()))
    if networks < len(old.seeds):
        parts.append(f"{networks} of {len(old.seeds)} networks of a cell")
    whole, shown = len(new.opened[0].learnt.ratios), len(new.opened[0].learnt.shown)
    if shown < whole:
        parts.append(f"the weights of {shown} of {whole} neurons")
    return f"To be light, this page shows from inside {', '.join(parts)}; the stored run has all." if parts else ""
