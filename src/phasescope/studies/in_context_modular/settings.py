"""The numbers of ``in-context-modular`` at each scale."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

Count = Annotated[int, Field(ge=1)]


class ModularContextSettings(Settings):
    """Sizes of the study. ``sizes`` are the pools; claims look at ``few``, ``between`` and ``many`` tasks, which are
    among them.

    ``alpha`` of the inputs is trained on where some are held out. ``corners`` are pools of the other ``rule``, whose
    sizes are among ``sizes``. Networks of ``deep`` blocks are followed for transience, none for 0. ``draws`` sequences
    measure the exact competitors.
    """

    p: Count = 5
    shots: Annotated[int, Field(ge=2)] = 12
    asked: Count = 4
    seeds: Count = 12
    sizes: Annotated[tuple[Count, ...], Field(min_length=2)] = (4, 8, 12, 18)
    few: Count = 4
    between: Count = 8
    many: Count = 18
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.72
    rule: Literal["random", "rectangular"] = "random"
    corners: tuple[Count, ...] = ()
    deep: Annotated[int, Field(ge=0)] = 0
    tokens: Literal["bound", "three"] = "bound"
    width: Count = 64
    heads: Count = 4
    layers: Count = 2
    steps: Annotated[int, Field(ge=2)] = 600
    batch: Count = 32
    rate: Positive = 3e-3
    decay: Annotated[float, Field(ge=0)] = 0.1
    warmup: Annotated[int, Field(ge=0)] = 100
    clip: Annotated[float, Field(gt=0)] = 1.0
    records: Annotated[int, Field(ge=2)] = 4
    readout: Count = 256
    draws: Annotated[int, Field(ge=8)] = 1000


SCALES = {
    "pocket": ModularContextSettings(),
    # three tokens for each example, so that the head that binds them must be learnt; more rectangles than four do not
    # always fit modulo 7, so most pools are random
    "middle": ModularContextSettings(
        p=7,
        shots=16,
        seeds=1,
        sizes=(4, 12, 16, 24, 36),
        few=4,
        between=12,
        many=36,
        alpha=0.8,
        corners=(12, 16),
        deep=6,
        tokens="three",
        width=128,
        layers=4,
        steps=20_000,
        batch=64,
        rate=1e-3,
        warmup=500,
        records=20,
    ),
    "paper": ModularContextSettings(
        p=29,
        shots=32,
        seeds=1,
        sizes=(8, 16, 32, 64, 128, 256, 512),
        few=8,
        between=64,
        many=512,
        alpha=0.6,
        rule="rectangular",
        corners=(64, 512),
        deep=6,
        tokens="three",
        width=512,
        layers=4,
        steps=200_000,
        batch=1024,
        rate=1.5e-4,
        decay=2.0,
        warmup=10_000,
        clip=1e9,
        records=40,
    ),
}
