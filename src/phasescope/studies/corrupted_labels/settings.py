"""The numbers of ``corrupted-labels`` at each scale."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from phasescope.vocabulary import Fraction, Positive, Settings

Share = Annotated[float, Field(gt=0, lt=1)]
Corruption = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Steps = Annotated[int, Field(ge=10)]
Diagram = Literal["decay", "dropout", "relu", "cross_entropy"]


class CorruptedLabelsSettings(Settings):
    """Sizes of the study; ``low`` is a fraction from which the rule is not found, ``middle`` one
    from which it takes weight decay.

    ``partial`` and ``full`` are the weight decays of the two inversions, ``forget`` that of forgetting. ``norm_*`` is
    the mini-batch run with batch normalization (``other_batches``: further sizes of them), ``deep_*`` and ``token_*``
    the deeper networks (0 seeds leave them out), ``diagrams`` the phase diagrams that are drawn.
    """

    p: Annotated[int, Field(ge=5)] = 59
    width: Count = 300
    seeds: Count = 12
    train_fraction: Share = 0.7
    corruption: Corruption = 0.3
    low: Share = 0.3
    middle: Share = 0.5
    rate: Positive = 0.01
    steps: Steps = 400
    partial: Decay = 5.0
    full: Decay = 12.0
    decay_steps: Steps = 400
    forget: Decay = 20.0
    forget_steps: Steps = 3000
    other_steps: Steps = 800
    dropouts: tuple[Fraction, ...] = (0.3, 0.6, 0.9)
    dropout_steps: Steps = 400
    norm_p: Annotated[int, Field(ge=5)] = 59
    norm_width: Count = 300
    norm_fraction: Share = 0.65
    norm_corruption: Corruption = 0.2
    norm_steps: Steps = 8000
    batch: Count = 64
    norm_rate: Positive = 0.005
    other_batches: tuple[Count, ...] = ()
    deep_p: Annotated[int, Field(ge=5)] = 31
    deep_width: Count = 150
    deep_seeds: Annotated[int, Field(ge=0)] = 12
    deep_fraction: Share = 0.8
    deep_corruption: Corruption = 0.15
    deep_decay: Decay = 10.0
    deep_rate: Positive = 0.001
    deep_steps: Steps = 1000
    token_p: Annotated[int, Field(ge=5)] = 31
    token_width: Count = 32
    token_seeds: Annotated[int, Field(ge=0)] = 0
    token_decay: Decay = 3.0
    token_rate: Positive = 0.01
    token_steps: Steps = 2000
    diagrams: tuple[Diagram, ...] = ("decay",)
    fractions: tuple[Share, ...] = (0.2, 0.35, 0.5, 0.65, 0.8)
    corruptions: tuple[Corruption, ...] = (0.0, 0.2, 0.4, 0.6, 0.8)
    decays: tuple[Decay, ...] = (0.0, 5.0, 12.0)
    diagram_steps: Steps = 400
    diagram_seeds: Count = 1
    records: Annotated[int, Field(ge=5)] = 40

    @property
    def dropout(self) -> float:
        """The middle one of the dropout rates, which corrects and does not yet confuse."""
        return sorted(self.dropouts)[len(self.dropouts) // 2]


SCALES = {
    "pocket": CorruptedLabelsSettings(),
    "paper": CorruptedLabelsSettings(
        p=97,
        width=500,
        seeds=12,
        train_fraction=0.5,
        corruption=0.35,
        low=0.2,
        middle=0.35,
        steps=1000,
        full=15.0,
        decay_steps=500,
        forget_steps=5000,
        other_steps=2000,
        dropout_steps=2000,
        norm_p=97,
        norm_width=500,
        other_batches=(8, 32, 256),
        deep_p=97,
        deep_width=500,
        deep_seeds=12,
        deep_corruption=0.2,
        deep_steps=5000,
        token_p=97,
        token_width=128,
        token_seeds=12,
        token_decay=10.0,
        token_rate=0.001,
        token_steps=3000,
        diagrams=("decay", "dropout", "relu", "cross_entropy"),
        fractions=tuple(round(float(a), 2) for a in np.linspace(0.1, 0.9, 17)),
        corruptions=tuple(round(float(x), 2) for x in np.linspace(0, 0.9, 19)),
        decays=(0.0, 5.0, 15.0, 20.0),
        diagram_steps=2000,
    ),
}
