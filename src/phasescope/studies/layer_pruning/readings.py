"""What the study ``layer-pruning`` reads of any decoder: losses without blocks, and the geometry between its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope import layers
from phasescope.instruments import intrinsic_dimension, isotropy, signal, similarity
from phasescope.layers.passes import batches, reading, states_between
from phasescope.vocabulary import Array

Found = Mapping[str, Any]
OVERLAP = 10  # nearest neighbours that layers may share


def losses_without(model: nn.Module, tokens: Tensor, counts: Sequence[int]) -> Array:
    """Return the losses (counts, L) in nats per token without n layers from l on, for every block."""
    depth = layers.stack_of(model).depth
    table = np.full((len(counts), depth), np.nan)
    for i, n in enumerate(counts):
        for start in range(depth - n + 1):
            table[i, start] = layers.losses(layers.without(model, start, n), tokens).mean
    return table


def states_at(model: nn.Module, tokens: Tensor, places: Sequence[int]) -> Tensor:
    """Return the states (L + 1, points, D) between the layers at ``places`` of each sample of ``tokens`` (N, T)."""
    found: list[Tensor] = []
    stack = layers.stack_of(model)
    with reading(model), states_between(stack) as states:
        for part in batches(tokens, None, tokens.device):
            model.base_model(part, use_cache=False)  # type: ignore[operator]
            found.append(torch.stack([state[:, list(places)].flatten(0, 1) for state in states]))
    return torch.cat(found, 1).clone()


def geometry(states: Tensor, order: Array) -> Found:
    """Return shape and likeness of the clouds ``states`` (places, points, D) at some places between the layers.

    ``order`` (points,) is a permutation: likeness with the points of one side in this order is the control.
    """
    clouds = list(states)
    dimension = [intrinsic_dimension.two_nn(cloud) for cloud in clouds]
    return {
        "dimension": np.array([d.value for d in dimension]),
        "dimension_error": np.array([d.error for d in dimension]),
        "duplicates": np.array([float(d.duplicates) for d in dimension]),
        "likelihood": np.array([intrinsic_dimension.likelihood_dimension(c).value for c in clouds]),
        "participation": np.array([float(isotropy.participation_ratio(c)) for c in clouds]),
        "effective_rank": np.array([float(isotropy.effective_rank(c)) for c in clouds]),
        "isoscore": np.array([float(isotropy.isoscore(c)) for c in clouds]),
        "cosine": np.array([float(signal.mean_cosine(c.double())) for c in clouds]),
        "outliers": np.array([float(len(isotropy.outlier_dimensions(c))) for c in clouds]),
        **_likeness(clouds, torch.from_numpy(order)),
    }


def _likeness(clouds: Sequence[Tensor], order: Tensor) -> Found:
    overlap, cka, shuffled = (np.eye(len(clouds)) for _ in range(3))
    for i, j in combinations(range(len(clouds)), 2):
        overlap[i, j] = overlap[j, i] = float(similarity.neighbour_overlap(clouds[i], clouds[j], OVERLAP).mean())
        cka[i, j] = cka[j, i] = float(similarity.linear_cka(clouds[i], clouds[j], unbiased=True))
        moved = similarity.neighbour_overlap(clouds[i], clouds[j][order], OVERLAP)
        shuffled[i, j] = shuffled[j, i] = float(moved.mean())
    return {"overlap": overlap, "cka": cka, "overlap_shuffled": shuffled}


GEOMETRY = {  # name -> unit, source, dimensions
    "dimension": ("1", "instruments.intrinsic_dimension.two_nn", ("place",)),
    "dimension_error": ("1", "instruments.intrinsic_dimension.two_nn", ("place",)),
    "likelihood": ("1", "instruments.intrinsic_dimension.likelihood_dimension", ("place",)),
    "duplicates": ("points", "instruments.intrinsic_dimension.distinct", ("place",)),
    "participation": ("1", "instruments.isotropy.participation_ratio", ("place",)),
    "effective_rank": ("1", "instruments.isotropy.effective_rank", ("place",)),
    "isoscore": ("1", "instruments.isotropy.isoscore", ("place",)),
    "cosine": ("1", "instruments.signal.mean_cosine", ("place",)),
    "outliers": ("coordinates", "instruments.isotropy.outlier_dimensions", ("place",)),
    "overlap": ("1", "instruments.similarity.neighbour_overlap", ("place", "other")),
    "overlap_shuffled": ("1", "instruments.similarity.neighbour_overlap", ("place", "other")),
    "cka": ("1", "instruments.similarity.linear_cka, unbiased", ("place", "other")),
}
