"""``train``: a whole grid of networks in one call, resumable, with the fate of every member."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
import xarray as xr

from phasescope.checks import function
from phasescope.ensemble import fused, plan
from phasescope.ensemble.choice import Choice, chosen_for
from phasescope.ensemble.cores import on_cores
from phasescope.ensemble.door import check_networks, whole_number
from phasescope.ensemble.engines import Name
from phasescope.ensemble.jobs import Job, LearnerLike, TaskLike, jobs
from phasescope.ensemble.optimizers import NUMBERS
from phasescope.ensemble.results import from_record, to_dataset, to_record
from phasescope.ensemble.tile import Prepared, Tile, advance
from phasescope.errors import shown
from phasescope.vocabulary import (
    BadInput,
    Fate,
    Grid,
    Instrument,
    Interrupted,
    Keeper,
    Recipe,
    Scatter,
    Trajectory,
    nearest,
)

Engine = Literal["auto", "fused", "looped", "stacked", "traced", "compiled"]


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


def device_named(name: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``; raise ``BadInput`` when it is not there."""
    if not isinstance(name, str) or name not in ("auto", "cpu", "cuda"):
        raise BadInput(f"device is {shown(name)}: choose auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("device is 'cuda', but this machine has no CUDA device that torch can use: choose cpu or auto.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def train(
    learner: LearnerLike,
    task: TaskLike,
    grid: Grid | Scatter,
    recipe: Recipe,
    watch: Sequence[Instrument] = (),
    *,
    at_end: Sequence[Instrument] = (),
    device: str = "auto",
    engine: Engine = "auto",
    tile: int | None = None,
    workers: int | None = None,
    keeper: Keeper | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint_every: float = 5.0,
) -> xr.Dataset:
    """Train every member of ``grid`` and return what the instruments of ``watch`` read, as one labelled dataset.

    ``learner``: any ``nn.Module`` written for one network, or a function of the member that makes one (for axes such as
    width). Parameters that need no gradient keep their values. ``task``: a table, a sampler, anything with the protocol
    ``Task``, or a function of the member. Axes of the grid may be numbers of the recipe,
    of the task or of the learner. The dataset has the grid's axes, ``seed`` and ``step`` as dimensions (``member`` and
    ``step`` for a ``Scatter``); a reading is NaN after its member has left. ``fate``, ``fate_step``, ``seconds`` (per
    member), the readings of ``at_end``, taken once at the end (``end.<name>``), and the final parameters
    (``final.<name>``; padded with NaN where members differ in shape, see ``final``) stand beside the readings.

    ``engine="fused"`` trains members one per core in compiled code (CPU, learners with a fused step), the same bits
    whatever else is trained; ``"stacked"`` trains tiles side by side (any module, CPU or CUDA). ``keeper`` stores
    finished members and checkpoints; a member found there is not trained again.

    Raises ``BadInput`` for unknown axes, data and networks that do not fit or of which it can not be told what changes
    their numbers, missing devices, or too little memory; ``Interrupted`` after Ctrl-C.
    """
    device_named(device)
    if not (isinstance(checkpoint_every, int | float) and checkpoint_every >= 0):
        raise BadInput(f"checkpoint_every is {checkpoint_every!r}: give seconds, a number of at least 0.")
    if on_progress is not None:
        function("on_progress", on_progress)
    if keeper is not None and (isinstance(keeper, type) or not isinstance(keeper, Keeper)):
        raise BadInput(f"keeper is {shown(keeper)}: give a ps.Store(folder), or leave it out.")
    prepared = Prepared()
    chosen = planned(
        learner, task, grid, recipe, watch, at_end=at_end, device=device, engine=engine, tile=tile, workers=workers,
        keeper=keeper, prepared=prepared,
    )  # fmt: skip
    return trained(
        chosen, grid, device=device, workers=workers, keeper=keeper, on_progress=on_progress,
        checkpoint_every=checkpoint_every, prepared=prepared,
    )  # fmt: skip


def trained(
    chosen: Sequence[Job],
    grid: Grid | Scatter,
    *,
    device: str = "auto",
    workers: int | None = None,
    keeper: Keeper | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint_every: float = 5.0,
    prepared: Prepared | None = None,
) -> xr.Dataset:
    """Return the dataset of ``train`` from its jobs, as ``planned`` made them of ``grid`` for the same ``device``."""
    run = _Run(chosen, keeper, on_progress, checkpoint_every)
    if chosen[0].engine.startswith("fused"):
        run.fused(workers or plan.cores())
    else:
        run.tiles(device_named(device), workers or plan.cores(), prepared or Prepared())
    run.on_progress(run.progress)
    return to_dataset(grid, chosen[0].watch, chosen[0].at_end, [run.found[i] for i in range(len(chosen))])


def planned(
    learner: LearnerLike,
    task: TaskLike,
    grid: Grid | Scatter,
    recipe: Recipe,
    watch: Sequence[Instrument] = (),
    *,
    at_end: Sequence[Instrument] = (),
    device: str = "auto",
    engine: Engine | None = None,
    tile: int | None = None,
    workers: int | None = None,
    keeper: Keeper | None = None,
    prepared: Prepared | None = None,
) -> list[Job]:
    """Return the jobs that ``train`` would do, checked: everything that can be refused is refused here.

    Without ``engine``, it is the fused one where it can be and the stacked one otherwise, whatever is faster: so
    that a measurement never changes a published number.
    """
    where = device_named(device)
    if engine is not None and (not isinstance(engine, str) or engine not in get_args(Engine)):
        raise BadInput(f"engine is {shown(engine)}{nearest(str(engine), get_args(Engine))}")
    for name, value in (("workers", workers), ("tile", tile)):
        if value is not None:
            whole_number(name, value)
    chosen = jobs(learner, task, grid, recipe, watch, at_end)
    able = where.type == "cpu" and all(fused.supports(job) for job in chosen)
    if engine == "fused" and not able:
        raise BadInput(
            "engine is 'fused', which needs the CPU, a learner with a fused step and a table of class labels."
        )
    several = workers or plan.cores()
    if engine == "fused" or (able and engine in (None, "auto")):
        check_networks(chosen, side_by_side=False)
        plan.check_memory(chosen, "fused", several, where)
        return [replace(job, engine=f"fused-{where.type}") for job in chosen]
    return _with_engines(chosen, where, engine or "stacked", tile, several, keeper, prepared or Prepared())


def _with_engines(
    chosen: list[Job],
    device: torch.device,
    engine: str,
    tile: int | None,
    workers: int,
    keeper: Keeper | None,
    prepared: Prepared,
) -> list[Job]:
    """Return the jobs with the engine of each, and with what it was chosen by."""
    plan.check_memory(chosen, "stacked", workers if engine != "stacked" else 1, device)
    if engine == "auto" and device.type != "cpu":
        engine = "stacked"
    if engine in ("looped", "stacked"):
        check_networks(chosen, side_by_side=engine == "stacked")
        size = 1 if engine == "looped" else tile
        own = engine if size is None or engine == "looped" else f"{engine}-{size}"
        return [replace(job, engine=f"{own}-{device.type}", tile=size) for job in chosen]
    check_networks(chosen, side_by_side=False)
    choices: dict[str, Choice] = {}
    for job in chosen:
        if job.shape_key not in choices:
            bundle = [other for other in chosen if other.shape_key == job.shape_key]
            choices[job.shape_key] = chosen_for(bundle, device, engine, tile, workers, keeper, prepared)
    made = []
    for job in chosen:
        choice = choices[job.shape_key]
        own = f"{choice.engine}-{choice.size}-{device.type}"
        made.append(replace(job, engine=own, tile=choice.size, choice=str(choice)))
    return made


class _Run:
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
        return [job for i, job in enumerate(self.jobs) if i not in self.found]

    def _finish(self, job: Job, trajectory: Trajectory) -> None:
        if self.keeper is not None:
            self.keeper.save(job.identity, *to_record(trajectory))
            self.keeper.drop_checkpoint(job.identity)
        self.found[self.place[id(job)]] = trajectory
        self.progress.finish(trajectory, job.recipe.steps)

    def fused(self, workers: int) -> None:
        """Train what is left, one member per worker at a time, each worker on one core."""
        left = self.left
        if not left:
            return
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

    def tiles(self, device: torch.device, workers: int, prepared: Prepared) -> None:
        """Train what is left in tiles of equal shape, one tile per worker at a time."""
        bundles: dict[tuple[str, str], list[Job]] = {}
        for job in self.jobs:  # finished ones too: a tile is the same tile when it is taken up again
            bundles.setdefault((job.shape_key, job.engine), []).append(job)
        cut = []
        for bundle in bundles.values():
            size = bundle[0].tile or plan.tile_size(bundle[0], device, None)
            # neighbours with the same numbers share the optimizer's calls
            alike = sorted(bundle, key=lambda job: [getattr(job.recipe, name) for name in NUMBERS])
            cut += [alike[begin : begin + size] for begin in range(0, len(alike), size)]

        def work(members: list[Job]) -> None:
            try:
                self._tile(members, device, prepared)
            except (BadInput, Interrupted):
                raise
            except Exception as error:
                error.add_note(f"raised while training {', '.join(str(job.member) for job in members[:3])}")
                raise

        several = 1 if device.type != "cpu" else workers
        try:
            on_cores(work, cut, several, lambda: self.on_progress(self.progress), self._stop)
        except KeyboardInterrupt:
            raise self._interrupted() from None

    def _tile(self, members: list[Job], device: torch.device, prepared: Prepared) -> None:
        finished = {place for place, job in enumerate(members) if self.place[id(job)] in self.found}
        if len(finished) == len(members) or self.stopping:
            return
        name: Name = members[0].engine.split("-")[0]  # type: ignore[assignment]
        tile = Tile(members, device, name, members[0].tile, prepared)
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


def interrupted(progress: Progress, done: str, keeper: Keeper | None) -> Interrupted:
    """Return what is raised after Ctrl-C: how many members are ``done``, and whether they are kept."""
    some = "they are kept; the same call resumes" if progress.finished else "the same call begins where it was"
    kept = some if keeper else "nothing is kept without a store"
    return Interrupted(f"interrupted with {progress.finished} of {progress.members} members {done}; {kept}.")
