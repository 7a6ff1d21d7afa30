"""Pairs of networks of one architecture, trained on digits from different seeds, and which layers answer to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.instruments.similarity import linear_cka
from phasescope.representation.compare import compare
from phasescope.representation.places import layers_of
from phasescope.studies.representation_similarity.clouds import DRAWS, MEASURES, of_pair
from phasescope.tasks.images import digits
from phasescope.vocabulary import Array, BadInput, Generators, Member

CONDITIONS = ("trained", "untrained", "shuffled")
"""Two trained networks; the same before training; the trained ones, with the stimuli of one in another order."""
READ = MEASURES[:7]
"""The measures that are read of all pairs of layers: without relative codes and retrieval, which take longest."""
BATCH = 64
Found = Mapping[str, Any]


def network(kind: str, layers: int, width: int, generator: np.random.Generator) -> nn.Sequential:
    """Return an untrained "MLP" of equal layers, or a "CNN" of 3 x 3 convolutions, on digits of 8 x 8 pixels.

    He's initialization, without biases at first. Hidden layers are called "layer 1", "layer 2", ...
    """
    if kind not in ("MLP", "CNN"):
        raise BadInput(f"network is {kind!r}: give 'MLP' or 'CNN'.")
    parts: list[tuple[str, nn.Module]] = [] if kind == "MLP" else [("image", nn.Unflatten(1, (1, 8, 8)))]
    inputs = 64 if kind == "MLP" else 1
    for number in range(1, layers + 1):
        made = nn.Linear(inputs, width) if kind == "MLP" else nn.Conv2d(inputs, width, 3, padding=1)
        parts.append((f"layer {number}", nn.Sequential(made, nn.ReLU())))
        inputs = width
    if kind == "CNN":
        parts.append(("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())))
    parts.append(("readout", nn.Linear(width, 10)))
    found = nn.Sequential()
    for name, part in parts:
        found.add_module(name, part)
    with torch.no_grad():
        for weight in found.parameters():
            if weight.dim() == 1:
                weight.zero_()
            else:
                drawn = generator.standard_normal(tuple(weight.shape), dtype=np.float32)
                weight.copy_(torch.from_numpy(drawn * np.sqrt(2 / weight[0].numel()).astype(np.float32)))
    return found


def fit(net: nn.Module, x: Tensor, labels: Tensor, steps: int, rate: float, generator: np.random.Generator) -> None:
    """Train ``net`` in place by Adam on the cross-entropy, on batches drawn by ``generator``."""
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    for _ in range(steps):
        rows = torch.from_numpy(generator.choice(len(x), min(BATCH, len(x)), replace=False))
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(net(x[rows]), labels[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def hidden(net: nn.Module, x: Tensor, layers: int) -> list[Array]:
    """Return what each hidden layer answers to ``x`` (N, 64), of images the mean over positions: (N, D) each."""
    places = [f"layer {number}" for number in range(1, layers + 1)]
    found = dict(layers_of(net, x, places=places))
    return [np.asarray(found[place], dtype=np.float64) for place in places]


def split(generators: Generators, examples: int, shown: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return digits and labels to learn, and others as stimuli, with their labels."""
    table = digits()
    rows = generators("data").permutation(len(table.inputs))
    learnt, others = rows[:examples], rows[examples : examples + shown]
    x, labels = torch.from_numpy(table.inputs), torch.from_numpy(table.labels).long()
    return x[learnt], labels[learnt], x[others], labels[others]


def matches(table: Array) -> float:
    """Return the fraction of layers whose most similar one, both ways, is at their own place, of ``table`` (L, L).

    >>> matches(np.array([[0.9, 0.2], [0.95, 0.3]]))
    0.5
    """
    own = np.arange(len(table))
    return float(((table.argmax(0) == own).mean() + (table.argmax(1) == own).mean()) / 2)


def likeness(first: Sequence[Array], second: Sequence[Array]) -> Array:
    """Return every measure, corrected for its null, of all pairs of layers: (measures, L, L)."""
    table = np.empty((len(READ), len(first), len(second)))
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            table[:, i, j] = of_pair(compare(one, other, measures=READ, draws=DRAWS), "corrected")
    return table


def measure_seeds(member: Member, generators: Generators) -> Found:
    """Train two networks on the same digits from different weights and in different orders; compare their layers.

    With ``labels`` "random" each digit has a label drawn at random, the same for both networks. The stimuli are digits
    that neither has seen. Tables are over ``CONDITIONS`` and measures. ``twin`` is what CKA identifies, were the second
    network one that began with the same weights and saw its batches in another order.
    """
    kind, layers = str(member["network"]), int(member["layers"])
    width = int(member["channels"] if kind == "CNN" else member["width"])
    x, labels, stimuli, answers = split(generators, int(member["examples"]), int(member["stimuli"]))
    if member["labels"] == "random":
        labels = torch.from_numpy(generators("labels").integers(10, size=len(labels)))
    accuracies, learnt, began = [], [], []
    for beginning, order in ((0, 0), (1, 1), (0, 2)):
        net = network(kind, layers, width, generators("init", beginning))
        began.append(hidden(deepcopy(net), stimuli, layers))
        fit(net, x, labels, int(member["steps"]), float(member["rate"]), generators("order", order))
        learnt.append(hidden(net, stimuli, layers))
        with torch.no_grad():
            accuracies.append(
                [float((net(a).argmax(1) == b).double().mean()) for a, b in ((x, labels), (stimuli, answers))]
            )
    twin = np.array([[float(linear_cka(one, other)) for other in learnt[2]] for one in learnt[0]])
    shuffle = generators("shuffle").permutation(len(stimuli))
    tables = np.array([
        likeness(*learnt[:2]), likeness(*began[:2]), likeness(learnt[0], [rows[shuffle] for rows in learnt[1]])
    ])  # fmt: skip
    identified = np.array([[matches(table) for table in tables_of] for tables_of in tables])
    own = np.diagonal(tables, axis1=2, axis2=3)
    train, test = np.mean(accuracies, 0)
    return {
        "identified": identified, "own": own, "cka": tables[:, 0], "twin": matches(twin),
        "train_accuracy": train, "test_accuracy": test,
    }  # fmt: skip
