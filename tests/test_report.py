"""The report: it draws whatever comes, always the same, and its page stands alone."""

from __future__ import annotations

import base64
import csv
import io
import os
import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import phasescope.report
from phasescope.figures import Axis, Curves, Figure, HeatMap, Histogram, Line, Page, Paper, PhaseMap
from phasescope.report import draw, page, render, write_report
from phasescope.report.claims import bar
from phasescope.report.numbers import numbers_of
from phasescope.report.palette import COLOURS, contrast, lightness, styles
from phasescope.report.scales import edges, fit, log_ticks, tick_names
from phasescope.report.writer import HEAVY, lighter, write_page
from phasescope.store import Store
from phasescope.vocabulary import BadInput

X, LOG = Axis("step"), Axis("step (a very long label " + "with many words " * 5 + ")", "log")
NAN, INF = float("nan"), float("inf")


def numbers(*values):
    return np.array(values, dtype=float)


def curve(x, y, scale=LOG, **more):
    return Curves("a title", scale, scale, [Line("one", numbers(*x), numbers(*y), **more)])


ODD_CURVES = {
    "zeros on log axes": curve((0, 1, 10, 100), (0, 0.1, 1, 10)),
    "only zeros on log axes": curve((0, 0), (0, 0)),
    "negative on log axes": curve((-1, -2), (-1, -2)),
    "nan and inf": curve((1, 2, NAN, INF, 5), (NAN, INF, 1, 2, -INF), X),
    "infinite bands": curve((1, 2, 3), (1, 2, 3), low=numbers(0, -INF, INF), high=numbers(INF, INF, INF)),
    "single point": curve((3,), (4,)),
    "single theory point": curve((3,), (4,), role="theory"),
    "constant": curve((1, 2), (7, 7), X),
    "constant zero": curve((1, 2), (0, 0), X),
    "empty": curve((), ()),
    "no lines": Curves("none", X, X, []),
    "huge": curve((1e-200, 1e200), (1e-200, 1e200)),
    "narrow log range": curve((3, 3.2), (0.51, 0.52)),
    "odd limits": curve((1, 2), (1, 2), Axis("x", "log", (0.0, INF))),
    "unsorted": curve((3, 1, 2), (1, 2, 3)),
    "broken line of many": curve(range(1, 40), [1 if i % 3 else NAN for i in range(39)]),
    "odd words": Curves(
        "$\\bad{ _ 100% " * 5, X, X,
        [Line("_hidden", numbers(1), numbers(1)), Line("$x", numbers(1, 2), numbers(2, 1))],
        marks=[(1.0, "$\\frac{"), (1.01, "near"), (NAN, "nowhere"), (99.0, "x" * 200)],
    ),
    "many lines": Curves("many", X, X, [Line(f"line {i}", numbers(1, 2), numbers(i, 1)) for i in range(20)]),
}  # fmt: skip


def heat(values, x=(0, 0.1, 1), y=(0.2, 0.3), scale="log", **more):
    shape = np.array(values, dtype=float).reshape(len(y), len(x))
    return HeatMap("map", Axis("decay", scale), Axis("fraction"), numbers(*x), numbers(*y), shape, "accuracy", **more)


ODD_MAPS = {
    "missing": heat([1, NAN, INF, 0, 0.5, 1], boundary=0.5),
    "constant": heat([1] * 6, boundary=1.0),
    "constant zero": heat([0] * 6, boundary=0.5),
    "nothing": heat([NAN] * 6, boundary=0.5),
    "empty": heat([], x=(), y=()),
    "one cell": heat([0.3], x=(0,), y=(1,), boundary=0.2),
    "unsorted": heat([1, 2, 3, 4, 5, 6], x=(1, 0.1, 0), boundary=3.5),
    "beyond the limits": heat([1, 2, 3, 4, 5, 6], limits=(2, 3), boundary=5),
    "nan on an axis": heat([1, 2, 3, 4, 5, 6], x=(NAN, 1, -1)),
    "linear": heat([1, 2, 3, 4, 5, 6], scale="linear", limits=(1, 1)),
    "large": heat(np.arange(3600), x=range(60), y=range(60), boundary=1800),
}


def histogram(*samples, axis=X, **more):
    return Histogram("shares", axis, [(f"s{i}", numbers(*s)) for i, s in enumerate(samples)], **more)


