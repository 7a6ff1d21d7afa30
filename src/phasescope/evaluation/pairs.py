"""Two models on the same items: their difference, its interval, and how many items a difference needs.

Of right and wrong answers only the items count on which the two disagree, m of n. Who is right there is a coin with
P(first) = q, and the difference of the accuracies is d = p (2 q - 1) with p the probability of a disagreement. Whether
they differ is McNemar's question, q = 1/2, answered exactly (McNemar 1947, Psychometrika 12:153). The interval is made
of Clopper's and Pearson's for q, given m, and for p: each end errs in 2.5 % at most, whatever p and q are, of which
q is given 2.25 % and p 0.25 %. So it leaves 0 out where the exact test rejects at 4.5 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from phasescope.checks import number, whole
from phasescope.evaluation.metrics import scored
from phasescope.verdict.intervals import interval
from phasescope.vocabulary import Array, BadInput

TAIL, SPENT = 0.025, 0.9  # of an end of the interval; of it, for who wins
POWER = 0.8
MOST = 10**7  # items


@dataclass(frozen=True)
class Paired:
    """``difference`` = score of the first less that of the second, mean over ``n`` items, with its 95 % interval.

    ``only_first`` and ``only_second`` items are right for one alone (NaN where scores are no right and wrong),
    ``p_value`` is that of McNemar's exact test, and ``method`` names the interval.
    """

    difference: float
    low: float
    high: float
    n: int
    only_first: float = math.nan
    only_second: float = math.nan
    p_value: float = math.nan
    method: str = ""

    @property
    def differs(self) -> bool:
        """Whether 0 is outside of the interval."""
        return self.low > 0 or self.high < 0

    def needed(self, difference: float, power: float = POWER) -> float:
        """Return how many items this test needs to see ``difference`` with ``power``, if disagreements stay as often.

        NaN where scores are no right and wrong; inf beyond ten million. Raises ``BadInput`` outside (0, 1].
        """
        if math.isnan(self.only_first):
            return math.nan
        return items_needed(difference, (self.only_first + self.only_second) / self.n, power)

    def words(
        self, first: str = "the first", second: str = "the second", ask: float = 0.05, more: str = "is above"
    ) -> str:
        """Say what was found, and how many items a difference of ``ask`` needs; ``more`` is what a larger score is."""
        said = f"{self.difference:+.3f} [{self.low:+.3f}, {self.high:+.3f}] over {self.n} items"
        if self.differs:
            ahead, behind = (first, second) if self.difference > 0 else (second, first)
            said = f"{ahead} {more} {behind}: {said}"
        else:
            said = f"{first} and {second} are not told apart: {said}"
        needed = self.needed(ask)
        if math.isnan(needed):
            return said
        many = f"more than {MOST:,}" if math.isinf(needed) else f"{int(needed):,}"
        enough = ", and there are enough" if needed <= self.n else ""
        split = int(self.only_first + self.only_second)
        asked = f"To see {ask:.2f} with a power of {POWER:g}, {many} items are needed{enough}"
        return f"{said}; they disagree on {split}. {asked}"


def paired(first: Array, second: Array) -> Paired:
    """Return the comparison of scores ``first`` and ``second`` (n,) on the same items, each in [0, 1].

    Right and wrong (1 and 0) are compared as above. Of other scores, such as means over draws, the interval of the
    mean difference is that of betting (arXiv:2010.09686), which holds for every distribution. Raises ``BadInput`` for
    scores outside [0, 1], for none, and for different numbers of items.
    """
    a, b = scored("the first scores", first), scored("the second scores", second)
    if len(a) != len(b):
        raise BadInput(f"there are {len(a)} and {len(b)} scores: give those of the same items, in the same order.")
    n, d = len(a), a - b
    if not (np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all()):
        low, high = interval(d, "mean", 1 - 2 * TAIL, (-1.0, 1.0))
        return Paired(float(d.mean()), low, high, n, method="betting, holds for every distribution")
    one, two = int((d > 0).sum()), int((d < 0).sum())
    low, high = _bounds(one, two, n)
    p_value = 1.0 if one + two == 0 else float(stats.binomtest(one, one + two).pvalue)
    return Paired(float(d.mean()), low, high, n, one, two, p_value, "exact, of disagreements and who wins them")


def _bounds(one: int, two: int, n: int) -> tuple[float, float]:
    """Return the interval of the difference where ``one`` and ``two`` of ``n`` items are right for one model alone."""
    return -_upper(two, one, n), _upper(one, two, n)


def _upper(one: int, two: int, n: int) -> float:
    """Return the upper end of p (2 q - 1): both at their upper ends, or p at its lower one where q < 1/2."""
    m = one + two
    wins = 1.0 if two == 0 else float(special.betaincinv(one + 1, two, 1 - SPENT * TAIL))
    left = (1 - SPENT) * TAIL
    if wins >= 0.5:
        often = 1.0 if m == n else float(special.betaincinv(m + 1, n - m, 1 - left))
    else:
        often = float(special.betaincinv(m, n - m + 1, left))
    return often * (2 * wins - 1)


def power_of(n: int, difference: float, disagree: float) -> float:
    """Return with which probability ``n`` items show a ``difference`` of accuracies, in its own direction.

    ``disagree`` is the share of items on which the two disagree, at least the difference. The test is that of
    ``paired``: the difference is seen where the interval leaves 0 out on its side. Exact, but for numbers of
    disagreements that are less likely than 1e-9. Raises ``BadInput`` as ``items_needed`` does.
    """
    n = whole(1, 10**9)("n", n)
    difference, disagree = number(0, 1, open_low=True)("difference", difference), number(0, 1)("disagree", disagree)
    p, q = max(disagree, difference), 0.5 * (1 + difference / max(disagree, difference))
    m = np.arange(int(stats.binom.ppf(5e-10, n, p)), int(stats.binom.ppf(1 - 5e-10, n, p)) + 1)
    # the least number of wins at which the lower end of q, Clopper and Pearson's, is above 1/2
    least = stats.binom.isf(SPENT * TAIL, m, 0.5) + 1
    return float((stats.binom.pmf(m, n, p) * stats.binom.sf(least - 1, m, q)).sum())


def items_needed(difference: float, disagree: float, power: float = POWER) -> float:
    """Return the least number of items, but for the teeth of a discrete test, at which ``power_of`` is ``power``.

    Raises ``BadInput`` for a difference outside (0, 1], a share of disagreements outside [0, 1] or a power outside
    (0, 1). inf beyond ten million items.

    >>> int(items_needed(0.05, 0.1))
    341
    """
    difference = number(0, 1, open_low=True)("difference", difference)
    disagree = number(0, 1)("disagree", disagree)
    power = number(0, 1, open_low=True, open_high=True)("power", power)
    low, high = 1, 8
    while power_of(high, difference, disagree) < power:
        low, high = high, 2 * high
        if high > MOST:
            return math.inf
    while high - low > max(1, low // 500):
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle, difference, disagree) >= power else (middle, high)
    return float(high)


def paired_passages(bits: Array, sizes: Array, other_bits: Array, other_sizes: Array) -> Paired:
    """Return the comparison of bits per byte on the same passages: sums of ``bits`` over sums of ``sizes``, each (n,).

    The interval is Student's over passages, of a ratio of sums to first order: it holds nearly, for many passages.
    """
    n = len(bits)
    off = np.zeros(n)
    difference = 0.0
    for sign, some, size in ((1, bits, sizes), (-1, other_bits, other_sizes)):
        ratio = float(some.sum() / size.sum())
        difference += sign * ratio
        off = off + sign * (some - ratio * size) / float(size.mean())
    half = math.nan
    if n > 1:
        half = float(special.stdtrit(n - 1, 1 - TAIL)) * math.sqrt(float((off**2).sum()) / (n * (n - 1)))
    return Paired(difference, difference - half, difference + half, n, method="Student's t over passages, approximate")
