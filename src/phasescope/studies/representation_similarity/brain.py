"""A synthetic recording whose source is a known layer, at a known noise: what ``ps.encode`` makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from phasescope.representation.encode import encode
from phasescope.representation.encode_result import Encoding
from phasescope.studies.representation_similarity.networks import fit, hidden, network, split
from phasescope.vocabulary import Array, Generators, Member

EXPLAINED = (0.25, 0.5, 1.0)
"""Fractions of the variance of a unit's mean response that its layer explains."""
NOISE = (0.5, 1.0, 2.0)
"""Standard deviations of the noise of one presentation, over that of the mean response."""
MODELS = ("own", "other seed", "untrained")
"""Whose layers explain the recording: its own network, one of another seed, its own before training."""
SOURCES = ("own", "untrained")
"""Which network's middle layer a recording is made of: the trained one, or the same before training."""
Found = Mapping[str, Any]


def recording(
    layer: Array, units: int, repeats: int, explained: float, noise: float, generator: np.random.Generator
) -> Array:
    """Return responses (R, N, Q) of units that read ``layer`` (N, D) along random directions.

    The mean response of a unit has variance 1: a part ``explained`` from the layer, the rest its own, which no model
    knows. Each presentation adds noise with this standard deviation.
    """
    count, size = layer.shape
    signal = (layer - layer.mean(0)) @ generator.standard_normal((size, units))
    signal = (signal / signal.std(0)) * np.sqrt(explained)
    private = np.sqrt(1 - explained) * generator.standard_normal((count, units))
    return np.asarray(signal + private + noise * generator.standard_normal((repeats, count, units)))


def reliability_of(noise: float, repeats: int) -> float:
    """Return the reliability of a mean over ``repeats``, whose noise has this standard deviation: 1 / (1 + s^2 / R).

    >>> reliability_of(1.0, 1), round(reliability_of(1.5, 6), 4)
    (0.5, 0.7273)
    """
    return 1 / (1 + noise**2 / repeats)


def measure_brain(member: Member, generators: Generators) -> Found:
    """Make recordings of the middle layer of a trained network and encode them by layers of three networks.

    (model, explained, noise): ``r`` and ``normalized`` of the layer at the planted place, and its ``lead`` over the
    best of the others in normalized predictivity. (explained, noise): ``ceiling``, the median over units, and
    ``shuffled``, the normalized null. (source, features): ``best``, of the layers of the network, trained or not, the
    highest normalized predictivity for a recording that is all of a layer of either.
    """
    layers, width, g = int(member["layers"]), int(member["width"]), generators("recording")
    x, labels, stimuli, _ = split(generators, int(member["examples"]), int(member["shown"]))
    sides: dict[str, list[Array]] = {}
    for copy, name in enumerate(("own", "other seed")):
        net = network("MLP", layers, width, generators("init", copy))
        if copy == 0:
            sides["untrained"] = hidden(deepcopy(net), stimuli, layers)
        fit(net, x, labels, int(member["steps"]), float(member["rate"]), generators("order", copy))
        sides[name] = hidden(net, stimuli, layers)
    middle, units, repeats = layers // 2, int(member["units"]), int(member["repeats"])
    shape = (len(EXPLAINED), len(NOISE))
    tables = {name: np.empty((len(MODELS), *shape)) for name in ("r", "normalized", "lead")}
    ceiling, null = np.empty(shape), np.empty(shape)
    for i, explained in enumerate(EXPLAINED):
        for j, noise in enumerate(NOISE):
            responses = recording(sides["own"][middle], units, repeats, explained, noise, g)
            for m, model in enumerate(MODELS):
                found = encode(sides[model], responses, draws=2 if m == 0 else 0)
                for name, value in _of_layer(found, middle).items():
                    tables[name][m, i, j] = value
                if m == 0:
                    ceiling[i, j] = float(np.nanmedian(found.data.ceiling.values))
                    null[i, j] = float(found.data.null_mean.values[middle])
    best = np.empty((2, 2))
    for i, source in enumerate(SOURCES):
        responses = recording(sides[source][middle], units, repeats, 1.0, NOISE[1], g)
        for j, model in enumerate(SOURCES):
            best[i, j] = _of_layer(encode(sides[model], responses, draws=0), None)["normalized"]
    return {**tables, "ceiling": ceiling, "shuffled": null / ceiling, "best": best}


def _of_layer(found: Encoding, layer: int | None) -> dict[str, float]:
    """Return r and normalized predictivity at ``layer``, the best one if None, and its lead over the others."""
    normalized = found.data.normalized_median.values
    place = int(normalized.argmax()) if layer is None else layer
    others = np.delete(normalized, place)
    return {
        "r": float(found.data.predictivity.values[place]), "normalized": float(normalized[place]),
        "lead": float(normalized[place] - others.max()),
    }  # fmt: skip
