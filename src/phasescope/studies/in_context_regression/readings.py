"""What is read of a network that regresses in context: its errors, and where it stands between the two Bayes rules."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from phasescope.learners import Ridge
from phasescope.tasks import InContextRegression
from phasescope.vocabulary import Instrument, Reading, Subject

SETS = ("pool", "new")
RULES = ("ridge", "dMMSE")


def ridge(task: InContextRegression, s: Subject) -> Tensor:
    """Return what ridge regression answers (B, N, K), in the precision of the logits."""
    rule = Ridge(task.noise)
    return torch.stack([rule(tokens) for tokens in s.inputs])


def by_set(values: Tensor) -> Tensor:
    """Return the means (B, 2) over the sequences (B, N, K) of the pool's tasks and of new ones."""
    return values.double().view(len(values), 2, -1, values.shape[-1]).mean((2, 3))


def readings(task: InContextRegression) -> tuple[Instrument, ...]:
    """Return the instruments of networks on this task, whose ``truth`` is the answer of the pool's Bayes rule.

    ``error`` (B, 2), ``of_rules`` (B, 2, 2), ``ridge_distance``, ``dmmse_distance`` and ``ridge_weight`` (B, 2).
    """
    scale, noise = task.dimension, task.noise

    def error(s: Subject) -> Tensor:
        return by_set((s.logits() - s.labels).double().square()) / scale - noise / scale

    def of_rules(s: Subject) -> Tensor:
        gaps = [(answers - s.labels).double().square() for answers in (ridge(task, s), s.truth)]
        return torch.stack([by_set(gap) / scale - noise / scale for gap in gaps], -1)

    def ridge_distance(s: Subject) -> Tensor:
        return by_set((s.logits() - ridge(task, s)).double().square()) / scale

    def dmmse_distance(s: Subject) -> Tensor:
        return by_set((s.logits() - s.truth).double().square()) / scale

    def ridge_weight(s: Subject) -> Tensor:
        across = (ridge(task, s) - s.truth).double()
        return by_set((s.logits() - s.truth) * across) / by_set(across.square())

    unit = "squared error / D"

    def reading(read: Callable[[Subject], Tensor], unit: str, source: str, null: str, *more: str) -> Instrument:
        bounds, places = (-float("inf"), float("inf")), {"set": SETS, "rule": RULES}
        dims = ("set", *more)
        return Instrument(
            read.__name__,
            lambda s: Reading(read(s)),
            unit,
            source,
            "forward",
            bounds,
            null,
            dims,
            (),
            {dim: places[dim] for dim in dims},
        )

    return (
        reading(error, unit, "mean (answer - y)^2 / D less the noise's own, over all shots", "1 for answers of 0"),
        reading(of_rules, unit, "the same of ridge and of the pool's dMMSE, on the same sequences", "none", "rule"),
        reading(ridge_distance, unit, "mean (answer - ridge's)^2 / D over all shots", "none"),
        reading(dmmse_distance, unit, "mean (answer - dMMSE's)^2 / D over all shots", "none"),
        reading(ridge_weight, "1", "least-squares weight of ridge where an answer is w ridge + (1 - w) dMMSE",
            "0 for dMMSE, 1 for ridge"),
    )  # fmt: skip
