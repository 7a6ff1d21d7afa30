"""A whole phase diagram with early release against a plain loop over its cells run to the end.

    python benchmarks/phase_diagram.py [--steps 4000] [--patience 20,100,250,inf] [--cells 12] [--json FILE]

Addition mod 23, 128 quadratic neurons, AdamW: train fraction x weight decay x seeds = 9 x 9 x 2 networks. Ours is one
call of ``phasescope.train`` that reads accuracy and loss at log-spaced steps and lets a network go once its fate is
settled. The loop trains ``nn.Linear`` modules one by one with ``torch.optim.AdamW`` to the last step, reading the same
numbers at the same steps, on the same splits from the same weights. It would take long: a random subset of its cells is
timed and its mean taken for all. Releasing memorized networks early may miss a late generalization, so fates are
compared: with our own run to the end over all cells, and with the loop's over its cells.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import phasescope as ps
from _baselines import Problem, torch_parts, torch_threads
from phasescope.ensemble.jobs import Job, jobs
from phasescope.ensemble.schedule import Watcher, record_steps
from phasescope.ensemble.streams import initialized
from phasescope.instruments.logits import test_accuracy, test_loss, train_accuracy, train_loss
from phasescope.learners import PowerMLP
from phasescope.tasks import addition

P, WIDTH, TARGET = 23, 128, 8.0
FRACTIONS = tuple(round(0.1 * i, 1) for i in range(1, 10))
DECAYS = (0.0, 0.03, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0)
GRID = ps.Grid({"train_fraction": FRACTIONS, "weight_decay": DECAYS}, seeds=2)
WATCH = (train_accuracy, test_accuracy, train_loss, test_loss)


def recipe(steps: int, **release: float) -> ps.Recipe:
    """Return the common recipe; without ``release`` nobody leaves early."""
    return ps.Recipe(lr=0.01, steps=steps, records=60, **release)


def prepared(job: Job) -> tuple[nn.Module, ps.Recipe, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Return what the loop needs for one cell: module, recipe, one-hot inputs, targets, and rows by part."""
    net, draw = initialized(job.module, job.member.seed), job.draw()
    weights = (net.embed.detach().numpy(), net.readout.detach().numpy())
    module, x, y = torch_parts(Problem(P, WIDTH, [weights]), weights)
    rows = {"train": torch.from_numpy(draw.train).long(), "test": torch.from_numpy(draw.test).long()}
    return module, job.recipe, x, y, rows


def loop(job: Job, limit: int | None = None) -> tuple[float, str]:
    """Train one cell to the end (or ``limit`` steps) in plain torch; return its seconds and its fate."""
    start = time.perf_counter()
    net, asked, x, y, rows = prepared(job)
    parts = {part: (x[index], y[index], y[index].argmax(1)) for part, index in rows.items()}
    rule = torch.optim.AdamW(
        net.parameters(), asked.lr, betas=(asked.beta1, asked.beta2), eps=asked.eps, weight_decay=asked.weight_decay
    )
    due, watcher, curves = set(record_steps(asked).tolist()), Watcher(asked), []

    def look(step: int) -> None:
        with torch.no_grad():
            seen = {}
            for part, (inputs, targets, labels) in parts.items():
                out = net(inputs)
                seen[part] = (out.argmax(1) == labels).double().mean().item()
                seen[f"{part} loss"] = functional.mse_loss(out, targets).item()
        curves.append(seen)
        watcher.see(step, seen["train"], seen["test"])

    look(0)
    for step in range(1, (limit or asked.steps) + 1):
        rule.zero_grad()
        functional.mse_loss(net(parts["train"][0]), parts["train"][1]).backward()
        rule.step()
        if step in due:
            look(step)
    return time.perf_counter() - start, str(watcher.fate()[0])


def best_threads(job: Job) -> int:
    """Return the number of torch threads with which the loop is faster: the rival is given its best."""
    spent = {}
    for threads in {1, torch.get_num_threads()}:
        with torch_threads(threads):
            spent[threads] = min(loop(job, 100)[0] for _ in range(2))
    return min(spent, key=spent.__getitem__)


