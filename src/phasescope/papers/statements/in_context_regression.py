"""The Bayes rules of linear regression in context."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, near, statement
from phasescope.theory.in_context_regression import dmmse_answers, ridge_answers, ridge_error
from phasescope.verdict import Source

DIMENSION, SHOTS, NOISE, DRAWS = 8, 16, 0.25, 400


def errors(tasks: int, *, new: bool) -> tuple[float, float, float]:
    """Return the errors / D of ridge, of the pool's Bayes rule, and of ridge after one example, over draws."""
    found = []
    for draw in range(DRAWS):
        generators = streams(draw)
        pool = generators("pool").standard_normal((tasks, DIMENSION))
        w = generators("task").standard_normal(DIMENSION) if new else pool[0]
        x = generators("inputs").standard_normal((SHOTS, DIMENSION))
        truth = x @ w
        y = truth + np.sqrt(NOISE) * generators("noise").standard_normal(SHOTS)
        gaps = [ridge_answers(x, y, NOISE) - truth, dmmse_answers(x, y, pool, NOISE) - truth]
        found.append([np.square(gap).mean() for gap in gaps] + [gaps[0][1] ** 2])
    ridge, pooled, first = np.mean(found, 0) / DIMENSION
    return float(ridge), float(pooled), float(first)


@statement(
    "002-04",
    "The Bayes rule of a finite pool beats ridge regression on the pool, and loses to it on new tasks",
    Source(
        paper="Raventos, Paul, Chen and Ganguli 2023, arXiv:2306.15063, the two estimators that it compares",
        derived="theory.in_context_regression",
        tolerance="0.1: the smallest margin that matters; 0.25 for one shot: four standard errors of 400 draws",
    ),
)
def each_at_home() -> Iterator[Compared]:
    """Pools of 2 and 32 tasks in eight dimensions, sixteen shots, noise of variance 1/4."""
    for tasks in (2, 32):
        ridge, pooled, _ = errors(tasks, new=False)
        yield at_least(f"{tasks} tasks: what the pool's rule gains on them", ridge - pooled, 0.1)
        ridge, pooled, first = errors(tasks, new=True)
        yield at_least(f"{tasks} tasks: what ridge gains on new ones", pooled - ridge, 0.1)
    yield near("ridge's error after one example", first, ridge_error(DIMENSION, 1, NOISE), 0.25)
