"""The numbers of ``semantic-duplicates`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]

ORDERS = ("hard", "random", "easy", "random again")
"""In which order rows of a cluster are taken; the last is the second with another seed."""
NOISE, BRIGHTNESS, SHIFT = "noise", "brightness", "shift"
STRENGTHS = {
    NOISE: (0.01, 0.02, 0.04, 0.08),
    BRIGHTNESS: (0.05, 0.1, 0.2, 0.4),
    SHIFT: (0.125, 0.25, 0.5, 1.0),
}
"""Noise and brightness in parts of the range from black to white, shifts in pixels."""
ALL, EXACT, HARD, EASY, MIXED = "all", "exact copies out", "near copies out", "easy ones kept", "random ones kept"
RANDOM = "random rows out"
KEPT = (ALL, EXACT, HARD, EASY, MIXED, RANDOM)
"""What is kept of the rows: of near copies the hard one unless said; as many random rows as that leaves."""
FEW = (HARD, RANDOM)
COPIES, NONE = "copies", "no copies"


class DuplicateSettings(Settings):
    """Sizes of the study. ``images``: a folder with Fashion-MNIST, or "fashion-mnist" for the one in the cache of
    ``phasescope data``; empty for scikit-learn's digits. ``side`` is that of the images. ``mail``: a folder of mails as
    text files, ``speeches`` one of texts that have no copies; empty leaves them out.

    ``groups`` of ``rows`` synthetic rows, ``clusters`` in which they are sought, ``epsilons`` from the least on. Of
    ``unique`` images or paragraphs the share ``copied`` has ``copies`` near copies each, of which the share ``exact``
    is exact. Images have noise ``grain`` of their own contrast; of a paragraph's ``length`` tokens, of
    ``vocabulary`` kinds, the share ``replaced`` is drawn again. ``texts`` of a folder are drawn for each seed.
    """

    seeds: Annotated[int, Field(ge=2)] = 16
    images: str = ""
    side: Annotated[int, Field(ge=4)] = 8
    mail: str = ""
    speeches: str = ""
    groups: Annotated[int, Field(ge=20)] = 1000
    rows: Annotated[int, Field(ge=30)] = 1983
    clusters: Annotated[tuple[Count, ...], Field(min_length=2)] = (1, 5, 20, 50)
    epsilons: Annotated[tuple[Positive, ...], Field(min_length=2)] = (0.01, 0.05, 0.1, 0.2)
    chains: Count = 1000
    crowd: Annotated[int, Field(ge=100)] = 3000
    sample: Annotated[int, Field(ge=20)] = 400
    samples: Annotated[int, Field(ge=4)] = 60
    planted: Annotated[int, Field(ge=10)] = 180
    epsilon: Positive = 0.01
    unique: Annotated[int, Field(ge=20)] = 160
    tests: Annotated[int, Field(ge=50)] = 900
    copied: Share = 0.2
    copies: Count = 20
    exact: Share = 0.2
    grain: Positive = 0.08
    width: Count = 64
    steps: Annotated[int, Field(ge=30)] = 600
    rate: Positive = 0.003
    batch: Count = 32
    paragraphs: Annotated[int, Field(ge=20)] = 120
    held: Annotated[int, Field(ge=10)] = 200
    length: Annotated[int, Field(ge=8)] = 33
    vocabulary: Annotated[int, Field(ge=4)] = 12
    replaced: Share = 0.03
    alike: Positive = 0.6
    decoder: Count = 32
    heads: Count = 2
    layers: Count = 1
    text_steps: Annotated[int, Field(ge=30)] = 150
    text_batch: Count = 16
    text_rate: Positive = 0.01
    texts: Annotated[int, Field(ge=20)] = 500
    records: Annotated[int, Field(ge=3)] = 12

    @property
    def whole(self) -> int:
        """How many rows there are with the copies, of one that is unique: all over unique."""
        return round(1 + self.copied * self.copies)


SCALES = {
    "pocket": DuplicateSettings(),
    "middle": DuplicateSettings(
        images="fashion-mnist", side=14, unique=1000, tests=5000, width=128, steps=2000, rate=1e-3, planted=180,
        paragraphs=400, held=500, decoder=64, heads=4, layers=2, text_steps=1500,
    ),
    "paper": DuplicateSettings(
        images="fashion-mnist", side=28, unique=10_000, tests=10_000, copies=15, width=512, steps=20_000, rate=1e-3,
        batch=128, paragraphs=4000, held=1000, decoder=128, heads=4, layers=4, text_steps=10_000,
    ),
}  # fmt: skip
