"""Which functions networks draw before they learn."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import stats

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, near, statement
from phasescope.theory.criticality import Block
from phasescope.theory.width_limits import nngp, student_limit
from phasescope.verdict import Source


@statement(
    "004-033",
    "An inverse gamma prior on the variance of the last weights makes of a wide network a Student-t process",
    Source(
        paper="Lee, Yun, Yang and Lee 2022, arXiv:2107.01408, abstract",
        derived="theory.width_limits.student_limit",
        tolerance="three standard errors of 40,000 draws, and width 200",
        checked=True,
    ),
)
def student() -> Iterator[Compared]:
    """Outputs of ReLU networks, one hidden layer, shape 3 and scale 2: tails, beside those of a Gaussian."""
    draws, width, generators = 40_000, 200, streams(1)
    freedom, square = student_limit(3.0, 2.0)
    yield near("degrees of freedom", freedom, 6, 1e-12)
    kernel = float(nngp(Block("relu", 2.0), np.array([[1.0, -1.0]]), 1)[0, 0])
    power = np.concatenate(
        [
            2 * np.square(np.maximum(generators("hidden", i).standard_normal((4000, width)), 0)).mean(1)
            for i in range(10)
        ]
    )
    variance = 2.0 / generators("variance").gamma(3.0, size=draws)
    outputs = np.sqrt(power * variance) * generators("last").standard_normal(draws)
    scale = math.sqrt(square * kernel)
    for far in (2, 4):
        found, said = float((np.abs(outputs) > far * scale).mean()), 2 * float(stats.t.sf(far, freedom))
        yield near(f"fraction beyond {far} scales", found, said, 3 * math.sqrt(said / draws) + 0.05 * said)
    gaussian = 2 * float(stats.norm.sf(4 * scale / outputs.std()))
    yield at_least(
        "fraction beyond 4 scales, over that of a Gaussian", (np.abs(outputs) > 4 * scale).mean() / gaussian, 3
    )
