"""Tables of which a reader of the page chooses one: without a script the first, with it any, and never as markup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from browsing import launched
from phasescope.figures import Choice, Page
from phasescope.report import page
from phasescope.report.choices import CHOOSER, chosen
from phasescope.report.writer import write_page

ODD = "</script><b>&"
CHOICE = Choice(
    "Sequences", "What was answered.", ("shot", "answer"),
    {"old": [("1", [["0", "a"], ["1", ODD]]), ("2", [["0", "c"]])], "none": [], "new <i>": [("3", [["0", "d"]])]},
)  # fmt: skip
PAGE = Page("one", "A title", "A question?", choices=[CHOICE, replace(CHOICE, title="Nothing", groups={"none": []})])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched()


def test_the_first_table_stands_without_a_script() -> None:
    text = page(PAGE, [])
    section = re.search(r"<section class=\"choice\".*?</section>", text, re.S)
    assert section is not None
    assert re.findall(r"<td>(.*?)</td>", section[0]) == ["a", "&lt;/script&gt;&lt;b&gt;&amp;"]
    assert '<optgroup label="new &lt;i&gt;">' in section[0]
    held = re.search(r"application/json\">(.*?)</script>", section[0], re.S)
    assert held is not None
    assert json.loads(held[1]) == [[["0", "a"], ["1", ODD]], [["0", "c"]], [["0", "d"]]]
    assert "Nothing" not in re.sub(r"<nav.*?</nav>", "", text, flags=re.S)  # what has no table is left out
    assert CHOOSER.hash in text
    assert "script-src" not in page(replace(PAGE, choices=()), [])


def test_what_is_left_out_is_not_led_to() -> None:
    assert "Nothing" not in page(PAGE, [])
    assert [one.first for one in chosen(PAGE.choices)] == ["old: 1"]


def test_a_reader_chooses_one(tmp_path: Path, browser: Any) -> None:
    path = write_page(tmp_path / "page.html", PAGE)
    seen = browser.new_context(viewport={"width": 400, "height": 700}).new_page()
    said: list[str] = []
    seen.on("console", lambda message: said.append(message.text))
    seen.on("pageerror", lambda error: said.append(str(error)))
    seen.goto(path.as_uri())
    cells = seen.locator("[data-choice] td")
    assert cells.all_inner_texts() == ["a", ODD]
    seen.get_by_label("show").select_option(index=2)
    assert cells.all_inner_texts() == ["d"]
    assert seen.locator("[data-choice] caption").inner_text() == "new <i>: 3"
    seen.get_by_role("button", name="next").click()
    assert cells.all_inner_texts() == ["a", ODD]
    seen.get_by_role("button", name="previous").click()
    seen.get_by_role("button", name="previous").click()
    assert cells.all_inner_texts() == ["c"]
    assert seen.evaluate("document.documentElement.scrollWidth") <= 400
    assert said == []
