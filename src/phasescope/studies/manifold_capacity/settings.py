"""The numbers of ``manifold-capacity`` at each scale."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

Count = Annotated[int, Field(ge=1)]
Sizes = Annotated[tuple[Count, ...], Field(min_length=1)]


class ManifoldSettings(Settings):
    """Sizes of the study. ``data`` is the batch P of the sweeps, ``dimensions`` must hold it, and 3/4 and 3/2 of it.

    ``pairs`` "emoji" adds pictures with their names, to be fetched by ``phasescope data emoji``.
    """

    seeds: Count = 13
    dimensions: Sizes = (8, 16, 24, 32, 48, 64, 128)
    batches: Sizes = (16, 24, 32, 48, 64, 128)
    views: Sizes = (2, 4)
    more_views: Sizes = (2, 4, 8)
    data: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    inputs: Count = 64
    noise: Annotated[float, Field(ge=0)] = 0.5
    width: Count = 128
    steps: Annotated[int, Field(ge=8)] = 400
    batch_steps: Annotated[int, Field(ge=8)] = 300
    long_steps: Annotated[int, Field(ge=128)] = 1600
    last: Count = 50
    rate: Positive = 1e-3
    large: Sizes = (10, 20, 40, 79, 158, 316, 631)
    uniform_dimensions: Sizes = (8, 16, 32, 64, 96, 112, 128, 144, 160, 192, 256, 512, 1024)
    repeats: Count = 16
    draws: Count = 200
    horizon: Positive = 2.0
    images: Literal["digits", "fashion-mnist"] = "digits"
    image_steps: Annotated[int, Field(ge=8)] = 400
    image_dimensions: Sizes = (16, 24, 32, 48, 64)
    reach: Annotated[int, Field(ge=0)] = 1
    pixel_noise: Annotated[float, Field(ge=0)] = 0.3
    labelled: Annotated[int, Field(ge=10)] = 50
    label_draws: Count = 8
    pairs: Literal["", "emoji"] = ""
    pair_steps: Annotated[int, Field(ge=1)] = 1000

    @property
    def free_dimensions(self) -> tuple[int, ...]:
        """Half of ``data``, as many, and twice as many: where free embeddings follow the gradient."""
        return self.data // 2, self.data, 2 * self.data


SCALES = {
    "pocket": ManifoldSettings(),
    "paper": ManifoldSettings(
        seeds=13,
        dimensions=(8, 16, 32, 48, 64, 80, 96, 128, 256),
        batches=(8, 16, 32, 48, 64, 96, 128, 256),
        more_views=(2, 4, 8, 16, 40),
        data=64,
        width=512,
        steps=5000,
        batch_steps=5000,
        long_steps=20_000,
        large=(10, 20, 40, 79, 158, 316, 631, 1259, 2512),
        images="fashion-mnist",
        image_steps=5000,
        image_dimensions=(16, 32, 48, 64, 96, 128),
        reach=2,
        labelled=100,
        pairs="emoji",
        pair_steps=5000,
    ),
}
