"""Time per network and training step of Phasescope's engines against a torch loop, torch.func.vmap and JAX.

    python benchmarks/ensemble.py [--quick] [--sizes 11x64,23x128] [--members 1,8,64] [--rounds 5] [--json FILE]

Every contestant trains the same networks (addition mod p, all p * p rows, mean squared error, AdamW, float32, the
quadratic network in the plain parametrization) from the same weights; that their losses agree after 10 steps is checked
first. Then contestants take turns in rounds, in an order that rotates, and every ratio is the median of the ratios
within a round, so that a slow minute of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

import phasescope as ps
from _baselines import BETA1, BETA2, DECAY, EPS, LR, Contestant, Jax, Problem, Weights, loop, torch_threads, vmapped
from phasescope.ensemble import plan
from phasescope.ensemble.jobs import jobs
from phasescope.ensemble.streams import initialized
from phasescope.learners import PowerMLP
from phasescope.learners.matmul import multiply
from phasescope.tasks import addition
from phasescope.vocabulary import Draw

SIZES, MEMBERS, CHECK_STEPS, TILE_BYTES = "11x64,23x128,31x200,59x300,97x500", "1,8,64", 10, 2**30
LOOP_TARGETS = {(23, 128): 5.0, (31, 200): 3.0, (59, 300): 2.2, (97, 500): 1.6}
PEAK_TARGETS = {(59, 300): 0.6, (97, 500): 0.8}
Variants = dict[str, dict[str, Contestant]]
CORES = len(os.sched_getaffinity(0))


class WholeTable:
    """Addition mod p of which every row trains: a benchmark's task, as ``Table`` keeps at least one row for testing."""

    def __init__(self, p: int) -> None:
        self.table = addition(p)
        self.name, self.classes, self.knobs = f"the whole of {self.table.name}", p, {}
        self.inputs, self.labels = self.table.inputs, self.table.labels

    def draw(self, member: ps.Member, generators: Any) -> Draw:
        """Return all rows for training; the first one doubles as the test set."""
        rows = np.arange(len(self.inputs), dtype=np.int32)
        return Draw(self.inputs, self.labels, self.labels, rows, rows[:1], np.ones(len(rows)))

    def describe(self) -> Mapping[str, Any]:
        """Return the table's own description."""
        return {**self.table.describe(), "task": self.name}


def recipe(steps: int) -> ps.Recipe:
    """Return the common recipe."""
    return ps.Recipe(lr=LR, weight_decay=DECAY, beta1=BETA1, beta2=BETA2, eps=EPS, steps=steps, records=2)


def ours(
    p: int, width: int, members: int, engine: Any, startup: list[float] | None = None, threads: int = 1
) -> Contestant:
    """``phasescope.train`` without instruments, ``count`` steps; start-up, seen in a run of one step, is taken off.

    Start-up (making, checking and collecting the members) is kept in ``startup``, in seconds.
    """
    learner, task, grid = PowerMLP(p, width), WholeTable(p), ps.Grid(seeds=members)

    def train(steps: int) -> tuple[float, Any]:
        start = time.perf_counter()
        with torch_threads(threads if engine == "stacked" else torch.get_num_threads()):
            data = ps.train(learner, task, grid, recipe(steps), device="cpu", engine=engine)
        return time.perf_counter() - start, data

    def run(count: int) -> tuple[float, int, Weights]:
        short, _ = train(1)
        long, data = train(count)
        step = max(long - short, 1e-9) / (count - 1)
        if startup is not None:
            startup.append(short - step)
        first = data.isel(seed=0)
        return step * count, count * members, (first["final.embed"].values, first["final.readout"].values)

    return run


