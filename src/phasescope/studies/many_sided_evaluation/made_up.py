"""Pairs of made-up models, whose true difference is known: does the interval hold it, and are the items enough?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from phasescope.evaluation import Paired, items_needed, paired
from phasescope.vocabulary import Generators, Member

FEW, RARE = 50, 0.04  # items, and the share of them on which the first model alone is right
BASE = 0.7  # accuracy of the better model
Z = 1.959964


def compared(one: int, two: int, n: int) -> Paired:
    """Return the comparison of ``n`` answers, of which ``one`` and ``two`` are right for one model alone."""
    first, second = np.zeros(n), np.zeros(n)
    first[:one], second[one : one + two] = 1, 1
    return paired(first, second)


def pairs(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Draw comparisons: with few disagreements, and with as many items as a difference is said to need."""
    draws, d, p = int(member["comparisons"]), float(member["difference"]), float(member["disagree"])
    covered = wald = 0
    for one, two, _ in generators("few").multinomial(FEW, [RARE, 0.0, 1 - RARE], size=draws):
        found = compared(int(one), int(two), FEW)
        covered += found.low <= RARE <= found.high
        error = math.sqrt(max(one / FEW - (one / FEW) ** 2, 0) / FEW)
        wald += abs(one / FEW - RARE) <= Z * error
    n, seen, apart = int(items_needed(d, p)), 0, 0
    cells = [(p + d) / 2, (p - d) / 2, BASE - (p + d) / 2, 1 - BASE - (p - d) / 2]
    for one, two, both, _ in generators("needed").multinomial(n, cells, size=draws):
        seen += compared(int(one), int(two), n).low > 0
        a, b = (one + both) / n, (two + both) / n
        apart += a - b > Z * math.sqrt((a * (1 - a) + b * (1 - b)) / n)
    return {"covered": covered / draws, "covered_wald": wald / draws, "seen": seen / draws, "seen_apart": apart / draws}
