"""``ps.compare``: are these two representations alike, beyond chance, and which layer answers to which."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from phasescope.checks import sequence, whole
from phasescope.ensemble import streams
from phasescope.instruments.neighbours import all_same
from phasescope.representation.compare_kept import Readings, kernels_of, readings_of
from phasescope.representation.compare_result import Comparison, Pair, compared
from phasescope.representation.places import layers_of
from phasescope.representation.similarity_clouds import FEWEST, Cloud
from phasescope.representation.similarity_kernels import AllPairs, all_pairs, ceiling
from phasescope.representation.similarity_measures import MEASURES, Reading
from phasescope.store import Finished
from phasescope.vocabulary import BadInput, nearest

KERNELS = ("cka", "cka_biased")
WORK, FEWEST_DRAWS = 1e12, 20
"""Multiplications spent on drawn nulls where there are many layers, and draws of each that there are in any case."""
DOMINANT = 0.5
"""The share of the variance from which on a single stimulus is named."""
TOKENS = "Rows are tokens, and those of one text are not independent: z is too large. Errors leave runs of them out."
Progress = Callable[[str, int, int], object]


def compare(
    a: Any,
    b: Any,
    batch: Any = None,
    *,
    batch_b: Any = None,
    places: Sequence[str] | None = None,
    by: Literal["sample", "token"] = "sample",
    points: int = 2000,
    measures: Sequence[str] | None = None,
    draws: int = 200,
    seed: int = 0,
    names: tuple[str, str] = ("a", "b"),
    out: Path | str | None = None,
    on_progress: Progress | None = None,
) -> Comparison:
    """Return how alike ``a`` and ``b`` represent the same stimuli: each an array, several, or a module.

    An array (N, D) is one representation; a list, or a mapping of names to arrays, are layers; a module is run over
    ``batch``, and its places are read as ``layers_of`` finds them (``places``, ``by``; at most ``points`` rows).
    ``batch_b`` are the same stimuli as ``b`` takes them, if not as ``a`` does. Row i of all is stimulus i.

    Of all pairs of layers: the linear CKA, unbiased and biased. Of layers at the same depth, and of each layer of
    ``a`` with the most similar one of ``b``: ``measures``, all by default, of "cka", "cka_biased", "cca", "svcca",
    "procrustes", "rsa", "neighbours", "relative" and "retrieval". All are dimensionless, at most 1, 1 for the same
    cloud, and invariant to rotations, shifts and scale of either side ("cca" to any invertible linear map). Each comes
    with a standard error over stimuli (groups of neighbouring rows left out in turn), mean and spread over all orders
    of one side's stimuli (exact; drawn ``draws`` times for "procrustes", 20 or more where there are many layers), its
    z, the value corrected for that mean, and its ceiling: the most that the spectra of the two allow.

    ``out``: a folder in which each pair of layers that is done is kept: the same call goes on where it was stopped.

    Raises ``BadInput`` for fewer than 8 stimuli, numbers of stimuli that differ, and rows that are all the same.
    """
    draws, seed = whole(2, 10**6)("draws", draws), whole(0, 2**63 - 1)("seed", seed)
    points = whole(FEWEST, 10**7)("points", points)
    asked = _measures(measures)
    tell = on_progress or (lambda what, done, total: None)
    sides, skipped = [], []
    for given, inputs, name in ((a, batch, names[0]), (b, batch if batch_b is None else batch_b, names[1])):
        found, empty = _layers(given, inputs, name, places, by, points, tell)
        sides.append(found)
        skipped += [f"{name} {place}" for place in empty]
    left, right = sides
    counts = {len(cloud) for side in sides for cloud in side.values()}
    for side, name in zip(sides, names, strict=True):
        many = sorted({len(cloud) for cloud in side.values()})
        if len(many) > 1:
            raise BadInput(
                f"layers of {name} have from {many[0]:,} to {many[-1]:,} rows: give the same stimuli for each; of a "
                "module whose places have other numbers of positions, compare by sample."
            )
    if len(counts) > 1:
        raise BadInput(
            f"{names[0]} and {names[1]} have {' and '.join(f'{n:,}' for n in sorted(counts))} rows: give the same "
            "stimuli in the same order."
        )
    both = [*left.values(), *right.values()]
    with Finished(out) as finished:
        kernels = kernels_of(finished, both, lambda: all_pairs(both, lambda done, total: tell("CKA", done, total)))
        best = kernels[0].values[: len(left), len(left) :].nan_to_num(nan=-math.inf).argmax(1).tolist()
        pairs = _pairs(len(left), len(right), best)
        readings = _read(list(left.values()), list(right.values()), pairs, asked, kernels, draws, seed, tell, finished)
    notes = [f"Not compared, the same for all stimuli: {', '.join(skipped[:4])}{', ...' * (len(skipped) > 4)}."]
    tokens = by == "token" and (isinstance(a, nn.Module) or isinstance(b, nn.Module))
    said = [*(notes if skipped else []), *([TOKENS] if tokens else [])]
    for side, name in ((left, names[0]), (right, names[1])):
        about = [_of_one(f"{layer} of {name}" if layer else name, cloud) for layer, cloud in side.items()]
        said += [note for note in about if note][:3]
    return compared(names, (list(left), list(right)), counts.pop(), kernels, pairs, readings, seed, said)


def _of_one(what: str, cloud: Cloud) -> str:
    """Return a note where one stimulus has most of the variance, which all similarities are then about."""
    lengths = cloud.rows.square().sum(1)
    share, row = float(lengths.max() / lengths.sum()), int(lengths.argmax())
    if share <= DOMINANT:
        return ""
    return (
        f"{what}: stimulus {row} has {100 * share:.0f} % of the variance, and similarities are about it: leave it out. "
        "No drawn null shows how often such a one is met by chance."
    )


def _measures(asked: Sequence[str] | None) -> list[str]:
    known = [*KERNELS, *MEASURES]
    if asked is None:
        return known
    found = [str(name) for name in sequence("measures", [asked] if isinstance(asked, str) else asked, len(known))]
    for name in found:
        if name not in known:
            raise BadInput(f"there is no measure {name!r}{nearest(name, known)}")
    return found


def _layers(
    given: Any, batch: Any, name: str, places: Sequence[str] | None, by: Literal["sample", "token"], points: int,
    tell: Progress,
) -> tuple[dict[str, Cloud], list[str]]:  # fmt: skip
    """Return the clouds of one side by name, and the names of a module's places whose rows are all the same."""
    if isinstance(given, nn.Module):
        if batch is None:
            raise BadInput(f"{name} is a module, and there is no batch: give its inputs, or arrays (N, D).")
        found: dict[str, Cloud] = {}
        empty: list[str] = []
        for place, rows in layers_of(given, batch, places=places, by=by, most=points):
            tell(f"reading {name}", len(found), 0)
            if len(rows) >= FEWEST and all_same(rows):
                empty.append(place)
            else:
                found[place] = Cloud.of(rows, f"{place} of {name}")
        if not found:
            raise BadInput(f"no place of {name} tells the samples of the batch apart: give inputs that differ.")
        return found, empty
    arrays = _named(given, name)
    clouds = {}
    for i, (layer, rows) in enumerate(arrays.items()):
        tell(f"reading {name}", i, len(arrays))
        clouds[layer] = Cloud.of(rows, f"layer {layer} of {name}" if layer else name)
    return clouds, []


