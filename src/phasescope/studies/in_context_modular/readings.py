"""What is read of a network that answers in context: accuracy at each shot, and where no ratio gives the answer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from phasescope.learners.in_context import by_ratio, shown_pairs
from phasescope.tasks import InContextLinear
from phasescope.tasks.in_context import SETS
from phasescope.vocabulary import Instrument, Reading, Subject

Answers = Callable[[Subject], tuple[Tensor, Tensor]]


def by_set(task: InContextLinear, values: Tensor) -> Tensor:
    """Return what is known of all positions (B, N T) by set, sequence and shot (B, 4, R, K)."""
    found = values.view(len(values), len(SETS), task.readout, -1)
    return found[..., 1::3] if task.tokens == "three" else found


def right(task: InContextLinear, s: Subject) -> tuple[Tensor, Tensor]:
    """Return whether each answer is right and whether it counts, (B, 4, R, K) float64.

    The second two sets do not count where no inputs are held out.
    """
    correct = (s.logits().argmax(-1) == s.labels).double()
    return by_set(task, correct), by_set(task, (s.weights > 0).double())


def inputs_of(task: InContextLinear, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, y (N, K) of the questions and z (N, K - 1) of the examples."""
    if task.tokens == "bound":
        return shown_pairs(tokens, task.p)
    whole = tokens.long()
    return whole[:, 0::3], whole[:, 1::3], whole[:, 2::3]


def covered(task: InContextLinear, s: Subject) -> Tensor:
    """Return whether ratio matching has an answer to each question (B, 4, R, K)."""
    found = [by_ratio(*inputs_of(task, tokens), task.p).sum(-1) > 0 for tokens in s.inputs]
    return torch.stack(found).view(len(found), len(SETS), task.readout, -1)


def repeated(task: InContextLinear, s: Subject) -> Tensor:
    """Return whether each question was an example of its own sequence before (B, 4, R, K)."""
    found = []
    for tokens in s.inputs:
        x, y, _ = inputs_of(task, tokens)
        number = task.p * x + y
        found.append((number[:, :, None] == number[:, None]).tril(-1).any(-1))
    return torch.stack(found).view(len(found), len(SETS), task.readout, -1)


def _mean(values: Tensor, weights: Tensor, over: int | tuple[int, ...]) -> Reading:
    total = weights.sum(over)
    return Reading((values * weights).sum(over) / total, valid=total > 0)


def shot_accuracy(task: InContextLinear) -> Instrument:
    """Return the accuracy at each shot: (B, 4, K)."""
    return Instrument(
        "shot_accuracy", lambda s: _mean(*right(task, s), 2), "1",
        "fraction of questions answered rightly, by the number of examples before them", "forward", (0.0, 1.0), "1/p",
        ("set", "shot"), (), {"set": SETS, "shot": tuple(range(task.shots))},
    )  # fmt: skip


def last_accuracy(task: InContextLinear) -> Instrument:
    """Return the accuracy over the last questions: (B, 4)."""

    def read(s: Subject) -> Reading:
        correct, counts = (part[..., -task.asked :] for part in right(task, s))
        return _mean(correct, counts, (2, 3))

    return Instrument(
        "last_accuracy", read, "1", f"accuracy over the last {task.asked} questions of each sequence", "forward",
        (0.0, 1.0), "1/p", ("set",), (), {"set": SETS},
    )  # fmt: skip


def beyond_ratio(task: InContextLinear) -> Instrument:
    """Return the accuracy over the last questions that no ratio answers: (B, 4)."""

    def read(s: Subject) -> Reading:
        correct, counts = right(task, s)
        left = counts * ~covered(task, s)
        return _mean(correct[..., -task.asked :], left[..., -task.asked :], (2, 3))

    return Instrument(
        "beyond_ratio", read, "1",
        f"accuracy over those of the last {task.asked} questions that are a multiple of no example before them",
        "forward", (0.0, 1.0), "1/p", ("set",), (), {"set": SETS},
    )  # fmt: skip


def copied(task: InContextLinear) -> Instrument:
    """Return the accuracy over the last questions that were an example before, and over those that were not: (B, 4, 2).

    Not valid where all inputs of a sequence differ.
    """

    def read(s: Subject) -> Reading:
        (correct, counts), seen = right(task, s), repeated(task, s)
        both = torch.stack([counts * seen, counts * ~seen], -1)[..., -task.asked :, :]
        return _mean(correct[..., -task.asked :, None].expand(both.shape), both, (2, 3))

    return Instrument(
        "copied", read, "1", f"accuracy over the last {task.asked} questions, shown before or not", "forward",
        (0.0, 1.0), "1/p", ("set", "question"), (), {"set": SETS, "question": ("shown", "not shown")},
    )  # fmt: skip
