"""Linear regression on Gaussian inputs, from one known source to a target at an angle: the world of linear transfer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from phasescope.checks import number, whole
from phasescope.vocabulary import Array, BadInput, Draw, Generators, Knob, Member

MOST_NUMBERS = 10**9


def target_direction(dimension: int, angle: float) -> Array:
    """Return beta_t (D,), of length 1, at ``angle`` (radians) from the source, which is the first unit vector.

    Inputs are isotropic, so the source may be any fixed direction. Raises ``BadInput`` below two dimensions.
    """
    dimension, angle = whole(2, 10**6)("dimension", dimension), number()("angle", angle)
    beta = np.zeros(dimension)
    beta[:2] = math.cos(angle), math.sin(angle)
    return beta


@dataclass(frozen=True)
class LinearTarget:
    """Labels y = beta_t . x + noise of x ~ N(0, I_D), from ``gamma`` D samples; the test is exact.

    Training rows are drawn from the streams ``data`` and ``noise``, so the samples are the same at every ``angle`` and
    ``noise``. The D test rows are sqrt(D) times the unit vectors with labels free of noise: their mean squared error is
    |beta - beta_t|^2, the population risk (Tahir et al. 2024, arXiv:2410.08194). ``endless`` trains on these rows too,
    which is gradient descent on the population loss. Inputs (N, D) and targets (N, 1) float64. The three numbers may
    differ per member. Raises ``BadInput`` for numbers out of range.
    """

    dimension: int
    gamma: float = 0.5
    angle: float = 0.0
    noise: float = 0.0
    endless: bool = False

    def __post_init__(self) -> None:
        whole(2, 10**6)("dimension", self.dimension)
        self._numbers(Member({}, 0))

    @property
    def name(self) -> str:
        """The task's name."""
        return f"linear target in {self.dimension} dimensions" + (", endless data" if self.endless else "")

    @property
    def classes(self) -> int:
        """One output."""
        return 1

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """The numbers a grid may set per member."""
        return {"gamma": self.gamma, "angle": self.angle, "noise": self.noise}

    def _numbers(self, member: Member) -> tuple[int, float, float]:
        gamma, angle, noise = (number(0)(name, member.get(name, default)) for name, default in self.knobs.items())
        if gamma * self.dimension**2 > MOST_NUMBERS:
            raise BadInput(
                f"gamma is {gamma:g} in {self.dimension} dimensions: the samples may have {MOST_NUMBERS:,} numbers."
            )
        samples = round(gamma * self.dimension)
        if samples < 1:
            raise BadInput(f"gamma is {gamma:g} in {self.dimension} dimensions: give at least one sample.")
        return samples, angle, noise

    def train_count(self, member: Member) -> int:
        """Return the number of training rows, the nearest integer to gamma D."""
        return self.dimension if self.endless else self._numbers(member)[0]

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return the member's samples, a function of its seed and knobs alone."""
        samples, angle, noise = self._numbers(member)
        d = self.dimension
        beta = target_direction(d, angle)
        exact = math.sqrt(d) * np.eye(d)
        fresh = np.zeros((0, d)) if self.endless else generators("data").standard_normal((samples, d))
        inputs = np.concatenate([fresh, exact])
        truth = (inputs @ beta)[:, None]
        labels = truth.copy()
        labels[: len(fresh), 0] += noise * generators("noise").standard_normal(len(fresh))
        test = np.arange(len(fresh), len(inputs), dtype=np.int32)
        train = test if self.endless else np.arange(len(fresh), dtype=np.int32)
        return Draw(inputs, labels, truth, train, test, np.ones(len(inputs)))

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the task's numbers."""
        return {"task": "LinearTarget", "dimension": self.dimension, "endless": self.endless}
