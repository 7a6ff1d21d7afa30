"""Neighbourhoods in clouds of points."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.instruments.similarity import neighbour_overlap
from phasescope.papers.statement import Compared, near, statement
from phasescope.verdict import Source


@statement(
    "003-113",
    "Neighbourhood overlap is 1 between a cloud and itself, and k / (N - 1) between unrelated clouds",
    Source(
        paper="Viswanathan et al. 2025, arXiv:2501.10573, neighbourhood overlap",
        derived="the chance that a neighbour is one of k among N - 1",
        tolerance="three standard errors of 800 points",
    ),
)
def overlaps() -> Iterator[Compared]:
    """Clouds of 800 tokens in 20 dimensions, ten neighbours."""
    one, other = (streams(1)(name).standard_normal((800, 20)) for name in ("one", "other"))
    frame, _ = np.linalg.qr(streams(1)("frame").standard_normal((20, 20)))
    yield near("a cloud and itself, turned and scaled", neighbour_overlap(one, 3 * one @ frame).mean(), 1, 1e-12)
    found = neighbour_overlap(one, other)
    yield near("two unrelated clouds", found.mean(), 10 / 799, 3 * float(found.std()) / np.sqrt(800))
