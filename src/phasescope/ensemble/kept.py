"""Weights kept along the way: at which records, and each member's own out of a dataset, to be read later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from phasescope.checks import plain
from phasescope.ensemble.results import final, steps_kept
from phasescope.ensemble.schedule import record_steps
from phasescope.errors import shown
from phasescope.vocabulary import Array, BadInput, Grid, Recipe, Scatter


def kept_steps(keep: Any, recipe: Recipe) -> tuple[int, ...]:
    """Return the steps of ``keep``, "all" or some recorded steps, in order. Raises ``BadInput`` for any other step.

    >>> kept_steps([100, 0], Recipe(steps=100, records=5)), kept_steps("all", Recipe(steps=100, records=5))
    ((0, 100), (0, 1, 3, 10, 32, 100))
    """
    records = [int(step) for step in record_steps(recipe)]
    if isinstance(keep, str) and keep == "all":
        return tuple(records)
    if isinstance(keep, str) or not isinstance(keep, Sequence | np.ndarray | range):
        raise BadInput(f'keep is {shown(keep)}: give "all", or a list of recorded steps.')
    found = {plain(step) for step in keep}
    for step in found:
        if step not in records or isinstance(step, bool):
            near = sorted(records, key=lambda record: abs(record - step) if isinstance(step, int | float) else 0)[:3]
            raise BadInput(
                f"keep has {shown(step)}, which is no recorded step: near are {', '.join(map(str, sorted(near)))}; "
                "records and first_record of the recipe say which there are."
            )
    return tuple(sorted(int(step) for step in found))


def same_members(data: xr.Dataset, grid: Grid | Scatter) -> None:
    """Raise ``BadInput`` where ``data`` is not about the members of ``grid``, in their order."""
    for name, values in grid.coords.items():
        wanted = list(values[1] if isinstance(values, tuple) else values)
        if name not in data.coords or list(data[name].values.tolist()) != wanted:
            raise BadInput(
                f"weights have other values of {name!r} than the grid: give the grid that they were trained on."
            )


def weights_of(data: xr.Dataset, grid: Grid | Scatter, place: int) -> Iterator[tuple[int, dict[str, Array]]]:
    """Yield the kept steps of the member at ``place`` of the grid, until it left, and its weights at each."""
    index = np.unravel_index(place, grid.shape)
    chosen = data.isel(dict(zip(grid.dims, map(int, index), strict=True)))
    for step in steps_kept(data):
        if step <= int(chosen["last_step"]):
            yield step, final(chosen, step=step)


def load(module: nn.Module, weights: dict[str, Array]) -> nn.Module:
    """Return ``module`` with the weights put in, in their precision. Raises ``BadInput`` where they are another's."""
    weights = {name: value for name, value in weights.items() if not name.startswith("average.")}
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    learnt = [name for name, _ in module.named_parameters()]
    missing = [name for name in learnt if name not in weights]
    for name in [*missing, *weights]:
        if name in missing or name not in own or tuple(own[name].shape) != weights[name].shape:
            there = weights[name].shape if name in weights else "none"
            mine = tuple(own[name].shape) if name in own else "none"
            raise BadInput(
                f"weights have {there} of {name!r}, and the network has {mine}: give the learner that was trained."
            )
    module.to(next((torch.from_numpy(weights[name]).dtype for name in learnt), torch.float32))
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(torch.from_numpy(np.array(value)))
    return module
