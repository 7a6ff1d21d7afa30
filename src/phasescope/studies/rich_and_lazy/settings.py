"""The numbers of ``rich-and-lazy`` at each scale."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from phasescope.vocabulary import Positive, Settings

SMALL, LARGE = 0.1, 1.0  # the scales tau of the ReLU claims
QUARTER, FOURFOLD = 0.25, 4.0  # the factors of first weights in modular addition
DELTAS = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)  # the balances of one neuron

Count = Annotated[int, Field(ge=1)]


class RichLazySettings(Settings):
    """Sizes of the study. ``scales`` and ``balances`` are tau and delta of the ReLU students; claims add their own.

    The diagram has ``map_seeds`` students per cell; the six cells that claims look at have twice ``seeds``.
    """

    seeds: Count = 16
    rate: Annotated[float, Field(gt=0, le=0.01)] = 0.001
    horizon: Positive = 20.0
    neuron_samples: Annotated[int, Field(ge=2)] = 10
    records: Annotated[int, Field(ge=3)] = 13
    wide_size: Annotated[int, Field(ge=2)] = 6
    wide_deltas: tuple[float, ...] = (-10.0, -1.0, 0.01, 0.1, 1.0, 10.0)
    layers: tuple[Annotated[int, Field(ge=2)], ...] = (2, 3, 4)
    dimension: Annotated[int, Field(ge=2)] = 30
    width: Annotated[int, Field(ge=2, multiple_of=2)] = 20
    samples: Count = 300
    scales: tuple[Positive, ...] = (0.1, 0.2, 0.45, 1.0, 2.0)
    balances: tuple[float, ...] = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
    relu_rate: Positive = 5e-3
    checkpoints: tuple[Count, ...] = (100, 1000, 2000)
    map_seeds: Count = 6
    p: Annotated[int, Field(ge=5)] = 23
    addition_width: Count = 200
    train_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.6
    addition_steps: Annotated[int, Field(ge=10)] = 1000
    addition_rate: Positive = 0.01
    decay: Annotated[float, Field(ge=0)] = 1.0
    factors: tuple[Positive, ...] = (0.5, 1.0, 2.0)

    @property
    def all_scales(self) -> tuple[float, ...]:
        """The scales tau in order, with those of the claims."""
        return tuple(sorted({*self.scales, SMALL, LARGE}))

    @property
    def all_balances(self) -> tuple[float, ...]:
        """The differences delta, with those of the claims."""
        return tuple(sorted({*self.balances, -1.0, 0.0, 1.0}))

    @property
    def all_factors(self) -> tuple[float, ...]:
        """The factors of first weights in modular addition, with those of the claims."""
        return tuple(sorted({*self.factors, QUARTER, 1.0, FOURFOLD}))

    @property
    def times(self) -> tuple[float, ...]:
        """The times at which the neuron is read: 0, and log-spaced up to the horizon."""
        return (0.0, *(float(t) for t in np.geomspace(0.05, self.horizon, self.records - 1)))


SCALES = {
    "pocket": RichLazySettings(),
    "paper": RichLazySettings(
        seeds=16,
        map_seeds=16,
        dimension=100,
        width=50,
        samples=1000,
        scales=tuple(float(t) for t in np.logspace(-1, 0.3, 17)),
        balances=tuple(float(t) for t in np.linspace(-1, 1, 17)),
        checkpoints=(100, 1000, 10_000, 100_000, 1_000_000),
        p=97,
        addition_width=500,
        addition_steps=5000,
    ),
}
