"""What it costs to have work done by Ray on this machine, against the pool of local processes.

60 bundles of 2 seconds on 2 workers, through the seam that ``ps.train(..., executor=...)`` uses. A bundle waits instead
of computing, so that what is measured is the way there and back, also on a machine that others use; with ``--compute``
it computes until it has had 2 seconds of a core. Start-up is told apart: the time until the first two bundles of no
length are back.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from phasescope.ensemble.errands import Elsewhere, Errand, bundled, run_errands
from phasescope.ensemble.executors import executor_named


def bundle(data: Any, seconds: float, compute: bool) -> bytes:
    """Wait or compute for some seconds; return a record of a member's size (40 kB)."""
    begun = time.process_time()
    if not compute:
        time.sleep(seconds)
    a = np.random.default_rng(0).standard_normal((64, 64))
    while compute and time.process_time() - begun < seconds:
        a = np.tanh(a @ a)
    return bundled({"0": ({"path": np.zeros(5_000)}, {})})


def timed(elsewhere: Elsewhere, count: int, seconds: float, compute: bool) -> float:
    """Return the seconds in which ``count`` bundles come back."""
    data, back = np.zeros(50_000), []

    def take(arrays: Any, facts: Any) -> None:
        back.append(len(arrays))

    begun = time.monotonic()
    run_errands(
        elsewhere, [Errand(bundle, (data, seconds, compute), take, "waiting") for _ in range(count)], lambda: None
    )
    assert len(back) == count
    return time.monotonic() - begun


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--bundles", type=int, default=60)
    words.add_argument("--seconds", type=float, default=2.0)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--who", default="processes,ray", help="names of executors, with commas")
    words.add_argument("--compute", action="store_true", help="compute instead of waiting")
    words.add_argument("--json", type=Path)
    args = words.parse_args()
    rows = []
    least = args.seconds * -(-args.bundles // args.workers)
    for who in args.who.split(","):
        begun = time.monotonic()
        elsewhere = executor_named(who, args.workers)
        timed(elsewhere, args.workers, 0.0, args.compute)
        start = time.monotonic() - begun
        load = os.getloadavg()[0]
        took = timed(elsewhere, args.bundles, args.seconds, args.compute)
        rows.append({"who": who, "start": start, "seconds": took, "over": took / least - 1, "load": load})
        print(
            f"{who:10} start {start:5.1f} s   {args.bundles} bundles {took:6.2f} s   over {least:g} s by "
            f"{100 * (took / least - 1):.1f} %   load average at the start {load:.1f}", flush=True,
        )  # fmt: skip
    for row in rows[1:]:
        print(f"{row['who']} over {rows[0]['who']}: {100 * (row['seconds'] / rows[0]['seconds'] - 1):+.1f} %")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
