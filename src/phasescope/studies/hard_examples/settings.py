"""The numbers of ``hard-examples`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Fraction, Positive, Settings

Count = Annotated[int, Field(ge=1)]
Several = Annotated[int, Field(ge=2)]
Share = Annotated[float, Field(gt=0, lt=1)]

FLIPPED, SHUFFLED, TRUE = "some wrong", "shuffled", "true"
EL2N, ONE_EL2N, GRAND, ACCESSIBILITY = "EL2N", "EL2N of one network", "GraNd", "accessibility"
LAST_LOSS, ONE_LAST_LOSS = "loss at the end", "loss at the end of one network"
MEAN_DISTANCE, MEAN_MARGIN = "distance to the class mean", "nearness to another class mean"
SCORES = (EL2N, ONE_EL2N, GRAND, ACCESSIBILITY, LAST_LOSS, ONE_LAST_LOSS, MEAN_DISTANCE, MEAN_MARGIN)
"""What rows are ranked by, the hardest last; the last two need no network."""
HALVES, TWO = "two halves of the networks", "two networks"
SAME, APART = "same rows", "disjoint rows"
OTHERS, ALIKE = "disjoint rows, another pair", "disjoint rows, one beginning"
PAIRS = (SAME, APART, OTHERS, ALIKE)
"""Which two networks are compared in the order in which they learn rows; all but the last begin from other weights."""
RANDOM, AGAIN, HARD, EASY = "random", "random again", "hardest", "easiest"
HARD_MEAN, EASY_MEAN = "hardest by class means", "easiest by class means"
KINDS = (RANDOM, AGAIN, HARD, EASY, HARD_MEAN, EASY_MEAN)
"""Which rows are dropped."""
FULL, MINI = "full batches", "mini-batches"


class HardExampleSettings(Settings):
    """Sizes of the study. ``images``: a folder with Fashion-MNIST, or "fashion-mnist" for the one in the cache of
    ``phasescope data``; empty for scikit-learn's digits. ``side`` is that of the images.

    ``samples`` rows train and are scored, ``tests`` are held out where networks are tested. ``flips`` is the share of
    wrong labels. ``networks`` of one seed give a score, ``pair`` of them orders of learning, and ``fresh`` ones learn
    each pruned set; ``drops`` are the shares that are dropped. ``early`` is the share of the steps after which EL2N is
    read. Coherence is read of ``coherent`` rows in ``coherent_networks`` of ``wide`` units, which learn in ``descent``
    steps at ``descent_rate``, at losses ``levels`` and after ``equal`` steps.
    """

    seeds: Annotated[int, Field(ge=2)] = 12
    images: str = ""
    side: Annotated[int, Field(ge=4)] = 8
    samples: Annotated[int, Field(ge=60)] = 1000
    tests: Annotated[int, Field(ge=50)] = 700
    flips: Share = 0.1
    networks: Annotated[int, Field(ge=4)] = 32
    pair: Annotated[int, Field(ge=3)] = 8
    fresh: Count = 4
    width: Count = 64
    steps: Annotated[int, Field(ge=20)] = 800
    order_steps: Annotated[int, Field(ge=20)] = 600
    pruned_steps: Annotated[int, Field(ge=20)] = 600
    rate: Positive = 0.01
    batch: Count = 64
    records: Annotated[int, Field(ge=5)] = 40
    early: Fraction = 0.1
    drops: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.1, 0.5, 0.9)
    coherent: Annotated[int, Field(ge=40)] = 500
    coherent_networks: Count = 2
    wide: Count = 128
    descent: Annotated[int, Field(ge=20)] = 600
    descent_rate: Positive = 0.1
    descent_records: Annotated[int, Field(ge=5)] = 24
    levels: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.6, 0.4, 0.2)
    equal: Annotated[tuple[Count, ...], Field(min_length=1)] = (25, 50, 100, 250)


SCALES = {
    "pocket": HardExampleSettings(),
    "middle": HardExampleSettings(
        images="fashion-mnist", side=14, samples=4000, tests=2000, width=128, steps=2000, order_steps=1000,
        pruned_steps=1500, rate=3e-3, coherent=1000,
    ),
    "paper": HardExampleSettings(
        images="fashion-mnist", side=28, samples=60_000, tests=10_000, width=512, steps=20_000, order_steps=10_000,
        pruned_steps=20_000, rate=1e-3, batch=128, coherent=5000, descent=10_000,
    ),
}  # fmt: skip
