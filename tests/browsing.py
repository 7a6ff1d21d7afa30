"""A page in a real browser: Debian's Chromium, which ``.ci/run`` installs; without it these tests skip."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def launched() -> Iterator[Any]:
    """Yield a browser, and close it after."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine: install Debian's package to run the browser tests")
    sync_api = pytest.importorskip("playwright.sync_api")
    flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    with sync_api.sync_playwright() as p:
        found = p.chromium.launch(
            executable_path=CHROMIUM, args=[*flags.split(), "--disable-component-update", "--disable-sync"]
        )
        yield found
        found.close()


class Seen:
    """A page in the browser, with everything that it said and asked for."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.page = browser.new_context(**context).new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#explorer:not([hidden])", timeout=20_000)

    def part(self, name: str) -> Any:
        return self.page.locator(f"[data-part={name}]")

    def cell(self) -> str:
        return str(self.part("cell").inner_text())

    def quiet(self) -> None:
        assert self.said == []
        assert [url for url in self.asked if not url.startswith(("file:", "data:", "blob:"))] == []

    def barriers(self) -> list[Any]:
        """Return what axe finds serious or critical."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
        self.page.evaluate(Path(__import__("axe_playwright_python").__file__).with_name("axe.min.js").read_text())
        found = axe.run(self.page).response["violations"]
        return [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]
