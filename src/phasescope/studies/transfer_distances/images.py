"""A real pair of tasks: five digits from few labels, after sources that share images, classes, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.instruments import similarity
from phasescope.studies.transfer_distances.gaussian import mmd
from phasescope.studies.transfer_distances.settings import INVERTED, MOVED, OTHERS, RANDOM, RENAMED, SAME
from phasescope.vocabulary import Array, Generators, Member

CLASSES = 5


class Network(nn.Module):
    """Pixels (N, 64) to logits (N, 5) through one hidden layer."""

    def __init__(self, width: int, draw: np.random.Generator) -> None:
        super().__init__()
        self.hidden, self.readout = nn.Linear(64, width), nn.Linear(width, CLASSES)
        for part in (self.hidden, self.readout):
            bound = part.in_features**-0.5
            for p in part.parameters():
                p.data = torch.from_numpy(draw.uniform(-bound, bound, tuple(p.shape)).astype(np.float32))

    def features(self, x: Tensor) -> Tensor:
        """Return what the hidden layer says (N, width)."""
        return functional.relu(self.hidden(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        found: Tensor = self.readout(self.features(x))
        return found


def learn(network: Network, x: Array, y: Array, steps: int, rate: float) -> Network:
    """Train ``network`` in place in full batches by Adam; return it."""
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network


def sources(
    x: Array, y: Array, others: tuple[Array, Array], draw: np.random.Generator
) -> dict[str, tuple[Array, Array]]:
    """Return the images and labels of each source; ``others`` are the digits that the target does not have."""
    moved = draw.permutation(x.shape[1])
    return {
        SAME: (x, y), RENAMED: (x, (y + 1 + int(draw.integers(CLASSES - 1))) % CLASSES), OTHERS: others,
        RANDOM: (x, draw.integers(CLASSES, size=len(y))), MOVED: (x[:, moved], y), INVERTED: (1 - x, y),
    }  # fmt: skip


def real(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Learn five digits of the seed from few labels, anew and after each source; measure distances and features."""
    from sklearn.datasets import load_digits

    draw, (pixels, names) = generators("digits"), load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    chosen = draw.permutation(10)
    labels = np.argsort(chosen)[names]  # 0 to 4: the target's; the rest are the other digits
    order = draw.permutation(len(labels))
    mine, other = order[labels[order] < CLASSES], order[labels[order] >= CLASSES]
    few, many = int(member["labels"]), int(member["source_labels"])
    rate, steps, width = float(member["digit_rate"]), int(member["digit_steps"]), int(member["width"])
    known, source, test = mine[:few], mine[few : few + many], mine[few + many :]
    given = (pixels[other[:many]], labels[other[:many]] - CLASSES)

    def right(network: Network) -> float:
        with torch.no_grad():
            found = network(torch.from_numpy(pixels[test])).argmax(1).numpy()
        return float((found == labels[test]).mean())

    def after(x: Array, y: Array) -> Network:
        return learn(Network(width, generators("init")), x, y, steps, rate)

    knows = after(pixels[mine[: few + many]], labels[mine[: few + many]])  # what all labels teach: the features to have
    rows = torch.from_numpy(pixels[test])
    anew, gain, overlap, distance = right(after(pixels[known], labels[known])), [], [], []
    for x, y in sources(pixels[source], labels[source], given, generators("sources")).values():
        network = after(x, y)
        with torch.no_grad():
            overlap.append(float(similarity.linear_cka(network.features(rows), knows.features(rows))))
        network.readout = Network(width, generators("readout")).readout
        gain.append(right(learn(network, pixels[known], labels[known], steps, rate)) - anew)
        distance.append(mmd(x, pixels[test], (y, labels[test])))
    return {"anew": anew, "gain": np.array(gain), "overlap": np.array(overlap), "distance": np.array(distance)}
