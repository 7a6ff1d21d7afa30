"""Trains one member on one core with its learner's compiled loss-and-gradient: the CPU engine.

One call trains from one record to the next inside compiled code; members run on different cores. A member sees only
its own arrays, and its readings are batched over its own records alone, so its bits can not depend on company, on the
number of workers, or on the order of work: a network in a phase diagram is the network trained alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.ensemble.jobs import Job
from phasescope.ensemble.losses import loss_of
from phasescope.ensemble.optimizers import NUMBERS
from phasescope.ensemble.reading import finite, read, running, scores, subject, tensors
from phasescope.ensemble.schedule import Watcher, groups, record_steps
from phasescope.ensemble.streams import batch_order, dropout_keys
from phasescope.vocabulary import Array, BadInput, Compiled, Draw, Fused, Keeper, Recipe, Subject, Trajectory

OPTIMIZERS = {"sgd": 0.0, "adam": 1.0, "adamw": 2.0}
#: Of recipes, what the compiled step does not know: it is for those that leave these as they are.
BEYOND = (
    "decayed", "schedule", "warmup", "clip_norm", "clip_value", "label_smoothing", "sam", "average", "sampling",
)  # fmt: skip


@dataclass
class _State:
    """The arrays of one member in training; all that a checkpoint needs."""

    theta: Array
    state: Array
    m: Array
    v: Array
    seen: list[dict[str, Array]] = field(default_factory=list)
    kept: list[Array] = field(default_factory=list)
    records: int = 0
    done: int = 0
    seconds: float = 0.0


def supports(job: Job) -> bool:
    """Return whether learner, task and recipe have a compiled step: integer inputs and labels, a finite table."""
    data, recipe = job.sample, job.recipe
    fits = not data.endless and not data.real and not data.positions and data.first.dtype.kind in "iu"
    fits = fits and recipe.functions.keys() <= {"stop"} and recipe.optimizer in OPTIMIZERS
    fits = fits and all(getattr(recipe, name) == Recipe.model_fields[name].default for name in BEYOND)
    return fits and isinstance(job.module, Compiled) and job.module.fused() is not None


def flat(parameters: Mapping[str, Tensor], dtype: np.dtype[Any]) -> Array:
    """Return the parameters as one flat array, in their own order."""
    parts = [np.asarray(value.detach().cpu().numpy(), dtype=dtype).ravel() for value in parameters.values()]
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def unflat(rows: Array, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return views name -> (R, ...) of flat ``rows`` (R, P)."""
    found, begin = {}, 0
    for name, value in like.items():
        found[name] = torch.from_numpy(rows[:, begin : begin + value.numel()]).reshape(len(rows), *value.shape)
        begin += value.numel()
    return found


def fused_of(job: Job) -> Fused:
    """Return the compiled step of a job that ``supports`` has seen."""
    found = job.module.fused() if isinstance(job.module, Compiled) else None
    assert found is not None
    return found


