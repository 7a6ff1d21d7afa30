"""What one reads where nothing was learnt: chance, the majority class, and the participation ratio of noise."""

from __future__ import annotations

import numpy as np

from phasescope.theory.domains import a_law, checked, whole
from phasescope.vocabulary import BadInput, Law


@checked(law=a_law)
def chance_level(law: Law) -> float:
    """Return the accuracy of a uniform guess, 1/p."""
    return 1.0 / law.modulus


@checked(law=a_law)
def majority_share(law: Law) -> float:
    """Return the accuracy of always answering the most frequent label of the whole table.

    Unlearnable functions with uneven label counts are to be compared with this, not with 1/p.
    """
    labels = law.table[law.table >= 0]
    if not labels.size:
        raise BadInput("the table of the law has no labels: every input is without an answer.")
    return float(np.bincount(labels, minlength=law.modulus).max() / labels.size)


@checked(p=whole(3))
def random_participation(p: int) -> float:
    """Return the inverse participation ratio of Gaussian noise, about 4 / (p + 1).

    For ``rfft`` magnitudes with DC and r = 2: (p - 1)/2 complex bins of mean power 1 and mean squared power 2, so the
    ratio tends to 2 / ((p + 1) / 2). Measured 0.0404 at p = 97 and 0.158 at p = 23. Raises ``BadInput`` below p = 3.
    """
    return 4.0 / (p + 1)


def pure_participation() -> float:
    """Return the inverse participation ratio of a single cosine with ``rfft`` magnitudes: 1."""
    return 1.0
