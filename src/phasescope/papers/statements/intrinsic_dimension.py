"""Neighbourhoods and dimensions of clouds of points."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from phasescope.ensemble import streams
from phasescope.instruments.similarity import neighbour_overlap
from phasescope.papers.statement import Compared, at_least, exactly, near, statement
from phasescope.representation import dimension, label_sharpness, profile
from phasescope.verdict import Source


@statement(
    "003-113",
    "Neighbourhood overlap is 1 between a cloud and itself, and k / (N - 1) between unrelated clouds",
    Source(
        paper="Viswanathan et al. 2025, arXiv:2501.10573, neighbourhood overlap",
        derived="the chance that a neighbour is one of k among N - 1",
        tolerance="three standard errors of 800 points",
    ),
)
def overlaps() -> Iterator[Compared]:
    """Clouds of 800 tokens in 20 dimensions, ten neighbours."""
    one, other = (streams(1)(name).standard_normal((800, 20)) for name in ("one", "other"))
    frame, _ = np.linalg.qr(streams(1)("frame").standard_normal((20, 20)))
    yield near("a cloud and itself, turned and scaled", neighbour_overlap(one, 3 * one @ frame).mean(), 1, 1e-12)
    found = neighbour_overlap(one, other)
    yield near("two unrelated clouds", found.mean(), 10 / 799, 3 * float(found.std()) / np.sqrt(800))


@statement(
    "003-079",
    "Intrinsic dimension by generalized ratios of distances finds the layer at which a representation is widest",
    Source(
        paper="Cheng et al. 2025, arXiv:2405.15471, abstract: a phase of high intrinsic dimension",
        ours="planted layers of 3, 5, 9, 5 and 3 dimensions in 30, bent",
        tolerance="a place; calibrated dimensions to a tenth and three standard errors",
        checked=True,
    ),
)
def widest_layer() -> Iterator[Compared]:
    """``ps.profile`` of five clouds of 700 points, of two seeds."""
    planted = (3, 5, 9, 5, 3)
    for draw in (1, 2):
        rows = [streams(draw)("layer", i).standard_normal((700, width)) for i, width in enumerate(planted)]
        frames = [streams(draw)("map", i).standard_normal((width, 30)) for i, width in enumerate(planted)]
        clouds = {str(i): np.tanh(0.1 * x @ frame) for i, (x, frame) in enumerate(zip(rows, frames, strict=True))}
        found = profile(clouds).data
        yield exactly(f"place of the highest dimension by GRIDE, seed {draw}", found.gride.values.argmax(), 2)
        known, error = float(found.gride_calibrated[2]), float(found.gride_calibrated_error[2])
        yield near(f"calibrated dimension there, seed {draw}", known, 9, 0.9 + 3 * error)


@statement(
    "003-079",
    "The two nearest neighbours tell the dimension of spheres, and fall short of high ones",
    Source(
        paper="Facco et al. 2017, Sci. Rep. 7, 12140, whose estimator the paper generalizes",
        pilot="another implementation read 1.93, 4.98, 9.44 and 17.0 of 2,000 points, seeds unknown",
        tolerance="three standard errors of each",
    ),
)
def spheres() -> Iterator[Compared]:
    """Spheres of 2, 5, 10 and 20 dimensions, 2,000 points."""
    for d, expected in ((2, 1.93), (5, 4.98), (10, 9.44), (20, 17.0)):
        points = streams(1)("sphere", d).standard_normal((2000, d + 1))
        found = dimension(points / np.linalg.norm(points, axis=1, keepdims=True), "twonn")
        yield near(f"TwoNN of a sphere of {d} dimensions", found.value, expected, 3 * 2**0.5 * found.error)


@statement(
    "003-026",
    "Label sharpness is the steepness of the labels: twice as fast labels are twice as sharp",
    Source(
        paper="Konz and Mazurowski 2024, arXiv:2401.08865, Sec. 3.2",
        derived="the Lipschitz constant of sin(w x) is |w|, and is approached from below",
        tolerance="5 % of the ratio: what 800 points leave open",
    ),
)
def sharpness() -> Iterator[Compared]:
    """Labels sin(w x) on 800 points in 3 dimensions, w and 2 w."""
    points = streams(1)("points").uniform(-1, 1, (800, 3))
    along = points @ [2.0, 1.0, 0.0]
    one, two = label_sharpness(points, np.sin(along)), label_sharpness(points, np.sin(2 * along))
    yield near("sharpness over |w|", one.largest.value / 5**0.5, 0.975, 0.025)
    yield near("ratio at twice the frequency", two.largest.value / one.largest.value, 2, 0.1)
    yield at_least("shuffled labels over these", one.largest.null / one.largest.value, 5)


@statement(
    "003-034",
    "Intrinsic dimension rises with the code length of what is represented",
    Source(
        paper="Cheng, Kervadec and Baroni 2023, arXiv:2310.13620, abstract",
        ours="normal latents, whose code length at a given resolution is proportional to their number",
        tolerance="the order of five clouds",
        checked=True,
    ),
)
def code_length() -> Iterator[Compared]:
    """2, 4, 8, 16 and 32 latents, observed in 64 dimensions: the order by three estimators."""
    clouds = [
        streams(1)("latents", d).standard_normal((600, d)) @ streams(1)("map", d).standard_normal((d, 64))
        for d in (2, 4, 8, 16, 32)
    ]
    for estimator in ("twonn", "gride", "mle"):
        read = [dimension(cloud, estimator).value for cloud in clouds]
        yield exactly(f"places out of order by {estimator}", sum(a >= b for a, b in pairwise(read)), 0)


@statement(
    "003-078",
    "Coupled factors lower the nonlinear dimension and leave the linear one as it is",
    Source(
        paper="Lee et al. 2025, arXiv:2410.01444, abstract: nonlinear and linear dimension part",
        ours="planted factors, in couples of which one is a function of the other",
        tolerance="15 % of the nonlinear dimension; the linear one may not fall",
        checked=True,
    ),
)
def coupled_factors() -> Iterator[Compared]:
    """Eight factors free; and four free ones, each with a second that is a curve over it."""
    free = streams(1)("free").uniform(-1, 1, (1000, 8))
    some = streams(1)("some").uniform(-1, 1, (1000, 4))
    coupled = np.hstack([some, np.sqrt(2 / 3) * np.cos(2 * np.pi * some)])
    frame = np.linalg.qr(streams(1)("frame").standard_normal((20, 8)))[0].T
    for name, factors, truth in (("free", free, 8), ("coupled", coupled, 4)):
        yield near(f"TwoNN, {name}", dimension(factors @ frame, "twonn").value, truth, 0.15 * truth)
    components = [dimension(factors @ frame, "pca90").value for factors in (free, coupled)]
    yield at_least("principal components, coupled less free", components[1] - components[0], 0)
