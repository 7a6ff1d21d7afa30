"""Draw the gallery from stored results, without training anything: ``python docs/gallery/make.py`` or ``make gallery``.

``stored/<name>/`` has three files of a run's folder: ``store.json``, ``results.json`` and ``results.safetensors``. From
each this writes ``images/<name>-<figure>.png``, a section of ``README.md``, and the verdicts that a page of
``docs/studies`` shows between its markers ``<!-- verdicts: <name> -->`` and ``<!-- end of verdicts -->``, and what a
paper states between ``<!-- statements: <study> -->`` and ``<!-- end of statements -->``; and of all
studies the table that ``phasescope claims`` searches, ``src/phasescope/papers/claims.json``, and ``runs.json`` beside
it. The same stored results give the same bytes. ``python docs/gallery/make.py runs/grokking-pocket grokking`` first
stores runs under names; ``python docs/gallery/make.py --judge`` first judges all that is stored again, by the claims of
today.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import xarray as xr

from phasescope.figures import Figure
from phasescope.lab import MapResults, Results, load
from phasescope.lab.registry import study_named, study_points
from phasescope.lab.stated import Found, found_in, to_markdown
from phasescope.lab.study import join
from phasescope.papers.claims import RUNS, as_table, rows_of, runs_of
from phasescope.report import describe, png, slug
from phasescope.store import Store
from phasescope.verdict import counted
from phasescope.vocabulary import BadInput

HERE = Path(__file__).parent
FILES = ("store.json", "results.json", "results.safetensors")
HEAVIEST = 200_000  # bytes of a picture
LARGE = 50_000  # bytes of a variable that is stored only if a figure needs it
RESOLUTIONS = (160, 130, 100, 80, 60)  # dots per inch, the first that is light enough
INTRODUCTION = """# Gallery

Every picture here is drawn from a stored result by `make gallery`, which trains nothing. The commands make
the numbers again.
"""
PAGES = HERE.parent / "studies"
CLAIMS = HERE.parents[1] / "src" / "phasescope" / "papers" / "claims.json"
BLOCK = re.compile(r"(<!-- verdicts: ([\w-]+) -->\n).*?(<!-- end of verdicts -->)", re.S)
STATED = re.compile(r"(<!-- statements: ([\w-]+) -->\n).*?(<!-- end of statements -->)", re.S)


@dataclass(frozen=True)
class Exhibit:
    """One stored result: its name, what was run, when and with which code, and its figures with their files' names."""

    name: str
    title: str
    command: str
    facts: Mapping[str, Any]
    verdicts: str
    figures: Mapping[str, Figure]


def exhibit(name: str, results: Results | MapResults) -> Exhibit:
    """Return what the gallery shows of the stored result ``name``, a study's run or a phase map.

    Of a run until decided it shows the verdicts alone, and what figures need is not stored: they would be those of the
    study's run on more seeds.
    """
    if isinstance(results, Results) and until_decided(results):
        title, said = f"{results.study.title}: until decided", results.verdicts.summary()
        return Exhibit(name, title, results.command, results.provenance, f"Claims: {said}.", {})
    told = results.told()
    return Exhibit(
        name,
        told.title,
        told.command,
        told.provenance,
        f"Claims: {counted(told.claims)}." if told.claims else "",
        {f"{slug(name)}-{slug(figure.id)}.png": figure for figure in told.figures},
    )


def until_decided(results: Results) -> bool:
    """Return whether the run looked at its claims until they were decided."""
    return "looks" in results.provenance


def section(shown: Exhibit) -> str:
    """Return the part of the page that tells of one stored result."""
    facts = shown.facts
    version, code = facts["libraries"]["phasescope"], str(facts["code"])[:12]
    lines = [f"## {shown.title}", "", f"    {shown.command}", ""]
    lines.append(f"Stored as `{shown.name}`. Phasescope {version}, code `{code}`, {str(facts['finished'])[:10]}.")
    lines += [shown.verdicts] if shown.verdicts else []
    for file, figure in shown.figures.items():
        words = " ".join(describe(figure).split()).translate({ord(c): f"\\{c}" for c in "[]"})
        lines += ["", f"### {figure.title}", "", f"![{words}](images/{file})", "", figure.caption]
    return "\n".join(lines) + "\n"


