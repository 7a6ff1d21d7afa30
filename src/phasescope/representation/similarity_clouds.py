"""One layer's answers to all stimuli as a cloud: its principal axes, and what the similarities need of it, once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from phasescope.instruments.neighbours import all_same, nearest, rows_of, spacing
from phasescope.vocabulary import BadInput

FEWEST = 8
"""Stimuli below which the null of most similarities reaches their ceiling."""
GROUPS = 20
NEIGHBOURS, ANCHORS, QUERIES, MOST_OF_RSA = 10, 100, 512, 512
KEPT = 0.99
"""Fraction of the variance that SVCCA keeps, as Raghu et al. 2017."""
SPARE = 4  # times as many neighbours are held, so that k are left without a group's


@dataclass(frozen=True)
class Cloud:
    """A cloud (N, D): orthonormal principal axes of its stimuli ``axes`` (N, r), and their lengths ``sizes`` (r,).

    Falling, float64, of the centred rows up to one common scale. Axes below the rounding of the type that the rows
    were given in are left out, so r <= min(D, N - 1) is the rank.
    """

    axes: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, points: Any, name: str = "points") -> Cloud:
        """Return the cloud of ``points`` (N, D). Raises ``BadInput`` for fewer than 8 rows, and rows all the same."""
        try:
            rows = rows_of(points, FEWEST)
        except BadInput as error:
            raise BadInput(str(error).replace("points", name, 1)) from None
        if all_same(points):
            raise BadInput(f"all {len(rows)} rows of {name} are the same: a representation needs stimuli that differ.")
        rows = rows - rows.mean(0)
        u, s, _ = torch.linalg.svd(rows, full_matrices=False)
        held = s > 2 * spacing(points) * s[0]
        return cls(u[:, held].contiguous(), s[held] / s[0])

    def __len__(self) -> int:
        return len(self.axes)

    @cached_property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.sizes)

    @property
    def rows(self) -> Tensor:
        """The stimuli (N, r) along the principal axes: the cloud up to a rotation."""
        return self.axes * self.sizes

    def leading(self, share: float = KEPT) -> Cloud:
        """Return the first axes, as few as hold ``share`` of the variance."""
        held = self.sizes.square().cumsum(0)
        kept = int((held < share * held[-1]).sum()) + 1
        return Cloud(self.axes[:, :kept], self.sizes[:kept])

    @cached_property
    def near(self) -> Tensor:
        """The nearest stimuli (N, 4 k) of each, the nearest first."""
        return nearest(self.rows, min(SPARE * self.neighbours, len(self) - 1))[1]

    @cached_property
    def neighbours(self) -> int:
        """How many nearest stimuli are compared: 10, or fewer where 10 would be a quarter of all."""
        return max(min(NEIGHBOURS, (len(self) - 1) // 4), 1)

    @cached_property
    def distances(self) -> Tensor:
        """Euclidean distances between at most 512 stimuli, evenly spaced: of all pairs i < j, row by row."""
        return torch.pdist(self.rows[spread_over(len(self), MOST_OF_RSA)])

    def codes(self, without: slice | None = None) -> Tensor:
        """Return relative codes (Q, A), of length 1: cosines of at most 512 stimuli to 100 others, the anchors.

        About the mean of all stimuli, or of those outside the group ``without``. Stimuli without direction have zeros.
        """
        count = len(self)
        anchors = torch.zeros(count, dtype=torch.bool)
        anchors[spread_over(count, min(ANCHORS, count // 2))] = True
        others = torch.nonzero(~anchors)[:, 0]
        queries = torch.zeros_like(anchors)
        queries[others[spread_over(len(others), QUERIES)]] = True
        middle = torch.zeros(self.rank, dtype=self.axes.dtype)
        if without is not None:
            anchors[without] = queries[without] = False
            left = self.axes[without]
            middle = -left.sum(0) / (count - len(left))
        some, others = ((self.axes[chosen] - middle) * self.sizes for chosen in (queries, anchors))
        return directions(cosines(some, others))


def spread_over(count: int, most: int) -> Tensor:
    """Return at most ``most`` rows of ``count``, evenly spaced, as int64 indices.

    >>> spread_over(10, 4).tolist()
    [0, 2, 5, 7]
    """
    return torch.arange(min(count, most)) * count // min(count, most)


def cosines(rows: Tensor, others: Tensor) -> Tensor:
    """Return the cosines (N, M) between rows of (N, D) and (M, D); 0 for a row of zeros."""
    return directions(rows) @ directions(others).T


def directions(rows: Tensor) -> Tensor:
    """Return ``rows`` (N, D) at length 1; rows of zeros stay."""
    found: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    return found


def groups_of(count: int, groups: int = GROUPS) -> list[slice]:
    """Return ``groups`` runs of neighbouring rows, so that the tokens of a text are left out together.

    >>> [group.stop - group.start for group in groups_of(10, 3)]
    [3, 3, 4]
    """
    groups = min(groups, count)
    ends = [i * count // groups for i in range(groups + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]


def jackknife_error(left_out: Tensor) -> Tensor:
    """Return the standard error (...) from values (G, ...) read without each of G groups of stimuli in turn.

    Not a bootstrap: a stimulus drawn twice is its own nearest neighbour, and adds to every kernel what the unbiased
    CKA leaves out.
    """
    groups = len(left_out)
    return ((groups - 1) * left_out.var(0, correction=0)).sqrt()
