"""Least squares fitted to labels of its own making, with and without the real data kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np

from phasescope.ensemble import feedback_loop, streams
from phasescope.papers.statement import Compared, at_most, near, statement
from phasescope.theory.model_collapse import ACCUMULATION_BOUND, error_growth
from phasescope.verdict import Source
from phasescope.vocabulary import Array

SAMPLES, INPUTS, FITS, WORLDS = 60, 5, 10, 200
GERSTGRASSER = "Gerstgrasser et al. 2024, arXiv:2404.01413"


def growth(policy: Literal["replace", "accumulate"]) -> Array:
    """Return the mean squared error of each fit over that of the first (FITS,), over ``WORLDS`` worlds.

    A world has one design X, used again by every fit; the true weights are 0, and the noise of labels has variance 1.
    """
    errors = np.zeros((WORLDS, FITS))
    for world in range(WORLDS):
        generators = streams(world)
        x = generators("design").standard_normal((SAMPLES, INPUTS))
        inverse = np.linalg.pinv(x)

        def fit(data: Array, generator: np.random.Generator, inverse: Array = inverse) -> Array:
            labels = data[:, 0].reshape(-1, SAMPLES).mean(0)  # least squares on copies of one design sees their mean
            weights: Array = inverse @ labels
            return weights

        def sample(weights: Array, count: int, generator: np.random.Generator, x: Array = x) -> Array:
            return (x @ weights + generator.standard_normal(count))[:, None]

        real = generators("noise").standard_normal((SAMPLES, 1))
        found = feedback_loop(
            fit, sample, real, policy, fits=FITS, measure=lambda w: {"error": w @ w}, generators=generators
        )
        errors[world] = found.readings["error"]
    mean: Array = errors.mean(0) / errors[:, 0].mean()
    return mean


@statement(
    "000-04",
    "If each fit's data replace the last, the error of linear regression grows in proportion to the number of fits",
    Source(paper=f"{GERSTGRASSER}, on Dohmatob et al. 2024", value="n times the first", tolerance="200 worlds"),
)
def replacing() -> Iterator[Compared]:
    """60 samples of 5 inputs, ten fits."""
    found = growth("replace")
    for n in (2, 5, 10):
        yield near(f"error of fit {n} over the first", found[n - 1], n, 0.15 * n)


@statement(
    "000-04",
    "If data accumulate, the error of linear regression never grows beyond pi^2 / 6 times the first",
    Source(
        paper=f"{GERSTGRASSER}, the theorem on accumulating data",
        value="sum of 1/i^2, below pi^2/6",
        tolerance="200 worlds",
    ),
)
def accumulating() -> Iterator[Compared]:
    """60 samples of 5 inputs, ten fits; and the bound of endless fits, from the growth that theory gives."""
    found = growth("accumulate")
    for n in (2, 5, 10):
        yield near(f"error of fit {n} over the first", found[n - 1], sum(1 / i**2 for i in range(1, n + 1)), 0.1)
    yield at_most("largest error of ten fits over the first", found.max(), math.pi**2 / 6)
    yield near("growth of 100,000 fits, in theory", error_growth("accumulate", 100_000)[-1], math.pi**2 / 6, 1e-4)
    yield near("the bound that theory states", ACCUMULATION_BOUND, math.pi**2 / 6, 1e-12)