def light(figure: Figure) -> bytes:
    """Return the picture in the highest resolution that is light enough. Raises ``BadInput`` when none is."""
    for resolution in RESOLUTIONS:
        picture = png(figure, resolution)
        if len(picture) < HEAVIEST:
            return picture
    raise BadInput(f"figure {figure.id!r} takes {len(picture):,} bytes, at most {HEAVIEST:,}: give it fewer panels.")


def exhibits(root: Path, open_: Callable[[Path], Any] = load) -> list[Exhibit]:
    """Return what is stored below ``root``, by name."""
    folders = sorted(path.parent for path in (root / "stored").glob("*/results.json"))
    return [exhibit(folder.name, open_(folder)) for folder in folders]


def readme(shown: Sequence[Exhibit]) -> str:
    """Return the gallery's page."""
    return "\n".join([INTRODUCTION, *map(section, shown)])


def verdict_table(results: Results) -> str:
    """Return the verdicts of a stored result as a page of a study shows them, in Markdown."""
    facts = results.provenance
    lines = [f"`{results.command}`, code `{str(facts['code'])[:12]}`, {str(facts['finished'])[:10]}:", ""]
    lines += [f"{results.verdicts.summary()}. {' '.join(results.conduct())}".strip(), ""]
    return "\n".join([*lines, results.verdicts.to_markdown()]) + "\n"


def with_verdicts(page: str, open_: Callable[[str], Results]) -> str:
    """Return a page with the verdicts of stored results between its markers, as they are."""

    def filled(found: re.Match[str]) -> str:
        if not (HERE / "stored" / found[2] / "results.json").is_file():
            return f"{found[1]}\nNo run of these claims is stored yet.\n\n{found[3]}"
        return f"{found[1]}\n{verdict_table(open_(found[2]))}\n{found[3]}"

    return BLOCK.sub(filled, page)


def with_statements(page: str) -> str:
    """Return a page with what the papers of studies state between its markers, and what stored runs found of it."""
    return STATED.sub(lambda at: f"{at[1]}\n{to_markdown(study_named(at[2]), stored_verdicts())}\n\n{at[3]}", page)


@cache
def stored_verdicts() -> Found:
    """Return of each claim what the stored run with the most samples found; of several the last."""
    found: dict[str, tuple[int, tuple[str, str, str]]] = {}
    for path in sorted((HERE / "stored").glob("*/results.json")):
        run = json.loads(path.read_bytes())
        facts, n = run["provenance"], {v["id"]: v["n"] for v in run["verdicts"]}
        if "map" in facts:
            continue
        for name, told in found_in(facts["study"], facts["scale"], run["verdicts"]).items():
            found[name] = max(found.get(name, (-1, told)), (n[name.split("/")[1]], told), key=lambda one: one[0])
    return {name: told for name, (_, told) in found.items()}


def stored_result(name: str) -> Results:
    """Return the stored result of this name. Raises ``BadInput`` where it is none of a study's run."""
    results = load(HERE / "stored" / name)
    if not isinstance(results, Results):
        raise BadInput(f"{name} is a phase map, which has no verdicts.")
    return results


def judge_again(root: Path = HERE) -> None:
    """Judge every stored run again, from its data, and keep the verdicts."""
    for folder in sorted(path.parent for path in (root / "stored").glob("*/results.json")):
        results = load(folder)
        if isinstance(results, Results):
            put(results.judged(), results.data, folder)


def make(root: Path = HERE, open_: Callable[[Path], Any] = load) -> list[Path]:
    """Write the pictures and the page below ``root``, remove pictures of what is gone, and return what was written."""
    shown = exhibits(root, open_)
    pictures = {file: light(figure) for one in shown for file, figure in one.figures.items()}
    images = root / "images"
    images.mkdir(exist_ok=True)
    for gone in {path.name for path in images.glob("*.png")} - pictures.keys():
        (images / gone).unlink()
    for file, picture in pictures.items():
        (images / file).write_bytes(picture)
    (root / "README.md").write_text(readme(shown), encoding="utf-8")
    return [root / "README.md", *(images / file for file in pictures)]


