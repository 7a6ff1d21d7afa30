"""The figures of the study ``representation-similarity``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.lab.drawing import BANDS, Data, level, lines, over
from phasescope.lab.measures import at, value
from phasescope.studies.representation_similarity.brain import MODELS, NOISE, reliability_of
from phasescope.studies.representation_similarity.clouds import MEASURES, SHARES
from phasescope.studies.representation_similarity.networks import CONDITIONS, READ
from phasescope.studies.representation_similarity.settings import SimilaritySettings

SHARE = Axis("part of the dimensions that is shared")
OF = Axis("similarity", limits=(-0.1, 1.05))


def figures(data: Data, s: SimilaritySettings) -> Sequence[Figure]:
    """Return the study's figures of these results."""
    return (_planted(data, s), _identified(data, s), _layers(data, s), _recording(data, s))


def _planted(data: Data, s: SimilaritySettings) -> Figure:
    shares = np.array(SHARES)

    def panel(count: int, reading: str, title: str) -> Curves:
        series = {name: (value(reading, measure=name), at("planted", count=count)) for name in MEASURES}
        return over(title, data, SHARE, shares, OF, series, laws={"what is shared": float})

    return Figure(
        "planted", "What nine measures read of clouds that share a part of their dimensions",
        f"{s.dimensions} dimensions; means over {s.pairs} pairs. {BANDS}",
        [panel(s.few, "value", f"{s.few} stimuli, as read"), panel(s.few, "corrected", f"{s.few} stimuli, corrected"),
         panel(s.many, "corrected", f"{s.many} stimuli, corrected")],
        ("cka-size", "corrected-size", "all-ordered", "neighbours-understate", "retrieval-overstates", "false-likeness",
         "nulls-right"),
    )  # fmt: skip


def _identified(data: Data, s: SimilaritySettings) -> Figure:
    places, panels = np.arange(1.0, len(READ) + 1), []
    axis = Axis(f"measure: {', '.join(f'{i} {name}' for i, name in enumerate(READ, 1))}")
    for title, cell in (
        ("MLP", at("mlp", labels="true")),
        ("MLP, random labels", at("mlp", labels="random")),
        ("CNN", at("cnn")),
    ):
        drawn = []
        for condition in CONDITIONS:
            role = "measured" if condition == "trained" else "control"
            found = lines(
                data, {condition: (value("identified", condition=condition), cell)}, places, role=role, joined=False
            )
            drawn += found
        drawn += lines(data, {"one beginning, by CKA": ("twin", cell)}, places[:1], role="control", joined=False)
        drawn.append(level("chance", 1 / s.layers, places))
        panels.append(Curves(title, axis, Axis("layers identified", limits=(-0.02, 1.02)), drawn))
    return Figure(
        "identified", "How often the layer at the same place of another seed is the most similar one",
        f"{s.layers} layers, both ways. {BANDS}", panels,
        ("identified-mlp", "identified-cnn", "cca-identifies", "same-beginning"),
    )  # fmt: skip


def _layers(data: Data, s: SimilaritySettings) -> Figure:
    numbers, panels = np.arange(1.0, s.layers + 1), []
    for title, cell, condition in (
        ("MLP, trained", at("mlp", labels="true"), "trained"),
        ("MLP, before", at("mlp", labels="true"), "untrained"),
        ("CNN, trained", at("cnn"), "trained"),
        ("CNN, before", at("cnn"), "untrained"),
    ):
        table = cell.of(data).cka.sel(condition=condition).median("seed", skipna=False)
        shown = table.transpose("layer", "other").values
        panels.append(
            HeatMap(
                title, Axis("layer of seed b"), Axis("layer of seed a"), numbers, numbers, shown, "CKA", limits=(0, 1)
            )
        )
    return Figure(
        "layers", "CKA of all layers of two seeds", "Unbiased linear CKA of digits that neither has seen; median over "
        "pairs of networks.", panels,
        ("identified-mlp", "identified-cnn", "learning-alike", "inputs-alike", "shuffled-unlike"),
    )  # fmt: skip


def _recording(data: Data, s: SimilaritySettings) -> Figure:
    noise, fine = np.array(NOISE), np.linspace(NOISE[0], NOISE[-1], 50)
    x, cell = Axis("noise of one presentation over signal"), at("brain")
    read = partial(value, explained=1.0)
    perfect = [reliability_of(float(one), s.repeats) ** 0.5 for one in fine]
    ceilings = Curves(
        "all explained: r, and the ceiling", x, Axis("r"),
        [*lines(data, {"ceiling": (read("ceiling"), cell), "r": (read("r", model="own"), cell)}, noise),
         Line("ceiling planted", fine, np.array(perfect), role="theory")],
    )  # fmt: skip
    normalized = over("all explained: r over the ceiling", data, x, noise, Axis("r / ceiling", limits=(-0.1, 1.05)),
        {model: (read("normalized", model=model), cell) for model in MODELS},
        control={"shuffled stimuli": (read("shuffled"), cell)}, levels={"all": 1.0})  # fmt: skip
    parts = data["brain"].explained.values
    sizes = over("what the layer explains", data, Axis("variance explained"), parts, Axis("r / ceiling"),
        {model: (value("normalized", model=model, noise=1.0), cell) for model in MODELS},
        laws={"root": lambda part: float(part) ** 0.5}, fine=np.linspace(0.2, 1, 50))  # fmt: skip
    return Figure(
        "recording", "A recording made of a known layer",
        f"{s.units} units, {s.repeats} repeats, {s.shown} stimuli; the layer at the planted place. {BANDS}",
        [ceilings, normalized, sizes],
        ("ceiling-right", "explained-recovered", "layer-named", "other-seed-less", "untrained-much", "training-gains"),
    )  # fmt: skip
