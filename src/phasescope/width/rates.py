"""``transfer``: is the best learning rate of a small network that of a large one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from phasescope.checks import number, sequence, takes, whole
from phasescope.ensemble.streams import drawing
from phasescope.inspection.batches import fitted
from phasescope.store.finished import Piece
from phasescope.vocabulary import Array, BadInput, Recipe
from phasescope.width.kept import identity, kept_in, told
from phasescope.width.rates_result import Best, RateTransfer, best_of
from phasescope.width.training import (
    ALIKE,
    SAME,
    Begun,
    Plan,
    Steps,
    begun,
    classes,
    counted,
    planned,
    targets_of,
    with_rate,
)

Progress = Callable[[str, int, int], object]


def transfer(
    builder: Callable[[int], nn.Module],
    data: tuple[Any, Any],
    *,
    widths: Sequence[int] | None = None,
    depths: Sequence[int] | None = None,
    rates: Sequence[float],
    parametrization: Literal["given", "mup", "ntk"] = "given",
    recipe: Recipe | None = None,
    optimizer: Callable[[nn.Module, int, float], Any] | None = None,
    test: tuple[Any, Any] | None = None,
    seeds: int = 4,
    base: int | None = None,
    tolerance: float = 1.0,
    confidence: float = 0.95,
    name: str = "",
    out: Path | str | None = None,
    on_progress: Progress | None = None,
) -> RateTransfer:
    """Return the best learning rate at each of ``widths`` (or ``depths``), and whether it is the same.

    At every size, each of ``rates`` (three or more, rising, in equal ratios) and seed a network of ``builder(size)``
    learns ``recipe.steps`` steps, 100 of Adam by default, and its loss is read at the end, on all of ``data``, or on
    ``test``, a pair like it. A seed's best rate is where its loss is lowest, between rates by a parabola through three;
    a size's is the mean over seeds with Student's interval, in octaves (log2). What the grid leaves open is added to
    the interval: half the difference between parabolas over the rate and over its log2, or, where the loss next to the
    lowest is not finite, half a distance of the grid. ``spread``: the largest difference of two sizes, with an interval
    that holds for all pairs of sizes together at ``confidence``. "transfers": the spread is at most ``tolerance``
    octaves, 1 being a factor of 2; "does not": it is more; "undecided": the seeds, the grid (its distance is more than
    ``tolerance``) or its ends (where a best rate is the first or the last) do not tell.

    ``parametrization``, ``base`` are those of ``coordinate_check``; with ``depths`` give a parametrization of your own.
    ``optimizer(module, size, rate)`` returns one of torch's, in place of ``recipe``'s. ``out``: a folder in which the
    losses of finished networks are kept: the same call goes on, and one with more seeds or rates trains only these.

    Raises ``BadInput`` for fewer than two sizes, three rates or two seeds, both widths and depths or neither, rates in
    unequal ratios, and what the parts raise.
    """
    along, sizes = _sizes(widths, depths, parametrization)
    grid = grid_of(rates)
    seeds = whole(2, 10_000)("seeds", seeds)
    tolerance = number(0, 20, open_low=True)("tolerance", tolerance)
    confidence = number(0, 1, open_low=True, open_high=True)("confidence", confidence)
    base = sizes[0] if base is None else whole(1, 10**7)("base", base)
    if optimizer is not None:
        takes("optimizer", optimizer, "module", along, "rate")
    first = None if optimizer is None else partial(_at, optimizer, grid[0])
    plan = planned(builder, data, recipe, parametrization, base, first, None, _usual)
    held = _held(test, plan)
    losses = np.full((len(sizes), len(grid), seeds), math.nan)
    with kept_in(out) as finished:
        known = told(plan, __name__, optimizer, held) if out is not None else {}
        for done, (i, j, seed) in enumerate(np.ndindex(losses.shape)):
            size, rate = sizes[i], grid[j]
            if on_progress is not None:
                on_progress(f"{along} {size}, rate {rate:.3g}", done, losses.size)
            here = with_rate(plan, rate)
            if optimizer is not None:
                here = replace(here, make=partial(_at, optimizer, rate))
            network = begun(here, size, seed)
            piece = finished.piece(partial(identity, known, network, rate), partial(_kept_loss, here, network, held))
            losses[i, j, seed] = float(piece[0]["value"])
    lost = [size for size, values in zip(sizes, losses, strict=True) if not np.isfinite(values).any(0).all()]
    if lost:
        raise BadInput(f"at {along} {lost[0]} no rate gives a finite loss: give smaller rates.")
    if not losses.any():
        raise BadInput("every loss is 0 at the end, so no rate is the best: train fewer steps, or on harder data.")
    if (losses == losses[..., :1]).all():
        raise BadInput(SAME)
    if (losses == losses[:1]).all():
        raise BadInput(ALIKE.format(along=along))
    return _judged(losses, along, sizes, grid, plan, seeds, tolerance, confidence, name, test is not None)


def _at(optimizer: Callable[[nn.Module, int, float], Any], rate: float, module: nn.Module, size: int) -> Any:
    return optimizer(module, size, rate)


def _usual(loss: str) -> Recipe:
    return Recipe(optimizer="adam", lr=0.001, steps=100, loss=loss, records=2)


def _sizes(widths: Any, depths: Any, parametrization: str) -> tuple[str, tuple[int, ...]]:
    if (widths is None) == (depths is None):
        raise BadInput("give widths or depths, the sizes that the builder takes, and not both.")
    along, given = ("width", widths) if widths is not None else ("depth", depths)
    if along == "depth" and parametrization != "given":
        raise BadInput(f"parametrization is {parametrization!r}, which is one of widths: with depths, build your own.")
    found = [whole(1, 10**7)(f"a {along}", size) for size in sequence(f"{along}s", given, 100)]
    if len(found) < 2 or sorted(set(found)) != found:
        raise BadInput(f"{along}s are {found}: give two or more, each larger than the one before.")
    return along, tuple(found)


def grid_of(rates: Any) -> tuple[float, ...]:
    """Return rising rates in equal ratios, three or more. Raises ``BadInput``."""
    found = [float(number(1e-30, 1e30)("a rate", rate)) for rate in sequence("rates", rates, 1000)]
    if len(found) < 3 or sorted(set(found)) != found:
        raise BadInput(f"rates are {found}: give three or more, each larger than the one before.")
    steps = np.diff(np.log2(found))
    if np.ptp(steps) > 0.02 * steps.mean():
        raise BadInput("rates have unequal ratios: give such as [0.001 * 2**k for k in range(8)].")
    return tuple(found)


def _held(test: Any, plan: Plan) -> tuple[Any, Tensor] | None:
    if test is None:
        return None
    if not isinstance(test, tuple | list) or len(test) != 2:
        raise BadInput("test is no pair: give (inputs, targets), such as (X, y).")
    targets = targets_of(test[1], "the targets of test")
    if plan.recipe.loss == "cross_entropy" or (plan.recipe.loss == "mse" and not targets.is_floating_point()):
        classes(targets, "the targets of test")
    counted(test[0], len(targets), " of test")
    return test[0], targets


def _kept_loss(plan: Plan, network: Begun, held: tuple[Any, Any] | None) -> Piece:
    return {"value": np.array(_final(plan, network, held))}, {}


def _final(plan: Plan, network: Begun, held: tuple[Any, Any] | None) -> float:
    """Return the loss of one network at the end; infinite where it is not finite."""
    module, steps = network.module, Steps(plan, network)
    with drawing(network.seed):
        for step in range(1, plan.recipe.steps + 1):
            steps.take(step)
        if held is None:
            value = steps.evaluated(steps.inputs, steps.targets)
        else:
            value = steps.evaluated(fitted(held[0], module), held[1].to(steps.targets.device))
    return value if math.isfinite(value) else math.inf


def _judged(
    losses: Array, along: str, sizes: tuple[int, ...], grid: tuple[float, ...], plan: Plan, seeds: int,
    tolerance: float, confidence: float, name: str, held: bool,
) -> RateTransfer:  # fmt: skip
    import xarray as xr

    octaves = np.log2(np.array(grid))
    best: list[list[Best]] = [[best_of(values[:, s], octaves) for s in range(seeds)] for values in losses]
    learns = "own optimizer" if plan.make else str(plan.recipe.model_dump(mode="json")["optimizer"])
    words = {
        "name": name or getattr(plan.builder, "__qualname__", type(plan.builder).__name__),
        "parametrization": plan.parametrization, "optimizer": learns, "steps": plan.recipe.steps,
        "tolerance": tolerance, "confidence": confidence, "base": plan.base, "loss": "test" if held else "training",
        "along": along, "samples": plan.samples,
    }  # fmt: skip
    data = xr.Dataset(
        {
            "loss": ((along, "rate", "seed"), losses, {"units": "nats or squared units of the targets"}),
            "best": (
                (along, "seed"),
                np.array([[b.octave for b in row] for row in best]),
                {"units": "log2 of the rate"},
            ),
            "edge": ((along, "seed"), np.array([[b.edge for b in row] for row in best]), {"units": "-1, 0 or 1"}),
            "doubt": ((along, "seed"), np.array([[b.doubt for b in row] for row in best]), {"units": "octaves"}),
        },
        coords={along: list(sizes), "rate": list(grid), "seed": np.arange(seeds)},
        attrs=words,
    )
    return RateTransfer(data)
