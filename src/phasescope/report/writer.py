"""The files of a report: every figure twice, for paper and for screens, and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from phasescope.errors import BadInput, told
from phasescope.figures import Diagram, Figure, Table
from phasescope.store.atomic import write_atomic
from phasescope.store.folder import owned

from .figures import render
from .page import Source, page, slug

PAGE = "report.html"
HEAVY = 600_000  # bytes of an SVG from which the page shows the PNG, if that is smaller


class Shelf(Protocol):
    """Where a report is put; the store of a run is one."""

    def write(self, name: str, data: bytes | str) -> Path:
        """Write a file, whole or not at all, and return its path."""
        ...


def write_report(
    store: Shelf,
    *,
    study_name: str,
    title: str,
    question: str,
    paper: Source | None,
    figures: Sequence[Figure],
    claims: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    notes: str,
    settings: Mapping[str, Any],
    command: str,
    diagrams: Sequence[Diagram] = (),
    tables: Sequence[Table] = (),
) -> dict[str, Any]:
    """Write ``figures/<id>.png``, ``figures/<id>.svg`` and ``report.html``, and return where they are.

    The answer is ``{"report": Path, "figures": {id: {"png": Path, "svg": Path}}}``. The page comes last, so
    where it is, all of it is. ``tables`` stand before the figures. Without ``paper`` and ``claims``, as for a
    user's own phase map, it says nothing of them. Raises ``BadInput`` for figures that share an id.
    """
    rendered = [(figure, render(figure)) for figure in figures]
    text = page(
        title=title,
        question=question,
        paper=paper,
        claims=claims,
        figures=[(figure, lighter(files)) for figure, files in rendered],
        provenance=provenance,
        notes=notes,
        settings=settings,
        command=command,
        study_name=study_name,
        diagrams=diagrams,
        tables=tables,
    )
    paths = {figure.id: _put(store, f"figures/{slug(figure.id)}", files) for figure, files in rendered}
    return {"report": store.write(PAGE, text), "figures": paths}


def _put(store: Shelf, name: str, files: Mapping[str, bytes]) -> dict[str, Path]:
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


def write_page(out: Path, **parts: Any) -> Path:
    """Write the page alone, as the file ``out``, whole or not at all; ``parts`` are those of ``write_report``.

    Raises ``BadInput``, before anything is drawn, where it can not be made, and where it would replace a file of a
    run's store.
    """
    if not out.parent.is_dir():
        raise BadInput(f"{out} can not be written, for there is no such folder: name a file in a folder that exists.")
    if out.is_dir() or owned(out):
        kind = "a folder" if out.is_dir() else "a file of the run's own"
        raise BadInput(f"{out} is {kind}, which a page must not replace: name another file, such as report.html.")
    try:
        path: Path = write_report(_Alone(out), **parts)["report"]
    except OSError as error:
        raise BadInput(told(error, out)) from None
    return path


def lighter(files: Mapping[str, bytes]) -> bytes:
    """Return the image that goes into the page: the SVG, unless it is heavy and the PNG is not."""
    svg, png = files["svg"], files["png"]
    return png if len(svg) > HEAVY and len(png) < len(svg) else svg
