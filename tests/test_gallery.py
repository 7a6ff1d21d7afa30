"""The gallery: everything stored is shown, nothing else is, and it is made again from the same files alone."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from phasescope.figures import Axis, Figure, Histogram, Page, PhaseMap
from phasescope.lab import load
from phasescope.vocabulary import BadInput

PLACE = Path(__file__).parents[1] / "docs" / "gallery"
spec = importlib.util.spec_from_file_location("gallery_make", PLACE / "make.py")
gallery = importlib.util.module_from_spec(spec)
sys.modules["gallery_make"] = gallery
spec.loader.exec_module(gallery)

X = Axis("x")
MAP = PhaseMap("m", X, X, np.arange(3), np.arange(2), np.array([[0, 0, 1], [0, 1, 1]]), ("below", "above"))
FACTS = {"code": "0123456789abcdef", "libraries": {"phasescope": "0.1.0"}, "finished": "2026-11-25T10:00:00+00:00"}


def of_a_map(folder):
    """Return what a stored phase map would be loaded as: it has no verdicts."""
    return loaded("A map", "phasescope map x", [Figure("map", "Title [of it]", f"Caption of {folder.name}.", [MAP])])


def of_a_study(folder):
    figure = Figure("two maps", "T", "Caption.", [MAP, MAP])
    return loaded("A study", "phasescope run x", [figure], [{"verdict": "fails"}])


def loaded(title, command, figures, claims=()):
    return SimpleNamespace(told=lambda: Page("", title, "", figures, claims, provenance=FACTS, command=command))


def stored(root, *names):
    for name in names:
        (root / "stored" / name).mkdir(parents=True)
        (root / "stored" / name / "results.json").touch()
    return root


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def pictures_in(text):
    return re.findall(r"!\[[^\]\[]*(?:\\.[^\]\[]*)*\]\((images/[^)]*)\)", text)


def test_the_page_lists_every_stored_result_and_every_picture_is_there():
    names = sorted(path.parent.name for path in (PLACE / "stored").glob("*/results.json"))
    assert {path.name for path in (PLACE / "stored").glob("*/*")} == set(gallery.FILES)
    text = (PLACE / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^Stored as `(.*?)`", text, re.M) == names
    files = {f"images/{path.name}" for path in (PLACE / "images").glob("*")}
    assert set(pictures_in(text)) == files
    assert all((PLACE / file).stat().st_size < gallery.HEAVIEST for file in files)


def test_the_page_is_what_the_stored_results_and_the_code_make():
    """Fails after a caption or a result was changed: ``make gallery`` mends it."""
    assert gallery.readme(gallery.exhibits(PLACE)) == (PLACE / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("open_", [of_a_map, of_a_study])
def test_studies_and_maps_are_shown_and_the_bytes_are_the_same_again(tmp_path, open_):
    stored(tmp_path, "b", "a")
    written = gallery.make(tmp_path, open_)
    first = contents(tmp_path)
    assert gallery.make(tmp_path, open_) == written
    assert contents(tmp_path) == first
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert [tmp_path / file for file in pictures_in(text)] == written[1:]
    for words in ("Stored as `a`", "Stored as `b`", "phasescope ", "0123456789ab", "2026-11-25", "Phasescope 0.1.0"):
        assert words in text
    assert ("Claims: 1 fails." in text) == (open_ is of_a_study)


def test_pictures_of_what_is_gone_go_too(tmp_path):
    stored(tmp_path, "a", "b")
    gallery.make(tmp_path, of_a_map)
    shutil.rmtree(tmp_path / "stored" / "a")
    gallery.make(tmp_path, of_a_map)
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["b-map.png"]
    assert "Caption of a." not in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_pictures_become_coarser_until_they_are_light(monkeypatch):
    figure = Figure("f", "t", "c", [Histogram("h", X, [("s", np.arange(9))])])
    sizes = [len(gallery.png(figure, resolution)) for resolution in gallery.RESOLUTIONS]
    monkeypatch.setattr(gallery, "HEAVIEST", sizes[2] + 1)
    assert len(gallery.light(figure)) == sizes[2]
    monkeypatch.setattr(gallery, "HEAVIEST", 10)
    with pytest.raises(BadInput, match="fewer panels"):
        gallery.light(figure)


def test_a_real_run_is_shown_from_three_of_its_files_without_what_no_figure_needs(tmp_path, tiny_results, monkeypatch):
    monkeypatch.setattr(gallery, "LARGE", 3_000)
    folder = gallery.keep(tiny_results.directory, "tiny", tmp_path)
    (shown,) = gallery.exhibits(tmp_path)
    assert shown.command == tiny_results.command
    assert shown.verdicts
    kept = load(folder)
    assert kept.judged().verdicts.to_json() == tiny_results.judged().verdicts.to_json()
    fewer = kept.data
    assert sum(one.nbytes for one in fewer.values()) < 0.7 * sum(one.nbytes for one in tiny_results.data.values())
    assert all(values.identical(tiny_results[e][name]) for e, one in fewer.items() for name, values in one.items())
    for drawn, figure in zip(shown.figures.values(), tiny_results.figures(), strict=True):
        assert gallery.png(drawn, 40) == gallery.png(figure, 40)
    assert next(iter(shown.figures.values())).title in gallery.readme([shown])
    assert sorted(path.name for path in folder.iterdir()) == ["results.json", "results.safetensors", "store.json"]


def test_many_large_variables_are_left_out_in_a_few_trials_and_none_that_changes_something(monkeypatch):
    names = [f"weights {i}" for i in range(300)]
    data = {e: xr.Dataset({name: ("x", np.arange(9.0)) for name in [*names, "small"]}) for e in ("one", "two")}
    trials = []

    def shown(_, data):
        trials.append(data)
        one, two = data["one"], data["two"]
        asked = one["weights 7"] if "weights 299" in two else two["weights 8"] * np.nan  # without 299 all is NaN
        return [np.asarray(asked), float(one["small"].sum()), "weights 1" in one]

    monkeypatch.setattr(gallery, "LARGE", 0)
    monkeypatch.setattr(gallery, "shown_and_judged", shown)
    left = gallery.needed(SimpleNamespace(data=data))
    assert {name: sorted(one.data_vars) for name, one in left.items()} == {
        "one": ["small", "weights 1", "weights 7"],
        "two": ["weights 299"],
    }
    assert len(trials) < 80  # of 602 variables


def rounded(told: Any) -> Any:
    """Numbers to ten digits: the last ones differ from processor to processor."""
    if isinstance(told, dict):
        return {key: rounded(value) for key, value in told.items()}
    if isinstance(told, list | tuple):
        return [rounded(value) for value in told]
    return float(f"{told:.10g}") if isinstance(told, float) else told


STUDIES = sorted(
    p.parent.name for p in (PLACE / "stored").glob("*/results.json") if not p.parent.name.startswith("map-")
)


@pytest.mark.parametrize("name", STUDIES)
def test_every_stored_run_is_judged_again_from_its_data_and_nothing_changes(name):
    """Fails after a claim or the method has changed: ``python docs/gallery/make.py --judge`` tells what follows."""
    results = load(PLACE / "stored" / name)
    assert rounded(results.judged().verdicts.to_json()) == rounded(results.verdicts.to_json())


def test_pages_quote_the_stored_verdicts():
    """Fails after a stored result has changed: ``make gallery`` mends it."""
    for path in sorted(gallery.PAGES.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        assert gallery.with_verdicts(page, gallery.stored_result) == page, f"{path.name} quotes other verdicts"
        assert gallery.with_statements(page) == page, f"{path.name} quotes other statements"


def test_verdicts_are_written_between_their_markers():
    page = "A\n<!-- verdicts: grokking -->\nstale\n<!-- end of verdicts -->\nB <!-- verdicts: none"
    found = gallery.with_verdicts(page, gallery.stored_result)
    assert found.startswith("A\n<!-- verdicts: grokking -->\n\n`phasescope run grokking")
    assert "| undecided | `delay`: " in found and "\n- `delay`: the " in found
    assert "stale" not in found and found.endswith("B <!-- verdicts: none")
    assert gallery.with_verdicts(found, gallery.stored_result) == found


def test_statements_are_written_between_their_markers_with_what_the_largest_stored_run_found():
    page = "A\n<!-- statements: grokking -->\nstale\n<!-- end of statements -->\nB"
    found = gallery.with_statements(page)
    assert found.startswith("A\n<!-- statements: grokking -->\n\n| statement | claim | of | scale | verdict |\n")
    assert "stale" not in found and found.endswith("<!-- end of statements -->\nB")
    row = next(line for line in found.splitlines() if "| delay |" in line)
    runs = [
        json.loads((PLACE / "stored" / name / "results.json").read_bytes()) for name in ("grokking", "grokking-decided")
    ]
    verdicts = [next(v for v in run["verdicts"] if v["id"] == "delay") for run in runs]
    assert row.endswith(f"| trained | pocket | {max(verdicts, key=lambda v: v['n'])['verdict']} |")
    assert gallery.with_statements(found) == found
