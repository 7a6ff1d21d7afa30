"""Whether a concept is a direction: differences of word pairs under the causal inner product of an unembedding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phasescope.checks import as_points, whole
from phasescope.ensemble import streams
from phasescope.instruments.neighbours import Points, moderate
from phasescope.representation.readings import Measured, left_out, table
from phasescope.vocabulary import Array, BadInput

FEWEST, RUNS = 4, 20


@dataclass(frozen=True)
class Concept:
    """A concept's ``direction`` (D,) among unembeddings, of causal length 1, and the one that ``steering`` adds (D,).

    ``causal``: the mean causal cosine of each pair's difference with the mean of the others'; ``euclidean`` is the
    same without the unembedding. 1 where all pairs differ in one direction. Their nulls, 0, are those of pairs whose
    order means nothing, and ``null_sd`` is the spread of ``causal`` over such orders.
    """

    direction: Array
    steering: Array
    causal: Measured
    euclidean: Measured
    null_sd: float
    pairs: int

    @property
    def z(self) -> float:
        """How many spreads of the null lie below the causal value."""
        return self.causal.value / self.null_sd if self.null_sd > 0 else math.nan

    def __str__(self) -> str:
        return table(
            {"causal": self.causal, "euclidean": self.euclidean},
            f"{self.pairs} pairs; z = {self.z:.1f} above pairs in random order.",
        )


def causal_cosine(first: Points, second: Points, unembedding: Points) -> Tensor:
    """Return cosines (K, L) float64 between ``first`` (K, D) and ``second`` (L, D) under the causal inner product.

    <x, y> = x' Cov(U)^-1 y with the covariance of the rows of ``unembedding`` U (V, D): Park et al. 2023,
    arXiv:2311.03658. Directions of concepts that can be varied apart are orthogonal under it, whatever invertible map
    the space went through, where a Euclidean cosine depends on the map. Dimensionless. Bounds: [-1, 1]. Null: of
    unrelated directions mean 0, variance 1 / D. Invariant to one invertible linear map of all three, shifts of the
    unembedding and the size of each direction. Raises ``BadInput`` where the covariance has no inverse.
    """
    white, _ = _whitening(unembedding)
    rows = [moderate(_rows(name, value, len(white)))[0] for name, value in (("first", first), ("second", second))]
    a, b = (_unit(part @ white) for part in rows)
    return a @ b.T


def linear_concept(base: Points, target: Points, unembedding: Points, *, draws: int = 200, seed: int = 0) -> Concept:
    """Return how far pairs of words differ in one direction: their concept's direction, with value, error and null.

    ``base`` and ``target`` (K, D) are unembeddings of K pairs, such as "king" and "queen"; ``unembedding`` (V, D) has
    all words, V > D. The direction is the mean of the differences at causal length 1; ``steering`` = Cov(U)^-1
    direction moves a hidden state along the concept and changes no concept that is causally orthogonal (Park et al.
    2023, arXiv:2311.03658). Dimensionless. Bounds: [-1, 1]. Null: the mean is 0 over all signs of the differences, a
    pair in either order (exact), and the spread is drawn ``draws`` times. Invariance: see ``causal_cosine``. Errors
    leave out runs of pairs in turn. Raises ``BadInput`` for fewer than 4 pairs, pairs of equal words, and a covariance
    without inverse.
    """
    draws, seed = whole(2, 10**6)("draws", draws), whole(0, 2**63 - 1)("seed", seed)
    white, unit = _whitening(unembedding)
    sides = [_rows(name, value, len(white)) for name, value in (("base", base), ("target", target))]
    if len(sides[0]) != len(sides[1]) or len(sides[0]) < FEWEST:
        raise BadInput(
            f"base and target have {len(sides[0])} and {len(sides[1])} rows: give {FEWEST} or more pairs, one a row."
        )
    size = max(moderate(side)[1] for side in sides)  # squares and sums stay in float64, whatever the unit
    difference = sides[1] / size - sides[0] / size
    if not bool((difference.norm(dim=1) > 0).all()):
        row = int(torch.nonzero(difference.norm(dim=1) == 0)[0])
        raise BadInput(f"base and target are the same in row {row}: leave out pairs of equal words.")
    causal, plain = (x.numpy() for x in (difference @ white, difference))
    signs = streams(seed)("signs").choice([-1.0, 1.0], size=(draws, len(causal)))
    drawn = [_together(causal * sign[:, None]) for sign in signs]
    middle = difference.mean(0)
    direction = middle / (middle @ white).norm()
    return Concept(
        (direction * unit).numpy(), (white @ (white.T @ direction) / unit).numpy(), _read(causal), _read(plain),
        float(np.std(drawn)), len(causal),
    )  # fmt: skip


def _read(differences: Array) -> Measured:
    error = left_out(len(differences), RUNS, lambda kept: _together(differences[kept]))
    return Measured(_together(differences), error, 0.0)


def _together(differences: Array) -> float:
    """Return the mean cosine of each row with the sum of the others."""
    others = differences.sum(0) - differences
    sizes = np.linalg.norm(others, axis=1) * np.linalg.norm(differences, axis=1)
    return float(((others * differences).sum(1) / np.where(sizes > 0, sizes, np.inf)).mean())


def _rows(name: str, value: Points, width: int) -> Tensor:
    rows = as_points(name, value).detach().double().cpu()
    if rows.shape[1] != width:
        raise BadInput(f"{name} have {rows.shape[1]} columns and the unembedding {width}: give those of one space.")
    return rows


def _whitening(unembedding: Points) -> tuple[Tensor, float]:
    """Return W (D, D) with W W' = Cov(U)^-1, symmetric, for U in a unit that keeps squares in float64, and the unit."""
    words, unit = moderate(as_points("unembedding", unembedding, fewest=2).detach().double().cpu())
    centred = words - words.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / (len(words) - 1))
    least = torch.finfo(torch.float64).eps * len(words) * values[-1]
    if len(words) <= words.shape[1] or not bool(values[0] > least):
        used = int((values > least).sum())
        raise BadInput(
            f"the covariance of {len(words)} words in {words.shape[1]} dimensions has rank {used}, and no inverse: "
            "give all words, more than dimensions, and leave out dimensions that no word uses."
        )
    return vectors / values.sqrt() @ vectors.T, unit


def _unit(rows: Tensor) -> Tensor:
    found: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    return found
