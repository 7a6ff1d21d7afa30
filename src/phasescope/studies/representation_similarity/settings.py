"""The numbers of ``representation-similarity`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

Count = Annotated[int, Field(ge=1)]


class SimilaritySettings(Settings):
    """Sizes of the study. ``few`` and ``many`` stimuli see planted clouds; networks learn and are read on digits."""

    seeds: Count = 12
    dimensions: Annotated[int, Field(ge=4, multiple_of=4)] = 16
    few: Annotated[int, Field(ge=24)] = 32
    many: Annotated[int, Field(ge=64)] = 256
    pairs: Annotated[int, Field(ge=2)] = 4
    trained: Count = 12
    layers: Annotated[int, Field(ge=3)] = 5
    width: Annotated[int, Field(ge=8)] = 32
    channels: Annotated[int, Field(ge=8)] = 16
    steps: Count = 500
    rate: Positive = 0.001
    examples: Annotated[int, Field(ge=100, le=1500)] = 1000
    stimuli: Annotated[int, Field(ge=64, le=297)] = 160
    units: Annotated[int, Field(ge=10)] = 60
    repeats: Annotated[int, Field(ge=2)] = 6
    shown: Annotated[int, Field(ge=100, le=797)] = 600


SCALES = {
    "pocket": SimilaritySettings(),
    "paper": SimilaritySettings(
        seeds=32, many=1024, pairs=64, trained=32, layers=8, width=64, channels=32, steps=3000, stimuli=290, shown=790
    ),
}
