"""The claims of the study ``grokking-time``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

import math
from collections.abc import Sequence

from phasescope.lab.measures import Measured, at, at_least, at_most, between, value
from phasescope.studies.grokking_time.scores import gain, in_order, off, told
from phasescope.studies.grokking_time.settings import (
    BOTH,
    COORDINATES,
    CURVE,
    LINEAR,
    MEAN,
    MEMORIZED,
    MODULUS,
    READINGS,
    TREES,
    TWIN,
    GrokkingTimeSettings,
)
from phasescope.verdict import Claim, Control, Source

ASKED = "asked before a network was trained"
UNIT, SKILL = (0.0, 1.0), (-math.inf, 1.0)
NETWORKS = at("networks")


def claims(s: GrokkingTimeSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_told(s), *_beyond(s), *_elsewhere(s), *_boundary(s))


def _told(s: GrokkingTimeSettings) -> Sequence[Claim]:
    first = f"the first {s.early:.0%} of the budget"
    return (
        Claim("whether-told",
            f"Whether a network groks within the budget is told by readings of {first} in cells that were held out "
            "(balanced accuracy)",
            Source(ours=ASKED, tolerance="ours: three errors in twenty"),
            told(READINGS, LINEAR)(NETWORKS), at_least(0.85),
            Control("the step of memorization alone", told(MEMORIZED, LINEAR)(NETWORKS)), range=UNIT),
        Claim("when-told",
            f"When it does is told by readings of {first} in cells that were held out (share of the variance of the "
            "logarithm of the step)",
            Source(ours=ASKED, tolerance="ours: half of the variance"),
            gain(READINGS, LINEAR, MEAN)(NETWORKS), at_least(0.5),
            Control("the step of memorization alone", gain(MEMORIZED, LINEAR, MEAN)(NETWORKS)), range=SKILL),
    )  # fmt: skip


def _beyond(s: GrokkingTimeSettings) -> Sequence[Claim]:
    twin = "coordinates and the readings of another network of the same cell"
    return (
        Claim("more-than-the-cell",
            "Early readings of a network tell when it groks beyond the coordinates of its cell: they take a tenth or "
            "more of the squared error that the better of two models leaves from these",
            Source(ours=ASKED, tolerance="ours: the smallest gain that matters"),
            gain(BOTH, TREES, COORDINATES)(NETWORKS), at_least(0.1),
            Control(twin, gain(TWIN, TREES, COORDINATES)(NETWORKS)), range=SKILL),
        Claim("twins-in-order",
            "Of two networks of one cell, which differ in their first weights and rows alone, the one that groks first "
            "is told (share of pairs)",
            Source(ours=ASKED, tolerance="ours: three pairs in five"),
            in_order(BOTH, TREES)(NETWORKS), at_least(0.6),
            Control("by the step of memorization alone", in_order(MEMORIZED, LINEAR)(NETWORKS)), range=UNIT),
        Claim("more-than-the-test-curve",
            "Readings of weights and training rows tell no less than test accuracy and test loss of the same steps do, "
            "both beside coordinates (share of the squared error that the better model leaves from the latter)",
            Source(ours=ASKED, tolerance="ours: none, the sign is asked"),
            gain(BOTH, TREES, CURVE)(NETWORKS), at_least(0.0),
            Control(twin, gain(TWIN, TREES, CURVE)(NETWORKS)), range=SKILL),
    )  # fmt: skip


def _elsewhere(s: GrokkingTimeSettings) -> Sequence[Claim]:
    return (
        Claim("other-moduli",
            "The times of a modulus none of whose networks was fitted are told by coordinates and readings (share of "
            "the variance)",
            Source(ours=ASKED, tolerance="ours: half of the variance"),
            gain(BOTH, LINEAR, MEAN, MODULUS)(NETWORKS), at_least(0.5),
            Control("coordinates alone", gain(COORDINATES, LINEAR, MEAN, MODULUS)(NETWORKS)), range=SKILL),
        Claim("calibrated",
            "Chances to grok are shares: from coordinates and readings they differ by a twentieth or less in cells "
            "that were held out",
            Source(ours=ASKED, tolerance="ours: a twentieth; ten bins of some thirty networks differ by accident too"),
            off(BOTH, LINEAR)(NETWORKS), at_most(0.05),
            Control("in moduli that were held out", off(BOTH, LINEAR, MODULUS)(NETWORKS)), range=UNIT),
    )  # fmt: skip


def _boundary(s: GrokkingTimeSettings) -> Sequence[Claim]:
    def exponent(term: str) -> tuple[Measured, Control]:
        law, memorized = value("law", term=term), value("memorization", how=term)
        return law(NETWORKS), Control("the step of memorization, by the same terms", memorized(NETWORKS))

    lowest, highest = min(s.moduli), max(s.moduli)
    (by_p, no_p), (by_decay, no_decay), (by_noise, no_noise) = map(exponent, ("modulus", "decay", "corruption"))
    return (
        Claim("boundary-by-modulus",
            f"The critical fraction falls with the modulus from {lowest} to {highest} as a power between -1 and -0.4",
            Source(ours="asked: log p / p, of a sample of each residue, falls as -0.66 in the middle of the pocket's "
                "moduli", tolerance="ours: no constant, and no constant number of samples for each row"),
            by_p, between(-1.0, -0.4), no_p),
        Claim("boundary-by-decay",
            "The critical fraction falls with weight decay, as a power of -0.03 or less",
            Source(ours=ASKED, tolerance="ours: a factor of ten takes a fourteenth of the data"),
            by_decay, at_most(-0.03), no_decay),
        Claim("boundary-by-corruption",
            "Each hundredth of wrong labels raises the critical fraction by one hundredth or more (difference of "
            "logarithms per unit of corruption)",
            Source(ours="asked: 1 is what it takes to keep the number of right labels",
                tolerance="ours: as many right labels as without wrong ones"),
            by_noise, at_least(1.0), no_noise),
    )  # fmt: skip
