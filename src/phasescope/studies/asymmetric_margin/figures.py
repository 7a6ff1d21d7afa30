"""The figures of the study ``asymmetric-margin``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from phasescope.figures import Axis, Curves, Figure, Histogram, Line
from phasescope.lab.drawing import Data, histogram, lines
from phasescope.lab.measures import Measure, at, value
from phasescope.studies.asymmetric_margin.settings import AsymmetricSettings
from phasescope.theory import asymmetric_margin
from phasescope.vocabulary import Array

COLLAPSE = {
    "nc1": "NC1, tr(S_W S_B^+) / K",
    "variance_ratio": "tr(S_W) / tr(S_B)",
    # what runs from before these two kept: that ratio, with samples counted alike in S_W and classes in S_B
    "variability": "variance within / between classes",
    "cosine_spread": "spread of the cosines of class means",
    "duality": "distance of readout and class means",
}
NAMES = {"1 1": "w1 x1 + w2 x2", "1 2": "w x1 + (u v) x2"}  # by the powers of their weights


def figures(data: Data, s: AsymmetricSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_margins(data, s), _boundaries(data, s), _collapse(data, s))


def _solutions(s: AsymmetricSettings) -> tuple[Array, Array, Array]:
    low, high = min(s.centres), max(s.centres)
    fine = np.unique(np.concatenate([np.linspace(low, high, 400), [s.radius]]))
    plain = np.array([asymmetric_margin.homogeneous_ball(s.parallel, t, s.radius) for t in fine])
    quasi = np.array([asymmetric_margin.quasi_homogeneous_ball(s.parallel, t, s.radius) for t in fine])
    return fine, plain, quasi


def _margins(data: Data, s: AsymmetricSettings) -> Figure:
    fine, plain, quasi = _solutions(s)
    x, centres = Axis("second coordinate of the centre"), np.array(s.centres)

    def panel(title: str, y: Axis, read: Measure, entry: int) -> Curves:
        measured = lines(data, {name: (read, at("balls", powers=p)) for p, name in NAMES.items()}, centres)
        laws = {"largest margin": plain, "least |w|": quasi}
        return Curves(
            title, x, y,
            [*(replace(line, joined=False) for line in measured),
             *(Line(label, fine, law[:, entry], role="theory") for label, law in laws.items())],
            marks=((s.radius, "radius"),),
        )  # fmt: skip

    return Figure(
        "margins", "A product of weights gives the margin away where its coordinate almost suffices",
        "Points: the gradient flow, median over seeds. Lines: closed forms. At the radius the margin is nothing, and "
        "beyond it the first coordinate is dropped.",
        [
            panel("distance from ball to boundary", Axis("margin"), value("margin"), 2),
            panel("what is left of the first coordinate", Axis("first entry of the direction", limits=(-0.02, 1.02)),
                value("direction", coordinate="parallel"), 0),
        ],
        ("homogeneous-margin", "quasi-homogeneous-margin", "homogeneous-direction", "quasi-homogeneous-direction",
         "robustness-lost", "robustness-kept", "unnecessary-dropped"),
    )  # fmt: skip


def _boundaries(data: Data, s: AsymmetricSettings) -> Figure:
    angle = np.linspace(0, 2 * np.pi, 120)
    reach = 2.2 * s.parallel
    panels = []
    for part in (0.375, 0.99):
        t = part * s.radius
        drawn = [
            Line(name, sign * (s.parallel + s.radius * np.cos(angle)), sign * (t + s.radius * np.sin(angle)),
                 role="theory")
            for name, sign in (("one ball", 1), ("the other", -1))
        ]  # fmt: skip
        for powers, name in NAMES.items():
            cell = at("balls", powers=powers, transverse=s.centre(part))
            along, across = cell.of(data).direction.isel(seed=0).values
            # drawn as a control, dashed: a boundary has no points
            ends = np.array([-reach, reach]) * (0.9 if powers == "1 1" else 0.8)
            drawn.append(Line(f"boundary of {name}", -across * ends, along * ends, role="control"))
        panels.append(Curves(f"centre at {part:g} of the radius", Axis("x1"), Axis("x2"), drawn))
    return Figure(
        "boundaries", "The boundaries that the flow finds",
        "One seed. Right, the product's boundary all but touches the balls.",
        panels, ("robustness-lost", "robustness-kept"),
    )  # fmt: skip


def _collapse(data: Data, s: AsymmetricSettings) -> Figure:
    cells = {f"final norm: {norm}": at("collapse", norm=norm) for norm in ("layer", "none")}
    cells["untrained"] = at("untrained", norm="layer")

    def seeds(reading: str, label: str) -> Histogram:
        series = {name: (reading, cell) for name, cell in cells.items()}
        return histogram(label, data, Axis(label), series, bins=24)

    return Figure(
        "collapse", f"Neural collapse on {s.classes} digits after {s.collapse_steps} steps",
        "Each count is one seed. A collapsed network has all of them at 0.",
        [seeds(reading, label) for reading, label in COLLAPSE.items() if reading in data["collapse"]],
        ("collapse-variability", "collapse-variance-ratio", "collapse-simplex", "collapse-duality"),
    )  # fmt: skip
