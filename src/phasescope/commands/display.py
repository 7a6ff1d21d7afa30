"""Live progress of a run, for the command line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from phasescope.lab.bench import Stage


class Display:
    """Live progress on stderr: members, steps per second, time left, fates. Plain lines where there is no terminal."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self.console, self.started, self.said = console, time.monotonic(), 0.0
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}", markup=False),
        )
        self.bars = Progress(*columns, console=console, transient=True) if console.is_terminal else None
        self.bar = self.bars.add_task("preparing", total=1.0, state="") if self.bars else None
        if self.bars:
            self.bars.start()

    def __call__(self, stage: Stage) -> None:
        """Show where a study is."""
        p = stage.progress
        done = stage.steps_before + p.steps_done
        total = max(stage.steps_total - (stage.budget - p.steps), 1)
        spent = time.monotonic() - self.started
        left = spent * (total - done) / done if done else float("inf")
        ahead = f"{_clock(p.seconds_left)} left of this part" if stage.mixed else f"{_clock(left)} left"
        fates = ", ".join(f"{count} {fate}" for fate, count in p.fates.items() if count)
        reused = f", {p.reused} from the store" if p.reused else ""
        state = f"{p.finished}/{p.members} members{reused}, {p.rate:,.3g} {stage.unit}/s, {ahead}"
        if stage.unit == "steps" and stage.budget and not p.steps_done and not p.finished:
            state = "compiling the training step, once per machine"
        state += f"; {fates}" if fates else ""
        title = f"{stage.number}/{stage.count} {stage.title}" + (f" ({stage.look})" if stage.look else "")
        if self.bars is not None and self.bar is not None:
            self.bars.update(
                self.bar, description=title, completed=self._share(stage, done / total), total=1.0, state=state
            )
        elif time.monotonic() - self.said > 5:
            self.said = time.monotonic()
            self.console.print(f"{title}: {state}", soft_wrap=True)

    def _share(self, stage: Stage, of_steps: float) -> float:
        if not stage.mixed:
            return of_steps
        p = stage.progress
        return (stage.number - 1 + p.steps_done / max(p.steps, 1)) / stage.count

    def close(self) -> None:
        """Take the display down."""
        if self.bars:
            self.bars.stop()


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "--:--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
