"""Tokens that attention moves, layer after layer, and what else could move them as far.

Letters: n tokens in d dimensions. Geshkovski et al. 2024, arXiv:2312.10794, with queries, keys and values that are the
tokens themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special
from scipy.sparse import csgraph

from phasescope.studies.attention_clusters.settings import SHOWN
from phasescope.vocabulary import Array, Generators, Member

COSINE = 0.99  # two tokens whose directions are this close, 8 degrees, are of one cluster


def unit(x: Array) -> Array:
    """Return rows (n, d) of length 1."""
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def clusters(x: Array) -> int:
    """Return the number of clusters of the directions of tokens (n, d): tokens are linked from ``COSINE`` on."""
    u = unit(x)
    return int(csgraph.connected_components(u @ u.T >= COSINE, directed=False)[0])


def attended(x: Array, values: Array, beta: float) -> Array:
    """Return softmax(beta x x^T) values (n, d)."""
    return np.asarray(special.softmax(beta * (x @ x.T), axis=1) @ values)


def layer(x: Array, beta: float, stride: float, dynamics: str, draw: np.random.Generator) -> Array:
    """Return the tokens (n, d) after one more layer.

    "attention": x + stride softmax(beta x x^T) x, put back onto the sphere. "unnormalized": not put back. "shuffled":
    each token attends as it would, but to values that are other tokens', dealt anew in each layer. "walk": each token
    goes as far as attention would take it, in a random direction along the sphere.
    """
    if dynamics == "shuffled":
        return unit(x + stride * attended(x, x[draw.permutation(len(x))], beta))
    moved = x + stride * attended(x, x, beta)
    if dynamics == "unnormalized":
        return moved
    moved = unit(moved)
    if dynamics == "attention":
        return moved
    way: Array = np.asarray(draw.standard_normal(x.shape))
    way = unit(way - (way * x).sum(1, keepdims=True) * x)
    chord = np.sqrt(((moved - x) ** 2).sum(1, keepdims=True))
    angle = 2 * np.arcsin(np.clip(chord / 2, 0, 1))
    return np.asarray(np.cos(angle) * x + np.sin(angle) * way)


def flow(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Move uniform tokens on the sphere through the layers; ``clusters`` (layer,) on the way, a mean over ``draws``."""
    layers, numbers = int(member["layers"]), (float(member["beta"]), float(member["stride"]))
    shown = {round(part * layers) for part in SHOWN}
    counts = []
    for number in range(int(member["draws"])):
        x = unit(generators("tokens", number).standard_normal((int(member["tokens"]), int(member["sphere"]))))
        draw, found = generators("moves", number), []
        for at in range(layers + 1):
            if at in shown:
                found.append(float(clusters(x)))
            x = layer(x, *numbers, str(member["dynamics"]), draw)
        counts.append(found)
    return {"clusters": np.mean(counts, 0)}
