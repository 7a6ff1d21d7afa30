"""Writes pages of the docs as notebooks into docs/notebooks: ``make notebooks``. Each block of Python becomes a cell.

Numbers are not stored with them: whoever runs a notebook sees their own. A test holds them to the pages.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGES = ("tutorial", "phase_maps", "recipes")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LINK = re.compile(r"\]\((?!https?:|#)")


def notebook(page: str) -> Any:
    """Return a page as a notebook: links lead from its folder, and cells are named by their place."""
    import jupytext

    made = jupytext.read(HERE / f"{page}.md", fmt="md")
    for n, cell in enumerate(made.cells):
        cell["id"] = f"cell-{n}"
        if cell.cell_type == "markdown":
            cell["source"] = LINK.sub("](../", cell["source"])
    made.metadata = {"kernelspec": KERNEL}
    return made


def main() -> None:
    """Write the notebook of each page."""
    import jupytext

    for page in PAGES:
        jupytext.write(notebook(page), HERE / "notebooks" / f"{page}.ipynb")


if __name__ == "__main__":
    main()