def ours(patience: float, steps: int) -> tuple[float, Any]:
    """Train the whole diagram; return seconds and the dataset."""
    start = time.perf_counter()
    release = recipe(steps, overtime=1.0, patience=patience) if patience < float("inf") else recipe(steps)
    data = ps.train(PowerMLP(P, WIDTH), addition(P), GRID, release, WATCH, device="cpu")
    return time.perf_counter() - start, data


def steps_taken(data: Any) -> int:
    """Return the member-steps that were really trained: to each network's last reading."""
    there = np.isfinite(data["train_loss"].transpose(..., "step").values)
    last = there.shape[-1] - 1 - there[..., ::-1].argmax(-1)
    return int(data["step"].values[last].sum())


def measure(steps: int, patiences: list[float], count: int, rounds: int) -> dict[str, Any]:
    """Take turns: our diagram at each patience, then some of the loop's cells; return times and fates."""
    cells = jobs(PowerMLP(P, WIDTH), addition(P), GRID, recipe(steps), WATCH)
    chosen = np.random.default_rng(0).permutation(len(cells))[:count]
    threads = best_threads(cells[len(cells) // 2])
    ours(1.0, 2)  # compiles
    runs: dict[float, dict[str, Any]] = {patience: {"seconds": [], "ratios": []} for patience in patiences}
    loops: list[dict[str, Any]] = []
    for part in np.array_split(chosen, rounds):
        for patience, run in runs.items():
            spent, data = ours(patience, steps)
            run["seconds"].append(spent)
            run["fates"], run["steps"] = [str(f) for f in data["fate"].values.reshape(-1)], steps_taken(data)
        for i in part.tolist():
            with torch_threads(threads):
                spent, fate = loop(cells[i])
            member = cells[i].member
            loops.append({"place": i, "knobs": dict(member.knobs), "seed": member.seed, "fate": fate, "seconds": spent})
        for run in runs.values():
            whole = mean(cell["seconds"] for cell in loops[-len(part) :]) * len(cells)
            run["ratios"].append(whole / run["seconds"][-1])
    return {"networks": len(cells), "steps": steps, "threads": threads, "loop": loops, "runs": runs}


def report(found: dict[str, Any]) -> None:
    """Print the table."""
    n, loops, runs = found["networks"], found["loop"], found["runs"]
    end = runs[max(runs)]["fates"]
    each = mean(cell["seconds"] for cell in loops)
    print(f"loop: {len(loops)} of {n} cells timed (random, seed 0), {each:.2f} s each with {found['threads']} torch "
          f"thread(s), the faster choice; extrapolated to all cells: {n * each:.0f} s\n")  # fmt: skip
    print("| patience | seconds | network-steps trained | fates as run to the end | as in the loop | x loop | target |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for patience, run in runs.items():
        name = "run to the end" if patience == float("inf") else f"{patience:g}"
        same = sum(a == b for a, b in zip(run["fates"], end, strict=True))
        loop_same = sum(run["fates"][cell["place"]] == cell["fate"] for cell in loops)
        ratio, low, high = median(run["ratios"]), min(run["ratios"]), max(run["ratios"])
        print(f"| {name} | {median(run['seconds']):.1f} | {run['steps']:,} of {n * found['steps']:,} | {same} of {n} | "
              f"{loop_same} of {len(loops)} | {ratio:.0f} ({low:.0f}-{high:.0f}) | "
              f"{TARGET:g}x {'met' if ratio >= TARGET else 'missed'} |")  # fmt: skip
    print("\nfates of the longest run:", {fate: end.count(fate) for fate in sorted(set(end))})


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--patience", default="20,100,250,inf", help="release memorized networks at so many times")
    parser.add_argument("--cells", type=int, default=12, help="cells of the loop that are timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    before = os.getloadavg()[0]
    found = measure(asked.steps, [float(x) for x in asked.patience.split(",")], asked.cells, asked.rounds)
    report(found)
    load = [before, os.getloadavg()[0]]
    print(f"load {load[0]:.1f} before, {load[1]:.1f} after")
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump({**found, "command": " ".join(sys.argv), "load": load}, file, indent=1)


if __name__ == "__main__":
    main()
