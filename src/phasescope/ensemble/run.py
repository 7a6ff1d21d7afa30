"""A run on its way: what is found, what is left, who does it, and who is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from phasescope.ensemble import fused, plan
from phasescope.ensemble.cores import on_cores
from phasescope.ensemble.errands import Elsewhere, Errand, cut, packed, run_errands, unbundled
from phasescope.ensemble.jobs import Job
from phasescope.ensemble.optimizers import MORE, NUMBERS
from phasescope.ensemble.results import from_record, to_record
from phasescope.ensemble.slices import STATE, TILE, named, train_slice
from phasescope.ensemble.tile import Prepared, Tile, advance
from phasescope.vocabulary import Array, Fate, Interrupted, Keeper, Trajectory

LEAST = 1.0  # seconds that a slice of training takes elsewhere, so that its way there and back counts for little


@dataclass
class Progress:
    """How far a run is: counts of members and of steps, safe to read while workers add to it."""

    members: int
    steps: int
    finished: int = 0
    reused: int = 0
    steps_done: int = 0
    fates: dict[Fate, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))
    started: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def tick(self, steps: int) -> None:
        """Count steps done."""
        with self.lock:
            self.steps_done += steps

    def finish(self, trajectory: Trajectory, budget: int, *, reused: bool = False) -> None:
        """Count a finished member; steps that it was spared are taken off the total."""
        with self.lock:
            self.finished += 1
            self.reused += reused
            self.fates[trajectory.fate] += 1
            self.steps -= budget if reused else budget - int(trajectory.steps[-1])

    def count(self, *, reused: bool = False) -> None:
        """Count a member that is measured rather than trained, as one step."""
        with self.lock:
            self.finished += 1
            self.reused += reused
            self.steps -= reused
            self.steps_done += not reused

    @property
    def rate(self) -> float:
        """Member-steps per second so far."""
        return self.steps_done / max(time.monotonic() - self.started, 1e-9)

    @property
    def seconds_left(self) -> float:
        """Estimated seconds to go, assuming that no member settles early."""
        return (self.steps - self.steps_done) / self.rate if self.steps_done else float("inf")


class Run:
    """One call of ``train`` on its way: what is found, what is left, and who is told."""

    def __init__(
        self,
        chosen: Sequence[Job],
        keeper: Keeper | None,
        on_progress: Callable[[Progress], None] | None,
        checkpoint_every: float,
    ) -> None:
        self.jobs, self.keeper, self.checkpoint_every = list(chosen), keeper, checkpoint_every
        self.on_progress = on_progress or (lambda progress: None)
        self.progress = Progress(len(chosen), sum(job.recipe.steps for job in chosen))
        self.found: dict[int, Trajectory] = {}
        self.place = {id(job): i for i, job in enumerate(self.jobs)}
        self.stopping = False
        for i, job in enumerate(self.jobs):
            kept = keeper.load(job.identity) if keeper else None
            if kept is not None and keeper is not None:
                keeper.drop_checkpoint(job.identity)  # a kill can fall between keeping a record and dropping its past
                self.found[i] = from_record(job.member, *kept)
                self.progress.finish(self.found[i], job.recipe.steps, reused=True)

    @property
    def left(self) -> list[Job]:
        """The jobs that nothing is known of yet."""
        return [job for i, job in enumerate(self.jobs) if i not in self.found]

    def _finish(self, job: Job, trajectory: Trajectory) -> None:
        if self.keeper is not None:
            self.keeper.save(job.identity, *to_record(trajectory))
            self.keeper.drop_checkpoint(job.identity)
        self.found[self.place[id(job)]] = trajectory
        self.progress.finish(trajectory, job.recipe.steps)

    def fused(self, workers: int, elsewhere: Elsewhere | None = None) -> None:
        """Train what is left, one member per worker at a time, each worker on one core."""
        left = self.left
        if not left:
            return
        if elsewhere is not None:
            return self._elsewhere(elsewhere, [[left[i] for i in places] for places in cut(len(left), elsewhere)])
        from phasescope.ensemble.native import build_loop

        loops = {
            id(job.module): build_loop(fused.fused_of(job).gradient)  # type: ignore[arg-type]
            for job in left
        }

        def work(job: Job) -> None:
            if not self.stopping:
                found = fused.train_fused(
                    job,
                    loops[id(job.module)],
                    self.keeper,
                    self.progress.tick,
                    lambda: self.stopping,
                    self.checkpoint_every,
                )
                if found is not None:
                    self._finish(job, found)

        try:
            on_cores(work, left, workers, lambda: self.on_progress(self.progress), self._stop)
        except KeyboardInterrupt:
            raise self._interrupted() from None

    def _stop(self) -> None:
        self.stopping = True

    def _interrupted(self) -> Interrupted:
        return interrupted(self.progress, "finished", self.keeper)

    def tiles(self, device: torch.device, workers: int, prepared: Prepared, elsewhere: Elsewhere | None = None) -> None:
        """Train what is left in tiles of equal shape, one tile per worker at a time."""
        bundles: dict[tuple[str, str], list[Job]] = {}
        for job in self.jobs:  # finished ones too: a tile is the same tile when it is taken up again
            bundles.setdefault((job.shape_key, job.engine), []).append(job)
        tiles = []
        for bundle in bundles.values():
            size = bundle[0].tile or plan.tile_size(bundle[0], device, None)
            # neighbours with the same numbers share the optimizer's calls
            alike = sorted(bundle, key=lambda job: [getattr(job.recipe, name) for name in (*NUMBERS, *MORE)])
            tiles += [alike[begin : begin + size] for begin in range(0, len(alike), size)]
        tiles.sort(key=lambda tile: -sum(map(_work, tile)))  # the longest first, so that no core waits at the end

        if elsewhere is not None:
            return self._elsewhere(elsewhere, tiles)

        def work(members: list[Job]) -> None:
            with named(members):
                self._tile(members, device, prepared)

        several = 1 if device.type != "cpu" else workers
        try:
            on_cores(work, tiles, several, lambda: self.on_progress(self.progress), self._stop)
        except KeyboardInterrupt:
            raise self._interrupted() from None

    def _elsewhere(self, elsewhere: Elsewhere, bundles: Sequence[list[Job]]) -> None:
        """Train bundles of members elsewhere, slice by slice, and keep what comes back."""
        left = [members for members in bundles if any(self.place[id(job)] not in self.found for job in members)]
        errands = [self._errand(members, elsewhere) for members in left]
        try:
            run_errands(elsewhere, errands, lambda: self.on_progress(self.progress))
        except KeyboardInterrupt:
            raise self._interrupted() from None

    def _errand(self, members: list[Job], elsewhere: Elsewhere) -> Errand:
        """Return the training of members, which share a tile or are trained one after the other."""
        bare = [replace(job) for job in members]  # what a job has worked out on the way stays here
        tile = {"tile": [job.identity for job in members]}
        done = [place for place, job in enumerate(members) if self.place[id(job)] in self.found]
        places = range(len(members)) if members[0].way == "fused" else [TILE]

        def identity(place: int) -> Mapping[str, Any]:
            return tile if place == TILE else members[place].identity

        def arguments(states: Mapping[int, bytes]) -> tuple[Any, ...]:
            return bare, members[0].identity, tuple(done), states, max(self.checkpoint_every, elsewhere.seconds, LEAST)

        kept = {place: self.keeper.load_checkpoint(identity(place)) for place in places} if self.keeper else {}
        begun = {place: state for place, state in kept.items() if state is not None}
        for place, (_, facts) in begun.items():
            self.progress.tick(int(facts["done"]) * (1 if place != TILE else len(members) - len(done)))
        states = {place: packed(*state) for place, state in begun.items()}

        def take(arrays: dict[str, Array], facts: dict[str, Any]) -> tuple[Any, ...] | None:
            records, at = unbundled(arrays, facts), int(facts["at"])
            state = records.pop(STATE, None)
            self.progress.tick(int(facts["steps"]))
            for place, record in ((int(key), record) for key, record in records.items()):
                done.append(place)
                states.pop(place, None)
                self._finish(members[place], from_record(members[place].member, *record))
            if state is not None:
                states[at] = packed(*state)
                if self.keeper is not None:
                    self.keeper.save_checkpoint(identity(at), *state)
            elif at == TILE and self.keeper is not None and members[0].way != "fused":
                self.keeper.drop_checkpoint(tile)
            return arguments(dict(states)) if len(done) < len(members) else None

        about = f"training {', '.join(str(job.member) for job in members[:3])}{' and others' if members[3:] else ''}"
        return Errand(train_slice, arguments(dict(states)), take, about)

    def _tile(self, members: list[Job], device: torch.device, prepared: Prepared) -> None:
        finished = {place for place, job in enumerate(members) if self.place[id(job)] in self.found}
        if len(finished) == len(members) or self.stopping:
            return
        tile = Tile(members, device, members[0].way, members[0].tile, prepared)  # type: ignore[arg-type]
        kept = self.keeper.load_checkpoint(tile.identity) if self.keeper else None
        if kept is not None:
            tile.restore(*kept)
        tile.keep([place for place, i in enumerate(tile.active) if i not in finished])
        self.progress.tick(tile.done * len(tile.active))
        saved = time.monotonic()
        while tile.active and not self.stopping:
            count, before = len(tile.active), tile.done
            left = advance(tile, min(self.checkpoint_every, 0.5), lambda: self.stopping)
            self.progress.tick((tile.done - before) * count)
            for place, trajectory in left:
                self._finish(members[place], trajectory)
            due = self.stopping or left or time.monotonic() - saved > self.checkpoint_every
            if self.keeper and tile.active and due:
                self.keeper.save_checkpoint(tile.identity, *tile.checkpoint())
                saved = time.monotonic()
        if self.keeper and not tile.active:
            self.keeper.drop_checkpoint(tile.identity)


def _work(job: Job) -> int:
    """Return what the training of a network is about in proportion to."""
    rows = job.recipe.batch or job.sample.train
    return job.recipe.steps * rows * sum(p.numel() for p in job.module.parameters())


def interrupted(progress: Progress, done: str, keeper: Keeper | None) -> Interrupted:
    """Return what is raised after Ctrl-C: how many members are ``done``, and whether they are kept."""
    some = "they are kept; the same call resumes" if progress.finished else "the same call begins where it was"
    kept = some if keeper else "nothing is kept without a store"
    return Interrupted(f"interrupted with {progress.finished} of {progress.members} members {done}; {kept}.")
