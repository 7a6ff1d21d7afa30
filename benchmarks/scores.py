"""Wrong labels found by ``ps.scores`` and by cleanlab, on the same digits in one run: quality and time.

python benchmarks/scores.py [--rows 1000] [--seeds 16] [--draws 3] [--steps 1000] [--json FILE]

Of ``--rows`` digits a tenth has another label, drawn anew ``--draws`` times. Ours reads networks of 64 hidden units;
cleanlab (``pip install cleanlab``) takes probabilities out of five folds: of one such network, of the mean of as many
as ``--seeds``, and of a logistic regression. Each row has the area under the curve, the precision among as many rows as
were changed, and for cleanlab what ``find_label_issues`` names by itself: how many, and how many of these are wrong.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import nn

import phasescope as ps
from phasescope.data import found_area

FOLDS = 5
Found = dict[str, tuple[Any, Any]]
"""By name: how suspect each row is (N,), and the rows that a way names by itself, or None."""


def flipped(rows: int, draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return digits, labels of which a tenth is another class, and which these are."""
    digits, chance = load_digits(), ps.streams(draw)("labels")
    chosen = chance.permutation(len(digits.data))[:rows]
    x, y = digits.data[chosen] / 16, digits.target[chosen].copy()
    wrong = chance.permutation(rows)[: rows // 10]
    y[wrong] = (y[wrong] + chance.integers(1, 10, len(wrong))) % 10
    return x, y, wrong


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def ours(seeds: int, steps: int, x: Any, y: Any) -> Found:
    recipe = ps.Recipe(lr=0.01, steps=steps, batch=64, loss="cross_entropy", records=40)
    found = ps.scores(network(), x, y, seeds=seeds, recipe=recipe)
    return {by: (found.hardness(by), None) for by in ("el2n", "grand", "memorization")}


def by_cleanlab(probabilities: Callable[[Any, Any], Any], x: Any, y: Any) -> Found:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    outside = probabilities(x, y)
    named = find_label_issues(y, outside, return_indices_ranked_by="self_confidence", n_jobs=1)
    methods = ("self_confidence", "normalized_margin")
    return {method: (-get_label_quality_scores(y, outside, method=method), named) for method in methods}


def networks(count: int, steps: int, x: Any, y: Any) -> np.ndarray:
    """Return probabilities (N, 10) out of five folds: the mean of ``count`` networks, trained as ours, by a loop."""
    found = np.zeros((len(y), 10))
    inputs, labels = torch.from_numpy(x).float(), torch.from_numpy(y).long()
    for inside, outside in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y):
        for seed in range(count):
            torch.manual_seed(seed)
            net, rows = network(), torch.from_numpy(inside)
            rule = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0)
            for _ in range(steps):
                batch = rows[torch.randint(len(rows), (64,))]
                rule.zero_grad()
                nn.functional.cross_entropy(net(inputs[batch]), labels[batch]).backward()
                rule.step()
            with torch.no_grad():
                found[outside] += net(inputs[outside]).softmax(-1).double().numpy() / count
    return found


def regression(x: Any, y: Any) -> np.ndarray:
    """Return probabilities (N, 10) out of five folds of a logistic regression."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    found: np.ndarray = cross_val_predict(LogisticRegression(max_iter=1000), x, y, cv=folds, method="predict_proba")
    return found


def measured(way: str, find: Callable[[Any, Any], Found], asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each score of a way: medians over draws of the wrong labels."""
    kept: dict[str, list[tuple[float, ...]]] = {}
    for draw in range(asked.draws):
        x, y, wrong = flipped(asked.rows, draw)
        flags = np.isin(np.arange(len(y)), wrong)
        begun = time.perf_counter()
        found = find(x, y)
        seconds = time.perf_counter() - begun
        for by, (suspicion, named) in found.items():
            first = np.argsort(-suspicion, kind="stable")[: len(wrong)]
            own = (np.nan, np.nan) if named is None else (len(named), float(flags[named].mean()) if len(named) else 0)
            kept.setdefault(by, []).append((found_area(suspicion, flags), flags[first].mean(), *own, seconds))
    rows = []
    for by, values in kept.items():
        area, precision, named, right, seconds = np.median(values, axis=0).tolist()
        rows.append({"way": way, "score": by, "auc": area, "precision": precision, "named": named, "right": right,
                     "seconds": seconds})  # fmt: skip
        told = f"  names {named:.0f}, {right:.1%} right" if np.isfinite(named) else ""
        print(f"{way:34} {by:18} AUC {area:.4f}  precision {precision:.3f}  {seconds:6.1f} s{told}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--json")
    asked = parser.parse_args()
    many = partial(networks, asked.seeds, asked.steps)
    ways: dict[str, Callable[[Any, Any], Found]] = {
        f"phasescope, {asked.seeds} seeds": partial(ours, asked.seeds, asked.steps),
        "phasescope, 2 seeds": partial(ours, 2, asked.steps),
        "cleanlab, one network": partial(by_cleanlab, partial(networks, 1, asked.steps)),
        f"cleanlab, mean of {asked.seeds} networks": partial(by_cleanlab, many),
        "cleanlab, logistic regression": partial(by_cleanlab, regression),
    }
    rows = []
    for way, find in ways.items():
        try:
            rows += measured(way, find, asked)
        except ImportError as error:
            print(f"{way}: {error}")
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
