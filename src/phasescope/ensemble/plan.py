"""What a run will need: memory per member, the tile that fits, and the largest result that may be held."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from phasescope.ensemble.fused import fused_of
from phasescope.ensemble.handed import answer
from phasescope.ensemble.jobs import Job
from phasescope.ensemble.schedule import record_steps
from phasescope.ensemble.streams import copied
from phasescope.vocabulary import BadInput

SHARE = 0.7
TILE_BYTES_CPU = 8 * 2**20
MOST_MEMBERS = 4096


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory(device: torch.device) -> int:
    """Return the bytes that a run may still take on ``device``."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if hasattr(os, "sysconf") else 2**32


def activation_bytes(job: Job, rows: int) -> int:
    """Return the bytes that autograd saves in a forward pass of ``rows`` samples, from passes of two and of four."""
    first = np.concatenate([job.sample.first] * 4)[:4]
    two, four = (_saved_bytes(job, torch.from_numpy(first[:few])) for few in (2, 4))
    each = (four - two) // 2
    return max(two + each * (rows - 2), each)


def _saved_bytes(job: Job, x: torch.Tensor) -> int:
    saved = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal saved
        saved += tensor.numel() * tensor.element_size()
        return tensor

    module = copied(job.module).eval()  # a copy: what a forward pass leaves on a network is none of the user's
    weights: dict[str, torch.Tensor] = dict(module.named_parameters())
    state = {name: buffer.clone() for name, buffer in module.named_buffers()}
    real = [weight.dtype for weight in weights.values() if weight.is_floating_point()]
    x = x.to(real[0]) if x.is_floating_point() and real else x
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            answer(module, {**weights, **state}, x)
    except RuntimeError:  # of a network that differentiates by itself, whose tensors torch lets nobody look at
        made = _Made()
        with made:
            answer(module, {**weights, **state}, x)
        saved = made.bytes
    return saved


class _Made(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all that operations give: more than is saved."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        several = out if isinstance(out, tuple | list) else [out]
        self.bytes += sum(v.numel() * v.element_size() for v in several if isinstance(v, torch.Tensor))
        return out


def bytes_per_member(job: Job, engine: str) -> int:
    """Return an estimate of the working memory of one member in training."""
    item = 8 if job.recipe.dtype == "float64" else 4
    weights = sum(p.numel() for p in job.module.parameters())
    rows = job.sample.rows
    records = len(record_steps(job.recipe))
    if engine == "measure":
        return item * weights * 3 + activation_bytes(job, rows)
    if engine == "fused":
        fused = fused_of(job)
        scratch = int(fused.scratch_size(fused.shape, min(job.recipe.batch or rows, rows)))
        return item * (weights * 6 + scratch + rows * (job.task.classes + 2 * int(fused.shape[3]) + 8))
    # a step keeps the activations of one batch; a reading passes all rows, one layer at a time unless it goes backwards
    instruments = (*job.watch, *job.at_end)
    every = any(instrument.cost == "backward" for instrument in instruments)
    layers = max(sum(p.ndim > 1 for p in job.module.parameters()), 1)
    steps = 2 * activation_bytes(job, rows if every else min(job.recipe.batch or rows, rows))
    readings = 2 * activation_bytes(job, rows) // layers
    return item * weights * (6 + records // 50) + max(steps, readings) + 16 * rows


def check_memory(jobs: Sequence[Job], engine: str, workers: int, device: torch.device) -> None:
    """Raise ``BadInput`` when a run needs more memory than there is, with both numbers.

    ``engine`` is "fused", "stacked", or "measure" for one forward pass at a time.
    """
    free = free_memory(device)
    different = {job.shape_key: job for job in jobs}.values()
    least = max(12 * sum(p.numel() for p in job.module.parameters()) for job in different)
    largest = least if least > free else max(bytes_per_member(job, engine) for job in different)
    kept = 0
    if engine != "measure":
        weights = {id(job.module): sum(p.numel() for p in job.module.parameters()) for job in jobs}
        kept = sum(8 * weights[id(job.module)] * (1 + len(job.keep)) for job in jobs)
        kept += sum(8 * len(record_steps(job.recipe)) * max(len(job.watch), 1) for job in jobs)
    need = largest * (workers if engine == "fused" else 1) + kept
    if need > free:
        raise BadInput(
            f"this grid of {len(jobs):,} members needs about {need / 2**30:,.1f} GiB of memory on {device} and "
            f"{free / 2**30:,.1f} GiB are free: use fewer members, a smaller width or p, or fewer records."
        )


def most_in_a_tile(job: Job, device: torch.device, cores: int) -> int:
    """Return how many members memory allows in a tile where each of ``cores`` has one, at least one."""
    several = cores if device.type == "cpu" else 1
    return int(max(SHARE * free_memory(device) // (several * max(bytes_per_member(job, "stacked"), 1)), 1))


def tile_size(job: Job, device: torch.device, asked: int | None) -> int:
    """Return how many members are stacked: what fits a CPU's outer cache, or most of a GPU's memory."""
    if asked is not None:
        return asked
    budget = TILE_BYTES_CPU if device.type == "cpu" else SHARE * free_memory(device)
    return int(np.clip(budget // max(bytes_per_member(job, "stacked"), 1), 1, MOST_MEMBERS))
