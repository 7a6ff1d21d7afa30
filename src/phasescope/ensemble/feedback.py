"""``feedback_loop``: any generative model fitted again and again to data that earlier fits have made.

The model is the user's: two functions, one that fits and one that samples. Nothing here knows what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from phasescope.checks import function, numbers, shown, whole
from phasescope.ensemble.streams import streams
from phasescope.vocabulary import Array, BadInput, Generators, nearest

Feeding = Literal["replace", "accumulate", "subsample", "synthetic"]
Fit = Callable[[Array, np.random.Generator], Any]
Sample = Callable[[Any, int, np.random.Generator], Array]


@dataclass(frozen=True)
class Feedback:
    """What a loop left: ``readings`` over ``fit`` (1, 2, ...), the last ``model``, and the ``data`` that it saw."""

    readings: xr.Dataset
    model: Any
    data: Array


def feedback_loop(
    fit: Fit,
    sample: Sample,
    real: Array,
    policy: Feeding = "accumulate",
    *,
    fits: int = 10,
    measure: Callable[[Any], Mapping[str, Any]] | None = None,
    generators: Generators | int = 0,
) -> Feedback:
    """Fit to ``real`` data (N, ...), sample N from the model, fit again, ``fits`` times in all.

    ``fit(data, generator)`` returns a model, ``sample(model, N, generator)`` an array (N, ...). What a fit sees:
    "replace" the newest N; "accumulate" the real data and all samples since; "subsample" N drawn without replacement
    from these; "synthetic" all samples without the real data. ``measure(model)`` returns numbers by name, read after
    each fit. ``generators`` are a member's streams, or a seed. Raises ``BadInput`` for an unknown policy, no data, and
    samples of another shape.

    >>> def fit(data, generator): return data.mean(), data.std()
    >>> def sample(model, count, generator): return generator.normal(*model, count)
    >>> found = feedback_loop(fit, sample, np.arange(8.0), fits=3, measure=lambda model: {"spread": model[1]})
    >>> found.readings.spread.sizes["fit"], len(found.data)
    (3, 24)
    """
    if not isinstance(policy, str) or policy not in get_args(Feeding):
        raise BadInput(f"there is no policy {shown(policy)}{nearest(str(policy), get_args(Feeding))}")
    for name, given in (("fit", fit), ("sample", sample), *([] if measure is None else [("measure", measure)])):
        function(name, given)
    first, fits = numbers("real", real), whole(0, 10**6)("fits", fits)
    if not np.isfinite(first).all():
        raise BadInput(f"real data have {int((~np.isfinite(first)).sum())} values that are not finite: leave them out.")
    if first.ndim < 1 or len(first) < 1 or fits < 1:
        raise BadInput(f"{fits} fits to data of shape {first.shape}: give at least one fit, and one row per sample.")
    draw = generators if callable(generators) else streams(whole(0, 2**63 - 1)("generators", generators))
    batches, readings = [first], []
    for n in range(1, fits + 1):
        data = _seen(batches, policy, draw("subsample", n))
        model = fit(data, draw("fit", n))
        read = measure(model) if measure else {}
        if not isinstance(read, Mapping):
            raise BadInput(f"measure gives {shown(read)}: give numbers by name, such as {{'spread': 1.0}}.")
        readings.append({name: np.asarray(value) for name, value in read.items()})
        if n < fits:
            batches.append(_checked(sample(model, len(first), draw("sample", n)), first))
    return Feedback(_dataset(readings), model, data)


def _seen(batches: list[Array], policy: Feeding, generator: np.random.Generator) -> Array:
    if policy == "replace" or len(batches) == 1:
        return batches[-1]
    if policy == "synthetic":
        return np.concatenate(batches[1:])
    pool = np.concatenate(batches)
    if policy == "accumulate":
        return pool
    return np.asarray(pool[generator.choice(len(pool), len(batches[0]), replace=False)])


def _checked(samples: Array, first: Array) -> Array:
    found = np.asarray(samples)
    if found.shape != first.shape:
        raise BadInput(f"the model sampled an array of shape {found.shape}: the real data have {first.shape}.")
    return found


def _dataset(readings: list[dict[str, Array]]) -> xr.Dataset:
    data = xr.Dataset(coords={"fit": np.arange(1, len(readings) + 1)})
    for name in readings[0]:
        values = np.stack([reading[name] for reading in readings])
        data[name] = (("fit", *(f"{name}_{axis}" for axis in range(values.ndim - 1))), values)
    return data
