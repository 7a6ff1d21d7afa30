"""Advice is carried out before it is given: each is tried on the model, functionally, and told with what came of it.

Three things are tried where gradients shrink or grow: other scales for the weights of single blocks, a larger input to
the first block, and skip connections. A factor is told where it brings its block's chi_J at least half of
the way to its target; an advice for the whole where it brings J inside what counts as critical, or half of the way.
Where none does, the places are named where J changes, and what stands there: a change of shape between stages, the
modules between two blocks, normalizations, gains of zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from phasescope.inspection.judge import FEW, SKIP, Depth, depth_of, findings_of, target_of
from phasescope.inspection.normalizations import moved
from phasescope.inspection.readings import DEPTH_TOLERANCE, BlockReading, Finding, Inspection
from phasescope.inspection.trials import Surroundings, Trials, Tried
from phasescope.vocabulary import BadInput

LARGEST = 30.0  # no weight is advised to be scaled by more, or by less than one over it
EFFECT = 0.01  # how much an advice may change what a normalization does
MOST = 0.5  # blocks that together make this part of log J are named
Tell = Callable[[str, int, int], None]


def advised(
    read: Inspection, module: nn.Module, batch: Any, names: Sequence[str], *, asleep: Sequence[str], samples: int,
    advice: bool, tell: Tell,
) -> Inspection:  # fmt: skip
    """Return ``read`` with verdict, findings and advice; ``names`` are the blocks; the rest: see ``findings_of``.

    Without ``advice`` nothing is tried.
    """
    trials = Trials(module, batch, tuple(names), read.seed, read.start)
    surroundings = trials.look()
    depth = depth_of(read.rows, read.start, surroundings.slope if surroundings.effects else 1.0)
    few = _few(surroundings.values)
    verdict = depth.verdict(math.log(few[2]) if few[0] else 0.0)
    rows: list[BlockReading] = list(read.rows)
    given: list[Finding] = []
    if advice and (verdict in ("ordered", "chaotic") or any(not math.isnan(row.scale) for row in rows)):
        tell("trying advice", len(rows), len(rows))
        rows, given = _carried_out(trials, surroundings, read, depth, verdict)
    others = findings_of(rows, asleep=asleep, few=few, samples=samples)
    return replace(read, rows=tuple(rows), relative=depth.log.value, verdict=verdict, findings=(*given, *others))


def _few(values: Sequence[int]) -> tuple[int, int, float]:
    """Return how many batch normalizations see few values, the fewest, and by which factor that may raise J."""
    few = [n for n in values if n < FEW]
    factor = math.prod(n / (n - 3) if n > 3 else math.inf for n in few)
    return len(few), min(few, default=0), min(factor, 1e300)


# -- what is advised -------------------------------------------------------------------------------------------------


def _carried_out(
    trials: Trials, seen: Surroundings, read: Inspection, depth: Depth, verdict: str
) -> tuple[list[BlockReading], list[Finding]]:
    """Return the rows with the factors that work, and what is said of Jacobians, the gravest first."""
    factors, tried = _factors(trials, seen, read, depth)
    rows = [replace(row, scale=factors.get(_base(row.name), math.nan) if _off(row) else math.nan) for row in read.rows]
    judged = [row for row in rows if row.verdict != "-"]
    where = _where(seen, rows, judged)
    found = _single(judged, verdict, where)
    if verdict not in ("ordered", "chaotic"):
        return rows, found
    if read.total.value == 0:
        dead = next((row.name for row in rows[1:] if not row.chi.value > 0), rows[-1].name)
        return rows, [Finding(f"No gradient gets from the last block to the first: it is cut off in {dead}."), *found]
    way = "shrink" if verdict == "ordered" else "grow"
    factor = math.exp(abs(read.total.log.value) / 2)
    what = f"Gradients {way} by a factor of {factor:.3g} on their way from the last block back to the first."
    mend = _helps(trials, read, depth, factors, tried)
    return rows, [Finding(what, mend or _named(judged, verdict, where)), *found]


def _helps(trials: Trials, read: Inspection, depth: Depth, factors: Mapping[str, float], tried: Tried | None) -> str:
    """Return the first advice that brings J to what counts as critical, or half of the way; empty where none does."""
    log = depth.log.value

    def better(trial: Tried | None) -> bool:
        return trial is not None and abs(trial.log) <= max(DEPTH_TOLERANCE, abs(log) / 2) and abs(trial.log) < abs(log)

    if factors and better(tried):
        assert tried is not None
        span = sorted(factors.values())
        by = f"{span[0]:.3g}" if span[-1] - span[0] < 0.01 * span[0] else f"{span[0]:.3g} to {span[-1]:.3g}"
        return (
            f"Multiply all weights of each block by its 'scale by' ({by}): tried on this batch, J becomes "
            f"{tried.total:.3g}. ps.autoinit looks for such scales by itself."
        )
    small = read.rows[0].kernel
    if read.start == read.rows[0].name and 0 < small < 0.1 and log > 0:
        larger = _attempt(lambda: trials.larger(small**-0.5))
        if better(larger):
            assert larger is not None
            up = f"Scale the input of the first block up by {small**-0.5:.3g}"
            return f"{up}: tried on this batch, J becomes {larger.total:.3g}."
    skips = [abs(row.skip) for row in read.rows if not math.isnan(row.skip)]
    if skips and sorted(skips)[len(skips) // 2] < SKIP:
        added = _attempt(trials.with_skips)
        if better(added):
            assert added is not None
            return f"Add skip connections, h + block(h): tried on this batch, J becomes {added.total:.3g}."
    return ""


def _attempt(trial: Callable[[], Tried | None]) -> Tried | None:
    try:
        return trial()
    except BadInput:  # a change that the model does not bear is no advice
        return None


def _off(row: BlockReading) -> bool:
    return row.verdict in ("ordered", "chaotic")


def _base(name: str) -> str:
    return name.split("#")[0]


def _factors(
    trials: Trials, seen: Surroundings, read: Inspection, depth: Depth
) -> tuple[dict[str, float], Tried | None]:
    """Return factors, block -> factor, that were tried and bring its chi half of the way to its target, and the trial.

    A first trial with a guess tells with which power of the factor the block's Jacobian, without its skip's part, goes;
    a second one checks the factor that follows; if some fail, a last one checks the others by themselves.
    """
    rows: dict[str, tuple[int, BlockReading]] = {}
    for i, row in enumerate(read.rows):
        if _off(row) and not math.isnan(row.scale):
            rows.setdefault(_base(row.name), (i - 1, row))
    guesses = {name: _bounded(row.scale) for name, (_, row) in rows.items()}
    first = _attempt(lambda: trials.scaled(guesses)) if guesses else None
    if first is None:
        return {}, None
    factors = {}
    for name, (i, row) in rows.items():
        factor = _follows(row, guesses[name], first.chi[i], depth.blocks)
        if factor is not None:
            factors[name] = factor
    for _ in range(3):
        if not factors:
            break
        trial = _attempt(lambda tried=dict(factors): trials.scaled(tried))  # type: ignore[misc]
        if trial is None or moved(seen.effects, trial.effects) > EFFECT:
            break
        good = {n: f for n, f in factors.items() if _mends(rows[n][1], trial.chi[rows[n][0]], depth.blocks)}
        if len(good) == len(factors):
            return factors, trial
        factors = good
    return {}, None


def _bounded(factor: float) -> float:
    return min(max(factor, 1 / LARGEST), LARGEST)


def _without_skip(chi: float, skip: float) -> float:
    return chi if math.isnan(skip) or abs(skip) < SKIP else chi - skip**2


def _follows(row: BlockReading, guess: float, chi: float, depth: int) -> float | None:
    """Return the factor at which the block is at its target, if its branch goes with a power of the factor as seen."""
    was, now = _without_skip(row.chi.value, row.skip), _without_skip(chi, row.skip)
    aim = _without_skip(target_of(row.skip, depth), row.skip)
    if not (was > 0 and now > 0 and aim > 0) or abs(math.log(guess)) < 1e-3:
        return None
    power = math.log(now / was) / math.log(guess)
    return _bounded(math.exp(math.log(aim / was) / power)) if power > 0.2 else None


def _mends(row: BlockReading, chi: float, depth: int) -> bool:
    """Say whether ``chi`` is half of the way nearer to its target than that of ``row``, in logarithms."""
    aim = math.log(target_of(row.skip, depth))
    return chi > 0 and abs(math.log(chi) - aim) <= abs(math.log(row.chi.value) - aim) / 2


# -- where nothing helps ---------------------------------------------------------------------------------------------


def _where(seen: Surroundings, rows: Sequence[BlockReading], judged: Sequence[BlockReading]) -> dict[str, str]:
    """Return, for each judged block, what stands there that changes J, in words; empty where nothing stands out."""
    index = {row.name: i for i, row in enumerate(rows)}
    return {row.name: _standing(seen, rows, index[row.name]) for row in judged}


def _standing(seen: Surroundings, rows: Sequence[BlockReading], i: int) -> str:
    block = _base(rows[i].name)
    here = [(name, part) for place, name, part in seen.called if place == i]
    said = []
    if seen.shapes[i - 1] != seen.shapes[i]:
        between = [name for name, part in here if not name.startswith(f"{block}.") and name != block and _has(part)]
        by = f" by {_some(sorted({n.rpartition('.')[0] or n for n in between}))}" if between else ""
        said.append(f"a stage boundary: the shape goes from {seen.shapes[i - 1]} to {seen.shapes[i]}{by}")
    norms = [(name, part) for name, part in here if "norm" in type(part).__name__.lower()]
    zero = [
        name for name, part in norms if isinstance(w := getattr(part, "weight", None), Tensor) and not bool(w.any())
    ]
    if zero:
        said.append(f"a branch of zero gain ({_some(zero)}), which begins as nothing")
    elif norms:
        kinds = sorted({type(part).__name__ for _, part in norms})
        said.append(f"normalization ({', '.join(kinds)}: {_some([name for name, _ in norms])})")
    return "; ".join(said)


def _has(part: nn.Module) -> bool:
    return next(part.parameters(), None) is not None


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _named(judged: Sequence[BlockReading], verdict: str, where: Mapping[str, str]) -> str:
    """Return in a sentence the blocks in which J changes most, that together make half of it, and what stands there."""
    sign = -1 if verdict == "ordered" else 1
    parts = sorted(((sign * row.chi.log.value, row) for row in judged), key=lambda part: -part[0])
    whole = sum(max(change, 0.0) for change, _ in parts)
    named, made = [], 0.0
    for change, row in parts:
        if made >= MOST * whole or change <= 0:
            break
        named.append(row)
        made += change
    if not named:
        return ""
    if len(named) > 3 or len(named) > len(judged) / 3:
        kinds = [where[row.name] for row in named if where[row.name]]
        there = f" There stands {kinds[0]}." if kinds and len(kinds) == len(named) else ""
        alike = f"many blocks have a part in it, most {named[0].name}"
        return f"No factor for the weights that was tried helps, and {alike}.{there}"
    told = [
        f"{row.name} (chi_J {row.chi.value:.3g}{'; ' + where[row.name] if where[row.name] else ''})" for row in named
    ]
    return f"Most of it is in {', and '.join(told)}; no factor for the weights that was tried helps."


def _single(rows: Sequence[BlockReading], whole: str, where: Mapping[str, str]) -> list[Finding]:
    """Blocks that differ from the verdict of the whole, but for the first beside skips, where chi - 1 goes as 1/l."""
    found = []
    for kind in ("ordered", "chaotic"):
        expected = whole == "critical" and kind == "chaotic"
        off = [row for row in rows if row.verdict == kind != whole and not (expected and row.skip >= SKIP)]
        if not off:
            continue
        chis = sorted(row.chi.value for row in off)
        span = f"{chis[0]:.3g}" if len(off) == 1 else f"{chis[0]:.3g} to {chis[-1]:.3g}"
        count = f"{len(off)} of {len(rows)} blocks {'is' if len(off) == 1 else 'are'} {kind}"
        mended = [row for row in off if not math.isnan(row.scale)]
        mend = "Their weights times 'scale by' mend that, tried on this batch." if len(mended) == len(off) else ""
        if not mend:
            stands = next(((row.name, where[row.name]) for row in off if where[row.name]), None)
            mend = f"In {stands[0]} stands {stands[1]}." if stands else ""
        found.append(Finding(f"{count} (chi_J {span}): {_some([row.name for row in off], 4)}.", mend))
    return found
