"""What the study ``hard-examples`` measures of one seed: scores, orders of learning, pruned sets, coherence."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import xarray as xr

from phasescope.data.gradients import row_gradients
from phasescope.data.score_task import READ, ROW_DISTANCE, ROW_LOSS, ROW_RIGHT
from phasescope.data.scores_result import found_area, rank_agreement
from phasescope.ensemble import final, train
from phasescope.instruments.logits import test_accuracy
from phasescope.studies.hard_examples.rows import (
    CLASSES,
    Perceptron,
    Rows,
    Sets,
    drawn,
    early_step,
    inner,
    learnt,
    recipe_of,
    several,
)
from phasescope.studies.hard_examples.settings import (
    AGAIN,
    EASY,
    EASY_MEAN,
    FULL,
    HARD,
    HARD_MEAN,
    RANDOM,
    SHUFFLED,
    TRUE,
)
from phasescope.vocabulary import Array, Generators, Grid, Member, Recipe

Found = Mapping[str, Any]
THIRDS = 3
GRADIENTS = 8  # networks whose gradients of single rows are read


def measure_scores(member: Member, generators: Generators) -> Found:
    """Measure how well each score finds wrong labels, and how far halves of the networks agree, and two networks.

    ``area`` and ``precision`` (score); ``agreement`` (between): Spearman's rank correlation of EL2N over rows.
    """
    rows, count = drawn(member, str(member["labels"]), generators), int(member["networks"])
    task = Sets(rows.x, rows.labels, (np.arange(len(rows.x)),))
    seeds, steps = inner(member.seed, 0, count), int(member["steps"])
    data = learnt(member, task, seeds, steps, READ, early=True).isel(set=0, missing_dims="ignore")
    then = early_step(member, recipe_of(member, steps))
    early = rows_of(data.row_distance.sel(step=then))
    last = rows_of(data.row_loss.isel(step=-1))
    right = rows_of(data.row_right.isel(step=slice(1, None)).mean("step"))
    own, other = class_distances(rows.x, rows.labels)
    ranked = [early.mean(0), early[0], lengths(member, data, then, rows), -right.mean(0), last.mean(0), last[0],
              own, own - other]  # fmt: skip
    return {
        "area": np.array([found_area(score, rows.wrong) for score in ranked]),
        "precision": np.array([rows.wrong[np.argsort(-s, kind="stable")[: rows.wrong.sum()]].mean() for s in ranked]),
        "agreement": np.array([halves(early), np.mean([rank_agreement(a, b) for a, b in pairwise(early)])]),
    }


def rows_of(values: xr.DataArray) -> Array:
    """Return readings of rows (S, N), float64."""
    return np.asarray(values.transpose("seed", "row").values, np.float64)


def halves(values: Array) -> float:
    """Return the rank correlation of the means over even and over odd networks (S, N)."""
    return rank_agreement(values[::2].mean(0), values[1::2].mean(0))


def lengths(member: Member, data: xr.Dataset, step: int, rows: Rows) -> Array:
    """Return the mean length of each row's gradient (N,) over the first networks, at a kept step: GraNd."""
    net = Perceptron(rows.x.shape[1], int(member["width"]))
    x, y = torch.from_numpy(rows.x), torch.from_numpy(rows.labels).long()
    seeds = [int(seed) for seed in data.seed.values[:GRADIENTS]]
    found = [row_gradients(net, final(data, step=step, seed=seed), x, y)[0].numpy() for seed in seeds]
    mean: Array = np.mean(found, 0)
    return mean


def class_distances(x: Array, labels: Array) -> tuple[Array, Array]:
    """Return the distances (N,) of rows to the mean of their class, and to the nearest mean of another one."""
    means = np.stack([x[labels == c].mean(0) if (labels == c).any() else np.full(x.shape[1], np.inf)
                      for c in range(CLASSES)]).astype(np.float64)  # fmt: skip
    far = np.linalg.norm(x[:, None] - means[None], axis=2)
    here = np.arange(len(x)), labels
    own = far[here]
    far[here] = np.inf
    return own, far.min(1)


def measure_orders(member: Member, generators: Generators) -> Found:
    """Measure how far two networks agree in the order in which they learn rows, ``agreement`` (pair).

    On rows that both train on; on rows that neither saw, which learnt disjoint thirds, from two beginnings, from two
    others, and from one. Labels are true, or shuffled: then nothing orders rows but what networks share.
    """
    rows = drawn(member, str(member["labels"]), generators)
    n = len(rows.x)
    group = np.argsort(generators("groups").permutation(n)) % THIRDS
    sets = (np.arange(n), *(np.flatnonzero(group == g) for g in range(THIRDS)))
    seeds = inner(member.seed, 0, int(member["pair"]))
    data = learnt(member, Sets(rows.x, rows.labels, sets), seeds, int(member["order_steps"]), [ROW_RIGHT])
    right = data.row_right.isel(step=slice(1, None)).mean("step").transpose("set", "seed", "row").values
    alone = [apart(right[1:], group, shift) for shift in (1, 2, 0)]
    return {"agreement": np.array([same_rows(right[0]), *alone])}


def same_rows(right: Array) -> float:
    """Return the mean agreement of neighbouring seeds (S, N) on the rows that all train on."""
    return float(np.mean([rank_agreement(a, b) for a, b in zip(right, np.roll(right, 1, 0), strict=True)]))


