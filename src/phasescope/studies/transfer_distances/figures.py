"""The figures of the study ``transfer-distances``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.lab.drawing import BANDS, Data
from phasescope.lab.readings import band
from phasescope.studies.transfer_distances.claims import gain
from phasescope.studies.transfer_distances.settings import DISTANCES, SOURCES, DistanceSettings
from phasescope.vocabulary import Array

UNITS = {"KL": "KL divergence (nats)", "TV": "total variation", "MMD": "squared MMD"}


def figures(data: Data, s: DistanceSettings) -> Sequence[Figure]:
    """Return the study's figures of these results."""
    return (*(_pairs(data, depth) for depth in s.depths), _sources(data))


def _pairs(data: Data, depth: int) -> Figure:
    run = data["deep"].sel(depth=depth)
    seeds = [run.isel(seed=i) for i in range(run.sizes["seed"])]
    worth = np.concatenate([gain(one, "probe") for one in seeds])
    y = Axis("log risk, anew over probe")

    def panel(title: str, axis: Axis, values: Array) -> Curves:
        return Curves(title, axis, y, [Line("pair of tasks", values, worth, joined=False)])

    told = [panel("overlap of features", Axis("|cosine| of feature and target"),
                  np.concatenate([one.overlap.values for one in seeds]))]  # fmt: skip
    for name in DISTANCES:
        values = np.concatenate([one.distance.sel(measure=name).values for one in seeds])
        told.append(panel(name, Axis(UNITS[name], "log" if name == "KL" else "linear"), values))
    claims = [
        f"{what}-{way}-{depth}" for what in ("overlap-tells", "distances-tell-little") for way in ("probe", "tuned")
    ]
    return Figure(
        f"pairs-{depth}", f"What a source is worth, over pairs of tasks: {depth} layers",
        "Each point is a pair of Gaussian tasks of a seed; above 0 the source helps.", told, tuple(claims),
    )  # fmt: skip


def _sources(data: Data) -> Figure:
    run = data["digits"]
    places = np.arange(len(SOURCES), dtype=float)

    def panel(name: str, title: str) -> Curves:
        line = band("median over seeds", run[name], places, joined=False)
        return Curves(title, Axis("source", names=list(SOURCES)), Axis(title), [line])

    return Figure(
        "sources", "Five digits from few labels, after six sources", BANDS,
        [panel("gain", "accuracy gained"), panel("overlap", "overlap of features (CKA)"),
         panel("distance", "squared MMD")],
        ("renamed-is-farther", "renamed-helps-more", "real-overlap-tells"),
    )  # fmt: skip
