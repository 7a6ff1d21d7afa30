"""Every instrument of the house that can be watched as it stands, without arguments."""

from __future__ import annotations

from phasescope.instruments import corruption, curvature, fourier, logits, neuron_independence, norms, twins
from phasescope.vocabulary import Instrument

_HOMES = (logits, corruption, curvature, fourier, norms, twins, neuron_independence)

ALL: tuple[Instrument, ...] = tuple(
    value for home in _HOMES for name in home.__all__ if isinstance(value := getattr(home, name), Instrument)
)
