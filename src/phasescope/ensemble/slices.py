"""Slices of work that can be done anywhere: some members for some seconds, from a state to a state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from phasescope.ensemble import fused
from phasescope.ensemble.cores import freed_memory_kept, one_core
from phasescope.ensemble.errands import Record, bundled, packed, unpacked
from phasescope.ensemble.jobs import Job
from phasescope.ensemble.marks import drawn_mark, learner_marks, of_the_house, reads_mark, structure, task_mark
from phasescope.ensemble.results import to_record
from phasescope.ensemble.tile import Prepared, Tile, advance
from phasescope.identity import fingerprint, house_fingerprint, surroundings
from phasescope.vocabulary import BadInput, Interrupted

TILE = -1  # the place of a state that is that of all members together
STATE = "state"
_PREPARED = Prepared()
_MET: set[str] = set()


class OtherCode(BadInput):
    """Where the work was sent, code or settings are not those of the process that sent it."""


@contextmanager
def named(jobs: Sequence[Job]) -> Iterator[None]:
    """Let what a user's code raises within say which members were being trained."""
    try:
        yield
    except (BadInput, Interrupted):
        raise
    except Exception as error:
        error.add_note(f"raised while training {', '.join(str(job.member) for job in jobs[:3])}")
        raise


def train_slice(
    jobs: Sequence[Job], identity: Any, finished: Collection[int], states: Mapping[int, bytes], seconds: float
) -> bytes:
    """Train members for ``seconds``, or to the end, from their ``states``, and return what became of them.

    ``finished`` are places of members that are done already. ``identity`` is that of the first job where it was made:
    raises ``OtherCode`` where the code here would give other numbers. Returned, as ``bundled`` puts it together, are
    the records of the members that left, by their places; under "state" the state of the rest and the place ``at``
    which it stands; and the member-steps taken.
    """
    check_surroundings(identity)
    for job in jobs:
        check_job(job)
    one_core()
    work = _fused_slice if jobs[0].way == "fused" else _tile_slice
    with named(jobs), freed_memory_kept():
        return work(jobs, finished, states, seconds)


def _tile_slice(jobs: Sequence[Job], finished: Collection[int], states: Mapping[int, bytes], seconds: float) -> bytes:
    """Train the members of a tile side by side."""
    tile = Tile(jobs, torch.device("cpu"), jobs[0].way, jobs[0].tile, _PREPARED)  # type: ignore[arg-type]
    if TILE in states:
        tile.restore(*unpacked(states[TILE]))
    tile.keep([place for place, i in enumerate(tile.active) if i not in finished])
    count, before = len(tile.active), tile.done
    records: dict[str, Record] = {str(place): to_record(found) for place, found in advance(tile, seconds)}
    if tile.active:
        records[STATE] = tile.checkpoint()
    return bundled(records, at=TILE, steps=(tile.done - before) * count)


class _Hand:
    """The state of one member, in hand: what a store is to a run of this process."""

    def __init__(self, blob: bytes | None) -> None:
        self.state = unpacked(blob) if blob is not None else None

    def load_checkpoint(self, identity: Mapping[str, Any]) -> Record | None:
        """Return the state, or None."""
        return self.state

    def save_checkpoint(self, identity: Mapping[str, Any], arrays: Any, facts: Any) -> None:
        """Take the state in hand."""
        self.state = arrays, facts


def _fused_slice(jobs: Sequence[Job], finished: Collection[int], states: Mapping[int, bytes], seconds: float) -> bytes:
    """Train members one after the other in compiled code."""
    from phasescope.ensemble.native import build_loop

    end, records, steps, at = time.monotonic() + seconds, dict[str, Record](), 0, TILE

    def tick(count: int) -> None:
        nonlocal steps
        steps += count

    for place, job in enumerate(jobs):
        if place in finished:
            continue
        if records and time.monotonic() > end:
            break
        hand, loop = _Hand(states.get(place)), build_loop(fused.fused_of(job).gradient)  # type: ignore[arg-type]
        steps -= int(hand.state[1]["done"]) if hand.state else 0  # these were counted when they were taken
        found = fused.train_fused(job, loop, hand, tick, lambda: time.monotonic() > end, math.inf)  # type: ignore[arg-type]
        if found is None:
            assert hand.state is not None
            records[STATE], at = hand.state, place
            break
        records[str(place)] = to_record(found)
    return bundled(records, at=at, steps=steps)


def in_turn(one: Callable[[int], Record], places: Sequence[int], seconds: float) -> bytes:
    """Return the records of ``places`` that are made within ``seconds``, one at least, as ``bundled``."""
    one_core()
    end, records = time.monotonic() + seconds, dict[str, Record]()
    with freed_memory_kept():
        for place in places:
            records[str(place)] = one(place)
            if time.monotonic() > end:
                break
    return bundled(records)


def check_surroundings(identity: Mapping[str, Any]) -> None:
    """Raise ``OtherCode`` where the house's code, a library or a setting of torch is not that of ``identity``."""
    here = {"code": house_fingerprint("phasescope.ensemble.train"), "surroundings": surroundings()}
    if any(identity[name] != value for name, value in here.items()):
        raise OtherCode("phasescope, a library or a setting of torch is another one in the process that does the work.")


def check_function(function: Any, mark: str) -> None:
    """Raise ``OtherCode`` where the fingerprint of a function is not ``mark`` here."""
    if fingerprint(function) != mark:
        raise OtherCode(
            f"{function.__module__}.{function.__qualname__} is not the same in the process that calls it: its module "
            "was changed after it was imported, or is another version there."
        )


def checked(job: Job, identity: Any) -> bytes:
    """Return nothing; raise ``OtherCode`` where this process would not train ``job`` as the one that made it."""
    check_surroundings(identity)
    check_job(job)
    return packed({}, {})


def check_job(job: Job) -> None:
    """Raise ``OtherCode`` where the marks of a job are not those that this process would give it."""
    marks = job.marks
    key = repr((marks, job.member.seed))
    if key in _MET:
        return
    module = job.module
    same = [
        [reads_mark(i) for i in job.watch] == list(marks.watch),
        [reads_mark(i) for i in job.at_end] == list(marks.at_end),
        of_the_house(module) or structure(module) == marks.shape,
        job.make is not None or of_the_house(module) or learner_marks(module, module)[0] == marks.learner,
        {name: fingerprint(function) for name, function in job.recipe.functions.items()} == dict(marks.functions),
    ]
    mark = task_mark(job.task, {})
    if not of_the_house(job.task):
        mark = drawn_mark(mark, job.task, job.member, job.draw(), {})
    if not all(same) or mark != marks.task:
        raise OtherCode(
            "a network, task, instrument or function is not the same in the process that trains: its module changed "
            "after it was imported, or is another version there."
        )
    _MET.add(key)
