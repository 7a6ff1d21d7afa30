"""The experiments of ``asymmetric-margin``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.asymmetric_margin.settings import AsymmetricSettings
from phasescope.studies.asymmetric_margin.training import (
    MODELS,
    measure_balls,
    measure_cascade,
    measure_collapse,
    measure_descent,
    measure_scaling,
)
from phasescope.vocabulary import Grid


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
            over({"model": tuple(MODELS), "rates": ("own", "homogeneous")}),
            (
                Quantity("scaling", "1", "arXiv:2210.03820, quasi-homogeneity"),
                Quantity("euler", "1", "Euler's identity"),
            ),
            kind="identity",
        ),
        "balls": Simulation(
            "gradient flow between two balls",
            measure_balls,
            over({"powers": ("1 1", "1 2"), "transverse": s.centres}),
            (*where, *falls),
            {**ball, **path, "points": s.points},
        ),
        "both_products": Simulation(
            "gradient flow between two balls, of a product in both coordinates",
            measure_balls,
            over({"transverse": (s.centre(0.99),)}),
            (*where, *falls),
            {**ball, **path, "points": s.points, "powers": "2 2"},
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
            (*where, Quantity("drift", "1", "change of u^2 - v^2"), Quantity("balance", "1", "drift over |theta|^2")),
            {**ball, "transverse": 0.625 * s.radius, "points": s.descent_points, "time": s.descent_time},
        ),
        "collapse": _collapse(s, "networks with a final norm, and without", ("layer", "none"), s.collapse_steps),
        "untrained": _collapse(s, "untrained networks", ("layer", "none"), 0),
    }


def _collapse(s: AsymmetricSettings, title: str, norms: Sequence[str], steps: int) -> Simulation:
    names = ("nc1", "cosine", "cosine_spread", "length_spread", "duality", "accuracy")
    ratio = Quantity("variance_ratio", "1", "tr(S_W) / tr(S_B), beside NC1; ours")
    quantities = (*(Quantity(name, "1", "Papyan, Han and Donoho 2020") for name in names), ratio)
    fixed = {"classes": s.classes, "samples": s.samples, "width": s.width, "rate": s.collapse_rate, "steps": steps}
    kind = "trained" if steps else "simulation"
    return Simulation(title, measure_collapse, Grid({"norm": norms}, seeds=s.seeds), quantities, fixed, kind=kind)
