"""The numbers of ``attention-clusters`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

DYNAMICS = ("attention", "unnormalized", "shuffled", "walk")
NORMS = ("pre", "none")
SHOWN = (0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of the layers, where clusters are counted
Count = Annotated[int, Field(ge=1)]


class ClusterSettings(Settings):
    """Sizes of the study: tokens that attention moves, then networks that learn energies in context.

    One seed counts clusters in ``draws`` sets of tokens. Without normalization tokens grow by (1 + stride) in a layer;
    1,500 layers at most leave them finite.
    """

    seeds: Count = 16
    draws: Count = 4
    tokens: Annotated[int, Field(ge=4)] = 64
    sphere: Annotated[int, Field(ge=3)] = 3
    betas: Annotated[tuple[Positive, ...], Field(min_length=3)] = (1.0, 4.0, 16.0, 64.0)
    layers: Annotated[int, Field(ge=16, le=1500)] = 400
    stride: Annotated[float, Field(gt=0, le=0.1)] = 0.1
    dimension: Annotated[int, Field(ge=2)] = 8
    length: Annotated[int, Field(ge=5)] = 16
    updates: Count = 50
    batch: Annotated[int, Field(ge=2)] = 16
    width: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    blocks: Count = 2
    tests: Annotated[int, Field(ge=10)] = 300


SCALES = {
    "pocket": ClusterSettings(),
    "paper": ClusterSettings(
        tokens=256, layers=1500, length=24, updates=3000, batch=32, width=128, blocks=6, tests=4000
    ),
}
