"""From claims and results to verdicts, with one error budget for all claims judged together.

**The rule.** A claim *holds* if its interval lies inside the expectation and its control's interval does not
touch the expectation; it *fails* if its own interval does not touch the expectation; otherwise it is
*undecided*.

**Multiplicity.** Bonferroni: m claims judged together at L looks use intervals of level ``1 - alpha / (m L)``, each
end erring in ``alpha / (2 m L)``. A claim whose truth lies outside its expectation then holds wrongly with
probability ``alpha / (2 m)`` (one end must err, at one of the looks); one whose control truly shows the effect, with
``alpha / m`` (both parts must pass, so control and claim need no shares of their own: Berger 1982, Technometrics
24:295); one whose truth lies inside fails wrongly with ``alpha / m`` at most. So over the family, whatever the
dependence between claims and between looks: P(any wrong *holds*) <= alpha and P(any wrong *fails*) <= alpha. Step-down
rules such as Holm's would decide more, but their verdicts could then not be read off the intervals printed beside them.

**Looks.** Seeds may be added where a claim is undecided, at looks that are planned beforehand: at each, the open claims
are judged on the first n seeds. A claim keeps the verdict of the first look that decides it. The union bound over the
looks costs little and holds for medians, proportions, means and controls alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from phasescope.checks import kind, number, numbers, sequence, shown, takes, whole
from phasescope.errors import shortened
from phasescope.vocabulary import Array, BadInput

from .claims import Claim, Effect, Expectation
from .intervals import estimate, interval, order, outside
from .numbers import show, show_interval
from .power import seeds_likely, seeds_needed
from .verdict import ControlResult, Outcome, Verdict
from .verdicts import Verdicts

if TYPE_CHECKING:
    from .effects import Data

Interval = tuple[float, float]
NOTHING: Interval = (float("nan"), float("nan"))
MOST_LOOKS = 100


def judge(claims: Iterable[Claim], data: Data, alpha: float = 0.05, *, looks: Sequence[int] | None = None) -> Verdicts:
    """Judge ``claims`` together on ``data``; at most ``alpha`` is the chance that any of them holds wrongly.

    ``looks``: the numbers of seeds, planned beforehand, at which the claims are looked at until they are decided; each
    claim is judged on so many first seeds. Without them all seeds are judged, once. Claims stay in their order. Nothing
    is drawn: the same claims and data give the same verdicts.

    Raises ``BadInput`` for an ``alpha`` outside (0, 1), ids used twice, an effect that is not one number per seed, one
    that looks for something that ``data`` does not have, and looks that do not rise or the first of which has too few
    seeds to decide anything.
    """
    family = tuple(_looked_at(claims))
    experiments = _datasets(data)
    if not experiments or not all(hasattr(one, "data_vars") for one in experiments):
        raise BadInput(
            f"data is {shown(data)}: give an xarray Dataset, such as ps.train returns, or a mapping of names to some."
        )
    ids = [claim.id for claim in family]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise BadInput(f"claims {', '.join(map(repr, twice))} are there more than once: give each claim its own id.")
    alpha = number(1e-9, 1, open_high=True)("alpha, the error allowed over all claims,", alpha)
    if looks is None or len(looks) == 0:
        return Verdicts(tuple(_judge(claim, data, 1 - alpha / len(family)) for claim in family))
    planned = planned_looks(looks, len(family), alpha)
    seeds = max(int(one.sizes.get("seed", 1)) for one in experiments)
    taken = [n for n in planned if n <= seeds]
    if not taken:
        raise BadInput(f"the first look is at {planned[0]} seeds, and the data have {seeds}: nothing is judged before.")
    return Verdicts(tuple(_judged(claim, data, planned, len(taken), alpha / len(family)) for claim in family))


def rising(name: str, looks: Sequence[int]) -> list[int]:
    """Return looks as a list of numbers of seeds. Raises ``BadInput`` for none, and for such as do not rise."""
    found = [whole(1, 10**5)("a look", n) for n in sequence(name, looks, MOST_LOOKS)]
    if not found or any(b <= a for a, b in pairwise(found)):
        raise BadInput(f"{name} are {shown(looks)}: give numbers of seeds that rise.")
    return found


def planned_looks(looks: Sequence[int], claims: int, alpha: float = 0.05) -> list[int]:
    """Return the numbers of seeds at which ``claims`` are looked at. Raises ``BadInput`` as ``judge`` does."""
    found = rising("the looks", looks)
    needed = seeds_needed(max(claims, 1), alpha, len(found))
    if found[0] < needed:
        raise BadInput(
            f"the first look is at {found[0]} seeds, where nothing can be decided: {claims} claims and {len(found)} "
            f"looks need {needed} or more."
        )
    return found


def _judged(claim: Claim, data: Data, looks: Sequence[int], taken: int, alpha: float) -> Verdict:
    """Return the verdict of the first of the looks taken that decides a claim, or of the last of them."""
    for look, n in enumerate(looks[:taken], 1):
        verdict = _judge(claim, _first_seeds(data, n), 1 - alpha / len(looks), look, len(looks))
        if verdict.verdict != "undecided":
            break
    return verdict


def _first_seeds(data: Data, n: int) -> Data:
    """Return the first ``n`` seeds of each dataset."""
    if hasattr(data, "data_vars"):
        one: Any = data
        return one.isel(seed=slice(n)) if "seed" in one.dims else one  # type: ignore[no-any-return]
    return {name: _first_seeds(one, n) for name, one in data.items()}  # type: ignore[misc]


def _looked_at(claims: Iterable[Claim]) -> Iterator[Claim]:
    """Yield ``claims``; raise ``BadInput`` for what is none."""
    if not isinstance(claims, Iterable) or isinstance(claims, str | bytes | Mapping):
        raise BadInput(f"claims is {shown(claims)}: give a list of claims.")
    for claim in claims:
        yield kind(Claim, say="a Claim")("a claim", claim)


def decide(expected: Expectation, measured: Interval, control: Interval) -> Outcome:
    """Apply the rule to the intervals of a claim and of its control; NaN ends leave the claim undecided."""
    if expected.excludes(*measured):
        return "fails"
    return "holds" if expected.contains(*measured) and expected.excludes(*control) else "undecided"


def _judge(claim: Claim, data: Data, level: float, look: int = 1, looks: int = 1) -> Verdict:
    samples, bounds = _measure(claim, "effect", data, level)
    controls, control_bounds = _measure(claim, "control", data, level)
    return Verdict(
        id=claim.id,
        sentence=claim.sentence,
        source=str(claim.source),
        measured=estimate(samples, claim.statistic),
        interval=bounds,
        expected=claim.expected,
        n=len(samples),
        verdict=decide(claim.expected, bounds, control_bounds),
        reason=_reason(claim, samples, bounds, controls, control_bounds, level),
        control=ControlResult(
            sentence=claim.control.sentence,
            measured=estimate(controls, claim.statistic),
            interval=control_bounds,
            shows_effect=claim.expected.contains(*control_bounds),
            excluded=claim.expected.excludes(*control_bounds),
            n=len(controls),
        ),
        unit=claim.unit,
        kind=claim.kind,
        number=claim.source.kind,
        counts=claim.counts,
        look=look,
        looks=looks,
    )


def measured_in(claim: Claim, role: str, data: Data) -> Array:
    """Return the samples (n,), one for each seed, of a claim's "effect" or "control". Raises ``BadInput``."""
    effect = claim.effect if role == "effect" else claim.control.effect
    return _samples(f"claim {claim.id!r}, {role}", effect, data)  # type: ignore[arg-type]


