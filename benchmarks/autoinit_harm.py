"""Whether ``ps.autoinit`` ever harms: a hundred steps on digits from the same weights, before and after.

    python benchmarks/autoinit_harm.py [--store benchmarks/autoinit_harm.json] [--seeds 5] [--steps 100]

For each of the architectures of ``_architectures.py`` and each seed: the same draw of weights, the same batches of 64,
and the same three learning rates (SGD with momentum 0.9, or Adam, as people train that kind), once as drawn and once
after ``ps.autoinit`` on 64 training images. The number is the accuracy on the 719 held-out images at the best of the
three rates. What is done is stored after each architecture, and a second run goes on from there.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from scipy.special import stdtrit
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

import phasescope as ps
from _architectures import ARCHITECTURES, Architecture

RATES = {"sgd": (0.003, 0.02, 0.1), "adam": (0.0005, 0.002, 0.01)}
BATCH, TRAIN = 64, 1078


def data() -> tuple[Tensor, Tensor]:
    x, y = load_digits(return_X_y=True)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    inputs = torch.tensor(x, dtype=torch.float32)[order]
    return (inputs - inputs.mean()) / inputs.std(), torch.tensor(y)[order]


def accuracy(net: nn.Module, optimizer: str, rate: float, steps: int, seed: int, x: Tensor, y: Tensor) -> float:
    """Train a copy of ``net`` and return its held-out accuracy; 0 where it diverged."""
    net = copy.deepcopy(net).train()
    generator = torch.Generator().manual_seed(seed)
    make = {
        "sgd": lambda p: torch.optim.SGD(p, lr=rate, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, lr=rate, fused=True),
    }
    rule = make[optimizer](net.parameters())
    for _ in range(steps):
        rows = torch.randint(TRAIN, (BATCH,), generator=generator)
        loss = functional.cross_entropy(net(x[rows]), y[rows])
        if not bool(torch.isfinite(loss)):
            return 0.0
        rule.zero_grad()
        loss.backward()
        rule.step()
    net.eval()
    with torch.no_grad():
        return float((net(x[TRAIN:]).argmax(1) == y[TRAIN:]).double().mean())


def measured(one: Architecture, seeds: int, steps: int, x: Tensor, y: Tensor) -> dict[str, Any]:
    """Return the accuracies (seeds,) at the best rate before and after, and what autoinit did."""
    row: dict[str, Any] = {"kind": one.kind, "bad": one.bad, "optimizer": one.optimizer, "before": [], "after": []}
    row |= {"converged": [], "scales": [1.0, 1.0], "seconds": 0.0}
    begun = time.perf_counter()
    for seed in range(seeds):
        torch.manual_seed(seed)
        drawn = one.make()
        tuned = copy.deepcopy(drawn)
        report = ps.autoinit(tuned, x[:BATCH], seed=seed)
        scales = list(report.scales.values())
        row["scales"] = [min(row["scales"][0], *scales), max(row["scales"][1], *scales)]
        row["converged"].append(report.converged)
        row["reason"] = report.reason
        for net, key in ((drawn, "before"), (tuned, "after")):
            if key == "after" and set(scales) == {1.0}:  # the same bits: the same training
                row["after"].append(row["before"][-1])
            else:
                row[key].append(max(accuracy(net, one.optimizer, r, steps, seed, x, y) for r in RATES[one.optimizer]))
    row["seconds"] = time.perf_counter() - begun
    return row | {"difference": interval([a - b for a, b in zip(row["after"], row["before"], strict=True)])}


def interval(differences: list[float]) -> list[float]:
    """Return mean, lower and upper end of the 95 % t interval of paired differences."""
    n = len(differences)
    mean = math.fsum(differences) / n
    half = float(stdtrit(n - 1, 0.975)) * math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    return [mean, mean - half, mean + half]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--only", default="", help="a part of the names to run")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sizes = {"seeds": asked.seeds, "steps": asked.steps}
    kept = json.loads(asked.store.read_text()) if asked.store.is_file() else {}
    rows = kept.get("rows", {}) if {k: kept.get(k) for k in sizes} == sizes else {}
    x, y = data()
    for one in ARCHITECTURES:
        if one.name not in rows and asked.only in one.name:
            rows[one.name] = measured(one, asked.seeds, asked.steps, x, y)
            asked.store.write_text(
                json.dumps({**sizes, "listed": len(ARCHITECTURES), "rates": RATES, "rows": rows}, indent=1) + "\n"
            )
        if one.name in rows:
            row = rows[one.name]
            mean, low, high = row["difference"]
            before, after = (sum(row[key]) / asked.seeds for key in ("before", "after"))
            worse = "  WORSE" if high < 0 else "  better" if low > 0 else ""
            print(f"{one.name:55s} {before:.3f} {after:.3f}  {mean:+.3f} [{low:+.3f}, {high:+.3f}]  converged "
                  f"{sum(row['converged'])}/{asked.seeds}  scales {row['scales'][0]:.2g}..{row['scales'][1]:.2g}  "
                  f"{row['seconds']:.0f} s{worse}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
