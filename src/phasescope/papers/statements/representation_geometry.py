"""What directions of hidden states mean: positions, contexts, concepts, circles, dictionaries."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, at_most, exactly, near, statement
from phasescope.representation import anova, causal_cosine, circular, irreducible, isotropy, linear_concept
from phasescope.verdict import Source
from phasescope.vocabulary import Array


def drawn(name: str, *shape: int) -> Array:
    """Return white noise."""
    found: Array = streams(1)(name).standard_normal(shape)
    return found


@statement(
    "003-069",
    "Hidden states are mean + position + context + residual, and the means of each find the parts",
    Source(
        paper="Song and Zhong 2023, arXiv:2310.04861, abstract",
        derived="the balanced analysis of variance: the parts are orthogonal",
        tolerance="rounding",
        checked=True,
    ),
)
def parts_of_states() -> Iterator[Compared]:
    """A planted tensor (30, 20, 16): a spiral of positions, contexts in two clusters, and a rest."""
    at = np.linspace(0, 4 * np.pi, 20)
    spiral = np.stack([np.cos(at), np.sin(at), at / 6], 1) @ drawn("spiral", 3, 16)
    clusters = drawn("clusters", 2, 16)[np.arange(30) % 2] + 0.3 * drawn("contexts", 30, 16)
    rest = drawn("rest", 30, 20, 16)
    rest = rest - rest.mean(0)
    planted = {
        "position": spiral - spiral.mean(0),
        "context": clusters - clusters.mean(0),
        "residual": rest - rest.mean(1, keepdims=True),
        "mean": drawn("mean", 16),
    }
    found = anova(planted["mean"] + planted["position"] + planted["context"][:, None] + planted["residual"])
    for name, part in planted.items():
        yield near(f"largest error of {name}", np.abs(getattr(found, name) - part).max(), 0, 1e-12)
    yield near("sum of the shares", sum(one.value for one in found.shares.values()), 1, 1e-12)
    yield exactly("rank of the positions", np.linalg.matrix_rank(found.position, tol=1e-9), 3)


@statement(
    "003-115",
    "Concepts that vary apart are orthogonal in the causal inner product, whatever map the space went through",
    Source(
        paper="Park et al. 2023, arXiv:2311.03658, on the inner product by the inverse covariance of the unembedding",
        derived="x' Cov(U)^-1 y does not change under one invertible map of x, y and U",
        tolerance="0.1 for 4,000 words in 64 dimensions",
    ),
)
def concepts_apart() -> Iterator[Compared]:
    """Eight planted directions, an invertible map with a condition of 40."""
    bend = np.diag(np.geomspace(1, 40, 64)) @ np.linalg.qr(drawn("turn", 64, 64))[0]
    words, axes = drawn("words", 4000, 64) @ bend, np.linalg.qr(drawn("axes", 64, 64))[0][:8] @ bend
    off = ~np.eye(8, dtype=bool)
    unit = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    yield at_most("largest causal cosine", np.abs(causal_cosine(axes, axes, words).numpy()[off]).max(), 0.1)
    yield at_least("largest Euclidean cosine", np.abs((unit @ unit.T)[off]).max(), 0.3)
    base = words[:60]
    concept = linear_concept(base, base + axes[0] + 0.3 * drawn("scatter", 60, 64) @ bend / 8, words, draws=50)
    yield at_least("direction from 60 pairs, causal cosine with the truth",
                   causal_cosine(concept.direction[None], axes[:1], words).item(), 0.95)  # fmt: skip
    yield at_least("mean cosine of a pair with the others", concept.causal.value, 0.9)
    steered = np.abs(axes[1:] @ concept.steering) / np.sqrt(
        (axes[1:] @ np.linalg.inv(np.cov(words.T)) * axes[1:]).sum(1)
    )
    yield near("what a step along the concept adds to its own logit", concept.direction @ concept.steering, 1, 1e-9)
    yield at_most("and to that of another concept", steered.max(), 0.2)


@statement(
    "003-159",
    "Days on a circle are one feature of two dimensions: a probe reads them, and no turn makes two features of them",
    Source(
        paper="Engels et al. 2024, arXiv:2405.14860, abstract: features that do not fall apart",
        ours="a planted circle; a pair of independent features; a mixture of a line and a cloud",
        tolerance="a factor of the index of shuffled coordinates",
        checked=True,
    ),
)
def days_on_a_circle() -> Iterator[Compared]:
    """1,000 points in 32 dimensions, noise of a twentieth."""
    phases = streams(1)("phases").uniform(0, 2 * np.pi, 1000)
    ring = np.stack([np.cos(phases), np.sin(phases)], 1)
    found = circular(ring @ drawn("map", 2, 32) + 0.05 * drawn("noise", 1000, 32), phases, draws=4)
    yield at_least("R2 of a probe on held-out points", found.r2.value, 0.99)
    index = found.irreducible.separability
    yield at_least("separability index over its null", index.value / index.null, 5)
    pair = irreducible(streams(1)("pair").uniform(-1, 1, (1000, 2)) @ np.linalg.qr(drawn("turn", 2, 2))[0])
    yield at_most("of two independent features", pair.separability.value / pair.separability.null, 1.3)
    line = np.where(np.arange(1000)[:, None] % 2 == 0, drawn("cloud", 1000, 2), np.outer(drawn("line", 1000), [1, 0.4]))
    yield at_least("mixture index where half of the points lie on a line", irreducible(line).mixture.value, 0.45)
    yield at_most("mixture index of the circle", found.irreducible.mixture.value, 0.3)


@statement(
    "003-045",
    "The eigenvalues of a dictionary that is even end at the edge of Marchenko and Pastur; a power law goes beyond it",
    Source(
        paper="Li et al. 2024, arXiv:2410.19750, abstract: the cloud of features is not isotropic, but a power law",
        derived="the edge (1 + sqrt(D / N))^2 of the mean eigenvalue",
        tolerance="5 %: fluctuations at the edge",
        checked=True,
    ),
)
def eigenvalues_of_dictionaries() -> Iterator[Compared]:
    """4,096 features in 64 dimensions, even, and with variances falling as 1 / rank."""
    edge = (1 + np.sqrt(64 / 4096)) ** 2
    even = drawn("dictionary", 4096, 64)
    found = 64 * isotropy(even)["top_share"].value
    yield near("largest eigenvalue over the mean, even", found, edge, 0.05 * edge)
    falling = 64 * isotropy(even / np.sqrt(np.arange(1, 65)))["top_share"].value
    exact = 64 / float((1 / np.arange(1, 65)).sum())
    yield near("with a power law", falling, exact, 0.05 * exact)
