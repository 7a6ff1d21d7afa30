"""The numbers of ``model-collapse`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Settings

Count = Annotated[int, Field(ge=1)]


class CollapseSettings(Settings):
    """Sizes of the study. ``samples`` T >= ``inputs`` + 2 per iteration; ``text`` is a file, or Python's own."""

    seeds: Count = 16
    inputs: Count = 10
    samples: Annotated[int, Field(ge=3)] = 50
    fits: Annotated[int, Field(ge=3)] = 20
    chains: Count = 4000
    subsamples: Annotated[int, Field(ge=3)] = 200
    subsample_chains: Count = 100
    gaussian_fits: Annotated[int, Field(ge=3)] = 50
    gaussian_chains: Count = 40_000
    pooled_chains: Count = 3000
    square_bandwidth: Annotated[float, Field(gt=0)] = 0.1
    text: str = ""
    text_rows: Count = 40
    text_fits: Annotated[int, Field(ge=2)] = 11
    deep_seeds: Count = 16
    image_fits: Annotated[int, Field(ge=2)] = 7
    image_steps: Count = 700
    diffusion_fits: Annotated[int, Field(ge=2)] = 3
    diffusion_steps: Count = 400


SCALES = {
    "pocket": CollapseSettings(),
    "paper": CollapseSettings(
        inputs=7, samples=89, fits=100, chains=10_000, subsample_chains=1000, gaussian_chains=100_000,
        pooled_chains=10_000, text_rows=300, image_fits=10, image_steps=3000, diffusion_fits=10,
        diffusion_steps=5000,
    ),
}  # fmt: skip
