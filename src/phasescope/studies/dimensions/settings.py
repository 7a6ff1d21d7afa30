"""The numbers of ``dimensions`` at each scale, and the names of what is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

Share = Annotated[float, Field(gt=0, lt=1)]
Corruption = Annotated[float, Field(ge=0, lt=1)]
Decay = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]

DATA_NEAR, DATA_WIDE = "data, TwoNN", "data, participation"
FIRST_NEAR, FIRST_WIDE = "first layer, TwoNN", "first layer, participation"
SECOND_NEAR, SECOND_WIDE = "second layer, TwoNN", "second layer, participation"
DENSE, FASTFOOD = "objective, dense", "objective, Fastfood"
FUNCTION, CLASSES, PIECES = "function", "class manifolds", "pieces of decision regions"
DIMENSIONS = (DATA_NEAR, DATA_WIDE, FIRST_NEAR, FIRST_WIDE, SECOND_NEAR, SECOND_WIDE, DENSE, FASTFOOD, FUNCTION,
              CLASSES, PIECES)  # fmt: skip
GENERALIZATION, PRUNABILITY, FORGETTING = "generalization", "prunability", "forgetting"
OUTCOMES = (GENERALIZATION, PRUNABILITY, FORGETTING)
SIZE, CELL = "size and training loss", "size, training loss and cell"
GIVEN = (SIZE, CELL)
"""What is taken out before a dimension is asked: with the cell also the number of rows, corruption and decay."""
AXES = ("width", "rows", "corrupted", "decay")


class DimensionSettings(Settings):
    """Sizes of the study. Each seed has one network in each cell of widths, numbers of rows, corruptions and decays.

    Clouds are of ``points`` training rows. Objectives are learnt in ``dims`` random directions at most, in
    ``subspace_steps`` of Adam at ``subspace_rate``, to ``share`` of the whole network's training accuracy. A second
    task, the same rows with their pixels in another order, is learnt in ``second_steps``. Pieces are counted on
    ``planes`` of ``grid`` x ``grid`` answers each. ``permutations`` give the chance of the strongest dimension.
    """

    seeds: Annotated[int, Field(ge=2)] = 16
    widths: Annotated[tuple[Count, ...], Field(min_length=2)] = (8, 12, 20)
    rows: Annotated[tuple[Annotated[int, Field(ge=40, le=1500)], ...], Field(min_length=2)] = (150, 300, 600)
    corruptions: Annotated[tuple[Corruption, ...], Field(min_length=2)] = (0.0, 0.2)
    decays: Annotated[tuple[Decay, ...], Field(min_length=2)] = (0.0, 0.3)
    rate: Positive = 0.01
    steps: Annotated[int, Field(ge=10)] = 300
    points: Annotated[int, Field(ge=20)] = 150
    dims: Annotated[tuple[Count, ...], Field(min_length=2)] = (8, 16, 32, 64, 128, 256)
    share: Share = 0.9
    subspace_steps: Annotated[int, Field(ge=1)] = 200
    subspace_rate: Positive = 0.1
    second_steps: Annotated[int, Field(ge=1)] = 150
    within: Share = 0.01
    planes: Count = 4
    grid: Annotated[int, Field(ge=4)] = 40
    folds: Annotated[int, Field(ge=2)] = 6
    permutations: Count = 199


SCALES = {
    "pocket": DimensionSettings(),
    "middle": DimensionSettings(
        widths=(8, 12, 20, 40), rows=(150, 300, 600, 1200), corruptions=(0.0, 0.1, 0.2, 0.4), decays=(0.0, 0.3, 1.0),
        dims=(8, 16, 32, 64, 128, 256, 512), subspace_steps=400, planes=16,
    ),
}  # fmt: skip
