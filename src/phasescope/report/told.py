"""What a command on a user's own model leaves: its document in JSON, its page, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from phasescope.figures import Page
from phasescope.store import Store

from .writer import write_report


class Told(Protocol):
    """What was found: names of its folder and its file, the file's content, a text, and a page."""

    @property
    def folder(self) -> str: ...  # noqa: D102
    @property
    def file(self) -> str: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102
    @property
    def document(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def page(self) -> Page: ...  # noqa: D102


def written(told: Told, out: Path | None, seconds: float, as_json: bool) -> tuple[Path, str]:
    """Write document and page into ``out`` (default: a folder of its own in runs); return the page, and what to print.

    That is one JSON document if ``as_json``, else the text.
    """
    with Store(out if out is not None else Path("runs") / told.folder) as store:
        store.write(told.file, json.dumps(told.document, allow_nan=False))
        page: Path = write_report(store, told.page)["report"]
    if not as_json:
        return page, f"{told.text}\npage     {page}"
    document = {"complete": True, "seconds": round(seconds, 3), **told.document, "report": str(page)}
    return page, json.dumps(document, allow_nan=False)
