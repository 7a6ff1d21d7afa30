"""The claims of ``attention-clusters``: each beside the nearest thing else that could do it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, between, value
from phasescope.studies.attention_clusters.settings import SHOWN, ClusterSettings
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

THEORY = "Geshkovski et al. 2024 (arXiv:2312.10794), on clusters at late times and before"
PAPER = "Schaeffer et al. 2024 (arXiv:2402.10202), abstract"
MATTERS = "the smallest effect that matters"
SIZE, FRACTION, DIFFERENCE = (0.0, math.inf), (0.0, 1.0), (-1.0, 1.0)


def claims(s: ClusterSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_flow(s), *_learnt(s))


def _flow(s: ClusterSettings) -> Sequence[Claim]:
    start, early, middle, end = (round(part * s.layers) for part in (SHOWN[0], SHOWN[1], SHOWN[3], SHOWN[5]))
    warm, cool = s.betas[0], s.betas[-2]
    left = value("clusters", layer=end)

    @partial(Measure, words="least factor of the clusters left, from each beta to the next")
    def factor(*cells: xr.Dataset) -> Array:
        counts = np.array([cell.clusters.sel(layer=end).values for cell in cells])
        return np.asarray((counts[1:] / counts[:-1]).min(0))

    def colder(dynamics: str) -> Measured:
        return factor(*(at("flow", beta=beta, dynamics=dynamics) for beta in s.betas))

    moved, walked = at("flow", beta=cool, dynamics="attention"), at("flow", beta=cool, dynamics="walk")
    return (
        Claim("one-cluster",
            f"Normalization and attention at beta = {warm:g} bring {s.tokens} tokens into one cluster in {end} layers",
            Source(paper=THEORY, value="one cluster for d >= 3", tolerance="none: a count"),
            left(at("flow", beta=warm, dynamics="attention")), between(1, 1),
            Control("the directions of tokens that are not normalized", at("flow", beta=warm, dynamics="unnormalized")),
            unit="clusters", range=(1.0, float(s.tokens))),
        Claim("clusters-form",
            f"At beta = {cool:g} half of the clusters or fewer are left after {end} layers (fraction)",
            Source(paper=f"{PAPER}: normalization before attention clusters tokens", checked=True,
                ours="half", tolerance=MATTERS),
            (left / value("clusters", layer=start))(moved), at_most(0.5),
            Control("tokens that go as far along the sphere, each in a random direction", walked), range=SIZE),
        Claim("colder-more",
            "The larger beta, the more clusters are left: each fourfold beta leaves more (the least factor)",
            Source(paper=THEORY, ours="a factor of 1.5", tolerance=MATTERS),
            colder("attention"), at_least(1.5),
            Control("attention to values that are other tokens'", colder("shuffled")), range=SIZE),
        Claim("clusters-last",
            f"At beta = {cool:g} clusters last: of those at layer {middle} most are left at layer {end} (fraction)",
            Source(paper=THEORY, ours="most are 0.6", tolerance=MATTERS),
            (left / value("clusters", layer=middle))(moved), at_least(0.6),
            Control(f"from layer {early} to layer {middle}, as many times more",
                (value("clusters", layer=middle) / value("clusters", layer=early))(moved)), range=SIZE),
    )  # fmt: skip


def _learnt(s: ClusterSettings) -> Sequence[Claim]:
    normed, none = at("learnt", norm="pre"), at("learnt", norm="none")

    def rise(fraction: str) -> Measure:
        return value(fraction, given=s.length) - value(fraction, given=1)

    return (
        Claim("adapts-in-context",
            f"In {s.dimension} dimensions, with frozen weights, {s.length} points of context rather than 1 raise the "
            "fraction of held-out points with less energy than a point of another mixture",
            Source(paper=f"{PAPER}: energies that adapt to their context", checked=True, ours="0.1",
                tolerance=MATTERS),
            rise("adapted")(normed), at_least(0.1),
            Control("contexts drawn from a third mixture", rise("mismatched")), range=DIFFERENCE),
        Claim("energy-of-a-memory",
            f"In {s.dimension} dimensions the learnt energies are ordered as those of a memory that stores the context "
            "(rank correlation)",
            Source(paper=f"{PAPER}: energies of memories are likelihoods", checked=True,
                pilot="3 seeds: 0.64 to 0.69, and 0.21 to 0.32 with the memory of another context",
                tolerance="halfway between"),
            value("likeness")(normed), at_least(0.5),
            Control("a memory that stores another mixture's context", value("likeness_other")), range=DIFFERENCE),
        Claim("attention-assigns",
            "Behind normalization, trained attention goes to points of a token's own component more than by their "
            "share (best head's excess)",
            Source(paper=f"{PAPER}: normalization before attention clusters tokens", checked=True,
                ours="0.1 of the weight", tolerance=MATTERS),
            value("own")(normed), at_least(0.1),
            Control("the same networks before training", value("own_untrained")), range=DIFFERENCE),
        Claim("normalization-assigns",
            "With normalization trained attention goes to points of the own component more than without (difference)",
            Source(paper=f"{PAPER}: normalization before attention clusters tokens", checked=True,
                ours="0.05 of the weight", tolerance=MATTERS),
            (value("own")(normed) - value("own")(none)), at_least(0.05),
            Control("the same difference before training",
                value("own_untrained")(normed) - value("own_untrained")(none)), range=DIFFERENCE),
    )  # fmt: skip
