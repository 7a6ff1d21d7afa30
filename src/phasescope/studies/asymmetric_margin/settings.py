"""The numbers of ``asymmetric-margin`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

Count = Annotated[int, Field(ge=1)]


class AsymmetricSettings(Settings):
    """Sizes of the study. ``transverse`` are the centres' second coordinates, ``radius`` times 0.375 and 0.99 added."""

    seeds: Count = 16
    parallel: Positive = 1.0
    radius: Positive = 0.8
    transverse: tuple[Positive, ...] = (0.1, 0.3, 0.5, 0.7, 0.79, 0.9, 1.1)
    points: Annotated[int, Field(ge=16)] = 2048
    size: Annotated[float, Field(ge=100, le=1e5)] = 2e4
    horizon: Positive = 1e6
    descent_points: Annotated[int, Field(ge=16)] = 256
    descent_time: Positive = 200.0
    descent_rate: Annotated[float, Field(gt=0, le=0.05)] = 0.02
    classes: Annotated[int, Field(ge=2, le=10)] = 4
    samples: Annotated[int, Field(ge=20)] = 200
    width: Count = 64
    collapse_steps: Annotated[int, Field(ge=1)] = 2000
    collapse_rate: Positive = 0.1

    @property
    def centres(self) -> tuple[float, ...]:
        """All second coordinates of the centres, in order."""
        asked = (*self.transverse, 0.375 * self.radius, 0.99 * self.radius)
        return tuple(sorted({round(float(t), 12) for t in asked}))

    def centre(self, part: float) -> float:
        """Return the second coordinate, of all centres, that is nearest to this part of the radius."""
        return min(self.centres, key=lambda t: abs(t - part * self.radius))


SCALES = {
    "pocket": AsymmetricSettings(),
    "paper": AsymmetricSettings(
        seeds=20,
        transverse=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.79, 0.81, 0.85, 0.9, 1.0, 1.1, 1.3),
        size=5e4,
        points=8192,
        descent_time=4000.0,
        samples=700,
        width=512,
        collapse_steps=20_000,
    ),
}
