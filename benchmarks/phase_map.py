"""A refined phase map against the full grid of the same networks.

    python benchmarks/phase_map.py [--seeds 7] [--steps 400] [--order test_accuracy] [--json FILE]

Addition mod 31, 150 quadratic neurons, AdamW: train fraction x weight decay on a lattice of 33 x 33 places. The full
grid trains every place with every seed in one call of ``phasescope.train``. The map (``phasescope.phase_map``) trains
places only where phases meet, three seeds where they agree and all where they do not, with nothing taken from the full
grid. The boundary of either runs between neighbouring places whose majorities over seeds differ. Told are the distances
between the two boundaries, both ways, in steps of the lattice, and the cost in networks, training steps and seconds of
work, map over full grid. The targets: never further than one step apart, at no more than a quarter of the cost.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

import numpy as np

import phasescope as ps
from phasescope.ensemble import Span
from phasescope.instruments.logits import test_accuracy, train_accuracy
from phasescope.learners import PowerMLP
from phasescope.tasks import addition
from phasescope.vocabulary import Array

P, WIDTH, POINTS = 31, 150, 33
X, Y = Span("train_fraction", 0.1, 0.9), Span("weight_decay", 0.0, 20.0)


def majorities(data: Any, order: str) -> Array:
    """Return the full grid's most frequent phase at each place (rows, columns)."""
    above = ps.last(data[order]) >= 0.5
    return np.asarray((above.mean("seed") > 0.5).transpose(Y.name, X.name).values).astype(int)


def edges(phase: Array) -> Array:
    """Return the places (n, 2) half-way between neighbours of different phase, in steps of the lattice."""
    down = np.argwhere(phase[1:] != phase[:-1]) + np.array([0.5, 0])
    across = np.argwhere(phase[:, 1:] != phase[:, :-1]) + np.array([0, 0.5])
    return np.concatenate([down, across])


def distances(one: Array, other: Array) -> Array:
    """Return how far each of ``one`` (n, 2) is from the nearest of ``other`` (m, 2), the larger of the two axes."""
    return np.asarray(np.abs(one[:, None] - other[None]).max(-1).min(1))


def main() -> None:
    """Train both, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--order", default="test_accuracy", choices=["test_accuracy", "train_accuracy"])
    parser.add_argument("--json")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    recipe = ps.Recipe(steps=asked.steps, records=6, first_record=asked.steps // 16)
    watch = (train_accuracy, test_accuracy)
    e = ps.Experiment("addition mod 31", PowerMLP(P, WIDTH), addition(P), ps.Grid(), recipe, watch)
    ps.train(e.learner, e.task, ps.Grid(seeds=2), ps.Recipe(steps=2, records=2), watch)  # compiles

    started = time.monotonic()
    found = ps.phase_map(e, x=X, y=Y, by=asked.order, tolerance=1 / (POINTS - 1), seeds=asked.seeds)
    map_seconds = time.monotonic() - started
    started = time.monotonic()
    grid = ps.Grid({span.name: span.values(POINTS).tolist() for span in (Y, X)}, seeds=asked.seeds)
    full = ps.train(e.learner, e.task, grid, recipe, watch)
    full_seconds = time.monotonic() - started

    truth, mapped, d = majorities(full, asked.order), found.data.phase.values, found.data
    apart = distances(edges(truth), edges(mapped)), distances(edges(mapped), edges(truth))
    work = float(d.network_seconds.sum()) / float(full.seconds.sum())
    result = {
        "load_before": load,
        "places": [d.attrs["cells"], truth.size],
        "networks": [d.attrs["networks_trained"], len(grid)],
        "cost_networks": d.attrs["networks_trained"] / len(grid),
        "cost_steps": float(d.network_steps.sum()) / float(full.last_step.sum()),
        "cost_work_seconds": work,
        "cost_wall_seconds": map_seconds / full_seconds,
        "wall_seconds": [map_seconds, full_seconds],
        "boundary_points": [len(edges(mapped)), len(edges(truth))],
        "furthest_full_to_map": float(apart[0].max()),
        "furthest_map_to_full": float(apart[1].max()),
        "exact_share_full_to_map": float((apart[0] == 0).mean()),
        "places_of_another_phase": int((truth != mapped).sum()),
        "sampled_places_of_another_phase": int(((truth != mapped) & d.sampled.values).sum()),
        "boundary_width_median": found.width(),
    }
    for name, value in result.items():
        print(f"{name:34} {value if not isinstance(value, float) else round(value, 3)}")
    met = max(apart[0].max(), apart[1].max()) <= 1, max(result["cost_steps"], work) <= 0.25
    print(f"within one step of the full grid's boundary: {'met' if met[0] else 'not met'}")
    print(f"at most a quarter of its training cost:      {'met' if met[1] else 'not met'}")
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
