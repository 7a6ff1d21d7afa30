"""The empirical tangent kernel against a plain loop over samples and outputs: seconds and the ratio.

    python benchmarks/kernel_distance.py [--rounds 5] [--json FILE]

The loop calls ``torch.autograd.grad`` once per sample and output, on that sample alone, and multiplies the stacked
gradients with their transpose. Both use one thread and must give the same kernel. Told is the median over rounds of CPU
time, loop over ours, with the range; above 1 ours is faster.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from phasescope.ensemble import streams
from phasescope.ensemble.streams import initialized
from phasescope.instruments.neural_tangent_kernel import tangent_kernel
from phasescope.learners import OneLayerTransformer


def mlp(width: int, outputs: int) -> nn.Module:
    """Return a ReLU network of two hidden layers on 20 inputs."""
    layers = (nn.Linear(20, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))
    return nn.Sequential(*layers)


def loop(net: nn.Module, inputs: Tensor) -> Tensor:
    """Return the kernel (N K, N K), gradients one by one."""
    rows = []
    for sample in inputs:
        for out in net(sample[None]).flatten():
            gradients = torch.autograd.grad(out, list(net.parameters()), retain_graph=True)
            rows.append(torch.cat([g.flatten() for g in gradients]))
    jacobian = torch.stack(rows).double()
    return jacobian @ jacobian.T


def seconds(call: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Return the CPU seconds of one call and what it gave."""
    started = time.process_time()
    found = call()
    return time.process_time() - started, found


def main() -> None:
    """Time both in turn, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    draw = streams(0)("inputs")
    vectors = torch.from_numpy(draw.standard_normal((300, 20), dtype="float32"))
    pairs = torch.from_numpy(draw.integers(0, 23, (64, 2)))
    cases: dict[str, tuple[nn.Module, Tensor]] = {
        "ReLU, 2 x 30, 1 output, 300 samples": (mlp(30, 1), vectors),
        "ReLU, 2 x 100, 10 outputs, 50 samples": (mlp(100, 10), vectors[:50]),
        "ReLU, 2 x 300, 1 output, 300 samples": (mlp(300, 1), vectors),
        "transformer, width 32, 23 outputs, 64 samples": (initialized(OneLayerTransformer(23, 32), 0), pairs),
    }
    found = {}
    for name, (net, inputs) in cases.items():
        tangent_kernel(net, inputs[:2])
        rounds = []
        for _ in range(asked.rounds):
            slow, one = seconds(lambda n=net, x=inputs: loop(n, x))
            fast, other = seconds(lambda n=net, x=inputs: tangent_kernel(n, x, full=True))
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
            rounds.append((slow, fast, slow / fast))
        slow, fast, ratio = (statistics.median(part) for part in zip(*rounds, strict=True))
        found[name] = [ratio, min(r[2] for r in rounds), max(r[2] for r in rounds)]
        print(f"{name}: loop {slow:.3f} s, ours {fast:.3f} s, {ratio:.1f} ({found[name][1]:.1f}-{found[name][2]:.1f})")
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
