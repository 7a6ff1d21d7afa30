"""The files of a report: every figure twice, for paper and for screens, and the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from phasescope.errors import BadInput, told
from phasescope.figures import Page
from phasescope.store.atomic import write_atomic
from phasescope.store.folder import owned

from .figures import render
from .numbers import numbers_of
from .page import page, slug

PAGE = "report.html"
HEAVY = 600_000  # bytes of an SVG from which the page shows the PNG, if that is smaller


class Shelf(Protocol):
    """Where a report is put; the store of a run is one."""

    def write(self, name: str, data: bytes | str) -> Path:
        """Write a file, whole or not at all, and return its path."""
        ...


def write_report(store: Shelf, told: Page) -> dict[str, Any]:
    """Write ``figures/<id>.png``, ``.svg`` and, its numbers, ``.csv``, and ``report.html``; return where they are.

    The answer is ``{"report": Path, "figures": {id: {"png": Path, "svg": Path, "csv": Path}}}``. The page comes last,
    so where it is, all of it is. Raises ``BadInput`` for figures that share an id.
    """
    rendered = [render(figure) for figure in told.figures]
    text = page(told, [lighter(files) for files in rendered])
    paths = {
        figure.id: _put(store, f"figures/{slug(figure.id)}", {**files, "csv": numbers_of(figure)})
        for figure, files in zip(told.figures, rendered, strict=True)
    }
    return {"report": store.write(PAGE, text), "figures": paths}


def _put(store: Shelf, name: str, files: Mapping[str, bytes | str]) -> dict[str, Path]:
    return {kind: store.write(f"{name}.{kind}", data) for kind, data in files.items()}


class _Alone:
    """A shelf that keeps the page, under another name, and nothing else."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def write(self, name: str, data: bytes | str) -> Path:
        """Write the page; take no notice of another file."""
        if name == PAGE:
            write_atomic(self.out, data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)
        return self.out


def write_page(out: Path | str, content: Page) -> Path:
    """Write the page alone, as the file ``out``, whole or not at all.

    Raises ``BadInput``, before anything is drawn, where it can not be made, and where it would replace a file of a
    run's store.
    """
    out = Path(out)
    if not out.parent.is_dir():
        raise BadInput(f"{out} can not be written, for there is no such folder: name a file in a folder that exists.")
    if (out.exists() and not out.is_file()) or owned(out):
        kind = "a folder" if out.is_dir() else "a file of the run's own" if out.is_file() else "no regular file"
        raise BadInput(f"{out} is {kind}, which a page must not replace: name another file, such as report.html.")
    try:
        path: Path = write_report(_Alone(out), content)["report"]
    except OSError as error:
        raise BadInput(told(error, out)) from None
    return path


def lighter(files: Mapping[str, bytes]) -> bytes:
    """Return the image that goes into the page: the SVG, unless it is heavy and the PNG is not."""
    svg, png = files["svg"], files["png"]
    return png if len(svg) > HEAVY and len(png) < len(svg) else svg