def _named(given: Any, name: str) -> dict[str, Any]:
    """Return the arrays of one side: of a mapping, of a list of arrays, or one."""
    if isinstance(given, Mapping):
        arrays = {str(key): rows for key, rows in given.items()}
    elif isinstance(given, list | tuple) and given and all(np.ndim(rows) == 2 for rows in given):
        arrays = {str(i): rows for i, rows in enumerate(given)}
    else:
        return {"": given}
    if not arrays:
        raise BadInput(f"{name} has no layers: give at least one array (N, D).")
    return arrays


def _pairs(left: int, right: int, best: Sequence[int]) -> list[Pair]:
    """Return each layer with the one at the same depth and with the most similar one, each pair once."""
    found: dict[tuple[int, int], str] = {}
    for i in range(left):
        deep = round(i * (right - 1) / (left - 1)) if left > 1 else right - 1
        same = "the two" if left == right == 1 else "same depth"
        found[i, deep] = same if best[i] != deep else ("same depth, best match" if left * right > 1 else same)
        found.setdefault((i, best[i]), "best match")
    return [Pair(i, j, kind) for (i, j), kind in sorted(found.items())]


def _read(
    left: Sequence[Cloud], right: Sequence[Cloud], pairs: Sequence[Pair], asked: Sequence[str],
    kernels: tuple[AllPairs, AllPairs], draws: int, seed: int, tell: Progress, finished: Finished,
) -> list[dict[str, Reading]]:  # fmt: skip
    drawn = _draws(left, right, pairs, draws)
    found = []
    for number, pair in enumerate(pairs):
        tell("measures of pairs", number, len(pairs))
        a, b = left[pair.a], right[pair.b]
        generator = streams(seed)("compare", number)
        at = (pair.a, len(left) + pair.b)
        of_kernels = {
            name: Reading(
                float(table.values[at]), float(table.errors[at]), float(table.mean[at]), float(table.spread[at]),
                ceiling(a, b),
            )
            for name, table in zip(KERNELS, kernels, strict=True)
        }  # fmt: skip
        measures = [name for name in asked if name not in of_kernels]
        question = {"measures": measures, "draws": drawn, "seed": seed, "pair": number}

        def made(a: Cloud = a, b: Cloud = b, generator: Any = generator, names: list[str] = measures) -> Readings:
            return {name: MEASURES[name](a, b, drawn, generator) for name in names}

        others = readings_of(finished, a, b, question, made) if measures else {}
        found.append({name: of_kernels[name] if name in of_kernels else others[name] for name in asked})
    return found


def _draws(left: Sequence[Cloud], right: Sequence[Cloud], pairs: Sequence[Pair], draws: int) -> int:
    """Return how often a null is drawn: ``draws`` times, or fewer where clouds are large and many."""
    work = 0.0
    for pair in pairs:
        a, b = left[pair.a], right[pair.b]
        work += len(a) * a.rank * b.rank + 10 * max(a.rank, b.rank) * min(a.rank, b.rank) ** 2
    return max(min(draws, int(WORK / work)), min(draws, FEWEST_DRAWS))
