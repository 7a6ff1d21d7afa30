"""Speed of ``ps.profile`` and ``ps.compare`` beside scikit-dimension, dadapy and rsatoolbox, all in one run.

    OMP_NUM_THREADS=1 python benchmarks/representation.py [--points 2000] [--width 64] [--rounds 5] [--json FILE]

One thread each. Contestants take turns in rounds whose order rotates; told are the median seconds of processor time,
and the median over rounds of *their time / our time* with the least and the largest. Ours always include the standard
error; the peers give none but GRIDE's. A peer that is not installed is left out and named.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

import _peers  # noqa: E402
import phasescope as ps  # noqa: E402
from phasescope.representation.similarity_clouds import Cloud  # noqa: E402
from phasescope.representation.similarity_measures import MEASURES  # noqa: E402

Contest = dict[str, Callable[[], Any]]
OURS = "phasescope"


def contests(points: int, width: int) -> dict[str, Contest]:
    """Return for each quantity the contestants, ours first, on clouds of ``points`` in ``width`` dimensions."""
    generator = np.random.default_rng(0)
    cloud = generator.standard_normal((points, 8)) @ generator.standard_normal((8, width))
    cloud += 0.1 * generator.standard_normal(cloud.shape)
    other = cloud @ generator.standard_normal((width, width)) + generator.standard_normal(cloud.shape)
    few, fewer = cloud[:512], other[:512]
    at = ps.instruments.intrinsic_dimension
    found: dict[str, Contest] = {
        "TwoNN": {
            OURS: lambda: at.two_nn(cloud),
            "scikit-dimension": lambda: _peers.skdim("TwoNN", method="mle")(cloud),
            "dadapy": lambda: _peers.dadapy_two_nn(cloud),
        },
        "GRIDE, neighbours 8 and 16": {
            OURS: lambda: at.gride(cloud, n1=8),
            "scikit-dimension": lambda: _peers.skdim("GRIDE", n1=8)(cloud),
            "dadapy": lambda: _peers.dadapy_gride(cloud, 8),
        },
        "maximum likelihood, 10 neighbours": {
            OURS: lambda: at.likelihood_dimension(cloud, k=10),
            "scikit-dimension": lambda: _peers.skdim("MLE", neighbours=10)(cloud),
        },
        "a whole profile of one place, against the three above": {
            OURS: lambda: ps.profile(cloud),
            "scikit-dimension": lambda: [
                _peers.skdim("TwoNN", method="mle")(cloud), _peers.skdim("GRIDE", n1=8)(cloud),
                _peers.skdim("MLE", neighbours=10)(cloud),
            ],
        },
        "rank correlation of distances of 512 stimuli": {
            OURS: lambda: MEASURES["rsa"](Cloud.of(few), Cloud.of(fewer), 2, np.random.default_rng(0)),
            "rsatoolbox": lambda: _peers.rsatoolbox(few, fewer, "rho-a"),
        },
    }  # fmt: skip
    return found


def measured(contest: Contest, rounds: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Return seconds of each contestant in each round, and why some did not run; each is called once before."""
    missing, running = {}, {}
    for name, call in contest.items():
        try:
            call()
        except ImportError as error:
            missing[name] = str(error)
        else:
            running[name] = call
    seconds: dict[str, list[float]] = {name: [] for name in running}
    names = list(running)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.process_time()
            running[name]()
            seconds[name].append(time.process_time() - start)
    return seconds, missing


def rows_of(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Return medians, and ratios to ours."""
    ours = seconds[OURS]
    found: dict[str, Any] = {OURS: {"seconds": statistics.median(ours)}}
    for name, times in seconds.items():
        if name != OURS:
            ratios = [a / b for a, b in zip(times, ours, strict=True)]
            found[name] = {
                "seconds": statistics.median(times),
                "ratio": [statistics.median(ratios), min(ratios), max(ratios)],
            }
    return found


def main() -> None:
    """Measure, print the table, and store it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{asked.points} points in {asked.width} dimensions, one thread, load {os.getloadavg()[0]:.1f}", file=sys.stderr
    )
    result: dict[str, Any] = {}
    print("| quantity | contestant | seconds | theirs / ours |\n| --- | --- | --- | --- |")
    for quantity, contest in contests(asked.points, asked.width).items():
        seconds, missing = measured(contest, asked.rounds)
        rows = rows_of(seconds)
        result[quantity] = rows
        for name, row in rows.items():
            ratio = "" if name == OURS else "{:.2f} ({:.2f}-{:.2f})".format(*row["ratio"])
            print(f"| {quantity} | {name} | {row['seconds']:.3f} | {ratio} |", flush=True)
        for name, why in missing.items():
            print(f"| {quantity} | {name} | not installed | |", flush=True)
            print(f"{name}: {why}", file=sys.stderr)
    if asked.json:
        about = {
            "machine": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
        }
        settings = {key: value for key, value in vars(asked).items() if key != "json"}
        document = {"about": {**about, "versions": _peers.versions(), **settings}, "rows": result}
        asked.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
