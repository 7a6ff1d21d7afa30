"""What the uniformity of embeddings says, and what it does not see."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.instruments.isotropy import effective_rank
from phasescope.instruments.manifolds import uniformity
from phasescope.papers.statement import Compared, at_most, near, statement
from phasescope.representation import uniformity_w2
from phasescope.theory.manifold_capacity import uniform_potential
from phasescope.verdict import Source
from phasescope.vocabulary import Array


def embeddings(used: int, dimensions: int = 256, points: int = 1200) -> Array:
    """Return points on the unit sphere that use ``used`` of the dimensions alike."""
    found = np.zeros((points, dimensions))
    found[:, :used] = streams(1)("points", used).standard_normal((points, used))
    unit: Array = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


@statement(
    "003-050",
    "The uniformity metric hardly sees that embeddings collapse into a half or a quarter of their dimensions",
    Source(
        paper="Fang et al. 2024, arXiv:2403.00642, abstract",
        derived="theory.manifold_capacity.uniform_potential of the dimensions that are left",
        tolerance="the scatter of 1,200 points",
        checked=True,
    ),
)
def blind_to_collapse() -> Iterator[Compared]:
    """256, 128 and 64 of 256 dimensions used: the metric, which reaches from -4 to 0, beside a rank that sees it."""
    values = {used: float(uniformity(embeddings(used))) for used in (256, 128, 64)}
    for used, value in values.items():
        yield near(f"uniformity with {used} of 256 dimensions", value, uniform_potential(used), 0.005)
    yield at_most("change of uniformity from 256 to 64 dimensions", values[64] - values[256], 0.1)
    ranks = [float(effective_rank(embeddings(used))) for used in (256, 64)]
    yield near("effective rank from 256 to 64 dimensions, octaves lost", math.log2(ranks[0] / ranks[1]), 2, 0.1)


@statement(
    "003-050",
    "The Wasserstein distance from even embeddings sees that dimensions are lost",
    Source(
        paper="Fang et al. 2024, arXiv:2403.00642, the metric that is proposed",
        derived="sqrt(2 - 2 sqrt(k / m)) for k of m dimensions used alike, many points",
        tolerance="what 4,000 points leave open",
    ),
)
def distance_sees_collapse() -> Iterator[Compared]:
    """128 and 64 of 256 dimensions, and all of them."""
    for used in (128, 64):
        expected = math.sqrt(2 - 2 * math.sqrt(used / 256))
        found = uniformity_w2(embeddings(used, points=4000))
        yield near(f"distance with {used} of 256 dimensions", found, expected, 0.01)
    yield at_most("distance with all of them", uniformity_w2(embeddings(256, points=4000)), 0.15)
