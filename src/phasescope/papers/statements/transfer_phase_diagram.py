"""Learning a linear task anew, or on the features of another."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, near, statement
from phasescope.theory.linear_transfer import linear_transfer_risk, negative_transfer, scratch_risk_limit
from phasescope.verdict import Source

TAHIR = "Tahir, Ganguli and Rotskoff 2024, arXiv:2410.08194"
DIMENSION, NOISE, DRAWS = 200, 0.3, 30


def risks(gamma: float, angle: float) -> tuple[float, float]:
    """Return the mean risks of least squares from nothing and of a probe on the source's one feature, over draws."""
    samples = round(gamma * DIMENSION)
    target = np.zeros(DIMENSION)
    target[0] = 1.0
    source = np.zeros(DIMENSION)
    source[:2] = math.cos(angle), math.sin(angle)
    scratch, probe = [], []
    for draw in range(DRAWS):
        generators = streams(draw)
        x = generators("inputs").standard_normal((samples, DIMENSION))
        y = x @ target + NOISE * generators("noise").standard_normal(samples)
        scratch.append(np.square(np.linalg.lstsq(x, y, rcond=None)[0] - target).sum())
        feature = x @ source
        probe.append(np.square((feature @ y) / (feature @ feature) * source - target).sum())
    return float(np.mean(scratch)), float(np.mean(probe))


@statement(
    "002-01",
    "Whether features learnt on one task help another is a phase diagram of angle and data, with closed forms",
    Source(
        paper=f"{TAHIR}, Eqs. 8, 10 and 11",
        derived="theory.linear_transfer",
        tolerance="the scatter of 30 draws in 200 dimensions",
    ),
)
def risks_of_transfer() -> Iterator[Compared]:
    """Half as many and twice as many data as dimensions, a source at 45 degrees."""
    angle = math.pi / 4
    for gamma in (0.5, 2.0):
        scratch, probe = risks(gamma, angle)
        yield near(f"gamma = {gamma}: risk from nothing", scratch, scratch_risk_limit(gamma, NOISE), 0.05)
        theory = linear_transfer_risk(round(gamma * DIMENSION), angle, NOISE)
        yield near(f"gamma = {gamma}: risk of the probe", probe, theory, 0.03)


@statement(
    "002-01",
    "Transfer may be negative: from an unlike source, with enough data, a probe loses to learning anew",
    Source(
        paper=f"{TAHIR}, the boundary of negative transfer (zero of Eq. 11)",
        derived="theory.linear_transfer.negative_transfer",
        tolerance="0.04 in gamma: the scatter of 30 draws at the boundary",
    ),
)
def negative() -> Iterator[Compared]:
    """Where the measured difference of risks changes its sign, between gamma = 0.3 and 0.7, at 60 degrees."""
    angle = math.pi / 3
    low, _ = negative_transfer(angle, NOISE)[0]
    gammas = np.linspace(low - 0.12, low + 0.12, 7)
    wins = [scratch - probe for scratch, probe in (risks(float(gamma), angle) for gamma in gammas)]
    slope, start = np.polyfit(gammas, wins, 1)
    yield near("gamma at which a probe neither wins nor loses", -start / slope, low, 0.04)
