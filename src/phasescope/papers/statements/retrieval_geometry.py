"""What dense retrieval finds by chance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.data import false_discovery, ranking_error
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


@statement(
    "003-066",
    "How often a random projection ranks two documents wrongly falls exponentially with its dimensions",
    Source(
        paper="Luan et al. 2021, arXiv:2005.00181, abstract: the dimension of the encoding against the margin",
        derived="Student's t with as many degrees of freedom as dimensions, beyond margin sqrt(D) / sqrt(1 - margin^2)",
        tolerance="four standard errors of 4,000 queries",
        checked=True,
    ),
)
def projected_ranks() -> Iterator[Compared]:
    """Bags of 2,000 words: queries of 8, documents of 10 that have 4 of them or none; 40 queries, 100 projections."""
    rows, triple = np.zeros((3, 40, 2000)), np.arange(40)[:, None] * 24
    for part, words in enumerate((range(8), (*range(4), *range(8, 14)), range(14, 24))):
        rows[part, np.arange(40)[:, None], triple + np.array(words)] = 1
    query, right, other = rows
    margin = 4 / (8 * 20) ** 0.5
    wrong = dict.fromkeys((8, 16, 32, 64), 0)
    for draw in range(100):
        matrix = streams(draw)("projection").standard_normal((64, 2000))
        products = (matrix @ query.T) * (matrix @ (right - other).T)
        for size in wrong:
            wrong[size] += int((products[:size].sum(0) < 0).sum())
    for size, count in wrong.items():
        p = ranking_error(margin, size)
        yield near(f"{size} dimensions", count / 4000, p, 4 * (p * (1 - p) / 4000) ** 0.5)
    sizes = np.arange(20, 201, 20)
    logs = np.log([ranking_error(margin, int(size)) for size in sizes])
    yield at_least("how straight its logarithm is, by the formula (R^2)", np.corrcoef(sizes, logs)[0, 1] ** 2, 0.999)
