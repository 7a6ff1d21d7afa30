"""A whole phase diagram with early release against a plain loop over its cells run to the end.

    python benchmarks/phase_diagram.py [--steps 4000] [--cells 12] [--rounds 3] [--json FILE]

Addition mod 23, 128 quadratic neurons, AdamW: train fraction x weight decay x seeds = 9 x 9 x 2 networks. Ours is one
call of ``phasescope.train`` that reads accuracy and loss at log-spaced steps and lets a network go once its fate is
settled. The loop trains ``nn.Linear`` modules one by one with ``torch.optim.AdamW`` to the last step, reading the same
numbers at the same steps, on the same splits from the same weights. It would take long: a random subset of its cells is
timed and its mean taken for all. Its fates, found in the whole curve, must agree with ours.
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
from _baselines import Problem, torch_parts
from torch import nn
from torch.nn import functional

import phasescope as ps
from phasescope.ensemble.jobs import Job, jobs
from phasescope.ensemble.schedule import Watcher, record_steps
from phasescope.ensemble.streams import initialized
from phasescope.instruments import test_accuracy, test_loss, train_accuracy, train_loss
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
        torch.set_num_threads(threads)
        spent[threads] = min(loop(job, 100)[0] for _ in range(2))
    return min(spent, key=spent.__getitem__)


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Take turns: all of ours, then some of the loop's cells; return times, ratios and agreement."""
    learner, task = PowerMLP(P, WIDTH), addition(P)
    cells = jobs(learner, task, GRID, recipe(asked.steps), WATCH)
    chosen = np.random.default_rng(0).permutation(len(cells))[: asked.cells]
    default = torch.get_num_threads()
    threads = best_threads(cells[len(cells) // 2])
    torch.set_num_threads(default)
    release = recipe(asked.steps, overtime=asked.overtime, patience=asked.patience)
    ps.train(learner, task, GRID, recipe(2, overtime=1.0), WATCH, device="cpu")  # compiles
    seconds, loops, ratios, rows = [], [], [], []
    for part in np.array_split(chosen, asked.rounds):
        start = time.perf_counter()
        data = ps.train(learner, task, GRID, release, WATCH, device="cpu")
        seconds.append(time.perf_counter() - start)
        fates = data["fate"].values.reshape(-1)
        torch.set_num_threads(threads)
        for i in part.tolist():
            spent, fate = loop(cells[i])
            loops.append(spent)
            rows.append({"knobs": dict(cells[i].member.knobs), "seed": cells[i].member.seed, "loop": fate,
                         "ours": str(fates[i]), "loop seconds": spent})  # fmt: skip
        torch.set_num_threads(default)
        ratios.append(mean(loops[-len(part) :]) * len(cells) / seconds[-1])
    taken = int(data["fate_step"].size) * asked.steps
    return {
        "seconds": seconds, "loop seconds per cell": loops, "loop extrapolated": mean(loops) * len(cells),
        "ratio": median(ratios), "ratios": ratios, "loop threads": threads, "cells": rows, "networks": len(cells),
        "agree": sum(row["ours"] == row["loop"] for row in rows), "budget": taken, "steps taken": steps_taken(data),
        "fates": {str(f): int((fates == f).sum()) for f in np.unique(fates)},
    }  # fmt: skip


def steps_taken(data: Any) -> int:
    """Return the member-steps that were really trained: to each network's last reading."""
    there = np.isfinite(data["train_loss"].transpose(..., "step").values)
    last = there.shape[-1] - 1 - there[..., ::-1].argmax(-1)
    return int(data["step"].values[last].sum())


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--cells", type=int, default=12, help="cells of the loop that are timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--overtime", type=float, default=1.0)
    parser.add_argument("--patience", type=float, default=20.0)
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    found = {**measure(asked), "command": " ".join(sys.argv), "load": [load, os.getloadavg()[0]]}
    n = found["networks"]
    print(f"ours: {n} networks, {asked.steps} steps at most: {median(found['seconds']):.1f} s "
          f"(rounds {', '.join(f'{s:.1f}' for s in found['seconds'])}); fates {found['fates']}")  # fmt: skip
    print(f"early release trained {found['steps taken']:,} of {found['budget']:,} network-steps "
          f"({found['budget'] / found['steps taken']:.2f}x fewer)")  # fmt: skip
    print(f"loop: {asked.cells} of {n} cells timed, {mean(found['loop seconds per cell']):.2f} s each with "
          f"{found['loop threads']} torch thread(s); extrapolated to all: {found['loop extrapolated']:.0f} s")  # fmt: skip
    print(f"fates agree in {found['agree']} of {len(found['cells'])} cells")
    for row in (row for row in found["cells"] if row["ours"] != row["loop"]):
        print("  differs:", row)
    ratios, verdict = found["ratios"], "met" if found["ratio"] >= TARGET else "missed"
    print(f"ratio {found['ratio']:.1f} (rounds {min(ratios):.1f}-{max(ratios):.1f}), target {TARGET:g}: {verdict}; "
          f"load {found['load'][0]:.1f} before, {found['load'][1]:.1f} after")  # fmt: skip
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
