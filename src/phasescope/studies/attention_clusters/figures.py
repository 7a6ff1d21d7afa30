"""The figures of ``attention-clusters``, as plain data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasescope.figures import Axis, Figure
from phasescope.lab.drawing import Data, over
from phasescope.lab.measures import at
from phasescope.studies.attention_clusters.settings import ClusterSettings

TOLD = {
    "attention": "attention",
    "unnormalized": "not normalized",
    "shuffled": "values of other tokens",
    "walk": "as far, at random",
}


def figures(data: Data, s: ClusterSettings) -> Sequence[Figure]:
    """Return the study's figures of these results."""
    return (_flow(data, s), _learnt(data, s))


def _flow(data: Data, s: ClusterSettings) -> Figure:
    layers, count = data["flow"].layer.values, Axis("clusters", "log", limits=(0.8, 1.2 * s.tokens))
    cool = s.betas[-2]
    ways = {words: ("clusters", at("flow", beta=cool, dynamics=name)) for name, words in TOLD.items()}
    ends = {
        words: (lambda cell: cell.clusters.isel(layer=-1), at("flow", dynamics=name)) for name, words in TOLD.items()
    }
    return Figure(
        "flow", "Normalization and attention cluster tokens",
        f"{s.tokens} tokens on the sphere in {s.sphere} dimensions. Left: attention at four temperatures. Middle: "
        f"beta = {cool:g}, and what else could move tokens as far. Right: clusters that are left at the end. Medians "
        "over seeds, bands from the least to the largest.",
        [
            over("attention, put back onto the sphere", data, Axis("layer"), layers, count,
                {f"beta = {beta:g}": ("clusters", at("flow", beta=beta, dynamics="attention")) for beta in s.betas}),
            over(f"beta = {cool:g}", data, Axis("layer"), layers, count, {TOLD["attention"]: ways["attention"]},
                control={words: way for words, way in ways.items() if words != "attention"}),
            over(f"after {s.layers} layers", data, Axis("beta", "log"), np.array(s.betas), count,
                {"attention": ends["attention"]},
                control={words: end for words, end in ends.items() if words != "attention"}),
        ],
        ("one-cluster", "clusters-form", "colder-more", "clusters-last"),
    )  # fmt: skip


def _learnt(data: Data, s: ClusterSettings) -> Figure:
    normed, none = at("learnt", norm="pre"), at("learnt", norm="none")
    return Figure(
        "learnt", f"Energies that adapt to their context in {s.dimension} dimensions",
        "Transformers trained by contrastive divergence on ever new mixtures and then frozen: the fraction of held-out "
        "points that have less energy than a point of another mixture. A memory that stores the context knows the "
        "components' width and learns nothing.",
        [
            over("with normalization", data, Axis("points in context"), np.arange(s.length + 1),
                Axis("fraction", limits=(0.3, 1.0)),
                {"learnt": ("adapted", normed), "a memory of the context": ("memory", normed)},
                control={"context of a third mixture": ("mismatched", normed)}),
            over("without", data, Axis("points in context"), np.arange(s.length + 1),
                Axis("fraction", limits=(0.3, 1.0)), {"learnt": ("adapted", none)},
                control={"context of a third mixture": ("mismatched", none)}),
        ],
        ("adapts-in-context", "energy-of-a-memory", "attention-assigns", "normalization-assigns"),
    )  # fmt: skip
