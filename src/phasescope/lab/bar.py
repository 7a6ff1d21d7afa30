"""A bar of progress in a terminal or a notebook, plain lines elsewhere; few of them where they go to a file."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

from phasescope.ensemble import Progress

if TYPE_CHECKING:
    from rich.console import Console

Draw = Callable[[str, float, str], None]
Place = Literal["terminal", "notebook", "lines", "log"]
EVERY = {"terminal": 0.25, "notebook": 0.5, "lines": 5.0, "log": 60.0}
"""Seconds between two drawings: each takes some milliseconds of a core that trains."""


class Bar:
    """One bar in its ``place``: a title, a fraction of the work from 0 to 1, and words on where it is."""

    def __init__(self, place: Place, console: Console) -> None:
        # a log tells of what takes longer than that, and of nothing else
        self._every, self._drawn = EVERY[place], time.monotonic() if place == "log" else float("-inf")
        self._last: tuple[str, float, str] | None = None  # what was told and not drawn yet
        self._draw, self._end = DRAWN[place](console)
        self._keeps = place == "notebook"

    def __call__(self, title: str, share: float, state: str) -> None:
        """Show where the work is; what is told in between two drawings is left out."""
        self._last = (title, min(max(share, 0.0), 1.0), state)
        if time.monotonic() - self._drawn >= self._every:
            self._draw(*self._last)
            self._last, self._drawn = None, time.monotonic()

    def close(self) -> None:
        """Take the bar down; a notebook keeps it as it was told last."""
        if self._keeps and self._last is not None:
            self._draw(*self._last)
        self._end()


def _terminal(console: Console) -> tuple[Draw, Callable[[], None]]:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    title = TextColumn("{task.description}", markup=False)
    state = TextColumn("{task.fields[state]}", markup=False)
    # drawn when it is told, and by no thread of its own
    bars = Bars(title, BarColumn(bar_width=24), state, console=console, transient=True, auto_refresh=False)
    bar = bars.add_task("", total=1.0, state="")
    bars.start()

    def draw(title: str, share: float, state: str) -> None:
        bars.update(bar, description=title, completed=share, state=state, refresh=True)

    return draw, bars.stop


def _notebook(console: Console) -> tuple[Draw, Callable[[], None]]:
    # not rich's own, which shows nothing in a notebook without another package
    from IPython.display import HTML, display

    shown = display(HTML(""), display_id=True)

    def draw(title: str, share: float, state: str) -> None:
        words = f"<span>{html.escape(title)}</span> <progress max='1' value='{share:.4f}'></progress>"
        shown.update(HTML(f"{words} <span>{html.escape(state)}</span>"))

    return draw, lambda: None


def _lines(console: Console) -> tuple[Draw, Callable[[], None]]:
    return lambda title, share, state: console.print(f"{title}: {state}", soft_wrap=True), lambda: None


DRAWN = {"terminal": _terminal, "notebook": _notebook, "lines": _lines, "log": _lines}


def place_here() -> Place | None:
    """Return where progress is seen: in a notebook, or where the standard errors go to, a terminal or a log."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if hasattr(shell, "kernel"):
        return "notebook"
    if sys.stderr is None:
        return None
    return "terminal" if sys.stderr.isatty() else "log"


def drawn_here(make: Callable[[Place, Console], Any], wanted: bool) -> AbstractContextManager[Any]:
    """Give what ``make`` makes of the place here, closed at the end; None where there is none, or it is not wanted."""
    place = place_here() if wanted else None
    if place is None:
        return nullcontext()
    from rich.console import Console

    return closing(make(place, Console(stderr=True, highlight=False, markup=False, emoji=False)))


@contextmanager
def bar(title: str, unit: str, wanted: bool, own: Callable[[Progress], None] | None) -> Iterator[Callable[..., None]]:
    """Give the function that a call tells its progress to: the user's ``own``, or a bar's where one is ``wanted``.

    ``unit`` is what is counted: "steps", or "members". The bar is there from now on until the block ends.
    """
    with drawn_here(Bar, wanted and own is None) as drawn:
        if drawn is None:
            yield own or (lambda progress: None)
            return
        drawn(title, 0.0, "preparing")
        yield lambda p: drawn(title, share_of(p), words(p, unit, f"{clock(p.seconds_left)} left"))


def share_of(progress: Progress) -> float:
    """Return how much of the work is done, from 0 to 1; steps that nobody needs any more are no work."""
    return progress.steps_done / progress.steps if progress.steps > 0 else 1.0


def words(progress: Progress, unit: str, left: str) -> str:
    """Return the state of a run in words: members, rate, what is ``left``, fates."""
    p = progress
    reused = f", {p.reused} from the store" if p.reused else ""
    fates = ", ".join(f"{count} {fate}" for fate, count in p.fates.items() if count)
    rate = f"{p.rate:,.0f}" if p.rate >= 100 else f"{p.rate:.3g}"
    return f"{p.finished}/{p.members} members{reused}, {rate} {unit}/s, {left}{f'; {fates}' if fates else ''}"


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, a long one as hours.

    >>> clock(75.2), clock(7_500.0), clock(float("inf"))
    ('1:15', '2 h 05 min', '--:--')
    """
    if seconds == float("inf"):
        return "--:--"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 100:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes}:{rest:02d}"
