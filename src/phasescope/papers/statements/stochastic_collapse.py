"""Gradient noise that vanishes on an invariant set, and draws training into it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.instruments.neuron_independence import independent_neurons
from phasescope.papers.statement import Compared, at_least, at_most, exactly, near, statement
from phasescope.theory.stochastic_collapse import collapse_threshold, quartic_mean_absolute, quartic_mean_square
from phasescope.verdict import Source
from phasescope.vocabulary import Array

CHEN = "Chen, Kunin, Yamamura and Ganguli 2023, arXiv:2306.04251"


def walked(mu: float, zeta: float, *, time: float = 20.0, step: float = 0.01, walkers: int = 2000) -> Array:
    """Return where ``walkers`` of dx = (mu x - x^3) dt + zeta x dB are, by plain Euler steps from 1."""
    x, generator = np.ones(walkers), streams(1)("noise")
    for _ in range(round(time / step)):
        x += (mu * x - x**3) * step + zeta * x * math.sqrt(step) * generator.standard_normal(walkers)
    return x


@statement(
    "002-05",
    "Noise draws a process into x = 0, though the loss has a maximum there, once zeta^2 exceeds twice the curvature",
    Source(
        paper=f"{CHEN}, the one-dimensional example with a quartic loss",
        derived="theory.stochastic_collapse: collapse_threshold, quartic_mean_square, quartic_mean_absolute",
        tolerance="three standard errors of 2,000 walkers, and the Euler steps",
    ),
)
def quartic() -> Iterator[Compared]:
    """mu = 1: below the threshold the stationary moments, above it what is left."""
    yield near("zeta at the threshold, mu = 1", collapse_threshold(1.0), math.sqrt(2), 1e-12)
    x = walked(1.0, 0.7)
    yield near("zeta = 0.7: mean of x^2", np.square(x).mean(), quartic_mean_square(1.0, 0.7), 0.04)
    yield near("zeta = 0.7: mean of |x|", abs(x).mean(), quartic_mean_absolute(1.0, 0.7), 0.04)
    yield at_most("zeta = 2: median of |x|", np.median(abs(walked(1.0, 2.0))), 1e-6)
    yield at_least("zeta = 1.2: median of |x|", np.median(abs(walked(1.0, 1.2))), 0.05)


@statement(
    "002-05",
    "Neurons that vanish or become equal leave a smaller network, whose independent neurons can be counted",
    Source(
        paper=f"{CHEN}, Figs. 3, 4 and 6",
        ours="a layer with planted groups",
        tolerance="none: a count",
    ),
)
def planted_neurons() -> Iterator[Compared]:
    """Twelve neurons: five different ones, three copies of one of them, and four that have vanished."""
    incoming, outgoing = (streams(1)(name).standard_normal((5, 20)) for name in ("incoming", "outgoing"))
    chosen = [0, 1, 2, 3, 4, 2, 2, 2]
    vanished = np.zeros((4, 20))
    into, out = (np.concatenate([part[chosen], vanished]) for part in (incoming, outgoing))
    yield exactly("independent neurons of twelve", independent_neurons(into, out.T), 5)
