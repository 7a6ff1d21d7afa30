"""A slice of training that can be done anywhere: some members for some seconds, from a state to a state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from phasescope.ensemble.cores import one_core
from phasescope.ensemble.engines import Name
from phasescope.ensemble.executors import packed, unpacked
from phasescope.ensemble.jobs import Job
from phasescope.ensemble.marks import drawn_mark, learner_marks, of_the_house, reads_mark, structure, task_mark
from phasescope.ensemble.results import to_record
from phasescope.ensemble.tile import Prepared, Tile, advance
from phasescope.identity import house_fingerprint, surroundings
from phasescope.vocabulary import BadInput

_PREPARED = Prepared()
_MET: set[str] = set()
#: Bytes of each member that left, by its place; the state of the rest, or None when all have; member-steps taken.
Slice = tuple[dict[int, bytes], bytes | None, int]


class OtherCode(BadInput):
    """Where the work was sent, code or settings are not those of the process that sent it."""


def train_slice(
    jobs: Sequence[Job], identity: Any, finished: Sequence[int], state: bytes | None, seconds: float
) -> Slice:
    """Train the members of a tile for ``seconds``, or to the end, from ``state``, and return what became of them.

    ``finished`` are places of members that are done already. ``identity`` is that of the first job where it was made:
    raises ``OtherCode`` where the code here would give other numbers.
    """
    _check_same(jobs, identity)
    one_core()
    name: Name = jobs[0].engine.split("-")[0]  # type: ignore[assignment]
    tile = Tile(jobs, torch.device("cpu"), name, jobs[0].tile, _PREPARED)
    if state is not None:
        tile.restore(*unpacked(state))
    tile.keep([place for place, i in enumerate(tile.active) if i not in set(finished)])
    count, before = len(tile.active), tile.done
    left = {place: packed(*to_record(trajectory)) for place, trajectory in advance(tile, seconds)}
    rest = packed(*tile.checkpoint()) if tile.active else None
    return left, rest, (tile.done - before) * count


def _check_same(jobs: Sequence[Job], identity: Any) -> None:
    """Raise ``OtherCode`` where the marks of the jobs are not those that this process would give them."""
    here = {"code": house_fingerprint("phasescope.ensemble.train"), "surroundings": surroundings()}
    if any(identity[name] != value for name, value in here.items()):
        raise OtherCode("phasescope, a library or a setting of torch is another one in the process that trains.")
    for job in jobs:
        marks = job.marks
        key = repr((marks, job.member.seed))
        if key in _MET:
            continue
        module = job.module
        same = [
            [reads_mark(i) for i in job.watch] == list(marks.watch),
            [reads_mark(i) for i in job.at_end] == list(marks.at_end),
            of_the_house(module) or structure(module) == marks.shape,
            job.make is not None or of_the_house(module) or learner_marks(module, module)[0] == marks.learner,
        ]
        mark = task_mark(job.task, {})
        if not of_the_house(job.task):
            mark = drawn_mark(mark, job.task, job.member, job.draw(), {})
        if not all(same) or mark != marks.task:
            raise OtherCode(
                "a network, task or instrument is not the same in the process that trains it: its module was changed "
                "after it was imported, or is another version there."
            )
        _MET.add(key)
