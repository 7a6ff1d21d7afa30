"""Trains a tile of members side by side with ``torch.func``: any ``nn.Module``, on CPU or CUDA.

Parameters carry a leading member axis; randomness is drawn outside, per member. Settled members leave the tile. On a
CPU, torch's batched kernels may differ in the last bit with the number and place of members in a tile: ``tile=1``
restores the bits of a member trained alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from phasescope.ensemble import optimizers
from phasescope.ensemble.jobs import Job
from phasescope.ensemble.losses import sample_losses, weighted_mean
from phasescope.ensemble.reading import finite, read, running, scores, subject, tensors
from phasescope.ensemble.schedule import Watcher, groups, record_steps, spreads
from phasescope.ensemble.streams import batch_order, dropout_keys, layer_key, streams
from phasescope.vocabulary import Array, Keeper, KeyedRest, Sampler, Trajectory

Tensors = dict[str, Tensor]


class Tile:
    """Members of one shape in training, stacked; ``active`` says which jobs are still in the batch."""

    def __init__(self, jobs: Sequence[Job], device: torch.device) -> None:
        self.jobs, self.device = list(jobs), device
        self.recipe = jobs[0].recipe
        self.dtype = getattr(torch, self.recipe.dtype)
        self.steps = record_steps(self.recipe)
        self.active = list(range(len(jobs)))
        modules = [job.begun().to(device, self.dtype) for job in jobs]
        self.module = modules[0]
        self.parameters = _stack([_tensors(m, learnt=True) for m in modules])
        self.frozen = _stack([_tensors(m, learnt=False) for m in modules])
        self.buffers = _stack([dict(m.named_buffers()) for m in modules])
        for name, part in self.module.named_modules():
            if isinstance(part, KeyedRest):  # one module acts for all members: it rests only if it may for each
                part.always_off = bool((self.buffers[f"{name}.rate"] == 0).all())
        self.m, self.v = optimizers.moments(self.parameters)
        self.numbers = optimizers.numbers([job.recipe for job in jobs], device)
        draws = [job.draw() for job in jobs]
        self.spreads = [spreads(draw) for draw in draws]
        self.data = _stack([tensors(draw, device, self.dtype) for draw in draws])
        self.rows = [draw.train for draw in draws]
        self.watchers = [Watcher(job.recipe) for job in jobs]
        self.seen: list[list[dict[str, Array]]] = [[] for _ in jobs]
        self.done, self.seconds = 0, 0.0

    # -- one step ----------------------------------------------------------------------------------------------------

    def _loss(
        self, weights: Tensors, frozen: Tensors, state: Tensors, x: Tensor, y: Tensor, w: Tensor
    ) -> tuple[Tensor, Tensors]:
        logits = functional_call(self.module, ({**weights, **frozen}, state), (x,))
        return weighted_mean(sample_losses(logits, y, self.recipe.loss), w), state

    def _batches(self, first: int, count: int) -> Callable[[int], tuple[Tensor, Tensor, Tensor]]:
        if self.jobs[0].sample.endless:
            return self._fresh
        rows = [self.rows[i] for i in self.active]
        size = min(self.recipe.batch or len(rows[0]), len(rows[0]))
        whole = self.recipe.batch is None or size == len(rows[0])
        seeds = [self.jobs[i].member.seed for i in self.active]
        orders = [
            row[None] if whole else batch_order(seed, row, size, first, count)
            for row, seed in zip(rows, seeds, strict=True)
        ]
        order = torch.from_numpy(np.stack(orders)).long().to(self.device)
        chosen: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

        def batch(step: int) -> tuple[Tensor, Tensor, Tensor]:
            at = 0 if whole else step - first
            if at not in chosen:
                chosen.clear()
                index = order[:, at]
                parts = [_take(self.data[name], index) for name in ("inputs", "labels", "weights")]
                chosen[at] = (parts[0], parts[1], parts[2])
            return chosen[at]

        return batch

    def _fresh(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        pairs: list[tuple[Tensor, Tensor]] = []
        for i in self.active:
            job = self.jobs[i]
            assert isinstance(job.task, Sampler)
            assert self.recipe.batch is not None
            fresh = job.task.batch(job.member, streams(job.member.seed), step, self.recipe.batch)
            # copies: it may fill the same arrays anew for the next member
            pairs.append((torch.from_numpy(np.array(fresh[0])), torch.from_numpy(np.array(fresh[1]))))
        x, y = (torch.stack(part).to(self.device) for part in zip(*pairs, strict=True))
        x, y = (value.to(self.dtype) if value.is_floating_point() else value for value in (x, y))
        return x, y, torch.ones(x.shape[:2], dtype=self.dtype, device=self.device)

    def _set_keys(self, keys: Tensor) -> None:
        names = [name for name, b in self.buffers.items() if name.split(".")[-1] == "key" and b.dtype == torch.int64]
        for layer, name in enumerate(names):
            self.buffers[name] = layer_key(keys, layer)

    def train_to(self, last: int) -> Tensor:
        """Take the steps up to ``last``; return the step at which each active member's loss was not finite, or 0."""
        first, count = self.done + 1, last - self.done
        batch = self._batches(first, count)
        seeds = [self.jobs[i].member.seed for i in self.active]
        keys = torch.from_numpy(np.stack([dropout_keys(seed, first, count) for seed in seeds])).to(self.device)
        broken = torch.zeros(len(self.active), dtype=torch.int64, device=self.device)
        step_of = vmap(grad_and_value(self._loss, has_aux=True))
        self.module.train()
        for step in range(first, last + 1):
            self._set_keys(keys[:, step - first])
            gradients, (loss, state) = step_of(self.parameters, self.frozen, self.buffers, *batch(step))
            self.buffers = {name: value.detach() for name, value in state.items()}
            broken = torch.where((broken == 0) & ~torch.isfinite(loss), step, broken)
            optimizers.update(self.recipe.optimizer, self.parameters, gradients, self.m, self.v, self.numbers, step)
        self.done = last
        return broken

    # -- reading and leaving -----------------------------------------------------------------------------------------

    def read(self, broken: Tensor) -> list[int]:
        """Read the active members at the current step; return the places of those that are settled."""
        weights = {**self.parameters, **self.frozen}
        seen = subject(self.module, weights, self.buffers, self.data, self.recipe.loss)
        readings = read(self.jobs[0].watch, seen)
        train, test = scores(seen, [self.spreads[i] for i in self.active])
        leaving = []
        for place, i in enumerate(self.active):
            if int(broken[place]):
                self.watchers[i].diverged_at = int(broken[place])
                leaving.append(place)
                continue
            mine = {name: value[place] for name, value in readings.items()}
            self.seen[i].append(mine)
            if self.watchers[i].see(self.done, float(train[place]), float(test[place])):
                leaving.append(place)
        return leaving

    def trajectory(self, place: int) -> Trajectory:
        """Return what training left of the active member at ``place``."""
        i = self.active[place]
        weights = {**self.parameters, **self.frozen}
        alone = [{n: v[place : place + 1] for n, v in stack.items()} for stack in (weights, self.buffers, self.data)]
        left = subject(self.module, alone[0], alone[1], alone[2], self.recipe.loss)
        seen = self.seen[i]
        # the last update is followed by no step whose loss would show what it did
        if self.watchers[i].diverged_at < 0 and not bool(finite(left)[0]):
            self.watchers[i].diverged_at = self.done
            seen = seen[:-1] if len(seen) > 1 else seen
        ends = read(self.jobs[i].at_end, left)
        readings = {name: np.stack([part[name] for part in seen]) for name in (seen[0] if seen else ())}
        final = {name: value[place].cpu().numpy().copy() for name, value in weights.items()}
        final |= {name: value[place].cpu().numpy().copy() for name, value in running(self.buffers).items()}
        steps = self.steps[: len(seen)] if seen else self.steps[:1]
        ends = {name: value[0] for name, value in ends.items()}
        return Trajectory(self.jobs[i].member, steps, readings, ends, final, *self.watchers[i].fate(), self.seconds)

    def keep(self, places: Sequence[int]) -> None:
        """Keep only the active members at ``places``; the rest leave the batch."""
        index = torch.tensor(list(places), dtype=torch.int64, device=self.device)
        self.active = [self.active[place] for place in places]
        for stack in (self.parameters, self.frozen, self.buffers, self.m, self.v, self.numbers, self.data):
            for name in stack:
                stack[name] = stack[name].index_select(0, index)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    @property
    def identity(self) -> dict[str, Any]:
        """The identity of the tile's checkpoint: its members'."""
        return {"tile": [job.identity for job in self.jobs]}

    def checkpoint(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the state from which ``restore`` goes on."""
        stacks = {"theta": self.parameters, "buffer": self.buffers, "m": self.m, "v": self.v}
        arrays = {f"{kind}.{name}": value.cpu().numpy() for kind, s in stacks.items() for name, value in s.items()}
        for i in self.active:
            for name in self.seen[i][0] if self.seen[i] else ():
                arrays[f"seen.{i}.{name}"] = np.stack([part[name] for part in self.seen[i]])
        reached = [[self.watchers[i].memorized_at, self.watchers[i].generalized_at] for i in self.active]
        return arrays, {"active": self.active, "done": self.done, "reached": reached, "seconds": self.seconds}

    def restore(self, arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.keep(facts["active"])
        stacks = {"theta": self.parameters, "buffer": self.buffers, "m": self.m, "v": self.v}
        for kind, stack in stacks.items():
            for name in stack:
                stack[name] = torch.from_numpy(arrays[f"{kind}.{name}"].copy()).to(self.device)
        for i, (memorized, generalized) in zip(self.active, facts["reached"], strict=True):
            self.watchers[i].memorized_at, self.watchers[i].generalized_at = memorized, generalized
            mine = {k.split(".", 2)[2]: v for k, v in arrays.items() if k.startswith(f"seen.{i}.")}
            times = len(next(iter(mine.values()))) if mine else 0
            self.seen[i] = [{name: value[t] for name, value in mine.items()} for t in range(times)]
        self.done, self.seconds = int(facts["done"]), float(facts["seconds"])


def _tensors(module: nn.Module, *, learnt: bool) -> Tensors:
    """Return the parameters that are trained, or those that need no gradient and stay as they are."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad == learnt}


def _stack(dicts: Sequence[Mapping[str, Tensor]]) -> Tensors:
    return {name: torch.stack([d[name].detach() for d in dicts]) for name in dicts[0]}


def _take(values: Tensor, index: Tensor) -> Tensor:
    members = torch.arange(len(index), device=index.device)[:, None]
    return values[members, index]


def train_stacked(
    jobs: Sequence[Job],
    finished: Sequence[int],
    device: torch.device,
    keeper: Keeper | None,
    tick: Callable[[int], None],
    finish: Callable[[Job, Trajectory], None],
    stop: Callable[[], bool],
    checkpoint_every: float,
) -> None:
    """Train a tile; ``finish(job, trajectory)`` hears of each member as it leaves. Stops early when ``stop()``.

    The jobs at the places ``finished`` are done already: they name the tile, but are not trained again.
    """
    if len(finished) == len(jobs):
        return
    tile = Tile(jobs, device)
    kept = keeper.load_checkpoint(tile.identity) if keeper else None
    if kept is not None:
        tile.restore(*kept)
    tile.keep([place for place, i in enumerate(tile.active) if i not in set(finished)])
    if kept is not None:
        tick(tile.done * len(tile.active))
    else:
        tile.read(torch.zeros(len(tile.active), dtype=torch.int64))
    saved = time.monotonic()
    for step in (int(s) for group in groups(tile.steps) for s in group):
        if step <= tile.done:
            continue
        start, before = time.perf_counter(), tile.done
        broken = tile.train_to(step)
        leaving = set(tile.read(broken)) if step < tile.steps[-1] else {*tile.read(broken), *range(len(tile.active))}
        tile.seconds += (time.perf_counter() - start) / len(tile.active)
        tick((step - before) * len(tile.active))
        for place in sorted(leaving):
            finish(tile.jobs[tile.active[place]], tile.trajectory(place))
        if leaving:
            tile.keep([place for place in range(len(tile.active)) if place not in leaving])
        if not tile.active:
            break
        if keeper and (stop() or leaving or time.monotonic() - saved > checkpoint_every):
            keeper.save_checkpoint(tile.identity, *tile.checkpoint())
            saved = time.monotonic()
        if stop():
            return
    if keeper:
        keeper.drop_checkpoint(tile.identity)
