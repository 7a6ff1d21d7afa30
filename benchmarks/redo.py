"""The sixty networks of docs/redo.md: ``ps.train`` against plain loops on all cores, whole scripts, from start to end.

    python benchmarks/redo.py [--steps 2500] [--records 25] [--rounds 1] [--only loops,ours] [--json FILE]

The yardstick is what a careful user writes: one process per core with one thread, torch's fused AdamW, full batches as
the study has them, both accuracies and losses read every 100 steps, and its early stop (both accuracies at 99 % at two
readings in succession) or none. Ours reads the same at the same steps. ``overtime=1`` lets a network leave at the first
reading at which it generalizes, ``patience`` those that memorized long ago. Every contestant says how many networks
came to generalize, and at which readings, so that none is fast by learning less.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SCRIPT = Path(__file__).parents[1] / "docs" / "examples" / "redo.py"
CORES = 2
INF = float("inf")
#: Contestant -> whether loops stop early, or what our recipe has, the engine and its tile.
LOOPS: dict[str, bool] = {"loops": False, "loops, early stop": True}
OURS: dict[str, tuple[dict[str, float], str, int | None]] = {
    "ours": ({"overtime": INF}, "auto", None),
    "ours, one at a time": ({"overtime": INF}, "traced", 1),
    "ours, overtime 1": ({"overtime": 1}, "auto", None),
    "ours, overtime 1, patience 4": ({"overtime": 1, "patience": 4}, "auto", None),
}
LEVEL = 0.95


def example() -> Any:
    """Return the page's script as a module."""
    spec = importlib.util.spec_from_file_location("redo_example", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loops(rank: int, steps: int, every: int, *, stop: bool) -> dict[str, Any]:
    """Train this core's half of the networks, one after the other, as one would without a library."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    own = example()
    pairs = torch.cartesian_prod(torch.arange(own.P), torch.arange(own.P))
    sums = pairs.sum(1) % own.P
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(42))
    cells = sorted(product(*own.AXES.values()), key=lambda cell: cell[1] * (1 + cell[2] / 32))
    reached: dict[str, Any] = {}
    for decay, fraction, width in cells[rank::CORES]:  # by cost, so that both cores have as much to do
        torch.manual_seed(42)
        count = round(fraction * len(pairs))
        (train_x, test_x), (train_y, test_y) = ((v[order[:count]], v[order[count:]]) for v in (pairs, sums))
        net = own.Adder(width)
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.001, betas=(0.9, 0.98), weight_decay=decay, fused=True)
        first, good = {"train": 0, "test": 0}, 0
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            functional.cross_entropy(net(train_x), train_y).backward()
            optimizer.step()
            if step % every and step != steps:
                continue
            accuracy = {}
            with torch.no_grad():
                for name, x, y in (("train", train_x, train_y), ("test", test_x, test_y)):
                    logits = net(x)
                    functional.cross_entropy(logits, y).item()
                    accuracy[name] = (logits.argmax(1) == y).float().mean().item()
                    if accuracy[name] >= LEVEL and not first[name]:
                        first[name] = step
            good = good + 1 if min(accuracy.values()) >= 0.99 else 0
            if stop and good == 2:
                break
        reached[f"{decay} {fraction} {width}"] = [first["train"], first["test"], step]
    return {"reached": reached}


def ours(steps: int, records: int, early: dict[str, float], engine: str, tile: int | None) -> dict[str, Any]:
    """Train all networks by ``ps.train``, its choice of engines and its folder included."""
    import numpy as np

    own = example()
    settings = {**own.RECIPE.model_dump(), "patience": float("inf"), "steps": steps, "records": records}
    recipe = type(own.RECIPE)(**{**settings, "first_record": steps // records, **early})
    with TemporaryDirectory() as folder:
        data = own.trained([42], recipe, Path(folder) / "run", engine, tile)
    found = own.phases(data)
    reached = {}
    for decay, fraction, width in product(*own.AXES.values()):
        cell = {"weight_decay": decay, "train_fraction": fraction, "width": width, "seed": 42}
        one = [found.train_step.sel(cell), found.test_step.sel(cell), data.last_step.sel(cell)]
        reached[f"{decay} {fraction} {width}"] = [int(np.nan_to_num(float(value))) for value in one]
    return {"reached": reached, "engine": data.attrs["engine"]}


def timed(name: str, steps: int, records: int) -> tuple[float, dict[str, Any]]:
    """Return the seconds from the start of Python to the end of the last process, and what the processes found."""
    here = [sys.executable, str(Path(__file__)), "--script", name, "--steps", str(steps), "--records", str(records)]
    ranks = range(CORES) if name in LOOPS else range(1)
    with TemporaryDirectory() as folder:
        files = [Path(folder) / f"{rank}.json" for rank in ranks]
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        begun, before = time.perf_counter(), spent()
        several = [
            subprocess.Popen([*here, "--rank", str(rank), "--json", str(file)], env={**os.environ, **threads})
            for rank, file in zip(ranks, files, strict=True)
        ]
        codes = [process.wait() for process in several]
        assert not any(codes), codes
        seconds, processor = time.perf_counter() - begun, spent() - before
        parts = [json.loads(file.read_text()) for file in files]
    reached = {cell: one for part in parts for cell, one in part["reached"].items()}
    return seconds, {"reached": reached, "engine": parts[0].get("engine", ""), "processor": processor}


def spent() -> float:
    """Return the processor's seconds that ended processes took: what a busy machine disturbs less than the clock."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--records", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default=";".join([*LOOPS, *OURS]), help="contestants, separated by semicolons")
    parser.add_argument("--json", default="")
    parser.add_argument("--script", default="", help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.script in LOOPS:
        found = loops(asked.rank, asked.steps, asked.steps // asked.records, stop=LOOPS[asked.script])
    elif asked.script in OURS:
        found = ours(asked.steps, asked.records, *OURS[asked.script])
    if asked.script:
        Path(asked.json).write_text(json.dumps(found))
        return
    seconds: dict[str, list[float]] = {name: [] for name in asked.only.split(";")}
    rows: dict[str, Any] = {}
    for _ in range(asked.rounds):
        for name in seconds:
            took, said = timed(name, asked.steps, asked.records)
            seconds[name].append(took)
            generalized = sum(test > 0 for _, test, _ in said["reached"].values())
            taken = sum(last for _, _, last in said["reached"].values())
            rows[name] = {"seconds": seconds[name], "generalized": generalized, "steps": taken, **said}
            cost = f"{took:7.1f} s, of the processor {said['processor']:.1f} s, {taken:,} steps"
            print(f"{name:32} {cost}, {generalized} of 60 generalized, load {os.getloadavg()[0]:.1f}", flush=True)
            if said["engine"]:
                print("    " + said["engine"].replace("\n", "\n    "), flush=True)
    if "loops" in seconds:
        base = statistics.median(seconds["loops"])
        for name, several in seconds.items():
            print(f"{name:32} {base / statistics.median(several):5.2f} times as fast as loops")
    if asked.json:
        Path(asked.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
