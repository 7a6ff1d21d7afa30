"""Live progress of a run, for the command line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from phasescope.lab.bar import Bar, clock, words

if TYPE_CHECKING:
    from rich.console import Console

    from phasescope.lab.bench import Stage


class Display:
    """Live progress on stderr: members, steps per second, time left, fates. Plain lines where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self.started, self.bar = time.monotonic(), Bar("terminal" if console.is_terminal else "lines", console)
        if console.is_terminal:
            self.bar("preparing", 0.0, "")

    def __call__(self, stage: Stage) -> None:
        """Show where a study is."""
        p = stage.progress
        done = stage.steps_before + p.steps_done
        total = max(stage.steps_total - (stage.budget - p.steps), 1)
        spent = time.monotonic() - self.started
        left = spent * (total - done) / done if done else float("inf")
        ahead = f"{clock(p.seconds_left)} left of this part" if stage.mixed else f"{clock(left)} left"
        state = words(p, stage.unit, ahead)
        if stage.unit == "steps" and stage.budget and not p.steps_done and not p.finished:
            state = "compiling the training step, once per machine"
        title = f"{stage.number}/{stage.count} {stage.title}" + (f" ({stage.look})" if stage.look else "")
        self.bar(title, self._share(stage, done / total), state)

    def _share(self, stage: Stage, of_steps: float) -> float:
        if not stage.mixed:
            return of_steps
        p = stage.progress
        return (stage.number - 1 + p.steps_done / max(p.steps, 1)) / stage.count

    def close(self) -> None:
        """Take the display down."""
        self.bar.close()
