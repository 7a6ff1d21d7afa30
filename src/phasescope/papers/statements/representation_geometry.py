"""What directions of hidden states mean: positions, contexts, concepts, circles, dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, at_most, exactly, near, statement
from phasescope.representation import (
    anova,
    causal_cosine,
    circular,
    encode,
    irreducible,
    isotropy,
    layers_of,
    linear_concept,
)
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


@statement(
    "003-061",
    "Growing alterations of the input move a smooth representation in constant steps, and others in uneven ones",
    Source(
        paper="van der Merwe et al. 2022, arXiv:2205.07477, abstract: distance moved, and its relative change",
        derived="a linear layer moves by |W v| at each step; past saturation nothing moves",
        tolerance="rounding; the saturated layer is far from its bound",
        checked=True,
    ),
)
def steps_of_alterations() -> Iterator[Compared]:
    """Twelve equal steps of one white noise on 200 inputs: a linear layer, and a saturating one behind it."""
    linear = nn.Linear(10, 16)
    module = nn.Sequential(linear, nn.Tanh()).double()
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(drawn("weights of steps", 16, 10)))
        linear.bias.zero_()
    points, noise = drawn("inputs of steps", 200, 10) / 4, drawn("alterations", 200, 10) / 4
    places = ["0", "1"]
    read = [dict(layers_of(module, torch.from_numpy(points + t * noise), places=places)) for t in range(13)]
    for place, name in (("0", "linear"), ("1", "saturating")):
        moved = np.array([np.linalg.norm(b[place] - a[place], axis=1) for a, b in pairwise(read)])
        change = np.abs(np.diff(moved, axis=0)) / moved[:-1]
        if place == "0":
            yield near(f"{name}: mean relative change from step to step", change.mean(), 0, 1e-12)
            exact = np.linalg.norm(noise @ drawn("weights of steps", 16, 10).T, axis=1)
            yield near(f"{name}: mean step over |W v|", (moved / exact).mean(), 1, 1e-12)
        else:
            yield at_least(f"{name}: mean relative change from step to step", change.mean(), 0.1)
            yield at_most(f"{name}: last step over the first", (moved[-1] / moved[0]).mean(), 0.5)


@statement(
    "003-081",
    "A tree lies in a subspace much smaller than the representation, which a linear probe finds again",
    Source(
        paper="Hernandez Lopez et al. 2022, arXiv:2206.11719, abstract: a syntactic subspace, of much lower dimension",
        ours="positions of a tree's nodes, whose squared distances are paths along the tree; six of them planted in 64",
        tolerance="held-out nodes; the scatter of 255 of them",
        checked=True,
    ),
)
def subspace_of_a_tree() -> Iterator[Compared]:
    """A binary tree of 255 nodes, of whose axes the first six are planted among 58 directions of noise, and a rest."""
    above = [[node] for node in range(255)]
    for path in above:
        while path[-1]:
            path.append((path[-1] - 1) // 2)
    # edges of unequal lengths: of equal ones, axes come in groups whose basis is another on each machine
    length = 1 + 0.3 * np.abs(drawn("lengths of edges", 255)).clip(0, 2)
    steps = np.array([[length[list(set(a) ^ set(b))].sum() for b in above] for a in above])
    middle = np.eye(255) - 1 / 255
    values, vectors = np.linalg.eigh(-middle @ steps @ middle / 2)
    axes = (vectors * np.sqrt(values.clip(0)))[:, ::-1][:, :9]
    axes = axes / axes.std(0)
    frame = np.linalg.qr(drawn("frame of the tree", 64, 64))[0]
    states = np.concatenate([axes[:, :6], drawn("noise about the tree", 255, 58)], 1) @ frame
    found = encode(states, axes, draws=0).data.r.values[0]
    yield at_least("least r of the six planted axes", found[:6].min(), 0.95)
    yield at_most("largest r of the three that are not there", np.abs(found[6:]).max(), 0.35)
    yield exactly("axes above one half", (found > 0.5).sum(), 6)
    control = encode(states, drawn("labels without a tree", 255, 9), draws=0).data.r.values[0]
    yield at_most("largest r of labels without a tree", np.abs(control).max(), 0.35)


@statement(
    "003-201",
    "The difference of means detects a concept among many that share the dimensions",
    Source(
        paper="Wu et al. 2025, arXiv:2501.17148, abstract: for concept detection difference-in-means is among the best",
        ours="128 planted concepts in 64 dimensions, each there with a chance of 0.05; without a sparse autoencoder",
        tolerance="registered in the catalogue before it was computed: above 0.95",
        checked=True,
    ),
)
def detection_by_means() -> Iterator[Compared]:
    """Area under the curve on 2,000 held-out states, of the found direction and of random ones."""
    concepts = drawn("superposed", 128, 64)
    concepts = concepts / np.linalg.norm(concepts, axis=1, keepdims=True)
    there = streams(1)("there").random((6000, 128)) < 0.05
    strengths = there * streams(1)("strengths").uniform(2, 3, (6000, 128))
    states = strengths @ concepts + 0.05 * drawn("rest of states", 6000, 64)
    areas, random = [], []
    for k in range(8):
        yes, no = states[:4000][there[:4000, k]], states[:4000][~there[:4000, k]]
        found = linear_concept(no[: len(yes)], yes, states[:4000], draws=2)
        areas.append(area(states[4000:] @ found.steering, there[4000:, k]))
        random.append(area(states[4000:] @ drawn("random", 8, 64)[k], there[4000:, k]))
    yield at_least("least area, direction of the means in the causal product", min(areas), 0.95)
    yield near("mean area, random directions", np.mean(random), 0.5, 0.1)


def area(scores: Array, positive: Array) -> float:
    """Return the area under the curve: how often a positive (N,) scores above one that is not."""
    ranks = np.argsort(np.argsort(scores)) + 1.0
    count = positive.sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(scores) - count)))
