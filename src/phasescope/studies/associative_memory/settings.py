"""The numbers of ``associative-memory`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

ALPHAS, DISCOUNTS = (1.0, 5.0), (0.0, 0.3)  # of the Chinese restaurant process
Count = Annotated[int, Field(ge=1)]
Dimensions = tuple[Annotated[int, Field(ge=3)], ...]


class MemorySettings(Settings):
    """Sizes of the study. ``wide``, ``narrow`` and ``widest`` are the dimensions at h^2 = 1, 0.7 and 2.

    Memories learnt from random points differ most from seed to seed and cost least: they have ``learning_seeds``.
    """

    seeds: Count = 16
    memories: Annotated[int, Field(ge=2)] = 8
    beta: Positive = 2.0
    blobs: Annotated[int, Field(ge=2)] = 5
    points: Annotated[int, Field(ge=10)] = 500
    learning_steps: Count = 100
    learning_seeds: Count = 40
    draws: Count = 800
    customers: Annotated[int, Field(ge=2)] = 1000
    wide: Annotated[Dimensions, Field(min_length=2)] = (6, 8, 10, 12, 14, 16, 18)
    narrow: Dimensions = (4, 6, 8, 10, 12)
    widest: Dimensions = (8, 10, 12, 14, 16)
    probes: Annotated[int, Field(ge=8)] = 128
    trials: Count = 60
    patterns: Annotated[int, Field(ge=2)] = 64
    attended: Annotated[int, Field(ge=2)] = 16
    head: Annotated[int, Field(ge=2)] = 8
    length: Annotated[int, Field(ge=5)] = 24
    updates: Annotated[int, Field(ge=1)] = 100
    context_batch: Annotated[int, Field(ge=2)] = 16
    context_width: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    context_layers: Count = 2
    tests: Annotated[int, Field(ge=2)] = 1000


SCALES = {
    "pocket": MemorySettings(),
    "paper": MemorySettings(
        points=2000,
        learning_steps=500,
        draws=2000,
        wide=(6, 8, 10, 12, 14, 16, 18, 20),
        narrow=(4, 6, 8, 10, 12, 14),
        widest=(8, 10, 12, 14, 16, 20, 24),
        probes=512,
        updates=3000,
        context_batch=32,
        context_width=128,
        context_layers=6,
        tests=4000,
    ),
}
