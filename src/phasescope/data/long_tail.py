"""What an example seen once is worth: errors of those who learn rare kinds by heart, and of those who do not."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from phasescope.checks import array, whole
from phasescope.vocabulary import BadInput


class LongTail(NamedTuple):
    """What ``long_tail`` returns: expected test errors, shares from 0 to 1/2.

    ``unseen`` is the error that no learner avoids, on kinds that were not drawn. ``singletons`` is what is added where
    kinds that were drawn once are guessed, ``once`` the expected share of test examples that are of such kinds.
    """

    unseen: float
    singletons: float
    once: float


def long_tail(frequencies: Any, rows: int) -> LongTail:
    """Return what is lost where kinds that were drawn once are not learnt by heart (Feldman 2020, arXiv:1906.05271).

    ``frequencies`` (K,): of kinds of examples, each with one label of two that nothing else tells; they are scaled to a
    sum of 1. ``rows`` training examples are drawn. The kinds not drawn cost sum_k p_k (1 - p_k)^n / 2; guessing those
    drawn once costs sum_k p_k n p_k (1 - p_k)^(n - 1) / 2 more. Raises ``BadInput`` for frequencies below 0 or all 0.

    >>> found = long_tail([0.5, 0.5], 1)
    >>> found.unseen, found.singletons
    (0.25, 0.25)
    """
    p, n = array(1, low=0)("frequencies", frequencies), whole(1, 10**12)("rows", rows)
    if not p.sum() > 0:
        raise BadInput("frequencies are all 0: give how often each kind of examples is drawn.")
    p = p / p.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.where(p < 1, np.log1p(-np.minimum(p, 1)), -np.inf)
        none, before = np.exp(n * log), np.exp((n - 1) * log) if n > 1 else np.ones_like(p)
    once = float((p * n * p * before).sum())
    return LongTail(float((p * none).sum() / 2), once / 2, once)
