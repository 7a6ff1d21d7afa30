"""One linear neuron, and how the balance of its two layers decides how it learns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.integrate import solve_ivp

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, near, statement
from phasescope.theory.rich_lazy import conserved_delta, split_function, tangent_kernel, whitened_flow
from phasescope.verdict import Source
from phasescope.vocabulary import Array

KUNIN = "Kunin et al. 2024, arXiv:2406.06158"
TARGET = np.array([1.0, -0.5, 0.25])


def flowed(a: float, w: Array, times: Array) -> tuple[Array, Array]:
    """Return a (T,) and w (T, D) by integrating gradient flow on |a w - TARGET|^2 / 2 itself, as a solver does it."""

    def slope(_: float, state: Array) -> Array:
        error = state[0] * state[1:] - TARGET
        return np.concatenate([[-(state[1:] @ error)], -state[0] * error])

    found = solve_ivp(slope, (0, times[-1]), [a, *w], t_eval=times, rtol=1e-10, atol=1e-12, method="DOP853")
    return found.y[0], found.y[1:].T


def start(delta: float) -> tuple[float, Array]:
    """Return a and w of one first function, of length 0.1, with a^2 - |w|^2 = ``delta``."""
    w = streams(1)("start").standard_normal(3)
    return split_function(0.1 * w / np.linalg.norm(w), delta)


@statement(
    "002-02",
    "Gradient flow of a linear neuron on whitened data has an exact solution from every balance of its layers",
    Source(
        paper=f"{KUNIN}, the exact solutions of the single neuron",
        derived="theory.rich_lazy.whitened_flow",
        tolerance="1e-6: the solver's",
    ),
)
def exact_flow() -> Iterator[Compared]:
    """Upstream, balanced and downstream starts: the closed form beside a solver of differential equations."""
    times = np.linspace(0, 6, 25)
    for delta in (2.0, 0.0, -2.0):
        a, w = start(delta)
        theory, solved = whitened_flow(times, a, w, TARGET), flowed(a, w, times)
        apart = max(abs(theory[0] - solved[0]).max(), abs(theory[1] - solved[1]).max())
        yield near(f"delta = {delta:g}: largest difference of a parameter", apart, 0, 1e-6)
        kept = conserved_delta(float(solved[0][-1]), solved[1][-1])
        yield near(f"delta = {delta:g}: a^2 - |w|^2 at the end", kept, delta, 1e-6)


def turned(delta: float) -> float:
    """Return how far the tangent kernel moves in training, one minus the cosine between its start and its end."""
    x = streams(1)("inputs").standard_normal((20, 3))
    a, w = start(delta)
    last = whitened_flow(np.array([0.0, 100.0 / (abs(delta) + 1)]), a, w, TARGET)
    first, end = tangent_kernel(x, a, w), tangent_kernel(x, float(last[0][-1]), last[1][-1])
    return float(1 - (first * end).sum() / np.linalg.norm(first) / np.linalg.norm(end))


@statement(
    "002-02",
    "Of starts with one first function, upstream ones are lazy, and balanced or downstream ones learn features",
    Source(
        paper=f"{KUNIN}, the influence of delta on the tangent kernel",
        ours="ten times as far, for delta = 20 beside 0 and -0.1",
        tolerance="the smallest factor that we would call a regime",
    ),
)
def regimes() -> Iterator[Compared]:
    """How far the tangent kernel turns."""
    lazy = turned(20.0)
    yield at_least("kernel movement, balanced over upstream", turned(0.0) / lazy, 10)
    yield at_least("kernel movement, slightly downstream over upstream", turned(-0.1) / lazy, 10)
