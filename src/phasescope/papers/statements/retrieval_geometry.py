"""What dense retrieval finds by chance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.data import false_discovery
from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, near, statement
from phasescope.verdict import Source


@statement(
    "003-018",
    "In few dimensions a growing index holds, sooner or later, a row that is like the query by chance",
    Source(
        paper="Reimers and Gurevych 2021, arXiv:2012.14210, abstract",
        derived="1 - (1 - p)^N with p the share of a cap of the sphere",
        tolerance="four standard errors of 500 queries",
    ),
)
def chance_neighbours() -> Iterator[Compared]:
    """16 dimensions, cosine above 0.75: 500 queries, each with an index of its own."""
    for rows in (100, 1000):
        hits = 0
        for query in range(500):
            points = streams(query)("index", rows).standard_normal((rows, 16)).astype(np.float32)
            hits += bool((points[:, 0] / np.linalg.norm(points, axis=1) > 0.75).any())
        p = false_discovery(16, rows, 0.75)
        yield near(f"{rows} rows", hits / 500, p, 4 * (p * (1 - p) / 500) ** 0.5)
    yield at_least(
        "10,000 rows over 100, by the formula", false_discovery(16, 10_000, 0.75) / false_discovery(16, 100, 0.75), 20
    )
