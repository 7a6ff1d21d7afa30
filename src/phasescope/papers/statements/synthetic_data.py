"""Data that are made so that one thing alone changes: clusters over the number of dimensions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, at_most, near, statement
from phasescope.tasks import GaussianMixture
from phasescope.theory.cluster_recovery import principal_accuracy
from phasescope.verdict import Source
from phasescope.vocabulary import Array, Member

DRAWS = 20
TURISHCHEVA = "Turishcheva et al. 2024, arXiv:2410.16124, abstract"


def mean_of(reading: Callable[[Array, Array, int], float], task: GaussianMixture, draws: int = DRAWS) -> float:
    """Return the mean reading of rows, labels and seed over draws of the task's training rows."""
    found = []
    for seed in range(draws):
        drawn = task.draw(Member({}, seed), streams(seed))
        found.append(reading(drawn.inputs[drawn.train], drawn.labels[drawn.train], seed))
    return float(np.mean(found))


def by_rule(x: Array, labels: Array, seed: int) -> float:
    """Return the adjusted Rand index of Bayes' rule."""
    return float(adjusted_rand_score(labels, x[:, 0] > 0))


def by_means(x: Array, labels: Array, seed: int) -> float:
    """Return the adjusted Rand index of k-means with two clusters."""
    return float(adjusted_rand_score(labels, KMeans(2, n_init=3, random_state=seed).fit_predict(x)))


def by_component(x: Array, labels: Array, seed: int) -> float:
    """Return the accuracy of the first principal component's sign, up to its own sign."""
    right = np.mean((x @ np.linalg.eigh(x.T @ x)[1][:, -1] > 0) == labels)
    return float(max(right, 1 - right))


@statement(
    "003-103",
    "Clusters that overlap equally in 2 and in 64 dimensions are found worse by k-means in 64, "
    "unless there are more rows",
    Source(
        paper=TURISHCHEVA,
        ours="two Gaussian clusters with a Bayes accuracy of 0.8 or 0.9, whose index is (2 a - 1)^2",
        tolerance="four standard errors of 20 draws; k-means in 64 dimensions was measured as 0.08 and 0.54",
        checked=True,
    ),
)
def clusters_over_dimensions() -> Iterator[Compared]:
    """Adjusted Rand indices; controls: as much overlap with 16 times the rows, as many rows with less overlap."""
    for dimension in (2, 64):
        rule = mean_of(by_rule, GaussianMixture(dimension, 256, 0.8))
        yield near(f"{dimension} dimensions, 256 rows: Bayes' rule", rule, 0.36, 0.05)
    yield at_least(
        "2 dimensions, 256 rows: k-means", mean_of(by_means, GaussianMixture(2, 256, 0.8)), 0.3, trained=True
    )
    far = mean_of(by_means, GaussianMixture(64, 256, 0.8))
    yield at_most("64 dimensions, 256 rows: k-means", far, 0.15, trained=True)
    more = mean_of(by_means, GaussianMixture(64, 4096, 0.8), 10)
    yield at_least("64 dimensions, 4,096 rows: k-means", more, 0.3, trained=True)
    less = mean_of(by_means, GaussianMixture(64, 256, 0.9))
    yield at_least("64 dimensions, 256 rows, Bayes accuracy 0.9: k-means", less, 0.45, trained=True)


@statement(
    "003-103",
    "What dimension costs a clustering at a fixed overlap depends on dimensions per row alone, as a formula says",
    Source(
        paper=TURISHCHEVA,
        derived="theory.cluster_recovery.principal_accuracy",
        tolerance="four standard errors of 20 draws",
        checked=True,
    ),
)
def dimensions_per_row() -> Iterator[Compared]:
    """How many rows the sign of the first principal component sorts rightly, at a Bayes accuracy of 0.8."""
    for dimension, rows, within in ((2, 1024, 0.01), (32, 512, 0.015), (64, 1024, 0.012), (128, 512, 0.04)):
        found = mean_of(by_component, GaussianMixture(dimension, rows, 0.8))
        yield near(f"{dimension} dimensions, {rows:,} rows", found, principal_accuracy(0.8, dimension / rows), within)