ODD_HISTOGRAMS = {
    "nan and inf": histogram((1, 2, NAN, INF, -INF)),
    "one value": histogram((5,), marks=[(5, "five")]),
    "empty": histogram(()),
    "no samples": histogram(),
    "zeros on a log axis": histogram((0, 1, 10), (-1, 0), axis=LOG),
    "outside the limits": histogram((1, 2, 3), axis=Axis("x", limits=(5, 6)), bins=0),
    "five samples": histogram(*[np.arange(i + 2) for i in range(5)]),
}
ODD = {
    f"{kind}: {name}": panel
    for kind, panels in (("curves", ODD_CURVES), ("map", ODD_MAPS), ("histogram", ODD_HISTOGRAMS))
    for name, panel in panels.items()
}


@pytest.mark.parametrize("name", ODD)
def test_whatever_comes_is_drawn_without_a_warning(name):
    drawing = draw(Figure("odd", "t", "c", [ODD[name]]))
    drawing.set_dpi(40)
    drawing.draw_without_rendering()


@pytest.mark.parametrize("panels", [[], [ODD_CURVES["nan and inf"], ODD_MAPS["missing"], ODD_HISTOGRAMS["empty"]] * 2])
def test_render_gives_both_files_and_the_same_bytes_again(panels):
    figure = Figure("all", "Title 学", "caption", panels)
    before = dict(mpl.rcParams)
    first, second = render(figure), render(figure)
    assert dict(mpl.rcParams) == before
    assert first == second
    assert first["png"].startswith(b"\x89PNG")
    assert b"<svg" in first["svg"]


@pytest.mark.parametrize(("count", "wide", "rows"), [(1, 1, 1), (3, 3, 1), (4, 2, 2), (7, 3, 3)])
def test_panels_stand_three_a_row_and_four_in_a_square(count, wide, rows):
    drawing = draw(Figure("f", "t", "c", [ODD_CURVES["no lines"]] * count))
    assert drawing.get_size_inches() == pytest.approx((4.2 * wide, 3.2 * rows))


def drawn_text(panel):
    drawing = draw(Figure("f", "t", "c", [panel]))
    return " ".join(text.get_text() for axes in drawing.axes for text in axes.texts)


@pytest.mark.parametrize("panel", [ODD_CURVES["empty"], ODD_MAPS["nothing"], ODD_HISTOGRAMS["empty"]])
def test_an_empty_panel_says_so(panel):
    assert "no finite values" in drawn_text(panel)


def test_a_panel_with_values_does_not_say_that_it_is_empty():
    assert "no finite values" not in drawn_text(ODD_CURVES["single point"])


def test_curves_show_the_numbers_they_are_given():
    (axes,) = draw(Figure("f", "t", "c", [curve((1, 2, 3), (4, INF, 6), X)])).axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [4, NAN, 6])


def test_categories_bear_their_names_as_they_are():
    axis = Axis("scenario", limits=(-0.5, 1.5), names=["costs $x$ and $y$", "a name of far more letters than fit"])
    panel = Curves("accuracy", axis, Axis("share"), [Line("one", np.array([0.0, 1.0]), np.array([0.2, 0.4]))])
    found = Figure("a", "A", "", [panel])
    drawing = draw(found)
    drawing.draw_without_rendering()
    ticks = drawing.axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["costs $x$ and $y$", "a name of far more …"]
    assert not any(tick.get_parse_math() for tick in ticks)
    label = drawing.axes[0].xaxis.label.get_window_extent()
    assert all(tick.get_window_extent().y0 >= label.y1 for tick in ticks)
    assert label.y0 >= drawing.axes[0].get_legend().get_window_extent().y1 - 1
    assert "0 costs $x$ and $y$, 1 a name of far more letters than fit" in numbers_of(found)


def test_histograms_show_shares_of_what_they_count():
    (axes,) = draw(Figure("f", "t", "c", [histogram((0, 0, 0, 1, INF), bins=4)])).axes
    assert axes.patches[1].get_data().values.tolist() == [0.75, 0, 0, 0.25]
    assert axes.get_legend().get_texts()[0].get_text() == "s0 (4 of 5 shown)"


def test_heat_map_cells_lie_where_their_values_are():
    axes, *_ = draw(Figure("f", "t", "c", [ODD_MAPS["unsorted"]])).axes
    mesh = axes.collections[0]
    np.testing.assert_array_equal(np.asarray(mesh.get_array()).reshape(2, 3), [[3, 2, 1], [6, 5, 4]])
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], 10 ** numbers(-2.5, -1.5, -0.5, 0.5))
    assert axes.get_xticklabels()[0].get_text() == "0"


def test_a_heat_map_of_the_wrong_shape_is_refused():
    wrong = HeatMap("map", X, X, numbers(1, 2), numbers(1), np.zeros((2, 1)), "v")
    with pytest.raises(BadInput, match="shape"):
        draw(Figure("f", "t", "c", [wrong]))


