"""Parts of a network that say nothing new."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.instruments.neuron_independence import neuron_groups, neuron_vectors
from phasescope.papers.statement import Compared, exactly, statement
from phasescope.verdict import Source


@statement(
    "004-012",
    "Neurons that are synchronized, or dead, are degrees of freedom that a network does not use, and are counted",
    Source(
        paper="Bushnaq et al. 2024, arXiv:2405.10927, degeneracies of a network",
        ours="planted copies: the count is known",
        tolerance="none: a count",
    ),
)
def planted_copies() -> Iterator[Compared]:
    """Thirty neurons: 20 different ones, 6 copies of three of them, and 4 that are dead."""
    incoming, outgoing = (streams(1)(name).standard_normal((20, 15)) for name in ("incoming", "outgoing"))
    copied = [*range(20), 0, 0, 1, 1, 2, 2]
    into, out = (np.concatenate([part[copied], np.zeros((4, 15))]) for part in (incoming, outgoing))
    groups = neuron_groups(neuron_vectors(into, out.T))
    yield exactly("groups of equal neurons", groups.max() + 1, 20)
    yield exactly("dead neurons", (groups == -1).sum(), 4)
    yield exactly("neurons in groups of several", sum(int(n) for n in groups[groups >= 0].bincount() if n > 1), 9)
