"""``ps.scores``: what each example is to networks that learn it, over many seeds, with errors and nulls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from phasescope.checks import number
from phasescope.data.gradients import row_gradients
from phasescope.data.score_task import ALONE, GROUPS, READ, ROW_RIGHT, SHUFFLED, WHOLE, WITHOUT, Parts, groups_of
from phasescope.data.scores_result import SOURCES, Scores, rank_agreement
from phasescope.ensemble import Progress as Running
from phasescope.ensemble import final, streams
from phasescope.ensemble import train as trained
from phasescope.ensemble.jobs import LearnerLike
from phasescope.ensemble.streams import copied, made
from phasescope.errors import resumable
from phasescope.store import Store
from phasescope.tasks import Table
from phasescope.vocabulary import Array, BadInput, Grid, Member, Recipe

Progress = Callable[[str, int, int], object]
LEVELS = (0.6, 0.5, 0.4, 0.3, 0.2)
HELD = 2**31  # bytes of readings and kept weights
EARLY = 0.1
DIVERGED = "diverged"


def scores(
    module: LearnerLike,
    X: Any,
    y: Any,
    *,
    seeds: int | Sequence[int] = 16,
    recipe: Recipe | None = None,
    early: float = EARLY,
    levels: Sequence[float] = LEVELS,
    name: str = "data",
    out: Path | str | None = None,
    on_progress: Progress | None = None,
) -> Scores:
    """Return the scores of all examples ``X`` (N, ...), ``y`` (N,) classes, for networks such as ``module``.

    ``module``: any ``nn.Module`` written for one network, or a function of the member that makes one; its weights are
    drawn anew for each of the ``seeds``, eight networks a seed: on all rows, on all with the labels shuffled, without
    each of three groups of rows, on each of these alone. ``recipe``: how they learn, by default AdamW at a rate of
    0.01 with batches of 64 for 1,000 steps; cross-entropy. ``early`` is the share of the steps after which EL2N and
    GraNd are read, ``levels`` the training losses at which coherence is.

    Of each row, over the seeds: EL2N and GraNd early on; accessibility, at what share of the records it is answered
    rightly, and forgetting; margin at the end; memorization, how much more often it is answered rightly by networks
    that saw it. ``Scores`` tells what each means. ``out``: a folder in which finished networks are kept: the same call
    goes on. ``on_progress(what, done, total)`` is told of steps. Raises ``BadInput`` for what can not be used, for
    fewer than 2 seeds, and where readings would take more than 2 GiB.
    """
    early = number(0, 1, open_low=True)("early", early)
    levels = [number(0, open_low=True)("a level of the loss", level) for level in levels]
    table = Table(name, X, y, _classes(y))
    if table.labels.dtype.kind == "f" or table.labels.ndim != 1:
        raise BadInput(f"y has the shape {table.labels.shape}: give one class (N,) for each row.")
    recipe = recipe or Recipe(lr=0.01, steps=1000, batch=min(64, len(table.labels)), loss="cross_entropy", records=40)
    if recipe.loss != "cross_entropy":
        raise BadInput(f"loss is {recipe.loss!r}: scores are those of networks that learn by cross_entropy.")
    whole_grid = Grid({"part": [WHOLE, SHUFFLED]}, seeds=seeds)
    grids = {"on all rows": whole_grid, "without some rows": Grid({"part": [*WITHOUT, *ALONE]}, seeds=seeds)}
    if len(whole_grid) < 4:
        raise BadInput(f"seeds is {seeds!r}: give at least 2, errors are over seeds.")
    _check_memory(module, table, recipe, len(whole_grid) // 2)
    tell = on_progress or (lambda what, done, total: None)
    store = Store(out) if out is not None else None
    task, found = Parts(table, next(iter(whole_grid)).seed), {}
    try:
        with resumable(kept=store is not None):
            for what, grid in grids.items():

                def progress(run: Running, what: str = what) -> None:
                    tell(f"steps of networks {what}", run.steps_done, run.steps)

                whole = grid is whole_grid
                found[what] = trained(
                    module, task, grid, recipe, READ if whole else [ROW_RIGHT], keeper=store,
                    keep="all" if whole else (), on_progress=progress,
                )  # fmt: skip
    finally:
        if store is not None:
            store.close()
    lost = sum(int((data.fate == DIVERGED).sum()) for data in found.values())
    full, parts = map(_without_diverged, found.values())
    if int((full.fate.sel(part=WHOLE) != DIVERGED).sum()) < 2:
        raise BadInput("of the networks on all rows fewer than 2 did not diverge: lower the learning rate.")
    rows, notes = _row_scores(full, recipe, early), []
    rows |= _memorized(parts)
    try:
        lengths, coherent = _gradients(module, table, full, task, recipe, early, levels, tell)
        rows["grand"] = lengths
    except BadInput as error:
        coherent = np.full((2, len(full.seed), len(levels)), math.nan)
        rows["grand"] = np.full(rows["el2n"].shape, math.nan)
        notes.append(f"No GraNd and no coherence: {error}")
    if lost:
        notes.append(f"{lost} networks diverged and are left out: lower the learning rate.")
    early_step = int(full.step.values[_early(full, recipe, early)])
    return Scores(_dataset(rows, full, parts, coherent, levels, table, name, early_step, task.split), tuple(notes))


def _classes(y: Any) -> int:
    try:
        labels = np.asarray(y)
        return max(2, int(labels.max()) + 1) if labels.dtype.kind in "iub" else 2
    except (ValueError, TypeError):
        return 2


def _check_memory(module: Any, table: Table, recipe: Recipe, seeds: int) -> None:
    n, records = len(table.labels), recipe.records + 1
    readings = seeds * records * n * 4 * (2 * len(READ) + 2 * GROUPS)
    template = module if isinstance(module, nn.Module) else made(module, Member({"part": WHOLE}, 0))
    weights = 2 * seeds * records * 4 * sum(p.numel() for p in template.parameters())
    if readings + weights > HELD:
        raise BadInput(
            f"{seeds} seeds, {records} records of {n:,} rows and the weights take "
            f"{(readings + weights) / 2**30:.1f} GiB, above 2: give fewer seeds, rows, or records of the recipe."
        )


def _without_diverged(data: xr.Dataset) -> xr.Dataset:
    """Return readings of rows, with NaN in place of all that a network read which was not finite to the end."""
    out = data.fate == DIVERGED
    if not bool(out.any()):
        return data
    return data.assign({name: data[name].where(~out) for name in data.data_vars if str(name).startswith("row_")})


def _row_scores(full: xr.Dataset, recipe: Recipe, early: float) -> dict[str, Array]:
    """Return by name what is read of the networks on all rows, (S, N)."""
    whole = full.sel(part=WHOLE)
    at = {name: whole[name].transpose("seed", "step", "row").values.astype(float) for name in whole.data_vars
          if str(name).startswith("row_")}  # fmt: skip
    then = _early(whole, recipe, early)
    right = at["row_right"][:, 1:]
    falls = ((right[:, :-1] == 1) & (right[:, 1:] == 0)).sum(1).astype(float)
    falls[~(right == 1).any(1)] = math.nan  # what was never right is not forgotten
    return {
        "el2n": at["row_distance"][:, then],
        "accessibility": right.mean(1),
        "forgetting": falls,
        "margin": at["row_margin"][:, -1],
    }


def _early(data: xr.Dataset, recipe: Recipe, early: float) -> int:
    """Return which record is nearest the share ``early`` of the steps, from 1 on."""
    return 1 + int(np.abs(data.step.values[1:] - early * recipe.steps).argmin())


def _memorized(parts: xr.Dataset) -> dict[str, Array]:
    """Return how much more often each row is right at the end in networks that saw it (S, N)."""
    right = parts.row_right.isel(step=-1)
    found = []
    for seed in parts.seed.values:
        group = groups_of(streams(int(seed)), right.sizes["row"])
        values = right.sel(seed=seed, part=list(WITHOUT)).transpose("part", "row").values.astype(float)
        out = group[None] == np.arange(GROUPS)[:, None]
        found.append(np.where(~out, values, 0).sum(0) / (GROUPS - 1) - np.where(out, values, 0).sum(0))
    return {"memorization": np.stack(found)}


def _orders(full: xr.Dataset, parts: xr.Dataset, split: int) -> tuple[Array, Array]:
    """Return the agreement of orders of learning: of pairs of seeds on all rows, and of disjoint sets, (S,) each.

    The latter is on rows that neither network saw, and of two seeds, which begin from other weights.
    """
    whole = _accessible(full.sel(part=WHOLE))
    shared = [rank_agreement(a, b) for a, b in zip(whole, np.roll(whole, 1, 0), strict=True)]
    group = groups_of(streams(split), whole.shape[1])
    alone = [_accessible(parts.sel(part=part)) for part in ALONE]
    apart = []
    for i in range(len(whole)):
        pairs = [(alone[(g + 1) % 3][i], alone[(g + 2) % 3][i - 1], group == g) for g in range(GROUPS)]
        apart.append(np.mean([rank_agreement(a[rows], b[rows]) for a, b, rows in pairs]))
    return np.array(shared), np.array(apart)


def _accessible(data: xr.Dataset) -> Array:
    """Return the share of the records after the first at which each row is right (S, N)."""
    found: Array = data.row_right.isel(step=slice(1, None)).mean("step").transpose("seed", "row").values
    return found


def _gradients(
    module: Any, table: Table, full: xr.Dataset, task: Parts, recipe: Recipe, early: float, levels: Sequence[float],
    tell: Progress,
) -> tuple[Array, Array]:  # fmt: skip
    """Return GraNd (S, N), and the coherence at each level of the loss, of labels and of shuffled ones (2, S, L)."""
    seeds = full.seed.values
    lengths, coherent = [], np.full((2, len(seeds), len(levels)), math.nan)
    inputs = torch.from_numpy(np.ascontiguousarray(table.inputs))
    inputs = inputs.to(getattr(torch, recipe.dtype)) if inputs.is_floating_point() else inputs.long()
    for i, seed in enumerate(seeds):
        tell("gradients of rows", i, len(seeds))
        for p, part in enumerate((WHOLE, SHUFFLED)):
            member = Member({"part": part}, int(seed))
            net = copied(module) if isinstance(module, nn.Module) else made(module, member)
            net = net.to(inputs.dtype) if inputs.is_floating_point() else net
            labels = torch.from_numpy(task.draw(member, streams(int(seed))).labels).long()

            cell = {"part": part, "seed": int(seed)}

            def read(k: int, net: nn.Module = net, cell: Any = cell, y: Tensor = labels) -> tuple[Tensor, float]:
                return row_gradients(net, final(full, step=int(full.step.values[k]), **cell), inputs, y)

            losses = full.row_loss.sel(cell).transpose("step", "row").values.mean(1)
            if part == WHOLE:
                gone = np.full(len(labels), math.nan)  # of a network that diverged nothing is read
                lengths.append(gone if math.isnan(losses[0]) else read(_early(full, recipe, early))[0].numpy())
            coherent[p, i] = _at_levels(losses, levels, read)
    return np.stack(lengths), coherent


def _at_levels(losses: Array, levels: Sequence[float], read: Callable[[int], Any]) -> list[float]:
    """Return the coherence where the loss first falls to each level, between records on a line in its logarithm."""
    known: dict[int, float] = {}

    def at(k: int) -> float:
        if k not in known:
            known[k] = math.log(max(read(k)[1], 1e-300))
        return known[k]

    found = []
    for level in levels:
        below = np.flatnonzero(losses <= level)
        if not len(below) or below[0] == 0:
            found.append(math.nan)  # it never fell so far, or began there
            continue
        k = int(below[0])
        share = (losses[k - 1] - level) / (losses[k - 1] - losses[k])
        found.append(math.exp((1 - share) * at(k - 1) + share * at(k)))
    return found


def _dataset(
    rows: Mapping[str, Array], full: xr.Dataset, parts: xr.Dataset, coherent: Array, levels: Sequence[float],
    table: Table, name: str, early_step: int, split: int,
) -> xr.Dataset:  # fmt: skip
    shared, apart = _orders(full, parts, split)
    data = xr.Dataset(
        {f"{key}_each": (("seed", "row"), value) for key, value in rows.items()},
        coords={"seed": full.seed.values, "row": np.arange(len(table.labels)), "level": list(levels)},
        attrs={"name": name, "early_step": early_step},
    )
    for key in rows:
        each = data[f"{key}_each"]
        data[key] = each.mean("seed")
        data[f"{key}_error"] = each.std("seed", ddof=1) / np.sqrt(each.notnull().sum("seed"))
    right = full.sel(part=WHOLE).row_right.isel(step=slice(1, None))
    never = (~(right == 1).any("step")).where(right.notnull().any("step"))
    data["unlearnt"] = ("row", never.mean("seed").values)
    data["label"] = ("row", table.labels)
    data["order_shared"], data["order_disjoint"] = ("seed", shared), ("seed", apart)
    data["coherence"], data["coherence_shuffled"] = (("seed", "level"), coherent[0]), (("seed", "level"), coherent[1])
    for key in map(str, data.data_vars):
        unit, source = SOURCES[key.removesuffix("_each").removesuffix("_error").removesuffix("_shuffled")]
        data[key].attrs = {"units": unit, "source": source}
    return data