def test_edges_are_half_way():
    np.testing.assert_allclose(edges(numbers(0, 1, 3), False), [-0.5, 0.5, 2, 4])


@pytest.mark.parametrize(("low", "high"), [(1e-30, 1e30), (0.9, 11), (3, 4), (5e-4, 2e3), (1, 1.02)])
def test_log_ticks_are_few_inside_and_distinct(low, high):
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 9
    assert all(low * 0.999 <= t <= high * 1.001 for t in ticks)
    assert len(set(tick_names(ticks))) == len(ticks)


def test_step_zero_has_a_place_left_of_the_first_step():
    scale = fit(LOG, [numbers(0, 1, 1000)], zeros=True)
    assert scale.low <= scale.place(numbers(0))[0] < 1


def test_colours_differ_in_grey():
    """Any two differ by 8 of 100 units of lightness, the first three by 15; white is 30 away."""
    greys = [lightness(c) for c in COLOURS]
    assert min(abs(a - b) for a, b in combinations(greys, 2)) >= 8
    assert min(abs(a - b) for a, b in combinations(greys[:3], 2)) >= 15
    assert max(greys) <= 70


def test_series_differ_also_in_marker_or_dashes():
    looks = styles(["measured"] * 20 + ["control"] * 4 + ["theory"] * 3)
    assert len({(look.colour, look.dashes, look.marker) for look in looks}) == len(looks)
    assert {look.dashes for look in looks[20:24]} == {"--"}


PAPER = Paper("A. <b>Author</b>", 2023, "A paper", "https://example.org/a?b=1&c=2", "@article{a, title={<i>}}")


def claim(name="1.1", verdict="holds", measured=1.0, interval=(0.9, 1.1), low=0.8, high="Infinity", **control):
    return {
        "id": name, "sentence": f"Sentence of {name}.", "source": "sec. 2", "measured": measured,
        "interval": list(interval), "expected": {"text": ">= 0.8", "low": low, "high": high}, "n": 8,
        "verdict": verdict, "reason": "the interval lies there", "unit": "steps",
        "control": {"sentence": "shuffled", "measured": 0.1, "interval": [0.0, 0.2], "shows_effect": False}
        | control,
    }  # fmt: skip


CLAIMS = [
    claim("holds"),
    claim("fails", "fails", 0.1, (0.0, 0.2)),
    claim("undecided", "undecided", None, (None, None)),
    claim("broken", "undecided", measured=1.0, interval=(0.9, 1.2), shows_effect=True),
    claim("1.1 a b", "undecided", "Infinity", ("-Infinity", "Infinity"), low="-Infinity", high=3),
    claim("never", interval=(1, 1), measured="Infinity", low=1, high=1),
]
FIGURE = Figure("loss", "The <loss>", "It falls.", [ODD_CURVES["constant"]], ["holds", "fails"])


def written(**changes):
    told = Page(
        "", "A study", "Why?", [FIGURE], CLAIMS, PAPER, notes="One.\n\nTwo.", command="phasescope run x",
        settings={"p": 23, "fractions": [0.1, 0.2]},
        provenance={"libraries": {"torch": "2.13"}, "seconds": 1.5, "gpu": None, "ok": True},
    )  # fmt: skip
    told = replace(told, **changes)
    return page(told, [render(figure)["svg"] for figure in told.figures])


