"""Draw ``class-dimension.png`` and print the tables of ``docs/class_dimension.md``: ``python class_dimension.py``.

A perceptron with two hidden layers of 128 ReLU units learns 1,200 of scikit-learn's digits; the null is the network
before training.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

import phasescope as ps


def main() -> None:
    """Train, cut, draw."""
    torch.set_num_threads(1)
    digits = ps.tasks.digits()
    x, y = torch.from_numpy(digits.inputs).float(), torch.from_numpy(digits.labels).long()
    torch.manual_seed(0)
    order = torch.randperm(len(x))
    train, test = order[:1200], order[1200:]
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    untrained = copy.deepcopy(net)
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(600):
        rows = train[torch.randint(len(train), (128,))]
        adam.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        adam.step()
    print(f"accuracy {(net(x[test]).argmax(1) == y[test]).float().mean():.3f}")
    print(ps.class_dimension(net, x[train], y[train], name="digits"))
    found = ps.class_dimension(net, x[train], y[train], null=untrained, name="digits")
    print(found)
    (Path(__file__).parent / "class-dimension.png").write_bytes(ps.report.png(found.figure(), 100))


if __name__ == "__main__":
    main()
