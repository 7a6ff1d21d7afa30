"""Wrong labels: the phases of a trained network, and the numbers that its phases fix.

Letters: ``xi`` the fraction of the training labels that are drawn again, uniformly over p classes; 1/p stay right.
Doshi et al. 2023, arXiv:2310.13061.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from phasescope.theory.domains import array, checked, together, whole
from phasescope.vocabulary import Array

__all__ = [
    "HIGH_ACCURACY",
    "PHASES",
    "corruption_phase",
    "full_inversion_accuracy",
    "has_partial_inversion",
    "zero_function_loss",
]

PHASES = ("coexistence", "partial inversion", "full inversion", "memorization", "forgetting", "confusion")
HIGH_ACCURACY = 0.9
SLACK = 0.05
accuracies = array(low=0, high=1 + 1e-6, nan=True)  # NaN after divergence; a mean may round past 1
shares = array(low=0, high=1)


@checked(train=accuracies, test=accuracies, corruption=shares, best_test=accuracies)
def corruption_phase(train: Any, test: Any, corruption: Any, best_test: Any) -> Array:
    """Return the index in ``PHASES`` of the phase that networks ended in, by Table 2 of Doshi et al. 2023 (App. C).

    ``train`` and ``test`` accuracies at the end, ``corruption`` xi, and ``best_test`` the largest test accuracy on the
    way, numbers or arrays that broadcast; the result is int64. With test >= 90 %: *coexistence* for train >= 90 %, else
    *partial inversion* for train >= 1.05 - xi, else *full inversion*. With test < 90 %: *memorization* for train >=
    90 %, else *forgetting* where the test accuracy had been 90 % once, else *confusion*. Every network has one phase:
    where the table's rows overlap (xi < 0.15) the first one counts, and accuracies that are NaN, as after divergence,
    are no high ones. Raises ``BadInput`` for xi outside [0, 1].

    >>> [PHASES[i] for i in corruption_phase([0.98, 0.79, 0.65], [0.98, 1.0, 1.0], 0.35, 1.0)]
    ['coexistence', 'partial inversion', 'full inversion']
    """
    together(train=train, test=test, corruption=corruption, best_test=best_test)
    xi, best = corruption, best_test
    memorizes = train >= HIGH_ACCURACY
    understands = np.select([memorizes, train >= 1 + SLACK - xi], [0, 1], 2)
    does_not = np.select([memorizes, best >= HIGH_ACCURACY], [3, 4], 5)
    return np.asarray(np.where(test >= HIGH_ACCURACY, understands, does_not), dtype=np.int64)


@checked(corruption=shares, p=whole(2))
def full_inversion_accuracy(corruption: Any, p: int) -> Array:
    """Return the training accuracy of a network that answers every training sample with the truth.

    It is 1 - xi (1 - 1/p): of the labels drawn again, 1/p are right by accident (Doshi et al. 2023, Secs. 1.1 and 2,
    who write 1 - xi). Raises ``BadInput`` for xi outside [0, 1] and p < 2.
    """
    return (1 - np.asarray(corruption)) + np.asarray(corruption) * zero_function_loss(p)


@checked(p=whole(2))
def zero_function_loss(p: int) -> float:
    """Return the mean squared error of the function 0 on one-hot labels of p classes: 1/p, whatever the labels.

    To this a network falls whose weights have decayed away (the forgetting phase; Doshi et al. 2023, App. E).
    """
    return 1.0 / p


@checked(corruption=shares)
def has_partial_inversion(corruption: Any) -> Array:
    """Return where the phase of partial inversion can exist: 1.05 - xi < 0.9, xi > 0.15 (from Table 2)."""
    return np.asarray(1 + SLACK - corruption < HIGH_ACCURACY)