class Reader(HTMLParser):
    """Collects what a page loads and links to, its anchors and headings; checks that tags close."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.ids, self.headings = [], [], [], []
        self.alts, self.open, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        facts = dict(attributes)
        self.tags.append(tag)
        self.loads += [v for k, v in attributes if k in ("src", "srcset", "data", "action", "poster")]
        (self.links if tag == "a" else self.loads).extend(v for k, v in attributes if k in ("href", "xlink:href"))
        self.ids += [facts["id"]] if "id" in facts else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.alts += [facts.get("alt")] if tag == "img" else []
        assert not any(k.startswith("on") for k in facts)
        self.open += [] if tag in self.VOID else [tag]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_loads_nothing_from_the_network():
    text = written()
    reader = Reader(text)
    assert reader.loads
    assert all(address.startswith("data:") for address in reader.loads)
    assert "script" not in reader.tags
    assert not re.search(r"url\(|@import", text)
    assert "default-src 'none'" in text


def test_the_page_is_well_formed_and_accessible():
    reader = Reader(written())
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids)
    assert reader.headings[0] == 1
    assert reader.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(reader.headings, reader.headings[1:], strict=False))
    assert all(reader.alts)


def test_the_page_has_every_claim_and_figure_and_its_links_lead_there():
    text = written()
    reader = Reader(text)
    for c in CLAIMS:
        assert f">{c['id']}</a>" in text
        assert c["sentence"] in text
    assert "figure-loss" in reader.ids
    inner = [link[1:] for link in reader.links if link.startswith("#")]
    assert set(inner) <= set(reader.ids)
    assert "figure-loss" in inner
    outer = [link for link in reader.links if not link.startswith("#")]
    assert outer[:1] == ["https://example.org/a?b=1&c=2"]
    assert [link.partition(",")[0] for link in outer[1:]] == ["data:text/csv;base64"]
    assert base64.b64decode(outer[1].partition(",")[2]).decode() == numbers_of(FIGURE)


def test_numbers_of_a_figure_are_those_that_are_drawn():
    line = Line("=1+1", numbers(1, 2), numbers(NAN, INF), numbers(0, 0), numbers(3, 4), "control")
    cells = numbers(1, 2, 3, 4).reshape(2, 2)
    panels = [
        Curves("a, b", X, Axis("loss"), [line]),
        HeatMap("heat", X, Axis("y"), numbers(0, 1), numbers(5, 6), cells, "v", lines=[line]),
        PhaseMap("phases", X, Axis("y"), numbers(0, 1), numbers(5, 6), cells.astype(int) - 3, ("solid", "liquid")),
        Histogram("counted", Axis("v"), [("one", numbers(7, 8))]),
    ]
    rows = list(csv.DictReader(io.StringIO(numbers_of(Figure("f", "F", "", panels)))))
    assert len(rows) == 2 + 4 + 2 + 4 + 2
    assert list(rows[1].values()) == ["a, b (loss over step)", "'=1+1", "control", "2.0", "inf", "0.0", "4.0", ""]
    assert [(r["x"], r["y"], r["value"]) for r in rows[2:6]] == [
        ("0.0", "5.0", "1.0"), ("1.0", "5.0", "2.0"), ("0.0", "6.0", "3.0"), ("1.0", "6.0", "4.0"),
    ]  # fmt: skip
    assert [r["value"] for r in rows[8:]] == ["unknown", "unknown", "solid", "liquid", "7.0", "8.0"]


@pytest.mark.parametrize("name", ODD_CURVES)
def test_numbers_of_whatever_comes_are_rows(name):
    panel = ODD_CURVES[name]
    found = numbers_of(Figure("f", "F", "", [panel])).splitlines()
    assert len(found) == 1 + sum(len(line.x) for line in panel.lines)


def test_the_page_counts_verdicts_and_says_each_in_a_word():
    text = written()
    assert "Claims: 2 hold, 1 fails, 3 undecided" in text
    assert text.count('class="verdict"') == len(CLAIMS)
    assert text.count("not separated") == 1


def test_words_from_users_are_escaped():
    evil = '<script>alert("x")</script>'
    poison = claim(evil) | {"sentence": evil, "source": evil, "reason": evil, "unit": evil}
    poison["expected"] = {"text": evil, "low": 0, "high": 1}
    poison["control"] = poison["control"] | {"sentence": evil}
    figure = Figure('"><script>', evil, evil, [Curves(evil, X, X, [])], [evil])
    text = written(
        title=evil, question=evil, claims=[poison], figures=[figure], notes=evil,
        provenance={evil: {evil: [evil]}}, settings={evil: evil}, command=evil, name=evil,
        paper=Paper(evil, 1, evil, "javascript:alert(1)", evil),
    )  # fmt: skip
    assert "<script" not in text
    assert not any(link.startswith("javascript") for link in Reader(text).links)


def test_a_page_of_nothing_still_reads():
    text = written(claims=[], figures=[], notes="", settings={}, provenance={}, question="", paper=None)
    assert "no figures" in text
    assert Reader(text).open == []


def test_a_page_without_claims_or_paper_does_not_speak_of_them():
    """As for a phase map of a user's own: no empty section, no count of nothing, nothing to cite."""
    with_both, without = written(), written(claims=[], paper=None)
    body = without[without.index("<body>") :]
    for words in ("Claims</h2>", "Claims: 2 hold", "Cite the paper", "After A. ", 'class="summary"', 'name="show"'):
        assert words in with_both
        assert words not in body
    assert "0 of 0" not in body
    reader = Reader(without)
    assert reader.open == []
    assert all(b - a <= 1 for a, b in zip(reader.headings, reader.headings[1:], strict=False))
    assert "figure-loss" in reader.ids
    assert all(address.startswith("data:") for address in reader.loads)