def contestants(problem: Problem, members: int, jax: Jax | None, startup: list[float]) -> Variants:
    """Return the variants of every contestant by name; of several variants the fastest will run."""
    p, width, default = problem.p, problem.width, torch.get_num_threads()
    job = jobs(PowerMLP(p, width), WholeTable(p), ps.Grid(), recipe(1))[0]
    stack = min(members, plan.tile_size(job, torch.device("cpu"), None))
    largest = min(members, max(TILE_BYTES // (p * p * width * 4 * 6), 1))
    tiles = sorted({1 << (largest.bit_length() - 1), min(8, members, largest)})
    found: Variants = {
        "ours": {"fused": ours(p, width, members, "fused", startup)},
        "stacked": {f"tile {stack}, {n} threads": ours(p, width, stack, "stacked", threads=n) for n in {1, default}},
        "a": {f"{default} threads": loop(problem, default)},
        "a1": {"1 thread": loop(problem, 1), "1 thread, fused AdamW": loop(problem, 1, fused=True)},
        "b": {f"tile {t}, {n} threads": vmapped(problem, t, n) for t in tiles for n in {1, default}},
    }
    if jax:
        forms = {"one-hot": False, "gather": True}
        found["c"] = {f"{form}, one at a time": jax.contestant(problem, 1, gather) for form, gather in forms.items()}
        for tile in (t for t in tiles if t > 1):
            found["c"] |= {f"{f}, vmap {tile}": jax.contestant(problem, tile, g) for f, g in forms.items()}
        lanes = min(CORES, members)
        if lanes > 1:
            found["c2"] = {f"{f}, {lanes} at a time": jax.contestant(problem, 1, g, lanes) for f, g in forms.items()}
    return found


def peaks() -> dict[str, float]:
    """Return GFLOP/s of square float32 products by torch and numpy, and of our own kernel on one core and on all."""

    def rate(flops: float, product: Callable[[], Any]) -> float:
        start = time.perf_counter()
        product()
        return flops / (time.perf_counter() - start) / 1e9

    found = {"torch": 0.0, "numpy": 0.0}
    for n in (1024, 1536, 2048):
        x = np.full((n, n), 0.5, np.float32)
        for name, a in (("torch", torch.from_numpy(x)), ("numpy", x)):
            found[name] = max(found[name], *(rate(2 * n**3, lambda a=a: a @ a) for _ in range(2)))
    a, b = np.full((128, 256), 0.5, np.float32), np.full((256, 192), 0.5, np.float32)

    def work(times: int) -> None:
        c = np.zeros((128, 192), np.float32)
        for _ in range(times):
            multiply(c, a, b, False)

    flops, times = 2 * 128 * 256 * 192, 500
    work(1)
    with ThreadPoolExecutor(CORES) as pool:
        for name, cores in (("own kernel, 1 core", 1), ("own kernel, all cores", CORES)):
            each = [times] * cores
            found[name] = max(rate(cores * times * flops, lambda e=each: list(pool.map(work, e))) for _ in range(3))
    return found


def measure(p: int, width: int, members: int, rounds: int, seconds: float, jax: Jax | None) -> dict[str, Any]:
    """Run one cell: check that all train the same, choose variants, then time them in turns."""
    net = PowerMLP(p, width)
    nets = [initialized(net, seed) for seed in range(members)]
    problem = Problem(p, width, [(n.embed.detach().numpy(), n.readout.detach().numpy()) for n in nets])
    startup: list[float] = []
    chosen, names, counts, losses = {}, {}, {}, {}
    for name, variants in contestants(problem, members, jax, startup).items():
        costs, together = {}, {}
        for variant, run in variants.items():
            spent, steps, weights = run(CHECK_STEPS)
            # a floor under the cost: of 10 steps, noise may leave nothing once start-up is taken off
            costs[variant] = max(spent / steps, 5e-6, 6 * p**3 * width / 3e11)
            together[variant] = steps // CHECK_STEPS
            losses[f"{name}: {variant}"] = problem.loss(weights)
        names[name] = min(costs, key=costs.__getitem__)
        chosen[name] = variants[names[name]]
        slot = seconds * (2.5 if name == "ours" else 1.0)  # ours has its start-up to outweigh
        counts[name] = int(np.clip(slot / (costs[names[name]] * together[names[name]]), 2, 20_000))
    spread = max(losses.values()) / min(losses.values()) - 1
    if spread > 1e-4:
        raise SystemExit(f"p={p} width={width}: the contestants do not train the same network: {losses}")
    startup.clear()
    times: dict[str, list[float]] = {name: [] for name in chosen}
    machine: dict[str, list[float]] = {}
    for name, run in chosen.items():
        if name.startswith("c"):
            run(counts[name])  # compiles
    for turn in range(rounds):
        order = list(chosen)[turn % len(chosen) :] + list(chosen)[: turn % len(chosen)]
        for name in order:
            spent, steps, _ = chosen[name](counts[name])
            times[name].append(1e6 * spent / steps)
        for name, value in peaks().items():
            machine.setdefault(name, []).append(value)
    return {
        "p": p, "width": width, "members": members, "microseconds": times, "variants": names, "counts": counts,
        "losses": losses, "peaks": machine, "load": os.getloadavg()[0], "startup_seconds": median(startup),
        "flops": 6 * p**3 * width,
    }  # fmt: skip


def summary(cell: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a row of the table: medians over rounds, and least and largest ratios."""
    times, machine = cell["microseconds"], cell["peaks"]
    speed = [cell["flops"] / t / 1e3 for t in times["ours"]]
    blas = [max(pair) for pair in zip(machine["torch"], machine["numpy"], strict=True)]
    own = machine["own kernel, all cores"]
    ratios = {}
    for name in times.keys() - {"ours"}:
        each = [other / mine for other, mine in zip(times[name], times["ours"], strict=True)]
        ratios[name] = (median(each), min(each), max(each))
    found = {"us": median(times["ours"]), "gflops": median(speed), "ratios": ratios}
    for name, peak in (("blas", blas), ("own", own)):
        found[name] = median(mine / top for mine, top in zip(speed, peak, strict=True))
    size, missed = (cell["p"], cell["width"]), []
    if cell["members"] == 64:
        if ratios["a"][0] < LOOP_TARGETS.get(size, 0):
            missed.append(f"(a) {LOOP_TARGETS[size]}x")
        if found["blas"] < PEAK_TARGETS.get(size, 0):
            missed.append(f"peak {PEAK_TARGETS[size]}")
    missed += [f"({name}) 1x" for name in ("b", "c") if name in ratios and ratios[name][0] < 1]
    return {**found, "missed": missed}


COLUMNS = ("stacked", "a", "a1", "b", "c", "c2")


def row(cell: dict[str, Any]) -> str:
    """Return a line of the Markdown table."""
    s = summary(cell)
    ratios = [("{:.2f} ({:.2f}-{:.2f})".format(*s["ratios"][n]) if n in s["ratios"] else "") for n in COLUMNS]
    parts = [f"({cell['p']}, {cell['width']})", str(cell["members"]), f"{s['us']:.1f}", f"{s['gflops']:.0f}"]
    parts += [f"{s['blas']:.2f}", f"{s['own']:.2f}", *ratios, f"{1e3 * cell['startup_seconds'] / cell['members']:.1f}"]
    return "| " + " | ".join([*parts, "missed: " + ", ".join(s["missed"]) if s["missed"] else "met"]) + " |"


HEAD = (
    "| (p, width) | members | us per network-step | GFLOP/s | of BLAS peak | of own peak | x stacked | x (a) loop "
    "| x (a1) loop, 1 thread | x (b) vmap | x (c) JAX | x (c2) JAX, all cores | start-up ms per network | targets |\n|"
) + " --- |" * 14


def machine() -> dict[str, Any]:
    """Return what the numbers depend on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    cpu = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "")
    return {"cpu": cpu or platform.processor(), "cores": CORES, "torch threads": torch.get_num_threads(),
            "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
            "command": " ".join(sys.argv), "load at start": round(os.getloadavg()[0], 1)}  # fmt: skip


def main() -> None:
    """Read the command line, run the cells, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds, short slots, members 1 and 64")
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--members")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="length of a contestant's turn")
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    members = [int(m) for m in (asked.members or ("1,64" if asked.quick else MEMBERS)).split(",")]
    rounds, seconds = asked.rounds or (2 if asked.quick else 5), asked.seconds or (0.15 if asked.quick else 0.4)
    try:
        jax = Jax()
    except ImportError as error:
        jax = None
        print(error, file=sys.stderr)
    facts = {**machine(), "jax": jax.version if jax else None}
    print(", ".join(f"{name} {value}" for name, value in facts.items()), f"\n\n{HEAD}", sep="")
    cells = []
    for size in asked.sizes.split(","):
        p, width = (int(n) for n in size.split("x"))
        for count in members:
            cells.append(measure(p, width, count, rounds, seconds, jax))
            print(row(cells[-1]), flush=True)
    tops = {name: max(max(cell["peaks"][name]) for cell in cells) for name in cells[0]["peaks"]}
    print("\nPeaks (best of the run, GFLOP/s): " + ", ".join(f"{name} {value:.0f}" for name, value in tops.items()))
    print("BLAS peak of a round: the faster of torch and numpy. Load of cells:", [round(c["load"], 1) for c in cells])
    if asked.json:
        rows = [summary(cell) for cell in cells]
        found = {"machine": facts, "peaks": tops, "cells": cells, "rows": rows}
        Path(asked.json).write_text(json.dumps(found, indent=1))
    if jax:
        jax.close()


if __name__ == "__main__":
    main()