def _measure(claim: Claim, role: str, data: Data, level: float) -> tuple[Array, Interval]:
    """Return the samples (n,) of the effect or control, and their interval: NaN where a seed has no value."""
    deterministic = claim.deterministic if role == "effect" else claim.control.deterministic
    samples = measured_in(claim, role, data)
    sizes = {1, *(one.sizes["seed"] for one in _datasets(data) if "seed" in one.dims)}
    if claim.counts == "seeds" and len(samples) not in sizes and len(sizes) > 1:
        raise BadInput(
            f"claim {claim.id!r}, {role}: gives {len(samples)} values, and the data have {shown(sorted(sizes)[1:])} "
            "seeds: give one value per seed, or say in counts= what is counted."
        )
    if np.isnan(samples).any() or (claim.statistic != "proportion" and outside(samples, claim.range).any()):
        return samples, NOTHING
    try:
        return samples, interval(samples, claim.statistic, level, claim.range, deterministic=deterministic)
    except BadInput as error:
        raise BadInput(f"claim {claim.id!r}, {role}: {error}") from error


def _datasets(data: Data) -> list[Any]:
    return list(data.values()) if isinstance(data, Mapping) and not hasattr(data, "data_vars") else [data]


def _had(data: Data) -> str:
    """Return what results have, in words."""
    if not hasattr(data, "data_vars"):
        return f"they have the experiments {shortened(', '.join(map(str, data)), 200) or 'none'}"
    variables, coordinates = (", ".join(map(str, getattr(data, kind))) or "none" for kind in ("data_vars", "coords"))
    return f"they have the variables {variables} over the coordinates {coordinates}"


