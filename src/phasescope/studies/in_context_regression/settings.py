"""The numbers of ``in-context-regression`` at each scale."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

Count = Annotated[int, Field(ge=1)]


class RegressionContextSettings(Settings):
    """Sizes of the study. ``sizes`` are the pools; claims look at ``few`` and ``middle`` tasks, which are among them.

    ``matters`` is the smallest difference of errors that matters. New tasks are served where the error is at most
    ``excess`` above ridge's, which is expected from a number of tasks within ``threshold`` on. ``noise`` is a variance.
    ``draws`` sequences measure the two Bayes rules alone, for pools of ``rule_sizes`` in
    ``rule_dimension`` dimensions, the paper's. Networks of Laplace and of Gaussian tasks are read on twice ``priors``
    sequences of Laplace tasks, none for 0.
    """

    dimension: Count = 4
    shots: Annotated[int, Field(ge=2)] = 8
    noise: Positive = 0.25
    seeds: Count = 12
    sizes: Annotated[tuple[Count, ...], Field(min_length=2)] = (2, 8, 32, 128)
    few: Count = 2
    middle: Count = 32
    matters: Positive = 0.05
    excess: Positive = 0.25
    threshold: tuple[Positive, Positive] = (8.0, 32.0)
    prior: Literal["gaussian", "laplace"] = "gaussian"
    tokens: Literal["bound", "three"] = "bound"
    width: Count = 32
    heads: Count = 2
    layers: Count = 2
    steps: Annotated[int, Field(ge=2)] = 1000
    batch: Count = 64
    rate: Positive = 3e-3
    clip: Annotated[float, Field(gt=0)] = 1.0
    records: Annotated[int, Field(ge=2)] = 8
    readout: Count = 512
    rule_dimension: Count = 8
    rule_shots: Annotated[int, Field(ge=2)] = 16
    rule_sizes: Annotated[tuple[Count, ...], Field(min_length=2)] = (2, 32, 1024)
    draws: Annotated[int, Field(ge=8)] = 512
    priors: Annotated[int, Field(ge=0)] = 0


SCALES = {
    "pocket": RegressionContextSettings(),
    "middle": RegressionContextSettings(
        dimension=8,
        shots=16,
        seeds=1,
        sizes=(2, 32, 512, 8192),
        few=2,
        middle=512,
        excess=0.15,
        threshold=(32.0, 4096.0),
        tokens="three",
        width=64,
        layers=4,
        steps=50_000,
        batch=128,
        rate=1e-3,
        records=20,
        priors=128,
    ),
    "paper": RegressionContextSettings(
        dimension=8,
        shots=16,
        seeds=1,
        sizes=(2, 2**5, 2**10, 2**13, 2**14, 2**15, 2**17, 2**20),
        few=2,
        middle=2**15,
        matters=0.02,
        excess=0.05,
        threshold=(2.0**13, 2.0**16),
        tokens="three",
        width=128,
        layers=8,
        steps=500_000,
        batch=256,
        rate=1e-3,
        clip=1e9,
        records=40,
        readout=4096,
        priors=128,
    ),
}
