"""The numbers of ``autoinit`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

Count = Annotated[int, Field(ge=1)]


STARTS = (0.5, 1.0, 4.0, 8.0)  # sigma_w^2 from which deep networks are tuned
ENDS = (STARTS[0], STARTS[-1])


class AutoInitSettings(Settings):
    """Sizes of the study. ``seeds`` networks are tuned, ``trained`` of each kind are trained.

    ``images``: a folder with Fashion-MNIST, or empty for scikit-learn's digits; ``side`` is that of the images.
    """

    seeds: Count = 16
    trained: Count = 16
    width: Annotated[int, Field(ge=8)] = 96
    depth: Annotated[int, Field(ge=2)] = 40
    wide: Annotated[int, Field(ge=8)] = 300
    short: Annotated[int, Field(ge=2)] = 8
    steps: Count = 200
    rate: Positive = 2e-4
    image_steps: Count = 120
    image_rate: Positive = 0.01
    records: Annotated[int, Field(ge=2)] = 8
    side: Annotated[int, Field(ge=4)] = 8
    plan: tuple[int, ...] = (8, 8, 8, 0, 16, 16, 16, 0, 32, 32, 32)
    patch_width: Count = 16
    patch_depth: Count = 6
    images: str = ""


SCALES = {
    "pocket": AutoInitSettings(),
    "paper": AutoInitSettings(
        width=500, steps=2000, image_steps=3000, side=28, patch_width=128, patch_depth=12, images="fashion-mnist",
        plan=(64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512),
    ),
}  # fmt: skip
