"""The page of a run of 1,000 cells x 40 recorded steps: seconds to make it, and until it answers in a browser.

    python benchmarks/explorer.py [--cells 25x40] [--steps 40] [--seeds 2] [--rounds 5] [--out page.html]

The run is made up: random curves and weights (p = 23, 128 neurons) in place of trained ones. *Made* is from the dataset
to the file, neurons read and pruned; no figures. *Interactive* is from asking for the page to the answer of an arrow
key that is pressed as soon as there is something to press it on, in Debian's Chromium without a GPU; *processor* is
what the page's process had used by then, in all of its threads, which says more than seconds where others compute too.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import phasescope as ps
from phasescope.ensemble import streams
from phasescope.figures import Page
from phasescope.lab.diagrams import diagrams
from phasescope.lab.neurons import opened
from phasescope.lab.study import Experiment, Inside
from phasescope.report import page
from phasescope.theory import modular_addition

P, WIDTH = 23, 128
QUANTITIES = ("train_accuracy", "test_accuracy", "train_loss", "test_loss", "mean_participation")


def run(shape: tuple[int, int], steps: int, seeds: int) -> tuple[Experiment, xr.Dataset]:
    """Return an experiment over weight decay and train fraction, and a dataset such as training leaves."""
    decays, fractions = ([round(float(x), 4) for x in np.linspace(0.1, 0.9, n)] for n in shape)
    grid = ps.Grid({"weight_decay": decays, "train_fraction": fractions}, seeds=seeds)
    recipe = ps.Recipe(steps=1000, records=steps)
    e = Experiment("a large grid", ps.learners.PowerMLP(P, WIDTH), ps.tasks.addition(P), grid, recipe)
    draw = streams(0)("weights")
    data = xr.Dataset(coords={**grid.coords, "step": np.unique(np.geomspace(1, 1000, 4 * steps).astype(int))[-steps:]})
    for name in QUANTITIES:
        data[name] = ((*grid.dims, "step"), draw.random((*grid.shape, steps)))
    for name, own in (("embed", (2, P, WIDTH)), ("readout", (P, WIDTH))):
        dims = [f"{name}_{i}" for i in range(len(own))]
        data[f"final.{name}"] = ((*grid.dims, *dims), draw.standard_normal((*grid.shape, *own), dtype="float32"))
    return e, data


def make(e: Experiment, data: xr.Dataset, out: Path) -> float:
    """Write the page and return the seconds that it took."""
    exact = ps.learners.ExactMLP(P, WIDTH, modular_addition.addition_weights)
    started = time.perf_counter()
    found = diagrams({"grid": data}, {"grid": e.title}, {"grid": opened(e, data, Inside(lambda member: exact))})
    out.write_text(page(Page("", "A large grid", "", diagrams=found), []), encoding="utf-8")
    return time.perf_counter() - started


def processor(browser: Any) -> float:
    """Return the processor seconds of the processes that hold pages."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return float(sum(one["cpuTime"] for one in processes if one["type"] == "renderer"))


def answers(browser: Any, out: Path) -> tuple[float, float, float, float]:
    """Return the seconds until the page answers, its processor's, of one more arrow key, and until it draws neurons."""
    tab = browser.new_context(viewport={"width": 1200, "height": 900}).new_page()
    cell = "document.querySelector('[data-part=cell]').textContent"
    started = time.perf_counter()
    tab.goto(out.as_uri(), wait_until="commit")
    tab.wait_for_selector("#explorer:not([hidden])")
    before = tab.evaluate(cell)
    tab.focus("[data-part=map]")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate(cell) != before
    until = time.perf_counter() - started
    used = processor(browser)
    again = time.perf_counter()
    tab.keyboard.press("ArrowRight")
    tab.evaluate(cell)
    key, looked = time.perf_counter() - again, time.perf_counter()
    tab.locator("[data-part=inside]").scroll_into_view_if_needed()
    tab.wait_for_selector("[data-panel=exact-spectrum] .main-svg, [data-part=closed]:not([hidden])")
    inside = time.perf_counter() - looked
    tab.context.close()
    return until, used, key, inside


def told(values: list[float]) -> str:
    """Return median, least and largest."""
    return f"{statistics.median(values):.2f} s ({min(values):.2f}-{max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="25x40")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows, columns = map(int, options.cells.split("x"))
    e, data = run((rows, columns), options.steps, options.seeds)
    with tempfile.TemporaryDirectory() as folder:
        out = (options.out or Path(folder) / "page.html").resolve()
        print(f"{rows * columns} cells x {options.steps} steps x {options.seeds} seeds x {len(QUANTITIES)} quantities")
        made = told([make(e, data, out) for _ in range(options.rounds)])
        print(f"made         {made}, {out.stat().st_size / 1e6:.1f} MB")
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        if chromium is None:
            print("there is no chromium on this machine: install Debian's package to measure the browser")
            return
        from playwright.sync_api import sync_playwright

        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            times = list(zip(*(answers(browser, out) for _ in range(options.rounds)), strict=True))
            for name, values in zip(("interactive", "processor", "next key", "neurons"), times, strict=True):
                print(f"{name:12} {told(list(values))}")
            browser.close()


if __name__ == "__main__":
    main()
