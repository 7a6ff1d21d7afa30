"""Pictures of the pages of all stored results: ``python docs/gallery/looks.py [NAME ...]`` or ``make looks``.

Each page is made as ``phasescope explore`` makes it and opened in Chromium, at 1,400 x 900 and 400 x 800, light and
dark; ``build/looks/index.html`` shows the first screens side by side. A page is at fault where it says something to the
console, asks for anything, is wider than a narrow screen, does not show its first figure on the first screen, or has
what axe calls a serious barrier; the faults are printed, and the exit code is 1.
"""

from __future__ import annotations

import html
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from phasescope.lab.folder import results_in
from phasescope.report.writer import write_page

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "build" / "looks"
SCREENS = {"wide": (1400, 900), "narrow": (400, 800)}
SCHEMES = ("light", "dark")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def look(browser: Any, page: Path, screen: str, scheme: str) -> Iterator[str]:
    """Take a picture of the first screen, and yield what is at fault."""
    width, height = SCREENS[screen]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    tab, said, asked = context.new_page(), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.as_uri())
    if tab.locator("#explorer").count():
        tab.wait_for_selector("#explorer:not([hidden])", timeout=60_000)
        tab.wait_for_timeout(1500)  # until what is drawn on the first screen stands
    tab.screenshot(path=page.with_name(f"{page.stem}-{screen}-{scheme}.png"))
    yield from (f"says {text!r}" for text in said)
    yield from (f"asks for {url}" for url in asked if not url.startswith(("file:", "data:", "blob:")))
    wide = tab.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        yield f"is {wide} pixels wide"
    box = tab.locator(".opening img").first.bounding_box() if tab.locator(".opening img").count() else None
    if screen == "wide" and (box is None or box["y"] < 0 or box["y"] + box["height"] > height):
        yield "does not show its first figure on the first screen"
    if scheme == "dark" or screen == "wide":
        axe: Any = import_module("axe_playwright_python.sync_playwright")
        tab.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
        for found in axe.Axe().run(tab).response["violations"]:
            if found["impact"] in ("serious", "critical"):
                yield f"has the barrier {found['id']}: {found['nodes'][0]['html'][:120]}"
    context.close()


def sheet(names: list[str]) -> str:
    """Return a page with all pictures."""
    kinds = [f"{screen}-{scheme}" for screen in SCREENS for scheme in SCHEMES]
    rows = []
    for name in map(html.escape, names):
        rows.append(f'<h2><a href="{name}.html">{name}</a></h2>')
        rows += [f'<img loading="lazy" height="420" alt="{kind}" src="{name}-{kind}.png">' for kind in kinds]
    title = '<!doctype html><html lang="en"><meta charset="utf-8"><title>All pages</title><body>'
    return "\n".join([title, *rows, "</body></html>", ""])


def main() -> int:
    """Look at all pages, or at those named."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("there is no chromium: install it, such as Debian's package.", file=sys.stderr)
        return 2
    # of runs until decided no figure is stored
    stored = (path.parent.name for path in (HERE / "stored").glob("*/results.json"))
    names = sys.argv[1:] or sorted(name for name in stored if "-decided" not in name)
    OUT.mkdir(parents=True, exist_ok=True)
    faults = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        for name in names:
            page = write_page(OUT / f"{name}.html", results_in(HERE / "stored" / name).told())
            found = [
                f"{screen}, {scheme}: {fault}"
                for screen in SCREENS
                for scheme in SCHEMES
                for fault in look(browser, page, screen, scheme)
            ]
            print(f"{name}: {page.stat().st_size / 2**20:.1f} MB, {'; '.join(found) or 'no fault'}", flush=True)
            faults += len(found)
        browser.close()
    (OUT / "index.html").write_text(sheet(names), encoding="utf-8")
    print(OUT / "index.html")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
