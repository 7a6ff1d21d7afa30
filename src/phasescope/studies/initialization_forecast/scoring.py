"""How good forecasts are: chances from the stored coefficients, balanced accuracy, calibration, and errors of rates.

Every network is forecast by coefficients that were fitted to development seeds of the *other* families: nothing of its
family or of its seed is in them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from phasescope.ensemble.streams import streams
from phasescope.inspection.forecast import OUTCOMES, Model
from phasescope.studies.initialization_forecast.fitting import INPUTS, Columns, log_rates, outcomes, riches
from phasescope.studies.initialization_forecast.settings import FAMILIES, RATES
from phasescope.vocabulary import Array

MAIN, RIVALS = "signs", ("J alone", "gradient norm alone", "architecture alone")
BINS = np.array([0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
"""Of the chance of the outcome that is said, which is at least a third."""
DRAWS = 2000


@cache
def stored() -> Mapping[str, Mapping[str, Model]]:
    """Return the models of each family that were fitted without it, from ``held_out.json``."""
    data = json.loads(files("phasescope.studies.initialization_forecast").joinpath("held_out.json").read_text("utf-8"))
    return {family: {name: Model.from_json(m) for name, m in models.items()} for family, models in data.items()}


Models = Mapping[str, Mapping[str, Model]]


def of_family(columns: Columns, name: str, read: Callable[[Model], Array], models: Models) -> Array:
    """Return what ``read`` says of each network (n, ...), by the model ``name`` that was fitted without its family."""
    found: Array | None = None
    for family in FAMILIES:
        rows = columns["family"] == family
        if not rows.any():
            continue
        values = read(models[family][name])
        found = np.full(values.shape, math.nan) if found is None else found
        found[rows] = values[rows]
    assert found is not None
    return found


def chances(columns: Columns, name: str = MAIN, models: Models | None = None) -> Array:
    """Return the chances of the three outcomes (n, 3) by one of ``INPUTS``; NaN where a reading is missing."""
    return of_family(columns, name, lambda model: model.chances(columns), models or stored())


def calls(columns: Columns, name: str = MAIN, models: Models | None = None) -> Array:
    """Return the outcome (n,) that each network is called at equal odds, for which balanced accuracy is meant."""
    return of_family(columns, name, lambda model: model.calls(columns).astype(float), models or stored()).astype(int)


def readable(columns: Columns) -> Array:
    """Return which networks (n,) can be forecast: those of which every reading that any forecast needs is there."""
    needed = {part.removesuffix("^2") for inputs in INPUTS.values() for part in inputs}
    found: Array = np.all([np.isfinite(columns[name]) for name in needed], axis=0)
    return found


def balanced(truth: Array, said: Array, classes: int = 3) -> float:
    """Return the mean over the classes that are there of the share of their members that are called so.

    Guessing the commonest class, or any at random, has 1 over the number of classes. NaN without members.

    >>> balanced(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 2)
    0.8333333333333333
    """
    recalls = [float((said[truth == k] == k).mean()) for k in range(classes) if (truth == k).any()]
    return float(np.mean(recalls)) if recalls else math.nan


def accuracy_of(columns: Columns, name: str, models: Models | None = None) -> float:
    """Return the balanced accuracy of the forecast ``name``; the readable networks count."""
    there = readable(columns)
    return balanced(outcomes(columns["accuracy"])[there], calls(columns, name, models)[there])


def oversure(columns: Columns, name: str = MAIN, models: Models | None = None) -> float:
    """Return by how much the mean chance of what is said is above the share that comes true; negative if too unsure."""
    there = readable(columns)
    found = chances(columns, name, models)[there]
    right = found.argmax(1) == outcomes(columns["accuracy"])[there]
    return float(found.max(1).mean() - right.mean())


def certain(columns: Columns) -> float:
    """Return the same of one who says the same outcomes, each without a doubt."""
    there = readable(columns)
    right = chances(columns)[there].argmax(1) == outcomes(columns["accuracy"])[there]
    return float(1 - right.mean())


def reliability(columns: Columns, name: str = MAIN, models: Models | None = None) -> tuple[Array, Array, Array]:
    """Return the mean chance, the share that came true, and the number of networks, in each of ``BINS`` (b,)."""
    there = readable(columns)
    found = chances(columns, name, models)[there]
    sure, right = found.max(1), found.argmax(1) == outcomes(columns["accuracy"])[there]
    place = np.clip(np.digitize(sure, BINS) - 1, 0, len(BINS) - 2)
    count = np.bincount(place, minlength=len(BINS) - 1).astype(float)
    with np.errstate(invalid="ignore"):
        said = np.bincount(place, sure, len(BINS) - 1) / count
        true = np.bincount(place, right.astype(float), len(BINS) - 1) / count
    return said, true, count


def calibration_error(columns: Columns, name: str = MAIN, models: Models | None = None) -> float:
    """Return the expected calibration error: the mean distance of chance and share over ``BINS``, by their counts."""
    said, true, count = reliability(columns, name, models)
    return float(np.nansum(count * np.abs(said - true)) / count.sum())


def octaves(columns: Columns, name: str = MAIN, models: Models | None = None) -> float:
    """Return the mean distance, in factors of 2, of the rate forecast from the largest that trains.

    What is forecast lies within the rates that were tried, as what ``ps.inspect`` says does.
    """
    says = of_family(columns, name, lambda model: model.log_rate(columns), models or stored())
    off = np.abs(np.clip(says, np.log2(RATES[0]), np.log2(RATES[-1])) - log_rates(columns["accuracy"]))
    return float(off[np.isfinite(off)].mean()) if np.isfinite(off).any() else math.nan


def octaves_of_one(columns: Columns, log_rate: float) -> float:
    """Return the same of one rate for all networks."""
    off = np.abs(log_rate - log_rates(columns["accuracy"]))
    return float(np.median(off[np.isfinite(off)])) if np.isfinite(off).any() else math.nan


def rich_accuracy(columns: Columns, name: str = MAIN, models: Models | None = None) -> float:
    """Return the balanced accuracy of rich against lazy, over the networks that train."""
    truth = riches(columns["accuracy"], columns["moved"])
    says = of_family(columns, name, lambda model: model.rich_chance(columns), models or stored())
    there = np.isfinite(truth) & np.isfinite(says)
    return balanced(truth[there].astype(int), (says[there] >= 0.5).astype(int), 2)


# -- the record ------------------------------------------------------------------------------------------------------


def taken(columns: Columns, rows: Array) -> dict[str, Array]:
    """Return the columns of some networks, by number."""
    return {name: values[rows] for name, values in columns.items()}


def resampled(columns: Columns, read: Callable[[Columns], float], draws: int = DRAWS) -> list[float]:
    """Return a number with its 95 % interval: families, and in each networks, are drawn again with replacement."""
    generator = streams(0)("bootstrap")
    groups = [np.flatnonzero(columns["family"] == family) for family in FAMILIES]
    groups = [group for group in groups if len(group)]
    found = []
    for _ in range(draws):
        chosen = generator.integers(0, len(groups), len(groups))
        rows = np.concatenate([generator.choice(groups[i], len(groups[i])) for i in chosen])
        found.append(read(taken(columns, rows)))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return [float(f"{v:.4g}") for v in (read(columns), low, high)]


def scored(columns: Columns, models: Models | None = None) -> dict[str, Any]:
    """Return what a set of networks says of the forecasts, as plain data: accuracies, calibration, where they err."""
    there = readable(columns)
    kept = taken(columns, np.flatnonzero(there))
    truth = outcomes(kept["accuracy"])
    likely = chances(kept, MAIN, models)
    kept |= {f"says {name}": calls(kept, name, models) for name in INPUTS} | {"truth": truth}
    kept |= {"sure": likely.max(1), "right": (likely.argmax(1) == truth).astype(float)}

    def accuracy(name: str) -> Callable[[Columns], float]:
        return lambda c: balanced(c["truth"], c[f"says {name}"])

    lead = {
        rival: resampled(kept, lambda c, r=rival: accuracy(MAIN)(c) - accuracy(r)(c))  # type: ignore[misc]
        for rival in RIVALS
    }
    said, true, count = reliability(kept, MAIN, models)
    matrix = np.zeros((3, 3), int)
    np.add.at(matrix, (truth, kept[f"says {MAIN}"]), 1)
    by_family = {
        family: {
            "networks": int((kept["family"] == family).sum()),
            **{
                name: _rounded(accuracy(name)(taken(kept, np.flatnonzero(kept["family"] == family)))) for name in INPUTS
            },
        }
        for family in FAMILIES
    }
    return {
        "better than J alone": lead["J alone"][1] > 0,
        "networks": len(there), "unreadable": int((~there).sum()), "majority": _rounded(1 / len(np.unique(truth))),
        "outcomes": {name: int((truth == k).sum()) for k, name in enumerate(OUTCOMES)},
        "balanced accuracy": {name: resampled(kept, accuracy(name)) for name in INPUTS}, "lead": lead,
        "calibration error": resampled(kept, lambda c: _error(c), 500),
        "right": resampled(kept, lambda c: float(c["right"].mean()), 500),
        "oversure": _rounded(oversure(columns, MAIN, models)),
        "reliability": {"said": [_rounded(v) for v in said], "true": [_rounded(v) for v in true],
                        "networks": [int(n) for n in count]},
        "confusion": matrix.tolist(), "families": by_family,
        "octaves": {name: _rounded(octaves(columns, name, models)) for name in INPUTS},
        "rich": {name: _rounded(rich_accuracy(columns, name, models)) for name in INPUTS},
    }  # fmt: skip


def _error(c: Columns) -> float:
    place = np.clip(np.digitize(c["sure"], BINS) - 1, 0, len(BINS) - 2)
    right = c["right"]
    return float(sum(abs((c["sure"] - right)[place == b].sum()) for b in range(len(BINS) - 1)) / len(right))


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.4g}")
