"""Live progress of a study or a map: which part it is at, how far that is, and how much is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phasescope.ensemble import Progress
from phasescope.lab.bar import Bar, Place, clock, drawn_here, words

if TYPE_CHECKING:
    from rich.console import Console

SOON = 5.0
"""A study tells how long it will take so many seconds after its first steps, which wait for the compiler."""


@dataclass
class Stage:
    """Where a study is: experiment ``number`` of ``count`` with its own progress, and the steps of those before it.

    ``budget`` is the steps of this experiment if no member settles early, ``steps_total`` those of the whole study.
    ``mixed``: some experiments train and some simulate, so their steps do not compare. ``unit`` is what this experiment
    counts: training steps, or the members that it simulates. ``look`` says which claims are open, where claims are
    looked at until they are decided.
    """

    title: str
    number: int
    count: int
    steps_before: int
    budget: int
    steps_total: int
    progress: Progress
    mixed: bool = False
    unit: str = "steps"
    look: str = ""


class Display:
    """A bar in its ``place`` for the parts of a study: members, steps per second, time left, fates."""

    def __init__(self, place: Place, console: Console) -> None:
        self.begun: tuple[float, int] | None = None  # when the first steps were told, and how many
        self.bar = Bar(place, console)
        if place in ("terminal", "notebook"):
            self.bar("preparing", 0.0, "")

    def __call__(self, stage: Stage) -> None:
        """Show where a study is."""
        p = stage.progress
        done = stage.steps_before + p.steps_done
        total = max(stage.steps_total - (stage.budget - p.steps), 1)
        left = self._left(done, total)
        ahead = f"{clock(p.seconds_left)} left of this part" if stage.mixed else f"{clock(left)} left"
        state = words(p, stage.unit, ahead)
        if stage.unit == "steps" and stage.budget and not p.steps_done and not p.finished:
            state = "compiling the training step, once per machine"
        title = f"{stage.number}/{stage.count} {stage.title}" + (f" ({stage.look})" if stage.look else "")
        self.bar(title, self._share(stage, done / total), state)

    def _left(self, done: int, total: int) -> float:
        """Return the seconds that the rest takes at the rate so far; infinite as long as that says little."""
        if not done:
            return float("inf")
        now = time.monotonic()
        self.begun = self.begun or (now, done)
        spent, more = now - self.begun[0], done - self.begun[1]
        return spent * (total - done) / more if more > 0 and spent >= SOON else float("inf")

    def _share(self, stage: Stage, of_steps: float) -> float:
        if not stage.mixed:
            return of_steps
        p = stage.progress
        return (stage.number - 1 + p.steps_done / max(p.steps, 1)) / stage.count

    def close(self) -> None:
        """Take the display down."""
        self.bar.close()


@contextmanager
def staged(wanted: bool, own: Callable[[Stage], None] | None) -> Iterator[Callable[[Stage], None]]:
    """Give the function that a study tells its progress to: the user's ``own``, or a bar's where one is ``wanted``."""
    with drawn_here(Display, wanted and own is None) as display:
        yield display or own or (lambda stage: None)
