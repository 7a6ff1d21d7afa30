"""The figures of the study ``class-manifolds``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.lab.drawing import BANDS, Data, law, lines
from phasescope.lab.measures import at
from phasescope.lab.readings import band
from phasescope.studies.class_manifolds.settings import (
    AS_LOUD,
    BALL,
    SHUFFLED,
    SPACE,
    STEPS,
    TRAINED,
    TUBE,
    UNTRAINED,
    ClassManifoldSettings,
)
from phasescope.theory.class_manifolds import meeting_probability

PROBABILITY = Axis("best probability", limits=(-0.02, 1.02))
LEARNT = ("trained-below-untrained", "learnt-below-loud")


def figures(data: Data, s: ClassManifoldSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_bodies(data), _planes(data, s), *((_conditions(data, s),) if s.images else ()))


def _bodies(data: Data) -> Figure:
    few, enough = STEPS

    def panel(title: str, name: str, body: tuple[float, int]) -> Curves:
        d = data[name].d.values
        shown = lines(data, {"measured": ("probability", at(name, climb=enough))}, d)
        shown += lines(data, {f"{few} steps": ("probability", at(name, climb=few))}, d, role="control")
        exact = law("exact law", lambda x: meeting_probability(SPACE, int(x), *body), np.arange(SPACE + 1))
        return Curves(title, Axis("dimension of the plane"), PROBABILITY, [*shown, exact])

    return Figure(
        "bodies", "Planes meet bodies as the exact law says",
        f"In {SPACE} dimensions. {BANDS} With few steps in each plane the climb ends too early.",
        [panel(f"ball, r / L = {BALL[0]:g}", "ball", BALL),
         panel(f"tube around {TUBE[1]} dimensions, r / L = {TUBE[0]:g}", "tube", TUBE)],
        ("ball-law", "tube-law"),
    )  # fmt: skip


def _planes(data: Data, s: ClassManifoldSettings) -> Figure:
    networks = data["networks"]
    d = networks.d.values[1:]

    def curve(name: str, **kind: str) -> Line:
        return band(name, networks.probability.sel(network=name).isel(d=slice(1, None)), d, **kind)

    shown = [curve(TRAINED), curve(UNTRAINED), curve(AS_LOUD, role="control"), curve(SHUFFLED, role="control")]
    return Figure(
        "planes", "How large a random plane must be to meet a class",
        f"Best probability of a class in a random plane of {s.side**2} dimensions, mean over classes and planes. "
        f"{BANDS} Dashed: rivals whose logits are as large as the trained one's: the untrained network, and the "
        "trained one with each weight tensor shuffled.",
        [Curves("best probability", Axis("dimension of the plane", "log"), PROBABILITY, shown)], LEARNT,
    )  # fmt: skip


def _conditions(data: Data, s: ClassManifoldSettings) -> Figure:
    networks = data["networks"]
    names = [name for name in s.networks if " as " not in name]
    rivals = [name for name in s.networks if " as " in name]

    def points(label: str, chosen: Sequence[str], read: str, role: str) -> Line:
        cells = networks.sel(network=list(chosen))
        x, y = (cells[name].median("seed").values for name in (read, "dimension"))
        spread = cells.dimension
        return Line(label, x, y, spread.min("seed").values, spread.max("seed").values, role=role, joined=False)  # type: ignore[arg-type]

    def panel(title: str, read: str, x: Axis) -> Curves:
        plain = [points(name, [name], read, "measured") for name in names]
        loud = points("made as loud as another", rivals, read, "measured")
        return Curves(title, x, Axis("d*", "log"), [*plain, loud])

    return Figure(
        "conditions", "The dimension of each network, by its accuracy and by how loud it is",
        f"d* in {s.side**2} dimensions. Points: medians over seeds, bars from the least to the largest.",
        [panel("accuracy", "accuracy", Axis("test accuracy", limits=(0, 1))),
         panel("how loud", "spread", Axis("standard deviation of the logits", "log"))],
        ("fewer-images", "random-labels", "narrow", "early", "ensemble", "boundary", "better-is-lower"),
    )  # fmt: skip