def apart(alone: Array, group: Array, shift: int) -> float:
    """Return the mean agreement of networks that learnt disjoint thirds (3, S, N) on the third that neither saw.

    ``shift``: how many seeds lie between the two; with 0 they begin from the same weights.
    """
    found = []
    for g in range(THIRDS):
        one, other = alone[(g + 1) % THIRDS], np.roll(alone[(g + 2) % THIRDS], shift, 0)
        found += [rank_agreement(a[group == g], b[group == g]) for a, b in zip(one, other, strict=True)]
    return float(np.mean(found))


def measure_pruned(member: Member, generators: Generators) -> Found:
    """Measure the ``accuracy`` (drop, kind) on held-out rows of networks that learn what is left, at equal steps.

    EL2N is that of networks of their own. One selection is made of each kind: it is the unit, and the mean is over
    fresh networks that learn it.
    """
    rows = drawn(member, str(member["labels"]), generators)
    n, count, fresh = len(rows.x), int(member["networks"]) // 2, int(member["fresh"])
    steps = int(member["pruned_steps"])
    early = early_step(member, recipe_of(member, steps))
    task = Sets(rows.x, rows.labels, (np.arange(n),))
    scored = learnt(member, task, inner(member.seed, 0, count), early, [ROW_DISTANCE])
    el2n = rows_of(scored.row_distance.isel(step=-1, set=0, missing_dims="ignore")).mean(0)
    sets, drops = [], several(member, "drops")
    for drop in drops:
        sets += list(selections(rows, el2n, drop, generators).values())
    x = np.concatenate([rows.x, rows.test_x])
    labels = np.concatenate([rows.labels, rows.test_y])
    task = Sets(x, labels, (*sets, np.arange(n)), np.arange(n, len(x)))
    data = learnt(member, task, inner(member.seed, count, fresh), steps, [test_accuracy])
    found = data.test_accuracy.isel(step=-1).mean("seed").values
    return {"accuracy": found[:-1].reshape(len(drops), -1), "whole": found[-1]}


def selections(rows: Rows, el2n: Array, drop: float, generators: Generators) -> dict[str, Array]:
    """Return the rows that stay (n,) where the share ``drop`` goes, by kind: as many for each."""
    n = len(el2n)
    keep, number = n - round(drop * n), round(1000 * drop)
    own, other = class_distances(rows.x, rows.labels)
    order, by_mean = np.argsort(el2n, kind="stable"), np.argsort(own - other, kind="stable")
    return {
        RANDOM: generators("random", number).permutation(n)[:keep],
        AGAIN: generators("again", number).permutation(n)[:keep],
        HARD: order[:keep],
        EASY: order[n - keep :],
        HARD_MEAN: by_mean[:keep],
        EASY_MEAN: by_mean[n - keep :],
    }


def measure_coherence(member: Member, generators: Generators) -> Found:
    """Measure the coherence of gradients, of true labels and of shuffled ones: ``matched`` (given, level) where the
    loss first falls to each level, ``equal`` (given, after) at equal steps, with the ``loss`` there.

    Means of logarithms over networks; missing where one of them never falls so far.
    """
    levels, count = several(member, "levels"), int(member["coherent_networks"])
    at = np.log(several(member, "equal"))
    matched, equal, losses = [], [], []
    for labels in (TRUE, SHUFFLED):
        rows, n = drawn(member, labels, generators), int(member["coherent"])
        read = [along(member, rows.x[:n], rows.labels[:n], seed) for seed in inner(member.seed, 0, count)]
        matched.append(np.mean([[where(c, loss, level) for level in levels] for _, c, loss in read], 0))
        equal.append(np.mean([np.interp(at, np.log(steps[1:]), c[1:]) for steps, c, _ in read], 0))
        losses.append(np.mean([np.interp(at, np.log(steps[1:]), loss[1:]) for steps, _, loss in read], 0))
    return {"matched": np.exp(matched), "equal": np.exp(equal), "loss": np.array(losses)}


def along(member: Member, x: Array, y: Array, seed: int) -> tuple[Array, Array, Array]:
    """Return steps (T,), the logarithm of coherence, and training loss of one network that learns all rows."""
    steps = int(member["descent"])
    recipe = Recipe(
        optimizer="sgd", lr=float(member["descent_rate"]), momentum=0.9, steps=steps, loss="cross_entropy",
        batch=None if member["batches"] == FULL else int(member["batch"]),
        records=min(int(member["descent_records"]), steps),
    )  # fmt: skip
    net = Perceptron(x.shape[1], int(member["wide"]))
    data = train(net, Sets(x, y, (np.arange(len(x)),)), Grid({"set": [0]}, seeds=[seed]), recipe, [ROW_LOSS],
                 keep="all", workers=1, device="cpu")  # fmt: skip
    rows, labels = torch.from_numpy(x), torch.from_numpy(y).long()
    coherence = [row_gradients(net, final(data, step=int(k), set=0, seed=seed), rows, labels)[1]
                 for k in data.step.values]  # fmt: skip
    loss = data.row_loss.transpose("set", "seed", "step", "row").values[0, 0].astype(np.float64).mean(1)
    return data.step.values, np.log(coherence), loss


def where(values: Array, loss: Array, level: float) -> float:
    """Return values (T,) where the loss (T,) first falls to ``level``, on a line between records; NaN where never."""
    below = np.flatnonzero(loss <= level)
    if not len(below) or below[0] == 0:
        return float("nan")
    k = int(below[0])
    share = (loss[k - 1] - level) / (loss[k - 1] - loss[k])
    return float((1 - share) * values[k - 1] + share * values[k])
