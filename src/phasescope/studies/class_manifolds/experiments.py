"""The experiments of ``class-manifolds``: bodies whose law is known, and networks."""

from __future__ import annotations

import numpy as np

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.class_manifolds.networks import measure_network, measure_tube
from phasescope.studies.class_manifolds.settings import BALL, SPACE, STEPS, TUBE, ClassManifoldSettings
from phasescope.vocabulary import Grid

PAPER = "arXiv:2210.05546"
DIMS = (0, *range(4, SPACE, 4), SPACE)


def dims_of(size: int) -> tuple[int, ...]:
    """Return the dimensions of planes that ``class_dimension`` looks at in ``size`` dimensions, with the start."""
    octaves = np.round(2 ** (np.arange(0, 2 * np.log2(size) + 1e-9) / 2)).astype(int)
    return (0, *sorted({*octaves.tolist(), size}))


def experiments(s: ClassManifoldSettings) -> dict[str, Simulation]:
    """Return the study's experiments by name."""
    d = Quantity("dimension", "dimensions", f"{PAPER}, d* at 50 %")

    def body(title: str, ratio: float, subspace: int) -> Simulation:
        curve = Quantity("probability", "1", PAPER, ("d",), {"d": DIMS})
        fixed = {"ratio": ratio, "subspace": subspace, "planes": s.ball_planes}
        return Simulation(title, measure_tube, Grid({"climb": STEPS}, seeds=s.seeds), (d, curve), fixed)

    quantities = (
        d,
        Quantity("fitted", "dimensions", f"{PAPER}, where the logistic curve in ln d is 50 %"),
        Quantity("moved", "distance between two images", "way to the best point, at the planes nearest d*"),
        Quantity("probability", "1", PAPER, ("d",), {"d": dims_of(s.side**2)}),
        Quantity("accuracy", "1", "test images"),
        Quantity("train_accuracy", "1", "on the labels that were learnt"),
        Quantity("spread", "1", "standard deviation of logits over classes, mean over test images"),
    )
    names = ("images", "side", "samples", "tests", "few", "labelled", "width", "narrow", "members", "steps", "early",
             "long", "rate", "batch", "planes", "climb")  # fmt: skip
    return {
        "ball": body("a ball, from twice its radius", *BALL),
        "tube": body(f"a tube around a subspace of {TUBE[1]} dimensions", *TUBE),
        "networks": Simulation(
            "networks cut by random planes", measure_network, Grid({"network": s.networks}, seeds=s.seeds), quantities,
            {name: getattr(s, name) for name in names}, kind="trained",
        ),
    }  # fmt: skip
