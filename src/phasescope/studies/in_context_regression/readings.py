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


def readings(task: InContextRegression, rule: str = "dMMSE") -> tuple[Instrument, ...]:
    """Return the instruments of networks on this task, whose ``truth`` is the answer of a Bayes rule, the pool's.

    ``error`` (B, 2), ``of_rules`` (B, 2, 2), ``ridge_distance``, ``dmmse_distance`` (of another ``rule`` by its name),
    ``mix_distance`` and ``ridge_weight`` (B, 2).
    """
    scale, noise = task.dimension, task.noise

    def error(s: Subject) -> Tensor:
        return by_set((s.logits() - s.labels).double().square()) / scale - noise / scale

    def of_rules(s: Subject) -> Tensor:
        gaps = [(answers - s.labels).double().square() for answers in (ridge(task, s), s.truth)]
        return torch.stack([by_set(gap) / scale - noise / scale for gap in gaps], -1)

    def ridge_distance(s: Subject) -> Tensor:
        return by_set((s.logits() - ridge(task, s)).double().square()) / scale

    def mix_distance(s: Subject) -> Tensor:
        own, across = (s.logits() - s.truth).double(), (ridge(task, s) - s.truth).double()
        along = by_set(own * across)
        return (by_set(own.square()) - along.square() / by_set(across.square())) / scale

    def rule_distance(s: Subject) -> Tensor:
        return by_set((s.logits() - s.truth).double().square()) / scale

    def ridge_weight(s: Subject) -> Tensor:
        across = (ridge(task, s) - s.truth).double()
        return by_set((s.logits() - s.truth) * across) / by_set(across.square())

    unit = "squared error / D"

    def reading(read: Callable[[Subject], Tensor], unit: str, source: str, null: str, *more: str) -> Instrument:
        bounds, places = (-float("inf"), float("inf")), {"set": SETS, "rule": (RULES[0], rule)}
        dims = ("set", *more)
        return Instrument(
            read.__name__ if read is not rule_distance else f"{rule.lower()}_distance",
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
        reading(of_rules, unit, f"the same of ridge and of the {rule} rule, on the same sequences", "none", "rule"),
        reading(ridge_distance, unit, "mean (answer - ridge's)^2 / D over all shots", "none"),
        reading(rule_distance, unit, f"mean (answer - that of the {rule} rule)^2 / D over all shots", "none"),
        reading(mix_distance, unit, "the same to the nearest mix w ridge + (1 - w) dMMSE", "none"),
        reading(ridge_weight, "1", f"least-squares weight of ridge where an answer is w ridge + (1 - w) {rule}",
            f"0 for {rule}, 1 for ridge"),
    )  # fmt: skip