class FusedMember:
    """One member on its way: draws its data, trains group by group, reads, and knows when to stop."""

    def __init__(self, job: Job, advance: Callable[..., int]) -> None:
        self.job, self.advance = job, advance
        self.fused = fused_of(job)
        self.dtype = np.dtype(job.recipe.dtype)
        self.torch_dtype = getattr(torch, job.recipe.dtype)
        self.draw: Draw = job.draw()
        self.module: nn.Module = job.begun().to(self.torch_dtype)
        self.parameters = dict(self.module.named_parameters())
        self.buffers = dict(self.module.named_buffers())
        self.running = running(self.buffers)
        self.data = tensors(self.draw, torch.device("cpu"), self.torch_dtype)
        self.steps = record_steps(job.recipe)
        self.watcher = Watcher(job.recipe)
        theta = flat(self.parameters, self.dtype)
        self.now = _State(theta, flat(self.running, self.dtype), np.zeros_like(theta), np.zeros_like(theta))
        self._constants()

    def _constants(self) -> None:
        recipe, rows = self.job.recipe, len(self.draw.train)
        self.batch = min(recipe.batch or rows, rows)
        self.shape = self.fused.shape.copy()
        self.shape[-1] = recipe.loss == "cross_entropy"
        self.hyper = np.array([OPTIMIZERS[str(recipe.optimizer)], *(getattr(recipe, name) for name in NUMBERS)])
        self.x = np.ascontiguousarray(self.draw.inputs, dtype=np.int32)
        self.y = np.ascontiguousarray(self.draw.labels, dtype=np.int32)
        self._check(self.x, int(self.shape[1]), "input")
        self._check(self.y, int(self.shape[2]), "label")
        self.w = self.draw.weights.astype(self.dtype)
        self.scratch = np.zeros(self.fused.scratch_size(self.shape, self.batch), self.dtype)
        self.grad = np.zeros_like(self.now.theta)

    def _check(self, values: Array, end: int, what: str) -> None:
        # compiled code looks these numbers up in memory unchecked
        if values.min() < 0 or values.max() >= end:
            raise BadInput(
                f"the {what}s of {self.job.task.name} run from {values.min()} to {values.max()}, but the learner knows "
                f"0 to {end - 1}: give learner and task the same modulus."
            )

    def restore(self, arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        now = self.now
        now.theta, now.state, now.m, now.v = (arrays[name].copy() for name in ("theta", "state", "m", "v"))
        now.seen = [{k.removeprefix("seen."): v for k, v in arrays.items() if k.startswith("seen.")}]
        now.kept = list(arrays["kept"]) if "kept" in arrays else []
        now.done, now.records, now.seconds = int(facts["done"]), int(facts["records"]), float(facts["seconds"])
        self.watcher.memorized_at, self.watcher.generalized_at = facts["memorized_at"], facts["generalized_at"]

    def checkpoint(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the arrays and facts from which ``restore`` goes on, bit for bit."""
        now, watcher = self.now, self.watcher
        arrays = {"theta": now.theta, "state": now.state, "m": now.m, "v": now.v}
        arrays |= {f"seen.{name}": value for name, value in _joined(now.seen).items()}
        if now.kept:
            arrays["kept"] = np.stack(now.kept)
        facts = {"done": now.done, "records": now.records, "seconds": now.seconds}
        return arrays, facts | {"memorized_at": watcher.memorized_at, "generalized_at": watcher.generalized_at}

    def advance_to(self, group: Array) -> bool:
        """Train to the group's last record and read each of its records; return True when the member is settled."""
        start = time.perf_counter()
        now, recipe, first, count = self.now, self.job.recipe, self.now.done + 1, int(group[-1]) - self.now.done
        seed, full = self.job.member.seed, recipe.batch is None or self.batch == len(self.draw.train)
        order = self.draw.train[None] if full else batch_order(seed, self.draw.train, self.batch, first, count)
        keys = dropout_keys(seed, first, count)
        thetas = np.empty((len(group), len(now.theta)), self.dtype)
        states = np.empty((len(group), len(now.state)), self.dtype)
        losses = np.empty(len(group))
        reached = self.advance(
            now.theta, now.state, now.m, now.v, self.x, self.y, self.w, order, full, self.shape, self.fused.knobs,
            self.hyper, keys, now.done, group, thetas, states, losses, self.scratch, self.grad,
        )  # fmt: skip
        kept = int(np.sum(group < -reached)) if reached < 0 else len(group)
        finite = kept and bool(np.isfinite(thetas[:kept]).all())
        settled = self._read(group[:kept], thetas[:kept], states[:kept]) if kept else False
        now.done = int(group[-1])
        now.seconds += time.perf_counter() - start
        if reached < 0 or (kept and not finite):
            self.watcher.diverged_at = abs(int(reached))
            return True
        return settled

    def _subject(self, thetas: Array, states: Array) -> Subject:
        count = len(thetas)
        parameters = unflat(thetas, self.parameters)
        buffers = {name: b.expand(count, *b.shape) for name, b in self.buffers.items()}
        buffers |= unflat(states, self.running)
        data = {name: value.expand(count, *value.shape) for name, value in self.data.items()}
        return subject(self.module, parameters, buffers, data, loss_of(self.job.recipe))

    def _read(self, steps: Array, thetas: Array, states: Array) -> bool:
        seen = self._subject(thetas, states)
        readings = read(self.job.watch, seen)
        train, test = scores(seen, [None] * len(steps))
        for i, step in enumerate(steps.tolist()):
            if step in self.job.keep:
                self.now.kept.append(np.concatenate([thetas[i], states[i]]))
            self.now.records += 1
            so_far = partial(_first, [*self.now.seen, readings], self.now.records)
            if self.watcher.see(step, float(train[i]), float(test[i]), so_far):
                self.now.seen.append({name: value[: i + 1] for name, value in readings.items()})
                self.now.theta, self.now.state = thetas[i].copy(), states[i].copy()
                return True
        self.now.seen.append(readings)
        return False

    def begin(self) -> None:
        """Read the untrained member, record 0."""
        self._read(self.steps[:1], self.now.theta[None].copy(), self.now.state[None].copy())

    def trajectory(self) -> Trajectory:
        """Return what training left."""
        readings = _joined(self.now.seen)
        count = max(self.now.records, 1)
        theta, state = self.now.theta[None].copy(), self.now.state[None].copy()
        seen = self._subject(theta, state)
        # the last update is followed by no step whose loss would show what it did
        if self.watcher.diverged_at < 0 and not bool(finite(seen)[0]):
            self.watcher.diverged_at = int(self.steps[count - 1])
            count = max(count - 1, 1)
            readings = {name: value[:count] for name, value in readings.items()}
        ends = {name: value[0] for name, value in read(self.job.at_end, seen).items()}
        like = {**self.parameters, **self.running}
        final = {name: value[0].numpy() for name, value in unflat(np.concatenate([theta, state], 1), like).items()}
        fate, settled = self.watcher.fate()
        steps = self.steps[:count]
        at = [step for step in self.job.keep if step <= steps[-1]]
        rows = np.stack(self.now.kept[: len(at)]) if at else np.zeros((0, len(theta[0]) + len(state[0])), self.dtype)
        kept = {name: value.numpy() for name, value in unflat(rows, like).items()} if at else {}
        return Trajectory(self.job.member, steps, readings, ends, final, fate, settled, self.now.seconds, at, kept)


def _first(seen: Sequence[Mapping[str, Array]], records: int) -> dict[str, Array]:
    return {name: value[:records] for name, value in _joined(seen).items()}


def _joined(seen: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in seen]) for name in (seen[0] if seen else ())}


def train_fused(
    job: Job,
    advance: Callable[..., int],
    keeper: Keeper | None,
    tick: Callable[[int], None],
    stop: Callable[[], bool],
    checkpoint_every: float,
) -> Trajectory | None:
    """Train one member from its checkpoint or from the start; return None when stopped (its state is kept).

    ``tick(n)`` hears of every n steps done. ``checkpoint_every`` is in seconds of work.
    """
    member = FusedMember(job, advance)
    kept = keeper.load_checkpoint(job.identity) if keeper else None
    if kept is not None:
        member.restore(*kept)
        tick(member.now.done)
    else:
        member.begin()
    saved = time.monotonic()
    for group in groups(member.steps):
        if group[-1] <= member.now.done:
            continue
        before = member.now.done
        settled = member.advance_to(group)
        tick(member.now.done - before)
        stopping = stop()
        if settled:
            break
        if keeper and (stopping or time.monotonic() - saved > checkpoint_every):
            keeper.save_checkpoint(job.identity, *member.checkpoint())
            saved = time.monotonic()
        if stopping and group[-1] < member.steps[-1]:
            return None
    return member.trajectory()
