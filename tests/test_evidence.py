"""What a verdict was read off, seed by seed: as numbers, and as the figure that readers move the expectation of."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import phasescope as ps
from phasescope.figures import Page
from phasescope.report import page
from phasescope.verdict import Claim, Control, Expectation, Statistic, evidence, judge

OURS = ps.Source(ours="a test")


def data(n: int = 40) -> xr.Dataset:
    drawn = np.random.default_rng(0)
    found = xr.Dataset({"a": ("seed", drawn.random(n)), "b": ("seed", drawn.random(n) + 2)}, {"seed": range(n)})
    return found.assign(hit=found.a > 0.2, late=found.a.where(found.seed > 30))


def claim(name: str = "a", *, low: float = 0.2, statistic: Statistic = "median", at: str = "a") -> Claim:
    def effect(found: xr.Dataset) -> Any:
        return found[at]

    def control(found: xr.Dataset) -> Any:
        return found.hit.where(False, 0.0) if statistic == "proportion" else found.b

    expected = Expectation.between(low, 1.0)
    span = (0.0, 4.0) if statistic == "mean" else (-math.inf, math.inf)
    return Claim(
        name, f"{name} is what is expected", OURS, effect, expected, Control("b", control), statistic, range=span
    )


def numbers(packed: list[Any]) -> np.ndarray:
    return np.array([math.nan if v is None else float(v) for v in packed])


@pytest.mark.parametrize("statistic", ["median", "mean", "proportion"])
def test_intervals_of_the_first_seeds_are_those_that_judging_them_gives(statistic: Statistic) -> None:
    one = claim(statistic=statistic, at="hit" if statistic == "proportion" else "a")
    found = evidence([one], data(), judge([one], data()))["a"]
    assert found["n"] == list(range(1, 41)) and found["level"] == 0.95 and found["looks"] == []
    for n in (1, 7, 23, 40):
        (verdict,) = judge([one], data().isel(seed=slice(n)))
        for role, result in (("effect", verdict), ("control", verdict.control)):
            told = [numbers(found[role][name])[n - 1] for name in ("measured", "low", "high")]
            np.testing.assert_allclose(told, [result.measured, *result.interval], rtol=1e-6)
    np.testing.assert_allclose(
        numbers(found["effect"]["values"]), data()["hit" if statistic == "proportion" else "a"], rtol=1e-6
    )
    json.dumps(found, allow_nan=False)


def test_looks_share_the_error_and_a_claim_keeps_the_first_that_decides() -> None:
    looks = [16, 24, 40]
    family = [claim("a"), claim("b", low=0.45)]
    verdicts = judge(family, data(), looks=looks)
    found = evidence(family, data(), verdicts, looks=looks)
    assert set(found) == {"a", "b"} and found["a"]["level"] == pytest.approx(1 - 0.05 / 6)
    assert found["a"]["looks"] == looks and {verdict.n for verdict in verdicts} <= set(looks)


def test_many_seeds_are_told_at_a_hundred_numbers_the_looks_among_them_and_not_drawn_beyond_a_thousand() -> None:
    found = evidence([claim()], data(1200), judge([claim()], data(1200), looks=[50, 1200]), looks=[50, 1200])["a"]
    assert len(found["n"]) <= 102 and {1, 50, 1200} <= set(found["n"]) and found["effect"]["values"] == []


def test_what_is_not_what_a_verdict_was_read_off_is_left_out() -> None:
    family = [claim("a"), claim("b"), claim("c")]
    verdicts = list(judge(family, data()))
    verdicts[0] = replace(verdicts[0], interval=(0.0, 1.0))  # by another method
    assert set(evidence(family, data(), verdicts)) == {"b", "c"}
    assert set(evidence(family, data(), verdicts[1:2])) == {"b"}
    assert evidence(family, data().drop_vars("a"), verdicts) == {}
    assert "a" not in evidence(family, data(30), verdicts)  # of other seeds


def test_seeds_without_a_value_have_no_interval_from_there_on() -> None:
    one = claim(at="late")
    found = evidence([one], data(), judge([one], data()))["a"]
    assert np.isnan(numbers(found["effect"]["low"])).all() and np.isnan(numbers(found["effect"]["values"])).sum() == 31


# -- in a real browser -------------------------------------------------------------------------------------------------

EVIL = "</script><script>document.title='broken'</script>"


def written(folder: Path) -> Path:
    family = [claim("a", low=0.3), claim("b", statistic="proportion", at="hit"), claim("__proto__"), claim(EVIL)]
    verdicts = judge(family, data())
    told = Page("", "a study", "", claims=verdicts.to_json(), evidence=evidence(family, data(), verdicts))
    (folder / "page.html").write_text(page(told, []), encoding="utf-8")
    return folder / "page.html"


def test_without_a_script_every_claim_has_its_bar(tmp_path: Path) -> None:
    text = written(tmp_path).read_text(encoding="utf-8")
    assert text.count('aria-label="Measured') == 4 and "plotly" not in text.lower()


@pytest.mark.browser
class TestBrowser:
    @pytest.fixture
    def opened(self, browser: Any, tmp_path: Path) -> Any:
        found = browser.new_context(viewport={"width": 400, "height": 900}).new_page()
        found.said = []
        found.on("console", lambda message: found.said.append(message.text))
        found.on("pageerror", lambda error: found.said.append(str(error)))
        found.goto(written(tmp_path).as_uri())
        yield found
        assert found.said == [] and found.title() == "a study"
        found.context.close()

    def card(self, opened: Any, name: str) -> Any:
        found = opened.locator(f'.card:has([data-claim="{name}"])')
        found.locator("summary").click()
        found.locator(".says").wait_for()
        return found

    def test_a_card_opens_on_its_own_verdict_and_its_seeds(self, opened: Any) -> None:
        (verdict,) = [v for v in judge([claim(name, low=0.3) for name in "abcd"], data()) if v.id == "a"]
        card = self.card(opened, "a")
        assert card.locator(".says strong").inner_text() == verdict.verdict
        assert card.locator(".seed.effect").count() == card.locator(".seed.control").count() == 40
        assert "40 (as judged)" in card.locator("output").inner_text()
        assert opened.evaluate("document.documentElement.scrollWidth") <= 400

    def test_the_expectation_can_be_moved_is_then_the_readers_and_comes_back(self, opened: Any) -> None:
        card = self.card(opened, "a")
        before = card.locator(".says").inner_text()
        box = card.locator("input[aria-label='expected at least']")
        for low, word in (("0.9", "fails"), ("-1", "holds")):
            box.fill(low)
            box.press("Enter")
            assert card.locator(".says strong").inner_text() == word
            assert "an expectation of yours, not the registered one" in card.locator(".says").inner_text()
        most = card.locator("input[aria-label='expected at most']")
        for high in ("0.5", "3"):  # below the upper end of the interval; as far as the control
            most.fill(high)
            most.press("Enter")
            assert card.locator(".says strong").inner_text() == "undecided"
        card.get_by_text("As registered").click()
        assert card.locator(".says").inner_text() == before and box.input_value() == "0.3"

    def test_an_end_of_the_expectation_is_dragged(self, opened: Any) -> None:
        card = self.card(opened, "a")
        grip = card.locator(".grip").first.bounding_box()
        x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
        opened.mouse.move(x, y)
        opened.mouse.down()
        opened.mouse.move(x - 30, y)
        opened.mouse.up()
        opened.mouse.move(x - 60, y)  # let go: it stays
        assert 0 < float(card.locator("input[aria-label='expected at least']").input_value()) < 0.25

    def test_the_slider_shows_what_the_first_seeds_said(self, opened: Any) -> None:
        card = self.card(opened, "b")
        slider = card.locator("input[type=range]")
        slider.focus()
        opened.keyboard.press("Home")
        assert card.locator(".seed.effect").count() == 1
        assert "no look of this study: nothing is decided here" in card.locator("output").inner_text()
        assert "the rule would say undecided" in card.locator(".says").inner_text()

    def test_names_are_names(self, opened: Any) -> None:
        self.card(opened, "__proto__")
