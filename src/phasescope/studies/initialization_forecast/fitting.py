"""Labels, tables and fits of ``initialization-forecast``: from what was measured to the coefficients of a forecast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import minimize

from phasescope.inspection.forecast import Model
from phasescope.inspection.signs import SIGNS
from phasescope.studies.initialization_forecast.experiments import TRAININGS
from phasescope.studies.initialization_forecast.settings import FAMILIES, LEVEL, ORDINARY, RATES, RICH
from phasescope.vocabulary import Array, BadInput

INPUTS: Mapping[str, tuple[str, ...]] = {
    "signs": (*SIGNS, "kernel^2", "tangent^2"),
    "J alone": ("grows", "shrinks"),
    "gradient norm alone": ("gradient", "gradient^2"),
    "architecture alone": ("normalized", "skip", "depth"),
}
"""What each forecast is made from. The last three are the rivals."""
ACCURACIES = tuple(f"accuracy {name}" for name in TRAININGS)
COLUMNS = ("seed", "family", "draw", *SIGNS, "gradient", *ACCURACIES, "moved", "layers", "width", "log_variance",
           "parameters")  # fmt: skip
RIDGE = 5.0
"""Of all squared coefficients but the constants, against the log likelihood of one network: the chances of development
networks of families that were held out are then as large as what came true."""
RANGED = ("grows", "shrinks", "kernel", "depth", "tangent", "output", "parameters")
"""What may lie outside of the record; the other signs have bounds of their own."""
Columns = Mapping[str, Array]


# -- labels ----------------------------------------------------------------------------------------------------------


def outcomes(accuracy: Array) -> Array:
    """Return 0, 1 or 2 (...) of test accuracies (..., R) at the rates and, last, with warm-up.

    0: an ordinary rate reaches the level. 1: only a smaller one, or the warm-up, does. 2: none.
    """
    reached = accuracy >= LEVEL
    ordinary = reached[..., :-1][..., [rate >= ORDINARY for rate in RATES]].any(-1)
    return np.where(ordinary, 0, np.where(reached.any(-1), 1, 2))


def log_rates(accuracy: Array) -> Array:
    """Return log2 of the largest rate that reaches the level (...), NaN where none does."""
    logs = np.where(accuracy[..., :-1] >= LEVEL, np.log2(RATES), -np.inf).max(-1)
    return np.where(np.isfinite(logs), logs, np.nan)


def riches(accuracy: Array, moved: Array) -> Array:
    """Return 1 where features moved, 0 where they did not (...), NaN where nothing reached the level."""
    return np.where((accuracy >= LEVEL).any(-1) & np.isfinite(moved), (moved >= RICH).astype(float), np.nan)


# -- tables ----------------------------------------------------------------------------------------------------------


def rows_of(data: xr.Dataset) -> list[list[str]]:
    """Return the networks of a dataset as rows of ``COLUMNS``, numbers with six digits."""
    found = []
    for family in data.family.values:
        for draw in data.draw.values:
            for seed in data.seed.values:
                one = data.sel(family=family, draw=draw, seed=seed)
                numbers = [*one.signs.values, one.gradient, *one.accuracy.values, one.moved, one.depth, one.width,
                           one.log_variance, one.parameters]  # fmt: skip
                found.append([str(seed), str(family), str(draw), *(f"{float(v):.6g}" for v in numbers)])
    return found


def columns_of(table: Sequence[Mapping[str, str]]) -> dict[str, Array]:
    """Return the columns of a table as arrays (n,), ``accuracy`` (n, R) among them. Raises ``BadInput`` if empty."""
    if not table:
        raise BadInput("the table of networks is empty: measure some first.")
    found = {name: np.array([float(row[name]) for row in table]) for name in COLUMNS if name != "family"}
    found["family"] = np.array([row["family"] for row in table])
    return {**found, "accuracy": np.stack([found[name] for name in ACCURACIES], -1)}


def measured_columns(cell: xr.Dataset) -> dict[str, Array]:
    """Return the same columns of a dataset of networks, flattened over all its axes."""
    axes = [str(dim) for dim in cell.gradient.dims]
    flat = cell.stack(network=axes)
    found = {name: flat.signs.sel(sign=name).values for name in SIGNS}
    names = ("gradient", "moved", "parameters")
    found |= {name: flat[name].values for name in names}
    family = (
        flat["family"].values if "family" in axes else np.array([str(cell["family"].item())] * flat.sizes["network"])
    )
    return {**found, "family": family, "accuracy": flat.accuracy.transpose("network", "training").values}


# -- fits ------------------------------------------------------------------------------------------------------------


def logistic(x: Array, y: Array, classes: int, ridge: float = RIDGE) -> Array:
    """Return coefficients (classes, F) of a multinomial logistic regression of ``y`` (n,) on ``x`` (n, F).

    The first column of ``x`` is the constant, which the ridge leaves alone. The objective is convex.
    """
    hot = np.eye(classes)[y]
    count = x.shape[1]

    def objective(flat: Array) -> tuple[float, Array]:
        w = flat.reshape(classes, count)
        logits = x @ w.T
        top = logits.max(1, keepdims=True)
        log_total = top[:, 0] + np.log(np.exp(logits - top).sum(1))
        penalty = w.copy()
        penalty[:, 0] = 0
        value = float(log_total.sum() - (logits * hot).sum() + ridge / 2 * (penalty**2).sum())
        slope = (np.exp(logits - log_total[:, None]) - hot).T @ x + ridge * penalty
        return value, slope.ravel()

    options = {"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-9, "maxfun": 100_000}
    found = minimize(objective, np.zeros(classes * count), jac=True, method="L-BFGS-B", options=options)
    w = found.x.reshape(classes, count)
    centred: Array = w - w.mean(0)
    return centred


def linear(x: Array, y: Array, ridge: float = 1.0) -> Array:
    """Return coefficients (F,) of a ridge regression, whose constant, the first column, is left alone."""
    penalty = np.diag([0.0, *[ridge] * (x.shape[1] - 1)])
    found: Array = np.linalg.solve(x.T @ x + penalty, x.T @ y)
    return found


def fit(columns: Columns, inputs: Sequence[str], rows: Array, spread: float = math.nan) -> Model:
    """Return the model of ``inputs`` on the networks ``rows`` (n,) bool of which all inputs were read."""
    none = np.zeros(0)
    plain = Model(tuple(inputs), np.zeros(len(inputs)), np.ones(len(inputs)), none, none, none, none, spread)
    raw = plain.design(columns)[:, 1:]
    there = rows & np.isfinite(raw).all(1)
    mean, scale = raw[there].mean(0), raw[there].std(0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    x = np.concatenate([np.ones((len(raw), 1)), (raw - mean) / scale], 1)
    accuracy = columns["accuracy"]
    what = outcomes(accuracy)[there]
    shares = (np.bincount(what, minlength=3) + 1) / (len(what) + 3)  # an outcome that never came is not impossible
    classes = logistic(x[there], what, 3)
    rich, rate = riches(accuracy, columns["moved"]), log_rates(accuracy)
    moves, works = there & np.isfinite(rich), there & np.isfinite(rate)
    two = logistic(x[moves], rich[moves].astype(int), 2)
    return Model(tuple(inputs), mean, scale, shares, classes, two[1] - two[0], linear(x[works], rate[works]), spread)


def held_models(columns: Columns) -> dict[str, dict[str, Model]]:
    """Return, of each family, the models of all ``INPUTS`` that were fitted to the others alone."""
    return {
        family: {name: fit(columns, inputs, columns["family"] != family) for name, inputs in INPUTS.items()}
        for family in FAMILIES
    }


def fitted(table: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return what ``ps.inspect`` forecasts from: two models of all families, and the ranges of the signs."""
    columns = columns_of(table)
    everyone, held = np.ones(len(table), bool), held_models(columns)
    models = {}
    for name in ("signs", "J alone"):
        missed = []
        for family in FAMILIES:
            rows = columns["family"] == family
            missed.append((held[family][name].log_rate(columns) - log_rates(columns["accuracy"]))[rows])
        spread = float(np.sqrt(np.nanmean(np.concatenate(missed) ** 2)))
        models[name] = fit(columns, INPUTS[name], everyone, spread).to_json()
    covered = {name: _range(columns[name]) for name in RANGED}
    seeds = sorted({int(s) for s in columns["seed"]})
    return {
        "networks": len(table), "seeds": [seeds[0], seeds[-1]], "rates": [RATES[0], RATES[-1]], "models": models,
        "covered": covered,
    }  # fmt: skip


def _range(values: Array) -> list[float]:
    finite = values[np.isfinite(values)]
    return [float(f"{finite.min():.6g}"), float(f"{finite.max():.6g}")]


def held_out(table: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return the coefficients of every family's models, as plain data."""
    return {
        family: {name: model.to_json() for name, model in models.items()}
        for family, models in held_models(columns_of(table)).items()
    }