def _samples(where: str, effect: Effect, data: Data) -> Array:
    try:
        found = takes(where, effect, "data")(data)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    except (KeyError, AttributeError) as error:
        missing = shortened(str(error).strip("\"'"), 160)
        raise BadInput(
            f"{where}: looks for something that the results do not have ({missing}); {_had(data)}."
        ) from error
    values = found.values if hasattr(found, "values") and hasattr(found, "dims") else found
    if isinstance(values, np.ndarray) and values.dtype.kind == "b":
        values = values.astype(float)  # whether each seed does
    samples = numbers(f"what {where} gives", values).astype(float)
    if samples.ndim != 1 or len(samples) == 0:
        raise BadInput(f"{where}: gives an array of shape {samples.shape}; give (n,), one value per seed.")
    return samples


def _reason(
    claim: Claim, samples: Array, bounds: Interval, controls: Array, control_bounds: Interval, level: float
) -> str:
    control = _control_reason(claim, controls, control_bounds)
    if gone := _gone(claim, samples):
        return f"{gone}{'; ' + control if control else ''}"
    place = f"the {100 * level:.6g} % interval of the {claim.statistic} {_place(claim, samples, bounds, level)}"
    if bounds == control_bounds == claim.range:
        return f"{place}; nor the control's"
    if control:
        return f"{place}; {control}"
    return f"{place}; the control's does not touch it"


def _place(claim: Claim, samples: Array, bounds: Interval, level: float) -> str:
    expected, n = claim.expected, len(samples)
    if expected.contains(*bounds):
        return "lies inside the expectation"
    if expected.excludes(*bounds):
        return f"lies wholly {'below' if bounds[1] < expected.low else 'above'} the expectation"
    if bounds == claim.range:
        return f"is {show_interval(*bounds)}, all that is possible: {_unbounded(claim, samples, level)}"
    sides = [bounds[0] < expected.low, bounds[1] > expected.high]
    where = "both ends" if all(sides) else "the lower end" if sides[0] else "the upper end"
    return f"leaves the expectation at {where}: {n} {claim.counts} do not decide{_more(claim, samples, level)}"


def _more(claim: Claim, samples: Array, level: float) -> str:
    """What it would likely take to decide a median."""
    if claim.statistic != "median" or claim.deterministic:
        return ""
    if not claim.expected.contains(*(2 * (estimate(samples, "median"),))):
        return ", and the median itself is outside"
    likely = seeds_likely(samples, claim.expected, (1 - level) / 2)
    if likely <= len(samples):  # so these were unlucky
        return ", though so many likely would"
    return f", about {show(likely)} would" if np.isfinite(likely) else ", and no number that could be run would"


def _unbounded(claim: Claim, samples: Array, level: float) -> str:
    n, tail = len(samples), (1 - level) / 2
    if claim.deterministic:
        if n == 1:
            return "it is said not to depend on the seed, which one seed can not show"
        ends = f"{show(samples.min())} to {show(samples.max())}"
        return f"it is said not to depend on the seed, and its values are from {ends}"
    if claim.statistic == "median" and not order(n, tail):
        needed = next(n for n in range(1, 1000) if order(n, tail))
        return f"{n} {claim.counts} bound no median at this level, {needed} would"
    return f"{n} {claim.counts} do not decide"


def _control_reason(claim: Claim, controls: Array, bounds: Interval) -> str:
    """Why the control forbids `holds`; empty where it does not."""
    if gone := _gone(claim, controls):
        return f"not separated from its control: {gone}"
    if claim.expected.excludes(*bounds):
        return ""
    if claim.expected.contains(*bounds):
        return f"the claim is broken: its control shows the effect too, {show_interval(*bounds)}"
    return f"not separated from its control, whose interval {show_interval(*bounds)} touches the expectation"


def _gone(claim: Claim, samples: Array) -> str:
    """Why samples give no interval; empty where they do."""
    if missing := int(np.isnan(samples).sum()):
        return f"{missing} of {len(samples)} {claim.counts} have no value"
    if wrong := int(outside(samples, claim.range).sum()):
        return f"{wrong} of {len(samples)} values lie outside the stated range, {show_interval(*claim.range)}"
    return ""