def keep(run: Path, name: str, root: Path = HERE) -> Path:
    """Store the run in the folder ``run`` as ``name``: a study judged by the claims of today, without large variables.

    Large variables that a figure or a claim needs are kept.
    """
    results = load(run)
    place = root / "stored" / slug(name)
    place.mkdir(parents=True, exist_ok=True)
    if isinstance(results, Results):
        put(results.judged(), needed(results), place)
    else:
        copy(Path(run), place)
    return place


def put(results: Results, data: Mapping[str, xr.Dataset], place: Path) -> None:
    """Write the files of a study's run with these data into the folder ``place``."""
    with TemporaryDirectory() as folder:
        with Store(Path(folder)) as store:
            store.save_results(join(data), results.verdicts.to_json(), dict(results.provenance))
        copy(Path(folder), place)


def copy(source: Path, place: Path) -> None:
    """Copy the three files of a run's folder, and nothing else that is there."""
    for file in FILES:
        shutil.copyfile(source / file, place / file)


def needed(results: Results) -> Mapping[str, xr.Dataset]:
    """Return the data of a study's run without the large variables that its figures and its claims can do without.

    Nearly all large variables are the weights at the end, which nothing shows: many are left out at once, and halves of
    them where that would change something. What is returned has been drawn and judged as it is.
    """
    wanted = shown_and_judged(results, results.data)
    large = [(e, str(name)) for e, one in results.data.items() for name, v in one.data_vars.items() if v.nbytes > LARGE]

    def without(data: Mapping[str, xr.Dataset], names: Sequence[tuple[str, str]]) -> Mapping[str, xr.Dataset]:
        gone = {e: [name for of, name in names if of == e] for e, _ in names}
        less = {**data, **{e: data[e].drop_vars(variables) for e, variables in gone.items()}}
        if same(wanted, lambda: shown_and_judged(results, less)):
            return less
        if len(names) < 2:
            return data
        half = len(names) // 2
        return without(without(data, names[:half]), names[half:])

    return without(results.data, large)


def shown_and_judged(results: Results, data: Mapping[str, xr.Dataset]) -> Any:
    """Return the figures and the verdicts of a study's run as they would be with these data."""
    figures = () if until_decided(results) else results.study.figures(data, results.settings)
    return [astuple(figure) for figure in figures], replace(results, data=data).judged().verdicts.to_json()


def same(wanted: Any, made: Callable[[], Any]) -> bool:
    """Return whether what is made is what is wanted, and can be made at all."""
    try:
        np.testing.assert_equal(made(), wanted)
    except (AssertionError, AttributeError, KeyError, BadInput):  # something changes, or needs what is gone
        return False
    return True


def write_pages() -> list[Path]:
    """Write the verdicts into the pages of the studies, and return the pages that changed."""
    changed = []
    for path in sorted(PAGES.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = with_statements(with_verdicts(before, stored_result))
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed


def _stored_runs() -> dict[str, Any]:
    opened = {
        path.parent.name: json.loads(path.read_bytes()) for path in sorted((HERE / "stored").glob("*/results.json"))
    }
    return {name: found for name, found in opened.items() if "map" not in found["provenance"]}


def runs_table() -> str:
    """Return the table of all stored runs: their scales, days and seconds."""
    return as_table(runs_of(_stored_runs()))


def claims_table() -> str:
    """Return the table of all claims of the studies of this package, with what the stored runs found of them."""
    runs, rows = _stored_runs(), []
    for name in (name for name, point in study_points().items() if point.value.startswith("phasescope.")):
        rows += rows_of(study_named(name), {run: f for run, f in runs.items() if f["provenance"]["study"] == name})
    return as_table(rows)


if __name__ == "__main__":
    if sys.argv[1:] == ["--judge"]:
        judge_again()
    else:
        for run, name in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
            keep(Path(run), name)
    for path in [*make(), *write_pages()]:
        print(path)
    CLAIMS.write_text(claims_table(), encoding="utf-8")
    CLAIMS.with_name(RUNS).write_text(runs_table(), encoding="utf-8")
    print(CLAIMS, CLAIMS.with_name(RUNS), sep="\n")