def test_figures_that_share_an_id_are_refused():
    with pytest.raises(BadInput, match="its own"):
        written(figures=[FIGURE, FIGURE])


def palettes():
    text = (Path(phasescope.report.__file__).parent / "page.css.j2").read_text()
    blocks = re.findall(r":root \{(.*?)\}", text, re.S)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks[:2]]


@pytest.mark.parametrize("theme", palettes(), ids=["light", "dark"])
def test_text_can_be_read_in_both_themes(theme):
    """WCAG 2.2: text against what it stands on has a contrast of 4.5, and marks of 3."""
    for ink in ("ink", "soft", "link", "fails"):
        assert min(contrast(theme[ink], theme[ground]) for ground in ("page", "card")) >= 4.5
    for word in ("holds", "fails", "undecided"):
        assert contrast(theme[word], theme[f"{word}-back"]) >= 4.5
    for mark in ("measured", "control"):
        assert min(contrast(theme[mark], theme[ground]) for ground in ("card", "band")) >= 3


def test_bars_keep_the_order_of_their_numbers():
    drawn = bar(claim(measured=0.9, interval=(0.85, 0.95)))
    assert drawn.control.stop < drawn.band[0] < drawn.measured.start < drawn.measured.dot < drawn.measured.stop
    assert drawn.band[1] == 356


def test_bars_of_infinite_and_missing_numbers():
    drawn = [bar(c) for c in CLAIMS]
    assert drawn[2].measured is None
    assert drawn[4].measured.open_start
    assert drawn[4].measured.open_stop
    assert drawn[4].band[0] == 4
    assert drawn[4].measured.dot == 356
    never = bar(claim(measured="Infinity", interval=("Infinity", "Infinity"))).measured
    assert (never.dot, never.open_start, never.open_stop) == (None, False, True)
    wide = bar(claim(measured=1e6, interval=(1e5, 1e7)))
    assert wide.measured.dot is not None


@dataclass
class Folder:
    path: Path

    def write(self, name, data):
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.encode() if isinstance(data, str) else data)
        return place


def test_write_report_writes_figures_and_page(tmp_path):
    paths = write_report(Folder(tmp_path), Page("x", "t", "q", [FIGURE], CLAIMS, PAPER, command="c"))
    assert paths["report"] == tmp_path / "report.html"
    assert paths["figures"]["loss"] == {k: tmp_path / "figures" / f"loss.{k}" for k in ("png", "svg", "csv")}
    assert (tmp_path / "figures" / "loss.csv").read_text(encoding="utf-8") == numbers_of(FIGURE)
    assert (tmp_path / "figures" / "loss.svg").read_bytes() == render(FIGURE)["svg"]
    assert paths["report"].stat().st_size < 15_000_000


def test_write_report_needs_neither_claims_nor_a_paper(tmp_path):
    paths = write_report(Folder(tmp_path), Page("", "t", "q", [FIGURE], command="c"))
    assert "Cite" not in paths["report"].read_text(encoding="utf-8")


def test_heavy_drawings_come_as_images():
    assert lighter({"svg": b"s" * HEAVY, "png": b"p"}) == b"s" * HEAVY
    assert lighter({"svg": b"s" * (HEAVY + 1), "png": b"p"}) == b"p"


TOLD = Page("s", "A title", "?")


class TestThePageAlone:
    def test_is_whole_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        out = tmp_path / "copy.html"
        out.write_text("the old page")

        def stopped(*paths: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", stopped)
            with pytest.raises(BadInput, match=r"no room for .*copy\.html"):
                write_page(out, TOLD)
        assert out.read_text() == "the old page"
        assert write_page(out, TOLD) == out and "A title" in out.read_text("utf-8")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.html"]

    def test_needs_a_folder_that_exists(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="there is no such folder"):
            write_page(tmp_path / "nowhere" / "copy.html", TOLD)
        assert not (tmp_path / "nowhere").exists()

    @pytest.mark.parametrize(
        "name",
        ["store.json", "results.safetensors", "STORE.LOCK", "journal.jsonl", "records/a.html", "../run/store.json"],
    )
    def test_replaces_no_file_of_a_run(self, tmp_path: Path, name: str) -> None:
        with Store(tmp_path / "run") as store:
            store.save({"a": 1}, {}, {})
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(BadInput, match="must not replace"):
            write_page(tmp_path / "run" / name, TOLD)
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before

    def test_a_name_with_strange_bytes_is_no_hindrance(self, tmp_path: Path) -> None:
        assert write_page(tmp_path / "page.html", Page("s", "of \udcff", "?")).is_file()
