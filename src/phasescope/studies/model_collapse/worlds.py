"""What the study ``model-collapse`` measures where theory is exact: linear models, Gaussians, density estimators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phasescope.ensemble import feedback_loop
from phasescope.studies.model_collapse.models import policy_of
from phasescope.vocabulary import Array, Generators, Member

Found = Mapping[str, Any]


def linear(member: Member, generators: Generators) -> Found:
    """Fit least squares again and again to labels of the fit before: ``error`` (fits,), the mean over ``chains``.

    One design is used throughout ("same"), or each iteration draws its own ("fresh"). Only the sums X'X and X'y of
    what a fit sees are kept, for ``chains`` chains at once; a test compares them with ``feedback_loop``.
    """
    d, T, chains = int(member["inputs"]), int(member["samples"]), int(member["chains"])
    noise, fresh = float(member["variance"]) ** 0.5, member["design"] == "fresh"
    keeps = member["policy"] == "accumulate"
    design, labels = generators("design"), generators("noise")
    w = np.zeros((chains, d, 1))  # the true weights are 0: the error does not depend on them
    gram, moment, errors = np.zeros((chains, d, d)), np.zeros((chains, d, 1)), []
    X = design.standard_normal((chains, T, d))
    for n in range(int(member["fits"])):
        if fresh and n > 0:
            X = design.standard_normal((chains, T, d))
        y = X @ w + noise * labels.standard_normal((chains, T, 1))
        turned = X.transpose(0, 2, 1)
        gram, moment = (gram * keeps + turned @ X, moment * keeps + turned @ y)
        w = np.linalg.solve(gram, moment)
        errors.append((w**2).sum((1, 2)))
    table = np.array(errors)
    return {"error": table.mean(1), "median_error": np.median(table, axis=1)}


def least_squares(data: Array, generator: np.random.Generator) -> Array:
    """Return the weights (chains, d) of rows ``data`` (N, chains, d + 1), the last column the labels."""
    rows = data.transpose(1, 0, 2)
    X, y = rows[..., :-1], rows[..., -1:]
    turned = X.transpose(0, 2, 1)
    return np.asarray(np.linalg.solve(turned @ X, turned @ y)[..., 0])


def regression_samples(weights: Array, count: int, generator: np.random.Generator, noise: float = 1.0) -> Array:
    """Return fresh rows (count, chains, d + 1) with labels of ``weights`` (chains, d) and noise."""
    X = generator.standard_normal((count, *weights.shape))
    y = (X * weights).sum(-1) + noise * generator.standard_normal(X.shape[:2])
    return np.concatenate([X, y[..., None]], axis=-1)


def subsampled(member: Member, generators: Generators) -> Found:
    """Fit to T points drawn from all so far, through ``feedback_loop``: ``error`` (fits,), the mean over chains."""
    d, T, chains = int(member["inputs"]), int(member["samples"]), int(member["chains"])
    real = regression_samples(np.zeros((chains, d)), T, generators("real"))
    found = feedback_loop(
        least_squares, regression_samples, real, "subsample", fits=int(member["fits"]),
        measure=lambda w: {"error": (w**2).sum(1).mean()}, generators=generators,
    )  # fmt: skip
    return {"error": found.readings.error.values}


def gaussian(member: Member, generators: Generators) -> Found:
    """Fit Gaussians, or density estimators of bandwidth h, to their own samples: ``variance`` (fits,) and its median.

    ``chains`` chains at once; each pool is kept as its mean and variance where the model is a Gaussian.
    """
    T, chains, h2 = int(member["samples"]), int(member["chains"]), float(member["square_bandwidth"])

    def fit(data: Array, generator: np.random.Generator) -> Array:
        return data

    def sample(data: Array, count: int, generator: np.random.Generator) -> Array:
        noise = generator.standard_normal((count, chains))
        if h2 == 0:
            return np.asarray(data.mean(0) + data.std(0) * noise)
        chosen = generator.integers(len(data), size=(count, chains))
        return np.asarray(np.take_along_axis(data, chosen, axis=0) + h2**0.5 * noise)

    def measure(data: Array) -> Found:
        variance = data.var(0)
        return {"variance": variance.mean(), "typical": np.exp(np.log(variance).mean())}

    real = generators("real").standard_normal((T, chains))
    found = feedback_loop(
        fit, sample, real, policy_of(member), fits=int(member["fits"]), measure=measure, generators=generators
    ).readings
    return {name: found[name].values for name in ("variance", "typical")}
