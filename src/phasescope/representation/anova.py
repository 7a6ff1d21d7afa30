"""What of hidden states is position, what is context, and what is neither: a balanced analysis of variance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from phasescope.checks import as_points
from phasescope.representation.readings import Measured, left_out, table
from phasescope.vocabulary import Array, BadInput

RUNS = 20


@dataclass(frozen=True)
class Anova:
    """Hidden states as ``mean`` (D,) + ``position`` (T, D) + ``context`` (C, D) + ``residual`` (C, T, D), float64.

    ``shares``: of the sum of squares about the mean, "position", "context" and "residual", which add up to 1.
    ``incoherence``: the mean |cosine| of a position's and a context's vector. ``position_rank``: the stable rank of
    the positions' vectors, sum of squared singular values over the largest.
    """

    mean: Array
    position: Array
    context: Array
    residual: Array
    shares: dict[str, Measured]
    incoherence: Measured
    position_rank: Measured

    @property
    def readings(self) -> dict[str, Measured]:
        """All readings by name."""
        return {**self.shares, "incoherence": self.incoherence, "position_rank": self.position_rank}

    def __str__(self) -> str:
        return table(self.readings, "Shares of the variance; null: the states in any order.")


def anova(states: object) -> Anova:
    """Return hidden ``states`` (C, T, D) of C contexts at T positions as mean, position, context and residual.

    h = mean + position + context + residual by balanced means (Song and Zhong 2023, arXiv:2310.04861, abstract): the
    parts are orthogonal, so that their squares add up. Shares are dimensionless, in [0, 1]. Their nulls are exact:
    over all orders of the C T states the mean share of positions is (T - 1) / (C T - 1), that of contexts (C - 1) /
    (C T - 1). Null of the incoherence: the mean |cosine| of random directions in D dimensions. Invariant to
    rotations, shifts and scale of the states, and to the order of contexts and positions. Errors leave out runs of
    contexts in turn. Raises ``BadInput`` for fewer than two contexts or positions, and states that are all the same.
    """
    given = as_points("states", states, axes=(3,)).detach().double().cpu().numpy()
    contexts, positions, width = given.shape
    if min(contexts, positions) < 2:
        raise BadInput(f"states have shape {given.shape}: give at least 2 contexts and 2 positions, (C, T, D).")
    largest = float(np.abs(given).max()) or 1.0
    scaled = given / largest
    mean = scaled.mean((0, 1))
    centred = scaled - mean
    if float(np.abs(centred).max()) <= np.finfo(float).eps * contexts * positions:
        raise BadInput(f"all {contexts * positions} states are the same: give contexts or positions that differ.")
    position, context = centred.mean(0), centred.mean(1)
    residual = centred - position - context[:, None]
    rows = _Sums.of(centred)
    every = np.ones(contexts, dtype=bool)
    free = {"position": positions - 1, "context": contexts - 1, "residual": (contexts - 1) * (positions - 1)}
    shares = {
        name: Measured(rows.shares(every)[i], rows.error(i), null / (contexts * positions - 1))
        for i, (name, null) in enumerate(free.items())
    }
    return Anova(
        mean * largest, position * largest, context * largest, residual * largest, shares,
        Measured(_incoherence(position, context), math.nan, random_cosine(width)), _rank(position),
    )  # fmt: skip


@dataclass(frozen=True)
class _Sums:
    """Sums of squares and of states of each context, from which shares of any contexts follow."""

    states: Array
    squares: Array
    sums: Array

    @classmethod
    def of(cls, centred: Array) -> _Sums:
        return cls(centred, np.square(centred).sum((1, 2)), centred.sum(1))

    def shares(self, kept: Array) -> tuple[float, float, float]:
        """Return the shares of positions, contexts and the rest among the contexts that are ``kept``."""
        n, length = int(kept.sum()), self.states.shape[1]
        at = self.states[kept].sum(0)
        whole = float(np.square(at.sum(0)).sum()) / (n * length)
        total = float(self.squares[kept].sum()) - whole
        position = float(np.square(at).sum()) / n - whole
        context = float(np.square(self.sums[kept]).sum()) / length - whole
        return position / total, context / total, 1 - (position + context) / total

    def error(self, share: int) -> float:
        """Return the standard error of one share over contexts; NaN for fewer than three."""
        few = len(self.states) < 3
        return math.nan if few else left_out(len(self.states), RUNS, lambda kept: self.shares(kept)[share])


def random_cosine(width: int) -> float:
    """Return the mean |cosine| of two random directions in ``width`` dimensions.

    >>> round(random_cosine(2), 4)
    0.6366
    """
    return math.exp(math.lgamma(width / 2) - math.lgamma((width + 1) / 2)) / math.sqrt(math.pi)


def _incoherence(position: Array, context: Array) -> float:
    lengths = [np.linalg.norm(part, axis=1) for part in (position, context)]
    kept = [part[n > 1e-12 * max(float(n.max()), 1e-300)] for part, n in zip((position, context), lengths, strict=True)]
    if any(len(part) == 0 or not part.any() for part in kept):
        return math.nan
    a, b = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in kept)
    return float(np.abs(a @ b.T).mean())


def _rank(position: Array) -> Measured:
    values = np.square(np.linalg.svd(position, compute_uv=False))
    return Measured(float(values.sum() / values[0]) if values[0] > 0 else math.nan, math.nan, math.nan)
