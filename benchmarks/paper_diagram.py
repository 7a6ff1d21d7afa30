"""The phase diagrams of arXiv:2310.13061, Fig. 3, at the paper's size: 8 panels of 323 networks, 2,000 steps each.

    python benchmarks/paper_diagram.py [--device cuda] [--networks 323] [--steps 2000] [--tile 0] [--json FILE]

Addition mod 97 with 500 hidden units, full batch: train fraction x corruption for four weight decays and for four rates
of dropout, as ``corrupted-labels --scale paper`` has it. The paper names 72 hours on an RTX 3090 for them; the goal is
3 minutes on an H200. ``--networks`` and ``--steps`` take a part of it, and the time of the whole is then estimated.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch

import phasescope as ps
from phasescope.studies.corrupted_labels.experiments import experiments
from phasescope.studies.corrupted_labels.settings import SCALES

PANELS = ("diagram_decay", "diagram_dropout")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--networks", type=int, default=323, help="networks of each panel")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--tile", type=int, default=0, help="networks at a time; 0: as memory allows")
    parser.add_argument("--json", default="")
    asked = parser.parse_args()
    known = experiments(SCALES["paper"])
    whole = taken = 0
    begun = time.perf_counter()
    for name in PANELS:
        one = known[name]
        members = list(one.grid)
        part = members[:: max(len(members) // (4 * asked.networks), 1)][: 4 * asked.networks]
        recipe = ps.Recipe(**{**one.recipe.model_dump(), "steps": asked.steps})
        engine: Any = "stacked" if asked.device == "cuda" else "auto"
        ps.train(
            one.learner, one.task, ps.Scatter(part), recipe, one.watch, device=asked.device, engine=engine,
            tile=asked.tile or None,
        )  # fmt: skip
        whole += len(members) * one.recipe.steps
        taken += len(part) * asked.steps
    seconds = time.perf_counter() - begun
    name = torch.cuda.get_device_name() if asked.device == "cuda" else f"{torch.get_num_threads()} cores"
    row = {
        "device": name, "network-steps": taken, "seconds": round(seconds, 1), "us per network and step":
        round(1e6 * seconds / taken, 1), "minutes for all 8 panels": round(seconds / taken * whole / 60, 1),
    }  # fmt: skip
    print(json.dumps(row), flush=True)
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump(row, file)


if __name__ == "__main__":
    main()
