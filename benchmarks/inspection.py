"""``ps.inspect`` on 50 blocks of width 512 with a batch of 64: seconds and peak memory against forward + backward.

    python benchmarks/inspection.py [--depth 50] [--width 512] [--batch 64] [--probes 8]

Each way runs in a process of its own. Peak memory is the largest resident set, less that of a process which only
imports, makes network and batch and runs forward without a graph. Seconds are wall and CPU, without imports.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

WAYS = ("nothing", "forward + backward", "inspect")


def measured(way: str, depth: int, width: int, batch: int, probes: int) -> dict[str, float]:
    """Carry out one way in this process and return seconds, CPU seconds and peak resident bytes."""
    import torch

    import phasescope as ps
    from phasescope.ensemble import streams
    from phasescope.ensemble.streams import initialized

    net = initialized(ps.learners.SignalNetwork(width, depth, inputs=width), 0)
    x = torch.from_numpy(streams(0)("batch").standard_normal((batch, width), dtype="float32"))
    with torch.no_grad():
        net(x)
    (torch.ones(2, requires_grad=True) * 2).sum().backward()  # the first gradient of a process imports much
    ps.inspect(ps.learners.SignalNetwork(4, 2, inputs=4), torch.ones(3, 4), probes=2)
    best, cpu = float("inf"), float("inf")
    for _ in range(3 if way == "forward + backward" else 1):
        wall, spent = time.perf_counter(), time.process_time()
        if way == "forward + backward":
            net.zero_grad()
            net(x).square().mean().backward()
        elif way == "inspect":
            ps.inspect(net, x, probes=probes)
        best, cpu = min(best, time.perf_counter() - wall), min(cpu, time.process_time() - spent)
    return {"seconds": best, "cpu": cpu, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("depth", 50), ("width", 512), ("batch", 64), ("probes", 8)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--way", choices=WAYS)
    asked = parser.parse_args()
    sizes = {name: value for name, value in vars(asked).items() if name != "way"}
    if asked.way:
        print(json.dumps(measured(asked.way, **sizes)))
        return
    found: dict[str, dict[str, Any]] = {}
    for way in WAYS:
        words = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
        said = subprocess.run(
            [sys.executable, __file__, "--way", way, *words], capture_output=True, text=True, check=True
        )
        found[way] = json.loads(said.stdout)
    plain, ours, floor = found["forward + backward"], found["inspect"], found["nothing"]["peak"]
    for way in WAYS[1:]:
        row = found[way]
        print(f"{way:20s} {row['seconds']:7.2f} s  {row['cpu']:7.2f} CPU s  {(row['peak'] - floor) / 2**20:7.0f} MiB")
    print(
        f"inspect against one forward + backward: {ours['seconds'] / plain['seconds']:.1f} x wall, "
        f"{ours['cpu'] / plain['cpu']:.1f} x CPU, {(ours['peak'] - floor) / (plain['peak'] - floor):.2f} x memory"
    )


if __name__ == "__main__":
    main()
