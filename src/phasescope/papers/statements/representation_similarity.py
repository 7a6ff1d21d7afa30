"""How alike two representations of the same stimuli are, and what unrelated ones read."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, exactly, near, statement
from phasescope.representation import (
    canonical_correlations,
    compare,
    dimension,
    isotropy,
    relative_codes,
    shape_distance,
    stitch,
)
from phasescope.verdict import Source
from phasescope.vocabulary import Array


def cloud(name: str, rows: int, dimensions: int, draw: int = 1) -> Array:
    """Return white noise (rows, dimensions)."""
    return streams(draw)(name).standard_normal((rows, dimensions))


def rotation(dimensions: int) -> Array:
    """Return a random rotation (dimensions, dimensions)."""
    frame: Array = np.linalg.qr(cloud("rotation", dimensions, dimensions))[0]
    return frame


@statement(
    "003-182",
    "Canonical correlations see subspaces alone: 1 after any invertible map, small where nothing is shared",
    Source(
        paper="Raghu et al. 2017, SVCCA, on invariance to affine maps",
        derived="mean square max(D, E) / (N - 1), and Wachter's edge, for unrelated white noise",
        tolerance="the scatter of one draw; the edge is approached from below",
    ),
)
def correlations_of_subspaces() -> Iterator[Compared]:
    """50 and 100 dimensions of 1,000 stimuli."""
    one, other = cloud("one", 1000, 50), cloud("other", 1000, 100)
    mapped = one @ cloud("map", 50, 50) + 3
    yield near("smallest correlation after an invertible map", canonical_correlations(one, mapped).min(), 1, 1e-9)
    squares = canonical_correlations(one, other).square()
    yield near("unrelated: mean square", squares.mean(), 100 / 999, 0.005)
    c, e = 0.05, 0.1
    edge = c + e - 2 * c * e + 2 * math.sqrt(c * e * (1 - c) * (1 - e))
    yield near("unrelated: largest square, Wachter's edge", squares.max(), edge, 0.03)


@statement(
    "003-062",
    "With few samples unrelated populations read as alike by the plug-in shape distance, the more the more neurons",
    Source(
        paper="Pospisil et al. 2023, on the bias of the plug-in estimator",
        derived="cosine 8 / (3 pi) sqrt(D / N) of unrelated white noise, from the quarter-circle law",
        tolerance="the next order in D / N",
    ),
)
def bias_of_shapes() -> Iterator[Compared]:
    """The cosine of the angle between unrelated clouds, by stimuli and neurons; and that of one cloud, turned."""
    for stimuli, neurons in ((500, 50), (2000, 50), (2000, 20)):
        found = math.cos(shape_distance(cloud("one", stimuli, neurons), cloud("other", stimuli, neurons)))
        expected = 8 / (3 * math.pi) * math.sqrt(neurons / stimuli)
        yield near(f"unrelated, {stimuli} stimuli of {neurons} neurons", found, expected, 0.05 * expected + 0.003)
    same = cloud("one", 500, 50)
    yield near(
        "distance of a cloud and itself, turned and scaled", shape_distance(same, 2 * same @ rotation(50)), 0, 1e-6
    )


@statement(
    "003-112",
    "Cosines to common anchors are the same in spaces that differ by rotation and scale, so that a readout serves both",
    Source(
        paper="Moschella et al. 2023, arXiv:2209.15430, on relative representations",
        ours="ten planted classes; a second space that is the first, turned and scaled",
        tolerance="rounding",
    ),
)
def relative_spaces() -> Iterator[Compared]:
    """Y = 3 X Q: codes, retrieval, and a readout fitted on X and used on Y."""
    labels = np.arange(600) % 10
    x = cloud("points", 600, 30) + 2 * cloud("means", 10, 30)[labels]
    y = 3 * x @ rotation(30)
    codes = [relative_codes(points[40:], points[:40]) for points in (x, y)]
    yield near("largest difference of a code", (codes[0] - codes[1]).abs().max(), 0, 1e-12)
    products = codes[0] / codes[0].norm(dim=1, keepdim=True) @ (codes[1] / codes[1].norm(dim=1, keepdim=True)).T
    found = (products.argmax(1).numpy() == np.arange(560)).mean()
    yield exactly("share of stimuli that find themselves in the other space", found, 1)
    stitched = stitch(x, y, labels)
    yield exactly("accuracy of the readout there less that on its own space", stitched.stitched - stitched.own, 0)
    yield near("accuracy of the readout on its own space", stitched.own, 1, 0.02)


@statement(
    "003-062",
    "Freed of its bias, the similarity of shapes of unrelated populations is 0",
    Source(
        paper="Pospisil et al. 2023, on the need of a correction",
        ours="the null over orders of the stimuli is taken off, which is not the paper's estimator of moments",
        tolerance="0.05, as large as its spread",
    ),
)
def corrected_shapes() -> Iterator[Compared]:
    """Unrelated clouds of 50 neurons, 500 stimuli; and a cloud with itself, turned."""
    one, other = cloud("one", 500, 50), cloud("other", 500, 50)
    for name, second, expected in (("unrelated", other, 0), ("the same, turned", 2 * one @ rotation(50), 1)):
        found = compare(one, second, measures=["procrustes"], draws=20).data
        yield near(f"corrected cosine, {name}", found.corrected.item(), expected, 0.05)


@statement(
    "003-162",
    "Codes by several distances have several invariances: cosines and Euclidean ones to rotations, others to orders",
    Source(
        paper="Cannistraci et al. 2024, arXiv:2310.01211, abstract: a product of invariances",
        derived="a rotation keeps angles and lengths; an order of coordinates keeps all p-norms",
        tolerance="rounding",
        checked=True,
    ),
)
def products_of_invariances() -> Iterator[Compared]:
    """Codes of 200 points by 30 anchors in 10 dimensions, before and after a rotation and an order of the axes."""
    points, turned = cloud("points", 200, 10), cloud("points", 200, 10) @ rotation(10)
    ordered = points[:, np.arange(10)[::-1]]
    for distance in ("cosine", "euclidean", "l1", "linf"):
        codes, after, again = (relative_codes(x, x[:30], distance) for x in (points, turned, ordered))
        change = float((after - codes).abs().max())
        if distance in ("cosine", "euclidean"):
            yield near(f"{distance}: largest change by a rotation", change, 0, 1e-12)
        else:
            yield at_least(f"{distance}: largest change by a rotation", change, 0.1)
        yield near(f"{distance}: largest change by an order of the axes", (again - codes).abs().max(), 0, 1e-12)


@statement(
    "003-177",
    "Probabilistic models that differ in one number are a curve, however many predictions they make",
    Source(
        paper="Ramesh et al. 2022, arXiv:2210.17011, abstract: a manifold of effectively low dimension",
        derived="k numbers make k dimensions; of roots of probabilities, whose products are Bhattacharyya's",
        tolerance="0.15 for one number, 0.3 for two: the estimators' errors at 1,000 models, and edges",
        checked=True,
    ),
)
def models_of_few_numbers() -> Iterator[Compared]:
    """Logistic models on 50 inputs, along one line of their weights and in a plane of them."""
    inputs, first, second = cloud("inputs of models", 50, 10), *cloud("weights of models", 2, 10)
    for numbers, within in ((1, 0.15), (2, 0.3)):
        at = streams(1)("models", numbers).uniform(-1, 1, (1000, numbers))
        chance = 1 / (1 + np.exp(-(at @ np.stack([first, second])[:numbers]) @ inputs.T / 2))
        models = np.concatenate([np.sqrt(chance), np.sqrt(1 - chance)], 1)
        for estimator in ("twonn", "mle"):
            found = dimension(models, estimator).value
            yield near(f"{numbers} in 100 probabilities: {estimator}", found, numbers, within)
        if numbers == 1:
            yield at_least("share of the first axis", isotropy(models)["top_share"].value, 0.9)
            order = np.argsort(at[:, 0])
            axis = np.linalg.svd(models - models.mean(0), full_matrices=False)[0][order, 0]
            yield exactly("the first axis has the models in order", abs(np.sign(np.diff(axis)).sum()) == 999, 1)
