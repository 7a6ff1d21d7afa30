"""Readings of what a network answers: accuracies, losses, logits. Every mean over samples uses their weights."""

from __future__ import annotations

import torch
from torch import Tensor

from phasescope.vocabulary import Instrument, Reading, Subject

INFINITY = float("inf")


def mean_over(values: Tensor, mask: Tensor, weights: Tensor) -> Reading:
    """Return the weighted mean (B,) of ``values`` (B, N) over the samples of ``mask``, not valid where it has none."""
    # float64 sums: a mean over 10^4 samples in float32 would be off in the fifth digit
    chosen = (weights * mask).double()
    total = chosen.sum(-1)
    return Reading((values.double() * chosen).sum(-1) / total, valid=total > 0)


def right(s: Subject, logits: Tensor | None = None) -> Tensor:
    """Return (B, N): whether the largest of ``logits``, by default the subject's own, is the label as it was given."""
    answers = (s.logits() if logits is None else logits).argmax(-1)
    return answers == (s.labels.argmax(-1) if s.labels.ndim == 3 else s.labels)


def _accuracy(s: Subject, rows: Tensor) -> Reading:
    # real targets have no accuracy: the largest of several real numbers is no answer, and of one no question
    if s.labels.ndim == 3:
        nothing = torch.full((len(rows),), torch.nan, dtype=torch.float64, device=rows.device)
        return Reading(nothing, valid=nothing.isfinite())
    return mean_over(right(s), rows, s.weights)


def _everything(s: Subject) -> Tensor:
    return s.train | s.test


def _correct(s: Subject) -> Tensor:
    return s.logits().gather(-1, s.labels.long()[..., None])[..., 0]


def _wrong_mask(s: Subject) -> Tensor:
    mask = torch.ones_like(s.logits(), dtype=torch.bool)
    return mask.scatter(-1, s.labels.long()[..., None], value=False)


train_accuracy = Instrument(
    "train_accuracy", lambda s: _accuracy(s, s.train), "1",
    "share of training samples whose largest logit is the label", "forward", (0.0, 1.0), "1/K", (),
    ("neuron permutation", "sample permutation"),
)  # fmt: skip
test_accuracy = Instrument(
    "test_accuracy", lambda s: _accuracy(s, s.test), "1",
    "share of held-out samples whose largest logit is the label", "forward", (0.0, 1.0), "1/K", (),
    ("neuron permutation", "sample permutation"),
)  # fmt: skip
table_accuracy = Instrument(
    "table_accuracy", lambda s: _accuracy(s, _everything(s)), "1",
    "share of all samples whose largest logit is the label", "forward", (0.0, 1.0), "1/K", (),
    ("neuron permutation", "sample permutation"),
)  # fmt: skip
train_loss = Instrument(
    "train_loss", lambda s: mean_over(s.sample_losses(), s.train, s.weights), "loss",
    "weighted mean of the sample losses; MSE is the mean over samples and outputs", "forward", (0.0, INFINITY),
    "1/K for MSE of the zero function", (), ("neuron permutation", "sample permutation"),
)  # fmt: skip
test_loss = Instrument(
    "test_loss", lambda s: mean_over(s.sample_losses(), s.test, s.weights), "loss",
    "weighted mean of the held-out sample losses", "forward", (0.0, INFINITY),
    "1/K for MSE of the zero function", (), ("neuron permutation", "sample permutation"),
)  # fmt: skip
table_loss = Instrument(
    "table_loss", lambda s: mean_over(s.sample_losses(), _everything(s), s.weights), "loss",
    "weighted mean of all sample losses", "forward", (0.0, INFINITY),
    "1/K for MSE of the zero function", (), ("neuron permutation", "sample permutation"),
)  # fmt: skip
correct_logit = Instrument(
    "correct_logit", lambda s: mean_over(_correct(s), _everything(s), s.weights), "logit",
    "mean logit of the label over all samples", "forward", (-INFINITY, INFINITY), "0", (),
    ("neuron permutation", "sample permutation"),
)  # fmt: skip


def _deviation(s: Subject) -> Reading:
    # all logits less the correct ones, summed in float64 row by row: no (N, K) array of doubles is made
    rows = _everything(s).double()
    count = rows.sum(-1) * (s.logits().shape[-1] - 1)
    total = s.logits().sum(-1, dtype=torch.float64) - _correct(s).double()
    mean = (total * rows).sum(-1) / count
    apart = s.logits() - mean[..., None, None].to(s.logits().dtype)
    of_label = apart.gather(-1, s.labels.long()[..., None])[..., 0].double()
    square = apart.square_().sum(-1, dtype=torch.float64) - of_label.square()
    return Reading(((square * rows).sum(-1) / (count - 1)).sqrt(), valid=count > 1)


wrong_logit_deviation = Instrument(
    "wrong_logit_deviation", _deviation, "logit",
    "standard deviation of the wrong logits over all samples and classes", "forward", (0.0, INFINITY), "0", (),
    ("neuron permutation", "sample permutation"),
)  # fmt: skip


def _margin(s: Subject) -> Reading:
    best_wrong = s.logits().masked_fill(~_wrong_mask(s), -torch.inf).amax(-1)
    return mean_over(_correct(s) - best_wrong, s.test, s.weights)


logit_margin = Instrument(
    "logit_margin", _margin, "logit", "mean over held-out samples of the label's logit less the largest other one",
    "forward", (-INFINITY, INFINITY), "negative", (), ("neuron permutation", "sample permutation"),
)  # fmt: skip
