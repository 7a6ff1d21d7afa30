"""Which engine trains a user's networks: measured on some of their first steps, and compared with the plain loop."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.ensemble import plan
from phasescope.ensemble.cores import on_cores
from phasescope.ensemble.door import check_side_by_side
from phasescope.ensemble.engines import Name
from phasescope.ensemble.executors import local_processes, refused_by
from phasescope.ensemble.jobs import Job
from phasescope.ensemble.slices import checked
from phasescope.ensemble.tile import Batch, Prepared, Tile
from phasescope.ensemble.tracing import Untraceable
from phasescope.identity import house_fingerprint, surroundings
from phasescope.vocabulary import BadInput, Keeper

COMPARED = 4  # steps that are compared with the plain loop's, each on a batch of its own
TOLERANCES = {torch.float32: 1e-3, torch.float64: 1e-7}
SHORT = 1.0  # seconds: a run that takes less is not measured
FEW, LIGHT = 2000, 2e10  # steps of all members, and operations of all of them, up to which it is surely short
SHARE, LITTLE = 0.03, 0.3  # of a run's time, as far as it is known, and seconds that the search of sizes may take
LEAST, MOST = 0.3, 200  # seconds and steps of one measurement: the first steps of a trace are slow
STARTING = 5.0  # seconds until processes of one's own have begun
USUAL, LARGEST = 8, 64  # networks in a tile: where the search begins, and ends


@dataclass(frozen=True)
class Choice:
    """An engine, how many networks it takes at a time, what was measured, and why others were left out.

    ``timings`` are microseconds per network and step with all cores busy, by "engine:size". ``apart``: each core works
    in a process of its own, since networks whose steps are mostly Python hold one another up in one.
    """

    engine: Name
    size: int
    timings: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    apart: bool = False

    def __str__(self) -> str:
        measured = ", ".join(f"{name} {us:,.0f}" for name, us in self.timings.items())
        told = f" (microseconds per network and step: {measured})" if measured else ""
        where = " in each process" if self.apart else " at a time"
        return f"{self.engine}, {self.size}{where}{told}{''.join(f'; {note}' for note in self.notes)}"


_KNOWN: dict[str, Choice] = {}


def chosen_for(
    jobs: Sequence[Job],
    device: torch.device,
    asked: str,
    size: int | None,
    cores: int,
    keeper: Keeper | None,
    prepared: Prepared,
    like: Choice | None = None,
) -> Choice:
    """Return how to train ``jobs``, which share their shape: what ``asked`` names, or for "auto" what is fastest.

    ``like`` is what was chosen for the same network on as many rows or others, which is then compared, but not measured
    again. What was chosen is kept with a run, and taken again when it is resumed; within one process it is remembered.
    Raises ``BadInput`` where an engine that is named can not train them.
    """
    about = {
        "engine for": jobs[0].shape_key, "asked": [asked, size], "device": device.type,
        "code": house_fingerprint("phasescope.ensemble.train"), "surroundings": surroundings(),
    }  # fmt: skip
    kept = keeper.load(about) if keeper else None
    if kept is not None:
        facts = kept[1]
        return Choice(facts["engine"], int(facts["size"]), facts["timings"], facts["notes"], facts["apart"])
    key = repr((about, cores, len(jobs).bit_length()))  # a run that is resumed on other cores keeps its engine
    found = _KNOWN.get(key) or choose(jobs, device, asked, size, cores, prepared, like)
    if found.timings:
        _KNOWN[key] = found
    if keeper:
        facts = {name: getattr(found, name) for name in ("engine", "size", "timings", "notes", "apart")}
        keeper.save(about, {"members": np.array(len(jobs))}, facts)
    return found


def choose(
    jobs: Sequence[Job],
    device: torch.device,
    asked: str,
    size: int | None,
    cores: int,
    prepared: Prepared,
    like: Choice | None = None,
) -> Choice:
    """Return how to train ``jobs``, from trials: an engine that is ``asked`` for, or for "auto" what is fastest.

    An engine is taken only where its first steps are those of the plain loop. Sizes of tiles are tried upwards and
    downwards while they make the run shorter. A run of a second is not measured.
    """
    trial, most = _Trial(jobs, device, cores, prepared, loop=asked == "auto"), size or LARGEST
    notes: list[str] = []
    try:
        check_side_by_side(jobs[0])
    except BadInput as error:
        if asked == "compiled":
            raise
        most = 1
        notes.append(f"one at a time: {error}")
    most = max(min(most, -(-len(jobs) // cores), plan.most_in_a_tile(jobs[0], device, cores)), 1)
    if like is not None and (like.engine == "looped" or not trial.disagrees(like.engine, min(like.size, most))):
        return Choice(like.engine, min(like.size, most), {}, like.notes, like.apart)
    names: list[Name] = ["traced", "stacked"] if asked == "auto" else [asked]  # type: ignore[list-item]
    for name in names:
        first = min(size or USUAL, most)
        said = trial.disagrees(name, first) if name != "stacked" or most > 1 else "it needs several"
        if not said:
            return trial.best(name, first, most, notes, search=size is None)
        notes.append(f"{name} left out: {said}")
    if asked != "auto":
        kind = type(jobs[0].module).__name__
        raise BadInput(f"engine is {asked!r}, which can not train {kind}: {notes[-1]}; choose auto or looped.")
    return trial.best("looped", 1, 1, notes)


class _Trial:
    """Some first steps of a run, timed with every core busy and compared with the plain loop's."""

    def __init__(
        self, jobs: Sequence[Job], device: torch.device, cores: int, prepared: Prepared, *, loop: bool
    ) -> None:
        self.loop = loop  # whether the plain loop may be chosen
        self.jobs, self.device, self.prepared = list(jobs), device, prepared
        self.cores = cores if device.type == "cpu" else 1
        self.timings: dict[str, float] = {}
        self.reference: list[Any] | None = None

    def _tile(self, name: Name, size: int, members: int, first: int = 0) -> Tile:
        several = [self.jobs[(first + i) % len(self.jobs)] for i in range(members)]
        return Tile(several, self.device, name, size, self.prepared)

    # -- the same numbers --------------------------------------------------------------------------------------------

    def disagrees(self, name: Name, size: int) -> str:
        """Return in what the first steps of up to two members differ from the plain loop's, or nothing."""
        members = min(2, size, len(self.jobs))
        try:
            mine = _first_steps(self._tile(name, size, members))
        except Untraceable as error:
            return str(error)
        if self.reference is None:
            several = range(min(2, len(self.jobs)))
            self.reference = [_first_steps(self._tile("looped", 1, 1, first)) for first in several]
        tolerance = TOLERANCES[getattr(torch, self.jobs[0].recipe.dtype)]
        for place in range(members):
            for (loss, gradients), (right, known) in zip(mine, self.reference[place], strict=True):
                off = abs(float(loss[place] - right[0]))
                gap = _length([g[place] - k[0] for g, k in zip(gradients, known, strict=True)])
                near = gap <= tolerance * _length(known) and off <= tolerance * abs(float(right[0]))
                if not near and math.isfinite(_length(known)):
                    return f"its first steps are not the plain loop's (loss off by {off:.2g}, gradient by {gap:.2g})"
        return ""

    # -- the time ----------------------------------------------------------------------------------------------------

    def seconds(self, name: Name, size: int) -> float:
        """Return the seconds per network and step with all cores busy, each on its own tile."""
        key = f"{name}:{size}"
        if key not in self.timings:
            self.timings[key] = self._each(name, size, self.cores) / self.cores
        return self.timings[key]

    def _each(self, name: Name, size: int, cores: int) -> float:
        """Return the seconds in which each of ``cores`` takes a step of a network."""
        tiles = [self._tile(name, size, size, size * core) for core in range(cores)]
        _together(tiles, 4)
        warm = _together(tiles, 3) / 3
        steps = int(min(max(LEAST / warm, 3), MOST))
        return _together(tiles, steps) / (steps * size)

    def _run(self, name: Name, size: int) -> float:
        """Return how long the run would take by this measurement, tiles that leave a core idle included."""
        tiles = -(-len(self.jobs) // size)
        return self.seconds(name, size) * size * self.cores * -(-tiles // self.cores) * self.jobs[0].recipe.steps

    def _light(self) -> bool:
        """Return whether the run is short whatever the clock says, so that the same call makes the same choice."""
        job, steps = self.jobs[0], sum(job.recipe.steps for job in self.jobs)
        rows = min(job.recipe.batch or job.sample.train, job.sample.train)
        each = 6 * sum(p.numel() for p in job.module.parameters()) * rows
        return steps <= FEW and each * steps <= LIGHT

    def best(self, name: Name, size: int, most: int, notes: list[str], *, search: bool = True) -> Choice:
        """Return the faster of loop and engine, which takes ``size`` networks or, with ``search``, up to ``most``."""
        if (name == "looped" and len(self.jobs) == 1) or not (search or self.loop) or self._light():
            return Choice(name, size, {}, notes)
        loop = self._run("looped", 1)
        if loop < SHORT:
            return Choice(name, size, {}, notes)
        known = {size: self._run(name, size)} if name != "looped" else {}
        begun = time.perf_counter()
        for factor in (2, 0.5) if known and search else ():
            trying = size
            while known[trying] == min(known.values()):
                spent, following = time.perf_counter() - begun, min(int(trying * factor), most)
                if following in (0, trying) or spent > max(SHARE * min(loop, *known.values()), LITTLE):
                    break
                trying = following
                known[trying] = self._run(name, trying)
            if min(known, key=known.__getitem__) > size:
                break
        chosen = min(known, key=known.__getitem__, default=1)
        engine = name if known and (not self.loop or known[chosen] < loop) else "looped"
        apart = self.loop and self._apart(min([loop, *known.values()]), notes)
        found = {key: round(1e6 * s, 1) for key, s in self.timings.items()}
        if apart or engine == "looped":
            return Choice("looped", 1, found, notes, apart)
        return Choice(engine, chosen, found, notes)

    def _apart(self, together: float, notes: list[str]) -> bool:
        """Return whether plain loops in processes take less than ``together``, the seconds of the best in one."""
        if min(self.cores, len(self.jobs)) < 2 or together < 3 * STARTING:
            return False
        alone = self._each("looped", 1, cores=1)
        rounds = -(-len(self.jobs) // self.cores)
        if alone * self.jobs[0].recipe.steps * rounds + STARTING > together:
            return False
        self.timings["looped:1 in processes"] = alone / self.cores
        said = refused_by(local_processes(self.cores), checked, self.jobs[0], self.jobs[0].identity)
        if said:
            notes.append(f"not in processes, which would be faster: {said}")
        return not said


def _length(tensors: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


def _first_steps(tile: Tile) -> list[tuple[Tensor, list[Tensor]]]:
    """Take some steps; return the losses (B,) and the gradients (B, ...) of each."""
    found: list[tuple[Tensor, list[Tensor]]] = []
    taken = tile.gradients

    def told(batch: Batch) -> Any:
        run = taken(batch)

        def take(*arguments: Any) -> Any:
            gradients, loss, buffers = run(*arguments)
            found.append((loss.clone(), [g.clone() for g in gradients]))
            return gradients, loss, buffers

        return take

    tile.gradients = told  # type: ignore[method-assign]
    tile.train_to(COMPARED)
    return found


def _taken(tile: Tile, steps: int) -> None:
    tile.train_to(tile.done + steps)


def _together(tiles: Sequence[Tile], steps: int) -> float:
    """Return the seconds in which all tiles take their next ``steps``, each on a core of its own."""
    begun = time.perf_counter()
    on_cores(lambda tile: _taken(tile, steps), tiles, len(tiles), lambda: None, lambda: None)
    return time.perf_counter() - begun
