"""The law of controls: a control must be able to show the effect, whatever the claim's own numbers are.

Claims are looked at on made-up data of the shape that a run leaves, many times. What a control is there, it is by
construction, for the data mean nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from phasescope.errors import BadInput
from phasescope.lab.rehearsal import made_up
from phasescope.lab.seeds import at_look
from phasescope.lab.study import Study
from phasescope.verdict import Claim

TIMES, SEEDS = 12, 16  # made-up data sets, and their seeds
ENOUGH = 30  # seeds of them that a finding rests on
LENGTH = 40  # of an axis of which nobody knows the length
FUNCTION = 0.999  # of a rank correlation between control and effect
STILL, NARROW = 0.1, 0.02  # of the effect's spread, and of its range: a control that moves less hardly moves

Samples = np.ndarray[Any, np.dtype[Any]]


def law_rivals(study: Study, *, owed: Sequence[str] = ()) -> None:
    """Every control is a rival: no constant, no function of the effect, and not outside whenever the effect is inside.

    ``owed`` are ids of claims that are known to break it, each of which must still do so. Raises ``AssertionError``.
    """
    found = vacuous(study)
    new = {name: why for name, why in found.items() if name not in owed}
    assert not new, f"{study.name}: " + "; ".join(f"the control of {name} {why}" for name, why in new.items())
    mended = [name for name in owed if name not in found]
    assert not mended, f"{study.name}: the controls of {mended} are mended; take them off the list"


def vacuous(study: Study) -> dict[str, str]:
    """Return the claims of a study's first scale whose controls can not show the effect, and why, by id."""
    settings = next(iter(study.scales.values()))
    experiments = at_look(study.experiments(settings), (), SEEDS)
    planned = {name: e.plan("cpu") for name, e in experiments.items()}
    claims = study.claims(settings)
    pairs: dict[tuple[str, bool], list[tuple[Samples, Samples]]] = {
        (c.id, s): [] for c in claims for s in (False, True)
    }
    for seed in range(TIMES):
        scaled = seed % 2 == 1
        data = made_up(experiments, planned, LENGTH, seed, scaled=scaled)
        for claim in claims:
            pairs[claim.id, scaled] += _pair(claim, data)
    return {c.id: why for c in claims if (why := _why(c, pairs[c.id, False], pairs[c.id, True]))}


def _pair(claim: Claim, data: Any) -> list[tuple[Samples, Samples]]:
    """Return what a claim and its control measure of the data, where they do and are of one length."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            effect, control = (np.asarray(f(data), dtype=float) for f in (claim.effect, claim.control.effect))  # type: ignore[operator]
    except (BadInput, LookupError, ValueError, ArithmeticError, TypeError, AttributeError):
        return []  # what made-up numbers can not answer, true ones may
    return [(effect, control)] if effect.shape == control.shape and effect.ndim == 1 else []


def _why(claim: Claim, plain: Sequence[tuple[Samples, Samples]], scaled: Sequence[tuple[Samples, Samples]]) -> str:
    """Return why a control can not show the effect; empty where nothing is found."""
    if not plain and not scaled:
        return ""
    effect, control = (np.concatenate(part) for part in zip(*plain, *scaled, strict=True))
    known = ~np.isnan(effect) & ~np.isnan(control)
    if known.sum() < ENOUGH or _constant(effect[known]):
        return ""
    if _constant(control[known]):
        return "is constant, whatever the data are"
    if _function(effect[known], control[known]):
        return "is a function of the effect"
    room = NARROW * (claim.range[1] - claim.range[0])  # a mean over shuffles moves little, and around a known number
    if plain and np.isfinite(room) and all(_spread(c) < min(STILL * _spread(e), room) for e, c in plain):
        return "hardly varies, whatever the data are"
    if _exclusive(claim, plain) or _exclusive(claim, [*plain, *scaled]):
        return "is outside the expectation whenever the effect is inside"
    return ""


def _exclusive(claim: Claim, pairs: Sequence[tuple[Samples, Samples]]) -> bool:
    """Whether the control is often inside the expectation, and never where the effect is."""
    if not pairs:
        return False
    effect, control = (np.concatenate(part) for part in zip(*pairs, strict=True))
    known = ~np.isnan(effect) & ~np.isnan(control)
    inside, shown = ((claim.expected.low <= x) & (x <= claim.expected.high) for x in (effect[known], control[known]))
    others = shown[~inside]
    enough = min(inside.sum(), len(others)) >= ENOUGH
    return bool(enough and not shown[inside].any() and others.mean() > 0.2)


def _function(effect: Samples, control: Samples) -> bool:
    """Whether the control rises or falls with the effect, apart from the value that the effect has most often."""
    values, counts = np.unique(effect, return_counts=True)
    rest = effect != values[counts.argmax()] if counts.max() > 1 else np.ones(len(effect), dtype=bool)
    if rest.sum() < ENOUGH or _constant(effect[rest]) or _constant(control[rest]):
        return False
    return bool(abs(stats.spearmanr(effect[rest], control[rest]).statistic) > FUNCTION)


def _constant(x: Samples) -> bool:
    low, high = x.min(), x.max()
    return bool(low == high or (np.isfinite([low, high]).all() and high - low <= 1e-9 * max(abs(low), abs(high))))


def _spread(x: Samples) -> float:
    finite = x[np.isfinite(x)]
    return float(np.subtract(*np.quantile(finite, [0.75, 0.25]))) if len(finite) > 1 else 0.0
