"""The part of the page that is explored: what is packed into it, and what a real browser makes of it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

import phasescope as ps
from browsing import Seen
from phasescope.figures import Diagram, Figure, Page, Recorded
from phasescope.lab.diagrams import diagram
from phasescope.report import page
from phasescope.report.explorer import packed, scripts, thinned
from phasescope.report.library import KINDS, lean

EVIL = "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"


def small(title: str = "a grid", steps: int = 5, seeds: int = 3) -> Diagram:
    generator = np.random.default_rng(0)
    places = np.array([0, *np.geomspace(1, 1000, steps - 1).round()])
    values = generator.random((2, 4, seeds, steps))
    values[0, 0, :, -1] = np.nan
    return Diagram(
        title,
        {"weight_decay": (0.0, 1.0), "train_fraction": (0.2, 0.4, 0.6, 0.8)},
        list(range(seeds)),
        [
            Recorded("test_accuracy", "1", values, "step", places),
            Recorded("norm", "m", generator.random((2, 4, seeds))),
        ],
        np.full((2, 4, seeds), "generalized"),
    )


def unpacked(q: Any) -> np.ndarray:
    return np.frombuffer(np.frombuffer(base64.b64decode(q["values"]), "u1").reshape(4, -1).T.tobytes(), "<f4")


def html(*diagrams: Diagram, title: str = "a study") -> str:
    return page(Page("", title, "", diagrams=diagrams), [])


class TestPacking:
    def test_numbers_arrive_as_they_were(self) -> None:
        d = small()
        (found,) = json.loads(packed([d]))["diagrams"]
        np.testing.assert_array_equal(unpacked(found["quantities"][0]), d.quantities[0].values.astype("f4").ravel())
        assert [axis["name"] for axis in found["axes"]] == ["weight decay", "train fraction"]
        assert found["quantities"][1]["name"] == "norm" and found["note"] == ""

    def test_what_is_too_heavy_is_thinned_with_a_note_and_keeps_both_ends(self) -> None:
        d = small(steps=400, seeds=40)
        (thin,), (note,) = thinned([d], budget=8_000)
        q = thin.quantities[0]
        assert q.places is not None and d.quantities[0].places is not None
        assert q.places[0] == d.quantities[0].places[0] and q.places[-1] == d.quantities[0].places[-1]
        assert sum(4 * q.values.size for q in thin.quantities) <= 8_000
        assert "recorded places" in note and "seeds" in note and thin.fates is not None
        assert thin.fates.shape[-1] == len(thin.seeds)

    def test_users_words_can_not_end_the_script(self) -> None:
        assert "<" not in packed([small(title=EVIL)])

    def test_the_page_allows_its_own_scripts_and_no_others(self) -> None:
        text = html(small())
        policy = re.search(r"script-src ([^;]*);", text)
        assert policy is not None
        allowed = set(re.findall(r"'sha256-[^']*'", policy[1]))
        written = re.findall(r'<script(?: type="text/plain" data-later)?>(.*?)</script>', text, re.S)
        (library,) = re.findall(r'<script type="application/gzip" data-later>(.*?)</script>', text)
        written.append(gzip.decompress(base64.b64decode(library)).decode())
        hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in written}
        assert hashes == allowed == {script.hash for script in scripts(evidence=False)} and len(hashes) == 5

    def test_of_the_library_what_pages_do_not_draw_is_not_run(self) -> None:
        """Plotly's own text, as far as it is known: where a version is built otherwise, the page carries all of it."""
        whole = get_plotlyjs()
        text = lean(whole)
        (calls,) = re.findall(r"\.register\(\[((?:[\w$]+\(\),?)+)\]\)", text)
        assert calls.count("()") == len(KINDS) and 0 < len(whole) - len(text) < 1_000
        assert lean(text) == text and lean("var Plotly=1;") == "var Plotly=1;"
        ours = "".join(path.read_text() for path in Path(ps.report.__file__).parent.glob("*.js"))
        drawn = set(re.findall(r'type: "(\w+)"', ours)) - {"scatter", "line", "log", "text", "range", "button"}
        assert drawn == set(KINDS)

    def test_a_page_with_nothing_to_explore_has_no_script(self) -> None:
        assert "<script" not in html() and "script-src" not in html()

    def test_neurons_are_shown_by_rank(self) -> None:
        import xarray as xr

        values = np.array([[[1.0, 3.0, 2.0]], [[5.0, 4.0, 6.0]]])
        data = xr.Dataset({"ratio": (("lr", "seed", "neuron"), values)}, coords={"lr": [0.1, 1.0], "seed": [0]})
        (q,) = diagram("d", data).quantities
        assert q.along == "rank of the neuron"
        np.testing.assert_array_equal(q.values[:, 0], [[3, 2, 1], [6, 5, 4]])


# -- in a real browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Seen]:
    (tmp_path / "page.html").write_text(html(small()), encoding="utf-8")
    found = Seen(browser, tmp_path / "page.html", viewport={"width": 1100, "height": 900})
    yield found
    found.page.context.close()


def told(values: np.ndarray) -> str:
    return f"[{float(values.min()):.3g}, {float(values.max()):.3g}]"


