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
    FRACTION,
    LINEAR,
    MEAN,
    MEMORIZED,
    MODULUS,
    READINGS,
    TWIN,
    GrokkingTimeSettings,
)
from phasescope.verdict import Claim, Control, Source

ASKED = "asked before a network was trained"
PILOT = "seeds 0 to 2 of this study, docs/studies/grokking-time.md"
UNIT, SKILL, REAL = (0.0, 1.0), (-math.inf, 1.0), (-math.inf, math.inf)
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
            Control("the fraction of the table alone", told(FRACTION, LINEAR)(NETWORKS)), range=UNIT),
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
            gain(BOTH, LINEAR, COORDINATES)(NETWORKS), at_least(0.1),
            Control(twin, gain(TWIN, LINEAR, COORDINATES)(NETWORKS)), range=SKILL),
        Claim("twins-in-order",
            "Of two networks of one cell, which differ in their first weights and rows alone, the one that groks first "
            "is told by coordinates and readings (share of pairs)",
            Source(ours=ASKED, tolerance="ours: eleven pairs in twenty"),
            in_order(BOTH, LINEAR)(NETWORKS), at_least(0.55),
            Control("by the step of memorization alone", in_order(MEMORIZED, LINEAR)(NETWORKS)), range=UNIT),
        Claim("test-curve-orders-twins",
            "and by test accuracy and test loss of the same steps, which ask for test rows (share of pairs)",
            Source(pilot=PILOT, value="0.64, 0.77, 0.65", tolerance="ours: three pairs in five"),
            in_order(CURVE, LINEAR)(NETWORKS), at_least(0.6),
            Control("by the step of memorization alone", in_order(MEMORIZED, LINEAR)(NETWORKS)), range=UNIT),
    )  # fmt: skip


def _elsewhere(s: GrokkingTimeSettings) -> Sequence[Claim]:
    return (
        Claim("other-moduli",
            "In a modulus none of whose networks was fitted, readings take a tenth or more of the squared error that "
            "the better of two models leaves from coordinates",
            Source(ours=ASKED, tolerance="ours: the smallest gain that matters"),
            gain(BOTH, LINEAR, COORDINATES, MODULUS)(NETWORKS), at_least(0.1),
            Control("in cells that were held out, of moduli that were fitted",
                gain(BOTH, LINEAR, COORDINATES)(NETWORKS)), range=SKILL),
        Claim("more-than-the-test-curve",
            "There readings of weights and training rows take a tenth or more of what test accuracy and test loss of "
            "the same steps leave, both beside coordinates",
            Source(ours=ASKED, tolerance="ours: the smallest gain that matters"),
            gain(BOTH, LINEAR, CURVE, MODULUS)(NETWORKS), at_least(0.1),
            Control("in cells that were held out, of moduli that were fitted", gain(BOTH, LINEAR, CURVE)(NETWORKS)),
            range=SKILL),
        Claim("calibrated",
            "Chances to grok are shares: from coordinates and readings they differ by a twentieth or less, in moduli "
            "that were held out",
            Source(ours=ASKED, tolerance="ours: a twentieth; ten bins of some thirty networks differ by accident too"),
            off(BOTH, LINEAR, MODULUS)(NETWORKS), at_most(0.05),
            Control("from the fraction of the table alone", off(FRACTION, LINEAR, MODULUS)(NETWORKS)), range=UNIT),
    )  # fmt: skip


def _boundary(s: GrokkingTimeSettings) -> Sequence[Claim]:
    def exponent(term: str) -> tuple[Measured, Control]:
        law, memorized = value("law", term=term), value("memorization", how=term)
        return law(NETWORKS), Control("the step of memorization, by the same terms", memorized(NETWORKS))

    lowest, highest = min(s.moduli), max(s.moduli)
    (by_p, no_p), (by_decay, no_decay), (by_noise, no_noise) = map(exponent, ("modulus", "decay", "corruption"))
    return (
        Claim("boundary-by-modulus",
            f"The critical fraction falls with the modulus from {lowest} to {highest} as a power between -1.1 and "
            "-0.7: more steeply than log p / p, which falls as -0.66 at p = 20",
            Source(pilot=PILOT, value="-0.90, -0.89, -0.87", tolerance="ours: half of the way to log p / p"),
            by_p, between(-1.1, -0.7), no_p, range=REAL),
        Claim("boundary-by-decay",
            "The critical fraction falls with weight decay, as a power of -0.05 or less",
            Source(pilot=PILOT, value="-0.12, -0.12, -0.14",
                tolerance="ours: a factor of ten takes a tenth of the data"),
            by_decay, at_most(-0.05), no_decay, range=REAL),
        Claim("boundary-by-corruption",
            "Each hundredth of wrong labels raises the critical fraction by two hundredths or more (difference of "
            "logarithms per unit of corruption); one would keep the number of right labels",
            Source(pilot=PILOT, value="2.7, 3.0, 3.0", tolerance="ours: twice what keeps the number of right labels"),
            by_noise, at_least(2.0), no_noise, range=REAL),
    )  # fmt: skip
