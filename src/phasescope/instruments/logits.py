"""Readings of what a network answers: accuracies, losses, logits. Every mean over samples uses their weights."""

from __future__ import annotations

import torch
from torch import Tensor

from phasescope.vocabulary import Instrument, Reading, Subject

__all__ = [
    "LEARNING",
    "correct_logit",
    "logit_margin",
    "softmax_collapse",
    "table_accuracy",
    "table_loss",
    "test_accuracy",
    "test_loss",
    "train_accuracy",
    "train_loss",
    "wrong_logit_deviation",
]

INFINITY = float("inf")


def mean_over(values: Tensor, mask: Tensor, weights: Tensor) -> Reading:
    """Return the weighted mean (B,) of ``values`` (B, N) over the samples of ``mask``, not valid where it has none."""
    # float64 sums: a mean over 10^4 samples in float32 would be off in the fifth digit
    chosen = (weights * mask).double()
    total = chosen.sum(-1)
    return Reading(_sum(values.double(), chosen) / total, valid=total > 0)


def _sum(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum (B,) of ``values`` (B, N): what has weight 0 counts nothing, even if it is infinite."""
    total = (values * weights).sum(-1)
    return total if bool(total.isfinite().all()) else (values.masked_fill(weights == 0, 0) * weights).sum(-1)


def no_classes(s: Subject) -> Reading | None:
    """Return the reading of what asks for classes where the targets are real numbers: NaN (B,), not valid; or None.

    The largest of several real numbers is no answer, and of one no question.
    """
    if not s.labels.is_floating_point():
        return None
    nothing = torch.full((len(s.train),), torch.nan, dtype=torch.float64, device=s.train.device)
    return Reading(nothing, valid=nothing.isfinite())


def right(s: Subject, labels: Tensor, logits: Tensor | None = None) -> Tensor:
    """Return (B, N): 1 where the largest of ``logits``, by default the subject's own, is that of ``labels``, else 0.

    NaN where that largest one is not finite, or some logit is NaN: such an output answers nothing.
    """
    logits = s.logits() if logits is None else logits
    largest, answers = logits.max(-1)  # NaN counts as the largest
    return torch.where(largest.isfinite(), (answers == labels).to(logits.dtype), torch.nan)


def accuracy(s: Subject, rows: Tensor, labels: Tensor | None = None) -> Reading:
    """Return the share (B,) of the samples ``rows`` (B, N) that are ``right`` by ``labels``, by default those given.

    Not valid without such samples, where one of them is not answered, and for targets of real numbers.
    """
    if (nothing := no_classes(s)) is not None:
        return nothing
    return answered(mean_over(right(s, s.labels if labels is None else labels), rows, s.weights))


def answered(mean: Reading) -> Reading:
    """Return the mean of what ``right`` says, not valid where a sample was not answered."""
    assert mean.valid is not None
    return Reading(mean.value, valid=mean.valid & ~mean.value.isnan())


def _everything(s: Subject) -> Tensor:
    return s.train | s.test


def _correct(s: Subject) -> Tensor:
    return s.logits().gather(-1, s.labels.long()[..., None])[..., 0].double()


def _correct_logit(s: Subject) -> Reading:
    return no_classes(s) or mean_over(_correct(s), _everything(s), s.weights)


train_accuracy = Instrument(
    "train_accuracy", lambda s: accuracy(s, s.train), "1",
    "fraction of training samples whose largest logit is the label", "forward", (0.0, 1.0), "1/K", (),
    ("neuron permutation", "sample permutation"),
)  # fmt: skip
test_accuracy = Instrument(
    "test_accuracy", lambda s: accuracy(s, s.test), "1",
    "fraction of held-out samples whose largest logit is the label", "forward", (0.0, 1.0), "1/K", (),
    ("neuron permutation", "sample permutation"),
)  # fmt: skip
table_accuracy = Instrument(
    "table_accuracy", lambda s: accuracy(s, _everything(s)), "1",
    "fraction of all samples whose largest logit is the label", "forward", (0.0, 1.0), "1/K", (),
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
    "correct_logit", _correct_logit, "logit",
    "mean logit of the label over all samples", "forward", (-INFINITY, INFINITY), "0", (),
    ("neuron permutation", "sample permutation"),
)  # fmt: skip


def _deviation(s: Subject) -> Reading:
    if (nothing := no_classes(s)) is not None:
        return nothing
    labels, weights = s.labels.long()[..., None], (s.weights * _everything(s)).double()
    total, classes = weights.sum(-1), s.logits().shape[-1]
    # N (K - 1) - 1 for equal weights; unbiased for any, and the same for any common scale of them
    freedom = total * (classes - 1) - weights.square().sum(-1) / total
    variance = _wrong_squares(s.logits(), labels, weights) / freedom
    scale = torch.ones_like(variance)
    beyond = (variance < 1e-20) | (variance > 1e20)
    if bool(beyond.any()):  # squares left the floats, or nearly so: again, with the largest entry taken out
        largest = s.logits().scatter(-1, labels, 0.0).abs().amax(-1).masked_fill(weights == 0, 0).amax(-1).double()
        scale = torch.where(beyond & largest.isfinite() & (largest > 0), largest, 1.0)
        small = s.logits() / scale[:, None, None].to(s.logits().dtype)
        variance = _wrong_squares(small, labels, weights) / freedom
    return Reading(scale * variance.sqrt(), valid=freedom > 1e-9 * total)


def _wrong_squares(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum (B,) of squared distances of the wrong logits from their mean.

    Rows are summed in float64: no (N, K) array of doubles is made. Half precision is reckoned in float32.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    wrong = logits.scatter(-1, labels, 0.0)  # a copy, in which the rest is done
    mean = _sum(wrong.sum(-1, dtype=torch.float64), weights) / (weights.sum(-1) * (logits.shape[-1] - 1))
    wrong -= mean[:, None, None].to(logits.dtype)
    return _sum(torch.linalg.vector_norm(wrong.scatter_(-1, labels, 0.0), dim=-1).double().square(), weights)


wrong_logit_deviation = Instrument(
    "wrong_logit_deviation", _deviation, "logit",
    "weighted standard deviation of the wrong logits over all samples and classes", "forward", (0.0, INFINITY), "0", (),
    ("neuron permutation", "sample permutation"),
)  # fmt: skip


def _margin(s: Subject) -> Reading:
    if (nothing := no_classes(s)) is not None:
        return nothing
    best_wrong = s.logits().scatter(-1, s.labels.long()[..., None], -torch.inf).amax(-1)
    return mean_over(_correct(s) - best_wrong, s.test, s.weights)


logit_margin = Instrument(
    "logit_margin", _margin, "logit", "mean over held-out samples of the label's logit less the largest other one",
    "forward", (-INFINITY, INFINITY), "negative", (), ("neuron permutation", "sample permutation"),
)  # fmt: skip


def _collapsed(s: Subject) -> Reading:
    nothing = torch.full((len(s.train),), torch.nan, dtype=torch.float64, device=s.train.device)
    if s.loss != "cross_entropy" or s.logits().shape[-1] < 2 or no_classes(s) is not None:
        return Reading(nothing, valid=nothing.isfinite())
    logits = s.logits() if s.logits().dtype == torch.float64 else s.logits().float()
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), s.labels.long().flatten(), reduction="none")
    zero = torch.where(losses.isnan(), torch.nan, (losses == 0).double()).view(s.train.shape)
    return answered(mean_over(zero, s.train, s.weights))


softmax_collapse = Instrument(
    "softmax_collapse", _collapsed, "1",
    "fraction of training samples whose softmax cross-entropy is exactly 0 in the precision of training, because the "
    "other classes are absorbed next to the label's 1: from logit margins of about 17 in float32, 37 in float64; "
    "Prieto et al. 2025, arXiv:2501.04697. Only networks trained on cross-entropy have it; read without dropout",
    "forward", (0.0, 1.0), "0", (), ("neuron permutation", "sample permutation"),
)  # fmt: skip

LEARNING = (train_accuracy, test_accuracy, train_loss, test_loss)
