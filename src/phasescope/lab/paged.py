"""Writes the page of results that a user holds in her hand."""

from __future__ import annotations

from pathlib import Path

from phasescope.figures import Page
from phasescope.lab.settings import folder_of


def paged(told: Page, path: str | Path) -> Path:
    """Write a page as the file ``path``, whole or not at all, and return it.

    Raises ``BadInput`` where it can not be written, or would replace a file of a run's store.
    """
    from phasescope.report import write_page  # drawing needs matplotlib, which takes a second to import

    return write_page(folder_of("path", path), told)
