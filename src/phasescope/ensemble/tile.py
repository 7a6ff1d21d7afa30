"""Trains a tile: members of one shape side by side on one core, or on a GPU, with one of the ``engines``.

Parameters carry a leading member axis; randomness is drawn outside, per member. Settled members leave the tile. On a
CPU, torch's batched kernels may differ in the last bit with the number and place of members in a tile; a tile of one
has the bits of a member trained alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.ensemble.engines import Gradients, Name, gradients_of
from phasescope.ensemble.jobs import Job
from phasescope.ensemble.losses import loss_of
from phasescope.ensemble.optimizers import AVERAGE, Optimizer
from phasescope.ensemble.reading import finite, read, running, scores, subject, tensors
from phasescope.ensemble.rules import uphill
from phasescope.ensemble.sample import gathered
from phasescope.ensemble.schedule import Watcher, groups, record_steps, spreads
from phasescope.ensemble.streams import batch_order, dropout_keys, layer_key, replaced_order, streams
from phasescope.ensemble.turns import turn
from phasescope.vocabulary import Array, Instrument, KeyedRest, Sampler, Subject, Trajectory

Tensors = dict[str, Tensor]
Batch = tuple[Tensor, Tensor, Tensor | None]
CHUNK_STEPS, CHUNK_BYTES = 1024, 2**24  # mini-batches are gathered ahead: at most so many steps and bytes at once


class Prepared:
    """What engines made ready for tiles of one shape and size, so that a trace is made once; any thread may ask."""

    def __init__(self) -> None:
        self.known: dict[Any, Gradients] = {}
        self.lock = threading.Lock()

    def find(self, key: Any, make: Callable[[], Gradients]) -> Gradients:
        """Return what is known under ``key``, or what ``make`` makes."""
        with self.lock:
            if key not in self.known:
                self.known[key] = make()
            return self.known[key]


class Tile:
    """Members of one shape in training, stacked; ``active`` says which jobs are still in the batch.

    ``size`` is the number of members that a traced or compiled step is made for. Where fewer are left, the last one is
    repeated up to ``size``, a half, a quarter of it and so on, and what becomes of the copies is not looked at.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        device: torch.device,
        engine: Name = "stacked",
        size: int | None = None,
        prepared: Prepared | None = None,
    ) -> None:
        self.jobs, self.device, self.engine = list(jobs), device, engine
        self.fixed = engine in ("traced", "compiled")
        self.size, self.prepared = size or len(jobs), prepared or Prepared()
        self.recipe = jobs[0].recipe
        self.loss = loss_of(self.recipe)
        self.dtype = getattr(torch, self.recipe.dtype)
        self.steps = record_steps(self.recipe)
        self.active = list(range(len(jobs)))
        modules = [job.begun().to(device, self.dtype) for job in jobs]
        self.module = modules[0]
        stack = _views if engine == "looped" else _stack
        self.parameters = stack([_tensors(m, learnt=True) for m in modules])
        self.frozen = stack([_tensors(m, learnt=False) for m in modules])
        self.buffers = stack([dict(m.named_buffers()) for m in modules])
        for name, part in self.module.named_modules():
            if isinstance(part, KeyedRest):  # one module acts for all members: it rests only if it may for each
                part.always_off = bool((self.buffers[f"{name}.rate"] == 0).all())
        self.keyed = [n for n, b in self.buffers.items() if n.split(".")[-1] == "key" and b.dtype == torch.int64]
        self.optimizer = Optimizer([job.recipe for job in jobs], self.parameters, device)
        draws = [job.draw() for job in jobs]
        self.spreads = [spreads(draw) for draw in draws]
        self.data = _shared([tensors(draw, device, self.dtype) for draw in draws])
        self.rows = [draw.train for draw in draws]
        self.watchers = [Watcher(job.recipe) for job in jobs]
        self.seen: list[list[dict[str, Array]]] = [[] for _ in jobs]
        self.kept: list[list[dict[str, Array]]] = [[] for _ in jobs]
        self.done, self.seconds = 0, 0.0
        self.whole: Batch | None = None
        self.keep(self.active)

    # -- one step ----------------------------------------------------------------------------------------------------

    @property
    def seeds(self) -> list[int]:
        """The seeds of the members in the batch, copies included."""
        return [self.jobs[i].member.seed for i in self._filled]

    @property
    def _filled(self) -> list[int]:
        width = len(next(iter(self.parameters.values())))
        return [*self.active, *self.active[-1:] * (width - len(self.active))]

    def _batches(self, first: int, count: int) -> Iterator[Batch]:
        """Give the batches of ``count`` steps: (B, n, ...) inputs, labels, and sample weights or None."""
        if self.jobs[0].sample.endless:
            for step in range(first, first + count):
                yield self._fresh(step)
            return
        rows = [self.rows[i] for i in self._filled]
        anew = self.recipe.sampling == "replacement"
        size = self.recipe.batch if anew else min(self.recipe.batch or len(rows[0]), len(rows[0]))
        if size is None or (size == len(rows[0]) and not anew):
            if self.whole is None:
                self.whole = self._taken(torch.from_numpy(np.stack(rows)).long().to(self.device))
            for _ in range(count):
                yield self.whole
            return
        taken = replaced_order if anew else batch_order
        each = [taken(seed, row, size, first, count) for seed, row in zip(self.seeds, rows, strict=True)]
        order = torch.from_numpy(np.stack(each, 1)).long().to(self.device)  # (count, B, n)
        bytes_each = self.data["inputs"][0, 0].numel() * self.data["inputs"].element_size() * order[0].numel()
        ahead = max(min(CHUNK_BYTES // max(bytes_each, 1), count), 1)
        for begin in range(0, count, ahead):
            x, y, w = self._taken(order[begin : begin + ahead])
            weights = w.unbind() if w is not None else [None] * len(x)
            yield from zip(x.unbind(), y.unbind(), weights, strict=True)

    def _taken(self, index: Tensor) -> Batch:
        """Return the data at the rows ``index`` (..., B, n)."""
        w = None if self.jobs[0].sample.even else gathered(self.data["weights"], index)
        return gathered(self.data["inputs"], index), gathered(self.data["labels"], index), w

    def _fresh(self, step: int) -> Batch:
        pairs: list[tuple[Tensor, Tensor]] = []
        for i in self._filled:
            job = self.jobs[i]
            assert isinstance(job.task, Sampler)
            assert self.recipe.batch is not None
            with turn():
                fresh = job.task.batch(job.member, streams(job.member.seed), step, self.recipe.batch)
                # copies: it may fill the same arrays anew for the next member
                pairs.append((torch.from_numpy(np.array(fresh[0])), torch.from_numpy(np.array(fresh[1]))))
        x, y = (torch.stack(part).to(self.device) for part in zip(*pairs, strict=True))
        x, y = (value.to(self.dtype) if value.is_floating_point() else value for value in (x, y))
        return x, y, None

    def _set_keys(self, keys: Tensor) -> None:
        for layer, name in enumerate(self.keyed):
            value = layer_key(keys, layer)
            if self.engine == "looped":  # the network's own buffer
                self.buffers[name].copy_(value)
            else:
                self.buffers[name] = value

    def gradients(self, batch: Batch) -> Gradients:
        """Return how the engine takes gradients on batches like this one."""
        resting = tuple(part.always_off for part in self.module.modules() if isinstance(part, KeyedRest))
        stacks = (self.parameters, self.frozen, self.buffers)
        key = (self.jobs[0].shape_key, self.engine, len(batch[0]), batch[0].shape, resting)
        if not self.fixed:  # these hold the module itself
            return gradients_of(self.engine, self.module, self.loss, stacks, batch)
        return self.prepared.find(key, lambda: gradients_of(self.engine, self.module, self.loss, stacks, batch))

    def train_to(self, last: int) -> Tensor:
        """Take the steps up to ``last``; return the step at which each active member's loss was not finite, or 0."""
        broken = torch.zeros(len(self.active), dtype=torch.int64)
        while self.done < last:
            losses = self._chunk(min(last - self.done, CHUNK_STEPS))[:, : len(self.active)].cpu()
            lost = ~torch.isfinite(losses)
            at = torch.where(lost.any(0), self.done - len(losses) + 1 + lost.int().argmax(0), 0)
            broken = torch.where(broken == 0, at, broken)
        return broken

    def _chunk(self, count: int) -> Tensor:
        """Take ``count`` steps and return their losses (count, B)."""
        first = self.done + 1
        keys = torch.zeros(0)
        if self.keyed:
            keys = torch.from_numpy(np.stack([dropout_keys(seed, first, count) for seed in self.seeds]))
            keys = keys.to(self.device)
        self.module.train()
        gradients: Gradients | None = None
        losses = torch.zeros(count, len(self._filled), dtype=self.dtype, device=self.device)
        for at, batch in enumerate(self._batches(first, count)):
            if self.keyed:
                self._set_keys(keys[:, at])
            if gradients is None:
                gradients = self.gradients(batch)
            with torch.no_grad():
                found, loss, self.buffers = gradients(self.parameters, self.frozen, self.buffers, *batch)
                losses[at] = loss
                if self.recipe.sam:
                    found = self._sharp(gradients, batch, found)
                self.optimizer.step(self.parameters, found, first + at)
        self.done += count
        return losses

    def _sharp(self, gradients: Gradients, batch: Batch, found: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the gradients a little uphill of the weights, which stay where they are, and the buffers with them."""
        stacks = [*self.parameters.values(), *self.buffers.values()]
        before = [value.clone() for value in stacks]
        uphill(list(self.parameters.values()), found, self.optimizer.numbers["sam"])
        higher = gradients(self.parameters, self.frozen, self.buffers, *batch)[0]
        for value, kept in zip(stacks, before, strict=True):
            value.copy_(kept)
        return higher

    # -- reading and leaving -----------------------------------------------------------------------------------------

    def _subject(self, places: slice, parameters: Tensors | None = None) -> Subject:
        stacks = ({**(parameters or self.parameters), **self.frozen}, self.buffers, self.data)
        weights, state, data = ({name: value[places] for name, value in stack.items()} for stack in stacks)
        return subject(self.module, weights, state, data, self.loss, side_by_side=self.size > 1)

    def read(self, broken: Tensor) -> list[int]:
        """Read the active members at the current step; return the places of those that are settled."""
        count = len(self.active)
        seen = self._subject(slice(0, count))
        readings = read(self.jobs[0].watch, seen) | self._averaged(self.jobs[0].watch, slice(0, count))
        train, test = scores(seen, [self.spreads[i] for i in self.active])
        leaving = []
        for place, i in enumerate(self.active):
            if int(broken[place]):
                self.watchers[i].diverged_at = int(broken[place])
                leaving.append(place)
                continue
            mine = {name: value[place] for name, value in readings.items()}
            self.seen[i].append(mine)
            if self.done in self.jobs[i].keep:
                self.kept[i].append(self._weights(place))
            if self.watchers[i].see(self.done, float(train[place]), float(test[place]), partial(_joined, self.seen[i])):
                leaving.append(place)
        return leaving

    def _weights(self, place: int) -> dict[str, Array]:
        """Return the parameters of the active member at ``place``, and the buffers that training changes."""
        stacks = {**self.parameters, **self.frozen, **running(self.buffers)}
        return {name: value[place].cpu().numpy().copy() for name, value in stacks.items()}

    def _averaged(self, watch: Sequence[Instrument], places: slice) -> dict[str, Array]:
        """Return what instruments read of the averages of the parameters, where the recipe has some."""
        if not self.recipe.average:
            return {}
        found = read(watch, self._subject(places, self.optimizer.state[AVERAGE]))
        return {f"{AVERAGE}.{name}": value for name, value in found.items()}

    def trajectory(self, place: int) -> Trajectory:
        """Return what training left of the active member at ``place``."""
        i = self.active[place]
        left = self._subject(slice(place, place + 1))
        seen = self.seen[i]
        # the last update is followed by no step whose loss would show what it did
        if self.watchers[i].diverged_at < 0 and not bool(finite(left)[0]):
            self.watchers[i].diverged_at = self.done
            seen = seen[:-1] if len(seen) > 1 else seen
        at_end = self.jobs[i].at_end
        ends = read(at_end, left) | self._averaged(at_end, slice(place, place + 1))
        readings, final = _joined(seen), self._weights(place)
        for name, value in self.optimizer.state.get(AVERAGE, {}).items():
            final[f"{AVERAGE}.{name}"] = value[place].cpu().numpy().copy()
        steps = self.steps[: len(seen)] if seen else self.steps[:1]
        ends = {name: value[0] for name, value in ends.items()}
        kept = [step for step in self.jobs[i].keep if step <= steps[-1]]
        return Trajectory(
            self.jobs[i].member, steps, readings, ends, final, *self.watchers[i].fate(), self.seconds,
            kept, _joined(self.kept[i][: len(kept)]),
        )  # fmt: skip

    def keep(self, places: Sequence[int]) -> None:
        """Keep only the active members at ``places``; the rest leave the batch."""
        self.active = [self.active[place] for place in places]
        kept = list(places)
        if self.fixed and kept:
            kept += kept[-1:] * (_width(len(kept), self.size) - len(kept))
        if kept == list(range(len(next(iter(self.parameters.values()))))):
            return
        index = torch.tensor(kept, dtype=torch.int64, device=self.device)
        for stack in (self.parameters, self.frozen, self.buffers, self.data):
            for name, value in stack.items():
                shared = stack is self.data and value.stride(0) == 0
                stack[name] = value[:1].expand(len(kept), *value.shape[1:]) if shared else value.index_select(0, index)
        self.optimizer.keep(index)
        self.whole = None

    # -- checkpoints -------------------------------------------------------------------------------------------------

    @property
    def identity(self) -> dict[str, Any]:
        """The identity of the tile's checkpoint: its members'."""
        return {"tile": [job.identity for job in self.jobs]}

    def checkpoint(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the state from which ``restore`` goes on."""
        count = len(self.active)
        arrays = {
            f"{kind}.{name}": value[:count].cpu().numpy().copy()
            for kind, stack in self._state().items()
            for name, value in stack.items()
        }
        for i in self.active:
            arrays |= {f"seen.{i}.{name}": value for name, value in _joined(self.seen[i]).items()}
            arrays |= {f"kept.{i}.{name}": value for name, value in _joined(self.kept[i]).items()}
        reached = [[self.watchers[i].memorized_at, self.watchers[i].generalized_at] for i in self.active]
        facts = {"active": self.active, "done": self.done, "reached": reached, "seconds": self.seconds}
        return arrays, facts | {"records": len(self.seen[self.active[0]])}

    def _state(self) -> dict[str, Tensors]:
        return {"theta": self.parameters, "buffer": self.buffers, **self.optimizer.state}

    def restore(self, arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.keep(facts["active"])
        width = len(self._filled)
        for kind, stack in self._state().items():
            for name in {*stack, *(key.removeprefix(f"{kind}.") for key in arrays if key.startswith(f"{kind}."))}:
                kept = torch.from_numpy(arrays[f"{kind}.{name}"].copy()).to(self.device)
                filled = torch.cat([kept, kept[-1:].expand(width - len(kept), *kept.shape[1:])])
                # one's own optimizer has no state before its first step
                stack[name] = stack[name].copy_(filled) if name in stack else filled
        for i, (memorized, generalized) in zip(self.active, facts["reached"], strict=True):
            self.watchers[i].memorized_at, self.watchers[i].generalized_at = memorized, generalized
            for kind, parts in (("seen", self.seen), ("kept", self.kept)):
                mine = {k.split(".", 2)[2]: v for k, v in arrays.items() if k.startswith(f"{kind}.{i}.")}
                count = int(facts["records"]) if kind == "seen" else len(next(iter(mine.values()), ()))
                parts[i] = [{name: value[t] for name, value in mine.items()} for t in range(count)]
        self.done, self.seconds = int(facts["done"]), float(facts["seconds"])


def _joined(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.stack([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def _width(count: int, size: int) -> int:
    """Return the least of ``size``, its half, its quarter and so on that holds ``count``.

    >>> [_width(count, 8) for count in (1, 2, 3, 5, 8)]
    [1, 2, 4, 8, 8]
    """
    width = size
    while width > 1 and -(-width // 2) >= count:
        width = -(-width // 2)
    return max(width, count)


def _tensors(module: nn.Module, *, learnt: bool) -> Tensors:
    """Return the parameters that are trained, or those that need no gradient and stay as they are."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad == learnt}


def _stack(dicts: Sequence[Mapping[str, Tensor]]) -> Tensors:
    return {name: torch.stack([d[name].detach() for d in dicts]) for name in dicts[0]}


def _shared(dicts: Sequence[Mapping[str, Tensor]]) -> Tensors:
    """Stack what members have; what is the same for all is kept once, expanded."""
    found = {}
    for name, first in dicts[0].items():
        same = all(torch.equal(first, d[name]) for d in dicts[1:])
        found[name] = first.expand(len(dicts), *first.shape) if same else torch.stack([d[name] for d in dicts])
    return found


def _views(dicts: Sequence[Mapping[str, Tensor]]) -> Tensors:
    """Return the tensors of one network as a stack of one that shares their memory."""
    found = {}
    for name, value in dicts[0].items():
        value.data = value.data.contiguous()  # torch's fused optimizers take memory as it lies
        found[name] = value.detach()[None]
    return found


def advance(tile: Tile, seconds: float, stop: Callable[[], bool] = lambda: False) -> list[tuple[int, Trajectory]]:
    """Train a tile from record to record for ``seconds`` or more; return the members that left, by place in its jobs.

    A tile that has not begun is read first, as its record 0. One without active members is over.
    """
    begun, left = time.monotonic(), []
    if tile.done == 0 and not any(tile.seen[i] for i in tile.active):
        tile.read(torch.zeros(len(tile.active), dtype=torch.int64))
    for step in (int(s) for group in groups(tile.steps) for s in group):
        if step <= tile.done:
            continue
        start = time.perf_counter()
        broken = tile.train_to(step)
        leaving = {*tile.read(broken), *(range(len(tile.active)) if step == tile.steps[-1] else ())}
        tile.seconds += (time.perf_counter() - start) / len(tile.active)
        left += [(tile.active[place], tile.trajectory(place)) for place in sorted(leaving)]
        if leaving:
            tile.keep([place for place in range(len(tile.active)) if place not in leaving])
        if not tile.active or stop() or leaving or time.monotonic() - begun > seconds:
            break
    return left
