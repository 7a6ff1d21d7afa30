"""Two Gaussian clusters that overlap equally in every number of dimensions: what dimension alone does to learning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from phasescope.checks import number, whole
from phasescope.vocabulary import BadInput, Draw, Generators, Knob, Member

MOST_NUMBERS = 10**9


@dataclass(frozen=True)
class GaussianMixture:
    """Inputs x ~ N(+-(D/2) e_1, I) in ``dimension`` dimensions, and which of the two signs it was: labels 1 and 0.

    No rule answers better than the sign of x_1, which is right with probability ``bayes_accuracy`` = Phi(D/2),
    whatever the dimension; the distance D of the means is 2 Phi^-1(bayes_accuracy). Noise is isotropic, so e_1, the
    first unit vector, stands for any direction. ``rows`` train, and as many test; both numbers may differ per member.
    Inputs (N, S) float64, labels (N,) drawn evenly. The fixed overlap over dimensions is the idea of Turishcheva et al.
    2024 (arXiv:2410.16124), whose clusters are latent codes of images; these are the simplest ones with a known answer.
    Raises ``BadInput`` for numbers out of range.
    """

    dimension: int
    rows: int = 1000
    bayes_accuracy: float = 0.9

    def __post_init__(self) -> None:
        whole(1, 10**6)("dimension", self.dimension)
        self._numbers(Member({}, 0))

    @property
    def name(self) -> str:
        """The task's name."""
        return f"two Gaussian clusters in {self.dimension} dimensions"

    @property
    def classes(self) -> int:
        """Two clusters."""
        return 2

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """The numbers a grid may set per member."""
        return {"rows": self.rows, "bayes_accuracy": self.bayes_accuracy}

    def _numbers(self, member: Member) -> tuple[int, float]:
        rows = whole(1, 10**7)("rows", member.get("rows", self.rows))
        share = number(0.5, 1, open_low=True, open_high=True)
        accuracy = share("bayes_accuracy", member.get("bayes_accuracy", self.bayes_accuracy))
        if 2 * rows * self.dimension > MOST_NUMBERS:
            raise BadInput(
                f"rows is {rows:,} in {self.dimension:,} dimensions: both halves together may have {MOST_NUMBERS:,} "
                "numbers."
            )
        return rows, float(special.ndtri(accuracy))

    def train_count(self, member: Member) -> int:
        """Return the number of training rows."""
        return self._numbers(member)[0]

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return the member's rows, a function of its seed and knobs alone."""
        rows, half = self._numbers(member)
        labels = generators("data").integers(0, 2, 2 * rows).astype(np.int32)
        inputs = generators("noise").standard_normal((2 * rows, self.dimension))
        inputs[:, 0] += half * (2 * labels - 1)
        order = np.arange(2 * rows, dtype=np.int32)
        return Draw(inputs, labels, labels, order[:rows], order[rows:], np.ones(2 * rows))

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the task's numbers."""
        return {"task": "GaussianMixture", "dimension": self.dimension}
