"""What training rows, or inputs, a prediction is owed to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.data import influence
from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_most, statement
from phasescope.verdict import Source


@statement(
    "003-097",
    "The output of a regularized model is a sum over training rows, each with a weight and its product with the input",
    Source(
        paper="Tsai et al. 2023, arXiv:2305.20002, for the squared norm",
        derived="the representer theorem, alpha_i = -l'_i / (2 lambda N)",
        tolerance="the optimizer's last step",
    ),
)
def representers() -> Iterator[Compared]:
    """200 rows of 20 numbers, ridge and logistic; and what is left without a row, against a fit without it."""
    chance = streams(1)("rows")
    x = chance.standard_normal((200, 20))
    y = x[:, 0] + 0.5 * chance.standard_normal(200)
    for kind, labels in (("ridge", y), ("logistic", np.sign(y))):
        found = influence(x, labels, kind=kind, penalty=0.01)  # type: ignore[arg-type]
        gap = np.abs(found.contributions.sum(1) - found.predictions).max()
        yield at_most(f"{kind}: largest gap between sum and output", gap, 1e-6)
    whole, rest = influence(x, y, penalty=0.01), np.arange(200) > 0
    matrix = x[rest].T @ x[rest] + 0.01 * 200 * np.eye(20)
    without = x @ np.linalg.solve(matrix, x[rest].T @ y[rest]) - whole.predictions
    yield at_most(
        "ridge: largest error of what the removal of a row does", np.abs(whole.removal[:, 0] - without).max(), 1e-9
    )
