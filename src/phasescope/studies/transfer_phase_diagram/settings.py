"""The numbers of ``transfer-phase-diagram`` at each scale."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from phasescope.vocabulary import Positive, Settings

Count = Annotated[int, Field(ge=1)]
WATCHED = (0.25, 0.5, 0.6, 0.75, 1.0, 1.5, 2.0)  # the gammas that claims look at
NARROW, HALF, WIDE = ANGLES = tuple(float(np.radians(a)) for a in (20.0, 45.0, 60.0))  # the angles, in radians
SOURCE_NOISE = 0.5


class TransferSettings(Settings):
    """Sizes of the study. ``gammas`` are samples per dimension (those of the claims are added), ``degrees`` angles.

    ReLU networks differ more from seed to seed than all else: they have ``relu_seeds``.
    """

    dimension: Annotated[int, Field(ge=20)] = 100
    draws: Count = 300
    seeds: Count = 16
    gammas: tuple[Positive, ...] = (0.1, 0.4, 0.85, 0.95, 1.05, 1.25)
    degrees: tuple[float, ...] = tuple(range(0, 91, 5))
    noises: tuple[float, ...] = (0.0, 0.2, 1.0)
    ridge: Positive = 0.04
    penalties: tuple[float, ...] = (0.0, 0.1, 0.3, 0.5)
    probe_samples: Count = 200_000
    trained_dimension: Annotated[int, Field(ge=4)] = 30
    scale: Positive = 0.005
    scratch_scale: Positive = 1e-5
    large_scale: Positive = 1.0
    rate: Positive = 0.02
    steps: Annotated[int, Field(ge=10)] = 4000
    source_steps: Count = 600
    records: Annotated[int, Field(ge=2)] = 40
    relu_dimension: Annotated[int, Field(ge=2)] = 10
    relu_width: Count = 40
    relu_teacher: Count = 5
    relu_samples: tuple[Count, ...] = (30, 60, 120, 300)
    relu_steps: Count = 1500
    relu_seeds: Count = 32

    @property
    def all_gammas(self) -> tuple[float, ...]:
        """The samples per dimension of the diagram, in order."""
        return tuple(sorted({*self.gammas, *WATCHED}))

    @property
    def angles(self) -> tuple[float, ...]:
        """The angles in radians; those that claims look at are among them."""
        return tuple(sorted({*(float(np.radians(a)) for a in self.degrees), *ANGLES}))

    @property
    def source_rate(self) -> float:
        """A rate at which the network with large first weights, of curvature 2 scale^2 d, learns the source stably."""
        return min(0.05, 0.5 / (self.large_scale**2 * self.trained_dimension + 4))


SCALES = {
    "pocket": TransferSettings(),
    "paper": TransferSettings(
        dimension=500,
        draws=100,
        gammas=tuple(round(0.1 * k, 1) for k in range(1, 21)),
        degrees=tuple(4.5 * k for k in range(1, 21)),
        trained_dimension=500,
        scale=1e-5,
        rate=0.01,
        steps=20_000,
        relu_dimension=100,
        relu_width=1000,
        relu_teacher=100,
        relu_samples=(300, 1000, 3000, 10_000),
        relu_steps=20_000,
    ),
}
