"""The asymmetric maximum margin bias. Kunin, Yamamura, Ma and Ganguli 2023, arXiv:2210.03820.

Networks whose parameters enter with different powers are quasi-homogeneous: f(x; e^(a Lambda) theta) = e^a f(x; theta).
On separable data gradient flow then makes only the parameters with the highest rate small. Two balls, one of whose
coordinates carries a product of two weights, show what that costs: the margin falls to nothing where the other
coordinate is about to be dropped. The closed form of the balls is derived here.

The gradient flow of the exponential loss is integrated; its time is counted so that the loss's size drops out, which
leaves its path as it is. A circle of points stands for each ball; by symmetry the second ball adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies._asymmetric_margin_claims import claims
from phasescope.studies._asymmetric_margin_figures import figures
from phasescope.studies._asymmetric_margin_training import (
    MODELS,
    measure_balls,
    measure_cascade,
    measure_collapse,
    measure_descent,
    measure_scaling,
)
from phasescope.studies._study import Paper, Study
from phasescope.vocabulary import Grid, Positive, Settings

Count = Annotated[int, Field(ge=1)]


class AsymmetricSettings(Settings):
    """Sizes of the study. ``transverse`` are the centres' second coordinates, ``radius`` times 0.375 and 0.99 added."""

    seeds: Count = 10
    parallel: Positive = 1.0
    radius: Positive = 0.8
    transverse: tuple[Positive, ...] = (0.1, 0.3, 0.5, 0.7, 0.79, 0.9, 1.1)
    points: Annotated[int, Field(ge=16)] = 2048
    size: Annotated[float, Field(ge=100, le=1e5)] = 2e4
    horizon: Positive = 1e6
    descent_points: Annotated[int, Field(ge=16)] = 256
    descent_time: Positive = 200.0
    descent_rate: Annotated[float, Field(gt=0, le=0.05)] = 0.02
    classes: Annotated[int, Field(ge=2, le=10)] = 4
    samples: Annotated[int, Field(ge=20)] = 200
    width: Count = 64
    collapse_steps: Annotated[int, Field(ge=1)] = 2000
    collapse_rate: Positive = 0.1

    @property
    def centres(self) -> tuple[float, ...]:
        """All second coordinates of the centres, in order."""
        asked = (*self.transverse, 0.375 * self.radius, 0.99 * self.radius)
        return tuple(sorted({round(float(t), 12) for t in asked}))


SCALES = {
    "pocket": AsymmetricSettings(),
    "paper": AsymmetricSettings(
        seeds=20,
        transverse=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.79, 0.81, 0.85, 0.9, 1.0, 1.1, 1.3),
        size=5e4,
        points=8192,
        descent_time=4000.0,
        samples=700,
        width=512,
        collapse_steps=20_000,
    ),
}


def experiments(s: AsymmetricSettings) -> dict[str, Simulation]:
    """Return the study's experiments by name: identities, flows and descents between balls, networks that collapse."""
    ball = {"parallel": s.parallel, "radius": s.radius}
    path = {"size": s.size, "horizon": s.horizon}
    where = (
        Quantity("direction", "1", "derived here", ("coordinate",), {"coordinate": ("parallel", "transverse")}),
        Quantity("margin", "1", "derived here"),
    )
    falls = (
        Quantity("fall", "1", "derived here, after Lyu and Li 2020"),
        Quantity("wrong_fall", "1", "control of fall"),
        Quantity("balance", "1", "conserved by gradient flow"),
    )

    def over(axes: dict[str, Sequence[Any]]) -> Grid:
        return Grid(axes, seeds=s.seeds)

    return {
        "scaling": Simulation(
            "identities of quasi-homogeneous networks",
            measure_scaling,
            over({"model": tuple(MODELS), "rates": ("own", "wrong")}),
            (
                Quantity("scaling", "1", "arXiv:2210.03820, quasi-homogeneity"),
                Quantity("euler", "1", "Euler's identity"),
            ),
        ),
        "balls": Simulation(
            "gradient flow between two balls",
            measure_balls,
            over({"powers": ("1 1", "1 2"), "transverse": s.centres}),
            (*where, *falls),
            {**ball, **path, "points": s.points},
        ),
        "cascade": Simulation(
            "a product of one, of two and of three weights",
            measure_cascade,
            over({"apart": (0.7, 1.1)}),
            (
                Quantity("first", "1", "|w| / |a b c|; derived here"),
                Quantity("second", "1", "|u v| / |a b c|; derived here"),
            ),
            {**path, "points": 500},
        ),
        "descent": Simulation(
            "normalized gradient descent between two balls",
            measure_descent,
            over({"rate": (s.descent_rate / 2, s.descent_rate)}),
            (*where, Quantity("drift", "1", "change of u^2 - v^2")),
            {**ball, "transverse": 0.625 * s.radius, "points": s.descent_points, "time": s.descent_time},
        ),
        "collapse": _collapse(s, "networks with a final norm, and without", ("layer", "none"), s.collapse_steps),
        "untrained": _collapse(s, "untrained networks", ("layer",), 0),
    }


def _collapse(s: AsymmetricSettings, title: str, norms: Sequence[str], steps: int) -> Simulation:
    names = ("variability", "cosine", "cosine_spread", "length_spread", "duality", "accuracy")
    quantities = tuple(Quantity(name, "1", "Papyan, Han and Donoho 2020") for name in names)
    fixed = {"classes": s.classes, "samples": s.samples, "width": s.width, "rate": s.collapse_rate, "steps": steps}
    return Simulation(title, measure_collapse, Grid({"norm": norms}, seeds=s.seeds), quantities, fixed)


STUDY = Study(
    name="asymmetric-margin",
    title="The asymmetric maximum margin bias",
    question="When parameters enter a network with different powers, which margin does gradient flow make large?",
    paper=Paper(
        authors="Daniel Kunin, Atsushi Yamamura, Chao Ma, Surya Ganguli",
        year=2023,
        title="The Asymmetric Maximum Margin Bias of Quasi-Homogeneous Neural Networks",
        link="https://arxiv.org/abs/2210.03820",
        bibtex=(
            "@inproceedings{kunin2023asymmetric,\n"
            "  title     = {The Asymmetric Maximum Margin Bias of Quasi-Homogeneous Neural Networks},\n"
            "  author    = {Kunin, Daniel and Yamamura, Atsushi and Ma, Chao and Ganguli, Surya},\n"
            "  booktitle = {International Conference on Learning Representations},\n  year      = {2023}\n}"
        ),
    ),
    scales=SCALES,
    experiments=experiments,
    claims=claims,
    figures=figures,
    notes=(
        "The closed form of the balls and the exponent of the normalized margin are derived here; the theorem's "
        "conditions are the paper's. Neural collapse is measured on four of scikit-learn's digits."
    ),
)
