"""The part of the page that readers explore: diagrams packed into it, with the script and the library that draw them.

Numbers travel as base64 of little-endian float32, the first bytes of all, then the second ..., and compressed.
What would make the page too heavy is thinned, and a note says so.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from phasescope.figures import Diagram, Live, Recorded
from phasescope.vocabulary import Array

from . import opened
from .library import lean
from .palette import phase_colours

BUDGET = 6_000_000  # bytes of numbers on a page: 8 MB in base64, beside the library's 5 MB
WEIGHTS = 700_000  # bytes of first weights of networks that the page trains, which can hardly be compressed
FEWEST = 12  # places along a dimension that thinning leaves


def packed(diagrams: Sequence[Diagram], budget: int = BUDGET) -> str:
    """Return the diagrams as one JSON document that can stand inside a script element.

    ``budget`` is the bytes of numbers on the page; neurons have a third of them, or what diagrams leave.
    """
    spare = max(budget // 3, budget - _bytes(diagrams))
    light, inside = opened.thinned(diagrams, min(opened.NEURONS, spare))
    thin, notes = thinned(light, budget - opened.weight(light))
    pool, seen = opened.Pool(), set[bytes]()
    document = {
        "diagrams": [
            {
                **_document(d, note),
                "opened": [opened.document(one, pool) for one in d.opened],
                "inside": within,
                "live": _alive(d.live, pool, seen),
            }
            for d, note, within in zip(thin, notes, inside, strict=True)
        ],
        "arrays": pool.texts,
    }
    return json.dumps(document, allow_nan=False).replace("<", "\\u003c")


def addresses(diagrams: Sequence[Diagram]) -> dict[str, str]:
    """Return claim id -> the address on the page of the cell that the claim is about.

    >>> addresses([Diagram("a", {"lr": (0.1, 1.0)}, [0], [], claims={"late": (1,)})])
    {'late': 'cell-0-1'}
    """
    return {
        claim: "-".join(["cell", str(n), *map(str, cell)])
        for n, d in enumerate(diagrams)
        for claim, cell in d.claims.items()
    }


def thinned(diagrams: Sequence[Diagram], budget: int = BUDGET) -> tuple[list[Diagram], list[str]]:
    """Return the diagrams with fewer places along their dimensions, then fewer seeds, and a note for each."""
    kept = list(diagrams)
    while _bytes(kept) > budget:
        longest = max((len(q.places) for d in kept for q in d.quantities if q.places is not None), default=0)
        if longest > FEWEST:
            kept = [replace(d, quantities=[_halved(q, longest) for q in d.quantities]) for d in kept]
            continue
        most = max(len(d.seeds) for d in kept)
        if most <= 1:
            break
        kept = [_fewer_seeds(d, most) for d in kept]
    return kept, [_note(old, new) for old, new in zip(diagrams, kept, strict=True)]


def _bytes(diagrams: Sequence[Diagram]) -> int:
    return sum(4 * q.values.size for d in diagrams for q in d.quantities)


def _halved(q: Recorded, longest: int) -> Recorded:
    if q.places is None or len(q.places) < longest:
        return q
    chosen = np.unique(np.append(np.arange(0, len(q.places), 2), len(q.places) - 1))  # the first and the last stay
    return replace(q, places=q.places[chosen], values=q.values[..., chosen])


def _fewer_seeds(d: Diagram, most: int) -> Diagram:
    if len(d.seeds) < most:
        return d
    axis, half = len(d.axes), -(-most // 2)

    def cut(values: Array) -> Array:
        return np.take(values, np.arange(half), axis=axis)

    quantities = [replace(q, values=cut(q.values)) for q in d.quantities]
    inside = [one for one in d.opened if one.place[-1] < half]
    fates = None if d.fates is None else cut(d.fates)
    return replace(d, seeds=d.seeds[:half], quantities=quantities, fates=fates, opened=inside)


def _note(old: Diagram, new: Diagram) -> str:
    parts = []
    pairs = [(a.places, b.places) for a, b in zip(old.quantities, new.quantities, strict=True)]
    if any(a is not None and b is not None and len(a) != len(b) for a, b in pairs):
        a, b = max((len(a), len(b)) for a, b in pairs if a is not None and b is not None)
        parts.append(f"{b} of {a} recorded places")
    if len(old.seeds) != len(new.seeds):
        parts.append(f"{len(new.seeds)} of {len(old.seeds)} seeds")
    return f"To keep this page light it shows {' and '.join(parts)}; the stored run has all." if parts else ""


def _document(d: Diagram, note: str) -> dict[str, Any]:
    fates: dict[str, Any] | None = None
    if d.fates is not None:
        names = sorted({str(fate) for fate in d.fates.ravel()})
        codes = np.array([names.index(str(fate)) for fate in d.fates.ravel()], dtype=np.uint8)
        fates = {"names": names, "codes": base64.b64encode(codes.tobytes()).decode()}
    return {
        "title": d.title,
        "axes": [{"name": _words(name), "values": [_shown(v) for v in values]} for name, values in d.axes.items()],
        "seeds": len(d.seeds),
        "names": [str(seed) for seed in d.seeds],
        "quantities": [_quantity(q) for q in d.quantities],
        "fates": fates,
        "note": note,
    }


def _alive(networks: Sequence[Live], pool: opened.Pool, seen: set[bytes]) -> list[dict[str, Any]]:
    """Return the networks to train as plain data, as long as their first weights, shared or not, find room."""
    found = []
    for one in networks:
        weights = np.concatenate([one.embed.ravel(), one.readout.ravel()]).astype("<f4")
        raw = weights.tobytes()
        if raw not in seen and len(raw) * (len(seen) + 1) > WEIGHTS:
            continue
        seen.add(raw)
        arity, p, width = one.embed.shape
        sizes = {"arity": arity, "p": p, "width": width, "outputs": len(one.readout)}
        arrays = {
            "weights": pool.once(weights, "<f4"),
            **{name: pool.once(getattr(one, name), "<i4") for name in ("inputs", "labels", "train", "test")},
        }
        words = {"place": list(one.place), "degree": one.degree, "scale": one.scale}
        found.append(
            {**words, **sizes, **arrays, "optimizer": one.optimizer, "loss": one.loss, "numbers": dict(one.numbers)}
        )
    return found


def _quantity(q: Recorded) -> dict[str, Any]:
    return {
        "name": _words(q.name),
        "unit": "" if q.unit == "1" else q.unit,
        "along": _words(q.along),
        "places": None if q.places is None else [float(p) for p in q.places],
        "words": [_words(word) for word in q.words],
        "colours": list(phase_colours(len(q.words))) if q.words else [],
        "values": base64.b64encode(_shuffled(q.values)).decode(),
    }


def _shuffled(values: Array) -> bytes:
    # the first bytes of all numbers, then the second, ...: so that they can be compressed
    return np.ascontiguousarray(values, dtype="<f4").reshape(-1, 1).view(np.uint8).T.tobytes()


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Script:
    """A script of the page: its text, as it stands there, and the hash that the content security policy allows.

    ``how`` it comes: "now", or by the one that does, "later", as it is or "compressed".
    """

    text: str
    hash: str
    how: str


@cache
def scripts(explored: bool = True, evidence: bool = True) -> tuple[Script, ...]:
    """Return the scripts of a page with diagrams to explore, with evidence, or both; none without either.

    They are the library that draws, then ours, and the one that lets them run.
    """
    folder = resources.files("phasescope.report")
    ways = [("explorer.js", "later"), ("neurons.js", "later"), ("live.js", "later")] if explored else []
    ways += [("verdicts.js", "later")] if evidence else []
    ways += [("loader.js", "now")] if ways else []
    texts = [(folder.joinpath(name).read_text(encoding="utf-8"), how) for name, how in ways]
    if explored:
        from plotly.offline import get_plotlyjs

        texts.insert(0, (lean(get_plotlyjs()), "compressed"))
    return tuple(
        Script(compressed(text) if how == "compressed" else text, script_hash(text), how) for text, how in texts
    )


def compressed(text: str) -> str:
    """Return a text as base64 of gzip: what ``loader.js`` unpacks."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def script_hash(text: str) -> str:
    """Return the hash of a script as a content security policy names it."""
    assert "</script" not in text, "it would end there"
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
