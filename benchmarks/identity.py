"""What identity costs: fingerprints per member of a grid of 1,000, beside making the network and drawing its data.

    .venv/bin/python benchmarks/identity.py

Each row is a way to give networks and data. *all* is ``jobs``: networks made, marks taken, data drawn and checked, the
end's look for shared state. *mark* is the fingerprint of one more network alone. Target: below 1 ms per member.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

import phasescope as ps
from phasescope.ensemble.jobs import jobs
from phasescope.ensemble.marks import learner_marks

MEMBERS = 1000


class Net(nn.Module):
    """A user's perceptron with an attribute and an activation of its own."""

    def __init__(self, gain: float, width: int, depth: int) -> None:
        super().__init__()
        sizes = [64] + [width] * depth
        self.gain, self.act = gain, torch.tanh
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.out = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 10)."""
        for layer in self.layers:
            x = self.act(layer(x))
        out: torch.Tensor = self.gain * self.out(x)
        return out


def digits() -> ps.tasks.Table:
    """Return a table of the size of scikit-learn's digits."""
    draw = np.random.default_rng(0)
    return ps.tasks.Table("digits", draw.standard_normal((1797, 64)).astype(np.float32), np.arange(1797) % 10, 10)


def seconds(work: Callable[[], Any], times: int = 1) -> float:
    """Return the least seconds of three goes, per time."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(times):
            work()
        best = min(best, (time.perf_counter() - start) / times)
    return best


def main() -> None:
    """Print the table."""
    task, axes = digits(), {"gain": list(np.linspace(0.1, 3, 100))}
    grid, plain = ps.Grid(axes, seeds=10), ps.Grid({"lr": list(np.linspace(0.01, 1, 100))}, seeds=10)
    recipe = ps.Recipe(steps=10)
    rows: list[tuple[str, Any, Any, ps.Grid, Any]] = [
        ("PowerMLP p 23, width 128, one network", ps.learners.PowerMLP(23, 128), ps.tasks.addition(23), plain, None),
        ("own network, one", Net(1.0, 32, 1), task, plain, None),
        ("own network 1 x 32 by a function", lambda m: Net(m["gain"], 32, 1), task, grid, Net(1.0, 32, 1)),
        ("own network 4 x 64 by a function", lambda m: Net(m["gain"], 64, 4), task, grid, Net(1.0, 64, 4)),
        ("own network 8 x 256 by a function", lambda m: Net(m["gain"], 256, 8), task, grid, Net(1.0, 256, 8)),
    ]
    print(f"milliseconds per member of {MEMBERS}      all     made     mark   mark/made")
    for name, learner, data, members, one in rows:
        every = 1e3 * seconds(lambda a=learner, b=data, c=members: jobs(a, b, c, recipe)) / MEMBERS  # type: ignore[misc]
        if one is None:
            print(f"{name:38s} {every:8.3f}")
            continue
        first = next(iter(members))
        made = 1e3 * seconds(lambda a=learner, m=first: a(m), 50)  # type: ignore[misc]
        mark = 1e3 * seconds(lambda n=one: learner_marks(n, n), 50)  # type: ignore[misc]
        print(f"{name:38s} {every:8.3f} {made:8.3f} {mark:8.3f} {mark / made:8.2f}")


if __name__ == "__main__":
    main()
