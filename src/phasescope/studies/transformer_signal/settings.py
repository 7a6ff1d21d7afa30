"""The numbers of ``transformer-signal`` at each scale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from phasescope.tasks.images import digits, fashion_mnist
from phasescope.tasks.table import Table
from phasescope.vocabulary import Positive, Settings

Count = Annotated[int, Field(ge=1)]
Strength = Annotated[float, Field(gt=0, lt=1)]

POWERS = (0.5, 0.25)  # of the depth that strengths fall with; the second is a rival
RIVAL_SIGMA = 6.0  # in the chaotic phase too, where tokens settle elsewhere


class TransformerSignalSettings(Settings):
    """Sizes of the study. ``hidden`` is the perceptron's width; ``images`` "digits" or a folder with Fashion-MNIST.

    ``draws`` and the like: over how many networks each seed's number is a mean. Trained networks have strengths and
    hidden scales drawn from ``train_alphas`` and ``train_sigmas``, from the first to the second.
    """

    seeds: Annotated[int, Field(ge=2)] = 16
    tokens: Annotated[int, Field(ge=11)] = 64
    path_width: Annotated[int, Field(ge=65)] = 512
    path_depth: Count = 8
    path_draws: Count = 4
    width: Annotated[int, Field(ge=65)] = 256
    hidden: Count = 512
    depth: Annotated[int, Field(ge=2)] = 16
    draws: Count = 24
    alphas: tuple[Strength, ...] = (0.2, 0.4, 0.6, 0.8, 0.9)
    sigmas: tuple[Positive, ...] = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    diagram_width: Annotated[int, Field(ge=33)] = 128
    diagram_hidden: Count = 512
    weak_alpha: Strength = 0.25
    weak_sigmas: tuple[Positive, ...] = (3.0, 4.0)
    weak_depth: Count = 64
    weak_hidden: Count = 256
    weak_draws: Count = 6
    depths: tuple[Count, ...] = (16, 128)
    depths_draws: Count = 16
    settled_sigma: Positive = 10.0
    settled_depth: Count = 40
    settled_draws: Count = 3
    collapse_depth: Annotated[int, Field(ge=10)] = 40
    train_seeds: Annotated[int, Field(ge=2)] = 32
    train_alphas: tuple[Strength, Strength] = (0.1, 0.9)
    train_sigmas: tuple[Positive, Positive] = (1.0, 6.0)
    train_width: Count = 32
    train_hidden: Count = 32
    train_depth: Count = 8
    steps: Annotated[int, Field(ge=2)] = 80
    batch: Count = 32
    rate: Positive = 1e-3
    images: str = "digits"
    side: Count = 2

    @property
    def table(self) -> Table:
        """The images that are learnt."""
        return digits() if self.images == "digits" else fashion_mnist(Path(self.images))

    @property
    def train_tokens(self) -> int:
        """How many patches an image has."""
        return (8 if self.images == "digits" else 28) ** 2 // self.side**2


SCALES = {
    "pocket": TransformerSignalSettings(),
    "paper": TransformerSignalSettings(
        seeds=32,
        width=512,
        hidden=1024,
        weak_alpha=0.1,
        weak_depth=128,
        weak_draws=32,
        depths=(16, 64, 128),
        alphas=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        sigmas=(1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0),
        diagram_width=256,
        diagram_hidden=1024,
        train_seeds=64,
        train_width=64,
        train_hidden=128,
        train_depth=12,
        steps=500,
        batch=64,
    ),
}
