"""The MMCR loss with its gradient against the public formula, written out as the authors' repository computes it.

    python benchmarks/losses.py [--rounds 30] [--json FILE]

The reference rearranges the views to (data, dimensions, views), takes the mean, and sums singular values of the
centroids and, with a local weight, of every datum's views. Told is the median over rounds of CPU time, reference over
ours, with the range; above 1 ours is faster. Both must give the same loss and the same gradient.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from phasescope.ensemble import streams
from phasescope.losses import mmcr

SIZES = ((32, 2, 32), (64, 4, 128), (256, 2, 64), (512, 2, 512))


def reference(z: Tensor, local_weight: float) -> Tensor:
    """Return the loss by the public formula; ``z`` (P, K, D)."""
    local = torch.nn.functional.normalize(z, dim=-1).permute(0, 2, 1)
    loss = -torch.linalg.svdvals(local.mean(-1)).sum()
    if local_weight:
        loss = loss + local_weight * torch.linalg.svdvals(local).sum() / len(z)
    return loss


def timed(loss: Callable[[Tensor], Tensor], z: Tensor) -> tuple[float, Tensor, Tensor]:
    """Return CPU seconds of loss and gradient, the loss, and the gradient."""
    x = z.clone().requires_grad_()
    started = time.process_time()
    value = loss(x)
    value.backward()
    return time.process_time() - started, value.detach(), x.grad


def main() -> None:
    """Time both in turn, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for shape in SIZES:
        z = torch.from_numpy(streams(0)("embeddings").standard_normal(shape, dtype="float32"))
        for weight in (0.0, 0.1):
            ratios = []
            for _ in range(asked.rounds):
                theirs, one, gradient = timed(lambda x, w=weight: reference(x, w), z)
                ours, other, mine = timed(lambda x, w=weight: mmcr(x, local_weight=w), z)
                torch.testing.assert_close(one, other)
                torch.testing.assert_close(gradient, mine, atol=1e-4, rtol=1e-3)
                ratios.append(theirs / ours)
            name = f"P, K, D = {shape}, local weight {weight:g}"
            found[name] = [statistics.median(ratios), min(ratios), max(ratios)]
            print(f"{name}: {found[name][0]:.2f} ({found[name][1]:.2f}-{found[name][2]:.2f})")
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
