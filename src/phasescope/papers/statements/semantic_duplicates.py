"""Near copies in a data set, found among embeddings."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from phasescope.data import dedup
from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, exactly, near, statement
from phasescope.verdict import Source
from phasescope.vocabulary import Array

ABBAS = "Abbas et al. 2023, arXiv:2303.09540"
CODE = "facebookresearch/SemDeDup, semdedup.py, SemDeDupJob.semdedup and _process_shard"


def copies(groups: int = 1000, dimensions: int = 64) -> tuple[Array, Array]:
    """Return points in groups of one to three, cosines above 0.99 within a group, and the group of each."""
    chance = streams(1)("copies")
    centres = chance.standard_normal((groups, dimensions))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    group = np.repeat(np.arange(groups), chance.integers(1, 4, groups))
    return centres[group] + 0.006 * chance.standard_normal((len(group), dimensions)), group


@statement(
    "002-06",
    "One of each group of near copies stays, over decades of the threshold and for any number of clusters",
    Source(ours=f"the rule of {CODE}, on groups that are known", tolerance="pairs that clusters cut", checked=True),
)
def groups_are_found() -> Iterator[Compared]:
    """1,000 groups of one to three points in 64 dimensions."""
    points, group = copies()
    for clusters in (1, 20):
        for epsilon in (0.01, 0.2):
            found = dedup(points, epsilon=epsilon, clusters=clusters)
            yield near(f"epsilon {epsilon}, clusters {clusters}: kept, less the groups", len(found.kept) - 1000, 0, 3)
            lost = 1000 - len(np.unique(group[found.kept]))
            yield exactly(f"epsilon {epsilon}, clusters {clusters}: groups without a row", lost, 0)


@statement(
    "002-06",
    "Of a group the example least like the centroid of its cluster is kept, by default",
    Source(paper=f"{ABBAS}; {CODE}, which_to_keep", tolerance="an order", checked=True),
)
def hard_examples_are_kept() -> Iterator[Compared]:
    """The mean cosine with the centroid of what stays: hard, random, easy."""
    points, _ = copies()
    means = []
    for order in ("hard", "random", "easy"):
        found = dedup(points, epsilon=0.05, clusters=5, order=order)
        means.append(float(found.data.centroid_similarity.values[found.kept].mean()))
    yield at_least("random less hard", means[1] - means[0], 1e-4)
    yield at_least("easy less random", means[2] - means[1], 1e-4)


@statement(
    "002-06",
    "A chain of near copies loses its end, though nothing that stays is like it",
    Source(ours=f"{CODE}: the maximum is over all earlier rows, also those that go", tolerance="none", checked=True),
)
def chains() -> Iterator[Compared]:
    """Directions at 0, 10 and 20 degrees in this order, near up to 12."""
    angles = np.radians([0, 10, 20])
    points = np.stack([np.cos(angles), np.sin(angles)], 1)
    epsilon = 1 - math.cos(math.radians(12))
    for seed in range(50):
        found = dedup(points, epsilon=epsilon, order="random", seed=seed)
        if found.data.nearest.values.tolist() == [-1, 0, 1]:
            yield exactly("kept by the paper's rule", int(found.data.kept_paper.sum()), 1)
            yield exactly("kept by the rule of kept leaders", int(found.data.kept_leader.sum()), 2)
            return
