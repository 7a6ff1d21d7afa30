"""The figures of the study ``many-sided-evaluation``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.lab.drawing import BANDS, Data, lines
from phasescope.lab.measures import at
from phasescope.lab.readings import band_of
from phasescope.studies.many_sided_evaluation.claims import mean_of
from phasescope.studies.many_sided_evaluation.settings import EvaluationSettings
from phasescope.studies.many_sided_evaluation.told import HEALED, LONGER, NEAREST, RANDOM, WHOLE
from phasescope.vocabulary import Array

READINGS = {"accuracy": "accuracy", "robustness": "worst case", "ece": "calibration error"}


def figures(data: Data, s: EvaluationSettings) -> Sequence[Figure]:
    """Return the study's figures of these results."""
    return (_sides(data, s), _along(data, s))


def _sides(data: Data, s: EvaluationSettings) -> Figure:
    run = data["speakers"]
    seeds = [run.isel(seed=i) for i in range(run.sizes["seed"])]
    rows = (WHOLE, NEAREST, RANDOM, HEALED, LONGER)
    places = np.arange(len(rows), dtype=float)
    axis = Axis("model: " + ", ".join(f"{i} {name}" for i, name in enumerate(rows)), limits=(-0.5, len(rows) - 0.5))

    def by_model(title: str, found: Array) -> Curves:
        return Curves(title, axis, Axis(title), [band_of("median over seeds", found.T, places, joined=False)])

    def panel(name: str, title: str) -> Curves:
        found = np.array([[float(mean_of(one, name, model)) for one in seeds] for model in rows])
        return by_model(title, found)

    bits = np.asarray(run.bits.sel(model=list(rows)).transpose("model", "seed").values)
    steps = (np.arange(run.sizes["twentieth"]) + 0.5) * s.steps / run.sizes["twentieth"]
    training = lines(data, {"training": ("training", at("speakers"))}, steps)
    return Figure(
        "sides", f"A decoder of {s.depth} layers, whole and without {s.gone}: many sides",
        f"Kinds of questions in which the whole decoder is above chance. {BANDS}",
        [Curves("training", Axis("step"), Axis("nats per word"), training),
         *(panel(name, title) for name, title in READINGS.items()),
         by_model("bits per byte", bits)],
        ("answers-stay", "worst-cases-stay", "calibration-stays", "healing-bits", "healing-answers"),
    )  # fmt: skip


def _along(data: Data, s: EvaluationSettings) -> Figure:
    run = data["speakers"]
    names = [str(name) for name in run.block.values]
    seeds = [run.isel(seed=i) for i in range(run.sizes["seed"])]
    accuracy = np.concatenate([mean_of(one, "accuracy", names) for one in seeds])

    def panel(title: str, values: Array) -> Curves:
        line = Line("decoder without a block", accuracy, values, joined=False)
        return Curves(title, Axis("accuracy"), Axis(title), [line])

    return Figure(
        "along", "What goes with accuracy, over decoders without a block of layers",
        "Each point is a decoder of a seed without a block.",
        [panel(title, np.concatenate([mean_of(one, name, names) for one in seeds]))
         for name, title in READINGS.items() if name != "accuracy"]
        + [panel("bits per byte", np.concatenate([one.bits.sel(model=names).values for one in seeds])),
           panel("distance over pi", np.concatenate([one.distance.values for one in seeds]))],
        ("robust-as-accurate",),
    )  # fmt: skip
