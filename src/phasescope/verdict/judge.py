"""From claims and results to verdicts, with one error budget for all claims judged together.

**The rule.** A claim *holds* if its interval lies inside the expectation and its control's interval does not
touch the expectation; it *fails* if its own interval does not touch the expectation; otherwise it is
*undecided*.

**Multiplicity.** Bonferroni: m claims judged together use intervals of level ``1 - alpha / m``, each end
erring in ``alpha / (2 m)``. A claim whose truth lies outside its expectation then holds wrongly with
probability ``alpha / (2 m)`` (one end must err); one whose control truly shows the effect, with ``alpha / m``
(both parts must pass, so control and claim need no shares of their own: Berger 1982, Technometrics 24:295);
one whose truth lies inside fails wrongly with ``alpha / m`` at most. So over the family, whatever the
dependence between claims: P(any wrong *holds*) <= alpha and P(any wrong *fails*) <= alpha, as far as the
intervals keep their level (``intervals`` says how far). Step-down rules such as Holm's would decide more, but
their verdicts could then not be read off the intervals printed beside them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from phasescope.checks import function, kind, number, numbers, shown, takes
from phasescope.errors import shortened
from phasescope.vocabulary import Array, BadInput, Generators

from .claims import Claim, Effect, Expectation, Statistic
from .intervals import estimate, interval
from .numbers import show_interval
from .verdict import ControlResult, Outcome, Verdict
from .verdicts import Verdicts

if TYPE_CHECKING:
    from .effects import Data

RESAMPLES = 10_000
Interval = tuple[float, float]
NOTHING: Interval = (math.nan, math.nan)


def judge(claims: Iterable[Claim], data: Data, generators: Generators, alpha: float = 0.05) -> Verdicts:
    """Judge ``claims`` together on ``data``; at most ``alpha`` is the chance that any of them holds wrongly.

    Claims stay in their order. The draws for a claim depend on its id alone, through
    ``generators("bootstrap", ...)``; another claim changes its interval only through the level. Raises
    ``BadInput`` for an ``alpha`` outside (0, 1), ids used twice, an effect that is not one number per seed,
    or one that looks for something that ``data`` does not have.
    """
    family = tuple(_looked_at(claims))
    function("generators", generators)
    experiments = data.values() if isinstance(data, Mapping) and not hasattr(data, "data_vars") else [data]
    if not experiments or not all(hasattr(one, "data_vars") for one in experiments):
        raise BadInput(
            f"data is {shown(data)}: give an xarray Dataset, such as ps.train returns, or a mapping of names to some."
        )
    ids = [claim.id for claim in family]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise BadInput(f"claims {', '.join(map(repr, twice))} are there more than once: give each claim its own id.")
    alpha = number(0, 1, open_low=True, open_high=True)("alpha, the error allowed over all claims,", alpha)
    return Verdicts(tuple(_judge(claim, data, generators, 1 - alpha / len(family)) for claim in family))


def _looked_at(claims: Iterable[Claim]) -> Iterator[Claim]:
    """Yield ``claims``; raise ``BadInput`` for what is none."""
    if not isinstance(claims, Iterable) or isinstance(claims, str | bytes | Mapping):
        raise BadInput(f"claims is {shown(claims)}: give a list of claims.")
    for claim in claims:
        yield kind(Claim, say="a Claim")("a claim", claim)


def stream(claim_id: str, role: str) -> int:
    """Return the index of the bootstrap stream of a claim's ``"effect"`` or ``"control"``: a stable 32-bit
    hash.

    >>> stream("late", "effect") == stream("late", "effect") != stream("late", "control")
    True
    """
    return int.from_bytes(hashlib.blake2b(f"{role}:{claim_id}".encode(), digest_size=4).digest(), "big")


def decide(expected: Expectation, measured: Interval, control: Interval) -> Outcome:
    """Apply the rule to the intervals of a claim and of its control; NaN ends leave the claim undecided."""
    if expected.excludes(*measured):
        return "fails"
    return "holds" if expected.contains(*measured) and expected.excludes(*control) else "undecided"


def _judge(claim: Claim, data: Data, generators: Generators, level: float) -> Verdict:
    samples, bounds = _measure(claim, "effect", data, generators, level)
    controls, control_bounds = _measure(claim, "control", data, generators, level)
    return Verdict(
        id=claim.id,
        sentence=claim.sentence,
        source=claim.source,
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
            shows_effect=not claim.expected.excludes(*control_bounds),
        ),
        unit=claim.unit,
    )


def _measure(claim: Claim, role: str, data: Data, generators: Generators, level: float) -> tuple[Array, Interval]:
    """Return the samples (n,) of the effect or control, and their interval: NaN where a seed has no value."""
    effect = claim.effect if role == "effect" else claim.control.effect
    samples = _samples(f"claim {claim.id!r}, {role}", effect, data)  # type: ignore[arg-type]  # a claim places cells
    if np.isnan(samples).any():
        return samples, NOTHING
    generator = generators("bootstrap", stream(claim.id, role))
    resamples = max(RESAMPLES, math.ceil(40 / (1 - level)))
    try:
        return samples, interval(samples, claim.statistic, level, generator, resamples)
    except BadInput as error:
        raise BadInput(f"claim {claim.id!r}, {role}: {error}") from error


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
    control = _control_reason(claim.expected, controls, control_bounds)
    if np.isnan(samples).any():
        return f"{_missing(samples)}{'; ' + control if control else ''}"
    place = f"the {100 * level:.4g} % interval of the {claim.statistic} {_place(claim, len(samples), bounds)}"
    if control:
        return f"{place}; {control}"
    return f"{place}; the control's does not touch it"


def _place(claim: Claim, n: int, bounds: Interval) -> str:
    expected: Expectation = claim.expected
    if expected.contains(*bounds):
        return "lies inside the expectation"
    if expected.excludes(*bounds):
        return f"lies wholly {'below' if bounds[1] < expected.low else 'above'} the expectation"
    if bounds == (-math.inf, math.inf):
        return f"is unbounded: {_unbounded(claim.statistic, n)}"
    sides = [bounds[0] < expected.low, bounds[1] > expected.high]
    where = "both ends" if all(sides) else "the lower end" if sides[0] else "the upper end"
    return f"leaves the expectation at {where}: {n} seeds do not decide"


def _unbounded(statistic: Statistic, n: int) -> str:
    if n == 1:
        return "one seed says nothing about the others"
    return "infinite values have no mean" if statistic == "mean" else "some values are infinite"


def _control_reason(expected: Expectation, controls: Array, bounds: Interval) -> str:
    """Why the control forbids `holds`; empty where it does not."""
    if np.isnan(controls).any():
        return f"not separated from its control: {_missing(controls)}"
    if expected.excludes(*bounds):
        return ""
    if expected.contains(*bounds):
        return f"the claim is broken: its control shows the effect too, {show_interval(*bounds)}"
    return f"not separated from its control, whose interval {show_interval(*bounds)} touches the expectation"


def _missing(samples: Array) -> str:
    return f"{int(np.isnan(samples).sum())} of {len(samples)} seeds have no value"
