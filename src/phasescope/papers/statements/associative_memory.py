"""Memories as probabilistic models."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, near, statement
from phasescope.theory.associative_memory import (
    hopfield_update,
    memory_drift,
    memory_energy,
    mixture_log_likelihood,
    sphere_mixture,
)
from phasescope.theory.memory_creation import expected_memories, seating
from phasescope.verdict import Source
from phasescope.vocabulary import Array

SCHAEFFER = "Schaeffer et al. 2024, arXiv:2402.10202"


@statement(
    "000-06",
    "A clustering memory's energy is minus the log likelihood of a Gaussian mixture: falling in it climbs that",
    Source(paper=f"{SCHAEFFER}, on the memory of Saha et al. 2023", tolerance="rounding, and the step of differences"),
)
def energy_is_likelihood() -> Iterator[Compared]:
    """100 states, 7 memories in 5 dimensions, beta = 2."""
    generators, beta = streams(1), 2.0
    states, memories = generators("states").standard_normal((100, 5)), generators("memories").standard_normal((7, 5))
    sum_ = beta * memory_energy(states, memories, beta) + mixture_log_likelihood(states, memories, beta)
    yield near("spread over states of beta E + log p", np.ptp(sum_), 0.0, 1e-9)
    step = 1e-5 * np.eye(5)
    slope = (
        mixture_log_likelihood((states[:, None] + step).reshape(-1, 5), memories, beta)
        - mixture_log_likelihood((states[:, None] - step).reshape(-1, 5), memories, beta)
    ).reshape(-1, 5) / 2e-5
    drift = memory_drift(states, memories, beta)
    yield near("largest difference of grad log p and 2 beta drift", abs(slope - 2 * beta * drift).max(), 0.0, 1e-6)


@statement(
    "000-06",
    "Attention behind normalization weighs keys as a mixture of von Mises-Fisher densities has responsibilities",
    Source(paper=f"{SCHAEFFER}, on attention and normalization", tolerance="rounding"),
)
def attention_is_posterior() -> Iterator[Compared]:
    """Responsibilities by Bayes' rule from the mixture's own parts, beside a softmax of query and keys."""
    generators = streams(1)
    keys, shift = generators("keys").standard_normal((6, 4)), generators("shift").standard_normal(4)
    unit = generators("queries").standard_normal((50, 4))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    gain = 1.7
    mixture = sphere_mixture(keys, gain, shift)
    logits = mixture.log_weights + mixture.concentrations * (unit @ mixture.directions.T)
    scores = (gain * unit + shift) @ keys.T
    difference = softmax(logits) - softmax(scores)
    yield near("largest difference of a weight", abs(difference).max(), 0.0, 1e-9)
    values = hopfield_update(gain * unit + shift, keys, 1.0) - softmax(scores) @ keys
    yield near("largest difference of the modern Hopfield update", abs(values).max(), 0.0, 1e-9)


def softmax(logits: Array) -> Array:
    """Return exp(logits) over its sum along the last axis."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    found: Array = weights / weights.sum(-1, keepdims=True)
    return found


@statement(
    "000-06",
    "Memories made as needed, by a Chinese restaurant process, grow in number as the logarithm of the data",
    Source(
        paper=f"{SCHAEFFER}, the Chinese restaurant process as a prior of memories",
        derived="sum of alpha / (alpha + i), theory.memory_creation.expected_memories",
        tolerance="three standard errors of 150 seatings",
    ),
)
def memories_made() -> Iterator[Compared]:
    """Points seated one by one by the process's own probabilities, alpha = 2."""
    tables = np.zeros((150, 2))
    for run in range(150):
        generator, counts = streams(run)("seats"), np.zeros(0)
        for point in range(120):
            seat = int(generator.choice(len(counts) + 1, p=seating(counts, 2.0)))
            counts = np.append(counts, 0.0) if seat == len(counts) else counts
            counts[seat] += 1
            if point + 1 in (30, 120):
                tables[run, int(point + 1 == 120)] = len(counts)
    for at, points in enumerate((30, 120)):
        error = 3 * tables[:, at].std() / np.sqrt(150)
        yield near(f"memories of {points} points", tables[:, at].mean(), expected_memories(2.0, points), error)
