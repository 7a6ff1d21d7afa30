"""Independent neurons of one layer: ``neuron_groups`` of ``instruments.neuron_independence`` against a reader's count.

The reference compares every neuron with every one kept before it, one pair at a time, as the formula is printed (Chen
et al. 2023, arXiv:2306.04251). Both must give the same count, or the script stops.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from phasescope.instruments.neuron_independence import neuron_groups

SIZES = ((64, 74), (256, 512), (512, 4608))


def reference(vectors: Tensor, small: float = 0.1, close: float = 0.1) -> int:
    norms = [float(v.norm()) for v in vectors]
    kept: list[Tensor] = []
    for i in sorted(range(len(vectors)), key=lambda i: -norms[i]):
        v = vectors[i]
        if norms[i] < small * max(norms):
            continue
        if all(2 * float((v - k).square().sum()) / float(v.square().sum() + k.square().sum()) >= close for k in kept):
            kept.append(v)
    return len(kept)


def seconds(call: Callable[[], object], rounds: int = 3) -> float:
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    g = np.random.default_rng(0)
    print("neurons x weights   independent   reference s   ours s   ratio")
    for width, size in SIZES:
        basis = g.standard_normal((width // 2, size))
        rows = np.concatenate([basis, basis + 0.1 * g.standard_normal(basis.shape)]) * g.exponential(
            size=(width // 2 * 2, 1)
        )
        vectors = torch.from_numpy(rows)
        count = int(neuron_groups(vectors).max()) + 1
        if count != reference(vectors):
            raise SystemExit(f"counts differ at {width} x {size}")
        slow, fast = seconds(lambda v=vectors: reference(v)), seconds(lambda v=vectors: neuron_groups(v))
        print(f"{width:7} x {size:<9} {count:11} {slow:13.4f} {fast:8.4f} {slow / fast:7.1f}")


if __name__ == "__main__":
    main()
