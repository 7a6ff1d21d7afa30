"""The figures of the study ``asymmetric-margin``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.figures import Axis, Curves, Figure, Histogram, Line
from phasescope.lab.readings import band
from phasescope.lab.study import part
from phasescope.studies.asymmetric_margin.settings import AsymmetricSettings
from phasescope.vocabulary import Array


def figures(data: xr.Dataset, s: AsymmetricSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_margins(data, s), _boundaries(data, s), _collapse(data, s))


def _solutions(s: AsymmetricSettings) -> tuple[Array, Array, Array]:
    low, high = min(s.centres), max(s.centres)
    fine = np.unique(np.concatenate([np.linspace(low, high, 400), [s.radius]]))
    plain = np.array([theory.homogeneous_ball(s.parallel, t, s.radius) for t in fine])
    quasi = np.array([theory.quasi_homogeneous_ball(s.parallel, t, s.radius) for t in fine])
    return fine, plain, quasi


def _margins(data: xr.Dataset, s: AsymmetricSettings) -> Figure:
    balls = part(data, "balls")
    at = balls.transverse.values
    fine, plain, quasi = _solutions(s)
    x = Axis("second coordinate of the centre")
    parts = balls.direction.sel(coordinate="parallel")
    names = {"1 1": "w1 x1 + w2 x2", "1 2": "w x1 + (u v) x2"}
    margins = [replace(band(name, balls.margin.sel(powers=p), at), joined=False) for p, name in names.items()]
    directions = [replace(band(name, parts.sel(powers=p), at), joined=False) for p, name in names.items()]
    marks = ((s.radius, "radius"),)
    return Figure(
        "margins", "A product of weights gives the margin away where its coordinate almost suffices",
        "Points: the gradient flow, median over seeds. Lines: closed forms. At the radius the margin is nothing, and "
        "beyond it the first coordinate is dropped.",
        [
            Curves(
                "distance from ball to boundary", x, Axis("margin"),
                [*margins, Line("largest margin", fine, plain[:, 2], role="theory"),
                 Line("least |w|", fine, quasi[:, 2], role="theory")], marks,
            ),
            Curves(
                "what is left of the first coordinate", x, Axis("first entry of the direction", limits=(-0.02, 1.02)),
                [*directions, Line("largest margin", fine, plain[:, 0], role="theory"),
                 Line("least |w|", fine, quasi[:, 0], role="theory")], marks,
            ),
        ],
        ("homogeneous-margin", "quasi-homogeneous-margin", "homogeneous-direction", "quasi-homogeneous-direction",
         "robustness-lost", "robustness-kept", "unnecessary-dropped"),
    )  # fmt: skip


def _boundaries(data: xr.Dataset, s: AsymmetricSettings) -> Figure:
    balls = part(data, "balls").isel(seed=0)
    angle = np.linspace(0, 2 * np.pi, 120)
    reach = 2.2 * s.parallel
    panels = []
    for share in (0.375, 0.99):
        t = share * s.radius
        chosen = balls.sel(transverse=t, method="nearest")
        lines = [
            Line(name, sign * (s.parallel + s.radius * np.cos(angle)), sign * (t + s.radius * np.sin(angle)),
                 role="theory")
            for name, sign in (("one ball", 1), ("the other", -1))
        ]  # fmt: skip
        for powers, name in (("1 1", "w1 x1 + w2 x2"), ("1 2", "w x1 + (u v) x2")):
            along, across = chosen.direction.sel(powers=powers).values
            # drawn as a control, dashed: a boundary has no points
            ends = np.array([-reach, reach]) * (0.9 if powers == "1 1" else 0.8)
            lines.append(Line(f"boundary of {name}", -across * ends, along * ends, role="control"))
        panels.append(Curves(f"centre at {share:g} of the radius", Axis("x1"), Axis("x2"), lines))
    return Figure(
        "boundaries", "The boundaries that the flow finds",
        "One seed. Right, the product's boundary all but touches the balls.",
        panels, ("robustness-lost", "robustness-kept"),
    )  # fmt: skip


def _collapse(data: xr.Dataset, s: AsymmetricSettings) -> Figure:
    seen, start = part(data, "collapse"), part(data, "untrained").sel(norm="layer")
    groups = [(f"final norm: {norm}", seen.sel(norm=norm)) for norm in ("layer", "none")] + [("untrained", start)]

    def shares(name: str, label: str) -> Histogram:
        return Histogram(label, Axis(label), [(title, group[name].values) for title, group in groups], bins=24)

    return Figure(
        "collapse", f"Neural collapse on {s.classes} digits after {s.collapse_steps} steps",
        "Each count is one seed. A collapsed network has all three at 0.",
        [shares("variability", "variance within / between classes"),
         shares("cosine_spread", "spread of the cosines of class means"),
         shares("duality", "distance of readout and class means")],
        ("collapse-variability", "collapse-simplex", "collapse-duality"),
    )  # fmt: skip
