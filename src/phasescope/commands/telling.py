"""What the command line does around a run and tells of it: live progress, the report, the verdicts."""

from __future__ import annotations

import json
import os
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasescope.door import safe_point, training_is_over

if TYPE_CHECKING:
    from rich.console import Console

    from phasescope.figures import Page
    from phasescope.lab import MapResults, Results, Stage


QUIET = "PHASESCOPE_QUIET"  # set by --quiet: what tells of progress says nothing


def console(*, stderr: bool = False) -> Console:
    """Return where the command line prints, or on ``stderr`` tells of progress: what users write is text, no markup."""
    from rich.console import Console

    quiet = stderr and bool(os.environ.get(QUIET))
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, quiet=quiet)


def carry_out(
    work: Callable[[Callable[[Stage], None]], Results | MapResults],
    as_json: bool,
    open_: bool,
    *,
    details: bool = False,
    say: str = "",
) -> None:
    """Do the work with a live display, write its report, and tell of it; ``say`` this where the work begins."""
    from phasescope.lab.staged import Display

    screen, started = console(stderr=True), time.monotonic()
    display = Display("terminal" if screen.is_terminal else "lines", screen)

    said = [say] if say else []

    def on_progress(stage: Stage) -> None:
        safe_point()
        if said:
            screen.print(said.pop())
        display(stage)

    try:
        results = work(on_progress)
        training_is_over()
    finally:
        display.close()
    told, paths = report_of(results)
    seconds = round(time.monotonic() - started, 3)
    if as_json:
        print(json.dumps(_document(results, paths, seconds), allow_nan=False))
    else:
        tell(results, told, paths, seconds, details=details)
    if open_:
        webbrowser.open(Path(paths["report"]).resolve().as_uri())


def report_of(results: Results | MapResults) -> tuple[Page, dict[str, Any]]:
    """Write figures and page into the run's folder; return what the page tells, and where they are."""
    from phasescope.report import write_report
    from phasescope.store import Store

    assert results.directory is not None
    told = results.told()
    with Store(results.directory) as store:
        return told, write_report(store, told)


def _document(results: Results | MapResults, paths: dict[str, Any], seconds: float) -> dict[str, Any]:
    return {
        "study": results.provenance["study"],
        "scale": results.provenance["scale"],
        "complete": True,
        "seconds": seconds,
        **results.findings(),
        "report": str(paths["report"]),
        "data": str(results.data_path),
        "provenance": dict(results.provenance),
    }


def tell(
    results: Results | MapResults, told: Page, paths: dict[str, Any], seconds: float, *, details: bool = False
) -> None:
    """Print what was found, and where the report and the data are."""
    from rich.text import Text

    screen = console()
    paper = f" ({told.paper.authors} {told.paper.year})" if told.paper else ""
    screen.print(Text.assemble((told.title, "bold"), paper))
    print(results.summary(details=details))
    if not details and hasattr(results, "verdicts"):
        print(f"details  phasescope report {results.directory} --details")
    if paths:
        print(f"figures  {Path(paths['report']).parent / 'figures'}\npage     {paths['report']}")
    print(f"data     {results.data_path}\n{seconds:.1f} s, report included")