@pytest.mark.browser
class TestBrowser:
    def test_it_opens_from_disk_without_a_word_and_without_a_request(self, opened: Seen) -> None:
        opened.page.wait_for_timeout(300)
        opened.quiet()

    def test_the_arrow_keys_choose_a_cell_whose_numbers_are_the_stored_ones(self, opened: Seen) -> None:
        opened.part("map").focus()
        for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
            opened.page.keyboard.press(key)
        values = small().quantities[0].values[1, 3, :, -1]
        assert opened.cell().startswith("weight decay 1, train fraction 0.8: test accuracy")
        assert told(values) in opened.cell() and "3 generalized" in opened.cell()

    def test_a_click_chooses_the_cell_under_it(self, opened: Seen) -> None:
        box = opened.page.locator("[data-part=map] .nsewdrag").bounding_box()
        opened.page.mouse.click(box["x"] + box["width"] * 0.12, box["y"] + box["height"] * 0.25)
        assert opened.cell().startswith("weight decay 1, train fraction 0.2: test accuracy")
        assert told(small().quantities[0].values[1, 0, :, -1]) in opened.cell()

    def test_the_film_plays_to_its_end(self, opened: Seen) -> None:
        opened.part("play").click()
        opened.page.locator("[data-part=play]:text-is('Pause')").wait_for()
        opened.page.locator("[data-part=play]:text-is('Play')").wait_for()
        assert opened.part("told").inner_text() == "step 1000"
        opened.quiet()

    def test_another_quantity_and_swapped_axes(self, opened: Seen) -> None:
        opened.part("quantity").select_option(label="norm (m)")
        assert "norm" in opened.cell() and not opened.part("film").is_visible()
        opened.part("x").select_option(label="weight decay")
        assert opened.part("y").evaluate("s => s.selectedOptions[0].text") == "train fraction"
        opened.quiet()

    def test_the_first_screen_has_the_picture_the_map_and_the_curves(self, browser: Any, tmp_path: Path) -> None:
        picture = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 30 10"><rect width="30" height="10"/></svg>'
        told = Page("", "a study", "why?", [Figure("one", "One", "what it shows", [])], diagrams=[small(steps=20)])
        (tmp_path / "page.html").write_text(page(told, [picture]), encoding="utf-8")
        found = Seen(browser, tmp_path / "page.html", viewport={"width": 1400, "height": 900})
        found.page.locator("[data-part=curves] svg").first.wait_for()
        for place in (".opening img", "[data-part=map] .nsewdrag", "[data-part=curves] > div"):
            box = found.page.locator(place).first.bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= 900, place
        found.quiet()
        found.page.context.close()

    def test_a_number_over_many_decades_is_coloured_by_its_logarithm_and_phases_by_their_names(
        self, browser: Any, tmp_path: Path
    ) -> None:
        d = small()
        wide = Recorded("size", "", 10.0 ** np.arange(24).reshape(2, 4, 3))
        phase = Recorded("phase", "", np.arange(24).reshape(2, 4, 3) % 2.0, words=["solid", "liquid"])
        for q, ticks in ((wide, "1.00e+18"), (phase, "liquid")):
            (tmp_path / "page.html").write_text(html(replace(d, quantities=[q])), encoding="utf-8")
            found = Seen(browser, tmp_path / "page.html")
            assert ticks in (found.page.locator(".cbaxis").text_content() or "")
            found.quiet()
            found.page.context.close()

    def test_narrow_and_dark(self, browser: Any, tmp_path: Path) -> None:
        (tmp_path / "page.html").write_text(html(small()), encoding="utf-8")
        found = Seen(browser, tmp_path / "page.html", viewport={"width": 400, "height": 800}, color_scheme="dark")
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 400
        assert found.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 26)"
        found.quiet()
        found.page.context.close()

    def test_users_words_stay_words(self, browser: Any, tmp_path: Path) -> None:
        (tmp_path / "page.html").write_text(html(small(title=EVIL), small(), title=EVIL), encoding="utf-8")
        found = Seen(browser, tmp_path / "page.html")
        assert found.page.title() == EVIL and EVIL in found.part("diagram").inner_text()
        found.quiet()
        found.page.context.close()

    def test_no_serious_barrier(self, opened: Seen) -> None:
        assert opened.barriers() == []

    def test_a_trained_run_shows_its_own_numbers(self, browser: Any, tmp_path: Path) -> None:
        grid = ps.Grid({"weight_decay": [0.0, 1.0], "train_fraction": [0.4, 0.8]}, seeds=3)
        learner, task = ps.learners.PowerMLP(11, 16), ps.tasks.addition(11)
        data = ps.train(learner, task, grid, ps.Recipe(steps=60, records=8), ps.instruments.LEARNING)
        (tmp_path / "page.html").write_text(html(diagram("tiny", data)), encoding="utf-8")
        found = Seen(browser, tmp_path / "page.html")
        expected = data.test_accuracy.sel(weight_decay=0.0, train_fraction=0.4).isel(step=-1).values
        assert found.cell().startswith("weight decay 0, train fraction 0.4") and told(expected) in found.cell()
        found.page.context.close()
