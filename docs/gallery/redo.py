"""Fill ``docs/redo.md`` from its script and its stored data: ``python docs/gallery/redo.py``, or ``make gallery``.

The page quotes ``docs/examples/redo.py`` section by section, and shows the verdicts, the count of phases and the figure
that the script's own functions make of ``docs/examples/redo.nc``, which ``python redo.py`` leaves.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import xarray as xr

import phasescope as ps

DOCS = Path(__file__).parents[1]
SCRIPT, DATA, PAGE = DOCS / "examples" / "redo.py", DOCS / "examples" / "redo.nc", DOCS / "redo.md"
PICTURE = DOCS / "images" / "redo.png"
SECTION = re.compile(r"# %%\n# ([^\n]+)\n# -+\n(.*?)(?=# %%|\Z)", re.S)
CODE = re.compile(r"(<!-- code: ([^\n]+?) -->\n).*?(<!-- end of code -->)", re.S)
FOUND = re.compile(r"(<!-- found -->\n).*?(<!-- end of found -->)", re.S)
RESOLUTION = 110  # dots per inch


def script() -> Any:
    """Return the page's script as a module, without running it."""
    spec = importlib.util.spec_from_file_location("redo_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["redo_script"] = module
    spec.loader.exec_module(module)
    return module


def sections() -> dict[str, str]:
    """Return the code of the script by the headings of its sections."""
    found = SECTION.findall(SCRIPT.read_text(encoding="utf-8"))
    return {heading: re.sub(r"\n{3,}", "\n\n\n", code).strip() for heading, code in found}


def stored() -> xr.Dataset | None:
    """Return the phases that the script left, or None where no run is stored."""
    return xr.load_dataset(DATA) if DATA.is_file() else None


def found(module: Any, data: xr.Dataset | None) -> str:
    """Return what came out, in Markdown: verdicts, and how many networks are in each phase."""
    if data is None:
        return "No run of these claims is stored yet."
    verdicts = ps.judge(module.CLAIMS, data)
    counts = {phase: int((data.phase == phase).sum()) for phase in module.PHASES}
    total, seeds = sum(counts.values()), json.loads(data.attrs["seeds"])
    told = ", ".join(f"{count} {phase}" for phase, count in counts.items() if count)
    picture = f"![The most frequent phase in each cell, a panel for each width](images/{PICTURE.name})"
    lines = [f"{total} networks, seeds {seeds[0]} to {seeds[-1]}: {told}.", "", verdicts.to_markdown(), "", picture]
    return "\n".join(lines)


def filled(page: str, module: Any, data: xr.Dataset | None) -> str:
    """Return the page with the script's code and what came out between its markers."""
    parts = sections()
    page = CODE.sub(lambda m: f"{m[1]}\n```python\n{parts[m[2]]}\n```\n\n{m[3]}", page)
    return FOUND.sub(lambda m: f"{m[1]}\n{found(module, data)}\n\n{m[2]}", page)


def make() -> list[Path]:
    """Write the page and its figure, and return them."""
    module, data = script(), stored()
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), module, data), encoding="utf-8")
    if data is None:
        return [PAGE]
    PICTURE.write_bytes(ps.report.png(module.figure(data), RESOLUTION))
    return [PAGE, PICTURE]


if __name__ == "__main__":
    for path in make():
        print(path)
