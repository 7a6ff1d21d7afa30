"""What ``grokking-time`` measures of one seed: forecasts of held-out networks, and the boundary of generalization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phasescope.studies.grokking_time.networks import Trained, laid_out, networks
from phasescope.studies.grokking_time.settings import (
    BOTH,
    CELL,
    COORDINATES,
    CURVE,
    FRACTION,
    INPUTS,
    LINEAR,
    MEAN,
    MEMORIZED,
    MODELS,
    PERMUTED,
    READINGS,
    SHALLOW,
    SPLITS,
    TWIN,
)
from phasescope.verdict.forecasts import Boosting, Logistic, Mean, Model, Ridge, held_out, squared
from phasescope.vocabulary import Array, Generators, Member

Found = Mapping[str, Any]


def measure(member: Member, generators: Generators) -> Found:
    """Train the networks of one seed and forecast each from the others.

    ``step`` (networks) at which test accuracy reached the level, inf where it did not within the budget, NaN where it
    had when the first steps were over; ``log_step`` and ``chance`` (held, model, inputs, networks): the forecasts of
    its logarithm, of those that did, and of the chance that it does; ``law`` (term): the boundary.
    """
    trained = networks(member)
    free = ~trained.already
    chance, times = (np.full((len(SPLITS), len(MODELS), len(INPUTS), len(free)), np.nan) for _ in range(2))
    grokked = np.isfinite(trained.step)
    for s, split in enumerate(SPLITS):
        for i, inputs in enumerate(INPUTS):
            for m, model in enumerate(MODELS):
                if model == LINEAR or inputs in SHALLOW[split]:
                    chance[s, m, i] = forecast(trained, member, generators, split, model, inputs, free, grokked)
                    times[s, m, i] = forecast(
                        trained, member, generators, split, model, inputs, free & grokked, np.log10(trained.step)
                    )
    return {
        "step": laid_out(member, np.where(free, trained.step, np.nan)),
        "memorized": laid_out(member, trained.memorized),
        "log_step": laid_out(member, times),
        "chance": laid_out(member, chance),
        "law": law(trained.coordinates, trained.step <= float(member["steps"])),
        "memorization": power_law(trained.coordinates, trained.memorized),
    }


def forecast(
    trained: Trained, member: Member, generators: Generators, split: str, model: str, inputs: str, rows: Array,
    target: Array,
) -> Array:  # fmt: skip
    """Return the forecast (n,) of a target by some inputs and a model for ``rows`` (n,), NaN for all others.

    A target of booleans is forecast by its chance.
    """
    found = np.full(len(rows), np.nan)
    kinds = np.unique(trained.coordinates, axis=0, return_inverse=True)[1].ravel()
    groups = (kinds if split == CELL else trained.coordinates[:, 0])[rows]
    count = min(int(member["folds"]) if split == CELL else len(np.unique(groups)), len(np.unique(groups)))
    if count < 2:
        return found
    given, asked = columns(trained, inputs, split)
    if inputs == PERMUTED:
        turn = generators("permuted").permutation(int(rows.sum()))
        given = asked = given[rows][turn]
    else:
        given, asked = given[rows], asked[rows]
    found[rows] = held_out(
        models(model, inputs, target.dtype == bool, int(member["trees"])), given, target[rows].astype(float), groups,
        count=count, generator=generators("folds"), asked=asked,
    )  # fmt: skip
    return found


def models(model: str, inputs: str, chance: bool, trees: int) -> Model:
    """Return the model by its name, fixed before any network was trained."""
    if inputs == MEAN:
        return Mean()
    if model == LINEAR:
        return Logistic() if chance else Ridge()
    return Boosting(trees=trees, depth=3, chance=chance)


def coordinates_of(trained: Trained, split: str) -> Array:
    """Return logarithms of modulus, decay and fraction, and corruption, with their products: (n, 14).

    Where moduli are held out few are left to fit, and the modulus stands alone, without products: (n, 10).
    """
    raw = trained.coordinates
    middle = np.array([np.log(20), 0.0, np.log(0.5), 0.05])  # near the middle of a grid, so that products are no copies
    place = np.column_stack([np.log(raw[:, :3]), raw[:, 3]]) - middle
    return squared(place) if split == CELL else np.column_stack([place[:, :1], squared(place[:, 1:])])


def columns(trained: Trained, inputs: str, split: str) -> tuple[Array, Array]:
    """Return the inputs (n, d) that models are fitted to, and those that a network is forecast from."""
    place, read = coordinates_of(trained, split), trained.readings
    both = np.column_stack([place, read])
    fraction = np.log(trained.coordinates[:, 2:3])
    known: dict[str, Array] = {
        MEAN: fraction, FRACTION: squared(fraction - np.log(0.5)), MEMORIZED: read[:, :2], COORDINATES: place,
        READINGS: read, BOTH: both, TWIN: both, CURVE: np.column_stack([place, trained.curve]), PERMUTED: both,
    }  # fmt: skip
    asked = np.column_stack([place, twins(read)]) if inputs == TWIN else known[inputs]
    return known[inputs], asked


def twins(values: Array) -> Array:
    """Return values (n, ...) with those of the other network of each pair; pairs stand side by side."""
    return values.reshape(-1, 2, *values.shape[1:])[:, ::-1].reshape(values.shape)


def law(coordinates: Array, grokked: Array) -> Array:
    """Return the boundary: log f_c = a + b log p + c log decay + d corruption, as (b, c, d, f_c at the middle, width).

    The chance to grok is logistic in (log f - log f_c) / width; least loss with a penalty so small (1e-3 of a unit of
    the scaled weights squared) that it counts only where nothing else bounds them. The middle is p = 20, decay = 1,
    no corruption. NaN where all or none grok.
    """
    from sklearn.linear_model import LogisticRegression

    if grokked.all() or not grokked.any():
        return np.full(5, np.nan)
    p, decay, fraction, corruption = coordinates.T
    x = np.column_stack([np.log(p / 20), np.log(decay), corruption, np.log(fraction)])
    spread = x.std(0)
    fitted = LogisticRegression(C=1000.0, max_iter=5000, tol=1e-8).fit(x / spread, grokked)
    slopes = fitted.coef_[0] / spread
    if slopes[3] <= 0:
        return np.full(5, np.nan)
    b, c, d = -slopes[:3] / slopes[3]
    return np.array([b, c, d, np.exp(-fitted.intercept_[0] / slopes[3]), 1 / slopes[3]])


def power_law(coordinates: Array, steps: Array) -> Array:
    """Return how steps (n,) go: log = a + b log p + c log decay + d corruption + e log f, as (b, c, d); finite ones."""
    known = np.isfinite(steps) & (steps > 0)
    if known.sum() < 10:
        return np.full(3, np.nan)
    p, decay, fraction, corruption = coordinates[known].T
    x = np.column_stack([np.log(p), np.log(decay), corruption, np.log(fraction), np.ones(known.sum())])
    return np.asarray(np.linalg.lstsq(x, np.log(steps[known]), rcond=None)[0][:3])
