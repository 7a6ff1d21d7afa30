"""How well responses could be predicted at all, by what their repeats say of noise; correlations with held-out ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from phasescope.vocabulary import BadInput

LEAST_RELIABLE = 0.1
"""Reliability of the mean response below which a unit is not divided by its ceiling: it would be by noise."""
ABOVE_NOISE = 0.975
"""Share of the units of noise alone that have no ceiling."""


@dataclass(frozen=True)
class Measured:
    """Responses of Q units to N stimuli: their ``mean`` (N, Q) over repeats and its ``reliability`` (Q,).

    The reliability is the share of the variance of the mean that is of the stimuli, NaN without repeats. ``least`` (Q,)
    is what it must be above: 0.1, and what noise alone reads once in 40 times, by the law of F.
    """

    mean: Tensor
    reliability: Tensor
    least: Tensor
    repeats: int

    @property
    def ceiling(self) -> Tensor:
        """The highest correlation (Q,) that a model of the stimuli can have with the mean: NaN where there is none."""
        return torch.where(self.reliability > self.least, self.reliability, torch.nan).sqrt()


def measured(responses: Tensor) -> Measured:
    """Return the mean over repeats of ``responses`` (N, Q) or (R, N, Q), and its reliability.

    One-way analysis of variance (Fisher 1925): 1 - (variance between repeats / R) / variance of the mean, what the
    split-half correlation with Spearman and Brown's correction is on average over all halves. NaN are repeats that a
    stimulus lacks; R is then the harmonic mean of their numbers. Raises ``BadInput`` for stimuli without a response,
    and units that are constant.
    """
    if responses.ndim == 2:
        responses = responses[None]
    there = torch.isfinite(responses)
    many = there.sum(0).double()
    if not bool((many > 0).all()):
        stimulus, unit = (int(i) for i in torch.nonzero(many == 0)[0])
        raise BadInput(f"unit {unit} has no finite response to stimulus {stimulus}: leave that stimulus or unit out.")
    filled = torch.where(there, responses, 0.0)
    mean = filled.sum(0) / many
    between = mean.var(0)
    constant = torch.nonzero(between <= 1e-24 * mean.square().mean(0).clamp(min=1e-300))
    if len(constant):
        raise BadInput(f"unit {int(constant[0])} gives all stimuli the same mean response: leave it out.")
    freedom = (many - 1).sum(0)
    inside = (torch.where(there, responses - mean, 0.0).square().sum((0, 1)) / freedom).where(freedom > 0, torch.nan)
    reliability = 1 - inside * (1 / many).mean(0) / between
    chance = 1 - 1 / stats.f.ppf(ABOVE_NOISE, len(mean) - 1, freedom.clamp(min=1).cpu().numpy())
    least = torch.from_numpy(chance).to(reliability).clamp(min=LEAST_RELIABLE)
    return Measured(mean, reliability, least, len(responses))


def split_half(responses: Tensor, order: Tensor) -> Tensor:
    """Return the reliability (Q,) from one split of ``responses`` (R, N, Q): halves of the repeats in ``order`` (R,).

    The correlation r of the halves' means, corrected to all repeats by Spearman and Brown 1910: 2 r / (1 + r). R even.
    """
    half = len(order) // 2
    x, y = (responses[order[part]].mean(0) for part in (slice(0, half), slice(half, 2 * half)))
    r = correlations(x, y, [torch.arange(len(x))])
    return 2 * r / (1 + r)


def correlations(x: Tensor, y: Tensor, folds: list[Tensor]) -> Tensor:
    """Return the correlations (Q,) of columns of ``x`` and ``y`` (N, Q), each about its mean in each of ``folds``.

    So a difference between folds, which is the fit's and not the stimulus's, counts for nothing. 0 where ``x`` has
    no spread.
    """
    together, own, other = (torch.zeros(y.shape[1], dtype=y.dtype) for _ in range(3))
    for rows in folds:
        a, b = x[rows] - x[rows].mean(0), y[rows] - y[rows].mean(0)
        together, own, other = together + (a * b).sum(0), own + a.square().sum(0), other + b.square().sum(0)
    return together / (own * other).sqrt().clamp(min=torch.finfo(y.dtype).tiny)
