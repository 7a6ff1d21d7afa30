"""The numbers of ``stochastic-collapse`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

MU = 1.5
ZETAS = (1.0, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.25, 2.5)  # noise of the quartic; the threshold is sqrt(2 mu) = 1.732
LEVELS = (0.5, 0.8, 0.9, 1.1, 1.2, 1.5, 2.0)  # noise of one neuron over its threshold
NOISES = (0.0, 10.0, 20.0)  # label noise of teacher and student
VALUES = (0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.0, 1.2)  # the teacher's singular values
# learning rate and label noise of two neurons: the authors' two rows, and their rates without noise
CONDITIONS = (
    (0.1, 0.0), (0.1, 0.1), (0.1, 0.2), (0.1, 0.4), (0.1, 0.8), (0.2, 0.1), (0.3, 0.1), (0.4, 0.1), (0.5, 0.1),
    (0.3, 0.0), (0.5, 0.0),
)  # fmt: skip

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Many = Annotated[int, Field(ge=10)]


class CollapseSettings(Settings):
    """Sizes of the study. The learning rate of networks falls after the fraction ``early``, or ``late``, of
    the steps; ``images`` is the fraction of the digits that they are trained on."""

    seeds: Count = 16
    dt: Positive = 0.0025
    quartic_steps: Many = 40_000
    quartic_walkers: Count = 1000
    neuron_samples: Annotated[int, Field(ge=2)] = 32
    neuron_dt: Positive = 0.01
    neuron_steps: Many = 16_000
    neuron_walkers: Count = 128
    learning_rate: Positive = 3.0
    samples: Count = 1024
    mode_steps: Many = 30_000
    mode_walkers: Count = 512
    pair_steps: Many = 10_000
    pair_runs: Count = 8
    width: Count = 32
    depth: Count = 2
    network_steps: Many = 4000
    images: Annotated[float, Field(gt=0, lt=1)] = 0.2
    batch: Count = 32
    large: Positive = 0.1
    small: Positive = 0.01
    label_noise: Annotated[float, Field(ge=0)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 2e-3
    early: Fraction = 0.25
    late: Fraction = 0.75


SCALES = {
    "pocket": CollapseSettings(),
    "paper": CollapseSettings(
        quartic_steps=80_000,
        neuron_steps=100_000,
        neuron_walkers=1000,
        mode_steps=60_000,
        mode_walkers=256,
        width=256,
        depth=3,
        network_steps=100_000,
        weight_decay=5e-4,
    ),
}
