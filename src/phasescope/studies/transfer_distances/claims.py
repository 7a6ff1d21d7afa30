"""The claims of the study ``transfer-distances``: what overlap tells beyond distances, and distances beyond overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, at, at_least, at_most, by_seed, rank_correlation, value
from phasescope.studies.transfer_distances.settings import DISTANCES, RANDOM, RENAMED, DistanceSettings
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

PAPER = "Tahir et al. 2024, arXiv:2410.08194, Sec. 3"
HARDLY = "a tenth of the variance of ranks"
SIGNED = (-1.0, 1.0)
Read = Callable[[xr.Dataset], Array]


def claims(s: DistanceSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*(claim for depth in s.depths for claim in _deep(depth)), *_real())


def gain(one: xr.Dataset, way: str) -> Array:
    """Return the logarithm (pairs,) of the risk of beginning anew over that after a source."""
    return np.asarray(np.log(one.anew.values / one[way].values))


def overlap_tells(way: str) -> Measure:
    """Return how a gain goes with the overlap beyond all three distances."""

    @partial(by_seed, words=f"rank correlation of overlap and gain ({way}), given all distances")
    def read(one: xr.Dataset) -> float:
        return rank_correlation(one.overlap.values, gain(one, way), list(one.distance.values))

    return read


def distances_tell(way: str, *, given: bool = True) -> Measure:
    """Return how a gain goes with the distance that tells most, beyond the overlap if ``given``: larger is nearer."""
    words = f"largest rank correlation of nearness and gain ({way})" + ", given the overlap" * given

    @partial(by_seed, words=words)
    def read(one: xr.Dataset) -> float:
        known = [one.overlap.values] if given else []
        found = [rank_correlation(-one.distance.sel(measure=name).values, gain(one, way), known) for name in DISTANCES]
        return float(np.max(found))

    return read


def _deep(depth: int) -> Sequence[Claim]:
    cell = at("deep", depth=depth)
    where = f"In deep linear networks of {depth} layers"
    return tuple(
        claim
        for way, what in (("probe", "a probe on the source's feature"), ("tuned", "fine-tuning"))
        for claim in (
            Claim(f"overlap-tells-{way}-{depth}",
                f"{where} the overlap of features tells what {what} gains, beyond KL, TV and MMD (rank correlation)",
                Source(paper=f"{PAPER}: transfer depends on the overlap of the feature space", ours="0.3",
                    tolerance=HARDLY),
                overlap_tells(way)(cell), at_least(0.3),
                Control("the distance that tells most, beyond overlap", distances_tell(way)), range=SIGNED),
            Claim(f"distances-tell-little-{way}-{depth}",
                f"{where} no distance of the three tells what {what} gains, beyond overlap (the largest rank "
                "correlation)",
                Source(paper=f"{PAPER}: no distance between distributions tells it", ours="0.3", tolerance=HARDLY),
                distances_tell(way)(cell), at_most(0.3),
                Control("the same distances where overlap is not held", distances_tell(way, given=False)),
                range=SIGNED),
        )
    )  # fmt: skip


def over_sources(name: str, *, nearer: bool = False) -> Measure:
    """Return the rank correlation over sources of a reading, or of its negative if ``nearer``, with the gain."""

    @partial(by_seed, words=f"rank correlation of {'less ' * nearer}{name} and gain over six sources")
    def read(one: xr.Dataset) -> float:
        values = one[name].values
        return rank_correlation(-values if nearer else values, one.gain.values)

    return read


def apart(name: str) -> Measure:
    """Return a reading of the source whose classes are renamed less that of the one with random labels."""

    @partial(Measure, words=f"{name}, {RENAMED} less {RANDOM}")
    def read(cell: xr.Dataset) -> xr.DataArray:
        found: xr.DataArray = cell[name].sel(source=RENAMED, drop=True) - cell[name].sel(source=RANDOM, drop=True)
        return found

    return read


def _real() -> Sequence[Claim]:
    digits = at("digits")
    return (
        Claim("renamed-is-farther",
            "The same digits by other names are farther from the target than with random labels (squared MMD)",
            Source(derived="images.mmd: labels that never agree are farther than labels that agree in one of five",
                tolerance="none: a sign"),
            apart("distance")(digits), at_least(0.0),
            Control("as overlap has it: less overlap is farther", -apart("overlap"))),
        Claim("renamed-helps-more",
            "And they help more, by 0.02 of accuracy or more",
            Source(paper=f"{PAPER}: tasks may be far and share their features", ours="0.02",
                tolerance="the smallest difference that matters"),
            apart("gain")(digits), at_least(0.02),
            Control("the images alone: random labels on them, less beginning anew", value("gain", source=RANDOM)),
            range=SIGNED),
        Claim("real-overlap-tells",
            "Over six sources the overlap of features orders what they are worth (rank correlation)",
            Source(paper=f"{PAPER}; Sec. 4: nonlinear networks behave alike", ours="0.5",
                tolerance="a quarter of the variance of ranks"),
            over_sources("overlap")(digits), at_least(0.5),
            Control("nearness by MMD", over_sources("distance", nearer=True)), range=SIGNED),
    )  # fmt: skip
