"""What examples of a linear function modulo p determine."""

from __future__ import annotations

from collections.abc import Iterator

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, near, statement
from phasescope.theory.in_context_modular import ratio_coverage, regression_accuracy
from phasescope.verdict import Source

DRAWS, P = 8000, 29


@statement(
    "000-03",
    "Two ways solve linear functions modulo p in context: ratio matching, which needs a multiple, and regression",
    Source(
        paper="He, Doshi, Das and Gromov 2024, arXiv:2406.02550, the algorithms that networks are said to learn",
        derived="theory.in_context_modular",
        tolerance="four standard errors of 8000 draws",
    ),
)
def covered() -> Iterator[Compared]:
    """Random questions and examples modulo 29, as in the paper: what one example covers, and what two determine."""
    for shots in (2, 13):
        generator = streams(shots)("inputs")
        q, e = generator.integers(0, P, (DRAWS, 1, 2)), generator.integers(0, P, (DRAWS, shots, 2))
        parallel = (q[..., 0] * e[..., 1] - q[..., 1] * e[..., 0]) % P == 0
        hit = (parallel & e.any(2)).any(1) | ~q.any((1, 2))
        foreseen = ratio_coverage(P, shots, distinct=False)
        yield near(f"{shots} examples: fraction of questions that a ratio answers", hit.mean(), foreseen, 0.022)
        cross = (e[:, :, None, 0] * e[:, None, :, 1] - e[:, :, None, 1] * e[:, None, :, 0]) % P
        known = hit | cross.any((1, 2))
        best = regression_accuracy(P, shots, distinct=False)
        yield near(f"{shots} examples: accuracy of regression", (known + ~known / P).mean(), best, 0.02)
