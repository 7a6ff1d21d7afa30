"""What a verdict was read off, seed by seed: what a page draws, and lets readers move the expectation against."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from phasescope.vocabulary import Array, BadInput

from .claims import Claim, Range, Statistic
from .intervals import estimate, interval, outside
from .judge import measured_in
from .numbers import pack
from .verdict import Verdict

if TYPE_CHECKING:
    from .effects import Data

MOST = 1000  # samples of which each is drawn
STOPS = 100  # numbers of seeds at which intervals are told


def evidence(
    claims: Iterable[Claim],
    data: Data,
    verdicts: Iterable[Verdict],
    *,
    looks: Sequence[int] | None = None,
    alpha: float = 0.05,
) -> dict[str, dict[str, Any]]:
    """Return by claim id, as strict JSON, each seed's effect and control, and the intervals of the first n seeds.

    ``verdicts`` are those that ``judge`` gave of the same claims, data, ``looks`` and ``alpha``. Of each claim:
    ``level`` of its intervals; ``n`` (K,) numbers of seeds, every one or a hundred of them, and ``looks`` among them;
    ``effect`` and ``control``, each with the ``values`` of the seeds (empty where there are more than 1,000),
    ``measured`` (K,), ``low`` (K,) and ``high`` (K,). Left out is a claim whose intervals, made so, are not those of
    its verdict: one that was judged by another method, or on data of which a part was not kept.
    """
    family = tuple(claims)
    planned = list(looks or ())
    level = 1 - alpha / max(len(family), 1) / max(len(planned), 1)
    given = {verdict.id: verdict for verdict in verdicts}
    found = {}
    for claim in family:
        verdict = given.get(claim.id)
        try:
            if verdict is not None and (told := _told(claim, data, verdict, level, planned)) is not None:
                found[claim.id] = told
        except BadInput:
            continue  # what it looks for was not kept
    return found


def _told(claim: Claim, data: Data, verdict: Verdict, level: float, planned: Sequence[int]) -> dict[str, Any] | None:
    effect, control = (measured_in(claim, role, data) for role in ("effect", "control"))
    stops = _stops(max(len(effect), len(control)), {*planned, verdict.n, verdict.control.n})
    told: dict[str, Any] = {"level": level, "n": stops, "looks": list(planned)}
    for role, samples, same, judged in (
        ("effect", effect, claim.deterministic, verdict),
        ("control", control, claim.control.deterministic, verdict.control),
    ):
        rows = [_read(samples[:n], claim.statistic, level, claim.range, same) for n in stops]
        if judged.n not in stops or not _equal(rows[stops.index(judged.n)][1:], judged.interval):
            return None
        measured, low, high = zip(*rows, strict=True)
        values = samples if len(samples) <= MOST else ()
        packed = {"values": values, "measured": measured, "low": low, "high": high}
        told[role] = {name: [pack(_short(float(v))) for v in some] for name, some in packed.items()}
    return told


def _stops(most: int, wanted: set[int]) -> list[int]:
    every = set(range(1, most + 1)) if most <= STOPS else set(np.geomspace(1, most, STOPS).round().astype(int).tolist())
    return sorted({n for n in every | wanted if 1 <= n <= most})


def _read(
    samples: Array, statistic: Statistic, level: float, range: Range, deterministic: bool
) -> tuple[float, float, float]:
    if np.isnan(samples).any() or (statistic != "proportion" and outside(samples, range).any()):
        return math.nan, math.nan, math.nan
    return estimate(samples, statistic), *interval(samples, statistic, level, range, deterministic=deterministic)


def _equal(ends: Sequence[float], others: Sequence[float]) -> bool:
    return bool(np.allclose(ends, others, rtol=1e-9, atol=1e-12, equal_nan=True))


def _short(value: float) -> float:
    """Return the number with seven digits: what a drawing shows, in half of the bytes."""
    return float(f"{value:.7g}")
